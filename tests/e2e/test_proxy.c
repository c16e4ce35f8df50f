/* Scenarios of the PROXY protocol on the way in: who is believed, what is refused, what follows the header. */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define TLS_SECTION                                                                                    \
	"[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n" \
	"[notifier n]\nkind = log\n"

#define V1 "PROXY TCP4 192.0.2.9 198.51.100.2 1024 1202\r\n"
#define V2 "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\x00\x02\x09\xc6\x33\x64\x02\x04\x00\x04\xb2"
#define V2_LOCAL "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
#define BALANCER "127.0.0.2"

static const struct header {
	const char *bytes;
	size_t size;
} headers[] = {{V1, sizeof(V1) - 1}, {V2, sizeof(V2) - 1}};

/* Two listeners behind the balancer, the second one without an exchange. */
static const char behind[] = "[gateway]\nsysid = HOST1\nworkers = 1\n[log]\nlevel = debug\n"
                             "[listener l]\naddress = 127.0.0.1:0\nservice = echo\nunsecured_connections = allow\n"
                             "proxy_from = 127.0.0.2, ::1\n"
                             "[listener raw]\naddress = 127.0.0.1:0\nservice = echo\nunsecured_connections = only\n"
                             "exchange = none\nproxy_from = 127.0.0.2\n"
                             "[service echo]\naddress = builtin:echo\n"
                             "%s[timeouts]\nexchange = 600ms\n" TLS_SECTION;

static void start(struct gateway *gateway, const char *more)
{
	gateway_start(gateway, "ccissl", behind, more);
}

static bool echoes(int fd, SSL *ssl)
{
	char back[5];

	return peer_write(fd, ssl, "hello", 5) && peer_read(fd, ssl, back, 5) && memcmp(back, "hello", 5) == 0;
}

/* Nothing comes any more, be it in order or by a reset. */
static bool closes_silently(int fd)
{
	uint8_t byte;

	return recv(fd, &byte, 1, 0) <= 0;
}

/* A connection of the balancer's for this client, its OFFER in the same packet as the header. The answer's length. */
static int exchange_for(int *fd, int port, const char *client, const char *sysid, uint8_t *answer)
{
	uint8_t bytes[4096];
	int size = snprintf((char *)bytes, 108, "PROXY TCP4 %s 198.51.100.2 1024 1202\r\n", client);

	*fd = peer_connect_from(BALANCER, port);
	size += (int)peer_offer(bytes + size, 1, 0, sysid, NULL);
	ck_assert(peer_write(*fd, NULL, bytes, (size_t)size));
	return peer_receive(*fd, NULL, answer);
}

START_TEST(whoever_is_not_trusted_cannot_say_who_he_is)
{
	struct gateway gateway;
	uint8_t bytes[4096], answer[4096];
	int fd;

	start(&gateway, "[rule r]\nsource = 192.0.2.0/24\naction = refuse\n");
	fd = peer_connect_from("127.0.0.1", gateway.ports[0]);
	memcpy(bytes, headers[_i].bytes, headers[_i].size);
	ck_assert(peer_write(fd, NULL, bytes, headers[_i].size + peer_offer(bytes + headers[_i].size, 1, 0, "PC1", NULL)));
	ck_assert(closes_silently(fd));
	close(fd);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "reason=not-cci", "from=127.0.0.1:", NULL), 1);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "192.0.2.9", NULL, NULL), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 0, " via=", NULL, NULL), 0);
	/* And needs no header. */
	fd = peer_connect_from("127.0.0.1", gateway.ports[0]);
	ck_assert_int_gt(peer_exchange(fd, NULL, bytes, peer_offer(bytes, 1, 0, "PC1", NULL), answer), 0);
	ck_assert(echoes(fd, NULL));
	close(fd);
	/* On the raw listener it is data. */
	fd = peer_connect_from("127.0.0.1", gateway.ports[1]);
	ck_assert(peer_write(fd, NULL, headers[_i].bytes, headers[_i].size));
	ck_assert(peer_read(fd, NULL, bytes, headers[_i].size));
	ck_assert_mem_eq(bytes, headers[_i].bytes, headers[_i].size);
	close(fd);
	gateway_stop(&gateway);
}
END_TEST

