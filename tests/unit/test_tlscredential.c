/* Certificates with what belongs to them, and authorities with their revocation lists, as they are loaded. */
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "saying.h"
#include "suite.h"
#include "tlscontext.h"
#include "tlscredential.h"
#include "tlspair.h"
#include "tlstrust.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static char folder[] = "/tmp/test-tlscredential-XXXXXX";
static struct party authority, stranger, server, wild;
static const char *const files[] = {"server.pem", "server.key", "wild.pem", "wild.key", "ca.pem", "crl.pem", "ocsp"};

static const char *path_of(const char *name)
{
	return path_in(folder, name);
}

static void make_files(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	party_make(&authority, &(struct party_wish){.common_name = "an authority"});
	party_make(&stranger, &(struct party_wish){.common_name = "an authority"});
	party_make(&server, &(struct party_wish){.common_name = "subject.example",
	                                         .names = "DNS:host.example,IP:10.0.0.1,DNS:b.wild.example",
	                                         .issuer = &authority});
	party_make(&wild, &(struct party_wish){.common_name = "w", .names = "DNS:*.wild.example", .issuer = &authority});
	identity_write(&server, path_of("server.pem"), path_of("server.key"));
	identity_write(&wild, path_of("wild.pem"), path_of("wild.key"));
	identity_write(&authority, path_of("ca.pem"), NULL);
}

static void remove_files(void)
{
	for (int i = 0; i < COUNT(files); i++)
		unlink(path_of(files[i]));
	rmdir(folder);
	party_close(&authority);
	party_close(&stranger);
	party_close(&server);
	party_close(&wild);
}

static struct tls_credential *load(const char *name, const char *ocsp, struct error *error)
{
	char certificate[96], key[96];

	(void)snprintf(certificate, sizeof(certificate), "%s/%s.pem", folder, name);
	(void)snprintf(key, sizeof(key), "%s/%s.key", folder, name);
	/* The paths are borrowed only while it is loaded here. */
	return tls_credential_load(NULL,
	                           &(struct tls_credential_files){.place = {.section = "certificate", .name = "x"},
	                                                          .certificate = certificate,
	                                                          .private_key = key,
	                                                          .ocsp_response = ocsp},
	                           error);
}

/* --- names --- */

static const struct {
	const char *name;
	bool server, wild;
} hosts[] = {
    {"host.example", true, false},   {"HOST.example", true, false},        {"subject.example", false, false},
    {"b.wild.example", true, true},  {"c.wild.example", false, true},      {"wild.example", false, false},
    {"a.b.wild.example", false, false}, {"10.0.0.1", false, false},        {"*.wild.example", false, false},
    {".wild.example", false, false}, {"", false, false},
};

START_TEST(a_certificate_is_for_its_alternative_names)
{
	struct error error;
	struct tls_credential *a = load("server", NULL, &error), *b = load("wild", NULL, &error);

	ck_assert(a != NULL && b != NULL);
	for (int i = 0; i < COUNT(hosts); i++) {
		ck_assert_msg(tls_credential_is_for(a, hosts[i].name) == hosts[i].server, "%s", hosts[i].name);
		ck_assert_msg(tls_credential_is_for(b, hosts[i].name) == hosts[i].wild, "%s", hosts[i].name);
	}
	/* By the wildcard of one. */
	ck_assert(tls_credential_shares_name(a, b) && tls_credential_shares_name(b, a));
	ck_assert(tls_credential_same_type(a, b));
	ck_assert_mem_ne(a->digest, b->digest, 32);
	tls_credential_free(a);
	tls_credential_free(b);
	tls_credential_free(NULL);
}
END_TEST

/* --- OCSP --- */

