/* Scenarios of certificates: which is shown, who is revoked, what is stapled, what changes while it runs. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "certfiles.h"
#include "gateway.h"
#include "peer.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* --- which one is shown --- */

static const char several[] = HEAD LISTENER("all") "certificates = first, second, rsa, wild\n"
                              LISTENER("some") "certificates = second, wild\n"
                              LISTENER("overlap") "certificates = first, both\n"
                              "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"
                              "[certificate first]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\n"
                              "[certificate both]\ncertificate = @CERTS@/both.pem\nprivate_key = @CERTS@/both.key\n"
                              "[certificate second]\ncertificate = @CERTS@/second.pem\nprivate_key = @CERTS@/second.key\n"
                              "[certificate rsa]\ncertificate = @CERTS@/rsa.pem\nprivate_key = @CERTS@/rsa.key\n"
                              "[certificate wild]\ncertificate = @CERTS@/wild.pem\nprivate_key = @CERTS@/wild.key\n";

#define RSA_ONLY "RSA-PSS+SHA256:RSA+SHA256"

static const struct choice_case {
	int listener;
	const char *server_name, *sigalgs, *shown;
} choices[] = {
    {0, NULL, NULL, "server"},
    {0, "host1.example", NULL, "server"},
    {0, "HOST1.Example", NULL, "server"},
    {0, "second.example", NULL, "second"},
    {0, "office.wild.example", NULL, "wild"},
    {0, "a.office.wild.example", NULL, "server"},
    {0, "wild.example", NULL, "server"},
    {0, "elsewhere.example", NULL, "server"},
    {0, NULL, RSA_ONLY, "rsa"},
    {0, "host1.example", RSA_ONLY, "rsa"},
    {0, "second.example", RSA_ONLY, NULL},
    {2, "localhost", RSA_ONLY, NULL},
    {2, "host1.example", RSA_ONLY, "both"},
    {2, "third.example", NULL, "both"},
    {2, NULL, RSA_ONLY, "both"},
    {2, NULL, NULL, "server"},
    {1, NULL, NULL, "second"},
    {1, "host1.example", NULL, "second"},
    {1, "x.wild.example", NULL, "wild"},
    {1, NULL, RSA_ONLY, NULL},
};

START_TEST(a_certificate_is_chosen_by_name_and_type_of_key)
{
	struct gateway gateway;

	gateway_start(&gateway, "ccissl", several);
	for (int i = 0; i < COUNT(choices); i++)
		for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
			certfiles_check_shown(gateway.ports[choices[i].listener],
			            &(struct peer_tls){.ca = CERTS "ca.pem",
			                               .max_version = version,
			                               .server_name = choices[i].server_name,
			                               .sigalgs = choices[i].sigalgs},
			            choices[i].shown);
	ck_assert_int_eq(gateway_lines(&gateway, 6, "id=CCI1012I", "serial=", "days_left="), 6);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(an_encrypted_key_opens_with_its_passphrase)
{
	struct gateway gateway;

	gateway_start(&gateway, "ccissl",
	              HEAD LISTENER("l") "[certificate e]\ncertificate = @CERTS@/encrypted.pem\n"
	                                 "private_key = @CERTS@/encrypted.key\npassphrase_file = @CERTS@/encrypted.pass\n");
	certfiles_check_shown(gateway.ports[0], &(struct peer_tls){.ca = CERTS "ca.pem"}, "encrypted");
	gateway_stop(&gateway);
}
END_TEST

/* --- --check finds the line --- */

static const struct bad_case {
	const char *config, *place, *words;
} bads[] = {
    {PLAIN_TLS "[certificate e]\ncertificate = @CERTS@/encrypted.pem\nprivate_key = @CERTS@/encrypted.key\n", ":15: ",
     "has a passphrase: name its file in passphrase_file"},
    {PLAIN_TLS "[certificate e]\ncertificate = @CERTS@/encrypted.pem\nprivate_key = @CERTS@/encrypted.key\n"
             "passphrase_file = @CERTS@/wrong.pass\n",
     ":16: ", "does not open with the passphrase"},
    {PLAIN_TLS "[certificate e]\ncertificate = @CERTS@/second.pem\nprivate_key = @CERTS@/wild.key\n", ":15: ",
     "does not belong to"},
    {PLAIN_TLS "ocsp_response = @CERTS@/second.ocsp\n", ":13: ", "not about this certificate"},
    {PLAIN_TLS "ocsp_response = @CERTS@/second.pem\n", ":13: ", "not an OCSP response"},
    {PLAIN_TLS "[certificate r]\ncertificate = @CERTS@/revoked.pem\nprivate_key = @CERTS@/revoked.key\n"
             "ocsp_response = @CERTS@/revoked.ocsp\n",
     ":16: ", "revoked"},
    {PLAIN_TLS "crl = @CERTS@/server.pem\n", ":13: ", "no PEM revocation list"},
    {PLAIN_TLS "crl = @CERTS@/nothing.pem\n", ":13: ", "cannot be opened"},
    {PLAIN_TLS "ticket_keys = @CERTS@/server.pem\n", ":13: ", "line 1 is no key"},
    {PLAIN_TLS "sigalgs = NONSENSE\n", ":13: ", "sigalgs = NONSENSE"},
    {PLAIN_TLS "ciphersuites = NONSENSE\n", ":13: ", "ciphersuites = NONSENSE"},
    {PLAIN_TLS "sigalgs = RSA-PSS+SHA256\n", ":10: ", "a handshake with it fails"},
    {PLAIN_TLS "insecure_key_log = /nowhere/secrets\n", ":13: ", "cannot be written"},
};

START_TEST(check_names_the_line)
{
	const struct bad_case *bad = &bads[_i];
	char config[128], command[512], text[4096], certs[4096];
	const char *at = bad->config;
	FILE *stream = fopen(certfiles_path("part"), "w");
	int status;

	ck_assert_ptr_nonnull(realpath("build/test-certs", certs));
	(void)snprintf(config, sizeof(config), "%s", certfiles_path("part"));
	(void)fputs(HEAD LISTENER("l"), stream);
	for (const char *next; (next = strstr(at, "@CERTS@")) != NULL; at = next + 7)
		(void)fprintf(stream, "%.*s%s", (int)(next - at), at, certs);
	(void)fputs(at, stream);
	(void)fclose(stream);
	(void)snprintf(command, sizeof(command), "%s/ccissl -c %s --check 2>&1", gateway_build(), config);
	stream = popen(command, "r");
	ck_assert_ptr_nonnull(stream);
	text[fread(text, 1, sizeof(text) - 1, stream)] = '\0';
	status = pclose(stream);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 1, "%d: %s", _i, text);
	ck_assert_msg(strstr(text, bad->place) != NULL && strstr(text, bad->words) != NULL, "%d: %s", _i, text);
}
END_TEST

