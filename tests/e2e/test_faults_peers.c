/* Peers that fail: resets after each byte, a far gateway that is killed or stopped, ends that vanish without a word. */
#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "cutter.h"
#include "faulting.h"
#include "gateway.h"
#include "peer.h"

#define CA "build/test-certs/ca.pem"
#define TLS_SECTION "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"
/* Cuts of a direction in make test: between gateways each waits for `retry`. */
#define SAMPLE(place) ((place)->between ? 16 : 50)
#define CLOSE_NOTIFY 40 /* at most; signatures and tickets are not always of the same length */

/* Takes clients; %d: its port, %s: its service, and lines of [timeouts]. */
static const char answering[] = "[gateway]\nsysid = HOST1\nworkers = 1\n"
                                "[listener l]\naddress = 127.0.0.1:%d\nservice = s\nunsecured_connections = allow\n"
                                "[service s]\naddress = %s\nretry = 100ms\n[timeouts]\nexchange = 5s\n%s" TLS_SECTION;

/* Carries raw clients to it; %d: where it is, %s: security, lines of [timeouts], and whether it resumes. */
static const char passing[] = "[gateway]\nsysid = GW1\nworkers = 1\n"
                              "[listener raw]\naddress = 127.0.0.1:0\ntarget = HOST1\nexchange = none\n"
                              "unsecured_connections = only\n"
                              "[peer HOST1]\naddress = 127.0.0.1:%d\nsecurity = %s\nserver_name = host1.example\n"
                              "retry = 100ms\n[timeouts]\n%s" TLS_SECTION "resumption = %s\n";

static struct gateway ssl_gateway, gw;
static struct cutter cutter;

/* --- clients --- */

/* A connection from its first to its last byte, all in order? Without TLS there is no exchange either. */
static bool is_whole(int port, bool secured)
{
	int fd = peer_connect(port);
	SSL *ssl = NULL;
	bool whole = fd >= 0 && (!secured || (peer_open(fd, 3, "PC1", &ssl) && ssl != NULL)) && peer_echoes(fd, ssl) &&
	             peer_closes(fd, ssl);

	peer_free(fd, ssl);
	return whole;
}

/* --- records --- */

/* The lines that a log has got since it was asked last: records, and those that say of an end in order. */
struct tail {
	const struct gateway *gateway;
	FILE *stream;
	int records, ended;
};

static void follow(struct tail *tail, const struct gateway *gateway)
{
	*tail = (struct tail){.gateway = gateway, .stream = fopen(gateway->log, "r")};
	ck_assert_ptr_nonnull(tail->stream);
}

static void read_on(struct tail *tail)
{
	char line[8192];
	long at = ftell(tail->stream);

	while (fgets(line, sizeof(line), tail->stream) != NULL && strchr(line, '\n') != NULL) {
		at = ftell(tail->stream);
		tail->records += strstr(line, "id=CCI3") != NULL;
		tail->ended += strstr(line, "id=CCI3") != NULL && strstr(line, "reason=ended") != NULL;
	}
	clearerr(tail->stream);
	(void)fseek(tail->stream, at, SEEK_SET);
}

static void await_records(struct tail *tail, int records)
{
	for (int i = 0; i < 2000; i++) {
		read_on(tail);
		if (tail->records >= records)
			break;
		usleep(5000);
	}
	ck_assert_int_eq(tail->records, records);
}

/* --- a reset after each byte --- */

/* Where the cutter is: before ccissl with a client of its own, or between the two gateways. */
struct place {
	bool between;
	const char *security; /* of the peer, where it is between */
	bool resumed;         /* its sessions: a whole connection before each cut leaves a ticket */
};

static const struct place places[] = {
    {false, NULL, false}, {true, "required", false}, {true, "direct", false}, {true, "required", true}};
#define PLACES ((int)(sizeof(places) / sizeof(places[0])))

static int start_place(const struct place *place)
{
	gateway_start(&ssl_gateway, "ccissl", answering, 0, "builtin:echo", "");
	cutter_start(&cutter, ssl_gateway.ports[0]);
	if (!place->between)
		return cutter.port;
	gateway_start(&gw, "ccisslgw", passing, cutter.port, place->security, "", place->resumed ? "yes" : "no");
	return gw.ports[0];
}

static void stop_place(const struct place *place)
{
	if (place->between)
		gateway_stop(&gw);
	cutter_stop(&cutter);
	gateway_stop(&ssl_gateway);
}

static void expect_whole(int port, const struct place *place, const char *after, long cut)
{
	bool whole = false;

	/* An address that failed is left out for a while. */
	for (int i = 0; i < 50 && !whole; i++) {
		whole = is_whole(port, !place->between);
		if (!whole)
			usleep(20000);
	}
	ck_assert_msg(whole, "after %s %ld nothing goes on", after, cut);
}

/* The records of both gateways, and what they had before. */
struct tails {
	struct tail far, near; /* near: only where the cutter is between */
	struct footprint far_before, near_before;
	int records;
};

