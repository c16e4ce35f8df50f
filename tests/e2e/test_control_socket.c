/* Scenarios of the control socket: who asks wrongly or slowly, and very long answers. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "controlling.h"

static struct gateway gateway;

static void start(void)
{
	control_make_folder();
	gateway_start(&gateway, "ccissl", CONTROL_BARE, "socket = ", control_path, "");
}

static void stop(void)
{
	gateway_stop(&gateway);
	control_remove_folder();
}

static double now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- requests --- */

START_TEST(requests_are_lines_of_words)
{
	char command[256];

	start();
	(void)snprintf(command, sizeof(command), "test \"$(stat -c %%a $(sed -n 's/^socket = //p' %s))\" = 600", gateway.config);
	ck_assert_int_eq(system(command), 0);
	control_say("status\n", "{\"ok\":true,\"answer\":{\"program\":\"ccissl\"");
	control_say("  status \t\r\n", "{\"ok\":true");
	control_say("status\nwhat comes behind is not looked at\n", "{\"ok\":true");
	control_say("\n", "{\"ok\":false,\"error\":\"nothing was asked: help lists what can be\"}");
	control_say("bogus words\n", "{\"ok\":false,\"error\":\"bogus is not known: help lists what is\"}");
	control_say("close\n", "{\"ok\":false,\"error\":\"close takes other words: close ID\"}");
	control_say("log-level a b c\n", "takes other words");
	control_say("STATUS\n", "is not known");
	control_say("sta\xc3\xa9tus\n", "not printable ASCII");
	control_say("status\x1b\n", "not printable ASCII");
	control_say("connections id=0123 sysid=A*\n", "{\"ok\":true,\"answer\":[]}");
	control_say("connections sysid=%n\n", "is no pattern of names");
	stop();
}
END_TEST

START_TEST(hostile_requests_get_one_error)
{
	char huge[20000], words[4096];
	uint8_t binary[3000];

	start();
	memset(huge, 'a', sizeof(huge));
	(void)control_ask(huge, 4096);
	ck_assert_ptr_nonnull(
	    strstr(control_out, "{\"ok\":false,\"error\":\"the request is too long: at most 4096 bytes\"}"));
	for (size_t i = 0; i < sizeof(words) - 2; i++)
		words[i] = i % 2 == 0 ? 'w' : ' ';
	words[4000] = '\n';
	(void)control_ask(words, 4001);
	ck_assert_ptr_nonnull(strstr(control_out, "{\"ok\":false,\"error\":\"too many words\"}"));
	for (size_t i = 0; i < sizeof(binary); i++)
		binary[i] = (uint8_t)(i * 31 % 251);
	binary[sizeof(binary) - 1] = '\n';
	(void)control_ask(binary, sizeof(binary));
	ck_assert_ptr_nonnull(strstr(control_out, "{\"ok\":false,\"error\":\""));
	/* Half-closed without a line feed; closed without a byte, and within a request. */
	{
		int fd = control_connect();
		ssize_t got;

		ck_assert(peer_write(fd, NULL, "status", 6));
		ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
		got = read(fd, huge, sizeof(huge) - 1);
		ck_assert_int_gt(got, 0);
		ck_assert(strncmp(huge, "{\"ok\":true", 10) == 0);
		close(fd);
		fd = control_connect();
		ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
		ck_assert_int_eq(read(fd, huge, sizeof(huge)), 0);
		close(fd);
		fd = control_connect();
		ck_assert(peer_write(fd, NULL, "sta", 3));
		close(fd);
	}
	control_say("status\n", "{\"ok\":true");
	stop();
}
END_TEST

static void expect_answer(int fd, const char *wanted)
{
	char answer[512];
	ssize_t got = read(fd, answer, sizeof(answer) - 1);

	ck_assert_int_gt(got, 0);
	answer[got] = '\0';
	ck_assert_msg(strstr(answer, wanted) != NULL, "%s: not %s", answer, wanted);
}

START_TEST(whoever_says_nothing_is_told_so)
{
	double began = now_s();
	int slow;

	start();
	slow = control_connect();
	ck_assert(peer_write(slow, NULL, "st", 2));
	expect_answer(slow, "not complete within 5 s");
	ck_assert_msg(now_s() - began > 4.5, "%f s", now_s() - began);
	close(slow);
	stop();
}
END_TEST

#define CROWD 400

/* Three times as many as there is room for: those who say nothing, or half a request, give way, and the first ones first. */
START_TEST(silent_clients_hold_nobody_up)
{
	int silent[CROWD], fast;
	double began;

	start();
	for (int i = 0; i < CROWD; i++) {
		silent[i] = control_connect();
		ck_assert(i % 2 == 0 || peer_write(silent[i], NULL, "st", 2));
	}
	began = now_s();
	fast = control_connect();
	ck_assert(peer_write(fast, NULL, "help\n", 5));
	expect_answer(fast, "{\"ok\":true");
	ck_assert_msg(now_s() - began < 4, "%f s", now_s() - began);
	expect_answer(silent[0], "others wait");
	close(fast);
	for (int i = 0; i < CROWD; i++)
		close(silent[i]);
	stop();
}
END_TEST

