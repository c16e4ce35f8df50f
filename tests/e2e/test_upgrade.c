/* Scenarios of the hot upgrade: nothing is lost, nothing is cut, and what goes wrong changes nothing. */
#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define CERTS "build/test-certs/"
#define TICK_US 20000 /* 50 new connections a second */
#define OPEN 8        /* each lives for as many of them */

static const char echo[] = "[gateway]\nsysid = HOST1\nworkers = %d\n"
                           "[listener l]\naddress = 127.0.0.1:0, unix:%s, 127.0.0.1:0\nservice = s\n"
                           "unsecured_connections = allow\n"
                           "[service s]\naddress = builtin:echo\n[timeouts]\ndrain = 30s\nupgrade = %s\n"
                           "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n";

static char folder[64], path[96];

/* Processes whose parent has ended come to us: their end can be waited for. */
static void make_folder(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/cci-upgrade-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/l.sock", folder);
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
}

static void remove_folder(void)
{
	ck_assert_int_eq(rmdir(folder), 0);
}

/* Upgrade number `number`; gateway->pid is the new process after it. The old one, which may live on for a while. */
static pid_t upgrade(struct gateway *gateway, int number)
{
	pid_t old = gateway->pid;

	ck_assert_int_eq(kill(old, SIGUSR2), 0);
	ck_assert_int_eq(gateway_lines(gateway, number, "id=CCI1061I", NULL, NULL), number);
	/* The new one is there to be stopped. */
	ck_assert_int_eq(gateway_lines(gateway, number + 1, "id=CCI1001I", NULL, NULL), number + 1);
	gateway->pid = gateway_successor(gateway);
	return old;
}

/* --- traffic --- */

static void pause_us(long us)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static int connect_somewhere(const struct gateway *gateway, unsigned number)
{
	return number % 3 == 0 ? peer_connect_unix(path) : peer_connect(gateway->ports[number % 3 - 1]);
}

/* OFFER, a payload of its own, echoed and compared, and the end. What is wrong; NULL: nothing. */
static const char *converse(int fd, unsigned number)
{
	uint8_t offer[4096], answer[4096], sent[2000], back[2000];
	size_t size = peer_offer(offer, 1, 0, "PC1", NULL);
	int got = peer_exchange(fd, NULL, offer, size, answer);

	if (got <= 0)
		return "no answer";
	if (peer_type(answer) != 2)
		return "refused";
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(number * 7 + i);
	if (!peer_write(fd, NULL, sent, sizeof(sent)) || !peer_read(fd, NULL, back, sizeof(back)))
		return "lost";
	if (memcmp(sent, back, sizeof(sent)) != 0)
		return "altered";
	(void)shutdown(fd, SHUT_WR);
	return peer_ends(fd, NULL) ? NULL : "no end";
}

/* One tick, unless we are told that it is enough. The signal is blocked: it must not interrupt a read of a socket, which would
 * look like a lost connection. */
static bool is_enough(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	return sigtimedwait(&set, NULL, &(struct timespec){.tv_nsec = TICK_US * 1000L}) == SIGTERM;
}

static void block_end(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

static void check_one(int fd, unsigned number)
{
	const char *fault = fd >= 0 ? converse(fd, number) : NULL;

	if (fd >= 0)
		close(fd);
	if (fault == NULL)
		return;
	(void)fprintf(stderr, "connection %u: %s\n", number, fault);
	_exit(1);
}

/* New connections all the time; each waits for a while before it says anything. Never returns. */
static void keep_connecting(const struct gateway *gateway)
{
	int fds[OPEN];
	unsigned number = 0;

	memset(fds, 0xff, sizeof(fds));
	do {
		int *slot = &fds[number % OPEN];

		check_one(*slot, number);
		*slot = connect_somewhere(gateway, number);
		if (*slot < 0) {
			(void)fprintf(stderr, "connection %u: cannot connect\n", number);
			_exit(1);
		}
		number++;
	} while (!is_enough());
	for (unsigned i = 0; i < OPEN; i++)
		check_one(fds[i], number + i);
	_exit(number > OPEN ? 0 : 2);
}

static pid_t start_traffic(const struct gateway *gateway)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		block_end();
		keep_connecting(gateway);
	}
	return pid;
}

static void traffic_was_fine(pid_t pid)
{
	int status = -1;

	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "traffic ended with status %x", (unsigned)status);
}

