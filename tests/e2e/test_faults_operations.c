/* What operators do, at the wrong moment and all at once: reloads, renewals, ctl, upgrades; connections flow, none is lost. */
#include <check.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "certfiles.h"
#include "controlling.h"
#include "faulting.h"
#include "gateway.h"
#include "peer.h"

#define CLIENTS 3 /* processes that connect all the time */

static const char storming[] = "[gateway]\nsysid = HOST1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
                               "unsecured_connections = allow\n[service s]\naddress = builtin:echo\n"
                               "[timeouts]\nexchange = %s\ndrain = 10s\nupgrade = 20s\n" TLS_SECTION;

static struct gateway gateway;

/* --- clients that flow --- */

static bool is_enough(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	return sigtimedwait(&set, NULL, &(struct timespec){.tv_nsec = 2000000}) == SIGTERM;
}

/* One connection from its OFFER to both ends, in the clear or over TLS. */
static bool is_whole(int port, bool secured)
{
	int fd = peer_connect(port);
	SSL *ssl;
	bool whole = peer_open(fd, secured ? 3 : 0, "PC1", &ssl) && (ssl != NULL) == secured && peer_echoes(fd, ssl) &&
	             peer_closes(fd, ssl);

	peer_free(fd, ssl);
	return whole;
}

static void start_clients(pid_t *clients)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = fork();
		ck_assert_int_ge(clients[i], 0);
		if (clients[i] > 0)
			continue;
		/* It must not interrupt a read, which would look like a connection that was lost. */
		(void)sigprocmask(SIG_BLOCK, &set, NULL);
		for (unsigned number = 0; !is_enough(); number++)
			if (!is_whole(gateway.ports[0], number % 2 == 1))
				_exit(1);
		_exit(0);
	}
}

static void clients_were_fine(const pid_t *clients)
{
	for (int i = 0; i < CLIENTS; i++) {
		int status = -1;

		ck_assert_int_eq(kill(clients[i], SIGTERM), 0);
		ck_assert_int_eq(waitpid(clients[i], &status, 0), clients[i]);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "client %d lost a connection: %x", i, (unsigned)status);
	}
}

/* --- reloads --- */

/* At once, as a good tool does it: the gateway may be reading the file just now. */
static void put_config(const char *exchange)
{
	struct gateway next = gateway;

	(void)snprintf(next.config, sizeof(next.config), "%s/next", gateway.folder);
	gateway_rewrite(&next, storming, exchange);
	ck_assert_int_eq(rename(next.config, gateway.config), 0);
}

START_TEST(fifty_reloads_in_two_seconds_lose_nothing)
{
	static const char *const values[] = {"9s", "nonsense", "8s", "0"};
	struct footprint before;
	pid_t clients[CLIENTS];
	int loaded;

	gateway_start(&gateway, "ccissl", storming, "9s");
	ck_assert(is_whole(gateway.ports[0], false) && is_whole(gateway.ports[0], true));
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI3", NULL, NULL), 2);
	/* The first reload may leave something that stays. */
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	usleep(100000);
	footprint_take(gateway.pid, NULL, &before);
	start_clients(clients);
	for (int i = 0; i < 50; i++) {
		put_config(values[i % 4]);
		ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
		usleep(40000);
	}
	/* Signals that come while one is served are one. */
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1007E", NULL, NULL), 1);
	loaded = gateway_lines(&gateway, 0, "id=CCI1006I", NULL, NULL);
	put_config("7s");
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_ge(gateway_lines(&gateway, loaded + 1, "id=CCI1006I", NULL, NULL), loaded + 1);
	clients_were_fine(clients);
	footprint_same(gateway.pid, NULL, &before, 0, "fifty reloads");
	ck_assert_int_eq(gateway_lines(&gateway, 0, "id=CCI3009I", NULL, NULL), 0);
	gateway_stop(&gateway);
}
END_TEST

/* --- a pair that is replaced byte by byte --- */

static bool shows(const X509 *shown, const char *name)
{
	char path[96];
	FILE *stream;
	X509 *wanted;
	bool same;

	(void)snprintf(path, sizeof(path), CERTS "%s.pem", name);
	stream = fopen(path, "r");
	ck_assert_ptr_nonnull(stream);
	wanted = PEM_read_X509(stream, NULL, NULL, NULL);
	(void)fclose(stream);
	same = X509_cmp(shown, wanted) == 0;
	X509_free(wanted);
	return same;
}

