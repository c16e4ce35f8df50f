/* Each n-th allocation of a connection fails: the connection may, the gateway may not. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "faulting.h"
#include "gateway.h"
#include "peer.h"

#define CA "build/test-certs/ca.pem"
#define TLS_SECTION "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"
#define GATEWAY "[gateway]\nsysid = %s\nworkers = 1\n[timeouts]\nexchange = 2s\nhandshake = 2s\nconnect = 2s\ndrain = 1s\n"

static const char service_side[] = GATEWAY
    "[listener l]\naddress = 127.0.0.1:0\nservice = FAR\nunsecured_connections = %s\n"
    "[service FAR]\naddress = builtin:echo\n"
    "[notifier n]\nkind = log\n" TLS_SECTION;

static const char near_side[] = GATEWAY
    "[listener l]\naddress = 127.0.0.1:0\nexchange = none\ntarget = FAR\nunsecured_connections = only\n"
    "[peer FAR]\naddress = 127.0.0.1:%d\nsecurity = required\nserver_name = host1.example\nretry = 100ms\n"
    "[tls]\nca = @CERTS@/ca.pem\n";

enum way { CLEAR, UPGRADED, DIRECT, RAW };

static bool echoes(int fd, SSL *ssl)
{
	static const char words[] = "what nobody may see in the clear";
	char back[sizeof(words)] = "";

	return peer_write(fd, ssl, words, sizeof(words)) && peer_read(fd, ssl, back, sizeof(back)) &&
	       memcmp(words, back, sizeof(words)) == 0;
}

/* After an ACCEPT with TLS. */
static SSL *secure(int fd, const uint8_t *offer, size_t size, const uint8_t *answer, int answer_size)
{
	SSL *ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci-upgrade/1", .ca = CA});

	if (ssl == NULL || peer_confirm_both(ssl, offer, size, answer, (size_t)answer_size))
		return ssl;
	SSL_free(ssl);
	return NULL;
}

static SSL *start_direct(int fd)
{
	return peer_tls_client(fd, &(struct peer_tls){.alpn = "cci/1", .ca = CA});
}

/* One connection of this way. Was it served in full? A gateway that answers takes what was wanted, and nothing else. */
static bool served(int port, enum way way)
{
	static const int offers[] = {[CLEAR] = 0, [UPGRADED] = 3, [DIRECT] = 4};
	static const int accepts[] = {[CLEAR] = 0, [UPGRADED] = 1, [DIRECT] = 2};
	uint8_t offer[4096], answer[4096];
	size_t size = way != RAW ? peer_offer(offer, 1, offers[way], "PC1", NULL) : 0;
	int fd = peer_connect(port), answer_size = 0;
	SSL *ssl = way == DIRECT ? start_direct(fd) : NULL;
	bool fine = fd >= 0 && (way != DIRECT || ssl != NULL);

	if (fine && way != RAW) {
		answer_size = peer_exchange(fd, ssl, offer, size, answer);
		fine = answer_size > 0 && peer_type(answer) == 2;
		ck_assert(!fine || peer_answer(answer, answer_size) == accepts[way]);
	}
	if (fine && way == UPGRADED) {
		ssl = secure(fd, offer, size, answer, answer_size);
		fine = ssl != NULL;
	}
	fine = fine && echoes(fd, ssl);
	peer_free(fd, ssl);
	return fine;
}

/* Until all that a connection took is given back, or what is left does not change any more. */
static void settle(struct faults_board *board, long long live)
{
	long long last = 0, now;

	for (int calm = 0; calm < 100 && (now = atomic_load(&board->live)) > live; usleep(1000)) {
		calm = now == last ? calm + 1 : 0;
		last = now;
	}
}

struct sweep {
	struct gateway *gateway; /* that is put to it */
	struct faults_board *board;
	int port, thread;
	enum way way;
	long long live;
	unsigned long long failed, refused;
};

static bool fail_at(struct sweep *sweep, unsigned long long number)
{
	bool fine;

	faulting_arm(sweep->board, &(struct faulting){.kind = FAULT_MEMORY, .error = 12, .first = number, .thread = sweep->thread});
	fine = served(sweep->port, sweep->way);
	settle(sweep->board, sweep->live);
	sweep->failed += faulting_disarm(sweep->board, FAULT_MEMORY);
	return fine;
}

/* With CCI_FAULTS_TRACE in the environment the gateway's log says where the memory comes from, and where it fails. */
static void tell_leak(struct sweep *sweep, unsigned long long number)
{
	atomic_store(&sweep->board->trace, 2);
	(void)fail_at(sweep, number);
	usleep(100000);
	atomic_store(&sweep->board->trace, 1);
	(void)fail_at(sweep, number);
	atomic_store(&sweep->board->trace, 3);
	(void)served(sweep->port, sweep->way);
	printf("see %s\n", sweep->gateway->log);
}