/* --- revocation --- */

static const char revoking[] = HEAD LISTENER("l") "client_auth = require\n"
                               "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\n"
                               "ca = @CERTS@/ca.pem\ncrl = %s\ncrl_check = %s\n";

START_TEST(who_is_revoked_is_refused_also_with_a_session)
{
	struct gateway gateway;
	struct peer_tls revoked = {.ca = CERTS "ca.pem",
	                           .certificate = CERTS "revoked.pem",
	                           .key = CERTS "revoked.key",
	                           .max_version = _i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION};
	struct peer_tls good = {.ca = CERTS "ca.pem", .certificate = CERTS "client.pem", .key = CERTS "client.key"};
	SSL *ssl;
	int fd;

	certfiles_put("crl.pem", "crl.pem");
	gateway_start(&gateway, "ccissl", revoking, certfiles_path("crl.pem"), _i == 0 ? "leaf" : "chain");
	fd = peer_connect(gateway.ports[0]);
	ssl = certfiles_direct(fd, &revoked);
	ck_assert_ptr_nonnull(ssl);
	revoked.session = SSL_get1_session(ssl);
	(void)SSL_shutdown(ssl);
	peer_free(fd, ssl);
	/* The session is good until the list says otherwise. */
	fd = peer_connect(gateway.ports[0]);
	ssl = certfiles_direct(fd, &revoked);
	ck_assert_ptr_nonnull(ssl);
	ck_assert_int_eq(SSL_session_reused(ssl), 1);
	(void)SSL_shutdown(ssl);
	peer_free(fd, ssl);
	certfiles_put("crl-revoked.pem", "crl.pem");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1051I", NULL, NULL), 1);
	certfiles_check_shown(gateway.ports[0], &revoked, NULL);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3022W", "revoked", NULL), 1);
	SSL_SESSION_free(revoked.session);
	revoked.session = NULL;
	certfiles_check_shown(gateway.ports[0], &revoked, NULL);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI3022W", "revoked", NULL), 2);
	certfiles_check_shown(gateway.ports[0], &good, "server");
	gateway_stop(&gateway);
}
END_TEST

