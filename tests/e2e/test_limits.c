/* Scenarios of limits: connections and handshakes that come too fast, rules that admit only so many; each recovers. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define CERTS "build/test-certs/"

static const char with_limits[] = "[gateway]\nsysid = HOST1\nworkers = 2\n"
                                  "[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = allow\n"
                                  "[listener raw]\naddress = 127.0.0.1:0\nservice = s\nexchange = none\n"
                                  "unsecured_connections = only\n"
                                  "[service s]\naddress = builtin:echo\n[limits]\n%s\n%s"
                                  "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\n"
                                  "ca = @CERTS@/ca.pem\n[notifier n]\nkind = log\n";

/* A connection that was agreed: `ssl` NULL in the clear. */
struct agreed {
	int fd;
	SSL *ssl;
};

/* Offer and, where TLS is answered, secure. 0: `agreed` is there; or the reason of the REFUSE; -1: closed without one. */
static int try_open(int port, int security, const char *sysid, struct agreed *agreed)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, security, sysid, NULL);
	int fd = peer_connect(port), got = fd >= 0 ? peer_exchange(fd, NULL, offer, size, answer) : -1;

	*agreed = (struct agreed){fd, NULL};
	if (got <= 0 || peer_type(answer) != 2) {
		peer_free(fd, NULL);
		return got <= 0 ? -1 : peer_reason(answer);
	}
	if (peer_answer(answer, got) == 0)
		return 0;
	agreed->ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci-upgrade/1", .ca = CERTS "ca.pem"});
	ck_assert_ptr_nonnull(agreed->ssl);
	ck_assert(peer_confirm_both(agreed->ssl, offer, size, answer, (size_t)got));
	return 0;
}

static void echo_works(const struct agreed *agreed)
{
	char back[5];

	ck_assert(peer_write(agreed->fd, agreed->ssl, "hello", 5) && peer_read(agreed->fd, agreed->ssl, back, 5));
}

/* Open, use and close one. */
static int visit(int port, int security, const char *sysid)
{
	struct agreed agreed;
	int result = try_open(port, security, sysid, &agreed);

	if (result != 0)
		return result;
	echo_works(&agreed);
	peer_free(agreed.fd, agreed.ssl);
	return 0;
}

/* It comes back by itself: tries until one is let in. */
static void recovers(int port, int security, const char *sysid)
{
	int result = 8;

	for (int i = 0; i < 200 && result != 0; i++) {
		usleep(50000);
		result = visit(port, security, sysid);
	}
	ck_assert_int_eq(result, 0);
}

START_TEST(connections_that_come_too_fast_are_told_so)
{
	struct gateway gateway;
	int refused = 0, port;

	gateway_start(&gateway, "ccissl", with_limits, "connection_rate = 2\nconnection_burst = 5\n", "");
	port = gateway.ports[0];
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(visit(port, 0, "PC1"), 0);
	for (int i = 0; i < 20; i++) {
		int result = visit(port, 0, "PC1");

		ck_assert(result == 0 || result == 8);
		refused += result == 8;
	}
	/* Twenty in much less than ten seconds. */
	ck_assert_int_ge(refused, 1);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1018W", "limit=connection_rate", "from=127.0.0.1:"), 1);
	ck_assert_int_eq(gateway_lines(&gateway, refused, "id=CCI3008W", "reason=busy", "refuse=8"), refused);
	recovers(port, 0, "PC1");
	gateway_stop(&gateway);
}
END_TEST

/* A direct start up to the handshake. */
static bool direct_works(int port)
{
	int fd = peer_connect(port);
	SSL *ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci/1", .ca = CERTS "ca.pem"});
	bool works = ssl != NULL;

	peer_free(fd, ssl);
	return works;
}

START_TEST(handshakes_that_come_too_fast_are_told_so)
{
	struct gateway gateway;
	bool refused = false;
	int port;

	gateway_start(&gateway, "ccissl", with_limits, "handshake_rate = 1\nhandshake_burst = 2\n", "");
	port = gateway.ports[0];
	ck_assert_int_eq(visit(port, 2, "PC1"), 0);
	ck_assert(_i == 0 ? visit(port, 2, "PC1") == 0 : direct_works(port));
	for (int i = 0; i < 30 && !refused; i++)
		refused = _i == 0 ? visit(port, 2, "PC1") == 8 : !direct_works(port);
	ck_assert(refused);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1018W", "limit=handshake_rate", NULL), 1);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI3008W", "reason=busy", "handshake_rate of [limits]"), 1);
	/* In the clear there is no handshake to wait for. */
	ck_assert_int_eq(visit(port, 0, "PC1"), 0);
	recovers(port, 2, "PC1");
	gateway_stop(&gateway);
}
END_TEST

static const char two[] = "[rule few]\nsysid = BR*\nconnections = 2\n";