static void follow_both(struct tails *tails, const struct place *place)
{
	follow(&tails->far, &ssl_gateway);
	await_records(&tails->far, tails->records);
	footprint_take(ssl_gateway.pid, NULL, &tails->far_before);
	if (!place->between)
		return;
	follow(&tails->near, &gw);
	await_records(&tails->near, tails->records);
	footprint_take(gw.pid, NULL, &tails->near_before);
}

/* The next connection has its records, and has left nothing. */
static void await_both(struct tails *tails, const struct place *place)
{
	await_records(&tails->far, ++tails->records);
	footprint_same(ssl_gateway.pid, NULL, &tails->far_before, 0, "a reset");
	if (!place->between)
		return;
	await_records(&tails->near, tails->records);
	footprint_same(gw.pid, NULL, &tails->near_before, 0, "a reset");
}

/* How many bytes go this way in the connections that are to be cut. */
static long measure(int port, const struct place *place, enum cutter_way way)
{
	ck_assert(is_whole(port, !place->between));
	if (place->resumed)
		ck_assert(is_whole(port, false));
	return atomic_load(&cutter.bytes[way]);
}

static void unfollow_both(struct tails *tails, const struct place *place)
{
	(void)fclose(tails->far.stream);
	if (place->between)
		(void)fclose(tails->near.stream);
}

static void cut_at(int port, const struct place *place, long cut, long total)
{
	atomic_store(&cutter.cut, cut);
	ck_assert_msg(!is_whole(port, !place->between), "cut at %ld of %ld, and a whole connection", cut, total);
	atomic_store(&cutter.cut, -1);
}

START_TEST(a_reset_after_each_byte_ends_one_connection_as_what_it_is)
{
	const struct place *place = &places[_i / 2];
	enum cutter_way way = _i % 2 == 0 ? CUTTER_TO_SERVER : CUTTER_TO_CLIENT;
	int port = start_place(place);
	struct tails tails = {.records = place->resumed ? 2 : 1};
	long total = measure(port, place, way), step = (long)faulting_step((unsigned long long)total, SAMPLE(place));

	follow_both(&tails, place);
	atomic_store(&cutter.way, (int)way);
	for (long cut = (long)faulting_first(); cut < total - 4; cut += step) {
		bool last = way == CUTTER_TO_CLIENT && cut >= total - CLOSE_NOTIFY;
		int ended, near_ended;

		if (place->resumed) {
			ck_assert_msg(is_whole(port, false), "before the cut at %ld", cut);
			await_both(&tails, place);
		}
		ended = tails.far.ended;
		near_ended = tails.near.ended;
		cut_at(port, place, cut, total);
		await_both(&tails, place);
		ck_assert_msg(last || tails.far.ended == ended, "cut at %ld of %ld, and ended in order", cut, total);
		ck_assert_msg(tails.near.ended == near_ended, "cut at %ld of %ld, and ended in order", cut, total);
		if (place->between)
			usleep(110000);
	}
	expect_whole(port, place, "resets up to", total);
	ck_assert_int_eq(gateway_lines(&gw, place->resumed, "to_tls_resumed=yes", NULL, NULL) > 0, place->resumed);
	unfollow_both(&tails, place);
	stop_place(place);
}
END_TEST

/* --- a far gateway that is killed or stopped --- */

static int free_port(void)
{
	int port, fd = peer_listen(&port);

	close(fd);
	return port;
}

/* A service that sends for ever. */
static pid_t start_source(char *address, size_t size)
{
	static char bytes[65536];
	int port, listening = peer_listen(&port);
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	(void)snprintf(address, size, "127.0.0.1:%d", port);
	while (pid == 0) {
		int fd = accept(listening, NULL, NULL);

		if (fork() != 0) {
			close(fd);
			continue;
		}
		while (peer_write(fd, NULL, bytes, sizeof(bytes)))
			continue;
		_exit(0);
	}
	close(listening);
	return pid;
}