static const struct {
	const char *bytes;
	size_t size;
	const char *reason;
} refused[] = {
    {"CCIP\x01\x01\x01\0\0\x10\0\0\0\0\x10\0", 16, "proxy-missing"},
    {"\x16\x03\x01\0\x05", 5, "proxy-missing"},
    {"GET / HTTP/1.0\r\n\r\n", 18, "proxy-missing"},
    {"PROXY TCP4 192.0.2.9 198.51.100.2 1024\r\n", 40, "proxy-header"},
    {"PROXY UDP4 ", 11, "proxy-header"},
    {"PROXY TCP4 192.0.2.9 198.51.100.2 1024 1202\n", 44, "proxy-header"},
    {"\r\n\r\n\0\r\nQUIT\n\x31", 13, "proxy-header"},
    {"\r\n\r\n\0\r\nQUIT\n\x21\x12", 14, "proxy-header"},
    {"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", 16, "proxy-header"},
    {"\r\n\r\n\0\r\nQUIT\n\x21\0\0\x07\x03\0\x04\0\0\0\0", 23, "proxy-header"},
};
#define REFUSED (sizeof(refused) / sizeof(refused[0]))

START_TEST(a_balancer_without_a_right_header_is_closed)
{
	struct gateway gateway;
	int missing = 0, malformed = 0;

	start(&gateway, "");
	for (size_t i = 0; i < 2 * REFUSED; i++) {
		int fd = peer_connect_from(BALANCER, gateway.ports[i % 2]);

		ck_assert(peer_write(fd, NULL, refused[i / 2].bytes, refused[i / 2].size));
		ck_assert_msg(closes_silently(fd), "row %zu", i / 2);
		missing += strcmp(refused[i / 2].reason, "proxy-missing") == 0;
		malformed += strcmp(refused[i / 2].reason, "proxy-header") == 0;
		close(fd);
	}
	ck_assert_int_eq(gateway_lines(&gateway, missing, "id=CCI3041I", "reason=proxy-missing", "from=127.0.0.2:"),
	                 missing);
	ck_assert_int_eq(gateway_lines(&gateway, malformed, "id=CCI3040W", "reason=proxy-header", "from=127.0.0.2:"),
	                 malformed);
	/* Strangers are counted, not told to the notifiers. */
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1017I", "from=127.0.0.2 ", "last_reason=proxy-missing"), 1);
	ck_assert_int_eq(gateway_lines(&gateway, malformed, "id=CCI2005W", "reason=proxy-header", NULL), malformed);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(a_header_that_does_not_come_in_time)
{
	struct gateway gateway;
	int fds[3];

	start(&gateway, "");
	for (int i = 0; i < 3; i++)
		fds[i] = peer_connect_from(BALANCER, gateway.ports[i % 2]);
	ck_assert(peer_write(fds[1], NULL, V1, 20));
	ck_assert(peer_write(fds[2], NULL, V2, 20));
	for (int i = 0; i < 3; i++) {
		ck_assert(closes_silently(fds[i]));
		close(fds[i]);
	}
	ck_assert_int_eq(gateway_lines(&gateway, 1, "reason=proxy-missing", "no PROXY header came in time", NULL), 1);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI3040W", "not complete in time", NULL), 2);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(split_at_every_byte_and_nothing_behind_it_is_lost)
{
	const struct header *header = &headers[_i];
	struct gateway gateway;
	uint8_t bytes[4096], answer[4096];
	size_t size;

	start(&gateway, "");
	memcpy(bytes, header->bytes, header->size);
	size = header->size + peer_offer(bytes + header->size, 1, 0, "PC1", NULL);
	for (size_t first = 1; first <= header->size + 1; first++) {
		int fd = peer_connect_from(BALANCER, gateway.ports[0]);

		ck_assert(peer_write(fd, NULL, bytes, first));
		usleep(2000);
		ck_assert(peer_write(fd, NULL, bytes + first, size - first));
		ck_assert_msg(peer_receive(fd, NULL, answer) > 0 && peer_type(answer) == 2, "split at %zu", first);
		ck_assert(echoes(fd, NULL));
		shutdown(fd, SHUT_WR);
		ck_assert(peer_ends(fd, NULL));
		close(fd);
	}
	ck_assert_int_eq(
	    gateway_lines(&gateway, (int)header->size + 1, "id=CCI3000I", "from=192.0.2.9:1024 via=127.0.0.2:", NULL),
	    (int)header->size + 1);
	gateway_stop(&gateway);
}
END_TEST

/* The first bytes of a raw client may come with the header. */
START_TEST(raw_bytes_behind_the_header_are_relayed)
{
	struct gateway gateway;
	uint8_t bytes[200], back[100];
	int fd;

	start(&gateway, "");
	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes, headers[_i].bytes, headers[_i].size);
	fd = peer_connect_from(BALANCER, gateway.ports[1]);
	ck_assert(peer_write(fd, NULL, bytes, headers[_i].size + 100));
	ck_assert(peer_read(fd, NULL, back, 100));
	ck_assert_mem_eq(back, bytes + headers[_i].size, 100);
	shutdown(fd, SHUT_WR);
	ck_assert(peer_ends(fd, NULL));
	close(fd);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3000I", "from=192.0.2.9:1024 via=127.0.0.2:", "up=100 down=100"),
	                 1);
	gateway_stop(&gateway);
}
END_TEST

