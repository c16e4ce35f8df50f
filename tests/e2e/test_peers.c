/* Scenarios of peers' health: failover and back, fail fast, reload, the end. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define TLS_SECTION "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"

/* A gateway that answers, at a port of our choice. */
static const char answering[] = "[gateway]\nsysid = HOST1\nworkers = 1\n"
                                "[listener l]\naddress = 127.0.0.1:%d\nservice = s\nunsecured_connections = allow\n"
                                "[service s]\naddress = builtin:echo\n" TLS_SECTION;

/* One that passes on, raw clients and others. */
static const char passing[] = "[gateway]\nsysid = GW1\nworkers = 2\n"
                              "[listener raw]\naddress = 127.0.0.1:0\ntarget = HOST1\nexchange = none\n"
                              "unsecured_connections = only\n"
                              "[listener cci]\naddress = 127.0.0.1:0\nunsecured_connections = allow\n"
                              "[timeouts]\nexchange = 2s\nconnect = 2s\n"
                              "[peer HOST1]\naddress = %s\nsecurity = %s\nserver_name = host1.example\n"
                              "retry = 1h\nhealth_interval = %s\nhealth_jitter = 0\n" TLS_SECTION;

/* --- health --- */

static int free_port(void)
{
	int port, fd = peer_listen(&port);

	close(fd);
	return port;
}

/* A raw client's bytes come back through the pair, from the gateway that listens at `port`. */
static void expect_echo(const struct gateway *gateway)
{
	char bytes[6];
	int fd = peer_connect(gateway->ports[0]);

	ck_assert(peer_write(fd, NULL, "hello!", 6) && peer_read(fd, NULL, bytes, 6));
	ck_assert_int_eq(memcmp(bytes, "hello!", 6), 0);
	close(fd);
}

/* An OFFER for the peer is answered so: 0 is ACCEPT. */
static int refusal(const struct gateway *gateway)
{
	uint8_t offer[4096], answer[4096];
	int fd = peer_connect(gateway->ports[1]), reason;

	ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", "HOST1"), answer), 0);
	reason = peer_type(answer) == 3 ? peer_reason(answer) : 0;
	close(fd);
	return reason;
}

/* --- what a client in the clear, or inside TLS, is told --- */

/* What is wrong with the peer, where the whole way is the client's to hear of before its ACCEPT. */
static const struct {
	const char *peer; /* lines of its section */
	const char *reason;
	bool silent; /* it takes the connection, and that is all */
} faults[] = {{"security = required\nserver_name = another.example", "reason=peer-name-mismatch", false},
              {"security = direct\nserver_name = another.example", "reason=peer-name-mismatch", false},
              {"security = required", "reason=exchange-timeout", true},
              {"security = direct", "reason=handshake-timeout", true}};

START_TEST(a_client_is_refused_whatever_is_wrong_with_the_peer)
{
	static const char between[] = "[gateway]\nsysid = GW1\nworkers = 1\n"
	                              "[listener raw]\naddress = 127.0.0.1:0\ntarget = HOST1\nexchange = none\n"
	                              "unsecured_connections = only\n"
	                              "[listener cci]\naddress = 127.0.0.1:0\nunsecured_connections = allow\n"
	                              "[timeouts]\nexchange = 1s\nhandshake = 1s\n"
	                              "[peer HOST1]\naddress = 127.0.0.1:%d\n%s\n" TLS_SECTION;
	int port = free_port(), silent = faults[_i].silent ? peer_listen(&port) : -1, got, fd;
	uint8_t offer[4096], answer[4096];
	struct gateway peer, gw;
	SSL *ssl;

	if (silent < 0)
		gateway_start(&peer, "ccissl", answering, port);
	gateway_start(&gw, "ccisslgw", between, port, faults[_i].peer);
	ck_assert_int_eq(refusal(&gw), 6);
	fd = peer_connect(gw.ports[1]);
	ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci/1", .ca = PEER_CA});
	ck_assert_ptr_nonnull(ssl);
	got = peer_exchange(fd, ssl, offer, peer_offer(offer, 1, 4, "PC1", "HOST1"), answer);
	ck_assert_int_gt(got, 0);
	ck_assert_int_eq(peer_type(answer), 3);
	ck_assert_int_eq(peer_reason(answer), 6);
	ck_assert(peer_ends(fd, ssl));
	peer_free(fd, ssl);
	ck_assert_int_eq(gateway_lines(&gw, 2, faults[_i].reason, " refuse=6", NULL), 2);
	gateway_stop(&gw);
	if (silent >= 0)
		close(silent);
	else
		gateway_stop(&peer);
}
END_TEST

