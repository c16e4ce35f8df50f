/* Scenarios of several addresses and of peers' health: balance, failover and back, fail fast, reload. */
#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define TLS_SECTION "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"
#define BACK_ENDS 3

static const char balanced[] = "[gateway]\nsysid = HOST1\nworkers = %d\n"
                               "[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = only\n"
                               "[service s]\naddress = %s\nbalance = %s\nretry = %s\n";

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

static int listen_at(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	return fd;
}

/* --- several back ends --- */

struct back_ends {
	int listening[BACK_ENDS], ports[BACK_ENDS];
	char addresses[120];
	int accepted[256], count; /* open connections */
};

static void open_back_ends(struct back_ends *ends)
{
	memset(ends, 0, sizeof(*ends));
	for (int i = 0; i < BACK_ENDS; i++)
		ends->listening[i] = peer_listen(&ends->ports[i]);
	(void)snprintf(ends->addresses, sizeof(ends->addresses), "127.0.0.1:%d, 127.0.0.1:%d, 127.0.0.1:%d", ends->ports[0],
	               ends->ports[1], ends->ports[2]);
}

static void close_back_ends(struct back_ends *ends)
{
	for (int i = 0; i < ends->count; i++)
		close(ends->accepted[i]);
	for (int i = 0; i < BACK_ENDS; i++)
		if (ends->listening[i] >= 0)
			close(ends->listening[i]);
}