START_TEST(an_expired_list_refuses_everybody)
{
	struct gateway gateway;

	certfiles_put("crl-expired.pem", "crl.pem");
	gateway_start(&gateway, "ccissl", revoking, certfiles_path("crl.pem"), "leaf");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1054E", "crl", NULL), 1);
	certfiles_check_shown(
	    gateway.ports[0],
	    &(struct peer_tls){.ca = CERTS "ca.pem", .certificate = CERTS "client.pem", .key = CERTS "client.key"}, NULL);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3022W", "CRL has expired", NULL), 1);
	gateway_stop(&gateway);
}
END_TEST

/* A list that expires while it is in use: what was shown before is no way past it. */
START_TEST(a_session_ends_with_the_list_it_was_checked_by)
{
	struct gateway gateway;
	struct peer_tls good = {.ca = CERTS "ca.pem",
	                        .certificate = CERTS "client.pem",
	                        .key = CERTS "client.key",
	                        .max_version = _i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION};
	char command[512];
	SSL *ssl;
	int fd, resumed = 1;

	(void)snprintf(command, sizeof(command),
	               "cd " CERTS " && openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key -gencrl -crlsec 5 -out %s 2>&1",
	               certfiles_path("crl.pem"));
	ck_assert_int_eq(system(command), 0);
	gateway_start(&gateway, "ccissl", revoking, certfiles_path("crl.pem"), "leaf");
	fd = peer_connect(gateway.ports[0]);
	ssl = certfiles_direct(fd, &good);
	ck_assert_ptr_nonnull(ssl);
	good.session = SSL_get1_session(ssl);
	(void)SSL_shutdown(ssl);
	peer_free(fd, ssl);
	for (int i = 0; i < 100 && resumed; i++) {
		fd = peer_connect(gateway.ports[0]);
		ssl = certfiles_direct(fd, &good);
		resumed = ssl != NULL && SSL_session_reused(ssl);
		ck_assert(ssl == NULL || resumed);
		if (ssl != NULL)
			(void)SSL_shutdown(ssl);
		peer_free(fd, ssl);
		usleep(100000);
	}
	ck_assert_int_eq(resumed, 0);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI3022W", "CRL has expired", NULL), 1);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI3000I", "tls_resumed=yes", NULL), 1);
	SSL_SESSION_free(good.session);
	gateway_stop(&gateway);
}
END_TEST

/* The connecting side, with lists of its own. */
START_TEST(a_revoked_peer_gets_nothing)
{
	struct gateway far, near;
	uint8_t byte = 'x';
	int fd;

	gateway_start(&far, "ccissl",
	              HEAD LISTENER("l") "[tls]\ncertificate = @CERTS@/revoked-server.pem\n"
	                                 "private_key = @CERTS@/revoked-server.key\n");
	gateway_start(&near, "ccisslgw",
	              "[gateway]\nsysid = GW1\nworkers = 1\n"
	              "[listener raw]\naddress = 127.0.0.1:0\ntarget = HOST1\nexchange = none\n"
	              "unsecured_connections = only\n"
	              "[peer HOST1]\naddress = 127.0.0.1:%d\nserver_name = host1.example\n%s"
	              "[tls]\nca = @CERTS@/ca.pem\ncrl = @CERTS@/crl.pem\n",
	              far.ports[0], _i == 0 ? "" : "crl = @CERTS@/crl-revoked.pem\n");
	fd = peer_connect(near.ports[0]);
	/* Where the peer is refused, the end may come before the byte. */
	ck_assert(peer_write(fd, NULL, &byte, 1) || _i == 1);
	ck_assert_int_eq(peer_read(fd, NULL, &byte, 1), _i == 0);
	if (_i == 1)
		ck_assert_int_eq(gateway_lines(&near, 1, "id=CCI3022W", "revoked", NULL), 1);
	peer_free(fd, NULL);
	gateway_stop(&near);
	gateway_stop(&far);
}
END_TEST

/* --- stapling --- */

static void check_stapled(int port, const char *server_name, bool status, const char *file)
{
	struct peer_tls tls = {.ca = CERTS "ca.pem", .server_name = server_name, .status = status};
	const unsigned char *response = NULL;
	char wanted[8192];
	size_t size;
	int fd = peer_connect(port);
	SSL *ssl = certfiles_direct(fd, &tls);

	ck_assert_ptr_nonnull(ssl);
	if (file == NULL) {
		ck_assert_int_le(SSL_get_tlsext_status_ocsp_resp(ssl, &response), 0);
	} else {
		size = certfiles_read(file, wanted, sizeof(wanted));
		ck_assert_int_eq(SSL_get_tlsext_status_ocsp_resp(ssl, &response), (int)size);
		ck_assert_mem_eq(response, wanted, size);
	}
	peer_free(fd, ssl);
}

