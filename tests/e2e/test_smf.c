/* Scenarios of kind = smf: what the real programs write, held against what the client knows of its connection. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "smfdump.h"

#define CERTS "build/test-certs/"
/* What records say of a certificate: serial, date, key. */
static const char *certificate_words(X509 *certificate, const char *who)
{
	static char text[512];
	BIGNUM *number = ASN1_INTEGER_to_BN(X509_get_serialNumber(certificate), NULL);
	char *hex = BN_bn2hex(number), date[32];
	const EVP_PKEY *key = X509_get0_pubkey(certificate);
	struct tm utc;

	ck_assert_int_eq(ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &utc), 1);
	(void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &utc);
	for (char *c = hex; *c != '\0'; c++)
		*c = (char)(*c >= 'A' && *c <= 'F' ? *c + 32 : *c);
	(void)snprintf(text, sizeof(text), "%s_serial=%s %s_not_after=%s %s_key=%s %s_bits=%d", who, hex, who, date, who,
	               EVP_PKEY_is_a(key, "EC") ? "ecc" : "rsa", who, EVP_PKEY_get_bits(key));
	OPENSSL_free(hex);
	BN_free(number);
	return text;
}

static const char *tls_words(SSL *ssl)
{
	static char text[1024];
	X509 *server = SSL_get1_peer_certificate(ssl);

	(void)snprintf(text, sizeof(text),
	               "protection=tls version=%s source=provider handshake=%s cipher=%04X encryption=0 mac=0 kex=0 fips=0 etm=0 "
	               "server_signature=0 server_digest=sha256 %s",
	               SSL_version(ssl) == TLS1_3_VERSION ? "1.3" : "1.2", SSL_session_reused(ssl) ? "abbreviated" : "full",
	               SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl)), certificate_words(server, "server"));
	X509_free(server);
	return text;
}

/* --- scenarios --- */

START_TEST(a_clear_connection)
{
	struct gateway gateway;
	struct smf_client c;
	char host[256] = "";

	gateway_start(&gateway, "ccissl", smf_config, "HOST1", "15m");
	smf_expect(&gateway, 1, "subtype=12 event=enabled job=CCISSL");
	ck_assert_int_eq(gethostname(host, sizeof(host) - 1), 0);
	host[strcspn(host, ".") < 8 ? strcspn(host, ".") : 8] = '\0';
	for (char *at = host; *at != '\0'; at++)
		*at = (char)(*at >= 'a' && *at <= 'z' ? *at - 32 : *at);
	c = smf_begin(peer_connect(gateway.ports[0]), false, NULL);
	smf_end(&c);
	smf_expect(&gateway, 1,
	       "type=119 subtype=11 sid=HOST subsystem=- event=short protection=none ipv6=0 security_flags=0 protocol=6 job=CCISSL "
	       "jobid=%d remote=127.0.0.1 remote_port=%d local=127.0.0.1 local_port=%d bytes_in=%zu bytes_out=%zu system=%s "
	       "sysplex=- stack=HOST1 component=CCISSL asname=CCISSL written=event",
	       (int)gateway.pid, c.port, gateway.ports[0], c.offer_size + 5, c.answer_size + 5, host);
	ck_assert_int_eq(smf_count("subtype=11"), 1);
	ck_assert_int_eq(smf_count("subtype=11 segments_in=0"), 0);
	smf_stop(&gateway, NULL);
	ck_assert_int_eq(smf_count("subtype=12 event=interval protection=none end_connections=1 end_short=1 end_active=0"), 1);
	ck_assert_int_eq(smf_count("subtype=12 event=disabled"), 1);
}
END_TEST

