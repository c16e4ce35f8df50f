/* Scenarios of those who trace: who reads too slowly, who leaves, the log, and the list of traces. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "following.h"

/* --- who does not read, who leaves --- */

static int ask_raw(const char *request)
{
	int fd = control_connect(), small = 4096;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	ck_assert(peer_write(fd, NULL, request, strlen(request)));
	ck_assert(peer_read(fd, NULL, control_out, 1)); /* it traces */
	return fd;
}

#define MANY 1200 /* connections; more lines than the gateway keeps for a client */

/* Every line was read, or said to be missed. */
START_TEST(who_reads_too_slowly_is_told)
{
	long long told = 0, lines = -1, missed = 0; /* the first one says what is traced */
	size_t used = 0;
	ssize_t got;
	int fd;

	pair_start();
	fd = ask_raw("trace 127.0.0.0/8\n");
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(
		    offer_to(near.ports[0], "BAD1", "an agent that makes lines longer, much longer, as long as can be", 0), 3);
	do {
		say("--json connections", 0, NULL, NULL);
	} while (strcmp(control_out, "[]\n") != 0);
	say("trace", 0, "to reader", NULL);
	told = strtoll(strstr(control_out, "to reader") + 9, NULL, 10);
	ck_assert_int_gt(told, MANY * 4);
	/* What it takes now makes room; a last connection says what was missed. */
	used = 1;
	for (bool asked = false; lines + missed < told;) {
		got = recv(fd, control_out + used, sizeof(control_out) - 1 - used, MSG_DONTWAIT);
		if (got > 0) {
			used += (size_t)got;
			continue;
		}
		control_out[used] = '\0';
		lines = -1;
		missed = 0;
		for (const char *at = control_out; (at = strstr(at, "\n")) != NULL; at++)
			lines++;
		for (const char *at = control_out; (at = strstr(at, "\"missed\":")) != NULL; at += 9, lines--)
			missed += strtoll(at + 9, NULL, 10);
		if (!asked)
			ck_assert_int_eq(offer_to(near.ports[0], "BAD1", NULL, 0), 3);
		asked = true;
		usleep(5000);
	}
	ck_assert_int_gt(missed, 0);
	ck_assert_int_gt(lines, 10);
	close(fd);
	wait_for_silence();
	pair_stop();
}
END_TEST

/* Whoever follows can leave at any time; the connections do not notice. */
START_TEST(who_leaves_is_forgotten)
{
	struct control_client client;

	pair_start();
	client = control_client(&near, "LEG1", NULL, true);
	for (int i = 0; i < 10; i++) {
		int fd = ask_raw(i % 2 == 0 ? "trace 127.0.0.0/8\n" : "trace sysid=*\n");

		ck_assert_int_eq(offer_to(near.ports[0], "LEG2", NULL, 0), 2);
		close(fd);
		ck_assert_int_eq(offer_to(near.ports[0], "LEG3", NULL, 2), 2);
	}
	wait_for_silence();
	follow("sysid=LEG1", false);
	ck_assert_int_eq(unfollow(SIGKILL), SIGKILL);
	wait_for_silence();
	control_part(&client);
	pair_stop();
}
END_TEST

/* A trace keeps its place at the socket for as long as it is followed; the other places stay. */
START_TEST(others_find_room)
{
	int fds[20];

	pair_start();
	for (int i = 0; i < 20; i++) {
		ssize_t got;

		fds[i] = ask_raw("trace 127.0.0.0/8\n");
		got = read(fds[i], control_out, 512);
		ck_assert_int_gt(got, 0);
		control_out[got] = '\0';
		ck_assert_msg(strstr(control_out, i < 8 ? "\"tracing\":" : "8 traces are followed already") != NULL, "%d: %s", i, control_out);
	}
	say("status", 0, NULL, NULL);
	say("trace 127.0.0.0/8 on", 0, NULL, NULL);
	say("trace 127.0.0.0/8 off", 0, NULL, NULL);
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	wait_for_silence();
	follow("127.0.0.0/8", false);
	(void)unfollow(SIGKILL);
	pair_stop();
}
END_TEST

/* The gateway ends while one follows: so does ctl. */
START_TEST(the_gateway_ends_first)
{
	pair_start();
	follow("127.0.0.0/8", false);
	gateway_stop(&near);
	(void)unfollow(0);
	gateway_stop(&far);
	control_remove_folder();
}
END_TEST

/* --- into the log, and the list --- */

START_TEST(on_and_off)
{
	struct control_client client;

	pair_start();
	say("trace", 0, "nothing is traced", NULL);
	say("--json trace", 0, "[]", NULL);
	ck_assert_int_eq(gateway_lines(&near, 0, "id=CCI1080I", NULL, NULL), 0);
	say("trace sysid=LEG* on", 0, "the log gets the trace of sysid=LEG* until it is switched off", NULL);
	say("trace sysid=LEG* on", 0, NULL, NULL);
	say("trace source 192.0.2.0/24 on", 0, NULL, NULL);
	ck_assert_int_eq(gateway_lines(&near, 3, "id=CCI1080I", "trace ", NULL), 3);
	ck_assert_int_eq(offer_to(near.ports[0], "BAD1", NULL, 0), 3);
	client = control_client(&near, "LEG1", NULL, false);
	ck_assert_int_eq(gateway_lines(&near, 1, "id=CCI1130I", "stage=accepted", NULL), 1);
	ck_assert_int_eq(gateway_lines(&near, 1, "id=CCI1130I", "received", "sysid=\\\"LEG1"), 1);
	ck_assert_int_eq(gateway_lines(&near, 0, "id=CCI1130I", "BAD1", NULL), 0);
	say("trace", 0, "sysid=LEG*                               to log ", NULL);
	say("--json trace", 0, "\"trace\":\"192.0.2.0/24\",\"to\":\"log\",\"lines\":0", NULL);
	say("--json connections", 0, "\"id\":\"", NULL);
	{
		char words[64], id[33];

		(void)snprintf(id, sizeof(id), "%s", strstr(control_out, "\"id\":\"") + 6);
		(void)snprintf(words, sizeof(words), "trace %.8s on", id);
		say(words, 0, "until it ends", NULL);
		say("trace", 0, id, NULL);
		control_part(&client);
		ck_assert_int_ge(gateway_lines(&near, 1, "id=CCI1130I", "stage=ended", NULL), 1);
		say("trace", 0, NULL, NULL);
		ck_assert_ptr_null(strstr(control_out, id));
	}
	say("trace sysid=LEG* off", 0, "no more", NULL);
	say("trace sysid=LEG* off", 1, NULL, "is not traced");
	say("trace 192.0.2.0/24 off", 0, "no more", NULL);
	say("trace", 0, "nothing is traced", NULL);
	say("trace sysid=%x on", 1, NULL, "no name");
	say("trace 300.1.1.1/8 on", 1, NULL, NULL);
	say("trace sysid=LEG1 perhaps", 1, NULL, "takes other words");
	pair_stop();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("readers of traces");
	TCase *tests = tcase_create("traces");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, who_reads_too_slowly_is_told);
	tcase_add_test(tests, who_leaves_is_forgotten);
	tcase_add_test(tests, others_find_room);
	tcase_add_test(tests, the_gateway_ends_first);
	tcase_add_test(tests, on_and_off);
	suite_add_tcase(suite, tests);
	return suite;
}