/* After the header as without it: clear bytes behind the OFFER are not taken for what comes through TLS. */
START_TEST(tls_follows_the_header)
{
	struct gateway gateway;
	uint8_t bytes[4096], answer[4096];
	size_t size = headers[_i].size, offer = 0;
	SSL *ssl;
	int fd;

	start(&gateway, "");
	memcpy(bytes, headers[_i].bytes, size);
	fd = peer_connect_from(BALANCER, gateway.ports[0]);
	ck_assert(peer_write(fd, NULL, bytes, size));
	ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci/1", .ca = "build/test-certs/ca.pem"});
	ck_assert_ptr_nonnull(ssl);
	ck_assert_int_gt(peer_exchange(fd, ssl, bytes + size, peer_offer(bytes + size, 1, 4, "PC1", NULL), answer), 0);
	ck_assert(echoes(fd, ssl));
	SSL_shutdown(ssl);
	peer_free(fd, ssl);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3000I", "from=192.0.2.9:1024 via=", "tls_start=direct"), 1);

	fd = peer_connect_from(BALANCER, gateway.ports[0]);
	offer = peer_offer(bytes + size, 1, 2, "PC1", NULL);
	ck_assert(peer_write(fd, NULL, bytes, size + offer));
	ck_assert_int_gt(peer_receive(fd, NULL, answer), 0);
	ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci-upgrade/1", .ca = "build/test-certs/ca.pem"});
	ck_assert_ptr_nonnull(ssl);
	ck_assert(peer_confirm_both(ssl, bytes + size, offer, answer, (size_t)(answer[8] << 8 | answer[9])));
	ck_assert(echoes(fd, ssl));
	SSL_shutdown(ssl);
	peer_free(fd, ssl);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3000I", "from=192.0.2.9:1024 via=", "tls_start=upgrade"), 1);
	/* Notifiers are told of the client. */
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI2001I", "192.0.2.9:1024", NULL), 1);

	fd = peer_connect_from(BALANCER, gateway.ports[0]);
	memcpy(bytes + size + offer, "injected", 8);
	ck_assert(peer_write(fd, NULL, bytes, size + offer + 8));
	ck_assert_int_gt(peer_receive(fd, NULL, answer), 0);
	ck_assert_int_eq(peer_reason(answer), 10);
	close(fd);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(rules_see_the_client)
{
	struct gateway gateway;
	uint8_t bytes[4096], answer[4096];
	int fd;

	start(&gateway, "[rule lab]\nsource = 192.0.2.0/24\naction = refuse\n");
	ck_assert_int_gt(exchange_for(&fd, gateway.ports[0], "192.0.2.7", "PC1", answer), 0);
	ck_assert_int_eq(peer_reason(answer), 7);
	close(fd);
	ck_assert_int_gt(exchange_for(&fd, gateway.ports[0], "192.0.3.7", "PC1", answer), 0);
	ck_assert(peer_type(answer) == 2 && echoes(fd, NULL));
	close(fd);
	/* A health check of the balancer speaks for itself. */
	fd = peer_connect_from(BALANCER, gateway.ports[0]);
	memcpy(bytes, V2_LOCAL, sizeof(V2_LOCAL) - 1);
	ck_assert(peer_write(fd, NULL, bytes, 16 + peer_offer(bytes + 16, 1, 0, "LB", NULL)));
	ck_assert_int_gt(peer_receive(fd, NULL, answer), 0);
	ck_assert(peer_type(answer) == 2 && echoes(fd, NULL));
	shutdown(fd, SHUT_WR);
	ck_assert(peer_ends(fd, NULL));
	close(fd);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3000I", "sysid=LB", "from=127.0.0.2:"), 1);
	gateway_stop(&gateway);
}
END_TEST

/* Who scans through the balancer is counted by his own address. */
START_TEST(noise_is_counted_for_the_client)
{
	struct gateway gateway;
	uint8_t bytes[200];
	int fd;

	start(&gateway, "");
	fd = peer_connect_from(BALANCER, gateway.ports[0]);
	memcpy(bytes, headers[_i].bytes, headers[_i].size);
	memcpy(bytes + headers[_i].size, "GET / HTTP/1.0\r\n\r\n", 18);
	ck_assert(peer_write(fd, NULL, bytes, headers[_i].size + 18));
	ck_assert(closes_silently(fd));
	close(fd);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1017I", "from=192.0.2.9 ", "last_reason=not-cci"), 1);
	gateway_stop(&gateway);
}
END_TEST

/* Connections over unix sockets are a network of their own, and have no address that a service could be told. */
START_TEST(unix_sockets_are_a_network)
{
	static const char config[] =
	    "[gateway]\nsysid = HOST1\nworkers = 1\n"
	    "[listener l]\naddress = unix:%s, 127.0.0.1:0\nservice = echo\nunsecured_connections = only\nproxy_from = "
	    "unix\n"
	    "[listener raw]\naddress = unix:%s.raw\nservice = back\nunsecured_connections = only\nexchange = none\n"
	    "[rule local]\nsource = unix\naction = refuse\nsysid = LOCAL\n"
	    "[service echo]\naddress = builtin:echo\n[service back]\naddress = 127.0.0.1:%d\nsend_proxy = %s\n";
	static const char unspec[] = "\r\n\r\n\0\r\nQUIT\n\x21\0\0";
	struct gateway gateway;
	uint8_t bytes[4096], answer[4096];
	char path[64], raw[70];
	int port, listening = peer_listen(&port), fd, back;

	(void)snprintf(path, sizeof(path), "/tmp/cci-proxy-%d.sock", (int)getpid());
	(void)snprintf(raw, sizeof(raw), "%s.raw", path);
	gateway_start(&gateway, "ccissl", config, path, path, port, _i == 0 ? "v1" : "v2");
	ck_assert_int_eq(gateway_lines(&gateway, 3, "id=CCI1002I", NULL, NULL), 3);
	/* A header from there is believed; without one it is closed. */
	fd = peer_connect_unix(path);
	memcpy(bytes, headers[_i].bytes, headers[_i].size);
	ck_assert(
	    peer_write(fd, NULL, bytes, headers[_i].size + peer_offer(bytes + headers[_i].size, 1, 0, "LOCAL", NULL)));
	ck_assert_int_gt(peer_receive(fd, NULL, answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	ck_assert(echoes(fd, NULL));
	shutdown(fd, SHUT_WR);
	ck_assert(peer_ends(fd, NULL));
	close(fd);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3000I", "from=192.0.2.9:1024 via=\"unix:uid=", NULL), 1);
	fd = peer_connect_unix(path);
	ck_assert(peer_write(fd, NULL, bytes, peer_offer(bytes, 1, 0, "LOCAL", NULL)));
	ck_assert(closes_silently(fd));
	close(fd);
	/* LOCAL: it speaks for itself, and is refused by the rule. */
	fd = peer_connect_unix(path);
	memcpy(bytes, V2_LOCAL, sizeof(V2_LOCAL) - 1);
	ck_assert(peer_write(fd, NULL, bytes, 16 + peer_offer(bytes + 16, 1, 0, "LOCAL", NULL)));
	ck_assert_int_gt(peer_receive(fd, NULL, answer), 0);
	ck_assert_int_eq(peer_reason(answer), 7);
	close(fd);
	/* What a service is told of such a client. */
	fd = peer_connect_unix(raw);
	back = peer_accept(listening);
	ck_assert(peer_read(back, NULL, bytes, 15));
	ck_assert_mem_eq(bytes, _i == 0 ? "PROXY UNKNOWN\r\n" : unspec, 15);
	close(fd);
	close(back);
	close(listening);
	gateway_stop(&gateway);
	(void)unlink(path);
	(void)unlink(raw);
}
END_TEST

START_TEST(limits_count_the_client)
{
	struct gateway gateway;
	uint8_t answer[4096];
	char client[20];
	int fds[8], fd;

	start(&gateway, "[limits]\nconnections_per_source = 2\n");
	/* More than one source may have, from as many clients. */
	for (int i = 0; i < 8; i++) {
		(void)snprintf(client, sizeof(client), "192.0.2.%d", i / 2);
		ck_assert_int_gt(exchange_for(&fds[i], gateway.ports[0], client, "PC1", answer), 0);
		ck_assert_int_eq(peer_type(answer), 2);
	}
	ck_assert_int_gt(exchange_for(&fd, gateway.ports[0], "192.0.2.3", "PC1", answer), 0);
	ck_assert_int_eq(peer_reason(answer), 8);
	close(fd);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	ck_assert_int_eq(gateway_lines(&gateway, 8, "id=CCI30", "outcome=clear", NULL), 8);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "reason=busy", "from=192.0.2.3:1024", NULL), 1);
	/* The places are free again. */
	for (int i = 0; i < 2; i++) {
		ck_assert_int_gt(exchange_for(&fds[i], gateway.ports[0], "192.0.2.3", "PC1", answer), 0);
		ck_assert_int_eq(peer_type(answer), 2);
	}
	close(fds[0]);
	close(fds[1]);
	gateway_stop(&gateway);
}
END_TEST