static const struct ocsp_case {
	const struct party *about, *issuer;
	int status;
	long from_s, until_s; /* from now on */
	const char *words;    /* NULL: taken */
} responses[] = {
    {&server, &authority, V_OCSP_CERTSTATUS_GOOD, -60, 3600, NULL},
    {&server, &authority, V_OCSP_CERTSTATUS_GOOD, -60, -1, "has expired"},
    {&server, &authority, V_OCSP_CERTSTATUS_GOOD, 7200, 9000, "not valid yet"},
    {&server, &authority, V_OCSP_CERTSTATUS_UNKNOWN, -60, 3600, "does not say good"},
    {&server, &authority, V_OCSP_CERTSTATUS_REVOKED, -60, 3600, "does not say good"},
    {&server, &wild, V_OCSP_CERTSTATUS_GOOD, -60, 3600, "not about this certificate"},
};

static void write_response(const struct ocsp_case *made)
{
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), made->about->certificate, made->issuer->certificate);
	ASN1_TIME *from = X509_gmtime_adj(NULL, made->from_s), *until = X509_gmtime_adj(NULL, made->until_s);
	ASN1_TIME *revoked = made->status == V_OCSP_CERTSTATUS_REVOKED ? X509_gmtime_adj(NULL, -100) : NULL;
	OCSP_RESPONSE *response;
	uint8_t *bytes = NULL;
	FILE *stream = fopen(path_of("ocsp"), "w");
	int size;

	/* The name of the issuer decides, not who signs it: only clients can check that. */
	if (made->issuer == &wild) {
		OCSP_CERTID_free(id);
		id = OCSP_cert_id_new(EVP_sha1(), X509_get_subject_name(wild.certificate),
		                      X509_get0_pubkey_bitstr(wild.certificate), X509_get0_serialNumber(server.certificate));
	}
	ck_assert_ptr_nonnull(OCSP_basic_add1_status(basic, id, made->status, 0, revoked, from, until));
	ck_assert_int_eq(OCSP_basic_sign(basic, authority.certificate, authority.key, EVP_sha256(), NULL, 0), 1);
	response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	size = i2d_OCSP_RESPONSE(response, &bytes);
	ck_assert_int_gt(size, 0);
	ck_assert_uint_eq(fwrite(bytes, 1, (size_t)size, stream), (size_t)size);
	ck_assert_int_eq(fclose(stream), 0);
	OPENSSL_free(bytes);
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	ASN1_TIME_free(revoked);
}

START_TEST(a_response_is_judged)
{
	struct tls_credential *credential;
	struct error error = {.text = ""};

	write_response(&responses[_i]);
	credential = load("server", path_of("ocsp"), &error);
	ck_assert_msg((credential != NULL) == (responses[_i].words == NULL), "%d: %s", _i, error.text);
	if (credential == NULL) {
		ck_assert_msg(strstr(error.text, responses[_i].words) != NULL, "%s", error.text);
		ck_assert_str_eq(error.section, "certificate");
		ck_assert_str_eq(error.name, "x");
		ck_assert_str_eq(error.key, "ocsp_response");
	} else {
		ck_assert_int_gt(credential->ocsp_until, tls_now() + 3500);
	}
	tls_credential_free(credential);
}
END_TEST

/* What a client gets stapled, `later_s` from now; its size. */
static long stapled(struct tls_worker *worker, time_t later_s)
{
	struct meeting meeting;
	const unsigned char *response;
	SSL *client = tls_client_new(worker, 0, 0, TLS_START_UPGRADE);
	long size;

	ck_assert_int_eq(SSL_set_tlsext_status_type(client, TLSEXT_STATUSTYPE_ocsp), 1);
	tls_now_shift(later_s);
	meeting_open(&meeting, client, tls_server_new(worker, &(struct tls_server_options){.start = TLS_START_UPGRADE}));
	ck_assert_int_eq(meeting_run(&meeting), MET_BOTH);
	tls_now_shift(0);
	size = SSL_get_tlsext_status_ocsp_resp(client, &response);
	meeting_close(&meeting);
	return size;
}

