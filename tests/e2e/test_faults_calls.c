/* System calls that fail, do less than was asked, or come late; and a calendar clock that jumps. */
#include <check.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "faulting.h"
#include "gateway.h"
#include "peer.h"

#define TLS_SECTION "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"
#define BULK 400000

static const char config[] = "[gateway]\nsysid = HOST1\nworkers = 1\n[listener l]\naddress = 127.0.0.1:0\n"
                             "service = s\nunsecured_connections = allow\n[service s]\naddress = %s\nretry = 100ms\n"
                             "[timeouts]\nexchange = 2s\nhandshake = 20s\nconnect = 2s\ndrain = 1s\n" TLS_SECTION;

static struct gateway gateway;
static struct faults_board *board;

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void start(const char *service)
{
	board = faulting_next("calls");
	gateway_start(&gateway, "ccissl", config, service);
	faulting_started();
}

static bool opens_clear(int fd)
{
	SSL *ssl;

	return peer_open(fd, 0, "PC1", &ssl);
}

static bool serves(bool secured)
{
	int fd = peer_connect(gateway.ports[0]);
	SSL *ssl;
	bool fine = peer_open(fd, secured ? 3 : 0, "PC1", &ssl) && (ssl != NULL) == secured && peer_echoes(fd, ssl);

	peer_free(fd, ssl);
	return fine;
}

/* --- pieces --- */

/* The service gives back what it gets, so that both ways are gone. */
static void echo_all(int listening)
{
	static char bytes[65536];
	int fd = peer_accept(listening);
	ssize_t came;

	while ((came = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		if (!peer_write(fd, NULL, bytes, (size_t)came))
			break;
	(void)shutdown(fd, SHUT_WR);
	_exit(0);
}

static void carry_whole(int fd, SSL *ssl)
{
	uint8_t *bytes = malloc(BULK), *back = malloc(BULK);

	for (size_t i = 0; i < BULK; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	/* In turns, so that no side waits for the other's buffers. */
	for (size_t at = 0; at < BULK; at += 40000) {
		ck_assert(peer_write(fd, ssl, bytes + at, 40000));
		ck_assert(peer_read(fd, ssl, back + at, 40000));
	}
	ck_assert_mem_eq(bytes, back, BULK);
	free(bytes);
	free(back);
}

START_TEST(what_goes_in_pieces_comes_whole)
{
	int port, listening = peer_listen(&port), fd;
	char address[32];
	pid_t service;
	SSL *ssl = NULL;

	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	start(address);
	service = fork();
	if (service == 0)
		echo_all(listening);
	atomic_store(&board->ragged, (unsigned)_i / 2 + 1);
	fd = peer_connect(gateway.ports[0]);
	if (_i % 2 == 0)
		ck_assert(opens_clear(fd));
	else
		ck_assert(peer_open(fd, 3, "PC1", &ssl) && ssl != NULL);
	carry_whole(fd, ssl);
	peer_free(fd, ssl);
	ck_assert_int_eq(waitpid(service, NULL, 0), service);
	close(listening);
	atomic_store(&board->ragged, 0);
	gateway_stop(&gateway);
}
END_TEST

/* --- calls that fail --- */

static const struct failing {
	enum fault_kind kind;
	int error;
	const char *said; /* in the log, at least once; NULL: nothing has to be */
} failings[] = {
    {FAULT_ACCEPT, EMFILE, "id=CCI1013E"},
    {FAULT_ACCEPT, ENFILE, "id=CCI1013E"},
    {FAULT_ACCEPT, ENOMEM, "id=CCI1013E"},
    {FAULT_ACCEPT, ECONNABORTED, NULL},
    {FAULT_SOCKET, EMFILE, "id=CCI3"},
    {FAULT_SOCKET, ENFILE, "id=CCI3"},
    {FAULT_EPOLL_CTL, ENOMEM, NULL},
    {FAULT_EPOLL_CTL, ENOSPC, NULL},
    {FAULT_CONNECT, ECONNREFUSED, "id=CCI3028E"},
    {FAULT_CONNECT, ENETUNREACH, "id=CCI3"},
    {FAULT_CONNECT, EHOSTUNREACH, "id=CCI3"},
    {FAULT_CONNECT, ETIMEDOUT, "id=CCI3"},
    {FAULT_CONNECT, EADDRNOTAVAIL, "id=CCI3"},
    {FAULT_CONNECT, EAGAIN, "id=CCI3"},
    {FAULT_CONNECT, EACCES, "id=CCI3"},
    {FAULT_SEND, ENOBUFS, "id=CCI3"},
    {FAULT_SEND, EPIPE, "id=CCI3"},
    {FAULT_RECV, ECONNRESET, "id=CCI30"},
    {FAULT_RECV, ETIMEDOUT, "id=CCI30"},
};

START_TEST(a_call_that_fails_ends_one_connection_at_most)
{
	const struct failing *failing = &failings[_i];
	int port, listening = peer_listen(&port), fd;
	bool onward = failing->kind == FAULT_SOCKET || failing->kind == FAULT_CONNECT;
	struct footprint before;
	unsigned long long failed = 0;
	char address[32];

	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	start(onward ? address : "builtin:echo");
	for (int i = 0; i < 4 && !onward; i++)
		ck_assert(serves(i % 2 == 1));
	usleep(100000);
	footprint_take(gateway.pid, NULL, &before);
	for (unsigned n = 1; n <= 4; n++) {
		faulting_arm(board, &(struct faulting){.kind = failing->kind,
		                                       .error = failing->error,
		                                       /* One call goes onward for each connection. */
		                                       .first = onward ? 1 : n,
		                                       .thread = faulting_thread(gateway.pid, "worker 0")});
		if (onward) {
			fd = peer_connect(gateway.ports[0]);
			(void)opens_clear(fd);
			peer_free(fd, NULL);
			usleep(150000);
		} else {
			(void)serves(n % 2 == 0);
		}
		failed += faulting_disarm(board, failing->kind);
	}
	ck_assert_uint_gt(failed, 0);
	if (failing->said != NULL)
		ck_assert_int_ge(gateway_lines(&gateway, 1, failing->said, NULL, NULL), 1);
	footprint_same(gateway.pid, NULL, &before, 0, "calls that fail");
	fd = peer_connect(gateway.ports[0]);
	ck_assert(opens_clear(fd));
	close(fd);
	close(listening);
	gateway_stop(&gateway);
}
END_TEST

/* Who has paused for want of descriptors opens again, also where the kernel refuses that at first. */
START_TEST(a_listening_socket_is_watched_again)
{
	int worker;

	start("builtin:echo");
	ck_assert(serves(false));
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3000I", NULL, NULL), 1);
	usleep(50000);
	worker = faulting_thread(gateway.pid, "worker 0");
	/* The first closes it, the second would open it. */
	faulting_arm(board, &(struct faulting){.kind = FAULT_EPOLL_CTL, .error = ENOMEM, .first = 2, .thread = worker});
	faulting_arm(board, &(struct faulting){.kind = FAULT_ACCEPT, .error = EMFILE, .first = 1, .thread = worker});
	(void)serves(false);
	for (int i = 0; i < 200 && atomic_load(&board->faults[FAULT_EPOLL_CTL].failed) == 0; i++)
		usleep(10000);
	ck_assert_uint_eq(faulting_disarm(board, FAULT_EPOLL_CTL), 1);
	ck_assert_uint_eq(faulting_disarm(board, FAULT_ACCEPT), 1);
	ck_assert(serves(false) && serves(true));
	gateway_stop(&gateway);
}
END_TEST

/* --- names that hang --- */

START_TEST(a_name_that_hangs_holds_up_nobody)
{
	uint8_t offer[4096], answer[4096];
	struct footprint before;
	int fd;

	start("a-host.invalid:9");
	footprint_take(gateway.pid, NULL, &before);
	faulting_arm(board, &(struct faulting){.kind = FAULT_NAMES, .error = EAI_AGAIN, .first = 1, .delay_ms = 3000});
	fd = peer_connect(gateway.ports[0]);
	ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer), 0);
	/* The deadline to connect is 2 s; the answer comes a second after its session has gone. */
	ck_assert_int_eq(peer_reason(answer), 6);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3027E", NULL, NULL), 1);
	close(fd);
	footprint_same(gateway.pid, NULL, &before, 0, "a late answer");
	fd = peer_connect(gateway.ports[0]);
	ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer), 0);
	ck_assert_int_eq(peer_reason(answer), 6);
	close(fd);
	gateway_stop(&gateway);
}
END_TEST