/* The balancer may come as fast as all its clients together; one of them may not. */
START_TEST(rates_count_the_client)
{
	struct gateway gateway;
	uint8_t answer[4096];
	char client[20];
	int fds[8], refusals = 0, fd;

	start(&gateway, "[limits]\nconnection_rate = 1\nconnection_burst = 1\n");
	for (int i = 0; i < 8; i++) {
		(void)snprintf(client, sizeof(client), "192.0.2.%d", i);
		ck_assert_int_gt(exchange_for(&fds[i], gateway.ports[0], client, "PC1", answer), 0);
		ck_assert_int_eq(peer_type(answer), 2);
	}
	/* The first one again; a machine may be so slow that it has waited long enough, but not each time. */
	for (int i = 0; i < 5 && refusals == 0; i++) {
		ck_assert_int_gt(exchange_for(&fd, gateway.ports[0], "192.0.2.0", "PC1", answer), 0);
		refusals += peer_reason(answer) == 8;
		close(fd);
	}
	ck_assert_int_eq(refusals, 1);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1018W", "limit=connection_rate", "from=192.0.2.0:1024"), 1);
	gateway_stop(&gateway);
}
END_TEST

/* Far over its limit a client is not even told. */
START_TEST(a_flood_of_one_client_does_not_hurt_the_others)
{
	struct gateway gateway;
	uint8_t answer[4096];
	int fds[30], refusals = 0, closed = 0, fd;

	start(&gateway, "[limits]\nconnections_per_source = 2\n");
	for (int i = 0; i < 30; i++) {
		/* No OFFER follows: the places stay taken. */
		fds[i] = peer_connect_from(BALANCER, gateway.ports[0]);
		ck_assert(peer_write(fds[i], NULL, V1, sizeof(V1) - 1));
	}
	ck_assert_int_eq(gateway_lines(&gateway, 12, "reason=busy", "from=192.0.2.9:1024", NULL), 12);
	ck_assert_int_gt(exchange_for(&fd, gateway.ports[0], "192.0.2.10", "PC1", answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	close(fd);
	for (int i = 0; i < 30; i++) {
		int got = peer_receive(fds[i], NULL, answer);

		refusals += got > 0;
		closed += got <= 0;
		close(fds[i]);
	}
	/* 2 had a place, 16 would have been told so; all of them are late. */
	ck_assert_int_eq(refusals, 18);
	ck_assert_int_eq(closed, 12);
	gateway_stop(&gateway);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("proxy scenarios");
	TCase *tests = tcase_create("proxy");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, whoever_is_not_trusted_cannot_say_who_he_is, 0, 2);
	tcase_add_test(tests, a_balancer_without_a_right_header_is_closed);
	tcase_add_test(tests, a_header_that_does_not_come_in_time);
	tcase_add_loop_test(tests, split_at_every_byte_and_nothing_behind_it_is_lost, 0, 2);
	tcase_add_loop_test(tests, raw_bytes_behind_the_header_are_relayed, 0, 2);
	tcase_add_loop_test(tests, tls_follows_the_header, 0, 2);
	tcase_add_test(tests, rules_see_the_client);
	tcase_add_loop_test(tests, noise_is_counted_for_the_client, 0, 2);
	tcase_add_loop_test(tests, unix_sockets_are_a_network, 0, 2);
	tcase_add_test(tests, limits_count_the_client);
	tcase_add_test(tests, rates_count_the_client);
	tcase_add_test(tests, a_flood_of_one_client_does_not_hurt_the_others);
	suite_add_tcase(suite, tests);
	return suite;
}
