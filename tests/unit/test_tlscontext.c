/* TLS contexts made of files: what is wrong with them is said, what is made of them holds. */
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suite.h"
#include "tlscontext.h"
#include "tlspair.h"

#define DAY_S (24L * 3600)
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char *const files[] = {"ca.pem",      "server.pem",     "server.key", "other.key",
                                    "expired.pem", "expired.key",    "text.pem",   "empty.pem",
                                    "closed.key",  "passphrase.key", "half.pem"};
static char folder[] = "/tmp/test-tlscontext-XXXXXX";
static struct party authority, server, expired, other;

static const char *path_of(const char *name)
{
	return path_in(folder, name);
}

static void write_text(const char *name, const char *text)
{
	FILE *stream = fopen(path_of(name), "w");

	ck_assert_ptr_nonnull(stream);
	(void)fputs(text, stream);
	ck_assert_int_eq(fclose(stream), 0);
}

static void write_with_passphrase(const char *name)
{
	FILE *stream = fopen(path_of(name), "w");

	ck_assert_int_eq(
	    PEM_write_PrivateKey(stream, server.key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL), 1);
	ck_assert_int_eq(fclose(stream), 0);
}

static void make_files(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	party_make(&authority, &(struct party_wish){.common_name = "an authority"});
	party_make(&other, &(struct party_wish){.common_name = "other"});
	party_make(&server,
	              &(struct party_wish){.common_name = "host", .names = "DNS:host.example", .issuer = &authority});
	party_make(&expired, &(struct party_wish){.common_name = "host",
	                                                .names = "DNS:host.example",
	                                                .from_s = -2 * DAY_S,
	                                                .until_s = -DAY_S,
	                                                .issuer = &authority});
	identity_write(&authority, path_of("ca.pem"), NULL);
	identity_write(&server, path_of("server.pem"), path_of("server.key"));
	identity_write(&expired, path_of("expired.pem"), path_of("expired.key"));
	identity_write(&other, NULL, path_of("other.key"));
	identity_write(&server, NULL, path_of("closed.key"));
	ck_assert_int_eq(chmod(path_of("closed.key"), 0), 0);
	write_text("text.pem", "no certificate at all\n");
	write_text("empty.pem", "");
	write_text("half.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
	write_with_passphrase("passphrase.key");
}

static void remove_files(void)
{
	for (int i = 0; i < COUNT(files); i++)
		unlink(path_of(files[i]));
	rmdir(folder);
	party_close(&authority);
	party_close(&server);
	party_close(&expired);
	party_close(&other);
}

struct site {
	struct config config;
	struct config_listener listener;
	struct config_peer peer;
	struct address address;
	struct error error;
};

static void make_site(struct site *site)
{
	memset(site, 0, sizeof(*site));
	site->listener.place.name = (char *)(uintptr_t) "here";
	site->listener.client_auth = CLIENT_AUTH_NO;
	site->peer.place.name = (char *)(uintptr_t) "far";
	site->peer.security = PEER_REQUIRED;
	site->peer.server_name = (char *)(uintptr_t) "host.example";
	site->peer.address = (struct address_list){.at = &site->address, .count = 1};
	site->config.gateway.sysid = (char *)(uintptr_t) "GW";
	site->config.listeners = &site->listener;
	site->config.listener_count = 1;
	site->config.peers = &site->peer;
	site->config.peer_count = 1;
	site->config.tls = (struct config_tls){.certificate = strdup(path_of("server.pem")),
	                                       .private_key = strdup(path_of("server.key")),
	                                       .ca = strdup(path_of("ca.pem")),
	                                       .min_version = TLS1_2_VERSION,
	                                       .confirm = CONFIRM_PREFER,
	                                       .resumption = CHOICE_YES};
}

static void replace(char **path, const char *name)
{
	free(*path);
	*path = name != NULL ? strdup(path_of(name)) : NULL;
}

static void close_site(struct site *site)
{
	free(site->config.tls.certificate);
	free(site->config.tls.private_key);
	free(site->config.tls.ca);
}

static struct tls_worker *build(struct site *site)
{
	struct tls_worker *worker = tls_worker_new(&site->config, &site->error);

	ck_assert_msg(worker != NULL, "%s", site->error.text);
	return worker;
}

static const struct {
	const char *certificate, *key, *ca; /* NULL: the right one */
	int client_auth;
	const char *words[3];
} faults[] = {
    {"none.pem", NULL, NULL, CLIENT_AUTH_NO, {"cannot be opened", "[tls] certificate = ", "none.pem"}},
    {"text.pem", NULL, NULL, CLIENT_AUTH_NO, {"certificate = ", "text.pem", "not a PEM certificate"}},
    {"empty.pem", NULL, NULL, CLIENT_AUTH_NO, {"certificate = ", "empty.pem", "not a PEM certificate"}},
    {"half.pem", NULL, NULL, CLIENT_AUTH_NO, {"certificate = ", "half.pem", "not a PEM certificate"}},
    {"server.key", NULL, NULL, CLIENT_AUTH_NO, {"certificate = ", "server.key", "not a PEM certificate"}},
    {NULL, "none.key", NULL, CLIENT_AUTH_NO, {"[tls] private_key = ", "none.key", "path or its permissions"}},
    {NULL, "text.pem", NULL, CLIENT_AUTH_NO, {"private_key = ", "text.pem", "server.pem"}},
    {NULL, "other.key", NULL, CLIENT_AUTH_NO, {"private_key = ", "other.key", "server.pem"}},
    {NULL, "server.pem", NULL, CLIENT_AUTH_NO, {"private_key = ", "server.pem", "not a PEM key"}},
    {NULL, "passphrase.key", NULL, CLIENT_AUTH_NO, {"private_key = ", "passphrase.key", "has a passphrase"}},
    {NULL, NULL, "none.pem", CLIENT_AUTH_REQUIRE, {"[tls] ca = ", "none.pem", "path or its permissions"}},
    {NULL, NULL, "none.pem", CLIENT_AUTH_NO, {"[tls] ca = ", "none.pem", "path or its permissions"}},
    {NULL, NULL, "text.pem", CLIENT_AUTH_REQUIRE, {"[tls] ca = ", "text.pem", "no PEM certificate"}},
    {NULL, NULL, "empty.pem", CLIENT_AUTH_REQUEST, {"[tls] ca = ", "empty.pem", "no PEM certificate"}},
    {NULL, NULL, "text.pem", CLIENT_AUTH_NO, {"[tls] ca = ", "text.pem", "no PEM certificate"}},
};

START_TEST(what_is_wrong_with_files_is_said)
{
	struct site site;

	make_site(&site);
	site.listener.client_auth = faults[_i].client_auth;
	if (faults[_i].certificate != NULL)
		replace(&site.config.tls.certificate, faults[_i].certificate);
	if (faults[_i].key != NULL)
		replace(&site.config.tls.private_key, faults[_i].key);
	if (faults[_i].ca != NULL)
		replace(&site.config.tls.ca, faults[_i].ca);
	ck_assert_ptr_null(tls_worker_new(&site.config, &site.error));
	for (int i = 0; i < 3; i++)
		ck_assert_msg(strstr(site.error.text, faults[_i].words[i]) != NULL, "%d: %s", _i, site.error.text);
	/* The key is named, so that who reports it finds its line. */
	ck_assert_ptr_nonnull(site.error.key);
	ck_assert_msg(strstr(site.error.text, site.error.key) != NULL, "%s", site.error.key);
	close_site(&site);
}
END_TEST

START_TEST(a_file_that_may_not_be_read)
{
	struct site site;

	/* The superuser reads everything. */
	if (geteuid() == 0)
		return;
	make_site(&site);
	replace(&site.config.tls.private_key, "closed.key");
	ck_assert_ptr_null(tls_worker_new(&site.config, &site.error));
	ck_assert_ptr_nonnull(strstr(site.error.text, "closed.key"));
	ck_assert_ptr_nonnull(strstr(site.error.text, "ermission"));
	close_site(&site);
}
END_TEST

START_TEST(settings_that_cannot_work)
{
	static const char *const words[] = {"ciphers = NONSENSE", "ciphersuites = NONSENSE", "groups = NONSENSE",
	                                    "sigalgs = NONSENSE"};
	struct site site;
	char **members[] = {&site.config.tls.ciphers, &site.config.tls.ciphersuites, &site.config.tls.groups,
	                    &site.config.tls.sigalgs};

	make_site(&site);
	*members[_i] = (char *)(uintptr_t) "NONSENSE";
	ck_assert_ptr_null(tls_worker_new(&site.config, &site.error));
	ck_assert_msg(strstr(site.error.text, words[_i]) != NULL, "%s", site.error.text);
	close_site(&site);
}
END_TEST

START_TEST(suites_that_fail_old_clients_or_hide_nothing)
{
	static const struct {
		const char *ciphers;
		int min_version;
		const char *says; /* NULL: it works */
	} cases[] = {
	    {"ECDHE-RSA-AES128-GCM-SHA256", TLS1_2_VERSION, "no client of TLS 1.2 can connect"},
	    {"ECDHE-RSA-AES128-GCM-SHA256", TLS1_3_VERSION, NULL},
	    {"ECDHE-ECDSA-AES128-GCM-SHA256", TLS1_2_VERSION, NULL},
	    {"ALL", TLS1_2_VERSION, NULL},
	    {"NULL:@SECLEVEL=0", TLS1_2_VERSION, "does not encrypt or authenticate"},
	    {"ALL:@SECLEVEL=0", TLS1_2_VERSION, "does not encrypt or authenticate"},
	};
	struct tls_worker *worker;
	struct site site;

	make_site(&site);
	site.config.tls.ciphers = (char *)(uintptr_t)cases[_i].ciphers;
	site.config.tls.min_version = cases[_i].min_version;
	worker = tls_worker_new(&site.config, &site.error);
	ck_assert_msg((worker != NULL) == (cases[_i].says == NULL), "%s", site.error.text);
	ck_assert_msg(worker != NULL || strstr(site.error.text, cases[_i].says) != NULL, "%s", site.error.text);
	tls_worker_free(worker);
	close_site(&site);
}
END_TEST

static SSL *server_side(struct tls_worker *worker, enum tls_start start)
{
	return tls_server_new(worker, &(struct tls_server_options){.start = start});
}

/* Both sides of one worker meet. */
static enum met meet(struct tls_worker *worker, struct meeting *meeting, enum tls_start start)
{
	meeting_open(meeting, tls_client_new(worker, 0, 0, start), server_side(worker, start));
	return meeting_run(meeting);
}

START_TEST(both_sides_meet_and_expired_ones_do_not)
{
	struct site site;
	struct meeting meeting;
	struct tls_worker *worker;

	make_site(&site);
	if (_i == 1) {
		replace(&site.config.tls.certificate, "expired.pem");
		replace(&site.config.tls.private_key, "expired.key");
	}
	if (_i == 2)
		site.peer.server_name = (char *)(uintptr_t) "elsewhere.example";
	worker = build(&site);
	ck_assert_int_eq(meet(worker, &meeting, TLS_START_UPGRADE), _i == 0 ? MET_BOTH : MET_CLIENT_FAILED);
	meeting_close(&meeting);
	tls_worker_leave(worker);
	tls_worker_free(worker);
	close_site(&site);
}
END_TEST

START_TEST(versions_suites_and_options)
{
	struct site site;
	struct meeting meeting;
	struct tls_worker *worker;
	const uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION;

	make_site(&site);
	site.config.tls.min_version = _i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
	worker = build(&site);
	meeting_open(&meeting, tls_client_new(worker, 0, 0, TLS_START_UPGRADE),
	             server_side(worker, TLS_START_UPGRADE));
	SSL *const both[] = {meeting.client, meeting.server};
	for (int i = 0; i < 2; i++) {
		STACK_OF(SSL_CIPHER) *suites = SSL_get1_supported_ciphers(both[i]);

		ck_assert_uint_eq(SSL_get_options(both[i]) & options, options);
		ck_assert_int_eq((int)SSL_get_min_proto_version(both[i]), site.config.tls.min_version);
		ck_assert_int_eq((int)SSL_get_max_proto_version(both[i]), TLS1_3_VERSION);
		ck_assert_int_gt(sk_SSL_CIPHER_num(suites), 0);
		for (int j = 0; j < sk_SSL_CIPHER_num(suites); j++)
			ck_assert_int_eq(SSL_CIPHER_is_aead(sk_SSL_CIPHER_value(suites, j)), 1);
		sk_SSL_CIPHER_free(suites);
	}
	/* A side that only knows 1.2 is met by the first configuration alone. */
	SSL_set_min_proto_version(meeting.client, TLS1_2_VERSION);
	SSL_set_max_proto_version(meeting.client, TLS1_2_VERSION);
	ck_assert_int_eq(meeting_run(&meeting), _i == 0 ? MET_BOTH : MET_SERVER_FAILED);
	if (_i == 0)
		ck_assert_int_eq(SSL_renegotiate(meeting.client) == 1 && SSL_do_handshake(meeting.client) == 1, 0);
	meeting_close(&meeting);
	tls_worker_leave(worker);
	tls_worker_free(worker);
	close_site(&site);
}
END_TEST

/* Of now on one more authority is believed. */
static void add_authority(void)
{
	FILE *stream = fopen(path_of("ca.pem"), "a");

	ck_assert_int_eq(PEM_write_X509(stream, other.certificate), 1);
	ck_assert_int_eq(fclose(stream), 0);
}

/* A ticket of the first meeting is tried at a second, whose accepting side may have changed. */
START_TEST(sessions_are_bound_to_their_policy)
{
	struct site site;
	struct meeting meeting;
	struct tls_worker *first, *second;
	struct error error;
	uint8_t byte;

	ck_assert_int_eq(tls_init(&error), 0);
	make_site(&site);
	if (_i == 4)
		site.config.tls.resumption = CHOICE_NO;
	first = build(&site);
	if (_i == 1)
		site.listener.client_auth = CLIENT_AUTH_REQUEST;
	if (_i == 2)
		site.listener.place.name = (char *)(uintptr_t) "there";
	if (_i == 3)
		site.listener.unsecured = UNSECURED_ALLOW;
	if (_i == 5)
		add_authority();
	second = build(&site);
	ck_assert_int_eq(meet(first, &meeting, TLS_START_UPGRADE), MET_BOTH);
	ck_assert(!SSL_session_reused(meeting.client));
	/* The ticket comes behind the handshake, and only an orderly end leaves it good. */
	(void)SSL_read(meeting.client, &byte, 1);
	(void)SSL_shutdown(meeting.client);
	meeting_close(&meeting);
	meeting_open(&meeting, tls_client_new(first, 0, 0, TLS_START_UPGRADE),
	             server_side(second, TLS_START_UPGRADE));
	ck_assert_int_eq(meeting_run(&meeting), MET_BOTH);
	ck_assert_int_eq(SSL_session_reused(meeting.server), _i == 0);
	meeting_close(&meeting);
	tls_worker_leave(first);
	tls_worker_free(first);
	tls_worker_leave(second);
	tls_worker_free(second);
	close_site(&site);
}
END_TEST

/* --- without memory --- */

/* Put in the place of OpenSSL's by the linker (Makefile); reserved names, as it wants them. */
int __real_SSL_CTX_set_ex_data(SSL_CTX *context, int index, void *data);
int __wrap_SSL_CTX_set_ex_data(SSL_CTX *context, int index, void *data);
int __real_SSL_set_ex_data(SSL *ssl, int index, void *data);
int __wrap_SSL_set_ex_data(SSL *ssl, int index, void *data);
STACK_OF(X509_NAME) *__real_SSL_dup_CA_list(const STACK_OF(X509_NAME) *names);
STACK_OF(X509_NAME) *__wrap_SSL_dup_CA_list(const STACK_OF(X509_NAME) *names);

static int until_failure; /* calls; 0: none fails */

static bool fails(void)
{
	return until_failure > 0 && --until_failure == 0;
}

int __wrap_SSL_CTX_set_ex_data(SSL_CTX *context, int index, void *data)
{
	return fails() ? 0 : __real_SSL_CTX_set_ex_data(context, index, data);
}

int __wrap_SSL_set_ex_data(SSL *ssl, int index, void *data)
{
	return fails() ? 0 : __real_SSL_set_ex_data(ssl, index, data);
}

STACK_OF(X509_NAME) *__wrap_SSL_dup_CA_list(const STACK_OF(X509_NAME) *names)
{
	return fails() ? NULL : __real_SSL_dup_CA_list(names);
}

/* A context whose callbacks would find nothing is not made, nor one that names no authority. */
START_TEST(what_has_no_memory_for_its_owner_is_no_context)
{
	struct site site;
	struct tls_worker *worker;
	struct error error;
	SSL *ssl;

	ck_assert_int_eq(tls_init(&error), 0);
	make_site(&site);
	/* Of each way to start its owner and the names, and of a peer its owner. */
	for (int call = 1; call <= 5; call++) {
		until_failure = call;
		ck_assert_msg(tls_worker_new(&site.config, &site.error) == NULL, "call %d fails, and it is made", call);
		ck_assert_int_eq(until_failure, 0);
		ck_assert_ptr_nonnull(strstr(site.error.text, "cannot "));
	}
	worker = build(&site);
	until_failure = 1;
	ck_assert_ptr_null(tls_client_new(worker, 0, 0, TLS_START_UPGRADE));
	ssl = tls_client_new(worker, 0, 0, TLS_START_UPGRADE);
	ck_assert_ptr_nonnull(ssl);
	SSL_free(ssl);
	tls_worker_leave(worker);
	tls_worker_free(worker);
	close_site(&site);
}
END_TEST

/* A rule may ask for more, or for less, than the listener: what was made under one is not resumed under the other. */
START_TEST(a_connection_asks_for_what_its_options_say)
{
	static const enum met expected[] = {MET_BOTH, MET_BOTH, MET_SERVER_FAILED};
	struct site site;
	struct meeting meeting;
	struct tls_worker *worker;
	struct error error;
	uint8_t byte;

	ck_assert_int_eq(tls_init(&error), 0);
	make_site(&site);
	worker = build(&site);
	for (int auth = CLIENT_AUTH_NO; auth <= CLIENT_AUTH_REQUIRE; auth++) {
		struct tls_server_options options = {.start = TLS_START_UPGRADE, .client_auth = auth};

		/* It would show that of [tls]. */
		meeting_open(&meeting, tls_client_new(worker, 0, 0, TLS_START_UPGRADE), tls_server_new(worker, &options));
		SSL_certs_clear(meeting.client);
		ck_assert_int_eq(meeting_run(&meeting), expected[auth - CLIENT_AUTH_NO]);
		ck_assert(!SSL_session_reused(meeting.client));
		ck_assert_int_eq(SSL_get0_peer_CA_list(meeting.client) != NULL, auth != CLIENT_AUTH_NO);
		(void)SSL_read(meeting.client, &byte, 1);
		(void)SSL_shutdown(meeting.client);
		meeting_close(&meeting);
	}
	tls_worker_leave(worker);
	tls_worker_free(worker);
	close_site(&site);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("tlscontext");
	TCase *tests = tcase_create("tlscontext");

	tcase_set_timeout(tests, 30);
	tcase_add_unchecked_fixture(tests, make_files, remove_files);
	tcase_add_loop_test(tests, what_is_wrong_with_files_is_said, 0, COUNT(faults));
	tcase_add_test(tests, a_file_that_may_not_be_read);
	tcase_add_loop_test(tests, settings_that_cannot_work, 0, 4);
	tcase_add_loop_test(tests, suites_that_fail_old_clients_or_hide_nothing, 0, 6);
	tcase_add_loop_test(tests, both_sides_meet_and_expired_ones_do_not, 0, 3);
	tcase_add_loop_test(tests, versions_suites_and_options, 0, 2);
	tcase_add_loop_test(tests, sessions_are_bound_to_their_policy, 0, 6);
	tcase_add_test(tests, what_has_no_memory_for_its_owner_is_no_context);
	tcase_add_test(tests, a_connection_asks_for_what_its_options_say);
	suite_add_tcase(suite, tests);
	return suite;
}