START_TEST(an_upgrade)
{
	struct gateway gateway;
	struct peer_tls tls = smf_upgrade;
	struct smf_client c;
	char common[256];

	tls.max_version = _i == 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
	gateway_start(&gateway, "ccissl", smf_config, "HOST1", "15m");
	for (int round = 0; round < 2; round++) {
		const unsigned char *id;
		unsigned size;
		char hex[65] = "";

		c = smf_begin(peer_connect(gateway.ports[0]), false, &tls);
		ck_assert_int_eq(SSL_session_reused(c.ssl), round);
		(void)snprintf(common, sizeof(common), "subtype=11 remote_port=%d local_port=%d", c.port, gateway.ports[0]);
		smf_expect(&gateway, 1, "%s event=initiation protection=none bytes_in=%zu end=-", common, c.offer_size);
		smf_expect(&gateway, 1, "%s event=change role=server end=- %s", common, tls_words(c.ssl));
		smf_expect(&gateway, 1, "%s event=change client_signature=1 client_encryption=none client_digest=none client_key=none",
		       common);
		id = SSL_SESSION_get_id(SSL_get0_session(c.ssl), &size);
		for (unsigned i = 0; i < size; i++)
			(void)snprintf(hex + 2 * i, 3, "%02x", id[i]);
		/* In TLS 1.2 both sides know it by the same id, where the server keeps one. */
		if (_i == 1 && round == 1)
			smf_expect(&gateway, 1, "%s event=change session_id=%s", common, hex);
		SSL_SESSION_free(tls.session);
		tls.session = SSL_get1_session(c.ssl);
		smf_end(&c);
		smf_expect(&gateway, 1, "%s event=termination bytes_in=%zu bytes_out=%zu role=server protection=tls", common,
		       c.offer_size + 5, c.answer_size + 5);
		ck_assert_int_eq(smf_count(common), 3);
	}
	SSL_SESSION_free(tls.session);
	smf_stop(&gateway, NULL);
}
END_TEST

START_TEST(a_direct_start_has_no_clear_initiation)
{
	struct gateway gateway;
	struct smf_client c;
	char words[2048];

	gateway_start(&gateway, "ccissl", smf_config, "HOST1", "15m");
	c = smf_begin(peer_connect(gateway.ports[0]), true, &smf_direct);
	(void)snprintf(words, sizeof(words), "%s", tls_words(c.ssl));
	smf_end(&c);
	smf_expect(&gateway, 1, "subtype=11 remote_port=%d event=short role=server bytes_in=5 bytes_out=5 %s", c.port, words);
	ck_assert_int_eq(smf_count("subtype=11"), 1);
	smf_stop(&gateway, NULL);
}
END_TEST

START_TEST(a_client_certificate)
{
	struct gateway gateway;
	struct peer_tls tls = smf_upgrade;
	struct smf_client c;
	char words[512];

	tls.certificate = CERTS "client.pem";
	tls.key = CERTS "client.key";
	gateway_start(&gateway, "ccissl", smf_config, "HOST1", "15m");
	c = smf_begin(peer_connect(gateway.ports[0]), false, &tls);
	(void)snprintf(words, sizeof(words), "%s", certificate_words(SSL_get_certificate(c.ssl), "client"));
	smf_end(&c);
	smf_expect(&gateway, 1, "subtype=11 event=termination role=server-client-auth client_digest=sha256 %s", words);
	smf_stop(&gateway, NULL);
}
END_TEST

START_TEST(refused_and_failed_ones)
{
	struct gateway gateway;
	uint8_t offer[4096], answer[4096];
	size_t size;
	int fd;

	gateway_start(&gateway, "ccissl", smf_config, "HOST1", "15m");
	fd = peer_connect(gateway.ports[2]);
	size = peer_offer(offer, 1, 0, "PC1", NULL);
	ck_assert_int_gt(peer_exchange(fd, NULL, offer, size, answer), 0);
	ck_assert_int_eq(peer_type(answer), 3);
	smf_expect(&gateway, 1, "subtype=11 event=short protection=none remote_port=%d bytes_in=%zu", smf_port(fd), size);
	close(fd);
	/* A handshake that fails had been announced. */
	fd = peer_connect(gateway.ports[0]);
	size = peer_offer(offer, 1, 2, "PC1", NULL);
	ck_assert_int_gt(peer_exchange(fd, NULL, offer, size, answer), 0);
	ck_assert(peer_write(fd, NULL, "this is no ClientHello", 22));
	smf_expect(&gateway, 1, "subtype=11 event=initiation protection=none remote_port=%d", smf_port(fd));
	smf_expect(&gateway, 1, "subtype=11 event=termination protection=none remote_port=%d", smf_port(fd));
	close(fd);
	ck_assert_int_eq(smf_count("protection=tls"), 0);
	smf_stop(&gateway, NULL);
	ck_assert_int_eq(smf_count("end_active=0"), smf_count("subtype=12"));
}
END_TEST