START_TEST(a_response_is_stapled_until_it_expires)
{
	struct address address = {0};
	struct config_listener listener = {.place = {.name = (char *)(uintptr_t) "l"}};
	struct config_peer peer = {.place = {.name = (char *)(uintptr_t) "p"},
	                           .security = PEER_REQUIRED,
	                           .server_name = (char *)(uintptr_t) "host.example",
	                           .address = {.at = &address, .count = 1}};
	struct config config = {.gateway = {.sysid = (char *)(uintptr_t) "GW"},
	                        .listeners = &listener,
	                        .listener_count = 1,
	                        .peers = &peer,
	                        .peer_count = 1,
	                        .tls = {.certificate = (char *)(uintptr_t)path_of("server.pem"),
	                                .private_key = (char *)(uintptr_t)path_of("server.key"),
	                                .ocsp_response = (char *)(uintptr_t)path_of("ocsp"),
	                                .ca = (char *)(uintptr_t)path_of("ca.pem"),
	                                .min_version = TLS1_2_VERSION,
	                                .resumption = CHOICE_NO}};
	struct tls_worker *worker;
	struct error error;

	listener.client_auth = CLIENT_AUTH_NO;
	write_response(&responses[0]);
	worker = tls_worker_new(&config, &error);
	ck_assert_msg(worker != NULL, "%s", error.text);
	ck_assert_int_gt(stapled(worker, 0), 0);
	ck_assert_int_gt(stapled(worker, 3500), 0);
	ck_assert_int_le(stapled(worker, 3700), 0);
	tls_worker_leave(worker);
	tls_worker_free(worker);
}
END_TEST

/* Lines that reading a secret of this mode and owner writes, by two workers. */
static int lines_of(mode_t mode, uid_t owner)
{
	const struct tls_place place = {.section = "tls"};
	struct saying saying;
	struct tls_bytes bytes;
	struct error error;

	ck_assert_int_eq(chmod(path_of("server.key"), mode), 0);
	ck_assert(geteuid() != 0 || chown(path_of("server.key"), owner, (gid_t)-1) == 0);
	saying_begin(&saying);
	for (int worker = 0; worker < 2; worker++) {
		ck_assert_int_eq(tls_read_secret(&place, "private_key", path_of("server.key"), &bytes, &error), 0);
		tls_wipe(&bytes);
	}
	return saying_lines(&saying);
}

START_TEST(a_secret_that_others_can_read_is_said_once)
{
	ck_assert_int_eq(lines_of(0600, 0), 0);
	ck_assert_int_eq(lines_of(0644, 0), 1);
	ck_assert_int_eq(lines_of(0600, 0), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(lines_of(0640, 0), 0);
		ck_assert_int_eq(lines_of(0640, 65534), 1);
	}
	ck_assert_int_eq(lines_of(0600, 0), 0);
}
END_TEST

/* --- revocation --- */

static void write_list(const struct party *signer, long until_s, const X509 *revoked)
{
	X509_CRL *list = X509_CRL_new();
	ASN1_TIME *from = X509_gmtime_adj(NULL, -3600), *until = X509_gmtime_adj(NULL, until_s);
	FILE *stream = fopen(path_of("crl.pem"), "w");

	ck_assert_int_eq(X509_CRL_set_version(list, X509_CRL_VERSION_2), 1);
	ck_assert_int_eq(X509_CRL_set_issuer_name(list, X509_get_subject_name(signer->certificate)), 1);
	ck_assert_int_eq(X509_CRL_set1_lastUpdate(list, from), 1);
	ck_assert_int_eq(X509_CRL_set1_nextUpdate(list, until), 1);
	if (revoked != NULL) {
		X509_REVOKED *one = X509_REVOKED_new();
		ASN1_INTEGER *serial = ASN1_INTEGER_dup(X509_get0_serialNumber(revoked));

		ck_assert_int_eq(X509_REVOKED_set_serialNumber(one, serial), 1);
		ck_assert_int_eq(X509_REVOKED_set_revocationDate(one, from), 1);
		ck_assert_int_eq(X509_CRL_add0_revoked(list, one), 1);
		ASN1_INTEGER_free(serial);
	}
	ck_assert_int_gt(X509_CRL_sign(list, signer->key, EVP_sha256()), 0);
	ck_assert_int_eq(PEM_write_X509_CRL(stream, list), 1);
	ck_assert_int_eq(fclose(stream), 0);
	X509_CRL_free(list);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
}