/* Without a client: the alternate takes over and the primary comes back, by health alone (retry is an hour). */
START_TEST(failover_and_back_by_health_alone)
{
	static const char *const securities[] = {"none", "required", "direct"};
	int first = free_port(), second = free_port();
	struct gateway primary, alternate, gw;
	char addresses[80], to_first[40], to_second[40];

	(void)snprintf(to_first, sizeof(to_first), "to=127.0.0.1:%d", first);
	(void)snprintf(to_second, sizeof(to_second), "to=127.0.0.1:%d", second);
	(void)snprintf(addresses, sizeof(addresses), "127.0.0.1:%d, 127.0.0.1:%d", first, second);
	gateway_start(&alternate, "ccissl", answering, second);
	gateway_start(&gw, "ccisslgw", passing, addresses, securities[_i], "50ms");
	ck_assert_int_eq(gateway_lines(&gw, 1, "id=CCI1015W", "name=HOST1", NULL), 1);
	expect_echo(&gw);
	ck_assert_int_eq(gateway_lines(&gw, 1, "id=CCI3", to_second, NULL), 1);
	gateway_start(&primary, "ccissl", answering, first);
	ck_assert_int_eq(gateway_lines(&gw, 1, "id=CCI1016I", "name=HOST1", NULL), 1);
	expect_echo(&gw);
	ck_assert_int_eq(gateway_lines(&gw, 1, "id=CCI3", to_first, NULL), 1);
	/* No ping has a record here, each has one there. */
	ck_assert_int_eq(gateway_lines(&gw, 0, "id=CCI3", NULL, NULL), 2);
	ck_assert_int_ge(gateway_lines(&primary, 1, "id=CCI3000I", "PING", NULL), 1);
	ck_assert_int_eq(gateway_lines(&gw, 0, "id=CCI1020E", NULL, NULL), 0);
	gateway_stop(&gw);
	gateway_stop(&primary);
	gateway_stop(&alternate);
}
END_TEST

/* After the first ping, and for an hour, nobody asks: what a client wants fails at once, and nothing reaches the port. */
START_TEST(while_a_peer_is_down_connections_fail_at_once)
{
	int port, listening = peer_listen(&port), ping;
	struct gateway gw;
	char address[32];
	uint8_t byte;

	ck_assert_int_eq(fcntl(listening, F_SETFL, O_NONBLOCK), 0);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	gateway_start(&gw, "ccisslgw", passing, address, "on", "1h");
	ck_assert_int_eq(poll(&(struct pollfd){.fd = listening, .events = POLLIN}, 1, 5000), 1);
	ping = accept(listening, NULL, NULL);
	close(ping);
	ck_assert_int_eq(gateway_lines(&gw, 1, "id=CCI1020E", "name=HOST1", address), 1);
	for (int i = 0; i < 5; i++) {
		int fd = peer_connect(gw.ports[0]);

		ck_assert_int_eq(refusal(&gw), 6);
		ck_assert_int_le((int)recv(fd, &byte, 1, 0), 0);
		close(fd);
	}
	ck_assert_int_eq(gateway_lines(&gw, 10, "id=CCI3042E", "reason=peer-down", "last ping"), 10);
	ck_assert_int_eq(accept(listening, NULL, NULL), -1);
	ck_assert_int_eq(errno, EAGAIN);
	/* Said once. */
	ck_assert_int_eq(gateway_lines(&gw, 0, "id=CCI1020E", NULL, NULL), 1);
	ck_assert_int_eq(gateway_lines(&gw, 0, "id=CCI1015W", NULL, NULL), 0);
	gateway_stop(&gw);
	close(listening);
}
END_TEST

START_TEST(a_peer_that_comes_back_is_served)
{
	int port = free_port();
	struct gateway ssl, gw;
	char address[32];

	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	gateway_start(&gw, "ccisslgw", passing, address, "required", "50ms");
	for (int i = 1; i <= 2; i++) {
		/* The second time a ping may be under way when its gateway ends: the reason is another then. */
		ck_assert_int_eq(gateway_lines(&gw, i, "id=CCI1020E", i == 1 ? "reason=connect-refused" : NULL, NULL), i);
		ck_assert_int_eq(refusal(&gw), 6);
		gateway_start(&ssl, "ccissl", answering, port);
		ck_assert_int_eq(gateway_lines(&gw, i, "id=CCI1021I", "down_ms=", NULL), i);
		ck_assert_int_eq(refusal(&gw), 0);
		expect_echo(&gw);
		gateway_stop(&ssl);
	}
	gateway_stop(&gw);
}
END_TEST