/* TLS it was, although nobody spoke the protocol inside. */
START_TEST(nonsense_inside_tls)
{
	struct gateway gateway;
	SSL *ssl;
	int fd;

	gateway_start(&gateway, "ccissl", smf_config, "HOST1", "15m");
	fd = peer_connect(gateway.ports[0]);
	ssl = peer_tls_client(fd, &smf_direct);
	ck_assert_ptr_nonnull(ssl);
	ck_assert(peer_write(fd, ssl, "GET / HTTP/1.1\r\n\r\n", 18));
	smf_expect(&gateway, 1, "subtype=11 event=short protection=tls remote_port=%d", smf_port(fd));
	peer_free(fd, ssl);
	smf_stop(&gateway, NULL);
	ck_assert_int_eq(smf_count("end_active=0"), smf_count("subtype=12"));
}
END_TEST

START_TEST(addresses_of_version_6)
{
	struct gateway gateway;
	struct smf_client c;
	int fd;

	gateway_start(&gateway, "ccissl", smf_config, "HOST1", "15m");
	fd = peer_connect_v6(gateway.ports[1]);
	if (fd < 0) {
		smf_stop(&gateway, NULL);
		return;
	}
	c = smf_begin(fd, false, &smf_upgrade);
	smf_end(&c);
	smf_expect(&gateway, 1, "event=termination ipv6=1 remote=::1 remote_port=%d local=::1 local_port=%d", c.port,
	       gateway.ports[1]);
	smf_stop(&gateway, NULL);
	ck_assert_int_ge(smf_count("event=interval ipv6=1 server=::1 client=::1 local=server protection=tls end_partial=1"), 1);
}
END_TEST

static const char at_a_path[] = "[gateway]\nsysid = HOST1\nworkers = 1\n"
                                "[listener l]\naddress = 127.0.0.1:0, unix:/tmp/cci-smf-%d\nservice = s\n"
                                "unsecured_connections = allow\n"
                                "[service s]\naddress = builtin:echo\n" SMF_TLS_SECTION SMF_SECTION;

START_TEST(a_unix_socket_has_no_addresses)
{
	struct gateway gateway;
	struct smf_client c;
	char path[64];

	(void)snprintf(path, sizeof(path), "/tmp/cci-smf-%d", (int)getpid());
	gateway_start(&gateway, "ccissl", at_a_path, (int)getpid(), "15m");
	c = smf_begin(peer_connect_unix(path), false, &smf_upgrade);
	smf_end(&c);
	smf_expect(&gateway, 1, "event=termination protocol=0 ipv6=0 remote=0.0.0.0 remote_port=0 local=0.0.0.0 local_port=0");
	smf_stop(&gateway, NULL);
}
END_TEST

/* The longest CCI name, of everything that is allowed; and the summaries add up with what was sent. */
static uint64_t gain(const char *key)
{
	char start[64], finish[64];

	(void)snprintf(start, sizeof(start), "start_%s", key);
	(void)snprintf(finish, sizeof(finish), "end_%s", key);
	return smf_sum("event=interval", finish) - smf_sum("event=interval", start);
}

/* Each second has one more. */
static void wait_for(const struct gateway *gateway, const char *words)
{
	for (int i = 0; i < 200; i++) {
		if (smf_dump(gateway, "records", smf_records, sizeof(smf_records)) == 0 && smf_count(words) > 0)
			return;
		usleep(50000);
	}
	ck_abort_msg("no record with %s:\n%s", words, smf_records);
}