START_TEST(a_response_is_stapled_to_its_own_certificate)
{
	struct gateway gateway;

	gateway_start(&gateway, "ccissl",
	              HEAD LISTENER("l") "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\n"
	                                 "ocsp_response = @CERTS@/server.ocsp\n"
	                                 "[certificate second]\ncertificate = @CERTS@/second.pem\n"
	                                 "private_key = @CERTS@/second.key\nocsp_response = @CERTS@/second.ocsp\n"
	                                 "[certificate wild]\ncertificate = @CERTS@/wild.pem\nprivate_key = @CERTS@/wild.key\n");
	check_stapled(gateway.ports[0], NULL, true, CERTS "server.ocsp");
	check_stapled(gateway.ports[0], "second.example", true, CERTS "second.ocsp");
	check_stapled(gateway.ports[0], "a.wild.example", true, NULL);
	check_stapled(gateway.ports[0], NULL, false, NULL);
	gateway_stop(&gateway);
}
END_TEST

/* --- changes --- */

static void start_changing(struct gateway *gateway)
{
	certfiles_put("server.pem", "server.pem");
	certfiles_put("server.key", "server.key");
	gateway_start(gateway, "ccissl", CHANGING, certfiles_path("server.pem"), certfiles_path("server.key"));
	certfiles_check_shown(gateway->ports[0], &(struct peer_tls){.ca = CERTS "ca.pem"}, "server");
}

START_TEST(a_renewed_certificate_is_noticed_without_a_signal)
{
	struct gateway gateway;
	uint8_t byte = 'x';
	SSL *ssl;
	int fd;

	start_changing(&gateway);
	fd = peer_connect(gateway.ports[0]);
	ssl = certfiles_direct(fd, &(struct peer_tls){.ca = CERTS "ca.pem"});
	ck_assert_ptr_nonnull(ssl);
	certfiles_put("soon.key", "server.key");
	certfiles_put("soon.pem", "server.pem");
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1051I", NULL, NULL), 1);
	certfiles_check_shown(gateway.ports[0], &(struct peer_tls){.ca = CERTS "ca.pem"}, "soon");
	/* Said once: at four days left the step of seven has been come to. */
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1053W", "days_left=4", NULL), 1);
	/* What runs goes on. */
	ck_assert(peer_write(fd, ssl, &byte, 1) && peer_read(fd, ssl, &byte, 1));
	peer_free(fd, ssl);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(what_is_half_written_leaves_the_old_in_force)
{
	struct gateway gateway;
	char bytes[16384];
	size_t size = certfiles_read(CERTS "soon.pem", bytes, sizeof(bytes));

	start_changing(&gateway);
	certfiles_write("server.pem", bytes, size / 2);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1052E", "config.ini:", "not a PEM certificate"), 1);
	certfiles_check_shown(gateway.ports[0], &(struct peer_tls){.ca = CERTS "ca.pem"}, "server");
	certfiles_write("server.pem", bytes, size);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1052E", "does not belong to", NULL), 1);
	certfiles_check_shown(gateway.ports[0], &(struct peer_tls){.ca = CERTS "ca.pem"}, "server");
	certfiles_put("soon.key", "server.key");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1051I", NULL, NULL), 1);
	certfiles_check_shown(gateway.ports[0], &(struct peer_tls){.ca = CERTS "ca.pem"}, "soon");
	gateway_stop(&gateway);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("certificates");
	TCase *tests = tcase_create("certificates");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, certfiles_open, certfiles_close);
	tcase_add_test(tests, a_certificate_is_chosen_by_name_and_type_of_key);
	tcase_add_test(tests, an_encrypted_key_opens_with_its_passphrase);
	tcase_add_loop_test(tests, check_names_the_line, 0, COUNT(bads));
	tcase_add_loop_test(tests, who_is_revoked_is_refused_also_with_a_session, 0, 2);
	tcase_add_test(tests, an_expired_list_refuses_everybody);
	tcase_add_loop_test(tests, a_session_ends_with_the_list_it_was_checked_by, 0, 2);
	tcase_add_loop_test(tests, a_revoked_peer_gets_nothing, 0, 2);
	tcase_add_test(tests, a_response_is_stapled_to_its_own_certificate);
	tcase_add_test(tests, a_renewed_certificate_is_noticed_without_a_signal);
	tcase_add_test(tests, what_is_half_written_leaves_the_old_in_force);
	suite_add_tcase(suite, tests);
	return suite;
}