/* A handshake, in which the key signs for the certificate. 1: the old one, 2: the new one; 0: it failed. */
static int pair_shown(int port)
{
	int fd = peer_connect(port), which = 0;
	SSL *ssl = certfiles_direct(fd, &(struct peer_tls){.ca = CERTS "ca.pem"});

	if (ssl != NULL) {
		X509 *shown = SSL_get0_peer_certificate(ssl);

		which = shows(shown, "server") ? 1 : shows(shown, "second") ? 2 : 0;
		(void)SSL_shutdown(ssl);
	}
	peer_free(fd, ssl);
	return which;
}

/* Write the file of test certificates over ours, more of it each time. */
static void replace_slowly(const char *from, const char *name, int most, const char *why)
{
	char bytes[16384], path[96];
	size_t size, step;

	(void)snprintf(path, sizeof(path), CERTS "%s", from);
	size = certfiles_read(path, bytes, sizeof(bytes));
	step = (size_t)faulting_step(size, 40);
	for (size_t part = (size_t)faulting_first() - 1; part <= size; part += step) {
		int which;

		certfiles_write(name, bytes, part);
		which = pair_shown(gateway.ports[0]);
		ck_assert_msg(which >= 1 && which <= most, "%s: pair %d after %zu of %zu bytes", why, which, part, size);
	}
	certfiles_write(name, bytes, size);
}

START_TEST(a_pair_that_grows_byte_by_byte_is_old_or_new)
{
	struct footprint before;
	int which = 0;

	certfiles_put("server.pem", "server.pem");
	certfiles_put("server.key", "server.key");
	gateway_start(&gateway, "ccissl", CHANGING, certfiles_path("server.pem"), certfiles_path("server.key"));
	ck_assert_int_eq(pair_shown(gateway.ports[0]), 1);
	footprint_calm(gateway.pid, NULL, &before);
	/* Whichever comes first does not fit the other. */
	if (_i == 0)
		replace_slowly("second.pem", "server.pem", 1, "certificate first");
	replace_slowly("second.key", "server.key", _i == 0 ? 2 : 1, "key");
	if (_i == 1)
		replace_slowly("second.pem", "server.pem", 2, "certificate last");
	for (int i = 0; i < 1000 && which != 2; i++) {
		which = pair_shown(gateway.ports[0]);
		ck_assert_int_ne(which, 0);
		usleep(10000);
	}
	ck_assert_int_eq(which, 2);
	footprint_same(gateway.pid, NULL, &before, 0, "certificates that grew");
	gateway_stop(&gateway);
}
END_TEST

/* --- clients of the control socket that are killed --- */

START_TEST(a_ctl_that_is_killed_leaves_nothing)
{
	static const char *const words[] = {"connections", "top", "trace", "status"};
	static const char *const requests[] = {"conn", "connections\n", "{", "\n\n\n", "status\nstatus\n"};
	struct footprint before;
	char program[256];

	control_make_folder();
	gateway_start(&gateway, "ccissl", CONTROL_CONFIG, "", control_path);
	(void)control_run(&gateway, "status");
	usleep(100000);
	footprint_take(gateway.pid, NULL, &before);
	(void)snprintf(program, sizeof(program), "%s/ccissl", gateway_build());
	for (int i = 0; i < 40; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			int nowhere = open("/dev/null", O_RDWR);

			(void)dup2(nowhere, STDOUT_FILENO);
			(void)dup2(nowhere, STDERR_FILENO);
			(void)execl(program, program, "ctl", "-c", gateway.config, words[i % 4], (char *)NULL);
			_exit(127);
		}
		usleep((useconds_t)(i * 1000));
		(void)kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	}
	for (int i = 0; i < 30; i++) {
		int fd = control_connect();

		ck_assert(peer_write(fd, NULL, requests[i % 5], strlen(requests[i % 5])));
		/* With an answer that nobody reads. */
		usleep((useconds_t)(i % 3 * 1000));
		close(fd);
	}
	footprint_same(gateway.pid, NULL, &before, 0, "clients of the control socket that were killed");
	ck_assert_int_eq(control_run(&gateway, "status"), 0);
	gateway_stop(&gateway);
	control_remove_folder();
}
END_TEST