/* In a process of another user: a crowd that says nothing. */
static pid_t start_crowd(int *ready)
{
	int ends[2];
	pid_t child;

	ck_assert_int_eq(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(1);
		for (int i = 0; i < CROWD; i++)
			(void)!control_connect();
		(void)!write(ends[1], "x", 1);
		for (;;)
			(void)pause();
	}
	close(ends[1]);
	*ready = ends[0];
	return child;
}

/* Who has few keeps them. */
START_TEST(a_crowd_gives_way_to_other_users)
{
	char byte;
	int ready, mine;
	pid_t child;

	if (geteuid() != 0)
		return;
	control_make_folder();
	ck_assert_int_eq(chmod(control_folder, 0755), 0);
	gateway_start(&gateway, "ccissl", CONTROL_BARE, "mode = 0666\nsocket = ", control_path, "");
	mine = control_connect();
	ck_assert(peer_write(mine, NULL, "he", 2));
	child = start_crowd(&ready);
	ck_assert_int_eq(read(ready, &byte, 1), 1);
	control_say("status\n", "{\"ok\":true");
	ck_assert(peer_write(mine, NULL, "lp\n", 3));
	expect_answer(mine, "{\"ok\":true");
	ck_assert_int_eq(kill(child, SIGKILL), 0);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	close(ready);
	close(mine);
	stop();
}
END_TEST

START_TEST(a_hundred_at_once_are_answered)
{
	int fds[100];
	char answer[4096];

	start();
	for (int i = 0; i < 100; i++)
		fds[i] = control_connect();
	for (int i = 99; i >= 0; i--)
		ck_assert(peer_write(fds[i], NULL, "status\n", 7));
	for (int i = 0; i < 100; i++) {
		ck_assert_int_gt(read(fds[i], answer, sizeof(answer)), 0);
		ck_assert(strncmp(answer, "{\"ok\":true", 10) == 0);
		close(fds[i]);
	}
	stop();
}
END_TEST

/* --- very many connections --- */

#define MANY 1000

static size_t count(const char *text, const char *what)
{
	size_t found = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		found++;
	return found;
}

/* The numbers in the names fall from MANY - 1 to 0. */
static void check_newest_first(const char *text)
{
	for (int number = MANY - 1; number >= 0; number--) {
		text = strstr(text, "\"sysid\":\"N");
		ck_assert_ptr_nonnull(text);
		text += 10;
		ck_assert_msg(atoi(text) == number, "N%d, and not N%d", atoi(text), number);
	}
}

/* Each connection is there once; a client that does not read its answer costs nobody else anything. */
START_TEST(many_connections_are_listed_in_parts)
{
	struct rlimit limit = {4096, 4096};
	static struct control_client clients[MANY];
	int lazy, number;
	char name[16], buffer[65536];
	ssize_t got;
	size_t read_back = 0;

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	start();
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof(name), "N%d", i);
		clients[i] = control_client(&gateway, name, "office/1.0", false);
	}
	lazy = control_connect();
	ck_assert(peer_write(lazy, NULL, "connections\n", 12));
	for (int round = 0; round < 3; round++) {
		control_expect(&gateway, "connections --json", 0, NULL, NULL);
		ck_assert_uint_eq(count(control_out, "\"id\":"), MANY);
		check_newest_first(control_out);
		for (number = 0; number < MANY; number += 37) {
			char text[32];

			(void)snprintf(text, sizeof(text), "\"sysid\":\"N%d\",", number);
			ck_assert_uint_eq(count(control_out, text), 1);
		}
	}
	control_expect(&gateway, "connections", 0, NULL, NULL);
	ck_assert_uint_eq(count(control_out, "\n"), MANY + 1);
	control_expect(&gateway, "--json connections most=2 sysid=N*7", 0, "\"sysid\":\"N997\"", NULL);
	ck_assert_ptr_nonnull(strstr(control_out, "\"sysid\":\"N987\""));
	ck_assert_uint_eq(count(control_out, "\"id\":"), 2);
	/* Most of them go while the answer is half read. */
	got = read(lazy, buffer, sizeof(buffer));
	ck_assert_int_gt(got, 0);
	for (int i = 0; i < MANY; i++)
		if (i % 10 != 0)
			control_part(&clients[i]);
	control_wait(&gateway, "--json sysid=N1*", "\"N10\"");
	do {
		read_back += (size_t)got;
		ck_assert_msg(buffer[got - 1] != '\n' || buffer[got - 2] == '}', "no whole object");
		got = read(lazy, buffer, sizeof(buffer));
	} while (got > 0);
	ck_assert_int_eq(got, 0);
	ck_assert_uint_gt(read_back, 50000);
	close(lazy);
	for (int i = 0; i < MANY; i += 10)
		control_part(&clients[i]);
	stop();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("control_socket");
	TCase *tests = tcase_create("socket");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, requests_are_lines_of_words);
	tcase_add_test(tests, hostile_requests_get_one_error);
	tcase_add_test(tests, whoever_says_nothing_is_told_so);
	tcase_add_test(tests, silent_clients_hold_nobody_up);
	tcase_add_test(tests, a_crowd_gives_way_to_other_users);
	tcase_add_test(tests, a_hundred_at_once_are_answered);
	tcase_add_test(tests, many_connections_are_listed_in_parts);
	suite_add_tcase(suite, tests);
	return suite;
}