static void reload(struct gateway *gateway, const char *rules)
{
	int before = gateway_lines(gateway, 0, "id=CCI1006I", NULL, NULL);

	gateway_rewrite(gateway, with_limits, "", rules);
	ck_assert_int_eq(kill(gateway->pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(gateway, before + 1, "id=CCI1006I", NULL, NULL), before + 1);
}

START_TEST(a_rule_admits_so_many_also_across_reloads)
{
	struct agreed first, second, third;
	struct gateway gateway;
	int security = _i == 0 ? 0 : 2, port;

	gateway_start(&gateway, "ccissl", with_limits, "", two);
	port = gateway.ports[0];
	ck_assert_int_eq(try_open(port, security, "BR1", &first), 0);
	ck_assert_int_eq(try_open(port, security, "BR2", &second), 0);
	ck_assert_int_eq(visit(port, security, "BR3"), 8);
	ck_assert_int_eq(visit(port, security, "PC1"), 0); /* another rule's, or none's */
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1018W", "limit=connections rule=few", "connections=2"), 1);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3008W", "rule=few", "sysid=BR3"), 1);
	/* The two are still counted under the next configuration, also where it has another bound. */
	reload(&gateway, "[rule other]\nsysid = X*\nconnections = 1\n[rule few]\nsysid = BR*\nconnections = 3\n");
	ck_assert_int_eq(try_open(port, security, "BR3", &third), 0);
	ck_assert_int_eq(visit(port, security, "BR4"), 8);
	echo_works(&first);
	echo_works(&third);
	peer_free(first.fd, first.ssl);
	recovers(port, security, "BR4");
	peer_free(second.fd, second.ssl);
	peer_free(third.fd, third.ssl);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(a_rule_admits_so_many_from_one_source)
{
	struct agreed first;
	struct gateway gateway;
	char byte;
	int raw;

	gateway_start(&gateway, "ccissl", with_limits, "",
	              "[rule one]\nlistener = l\nconnections_per_source = 1\n[rule raw]\nlistener = raw\nconnections = 1\n");
	ck_assert_int_eq(try_open(gateway.ports[0], 0, "BR1", &first), 0);
	ck_assert_int_eq(visit(gateway.ports[0], 0, "BR2"), 8);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1018W", "limit=connections_per_source rule=one", NULL), 1);
	peer_free(first.fd, first.ssl);
	recovers(gateway.ports[0], 0, "BR2");
	/* Without an exchange nothing can be said. */
	first = (struct agreed){peer_connect(gateway.ports[1]), NULL};
	echo_works(&first);
	raw = peer_connect(gateway.ports[1]);
	ck_assert_int_le((int)recv(raw, &byte, 1, 0), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3008W", "rule=raw", "reason=busy"), 1);
	close(raw);
	close(first.fd);
	gateway_stop(&gateway);
}
END_TEST

/* Behind a balancer it is the client that the header names who has a rate, and the balancer has none. */
static int visit_for(int port, const char *client)
{
	uint8_t bytes[4096], answer[4096];
	int size = snprintf((char *)bytes, 108, "PROXY TCP4 %s 198.51.100.2 1024 1202\r\n", client), fd = peer_connect(port), got;

	ck_assert(peer_write(fd, NULL, bytes, (size_t)size));
	got = peer_exchange(fd, NULL, bytes, peer_offer(bytes, 1, 0, "PC1", NULL), answer);
	peer_free(fd, NULL);
	return got <= 0 ? -1 : peer_type(answer) == 2 ? 0 : peer_reason(answer);
}

START_TEST(a_balancer_has_no_rate_of_its_own)
{
	struct gateway gateway;
	char client[32];
	int result = 0;

	gateway_start(&gateway, "ccissl", with_limits, "connection_rate = 1\nconnection_burst = 2\n",
	              "[listener behind]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = allow\n"
	              "proxy_from = 127.0.0.1\n");
	for (int i = 0; i < 30; i++) {
		(void)snprintf(client, sizeof(client), "192.0.2.%d", i);
		ck_assert_int_eq(visit_for(gateway.ports[2], client), 0);
	}
	for (int i = 0; i < 30 && result == 0; i++)
		result = visit_for(gateway.ports[2], "192.0.2.99");
	ck_assert_int_eq(result, 8);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1018W", "limit=connection_rate", "from=192.0.2.99:"), 1);
	gateway_stop(&gateway);
}
END_TEST

/* Send until the gateway takes no more: it reads nothing while its own sends are stuck. */
static void fill(int fd)
{
	static uint8_t bytes[65536];
	struct timeval wait = {.tv_usec = 100000};

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	while (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
		;
}

/* A busy machine may keep the gateway from reading for longer than one fill waits: again, until it says that it is full. */
static bool fill_all(const struct gateway *gateway, const struct agreed *slow, int count)
{
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < count; i++)
			fill(slow[i].fd);
		if (gateway_lines(gateway, 0, "id=CCI1018W", "limit=buffers", NULL) > 0)
			return true;
	}
	return false;
}

START_TEST(full_buffers_hold_up_only_who_does_not_read)
{
	struct agreed slow[8];
	struct gateway gateway;

	gateway_start(&gateway, "ccissl", with_limits, _i == 0 ? "buffers = 16k\n" : "buffers = 600k\n", "");
	for (int i = 0; i < 8; i++) {
		ck_assert_int_eq(try_open(gateway.ports[0], 0, "SLOW", &slow[i]), 0);
		fill(slow[i].fd);
	}
	ck_assert(fill_all(&gateway, slow, 8));
	ck_assert_int_eq(visit(gateway.ports[0], 0, "PC1"), 0);
	ck_assert_int_eq(visit(gateway.ports[0], 2, "PC1"), 0);
	for (int i = 0; i < 8; i++)
		peer_free(slow[i].fd, slow[i].ssl);
	gateway_stop(&gateway);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("limits scenarios");
	TCase *tests = tcase_create("limits");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, connections_that_come_too_fast_are_told_so);
	tcase_add_loop_test(tests, handshakes_that_come_too_fast_are_told_so, 0, 2);
	tcase_add_loop_test(tests, a_rule_admits_so_many_also_across_reloads, 0, 2);
	tcase_add_test(tests, a_rule_admits_so_many_from_one_source);
	tcase_add_test(tests, a_balancer_has_no_rate_of_its_own);
	tcase_add_loop_test(tests, full_buffers_hold_up_only_who_does_not_read, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