START_TEST(summaries_add_up)
{
	static const char name[] = "@#$._-AZaz0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR";
	struct gateway gateway;
	struct smf_client c[6];
	uint64_t ends;

	gateway_start(&gateway, "ccissl", smf_config, name, "1s");
	for (int i = 0; i < 6; i++)
		c[i] = smf_begin(peer_connect(gateway.ports[0]), i >= 4, i < 2 ? NULL : i < 4 ? &smf_upgrade : &smf_direct);
	/* Some end in another interval than they began in. */
	wait_for(&gateway, "event=interval protection=none end_active=2 end_connections=4 end_partial=2");
	for (int i = 0; i < 6; i++)
		smf_end(&c[i]);
	smf_expect(&gateway, 2, "event=termination");
	smf_expect(&gateway, 4, "event=short");
	smf_stop(&gateway, NULL);
	ck_assert_int_eq(smf_count("sid=@#$. stack=@#$._-AZ"), smf_count(""));
	ends = smf_sum("event=termination", "bytes_in") + smf_sum("event=short", "bytes_in");
	ck_assert_uint_eq(ends, 2 * (c[0].offer_size + c[2].offer_size) + 30);
	ck_assert_uint_eq(gain("bytes_in"), ends);
	ck_assert_uint_eq(gain("bytes_out"), smf_sum("event=termination", "bytes_out") + smf_sum("event=short", "bytes_out"));
	ck_assert_uint_eq(gain("segments_in"), smf_sum("event=termination", "segments_in") + smf_sum("event=short", "segments_in"));
	/* The upgraded ones were part of two sessions each. */
	ck_assert_uint_eq(gain("connections"), 8);
	ck_assert_uint_eq(gain("partial"), 4);
	ck_assert_uint_eq(gain("short"), 4);
	ck_assert_int_eq(smf_count("event=interval end_active=0 written=interval-last"), 1);
}
END_TEST

static const char passing[] = "[gateway]\nsysid = GW1\nworkers = 1\n"
                              "[listener raw]\naddress = 127.0.0.1:0\ntarget = HOST1\nexchange = none\n"
                              "unsecured_connections = only\n"
                              "[peer HOST1]\naddress = 127.0.0.1:%d\nsecurity = on\nserver_name = host1.example\n"
                              "retry = 1h\n" SMF_TLS_SECTION SMF_SECTION;

/* One id, two descriptors. */
START_TEST(both_legs)
{
	struct gateway host, gw;
	char back[5], id[16];
	const char *at;
	int fd;

	gateway_start(&host, "ccissl", smf_config, "HOST1", "15m");
	gateway_start(&gw, "ccisslgw", passing, host.ports[2], "15m");
	fd = peer_connect(gw.ports[0]);
	ck_assert(peer_write(fd, NULL, "hello", 5) && peer_read(fd, NULL, back, 5));
	close(fd);
	smf_expect(&gw, 1, "event=short protection=none local_port=%d bytes_in=5 bytes_out=5 job=CCISSLGW", gw.ports[0]);
	smf_expect(&gw, 1, "event=termination protection=tls role=client remote_port=%d server_digest=sha256", host.ports[2]);
	smf_expect(&gw, 1, "event=change client_signature=1 client_encryption=none client_digest=none client_key=none");
	at = strstr(smf_records, " connection=");
	ck_assert_ptr_nonnull(at);
	(void)snprintf(id, sizeof(id), "%.8s", at + 12);
	smf_expect(&gw, 4, "subtype=11 connection=%s", id);
	smf_stop(&gw, NULL);
	ck_assert_int_eq(smf_count("event=interval local=client protection=tls"), 1);
	ck_assert_int_eq(smf_count("event=interval local=server protection=none"), 1);
	smf_stop(&host, NULL);
}
END_TEST

/* A peer that cannot be reached is no connection. */
START_TEST(a_peer_that_is_not_there)
{
	struct gateway gw;
	int fd, port, listening = peer_listen(&port);
	char byte;

	close(listening);
	gateway_start(&gw, "ccisslgw", passing, port, "15m");
	fd = peer_connect(gw.ports[0]);
	ck_assert_int_le(recv(fd, &byte, 1, 0), 0);
	close(fd);
	smf_expect(&gw, 1, "subtype=11");
	smf_stop(&gw, NULL);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("smf scenarios");
	TCase *tests = tcase_create("smf");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_clear_connection);
	tcase_add_loop_test(tests, an_upgrade, 0, 2);
	tcase_add_test(tests, a_direct_start_has_no_clear_initiation);
	tcase_add_test(tests, a_client_certificate);
	tcase_add_test(tests, refused_and_failed_ones);
	tcase_add_test(tests, nonsense_inside_tls);
	tcase_add_test(tests, addresses_of_version_6);
	tcase_add_test(tests, a_unix_socket_has_no_addresses);
	tcase_add_test(tests, summaries_add_up);
	tcase_add_test(tests, both_legs);
	tcase_add_test(tests, a_peer_that_is_not_there);
	suite_add_tcase(suite, tests);
	return suite;
}