/* --- an upgrade that is killed --- */

/* A program that becomes the built one, and is killed so much later. */
static void put_program(const char *path, const char *built, int delay_ms)
{
	char temporary[160];
	FILE *stream;

	(void)snprintf(temporary, sizeof(temporary), "%s.new", path);
	stream = fopen(temporary, "w");
	ck_assert_ptr_nonnull(stream);
	(void)fputs("#!/bin/sh\n", stream);
	(void)fprintf(stream, "(sleep %d.%03d; kill -9 $$) >/dev/null 2>&1 &\n", delay_ms / 1000, delay_ms % 1000);
	(void)fprintf(stream, "exec %s \"$@\"\n", built);
	ck_assert_int_eq(fchmod(fileno(stream), 0755), 0);
	ck_assert_int_eq(fclose(stream), 0);
	ck_assert_int_eq(rename(temporary, path), 0);
}

/* Start an upgrade whose process is killed after `delay_ms`. False: it had taken over before. */
static bool is_killed_in_time(const char *program, const char *built, int delay_ms, int number)
{
	put_program(program, built, delay_ms);
	ck_assert_int_eq(kill(gateway.pid, SIGUSR2), 0);
	for (int i = 0; i < 3000; i++) {
		if (gateway_lines(&gateway, 0, "id=CCI1061I", NULL, NULL) > 0)
			return false;
		if (gateway_lines(&gateway, 0, "id=CCI1062E", "signal 9", NULL) == number)
			return true;
		usleep(5000);
	}
	ck_abort_msg("an upgrade killed after %d ms has no outcome", delay_ms);
	return false;
}

/* Killed ever later, until it has taken over: up to there the old process has not lost a connection. */
START_TEST(an_upgrade_killed_at_any_moment_loses_nothing)
{
	char built[4096], program[128], relative[256], command[512];
	pid_t clients[CLIENTS];
	int delay_ms = 1, number = 0;
	struct footprint before;
	bool killed = true;

	(void)snprintf(relative, sizeof(relative), "%s/ccissl", gateway_build());
	ck_assert_ptr_nonnull(realpath(relative, built));
	certfiles_open();
	(void)snprintf(program, sizeof(program), "%s", certfiles_path("part"));
	(void)snprintf(command, sizeof(command), "cp %s %s", relative, program);
	ck_assert_int_eq(system(command), 0);
	gateway_start(&gateway, program, storming, "9s");
	while (killed && delay_ms < 20000) {
		start_clients(clients);
		killed = is_killed_in_time(program, built, delay_ms, number + 1);
		if (killed)
			clients_were_fine(clients);
		if (killed && number == 0)
			footprint_calm(gateway.pid, NULL, &before);
		else if (killed)
			footprint_same(gateway.pid, NULL, &before, 0, "an upgrade that was killed");
		number += killed;
		delay_ms += delay_ms / 3 + 2;
	}
	for (int i = 0; i < CLIENTS; i++) {
		(void)kill(clients[i], SIGKILL);
		(void)waitpid(clients[i], NULL, 0);
	}
	ck_assert(!killed);
	ck_assert_int_ge(number, 3);
	gateway_stop(&gateway);
	certfiles_close();
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
	TCase *tests = tcase_create(name);

	tcase_set_timeout(tests, faulting_full() ? 600 : 60);
	suite_add_tcase(suite, tests);
	return tests;
}

Suite *module_suite(void)
{
	Suite *suite = suite_create("operations that fail");
	TCase *pair = add_case(suite, "pair");

	tcase_add_test(add_case(suite, "reloads"), fifty_reloads_in_two_seconds_lose_nothing);
	tcase_add_checked_fixture(pair, certfiles_open, certfiles_close);
	tcase_add_loop_test(pair, a_pair_that_grows_byte_by_byte_is_old_or_new, 0, 2);
	tcase_add_test(add_case(suite, "ctl"), a_ctl_that_is_killed_leaves_nothing);
	tcase_add_test(add_case(suite, "upgrade"), an_upgrade_killed_at_any_moment_loses_nothing);
	return suite;
}
