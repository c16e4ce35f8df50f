/* The verdict on a TLS peer: names, chains, client certificates, ALPN; and the facts that are recorded. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "suite.h"
#include "tlspair.h"
#include "tlsverdict.h"

#define DAY_S (24L * 3600)
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static struct party authority, stranger, server;

static void make_identities(void)
{
	party_make(&authority, &(struct party_wish){.common_name = "an authority"});
	party_make(&stranger, &(struct party_wish){.common_name = "another authority"});
	party_make(&server,
	              &(struct party_wish){.common_name = "host", .names = "DNS:host.example", .issuer = &authority});
}

static void close_identities(void)
{
	party_close(&authority);
	party_close(&stranger);
	party_close(&server);
}

/* Whatever is offered. */
static int select_first(SSL *ssl, const unsigned char **out, unsigned char *size, const unsigned char *in,
                        unsigned in_size, void *unused)
{
	(void)ssl;
	(void)in_size;
	(void)unused;
	*out = in + 1;
	*size = in[0];
	return SSL_TLSEXT_ERR_OK;
}

static int select_none(SSL *ssl, const unsigned char **out, unsigned char *size, const unsigned char *in,
                       unsigned in_size, void *unused)
{
	(void)select_first(ssl, out, size, in, in_size, unused);
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

struct trial {
	struct meeting meeting;
	SSL_CTX *client_context, *server_context;
};

/* `shown` by the server, `own` (NULL: none) by the client; both trust the authority. */
static void open_trial(struct trial *trial, const struct party *shown, const struct party *own)
{
	trial->server_context = plain_context(true, shown, &authority);
	trial->client_context = plain_context(false, own, &authority);
	SSL_CTX_set_verify(trial->server_context, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_alpn_select_cb(trial->server_context, select_first, NULL);
	meeting_open(&trial->meeting, plain_on_socket(trial->client_context, false, -1),
	             plain_on_socket(trial->server_context, true, -1));
}

static void close_trial(struct trial *trial)
{
	meeting_close(&trial->meeting);
	SSL_CTX_free(trial->client_context);
	SSL_CTX_free(trial->server_context);
}

static void offer_alpn(struct trial *trial, const char *name)
{
	unsigned char wire[64];
	size_t size = strlen(name);

	wire[0] = (unsigned char)size;
	memcpy(wire + 1, name, size);
	if (size > 0)
		ck_assert_int_eq(SSL_set_alpn_protos(trial->meeting.client, wire, (unsigned)size + 1), 0);
}

static void expect_name(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (X509_VERIFY_PARAM_set1_ip_asc(param, name) != 1)
		ck_assert_int_eq(X509_VERIFY_PARAM_set1_host(param, name, 0), 1);
}

static const struct tls_expectation connecting = {.start = TLS_START_UPGRADE};

static const struct {
	const char *names, *raw;
	size_t raw_size;
	const char *common_name, *expected;
	bool holds;
} names[] = {
    {"DNS:host.example", NULL, 0, "cn", "host.example", true},
    {"DNS:host.example", NULL, 0, "cn", "HOST.Example", true},
    {"DNS:a.example,DNS:host.example", NULL, 0, "cn", "host.example", true},
    {"DNS:host.example", NULL, 0, "cn", "host2.example", false},
    {"DNS:host.example", NULL, 0, "cn", "sub.host.example", false},
    {"DNS:host.example", NULL, 0, "cn", "example", false},
    /* No fallback to the common name, whatever else is there. */
    {NULL, NULL, 0, "host.example", "host.example", false},
    {"IP:127.0.0.1", NULL, 0, "host.example", "host.example", false},
    {"email:a@host.example", NULL, 0, "host.example", "host.example", false},
    {"URI:https://host.example", NULL, 0, "host.example", "host.example", false},
    /* A wildcard is a whole first label, and stands for one. */
    {"DNS:*.b.example", NULL, 0, "cn", "a.b.example", true},
    {"DNS:*.b.example", NULL, 0, "cn", "x.a.b.example", false},
    {"DNS:*.b.example", NULL, 0, "cn", "b.example", false},
    {"DNS:h*.b.example", NULL, 0, "cn", "host.b.example", false},
    {"DNS:*t.b.example", NULL, 0, "cn", "host.b.example", false},
    {"DNS:a.*.example", NULL, 0, "cn", "a.b.example", false},
    {"DNS:*.example", NULL, 0, "cn", "a.example", false},
    {"DNS:*", NULL, 0, "cn", "example", false},
    /* Addresses are addresses, names are names. */
    {"IP:127.0.0.1", NULL, 0, "cn", "127.0.0.1", true},
    {"IP:127.0.0.1", NULL, 0, "cn", "127.0.0.2", false},
    {"DNS:127.0.0.1", NULL, 0, "cn", "127.0.0.1", false},
    {NULL, NULL, 0, "127.0.0.1", "127.0.0.1", false},
    {"IP:::1", NULL, 0, "cn", "::1", true},
    {"IP:::1", NULL, 0, "cn", "0:0:0:0:0:0:0:1", true},
    {"IP:::1", NULL, 0, "cn", "::2", false},
    /* A zero byte ends no name. */
    {NULL, "host.example\0.evil.example", 25, "cn", "host.example", false},
    {NULL, "host.example\0", 13, "cn", "host.example", false},
};

/* In a full handshake the library refuses; where it did not look (a resumed session), the verdict does. */
START_TEST(the_name_must_stand_in_the_alternative_names)
{
	struct party shown;
	struct trial trial;
	struct verdict verdict;

	party_make(&shown, &(struct party_wish){.common_name = names[_i].common_name,
	                                              .names = names[_i].names,
	                                              .raw_dns = names[_i].raw,
	                                              .raw_size = names[_i].raw_size,
	                                              .issuer = &authority});
	open_trial(&trial, &shown, NULL);
	ck_assert_int_eq(meeting_run(&trial.meeting), MET_BOTH);
	expect_name(trial.meeting.client, names[_i].expected);
	tls_verdict(trial.meeting.client, &connecting, &verdict);
	ck_assert_msg(verdict.reason == (names[_i].holds ? REASON_NONE : REASON_PEER_NAME_MISMATCH), "%d: %s", _i,
	              reason_word(verdict.reason));
	ck_assert_int_eq(verdict.detail[0] == '\0', names[_i].holds);
	close_trial(&trial);

	open_trial(&trial, &shown, NULL);
	expect_name(trial.meeting.client, names[_i].expected);
	ck_assert_int_eq(meeting_run(&trial.meeting), names[_i].holds ? MET_BOTH : MET_CLIENT_FAILED);
	if (!names[_i].holds) {
		tls_verdict_failed(trial.meeting.client, &connecting, &verdict);
		ck_assert_msg(verdict.reason == REASON_PEER_NAME_MISMATCH, "%d: %s", _i, reason_word(verdict.reason));
		ck_assert_uint_eq(ERR_peek_error(), 0);
	}
	close_trial(&trial);
	party_close(&shown);
}
END_TEST

START_TEST(who_expects_no_name_accepts_nobody)
{
	struct trial trial;
	struct verdict verdict;

	open_trial(&trial, &server, NULL);
	ck_assert_int_eq(meeting_run(&trial.meeting), MET_BOTH);
	tls_verdict(trial.meeting.client, &connecting, &verdict);
	ck_assert_int_eq(verdict.reason, REASON_PEER_NAME_MISMATCH);
	close_trial(&trial);
}
END_TEST

/* How a certificate can be bad, beside its name. */
enum fault { GOOD, NONE, UNTRUSTED, EXPIRED, NOT_YET, WRONG_USAGE };

static void make_faulty(struct party *identity, enum fault fault, bool is_server)
{
	struct party_wish wish = {.common_name = "party", .names = "DNS:host.example", .issuer = &authority};

	wish.usage = is_server == (fault != WRONG_USAGE) ? "serverAuth" : "clientAuth";
	if (fault == UNTRUSTED)
		wish.issuer = &stranger;
	if (fault == EXPIRED)
		wish.from_s = -2 * DAY_S, wish.until_s = -DAY_S;
	if (fault == NOT_YET)
		wish.from_s = DAY_S, wish.until_s = 2 * DAY_S;
	party_make(identity, &wish);
}

/* Whether the handshake ends at the fault, or only records it (as one does that does not verify). */
START_TEST(a_server_that_cannot_be_trusted)
{
	static const enum fault faults[] = {GOOD, UNTRUSTED, EXPIRED, NOT_YET, WRONG_USAGE};
	enum fault fault = faults[_i / 2];
	bool lenient = _i % 2 == 1;
	struct party shown;
	struct trial trial;
	struct verdict verdict;
	enum met met;

	make_faulty(&shown, fault, true);
	open_trial(&trial, &shown, NULL);
	expect_name(trial.meeting.client, "host.example");
	if (lenient)
		SSL_set_verify(trial.meeting.client, SSL_VERIFY_NONE, NULL);
	met = meeting_run(&trial.meeting);
	ck_assert_int_eq(met, lenient || fault == GOOD ? MET_BOTH : MET_CLIENT_FAILED);
	if (met == MET_BOTH)
		tls_verdict(trial.meeting.client, &connecting, &verdict);
	else
		tls_verdict_failed(trial.meeting.client, &connecting, &verdict);
	ck_assert_int_eq(verdict.reason, fault == GOOD ? REASON_NONE : REASON_PEER_CERTIFICATE_UNTRUSTED);
	ck_assert_int_eq(verdict.detail[0] == '\0', fault == GOOD);
	close_trial(&trial);
	party_close(&shown);
}
END_TEST

/* client_auth by what the client shows: - accepted, M missing, U untrusted. */
static const struct {
	int client_auth;
	const char *outcomes; /* GOOD NONE UNTRUSTED EXPIRED NOT_YET WRONG_USAGE */
} clients[] = {
    {CLIENT_AUTH_NO, "------"},
    {CLIENT_AUTH_REQUEST, "--UUUU"},
    {CLIENT_AUTH_REQUIRE, "-MUUUU"},
};

static enum reason reason_of_letter(char letter)
{
	return letter == 'M'   ? REASON_PEER_CERTIFICATE_MISSING
	       : letter == 'U' ? REASON_PEER_CERTIFICATE_UNTRUSTED
	                       : REASON_NONE;
}

/* `mode`: what the library is told. The verdict must not depend on its having refused already. */
static void judge_client(int row, enum fault fault, int mode, int version)
{
	struct tls_expectation expectation = {.is_server = true, .client_auth = clients[row].client_auth};
	enum reason expected = reason_of_letter(clients[row].outcomes[fault]);
	struct party own;
	struct trial trial;
	struct verdict verdict;
	enum met met;

	make_faulty(&own, fault, false);
	open_trial(&trial, &server, fault == NONE ? NULL : &own);
	SSL_set_max_proto_version(trial.meeting.client, version);
	SSL_set_verify(trial.meeting.server, mode, NULL);
	met = meeting_run(&trial.meeting);
	if (met == MET_BOTH)
		tls_verdict(trial.meeting.server, &expectation, &verdict);
	else
		tls_verdict_failed(trial.meeting.server, &expectation, &verdict);
	ck_assert_msg(verdict.reason == expected, "row %d fault %d mode %d version %x: %s", row, (int)fault, mode, version,
	              reason_word(verdict.reason));
	close_trial(&trial);
	party_close(&own);
}

static int accept_all(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

START_TEST(client_certificates)
{
	static const int modes[] = {SSL_VERIFY_NONE, SSL_VERIFY_PEER, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT};
	int row = _i / 12;
	enum fault fault = (enum fault)(_i % 12 / 2);

	judge_client(row, fault, modes[row], _i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
}
END_TEST

START_TEST(what_the_library_let_pass_is_judged_again)
{
	struct tls_expectation expectation = {.is_server = true, .client_auth = CLIENT_AUTH_REQUIRE};
	static const enum fault faults[] = {UNTRUSTED, EXPIRED, NOT_YET};
	struct party own;
	struct trial trial;
	struct verdict verdict;

	make_faulty(&own, faults[_i], false);
	open_trial(&trial, &server, &own);
	SSL_set_verify(trial.meeting.server, SSL_VERIFY_PEER, accept_all);
	ck_assert_int_eq(meeting_run(&trial.meeting), MET_BOTH);
	tls_verdict(trial.meeting.server, &expectation, &verdict);
	ck_assert_int_eq(verdict.reason, REASON_PEER_CERTIFICATE_UNTRUSTED);
	/* The result of a resumed session may be of a time when it still was good. */
	SSL_set_verify_result(trial.meeting.server, X509_V_OK);
	tls_verdict(trial.meeting.server, &expectation, &verdict);
	ck_assert_int_eq(verdict.reason, faults[_i] == UNTRUSTED ? REASON_NONE : REASON_PEER_CERTIFICATE_UNTRUSTED);
	close_trial(&trial);
	/* Nobody asked for one, and one is required after all. */
	judge_client(2, NONE, SSL_VERIFY_NONE, TLS1_3_VERSION);
	party_close(&own);
}
END_TEST

static const struct {
	enum tls_start start;
	const char *alpn;
	int confirm;
	enum reason reason;
	bool confirms;
} alpns[] = {
    {TLS_START_UPGRADE, TLS_ALPN_UPGRADE, CONFIRM_PREFER, REASON_NONE, true},
    {TLS_START_UPGRADE, TLS_ALPN_UPGRADE, CONFIRM_REQUIRE, REASON_NONE, true},
    {TLS_START_UPGRADE, "", CONFIRM_PREFER, REASON_NONE, false},
    {TLS_START_UPGRADE, "", CONFIRM_REQUIRE, REASON_CONFIRM_MISSING, false},
    {TLS_START_UPGRADE, TLS_ALPN_DIRECT, CONFIRM_PREFER, REASON_ALPN_MISMATCH, false},
    {TLS_START_UPGRADE, "cci-upgrade/11", CONFIRM_PREFER, REASON_ALPN_MISMATCH, false},
    {TLS_START_UPGRADE, "h2", CONFIRM_PREFER, REASON_ALPN_MISMATCH, false},
    {TLS_START_DIRECT, TLS_ALPN_DIRECT, CONFIRM_REQUIRE, REASON_NONE, false},
    {TLS_START_DIRECT, TLS_ALPN_UPGRADE, CONFIRM_PREFER, REASON_ALPN_MISMATCH, false},
    {TLS_START_DIRECT, "", CONFIRM_PREFER, REASON_ALPN_MISMATCH, false},
    {TLS_START_DIRECT, "cci/", CONFIRM_PREFER, REASON_ALPN_MISMATCH, false},
};

START_TEST(alpn_says_how_it_started)
{
	struct tls_expectation expectation = {.start = alpns[_i].start, .confirm = alpns[_i].confirm};
	struct trial trial;
	struct verdict verdict;

	open_trial(&trial, &server, NULL);
	offer_alpn(&trial, alpns[_i].alpn);
	expect_name(trial.meeting.client, "host.example");
	ck_assert_int_eq(meeting_run(&trial.meeting), MET_BOTH);
	for (int side = 0; side < 2; side++) {
		expectation.is_server = side == 1;
		expectation.client_auth = CLIENT_AUTH_NO;
		tls_verdict(side == 1 ? trial.meeting.server : trial.meeting.client, &expectation, &verdict);
		ck_assert_msg(verdict.reason == alpns[_i].reason, "%d: %s", _i, reason_word(verdict.reason));
		ck_assert_int_eq(verdict.confirm, alpns[_i].confirms);
		ck_assert_int_eq(verdict.detail[0] == '\0', verdict.reason == REASON_NONE);
	}
	close_trial(&trial);
}
END_TEST

START_TEST(alpn_refused_in_the_handshake)
{
	struct tls_expectation expectation = {.is_server = true, .client_auth = CLIENT_AUTH_NO};
	struct trial trial;
	struct verdict verdict;

	open_trial(&trial, &server, NULL);
	SSL_CTX_set_alpn_select_cb(trial.server_context, select_none, NULL);
	offer_alpn(&trial, "h2");
	ck_assert_int_eq(meeting_run(&trial.meeting), MET_SERVER_FAILED);
	tls_verdict_failed(trial.meeting.server, &expectation, &verdict);
	ck_assert_int_eq(verdict.reason, REASON_ALPN_MISMATCH);
	/* The client hears of it by an alert. */
	ck_assert_int_eq(meeting_run(&trial.meeting), MET_CLIENT_FAILED);
	tls_verdict_failed(trial.meeting.client, &connecting, &verdict);
	ck_assert_int_eq(verdict.reason, REASON_ALPN_MISMATCH);
	close_trial(&trial);
}
END_TEST

static int refuse_hello(SSL *ssl, int *alert, void *unused)
{
	(void)ssl;
	(void)unused;
	*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
	return SSL_CLIENT_HELLO_ERROR;
}

START_TEST(other_handshakes_that_fail)
{
	static const enum reason reasons[] = {REASON_HANDSHAKE_FAILED, REASON_CONFIRM_MISSING, REASON_ALPN_MISMATCH,
	                                      REASON_HANDSHAKE_FAILED};
	struct tls_expectation expectation = {.is_server = true, .client_auth = CLIENT_AUTH_NO};
	struct trial trial;
	struct verdict verdict;

	open_trial(&trial, &server, NULL);
	expectation.start = _i == 2 ? TLS_START_DIRECT : TLS_START_UPGRADE;
	if (_i == 0) {
		SSL_set_max_proto_version(trial.meeting.client, TLS1_2_VERSION);
		SSL_set_min_proto_version(trial.meeting.server, TLS1_3_VERSION);
	}
	if (_i == 1 || _i == 2)
		SSL_CTX_set_client_hello_cb(trial.server_context, refuse_hello, NULL);
	if (_i < 3)
		ck_assert_int_eq(meeting_run(&trial.meeting), MET_SERVER_FAILED);
	else
		ERR_clear_error(); /* closed without a word */
	tls_verdict_failed(trial.meeting.server, &expectation, &verdict);
	ck_assert_int_eq(verdict.reason, reasons[_i]);
	ck_assert_str_ne(verdict.detail, "");
	ck_assert(!verdict.confirm);
	ck_assert_uint_eq(ERR_peek_error(), 0);
	close_trial(&trial);
}
END_TEST

START_TEST(facts_of_a_connection)
{
	struct trial trial;
	struct tls_facts facts;

	open_trial(&trial, &server, NULL);
	SSL_set_max_proto_version(trial.meeting.client, _i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
	SSL_set1_groups_list(trial.meeting.client, "X25519:P-256");
	SSL_set_ciphersuites(trial.meeting.client, "TLS_AES_128_GCM_SHA256");
	SSL_set_cipher_list(trial.meeting.client, "ECDHE-ECDSA-AES256-GCM-SHA384");
	offer_alpn(&trial, TLS_ALPN_UPGRADE);
	ck_assert_int_eq(meeting_run(&trial.meeting), MET_BOTH);
	tls_facts_of(trial.meeting.client, &facts);
	ck_assert_str_eq(facts.version, _i == 0 ? "1.2" : "1.3");
	ck_assert_str_eq(facts.suite, _i == 0 ? "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" : "TLS_AES_128_GCM_SHA256");
	ck_assert_str_eq(facts.group, "x25519");
	ck_assert_str_eq(facts.alpn, TLS_ALPN_UPGRADE);
	ck_assert(!facts.resumed && facts.has_peer);
	ck_assert_str_eq(facts.subject, "CN=host");
	ck_assert_str_eq(facts.names, "DNS:host.example");
	ck_assert_str_eq(facts.serial, "4711ab");
	ck_assert_str_eq(facts.verify, "ok");
	ck_assert_uint_eq(strlen(facts.not_after), strlen("2026-11-24T08:00:00Z"));
	tls_facts_of(trial.meeting.server, &facts);
	ck_assert(!facts.has_peer);
	ck_assert_str_eq(facts.subject, "");
	ck_assert_str_ne(facts.verify, "ok");
	close_trial(&trial);
}
END_TEST

START_TEST(facts_of_a_certificate)
{
	static const char *const common_names[] = {"a, b", "\xc3\xbc"};
	struct tls_certificate facts;
	struct party identity;
	char many[1024] = "DNS:a0.example";

	party_make(&identity, &(struct party_wish){.common_name = common_names[0],
	                                                 .names = "IP:127.0.0.1,IP:::1,email:a@b.c,URI:x:y,DNS:h",
	                                                 .from_s = -10,
	                                                 .until_s = 2 * DAY_S + 100});
	tls_certificate_of(identity.certificate, &facts);
	ck_assert_str_eq(facts.subject, "CN=a\\, b");
	ck_assert_str_eq(facts.names, "IP:127.0.0.1,IP:::1,email:a@b.c,URI:x:y,DNS:h");
	ck_assert_int_eq(facts.days_left, 2);
	party_close(&identity);
	/* A stranger's bytes come out printable, one name not as two; a second ago is a day too late. */
	party_make(
	    &identity,
	    &(struct party_wish){
	        .common_name = common_names[1], .raw_dns = "a\0\n\"\xff", .raw_size = 5, .from_s = -100, .until_s = -10});
	tls_certificate_of(identity.certificate, &facts);
	ck_assert_str_eq(facts.names, "DNS:a\\x00\\x0a\\\"\\xff");
	ck_assert_str_eq(facts.subject, "CN=\\C3\\BC");
	ck_assert_int_eq(facts.days_left, -1);
	party_close(&identity);
	party_make(&identity, &(struct party_wish){.common_name = "x", .raw_dns = "a,URI:b,", .raw_size = 8});
	tls_certificate_of(identity.certificate, &facts);
	ck_assert_str_eq(facts.names, "DNS:a\\x2cURI:b\\x2c");
	party_close(&identity);
	/* Cut, and terminated. */
	for (int i = 1; i < 60; i++)
		(void)snprintf(many + strlen(many), sizeof(many) - strlen(many), ",DNS:a%d.example", i);
	party_make(&identity, &(struct party_wish){.common_name = "x", .names = many});
	tls_certificate_of(identity.certificate, &facts);
	ck_assert_uint_eq(strlen(facts.names), sizeof(facts.names) - 1);
	ck_assert_int_eq(strncmp(facts.names, many, 200), 0);
	party_close(&identity);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("tlsverdict");
	TCase *tests = tcase_create("tlsverdict");

	tcase_set_timeout(tests, 30);
	tcase_add_unchecked_fixture(tests, make_identities, close_identities);
	tcase_add_loop_test(tests, the_name_must_stand_in_the_alternative_names, 0, COUNT(names));
	tcase_add_test(tests, who_expects_no_name_accepts_nobody);
	tcase_add_loop_test(tests, a_server_that_cannot_be_trusted, 0, 10);
	tcase_add_loop_test(tests, client_certificates, 0, 36);
	tcase_add_loop_test(tests, what_the_library_let_pass_is_judged_again, 0, 3);
	tcase_add_loop_test(tests, alpn_says_how_it_started, 0, COUNT(alpns));
	tcase_add_test(tests, alpn_refused_in_the_handshake);
	tcase_add_loop_test(tests, other_handshakes_that_fail, 0, 4);
	tcase_add_loop_test(tests, facts_of_a_connection, 0, 2);
	tcase_add_test(tests, facts_of_a_certificate);
	suite_add_tcase(suite, tests);
	return suite;
}
