/* Scenarios of certificates: which is shown, who is revoked, what is stapled, what changes while it runs; and tickets. */
#include <check.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define CERTS "build/test-certs/"
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define HEAD "[gateway]\nsysid = HOST1\nworkers = 2\n[service echo]\naddress = builtin:echo\n"
#define LISTENER(name) "[listener " name "]\naddress = 127.0.0.1:0\nservice = echo\n"

/* Files that a test replaces; they outlive its gateways. */
static char folder[64];
static const char *const names[] = {"server.pem", "server.key", "crl.pem", "tickets", "secrets", "server.ocsp", "part"};

static void make_folder(void)
{
	(void)strcpy(folder, "/tmp/cci-certificates-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static const char *path_of(const char *name)
{
	static char paths[4][96];
	static int next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void remove_folder(void)
{
	for (int i = 0; i < COUNT(names); i++)
		(void)unlink(path_of(names[i]));
	ck_assert_int_eq(rmdir(folder), 0);
}

static size_t read_file(const char *path, char *bytes, size_t size)
{
	FILE *stream = fopen(path, "r");
	size_t got;

	ck_assert_msg(stream != NULL, "%s", path);
	got = fread(bytes, 1, size, stream);
	(void)fclose(stream);
	return got;
}

/* In place, as an editor may do it. */
static void write_file(const char *name, const char *bytes, size_t size)
{
	FILE *stream = fopen(path_of(name), "w");

	ck_assert_ptr_nonnull(stream);
	(void)fchmod(fileno(stream), 0600);
	ck_assert_uint_eq(fwrite(bytes, 1, size, stream), size);
	ck_assert_int_eq(fclose(stream), 0);
}

/* At once, as a good tool does it. */
static void put(const char *from, const char *name)
{
	char bytes[16384], path[96];
	size_t size;

	(void)snprintf(path, sizeof(path), CERTS "%s", from);
	size = read_file(path, bytes, sizeof(bytes));
	write_file("part", bytes, size);
	ck_assert_int_eq(rename(path_of("part"), path_of(name)), 0);
}

/* A direct start up to the ACCEPT inside; NULL where it is refused. */
static SSL *direct(int fd, const struct peer_tls *wish)
{
	uint8_t offer[4096], answer[4096];
	struct peer_tls tls = *wish;
	SSL *ssl;
	int got;

	tls.alpn = "cci/1";
	ssl = peer_tls_client(fd, &tls);
	if (ssl == NULL)
		return NULL;
	got = peer_exchange(fd, ssl, offer, peer_offer(offer, 1, 4, "PC1", NULL), answer);
	if (got > 0 && peer_type(answer) == 2 && peer_answer(answer, got) == 2)
		return ssl;
	SSL_free(ssl);
	return NULL;
}

static X509 *certificate_in(const char *name)
{
	char path[96];
	FILE *stream;
	X509 *certificate;

	(void)snprintf(path, sizeof(path), CERTS "%s.pem", name);
	stream = fopen(path, "r");
	ck_assert_msg(stream != NULL, "%s", path);
	certificate = PEM_read_X509(stream, NULL, NULL, NULL);
	(void)fclose(stream);
	ck_assert_ptr_nonnull(certificate);
	return certificate;
}

/* Is `name` what a client is shown? NULL: it is refused. */
static void check_shown(int port, const struct peer_tls *wish, const char *name)
{
	int fd = peer_connect(port);
	SSL *ssl = direct(fd, wish);
	X509 *wanted;

	ck_assert_msg((ssl != NULL) == (name != NULL), "%s", name != NULL ? name : "no certificate");
	if (name != NULL) {
		wanted = certificate_in(name);
		ck_assert_msg(X509_cmp(SSL_get0_peer_certificate(ssl), wanted) == 0, "not %s", name);
		X509_free(wanted);
		(void)SSL_shutdown(ssl);
	}
	peer_free(fd, ssl);
}

/* --- which one is shown --- */

static const char several[] = HEAD LISTENER("all") LISTENER("some") "certificates = second, wild\n"
                              "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"
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
			check_shown(gateway.ports[choices[i].listener],
			            &(struct peer_tls){.ca = CERTS "ca.pem",
			                               .max_version = version,
			                               .server_name = choices[i].server_name,
			                               .sigalgs = choices[i].sigalgs},
			            choices[i].shown);
	ck_assert_int_eq(gateway_lines(&gateway, 4, "id=CCI1012I", "serial=", "days_left="), 4);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(an_encrypted_key_opens_with_its_passphrase)
{
	struct gateway gateway;

	gateway_start(&gateway, "ccissl",
	              HEAD LISTENER("l") "[certificate e]\ncertificate = @CERTS@/encrypted.pem\n"
	                                 "private_key = @CERTS@/encrypted.key\npassphrase_file = @CERTS@/encrypted.pass\n");
	check_shown(gateway.ports[0], &(struct peer_tls){.ca = CERTS "ca.pem"}, "encrypted");
	gateway_stop(&gateway);
}
END_TEST

/* --- --check finds the line --- */

#define BAD_TLS "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"

static const struct bad_case {
	const char *config, *place, *words;
} bads[] = {
    {BAD_TLS "[certificate e]\ncertificate = @CERTS@/encrypted.pem\nprivate_key = @CERTS@/encrypted.key\n", ":15: ",
     "has a passphrase: name its file in passphrase_file"},
    {BAD_TLS "[certificate e]\ncertificate = @CERTS@/encrypted.pem\nprivate_key = @CERTS@/encrypted.key\n"
             "passphrase_file = @CERTS@/wrong.pass\n",
     ":16: ", "does not open with the passphrase"},
    {BAD_TLS "[certificate e]\ncertificate = @CERTS@/second.pem\nprivate_key = @CERTS@/wild.key\n", ":15: ",
     "does not belong to"},
    {BAD_TLS "ocsp_response = @CERTS@/second.ocsp\n", ":13: ", "not about this certificate"},
    {BAD_TLS "ocsp_response = @CERTS@/second.pem\n", ":13: ", "not an OCSP response"},
    {BAD_TLS "[certificate r]\ncertificate = @CERTS@/revoked.pem\nprivate_key = @CERTS@/revoked.key\n"
             "ocsp_response = @CERTS@/revoked.ocsp\n",
     ":16: ", "revoked"},
    {BAD_TLS "crl = @CERTS@/server.pem\n", ":13: ", "no PEM revocation list"},
    {BAD_TLS "crl = @CERTS@/nothing.pem\n", ":13: ", "cannot be opened"},
    {BAD_TLS "ticket_keys = @CERTS@/server.pem\n", ":13: ", "line 1 is no key"},
    {BAD_TLS "sigalgs = NONSENSE\n", ":13: ", "sigalgs = NONSENSE"},
    {BAD_TLS "ciphersuites = NONSENSE\n", ":13: ", "ciphersuites = NONSENSE"},
    {BAD_TLS "sigalgs = RSA-PSS+SHA256\n", ":10: ", "a handshake with it fails"},
    {BAD_TLS "insecure_key_log = /nowhere/secrets\n", ":13: ", "cannot be written"},
};

START_TEST(check_names_the_line)
{
	const struct bad_case *bad = &bads[_i];
	char config[128], command[512], text[4096], certs[4096];
	const char *at = bad->config;
	FILE *stream = fopen(path_of("part"), "w");
	int status;

	ck_assert_ptr_nonnull(realpath("build/test-certs", certs));
	(void)snprintf(config, sizeof(config), "%s", path_of("part"));
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

	put("crl.pem", "crl.pem");
	gateway_start(&gateway, "ccissl", revoking, path_of("crl.pem"), _i == 0 ? "leaf" : "chain");
	fd = peer_connect(gateway.ports[0]);
	ssl = direct(fd, &revoked);
	ck_assert_ptr_nonnull(ssl);
	revoked.session = SSL_get1_session(ssl);
	(void)SSL_shutdown(ssl);
	peer_free(fd, ssl);
	/* The session is good until the list says otherwise. */
	fd = peer_connect(gateway.ports[0]);
	ssl = direct(fd, &revoked);
	ck_assert_ptr_nonnull(ssl);
	ck_assert_int_eq(SSL_session_reused(ssl), 1);
	(void)SSL_shutdown(ssl);
	peer_free(fd, ssl);
	put("crl-revoked.pem", "crl.pem");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1051I", NULL, NULL), 1);
	check_shown(gateway.ports[0], &revoked, NULL);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3022W", "revoked", NULL), 1);
	SSL_SESSION_free(revoked.session);
	revoked.session = NULL;
	check_shown(gateway.ports[0], &revoked, NULL);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI3022W", "revoked", NULL), 2);
	check_shown(gateway.ports[0], &good, "server");
	gateway_stop(&gateway);
}
END_TEST

START_TEST(an_expired_list_refuses_everybody)
{
	struct gateway gateway;

	put("crl-expired.pem", "crl.pem");
	gateway_start(&gateway, "ccissl", revoking, path_of("crl.pem"), "leaf");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1054E", "crl", NULL), 1);
	check_shown(
	    gateway.ports[0],
	    &(struct peer_tls){.ca = CERTS "ca.pem", .certificate = CERTS "client.pem", .key = CERTS "client.key"}, NULL);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3022W", "CRL has expired", NULL), 1);
	gateway_stop(&gateway);
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
	SSL *ssl = direct(fd, &tls);

	ck_assert_ptr_nonnull(ssl);
	if (file == NULL) {
		ck_assert_int_le(SSL_get_tlsext_status_ocsp_resp(ssl, &response), 0);
	} else {
		size = read_file(file, wanted, sizeof(wanted));
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

static const char changing[] = HEAD LISTENER("l") "[tls]\ncertificate = %s\nprivate_key = %s\nca = @CERTS@/ca.pem\n";

static void start_changing(struct gateway *gateway)
{
	put("server.pem", "server.pem");
	put("server.key", "server.key");
	gateway_start(gateway, "ccissl", changing, path_of("server.pem"), path_of("server.key"));
	check_shown(gateway->ports[0], &(struct peer_tls){.ca = CERTS "ca.pem"}, "server");
}

START_TEST(a_renewed_certificate_is_noticed_without_a_signal)
{
	struct gateway gateway;
	uint8_t byte = 'x';
	SSL *ssl;
	int fd;

	start_changing(&gateway);
	fd = peer_connect(gateway.ports[0]);
	ssl = direct(fd, &(struct peer_tls){.ca = CERTS "ca.pem"});
	ck_assert_ptr_nonnull(ssl);
	put("soon.key", "server.key");
	put("soon.pem", "server.pem");
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1051I", NULL, NULL), 1);
	check_shown(gateway.ports[0], &(struct peer_tls){.ca = CERTS "ca.pem"}, "soon");
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
	size_t size = read_file(CERTS "soon.pem", bytes, sizeof(bytes));

	start_changing(&gateway);
	write_file("server.pem", bytes, size / 2);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1052E", "config.ini:", "not a PEM certificate"), 1);
	check_shown(gateway.ports[0], &(struct peer_tls){.ca = CERTS "ca.pem"}, "server");
	write_file("server.pem", bytes, size);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1052E", "does not belong to", NULL), 1);
	check_shown(gateway.ports[0], &(struct peer_tls){.ca = CERTS "ca.pem"}, "server");
	put("soon.key", "server.key");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1051I", NULL, NULL), 1);
	check_shown(gateway.ports[0], &(struct peer_tls){.ca = CERTS "ca.pem"}, "soon");
	gateway_stop(&gateway);
}
END_TEST

/* --- tickets --- */

static const char shared[] = HEAD LISTENER("l") "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\n"
                                                "ca = @CERTS@/ca.pem\nticket_keys = %s\n%s";

static void write_keys(const char *first, const char *second)
{
	char text[512];
	int size = snprintf(text, sizeof(text), "# keys\n%s%s\n%s%s\n", first, first, second, second);

	write_file("part", text, (size_t)size);
	ck_assert_int_eq(rename(path_of("part"), path_of("tickets")), 0);
}

#define KEY_A "00112233445566778899aabbccddeeff"
#define KEY_B "102132435465768798a9bacbdcedfe0f"

/* Connect with `session` (NULL: none); was it resumed? `fresh` (NULL: not wanted) is the session that came. */
static bool resumes(int port, int version, SSL_SESSION *session, SSL_SESSION **fresh)
{
	int fd = peer_connect(port);
	SSL *ssl = direct(fd, &(struct peer_tls){.ca = CERTS "ca.pem", .max_version = version, .session = session});
	bool resumed;

	ck_assert_ptr_nonnull(ssl);
	resumed = SSL_session_reused(ssl) == 1;
	if (fresh != NULL)
		*fresh = SSL_get1_session(ssl);
	(void)SSL_shutdown(ssl);
	peer_free(fd, ssl);
	return resumed;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

START_TEST(machines_with_the_same_keys_take_each_others_tickets)
{
	struct gateway first, second, strict, other;
	SSL_SESSION *session;

	write_keys(KEY_A, "");
	gateway_start(&first, "ccissl", shared, path_of("tickets"), "");
	gateway_start(&second, "ccissl", shared, path_of("tickets"), "");
	gateway_start(&strict, "ccissl", shared, path_of("tickets"), "client_auth = request\n");
	gateway_start(&other, "ccissl", HEAD LISTENER("l") BAD_TLS);
	ck_assert(!resumes(first.ports[0], versions[_i], NULL, &session));
	ck_assert(resumes(first.ports[0], versions[_i], session, NULL));
	ck_assert(resumes(second.ports[0], versions[_i], session, NULL));
	/* Another policy, and no keys in common: full handshakes. */
	ck_assert(!resumes(strict.ports[0], versions[_i], session, NULL));
	ck_assert(!resumes(other.ports[0], versions[_i], session, NULL));
	SSL_SESSION_free(session);
	gateway_stop(&first);
	gateway_stop(&second);
	gateway_stop(&strict);
	gateway_stop(&other);
}
END_TEST

START_TEST(ticket_keys_are_rotated_by_their_file)
{
	struct gateway gateway;
	SSL_SESSION *of_a, *of_b;

	write_keys(KEY_A, "");
	gateway_start(&gateway, "ccissl", shared, path_of("tickets"), "");
	ck_assert(!resumes(gateway.ports[0], versions[_i], NULL, &of_a));
	/* The new one seals, the old one still opens, and what it has opened is sealed anew. */
	write_keys(KEY_B, KEY_A);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1051I", NULL, NULL), 1);
	ck_assert(resumes(gateway.ports[0], versions[_i], of_a, &of_b));
	write_keys(KEY_B, "");
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1051I", NULL, NULL), 2);
	ck_assert(!resumes(gateway.ports[0], versions[_i], of_a, NULL));
	ck_assert(resumes(gateway.ports[0], versions[_i], of_b, NULL));
	SSL_SESSION_free(of_a);
	SSL_SESSION_free(of_b);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(tickets_outlive_a_reload_and_a_change_of_files)
{
	struct gateway gateway;
	SSL_SESSION *session;

	put("server.pem", "server.pem");
	put("server.key", "server.key");
	gateway_start(&gateway, "ccissl", changing, path_of("server.pem"), path_of("server.key"));
	ck_assert(!resumes(gateway.ports[0], 0, NULL, &session));
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	ck_assert(resumes(gateway.ports[0], 0, session, NULL));
	/* The same certificate once more; another one ends its sessions. */
	put("server.pem", "server.pem");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1051I", NULL, NULL), 1);
	ck_assert(resumes(gateway.ports[0], 0, session, NULL));
	put("soon.key", "server.key");
	put("soon.pem", "server.pem");
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1051I", NULL, NULL), 2);
	ck_assert(!resumes(gateway.ports[0], 0, session, NULL));
	SSL_SESSION_free(session);
	gateway_stop(&gateway);
}
END_TEST

/* --- the key log --- */

START_TEST(secrets_are_written_only_where_it_is_said)
{
	struct gateway gateway;
	char text[16384], setting[128];
	struct stat status;

	(void)snprintf(setting, sizeof(setting), "insecure_key_log = %s\n", path_of("secrets"));
	write_keys(KEY_A, "");
	gateway_start(&gateway, "ccissl", shared, path_of("tickets"), _i == 0 ? "" : setting);
	check_shown(gateway.ports[0], &(struct peer_tls){.ca = CERTS "ca.pem"}, "server");
	gateway_stop(&gateway);
	if (_i == 0) {
		ck_assert_int_ne(access(path_of("secrets"), F_OK), 0);
		return;
	}
	text[read_file(path_of("secrets"), text, sizeof(text) - 1)] = '\0';
	ck_assert_ptr_nonnull(strstr(text, "CLIENT_TRAFFIC_SECRET_0 "));
	ck_assert_int_eq(stat(path_of("secrets"), &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0600);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("certificates");
	TCase *tests = tcase_create("certificates");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, make_folder, remove_folder);
	tcase_add_test(tests, a_certificate_is_chosen_by_name_and_type_of_key);
	tcase_add_test(tests, an_encrypted_key_opens_with_its_passphrase);
	tcase_add_loop_test(tests, check_names_the_line, 0, COUNT(bads));
	tcase_add_loop_test(tests, who_is_revoked_is_refused_also_with_a_session, 0, 2);
	tcase_add_test(tests, an_expired_list_refuses_everybody);
	tcase_add_test(tests, a_response_is_stapled_to_its_own_certificate);
	tcase_add_test(tests, a_renewed_certificate_is_noticed_without_a_signal);
	tcase_add_test(tests, what_is_half_written_leaves_the_old_in_force);
	tcase_add_loop_test(tests, machines_with_the_same_keys_take_each_others_tickets, 0, 2);
	tcase_add_loop_test(tests, ticket_keys_are_rotated_by_their_file, 0, 2);
	tcase_add_test(tests, tickets_outlive_a_reload_and_a_change_of_files);
	tcase_add_loop_test(tests, secrets_are_written_only_where_it_is_said, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
