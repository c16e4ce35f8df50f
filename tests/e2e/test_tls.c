/* Scenarios of TLS: direct starts, ALPN, certificates, resumption, truncation; and the connecting side against bad peers. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define CERTS "build/test-certs/"

static const char two_listeners[] =
    "[gateway]\nsysid = HOST1\nworkers = 1\n"
    "[listener a]\naddress = 127.0.0.1:0\nservice = echo\n%s"
    "[listener b]\naddress = 127.0.0.1:0\nservice = echo\nclient_auth = require\n"
    "[service echo]\naddress = builtin:echo\n"
    "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"
    "[timeouts]\nexchange = 1s\nhandshake = 1s\nconfirm = 1s\n[notifier n]\nkind = log\n";

static void echo_works(int fd, SSL *ssl)
{
	uint8_t bytes[9000], back[9000];

	memset(bytes, 0x5a, sizeof(bytes));
	ck_assert(peer_write(fd, ssl, bytes, sizeof(bytes)));
	ck_assert(peer_read(fd, ssl, back, sizeof(back)));
	ck_assert_mem_eq(bytes, back, sizeof(bytes));
}

static const struct direct_case {
	const char *alpn;
	int max_version;
	bool works;
} directs[] = {
    {"cci/1", 0, true},         {"cci/1", TLS1_2_VERSION, true}, {"cci-upgrade/1", 0, false},
    {"http/1.1", 0, false},     {NULL, 0, false},                {NULL, TLS1_2_VERSION, false},
};

START_TEST(direct_starts_need_their_own_alpn)
{
	struct gateway gateway;
	struct peer_tls tls = {.alpn = directs[_i].alpn, .ca = CERTS "ca.pem", .max_version = directs[_i].max_version};
	SSL *ssl;
	int fd;

	gateway_start(&gateway, "ccissl", two_listeners, "");
	fd = peer_connect(gateway.ports[0]);
	ssl = peer_open_direct(fd, &tls);
	ck_assert_int_eq(ssl != NULL, directs[_i].works);
	if (ssl != NULL)
		echo_works(fd, ssl);
	else
		ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3020W", NULL, NULL), 1);
	peer_free(fd, ssl);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(direct_is_refused_where_not_permitted)
{
	struct gateway gateway;
	int fd;

	gateway_start(&gateway, "ccissl", two_listeners, "direct = no\n");
	fd = peer_connect(gateway.ports[0]);
	ck_assert_ptr_null(peer_open_direct(fd, &(struct peer_tls){.alpn = "cci/1"}));
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3017W", NULL, NULL), 1);
	peer_free(fd, NULL);
	gateway_stop(&gateway);
}
END_TEST

static const struct upgrade_case {
	const char *alpn;
	bool works, confirms;
} upgrades[] = {{"cci-upgrade/1", true, true}, {NULL, true, false}, {"cci/1", false, false}, {"h2", false, false}};

START_TEST(upgrades_take_only_their_own_alpn)
{
	struct gateway gateway;
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, 2, "PC1", NULL);
	SSL *ssl;
	int fd, got;

	gateway_start(&gateway, "ccissl", two_listeners, "");
	fd = peer_connect(gateway.ports[0]);
	got = peer_exchange(fd, NULL, offer, size, answer);
	ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = upgrades[_i].alpn, .ca = CERTS "ca.pem"});
	ck_assert_int_eq(ssl != NULL, upgrades[_i].works);
	if (upgrades[_i].confirms)
		ck_assert(peer_confirm_both(ssl, offer, size, answer, (size_t)got));
	if (ssl != NULL)
		echo_works(fd, ssl);
	peer_free(fd, ssl);
	gateway_stop(&gateway);
}
END_TEST

static const struct auth_case {
	const char *name;
	bool works;
	const char *id;
} auths[] = {{"client", true, NULL}, {NULL, false, "id=CCI3021W"}, {"other-client", false, "id=CCI3022W"}};

START_TEST(client_certificates_are_checked)
{
	struct gateway gateway;
	char certificate[64], key[64];
	struct peer_tls tls = {.alpn = "cci/1", .ca = CERTS "ca.pem"};
	SSL *ssl;
	int fd;

	if (auths[_i].name != NULL) {
		(void)snprintf(certificate, sizeof(certificate), CERTS "%s.pem", auths[_i].name);
		(void)snprintf(key, sizeof(key), CERTS "%s.key", auths[_i].name);
		tls.certificate = certificate;
		tls.key = key;
	}
	gateway_start(&gateway, "ccissl", two_listeners, "");
	fd = peer_connect(gateway.ports[1]);
	ssl = peer_open_direct(fd, &tls);
	ck_assert_int_eq(ssl != NULL, auths[_i].works);
	if (ssl != NULL)
		echo_works(fd, ssl);
	else
		ck_assert_int_eq(gateway_lines(&gateway, 1, auths[_i].id, "up=0", NULL), 1);
	peer_free(fd, ssl);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(sessions_resume_only_under_the_policy_that_made_them)
{
	struct gateway gateway;
	struct peer_tls tls = {.alpn = "cci/1", .ca = CERTS "ca.pem", .max_version = _i == 0 ? 0 : TLS1_2_VERSION};
	SSL *ssl;
	int fd;

	gateway_start(&gateway, "ccissl", two_listeners, "");
	fd = peer_connect(gateway.ports[0]);
	ssl = peer_open_direct(fd, &tls);
	ck_assert_ptr_nonnull(ssl);
	echo_works(fd, ssl);
	tls.session = SSL_get1_session(ssl);
	SSL_shutdown(ssl);
	peer_free(fd, ssl);
	fd = peer_connect(gateway.ports[0]);
	ssl = peer_open_direct(fd, &tls);
	ck_assert_ptr_nonnull(ssl);
	ck_assert_int_eq(SSL_session_reused(ssl), 1);
	SSL_shutdown(ssl);
	peer_free(fd, ssl);
	/* The other listener wants a certificate: the session from the first must not stand for one. */
	fd = peer_connect(gateway.ports[1]);
	ck_assert_ptr_null(peer_open_direct(fd, &tls));
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3021W", NULL, NULL), 1);
	peer_free(fd, NULL);
	SSL_SESSION_free(tls.session);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(a_cut_stream_is_recorded_as_truncated)
{
	struct gateway gateway;
	SSL *ssl;
	int fd;

	gateway_start(&gateway, "ccissl", two_listeners, "");
	fd = peer_connect(gateway.ports[0]);
	ssl = peer_open_direct(fd, &(struct peer_tls){.alpn = "cci/1"});
	ck_assert_ptr_nonnull(ssl);
	echo_works(fd, ssl);
	shutdown(fd, SHUT_WR);
	ck_assert(!peer_ends(fd, ssl));
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3033W", "truncated=yes", "up=9000"), 1);
	peer_free(fd, ssl);
	gateway_stop(&gateway);
}
END_TEST