static int ask_and_go_on(int port)
{
	uint8_t offer[4096];
	int fd = peer_connect(port);

	ck_assert(peer_write(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL)));
	return fd;
}

static void is_served_by(int listening)
{
	int fd = peer_connect(gateway.ports[1]), onward;

	ck_assert(opens_clear(fd));
	onward = peer_accept(listening);
	ck_assert_int_ge(onward, 0);
	close(onward);
	close(fd);
}

/* Twenty clients a second ask for a service whose name server is silent; one whose name is in /etc/hosts is there for
 * every one who wants it. */
START_TEST(a_service_whose_name_hangs_takes_no_other_along)
{
	int port, listening = peer_listen(&port), flood[80];
	struct footprint before;
	uint8_t answer[4096];

	board = faulting_next("calls");
	gateway_start(&gateway, "ccissl",
	              "[gateway]\nsysid = HOST1\nworkers = 1\n"
	              "[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = only\n"
	              "[listener m]\naddress = 127.0.0.1:0\nservice = t\nunsecured_connections = only\n"
	              "[service s]\naddress = a-host.invalid:9\n[service t]\naddress = localhost:%d\n"
	              "[timeouts]\nconnect = 2s\n",
	              port);
	faulting_started();
	is_served_by(listening);
	/* By then all is closed that this has opened. */
	for (int i = 0; i < 1000 && faulting_thread(gateway.pid, "look-up") != 0; i++)
		usleep(10000);
	footprint_take(gateway.pid, NULL, &before);
	faulting_arm(board,
	             &(struct faulting){
	                 .kind = FAULT_NAMES, .error = EAI_AGAIN, .first = 1, .every = 1, .most = 999, .delay_ms = 5000});
	for (int i = 0; i < 80; i++) {
		flood[i] = ask_and_go_on(gateway.ports[0]);
		if (i % 4 == 3)
			is_served_by(listening);
		usleep(50000);
	}
	for (int i = 0; i < 80; i++) {
		ck_assert_int_gt(peer_receive(flood[i], NULL, answer), 0);
		ck_assert_int_eq(peer_reason(answer), 6);
		close(flood[i]);
	}
	/* All of them have waited for the same one or two. */
	ck_assert_uint_le(faulting_disarm(board, FAULT_NAMES), 4);
	footprint_same(gateway.pid, NULL, &before, 0, "names that hang");
	close(listening);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(an_end_does_not_wait_for_a_name)
{
	uint64_t began_ms;
	int fd;

	start("a-host.invalid:9");
	faulting_arm(board, &(struct faulting){.kind = FAULT_NAMES, .error = EAI_AGAIN, .first = 1, .delay_ms = 60000});
	fd = ask_and_go_on(gateway.ports[0]);
	for (int i = 0; i < 1000 && atomic_load(&board->faults[FAULT_NAMES].calls) == 0; i++)
		usleep(10000);
	ck_assert_uint_eq(atomic_load(&board->faults[FAULT_NAMES].calls), 1);
	began_ms = now_ms();
	gateway_stop(&gateway);
	/* The time to drain is 1 s. */
	ck_assert_uint_lt(now_ms() - began_ms, 20000);
	close(fd);
}
END_TEST

START_TEST(a_name_without_a_thread_is_an_error)
{
	int port, listening = peer_listen(&port), fd;
	uint8_t answer[4096];
	char address[32];

	(void)snprintf(address, sizeof(address), "localhost:%d", port);
	start(address);
	faulting_arm(board, &(struct faulting){.kind = FAULT_THREAD, .error = EAGAIN, .first = 1, .every = 1, .most = 999});
	fd = ask_and_go_on(gateway.ports[0]);
	ck_assert_int_gt(peer_receive(fd, NULL, answer), 0);
	ck_assert_int_eq(peer_reason(answer), 6);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "reason=name-not-found", "cannot start a thread", NULL), 1);
	close(fd);
	ck_assert_uint_ge(faulting_disarm(board, FAULT_THREAD), 1);
	fd = peer_connect(gateway.ports[0]);
	ck_assert(opens_clear(fd));
	close(fd);
	close(listening);
	gateway_stop(&gateway);
}
END_TEST