/* Read until the end. Was it in order? */
static bool reads_to_an_end(int fd)
{
	static char bytes[65536];
	ssize_t came;

	while ((came = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		continue;
	return came == 0;
}

static bool gets_bytes(int port)
{
	char bytes[1000];
	int fd = peer_connect(port);
	bool got = fd >= 0 && peer_read(fd, NULL, bytes, sizeof(bytes));

	peer_free(fd, NULL);
	return got;
}

static void expect_bytes(int port)
{
	bool got = false;

	for (int i = 0; i < 100 && !got; i++) {
		got = gets_bytes(port);
		if (!got)
			usleep(20000);
	}
	ck_assert(got);
}

static const char *const securities[] = {"required", "direct"};

START_TEST(a_far_gateway_killed_in_mid_transfer_is_no_end_in_order)
{
	int port = free_port(), fd;
	char address[32], bytes[1000];
	pid_t source = start_source(address, sizeof(address));
	struct footprint before;

	gateway_start(&ssl_gateway, "ccissl", answering, port, address, "");
	gateway_start(&gw, "ccisslgw", passing, port, securities[_i], "", "yes");
	expect_bytes(gw.ports[0]);
	footprint_calm(gw.pid, NULL, &before);
	fd = peer_connect(gw.ports[0]);
	ck_assert(peer_read(fd, NULL, bytes, sizeof(bytes)));
	gateway_kill(&ssl_gateway);
	ck_assert_msg(!reads_to_an_end(fd), "a cut looks like an end in order");
	close(fd);
	ck_assert_int_eq(gateway_lines(&gw, 1, "id=CCI3", "at=back", NULL), 1);
	ck_assert_int_eq(gateway_lines(&gw, 0, "at=back", "reason=truncated", NULL) +
	                     gateway_lines(&gw, 0, "at=back", "reason=reset", NULL), 1);
	/* Nobody is there: refused, and at once. */
	ck_assert(!gets_bytes(gw.ports[0]));
	gateway_start(&ssl_gateway, "ccissl", answering, port, address, "");
	expect_bytes(gw.ports[0]);
	footprint_same(gw.pid, NULL, &before, 0, "a far gateway that was killed");
	gateway_stop(&gw);
	gateway_stop(&ssl_gateway);
	(void)kill(source, SIGKILL);
	(void)waitpid(source, NULL, 0);
}
END_TEST

/* It takes connections still, as the kernel does that, and says nothing. */
START_TEST(a_far_gateway_that_is_stopped_is_left_by_the_deadlines)
{
	int port = free_port(), fd, late;
	char address[32], bytes[1000];
	pid_t source = start_source(address, sizeof(address));
	struct footprint before;

	gateway_start(&ssl_gateway, "ccissl", answering, port, address, "");
	gateway_start(&gw, "ccisslgw", passing, port, securities[_i], "exchange = 500ms\nhandshake = 500ms\nidle = 1s\n", "yes");
	footprint_calm(gw.pid, NULL, &before);
	fd = peer_connect(gw.ports[0]);
	ck_assert(peer_read(fd, NULL, bytes, sizeof(bytes)));
	ck_assert_int_eq(kill(ssl_gateway.pid, SIGSTOP), 0);
	late = peer_connect(gw.ports[0]);
	ck_assert(!reads_to_an_end(fd));
	(void)reads_to_an_end(late);
	close(fd);
	close(late);
	ck_assert_int_eq(gateway_lines(&gw, 2, "id=CCI3", NULL, NULL), 2);
	ck_assert_int_eq(gateway_lines(&gw, 1, "id=CCI3", "reason=idle", NULL), 1);
	ck_assert_int_eq(gateway_lines(&gw, 0, "id=CCI3", "reason=ended", NULL), 0);
	ck_assert_int_eq(kill(ssl_gateway.pid, SIGCONT), 0);
	expect_bytes(gw.ports[0]);
	footprint_same(gw.pid, NULL, &before, 0, "a far gateway that was stopped");
	gateway_stop(&gw);
	gateway_stop(&ssl_gateway);
	(void)kill(source, SIGKILL);
	(void)waitpid(source, NULL, 0);
}
END_TEST

/* --- ends that vanish without a word --- */

/* The socket goes, and the other end hears nothing of it. False: this needs a right that we have not. */
static bool vanish(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) != 0)
		return false;
	close(fd);
	return true;
}

START_TEST(who_vanished_without_a_word_is_found)
{
	static const struct {
		const char *timeouts, *reason;
	} ways[] = {{"keepalive = 1s\n", "reason=reset"}, {"idle = 1s\n", "reason=idle"}};
	struct footprint before;
	uint8_t offer[4096], answer[4096];
	int fd;

	gateway_start(&ssl_gateway, "ccissl", answering, 0, "builtin:echo", ways[_i].timeouts);
	ck_assert(is_whole(ssl_gateway.ports[0], true));
	usleep(100000);
	footprint_take(ssl_gateway.pid, NULL, &before);
	fd = peer_connect(ssl_gateway.ports[0]);
	ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "PC9", NULL), answer), 0);
	if (vanish(fd))
		ck_assert_int_eq(gateway_lines(&ssl_gateway, 1, "id=CCI3", ways[_i].reason, NULL), 1);
	else
		close(fd);
	footprint_same(ssl_gateway.pid, NULL, &before, 0, "a peer that vanished");
	gateway_stop(&ssl_gateway);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
	TCase *tests = tcase_create(name);

	tcase_set_timeout(tests, faulting_full() ? 3600 : 60);
	suite_add_tcase(suite, tests);
	return tests;
}

Suite *module_suite(void)
{
	Suite *suite = suite_create("peers that fail");

	tcase_add_loop_test(add_case(suite, "cuts"), a_reset_after_each_byte_ends_one_connection_as_what_it_is, 0,
	                    2 * PLACES);
	tcase_add_loop_test(add_case(suite, "kill"), a_far_gateway_killed_in_mid_transfer_is_no_end_in_order, 0, 2);
	tcase_add_loop_test(add_case(suite, "stop"), a_far_gateway_that_is_stopped_is_left_by_the_deadlines, 0, 2);
	tcase_add_loop_test(add_case(suite, "half-open"), who_vanished_without_a_word_is_found, 0, 2);
	return suite;
}