static struct tls_trust *load_trust(struct error *error)
{
	return tls_trust_load(NULL,
	                      &(struct tls_trust_files){.ca_place = {.section = "tls"},
	                                                .crl_place = {.section = "peer", .name = "p"},
	                                                .ca = path_of("ca.pem"),
	                                                .crl = path_of("crl.pem"),
	                                                .crl_check = CRL_CHECK_LEAF},
	                      error);
}

static int verify(const struct tls_trust *trust, X509 *certificate)
{
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	int result;

	ck_assert_int_eq(X509_STORE_CTX_init(context, trust->store, certificate, NULL), 1);
	(void)X509_verify_cert(context);
	result = X509_STORE_CTX_get_error(context);
	X509_STORE_CTX_free(context);
	return result;
}

START_TEST(lists_revoke)
{
	struct error error;
	struct tls_trust *trust;
	uint8_t digest[32];

	write_list(&authority, 3600, NULL);
	trust = load_trust(&error);
	ck_assert_msg(trust != NULL, "%s", error.text);
	ck_assert_int_eq(verify(trust, server.certificate), X509_V_OK);
	ck_assert_uint_eq(tls_trust_warn(trust), 0);
	ck_assert_int_gt(trust->crl_until, tls_now());
	memcpy(digest, trust->digest, 32);
	tls_trust_free(trust);
	write_list(&authority, 3600, server.certificate);
	trust = load_trust(&error);
	ck_assert_msg(trust != NULL, "%s", error.text);
	ck_assert_int_eq(verify(trust, server.certificate), X509_V_ERR_CERT_REVOKED);
	/* Another policy: a session from before does not resume. */
	ck_assert_mem_ne(digest, trust->digest, 32);
	tls_trust_free(trust);
	write_list(&authority, -60, NULL);
	trust = load_trust(&error);
	ck_assert_msg(trust != NULL, "%s", error.text);
	ck_assert_int_eq(verify(trust, server.certificate), X509_V_ERR_CRL_HAS_EXPIRED);
	tls_trust_free(trust);
	tls_trust_free(NULL);
}
END_TEST

START_TEST(a_list_of_somebody_else_is_refused)
{
	struct error error;

	/* Of the same name. */
	write_list(&stranger, 3600, NULL);
	ck_assert_ptr_null(load_trust(&error));
	ck_assert_msg(strstr(error.text, "has not signed") != NULL, "%s", error.text);
	ck_assert_str_eq(error.section, "peer");
	ck_assert_str_eq(error.name, "p");
	ck_assert_str_eq(error.key, "crl");
}
END_TEST

START_TEST(without_a_list_of_its_authority_nobody_is_believed)
{
	struct error error;
	struct tls_trust *trust;

	write_list(&wild, 3600, NULL);
	trust = load_trust(&error);
	ck_assert_msg(trust != NULL, "%s", error.text);
	ck_assert_int_eq(verify(trust, server.certificate), X509_V_ERR_UNABLE_TO_GET_CRL);
	ck_assert_uint_eq(tls_trust_warn(trust), 1);
	tls_trust_free(trust);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("tlscredential");
	TCase *tests = tcase_create("tlscredential");

	tcase_add_unchecked_fixture(tests, make_files, remove_files);
	tcase_add_test(tests, a_certificate_is_for_its_alternative_names);
	tcase_add_loop_test(tests, a_response_is_judged, 0, COUNT(responses));
	tcase_add_test(tests, a_response_is_stapled_until_it_expires);
	tcase_add_test(tests, a_secret_that_others_can_read_is_said_once);
	tcase_add_test(tests, lists_revoke);
	tcase_add_test(tests, a_list_of_somebody_else_is_refused);
	tcase_add_test(tests, without_a_list_of_its_authority_nobody_is_believed);
	suite_add_tcase(suite, tests);
	return suite;
}