/* Connect through the gateway, and say at which back end that arrives; the client's end into *fd. */
static int arrive(struct back_ends *ends, const struct gateway *gateway, int *fd)
{
	struct pollfd polls[BACK_ENDS];
	uint8_t offer[4096], answer[4096];

	*fd = peer_connect(gateway->ports[0]);
	ck_assert_int_ge(*fd, 0);
	ck_assert_int_gt(peer_exchange(*fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	for (int i = 0; i < BACK_ENDS; i++)
		polls[i] = (struct pollfd){.fd = ends->listening[i], .events = POLLIN};
	ck_assert_int_eq(poll(polls, BACK_ENDS, 5000), 1);
	for (int i = 0; i < BACK_ENDS; i++) {
		if ((polls[i].revents & POLLIN) == 0)
			continue;
		ends->accepted[ends->count++] = peer_accept(ends->listening[i]);
		return i;
	}
	ck_abort_msg("nobody was reached");
	return -1;
}

START_TEST(round_robin_takes_each_in_turn)
{
	struct back_ends ends;
	struct gateway gateway;
	int fds[30], counts[BACK_ENDS] = {0};

	open_back_ends(&ends);
	/* The turn is that of all workers. */
	gateway_start(&gateway, "ccissl", balanced, 3, ends.addresses, "round-robin", "10s");
	for (int i = 0; i < 30; i++) {
		int at = arrive(&ends, &gateway, &fds[i]);

		counts[at]++;
		ck_assert_int_eq(at, i % BACK_ENDS);
	}
	for (int i = 0; i < BACK_ENDS; i++)
		ck_assert_int_eq(counts[i], 10);
	for (int i = 0; i < 30; i++)
		close(fds[i]);
	close_back_ends(&ends);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(order_takes_the_first)
{
	struct back_ends ends;
	struct gateway gateway;
	int fds[6];

	open_back_ends(&ends);
	gateway_start(&gateway, "ccissl", balanced, 2, ends.addresses, "order", "10s");
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(arrive(&ends, &gateway, &fds[i]), 0);
	for (int i = 0; i < 6; i++)
		close(fds[i]);
	close_back_ends(&ends);
	gateway_stop(&gateway);
}
END_TEST

/* The descriptor stays, without a connection. */
static void reset(int fd)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)dup2(other, fd);
	close(other);
}

/* Wherever they ended, connections that are gone count no more. */
START_TEST(least_takes_the_one_with_the_fewest)
{
	struct back_ends ends;
	struct gateway gateway;
	int fds[36], at[36], counts[BACK_ENDS] = {0}, kept = -1;

	open_back_ends(&ends);
	gateway_start(&gateway, "ccissl", balanced, 2, ends.addresses, "least", "10s");
	for (int i = 0; i < 18; i++) {
		at[i] = arrive(&ends, &gateway, &fds[i]);
		counts[at[i]]++;
	}
	for (int i = 0; i < BACK_ENDS; i++)
		ck_assert_int_eq(counts[i], 6);
	/* Back end 1 loses all of its connections but one: some by the client, some by itself. */
	for (int i = 0, gone = 0; i < 18; i++) {
		if (at[i] != 1)
			continue;
		if (kept < 0) {
			kept = i;
			continue;
		}
		reset(gone++ % 2 == 0 ? fds[i] : ends.accepted[i]);
	}
	ck_assert_int_eq(gateway_lines(&gateway, 5, "id=CCI3", "to_name=s", NULL), 5);
	for (int i = 18; i < 23; i++)
		ck_assert_int_eq(arrive(&ends, &gateway, &fds[i]), 1);
	for (int i = 23; i < 26; i++)
		counts[arrive(&ends, &gateway, &fds[i])]++;
	for (int i = 0; i < BACK_ENDS; i++)
		ck_assert_int_eq(counts[i], 7);
	for (int i = 0; i < 26; i++)
		close(fds[i]);
	close_back_ends(&ends);
	gateway_stop(&gateway);
}
END_TEST

/* What one worker found dead, all leave out, and its share goes to both others; after retry it is taken again. */
START_TEST(a_dead_back_end_is_left_out_for_retry)
{
	struct back_ends ends;
	struct gateway gateway;
	int fds[60], counts[BACK_ENDS] = {0}, used = 0;

	open_back_ends(&ends);
	close(ends.listening[1]);
	ends.listening[1] = -1;
	gateway_start(&gateway, "ccissl", balanced, 3, ends.addresses, "round-robin", "1s");
	for (; used < 20; used++)
		counts[arrive(&ends, &gateway, &fds[used])]++;
	ck_assert_int_eq(counts[1], 0);
	ck_assert_int_ge(counts[0], 9);
	ck_assert_int_ge(counts[2], 9);
	/* Said once, whoever found it. */
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1015W", NULL, NULL), 1);
	ends.listening[1] = listen_at(ends.ports[1]);
	for (; counts[1] == 0 && used < 60; used++) {
		counts[arrive(&ends, &gateway, &fds[used])]++;
		usleep(50000);
	}
	ck_assert_int_eq(counts[1], 1);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1016I", NULL, NULL), 1);
	for (int i = 0; i < used; i++)
		close(fds[i]);
	close_back_ends(&ends);
	gateway_stop(&gateway);
}
END_TEST

/* A reload that leaves a service as it is keeps what is known of it. */
START_TEST(a_reload_keeps_what_is_known)
{
	struct back_ends ends;
	struct gateway gateway;
	int fds[8];

	open_back_ends(&ends);
	close(ends.listening[0]);
	ends.listening[0] = -1;
	gateway_start(&gateway, "ccissl", balanced, 2, ends.addresses, "order", "1h");
	ck_assert_int_eq(arrive(&ends, &gateway, &fds[0]), 1);
	ends.listening[0] = listen_at(ends.ports[0]);
	gateway_rewrite(&gateway, balanced, 2, ends.addresses, "least", "1h");
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	/* Still left out, and the connection from before still counts. */
	ck_assert_int_eq(arrive(&ends, &gateway, &fds[1]), 2);
	/* Other addresses are another service. */
	(void)snprintf(ends.addresses, sizeof(ends.addresses), "127.0.0.1:%d, 127.0.0.1:%d", ends.ports[0], ends.ports[1]);
	gateway_rewrite(&gateway, balanced, 2, ends.addresses, "order", "1h");
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1006I", NULL, NULL), 2);
	ck_assert_int_eq(arrive(&ends, &gateway, &fds[2]), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close_back_ends(&ends);
	gateway_stop(&gateway);
}
END_TEST

/* --- services that do not answer --- */

/* A port whose backlog is full: the kernel answers no further SYN. */
static int listen_silently(int *port, int fillers[4])
{
	int listening = peer_listen(port);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(listen(listening, 0), 0);
	for (int i = 0; i < 4; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fillers[i], (struct sockaddr *)&address, sizeof(address));
	}
	usleep(10000);
	return listening;
}

static int descriptors_of(pid_t pid)
{
	char path[64];
	int count = 0;
	DIR *folder;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	folder = opendir(path);
	ck_assert_ptr_nonnull(folder);
	while (readdir(folder) != NULL)
		count++;
	(void)closedir(folder);
	return count;
}

/* Clients that leave while their connect is pending, and ones that wait; at last the whole gateway stops in the midst of it,
 * or (1) each connect reaches its deadline. No socket is left, and a sanitizer finds nothing. */
START_TEST(connects_that_are_pending_leave_nothing)
{
	static const char silent[] = "[gateway]\nsysid = HOST1\nworkers = 2\n"
	                             "[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = only\n"
	                             "[service s]\naddress = localhost:%d, 127.0.0.1:%d\nbalance = least\n"
	                             "[timeouts]\nconnect = %s\ndrain = 100ms\n";
	int port, fillers[4], listening = listen_silently(&port, fillers), fds[8], before;
	struct gateway gateway;
	uint8_t offer[4096];
	size_t size = peer_offer(offer, 1, 0, "PC1", NULL);

	gateway_start(&gateway, "ccissl", silent, port, port, _i == 0 ? "30s" : "400ms");
	before = descriptors_of(gateway.pid);
	for (int i = 0; i < 8; i++) {
		fds[i] = peer_connect(gateway.ports[0]);
		ck_assert(peer_write(fds[i], NULL, offer, size));
	}
	for (int i = 0; i < 1000 && descriptors_of(gateway.pid) < before + 16; i++)
		usleep(5000);
	ck_assert_int_ge(descriptors_of(gateway.pid), before + 16);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	if (_i == 1) {
		ck_assert_int_eq(gateway_lines(&gateway, 8, "reason=connect-timeout", NULL, NULL), 8);
		for (int i = 4; i < 8; i++)
			close(fds[i]);
		for (int i = 0; i < 1000 && descriptors_of(gateway.pid) > before; i++)
			usleep(5000);
		ck_assert_int_eq(descriptors_of(gateway.pid), before);
	}
	gateway_stop(&gateway);
	for (int i = 4; i < 8 && _i == 0; i++)
		close(fds[i]);
	for (int i = 0; i < 4; i++)
		close(fillers[i]);
	close(listening);
}
END_TEST

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
		ck_assert_int_eq(gateway_lines(&gw, i, "id=CCI1020E", "reason=connect-refused", NULL), i);
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
	gateway_stop(&gw);
	close(listening);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("peer scenarios");
	TCase *tests = tcase_create("peers");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, round_robin_takes_each_in_turn);
	tcase_add_test(tests, order_takes_the_first);
	tcase_add_test(tests, least_takes_the_one_with_the_fewest);
	tcase_add_test(tests, a_dead_back_end_is_left_out_for_retry);
	tcase_add_test(tests, a_reload_keeps_what_is_known);
	tcase_add_loop_test(tests, connects_that_are_pending_leave_nothing, 0, 2);
	tcase_add_loop_test(tests, failover_and_back_by_health_alone, 0, 3);
	tcase_add_test(tests, while_a_peer_is_down_connections_fail_at_once);
	tcase_add_test(tests, a_peer_that_comes_back_is_served);
	tcase_add_test(tests, a_reload_keeps_a_peer_down);
	tcase_add_test(tests, pings_end_with_the_drain);
	tcase_add_test(tests, a_ping_that_hangs_does_not_hold_up_the_end);
	suite_add_tcase(suite, tests);
	return suite;
}