static const int workers[][4] = {{1, 1, 1, 1}, {2, 2, 2, 2}, {1, 3, 2, 4}, {4, 1, 3, 1}};

START_TEST(no_connection_is_lost_across_upgrades)
{
	struct gateway gateway;
	pid_t traffic, old[3];

	gateway_start(&gateway, "ccissl", echo, workers[_i][0], path, "20s");
	traffic = start_traffic(&gateway);
	for (int i = 0; i < 3; i++) {
		pause_us(10 * TICK_US);
		gateway_rewrite(&gateway, echo, workers[_i][i + 1], path, "20s");
		old[i] = upgrade(&gateway, i + 1);
	}
	pause_us(15 * TICK_US);
	traffic_was_fine(traffic);
	for (int i = 0; i < 3; i++)
		gateway_ends(old[i]);
	/* The old ones left the file of the unix socket to the new one, which removes it. */
	ck_assert_int_eq(access(path, F_OK), 0);
	/* Nobody was told that a gateway is shutting down. */
	ck_assert_int_eq(gateway_lines(&gateway, 0, "id=CCI3009I", NULL, NULL), 0);
	gateway_stop(&gateway);
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(what_runs_goes_on_in_the_old_process)
{
	struct gateway gateway;
	int fds[2], quiet;
	SSL *ssl;
	pid_t old;

	gateway_start(&gateway, "ccissl", echo, 2, path, "20s");
	fds[0] = peer_connect(gateway.ports[0]);
	ck_assert(peer_open(fds[0], 2, "PC1", &ssl) && ssl != NULL);
	quiet = peer_connect_unix(path);
	usleep(50000);
	old = upgrade(&gateway, 1);
	ck_assert(peer_echoes(fds[0], ssl));
	/* It was accepted before, and has not said anything: it is served, not refused. */
	ck_assert_ptr_null(converse(quiet, 1));
	fds[1] = peer_connect(gateway.ports[0]);
	ck_assert_ptr_null(converse(fds[1], 2));
	/* A process that has handed over can still be told to stop, and lets connections finish. */
	if (_i == 1) {
		ck_assert_int_eq(kill(old, SIGTERM), 0);
		ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1004I", NULL, NULL), 1);
	}
	/* Only the new one can be upgraded again. */
	ck_assert_int_eq(kill(old, SIGUSR2), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1062E", _i == 1 ? "about to end" : "upgraded already", NULL), 1);
	ck_assert(peer_echoes(fds[0], ssl));
	ck_assert_int_eq(waitpid(old, NULL, WNOHANG), 0);
	ck_assert(peer_closes(fds[0], ssl));
	peer_free(fds[0], ssl);
	close(quiet);
	close(fds[1]);
	gateway_ends(old);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(a_new_configuration_with_errors_changes_nothing)
{
	struct gateway gateway;
	pid_t traffic;

	gateway_start(&gateway, "ccissl", echo, 2, path, "20s");
	traffic = start_traffic(&gateway);
	if (_i == 0)
		gateway_rewrite(&gateway, "[gateway]\nsysid = HOST1\nnonsense = 1\n");
	else /* an error that only shows when it listens */
		gateway_rewrite(&gateway, echo, 2, "/no/such/folder/l.sock", "20s");
	ck_assert_int_eq(kill(gateway.pid, SIGUSR2), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1062E", "ended with status 1", NULL), 1);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1010E", _i == 0 ? "has errors" : "directory is missing", NULL), 1);
	ck_assert_int_eq(access(path, F_OK), 0);
	gateway_rewrite(&gateway, echo, 2, path, "20s");
	gateway_ends(upgrade(&gateway, 1));
	pause_us(OPEN * TICK_US);
	traffic_was_fine(traffic);
	gateway_stop(&gateway);
}
END_TEST

static void copy_file(const char *from, const char *to, const char *text)
{
	char bytes[65536], temporary[160];
	int in = text == NULL ? open(from, O_RDONLY) : -1, out;

	(void)snprintf(temporary, sizeof(temporary), "%s.new", to);
	out = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	ck_assert_int_ge(out, 0);
	if (text != NULL)
		ck_assert_int_eq(write(out, text, strlen(text)), (ssize_t)strlen(text));
	for (ssize_t size; in >= 0 && (size = read(in, bytes, sizeof(bytes))) > 0;)
		ck_assert_int_eq(write(out, bytes, (size_t)size), size);
	if (in >= 0)
		close(in);
	ck_assert_int_eq(close(out), 0);
	ck_assert_int_eq(rename(temporary, to), 0);
}

static const struct {
	const char *text, *expected;
} programs[] = {
    {"#!/bin/sh\nexit 3\n", "ended with status 3"},
    {"#!/bin/sh\nkill -9 $$\n", "ended by signal 9"},
    {"#!/bin/sh\nexec sleep 60\n", "not ready in time"},
    {"no program\n", "cannot be started: Exec format error"},
    {"", "cannot be started: No such file or directory"},
};

START_TEST(a_new_program_that_is_broken_changes_nothing)
{
	struct gateway gateway;
	char built[256], copy[128];
	int hangs = strstr(programs[_i].text, "sleep") != NULL, before;

	(void)snprintf(built, sizeof(built), "%s/ccissl", gateway_build());
	(void)snprintf(copy, sizeof(copy), "%s/program", folder);
	copy_file(built, copy, NULL);
	gateway_start(&gateway, copy, echo, 1, path, hangs ? "1s" : "20s");
	if (programs[_i].text[0] != '\0')
		copy_file(NULL, copy, programs[_i].text);
	else
		ck_assert_int_eq(unlink(copy), 0);
	ck_assert_int_eq(kill(gateway.pid, SIGUSR2), 0);
	if (hangs) {
		ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1060I", NULL, NULL), 1);
		ck_assert_int_eq(kill(gateway.pid, SIGUSR2), 0);
		ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1062E", "under way already", NULL), 1);
		ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
		ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1007E", "an upgrade is under way", NULL), 1);
	}
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1062E", programs[_i].expected, NULL), 1);
	before = peer_connect(gateway.ports[0]);
	ck_assert_ptr_null(converse(before, 1));
	close(before);
	/* And once it is repaired, it works. */
	copy_file(built, copy, NULL);
	gateway_rewrite(&gateway, echo, 1, path, "20s");
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	gateway_ends(upgrade(&gateway, 1));
	before = peer_connect_unix(path);
	ck_assert_ptr_null(converse(before, 1));
	close(before);
	gateway_stop(&gateway);
	ck_assert_int_eq(unlink(copy), 0);
}
END_TEST

START_TEST(a_signal_to_stop_ends_an_upgrade_too)
{
	struct gateway gateway;
	char built[256], copy[128];

	(void)snprintf(built, sizeof(built), "%s/ccissl", gateway_build());
	(void)snprintf(copy, sizeof(copy), "%s/program", folder);
	copy_file(built, copy, NULL);
	gateway_start(&gateway, copy, echo, 1, path, "60s");
	copy_file(NULL, copy, "#!/bin/sh\nexec sleep 60\n");
	ck_assert_int_eq(kill(gateway.pid, SIGUSR2), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1060I", NULL, NULL), 1);
	gateway_stop(&gateway);
	ck_assert_int_eq(unlink(copy), 0);
}
END_TEST

START_TEST(addresses_come_and_go_with_it)
{
	struct gateway gateway;
	char other[128];
	int fd;

	(void)snprintf(other, sizeof(other), "%s/other.sock", folder);
	gateway_start(&gateway, "ccissl", echo, 2, path, "20s");
	gateway_rewrite(&gateway, echo, 2, other, "20s");
	gateway_ends(upgrade(&gateway, 1));
	ck_assert_int_eq(access(path, F_OK), -1);
	fd = peer_connect_unix(other);
	ck_assert_ptr_null(converse(fd, 1));
	close(fd);
	fd = peer_connect(gateway.ports[1]);
	ck_assert_ptr_null(converse(fd, 1));
	close(fd);
	gateway_stop(&gateway);
	ck_assert_int_eq(access(other, F_OK), -1);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("upgrade scenarios");
	TCase *tests = tcase_create("upgrade");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, make_folder, remove_folder);
	tcase_add_loop_test(tests, no_connection_is_lost_across_upgrades, 0, sizeof(workers) / sizeof(workers[0]));
	tcase_add_loop_test(tests, what_runs_goes_on_in_the_old_process, 0, 2);
	tcase_add_loop_test(tests, a_new_configuration_with_errors_changes_nothing, 0, 2);
	tcase_add_loop_test(tests, a_new_program_that_is_broken_changes_nothing, 0, sizeof(programs) / sizeof(programs[0]));
	tcase_add_test(tests, a_signal_to_stop_ends_an_upgrade_too);
	tcase_add_test(tests, addresses_come_and_go_with_it);
	suite_add_tcase(suite, tests);
	return suite;
}