/* --- the calendar --- */

START_TEST(a_clock_that_jumps_moves_no_deadline)
{
	struct footprint before;
	uint8_t byte = 'x';
	int fd, silent;

	start("builtin:echo");
	ck_assert(serves(true) && serves(false));
	footprint_calm(gateway.pid, NULL, &before);
	fd = peer_connect(gateway.ports[0]);
	ck_assert(opens_clear(fd));
	silent = peer_connect(gateway.ports[0]);
	usleep(100000);
	atomic_store(&board->clock_s, _i == 0 ? 7200 : -7200);
	/* Neither ended now nor kept for ever: the exchange has its 2 s. */
	ck_assert(peer_write(fd, NULL, &byte, 1) && peer_read(fd, NULL, &byte, 1));
	ck_assert_int_eq(gateway_lines(&gateway, 0, "reason=exchange-timeout", NULL, NULL), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "reason=exchange-timeout", NULL, NULL), 1);
	ck_assert(peer_write(fd, NULL, &byte, 1) && peer_read(fd, NULL, &byte, 1));
	ck_assert(serves(true) && serves(false));
	close(fd);
	close(silent);
	footprint_same(gateway.pid, NULL, &before, 0, "a clock that jumped");
	gateway_stop(&gateway);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
	TCase *tests = tcase_create(name);

	tcase_set_timeout(tests, 30);
	suite_add_tcase(suite, tests);
	return tests;
}

Suite *module_suite(void)
{
	Suite *suite = suite_create("system calls that fail");
	TCase *names;

	if (!faulting_possible())
		return suite;
	tcase_add_loop_test(add_case(suite, "pieces"), what_goes_in_pieces_comes_whole, 0, faulting_full() ? 40 : 4);
	tcase_add_loop_test(add_case(suite, "calls"), a_call_that_fails_ends_one_connection_at_most, 0,
	                    (int)(sizeof(failings) / sizeof(failings[0])));
	tcase_add_test(add_case(suite, "accepting"), a_listening_socket_is_watched_again);
	names = add_case(suite, "names");
	tcase_set_timeout(names, 60);
	tcase_add_test(names, a_name_that_hangs_holds_up_nobody);
	tcase_add_test(names, a_service_whose_name_hangs_takes_no_other_along);
	tcase_add_test(names, an_end_does_not_wait_for_a_name);
	tcase_add_test(names, a_name_without_a_thread_is_an_error);
	tcase_add_loop_test(add_case(suite, "clock"), a_clock_that_jumps_moves_no_deadline, 0, 2);
	return suite;
}