/* The service gets no end in order where the client has not ended in order. */
START_TEST(a_cut_stream_is_no_end_for_the_service)
{
	struct gateway gateway;
	int port, listening = peer_listen(&port), fd, service;
	uint8_t byte;
	SSL *ssl;

	gateway_start(&gateway, "ccissl",
	              "[gateway]\nsysid = HOST1\nworkers = 1\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n[service s]\n"
	              "address = 127.0.0.1:%d\n[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\n",
	              port);
	fd = peer_connect(gateway.ports[0]);
	ssl = peer_open_direct(fd, &(struct peer_tls){.alpn = "cci/1"});
	ck_assert_ptr_nonnull(ssl);
	service = peer_accept(listening);
	ck_assert(peer_write(fd, ssl, "x", 1) && peer_read(service, NULL, &byte, 1));
	shutdown(fd, SHUT_WR);
	ck_assert_int_eq((int)recv(service, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(service);
	close(listening);
	peer_free(fd, ssl);
	gateway_stop(&gateway);
}
END_TEST

/* --- the connecting side --- */

static const char to_peer[] = "[gateway]\nsysid = GW1\nworkers = 1\n"
                              "[listener raw]\naddress = 127.0.0.1:0\ntarget = HOST1\nexchange = none\n"
                              "unsecured_connections = only\n"
                              "[peer HOST1]\naddress = 127.0.0.1:%d\nsecurity = %s\nserver_name = host1.example\n"
                              "[tls]\nca = @CERTS@/ca.pem\n"
                              "[timeouts]\nexchange = 700ms\nhandshake = 700ms\nconfirm = 700ms\nconnect = 700ms\n";

static const uint8_t accept_tls[] = {0x43, 0x43, 0x49, 0x50, 1, 2, 1, 0, 0, 0x1e, 0, 0, 0, 0, 0x10, 0,
                                     0,    1,    0,    1,    1, 0, 2, 0, 5, 'H',  'O', 'S', 'T', '1'};

/* A peer that answers badly: what it sends, and the record that must follow. Never may a byte of the client come. */
static const struct evil {
	const char *name, *certificate, *alpn, *id;
	int answer; /* security of its ACCEPT; -1: nothing; -2: rubbish; -3: closes; -4: half an answer */
	bool injects;
} evils[] = {
    {"strips to clear", NULL, NULL, "id=CCI3031E", 0, false},
    {"says inside", NULL, NULL, "id=CCI3031E", 2, false},
    {"is silent", NULL, NULL, "id=CCI3011W", -1, false},
    {"speaks rubbish", NULL, NULL, "id=CCI3031E", -2, false},
    {"closes early", NULL, NULL, "id=CCI3016I", -3, false},
    {"stops in the answer", NULL, NULL, "id=CCI3011W", -4, false},
    {"injects after the answer", "server", "cci-upgrade/1", "id=CCI3019W", 1, true},
    {"has another CA", "other-server", "cci-upgrade/1", "id=CCI3022W", 1, false},
    {"has another name", "wrong-name", "cci-upgrade/1", "id=CCI3023W", 1, false},
    {"has expired", "expired", "cci-upgrade/1", "id=CCI3022W", 1, false},
    {"speaks another protocol", "server", "cci/1", "id=CCI30", 1, false},
    {"does not confirm", "server", "cci-upgrade/1", "id=CCI3024W", 1, false},
};

static void answer_badly(int fd, const struct evil *evil)
{
	uint8_t offer[4096], answer[64];
	char certificate[64], key[64];
	SSL *ssl;

	ck_assert_int_gt(peer_receive(fd, NULL, offer), 0);
	memcpy(answer, accept_tls, sizeof(accept_tls));
	answer[20] = (uint8_t)evil->answer;
	if (evil->answer >= 0 || evil->answer == -4)
		ck_assert(peer_write(fd, NULL, answer, evil->answer == -4 ? 20 : sizeof(accept_tls)));
	if (evil->answer == -2)
		ck_assert(peer_write(fd, NULL, "220 ready\r\n0123456789", 21));
	if (evil->answer == -3)
		shutdown(fd, SHUT_RDWR);
	if (evil->injects)
		(void)peer_write(fd, NULL, "injected clear text", 19);
	if (evil->certificate == NULL)
		return;
	(void)snprintf(certificate, sizeof(certificate), CERTS "%s.pem", evil->certificate);
	(void)snprintf(key, sizeof(key), CERTS "%s.key", evil->certificate);
	ssl = peer_tls_server(fd, certificate, key, evil->alpn);
	if (ssl != NULL) {
		/* Whatever comes first is at most its CONFIRM: never the client's bytes. */
		int got = SSL_read(ssl, offer, sizeof(offer));

		ck_assert(got <= 0 || (got == 52 && memcmp(offer, "\x43\x43\x49\x50\x01\x04", 6) == 0));
		usleep(900000);
	}
	SSL_free(ssl);
}

START_TEST(a_bad_peer_gets_nothing)
{
	const struct evil *evil = &evils[_i];
	struct gateway gateway;
	int port, listening = peer_listen(&port), client, fd;
	uint8_t byte;

	gateway_start(&gateway, "ccisslgw", to_peer, port, "required");
	client = peer_connect(gateway.ports[0]);
	ck_assert(peer_write(client, NULL, "secret", 6));
	fd = peer_accept(listening);
	ck_assert_int_ge(fd, 0);
	answer_badly(fd, evil);
	/* The client sees a broken connection, and nothing of what the peer sent in the clear. */
	ck_assert_int_le((int)recv(client, &byte, 1, 0), 0);
	ck_assert_msg(gateway_lines(&gateway, 1, evil->id, "at=back", NULL) == 1, "%s: no record %s", evil->name, evil->id);
	close(fd);
	close(client);
	close(listening);
	gateway_stop(&gateway);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("tls scenarios");
	TCase *tests = tcase_create("tls");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, direct_starts_need_their_own_alpn, 0, sizeof(directs) / sizeof(directs[0]));
	tcase_add_test(tests, direct_is_refused_where_not_permitted);
	tcase_add_loop_test(tests, upgrades_take_only_their_own_alpn, 0, 4);
	tcase_add_loop_test(tests, client_certificates_are_checked, 0, 3);
	tcase_add_loop_test(tests, sessions_resume_only_under_the_policy_that_made_them, 0, 2);
	tcase_add_test(tests, a_cut_stream_is_recorded_as_truncated);
	tcase_add_test(tests, a_cut_stream_is_no_end_for_the_service);
	tcase_add_loop_test(tests, a_bad_peer_gets_nothing, 0, sizeof(evils) / sizeof(evils[0]));
	suite_add_tcase(suite, tests);
	return suite;
}