/* A reload keeps a peer down; without health_interval it is tried like any other. */
START_TEST(a_reload_keeps_a_peer_down)
{
	int port, listening = peer_listen(&port);
	struct gateway gw;
	char address[32];
	int fd;

	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	gateway_start(&gw, "ccisslgw", passing, address, "on", "1h");
	close(peer_accept(listening));
	ck_assert_int_eq(gateway_lines(&gw, 1, "id=CCI1020E", NULL, NULL), 1);
	gateway_rewrite(&gw, passing, address, "none", "2h");
	ck_assert_int_eq(kill(gw.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gw, 1, "id=CCI1006I", NULL, NULL), 1);
	ck_assert_int_eq(refusal(&gw), 6);
	ck_assert_int_eq(gateway_lines(&gw, 1, "reason=peer-down", NULL, NULL), 1);
	/* The new configuration asks by itself. */
	close(peer_accept(listening));
	gateway_rewrite(&gw, passing, address, "none", "0s");
	ck_assert_int_eq(kill(gw.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gw, 2, "id=CCI1006I", NULL, NULL), 2);
	fd = peer_connect(gw.ports[0]);
	{
		int onward = peer_accept(listening);
		uint8_t offer[4096];

		ck_assert_int_gt(peer_receive(onward, NULL, offer), 0);
		close(onward);
	}
	close(fd);
	gateway_stop(&gw);
	close(listening);
}
END_TEST

/* Pings that hang hold up neither a drain nor a stop. */
START_TEST(a_ping_that_hangs_does_not_hold_up_the_end)
{
	int port, listening = peer_listen(&port), ping;
	struct gateway gw;
	char address[32];

	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	gateway_start(&gw, "ccisslgw", passing, address, "on", "1h");
	ping = peer_accept(listening);
	ck_assert_int_ge(ping, 0);
	gateway_stop(&gw);
	close(ping);
	close(listening);
}
END_TEST

/* A gateway that drains asks nobody any more. */
START_TEST(pings_end_with_the_drain)
{
	int port, listening = peer_listen(&port), fd;
	uint8_t offer[4096], answer[4096];
	struct gateway gw;
	siginfo_t ended;
	char address[32];

	ck_assert_int_eq(fcntl(listening, F_SETFL, O_NONBLOCK), 0);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	gateway_start(&gw, "ccisslgw", passing, address, "on", "30ms");
	fd = peer_connect(gw.ports[1]);
	ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", "*PING"), answer), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(poll(&(struct pollfd){.fd = listening, .events = POLLIN}, 1, 5000), 1);
		close(accept(listening, NULL, NULL));
	}
	ck_assert_int_eq(kill(gw.pid, SIGTERM), 0);
	ck_assert_int_eq(gateway_lines(&gw, 1, "id=CCI1004I", NULL, NULL), 1);
	usleep(100000);
	for (int last; (last = accept(listening, NULL, NULL)) >= 0;)
		close(last);
	ck_assert_int_eq(poll(&(struct pollfd){.fd = listening, .events = POLLIN}, 1, 300), 0);
	close(fd);
	/* By itself: a second signal would cut it short. */
	ck_assert_int_eq(waitid(P_PID, (id_t)gw.pid, &ended, WEXITED | WNOWAIT), 0);
	gateway_stop(&gw);
	close(listening);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("peer scenarios");
	TCase *tests = tcase_create("peers");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, a_client_is_refused_whatever_is_wrong_with_the_peer, 0, 4);
	tcase_add_loop_test(tests, failover_and_back_by_health_alone, 0, 3);
	tcase_add_test(tests, while_a_peer_is_down_connections_fail_at_once);
	tcase_add_test(tests, a_peer_that_comes_back_is_served);
	tcase_add_test(tests, a_reload_keeps_a_peer_down);
	tcase_add_test(tests, pings_end_with_the_drain);
	tcase_add_test(tests, a_ping_that_hangs_does_not_hold_up_the_end);
	suite_add_tcase(suite, tests);
	return suite;
}