/* A buffer that OpenSSL keeps for its errors, or one that a pool keeps, is taken once; a leak each time. */
static void look_for_leak(struct sweep *sweep, unsigned long long number)
{
	long long before;

	if (atomic_load(&sweep->board->live) <= sweep->live)
		return;
	for (int i = 0; i < 24; i++) {
		before = atomic_load(&sweep->board->live);
		sweep->live = before;
		(void)fail_at(sweep, number);
		if (atomic_load(&sweep->board->live) <= before)
			return;
	}
	if (getenv("CCI_FAULTS_TRACE") != NULL)
		tell_leak(sweep, number);
	ck_abort_msg("allocation %llu fails, and %lld are left each time", number,
	             atomic_load(&sweep->board->live) - before);
}

/* OpenSSL keeps the last sixteen errors of a thread, with buffers of their own. */
static void fill_errors(struct sweep *sweep)
{
	static const unsigned char hello[] = "\x16\x03\x01\x00\x05nonsense";
	uint8_t byte;

	for (int i = 0; i < 40 && sweep->way == DIRECT; i++) {
		int fd = peer_connect(sweep->port);

		ck_assert(peer_write(fd, NULL, hello, sizeof(hello)));
		while (recv(fd, &byte, 1, 0) > 0)
			;
		close(fd);
	}
}

/* What the gateway keeps for its errors, pools and tables is there before it is counted. */
static unsigned long long count_allocations(struct sweep *sweep)
{
	unsigned long long count = 0;
	int calm = 0;

	for (int i = 0; i < 200 && calm < 10; i++) {
		long long live;

		atomic_store(&sweep->board->faults[FAULT_MEMORY].thread, sweep->thread);
		atomic_store(&sweep->board->faults[FAULT_MEMORY].calls, 0);
		ck_assert(served(sweep->port, sweep->way));
		settle(sweep->board, sweep->live);
		live = atomic_load(&sweep->board->live);
		calm = live <= sweep->live ? calm + 1 : 0;
		count = atomic_load(&sweep->board->faults[FAULT_MEMORY].calls);
		if (live > sweep->live || i == 0)
			sweep->live = live;
	}
	ck_assert_int_eq(calm, 10);
	fill_errors(sweep);
	ck_assert_uint_gt(count, 5);
	return count;
}

static void sweep_connections(struct sweep *sweep, unsigned long long most)
{
	struct footprint before;
	unsigned long long count, step;

	sweep->thread = faulting_thread(sweep->gateway->pid, "worker 0");
	ck_assert_int_gt(sweep->thread, 0);
	count = count_allocations(sweep);
	step = faulting_step(count, most);
	footprint_take(sweep->gateway->pid, sweep->board, &before);
	/* The end of a connection is tried in full: who waits for a close_notify that was not sent waits for long. */
	for (unsigned long long n = faulting_first(); n <= count; n += n + 40 < count ? step : 1) {
		if (!fail_at(sweep, n))
			sweep->refused++;
		look_for_leak(sweep, n);
		if (n % 16 == 0)
			ck_assert_msg(served(sweep->port, sweep->way), "after allocation %llu", n);
	}
	printf("%d: %llu allocations, %llu made to fail, %llu connections failed\n", (int)sweep->way, count, sweep->failed,
	       sweep->refused);
	ck_assert(served(sweep->port, sweep->way));
	ck_assert_uint_gt(sweep->failed, 0);
	ck_assert_uint_gt(sweep->refused, 0);
	/* Who fails says so; and what was not secured is not taken for it. */
	ck_assert_int_ge(gateway_lines(sweep->gateway, 1, "reason=no-memory", NULL, NULL), 1);
	ck_assert_int_eq(gateway_lines(sweep->gateway, 0, "policy=never", "outcome=clear", NULL), 0);
	before.live = sweep->live;
	footprint_same(sweep->gateway->pid, sweep->board, &before, 0, "the sweep");
}

START_TEST(each_allocation_of_a_connection_may_fail)
{
	struct gateway gateway;
	struct sweep sweep = {.gateway = &gateway, .way = (enum way)_i};

	sweep.board = faulting_next("memory");
	gateway_start(&gateway, "ccissl", service_side, "HOST1", _i == CLEAR ? "allow" : "never");
	faulting_started();
	sweep.port = gateway.ports[0];
	sweep_connections(&sweep, 150);
	gateway_stop(&gateway);
}
END_TEST

/* Raw client, ccisslgw, ccissl: once the near one is put to it, and once the far one. */
START_TEST(each_allocation_of_a_secured_pair_may_fail)
{
	struct gateway near, far;
	struct sweep sweep = {.way = RAW};
	struct faults_board *boards[2];

	boards[1] = faulting_next("memory");
	gateway_start(&far, "ccissl", service_side, "HOST1", "never");
	boards[0] = faulting_next("memory");
	gateway_start(&near, "ccisslgw", near_side, "GW1", far.ports[0]);
	faulting_started();
	sweep.port = near.ports[0];
	sweep.gateway = _i == 0 ? &near : &far;
	sweep.board = boards[_i];
	sweep_connections(&sweep, 150);
	gateway_stop(&near);
	gateway_stop(&far);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("allocations that fail");
	TCase *tests = tcase_create("memory");

	tcase_set_timeout(tests, 1200);
	if (faulting_possible()) {
		tcase_add_loop_test(tests, each_allocation_of_a_connection_may_fail, 0, 3);
		tcase_add_loop_test(tests, each_allocation_of_a_secured_pair_may_fail, 0, 2);
	}
	suite_add_tcase(suite, tests);
	return suite;
}
