/* What an event says of certificates, by the kind of their keys and signatures; who has shown one; and segments. */
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event_tls.h"
#include "suite.h"
#include "tlspair.h"

static const struct kind {
	const char *type, *curve;
	const char *hash; /* NULL: the algorithm has its own */
	bool pss;
	const char *key, *signature, *digest;
	uint32_t bits;
} kinds[] = {
    {"RSA", NULL, "SHA256", false, "RSA", "RSA", "SHA256", 2048},
    {"RSA", NULL, "SHA384", true, "RSA", "RSA-PSS", "SHA384", 2048},
    {"RSA-PSS", NULL, "SHA256", true, "RSA-PSS", "RSA-PSS", "SHA256", 2048},
    {"EC", "P-256", "SHA512", false, "EC", "ECDSA", "SHA512", 256},
    {"EC", "P-384", "SHA224", false, "EC", "ECDSA", "SHA224", 384},
    {"ED25519", NULL, NULL, false, "ED25519", "ED25519", "", 256},
};
#define KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))

static EVP_PKEY *make_key(const struct kind *kind)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, kind->type, NULL);
	EVP_PKEY *key = NULL;

	ck_assert_ptr_nonnull(context);
	ck_assert_int_eq(EVP_PKEY_keygen_init(context), 1);
	if (kind->curve != NULL)
		ck_assert_int_eq(EVP_PKEY_CTX_set_group_name(context, kind->curve), 1);
	ck_assert_int_eq(EVP_PKEY_keygen(context, &key), 1);
	EVP_PKEY_CTX_free(context);
	return key;
}

static void sign(X509 *certificate, EVP_PKEY *key, const struct kind *kind)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *padding = NULL;

	ck_assert_int_eq(EVP_DigestSignInit_ex(context, &padding, kind->hash, NULL, NULL, key, NULL), 1);
	if (kind->pss)
		ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING), 0);
	ck_assert_int_gt(X509_sign_ctx(certificate, context), 0);
	EVP_MD_CTX_free(context);
}

static void make_party(struct party *party, const struct kind *kind, const char *name, long serial)
{
	X509_NAME *subject = X509_NAME_new();

	party->key = make_key(kind);
	party->certificate = X509_new();
	ck_assert_int_eq(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0), 1);
	ck_assert_int_eq(X509_set_version(party->certificate, X509_VERSION_3), 1);
	ck_assert_int_eq(X509_set_subject_name(party->certificate, subject), 1);
	ck_assert_int_eq(X509_set_issuer_name(party->certificate, subject), 1);
	ck_assert_int_eq(X509_set_pubkey(party->certificate, party->key), 1);
	ck_assert_int_eq(ASN1_INTEGER_set(X509_get_serialNumber(party->certificate), serial), 1);
	ck_assert_int_eq(ASN1_TIME_set_string(X509_getm_notBefore(party->certificate), "20200101000000Z"), 1);
	ck_assert_int_eq(ASN1_TIME_set_string(X509_getm_notAfter(party->certificate), "20510203040506Z"), 1);
	sign(party->certificate, party->key, kind);
	X509_NAME_free(subject);
}

static int accept_any(int fine, X509_STORE_CTX *store)
{
	(void)fine;
	(void)store;
	return 1;
}

static SSL *make_side(bool is_server, const struct party *own, bool asks)
{
	SSL_CTX *context = plain_context(is_server, own, NULL);
	SSL *ssl;

	SSL_CTX_set_security_level(context, 1);
	SSL_CTX_set_verify(context, asks ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, asks ? accept_any : NULL);
	ssl = plain_on_socket(context, is_server, -1);
	SSL_CTX_free(context);
	return ssl;
}

static void expect(const struct cci_certificate *certificate, const struct kind *kind, const char *name, const char *serial)
{
	ck_assert_ptr_nonnull(certificate);
	ck_assert_uint_eq(certificate->size, sizeof(*certificate));
	ck_assert_str_eq(certificate->subject, name);
	ck_assert_str_eq(certificate->issuer, name);
	ck_assert_str_eq(certificate->serial, serial);
	ck_assert_str_eq(certificate->not_after, "2051-02-03T04:05:06Z");
	ck_assert_str_eq(certificate->key, kind->key);
	ck_assert_str_eq(certificate->signature, kind->signature);
	ck_assert_str_eq(certificate->digest, kind->digest);
	ck_assert_uint_eq(certificate->key_bits, kind->bits);
}

/* With and without a request for the client's, which has one in any case. */
START_TEST(both_certificates_are_named)
{
	const struct kind *mine = &kinds[_i / 2], *other = &kinds[(_i / 2 + 3) % KINDS];
	struct party server, client;
	struct meeting meeting;
	struct event_certificate texts;
	struct cci_event event = {0};
	bool asks = _i % 2 == 1;

	make_party(&server, mine, "server", 0x0102);
	make_party(&client, other, "client", 0x7f);
	meeting_open(&meeting, make_side(false, &client, true), make_side(true, &server, asks));
	ck_assert_int_eq(meeting_run(&meeting), MET_BOTH);
	event_tls_fill(&event, meeting.server, &texts);
	expect(event.own_certificate, mine, "CN=server", "0102");
	if (asks)
		expect(event.peer_certificate, other, "CN=client", "7f");
	else
		ck_assert_ptr_null(event.peer_certificate);
	ck_assert_uint_eq(event.tls_version_number, 0x0304);
	ck_assert_uint_eq(event.tls_suite_number, SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(meeting.client)));
	memset(&event, 0, sizeof(event));
	event_tls_fill(&event, meeting.client, &texts);
	expect(event.peer_certificate, mine, "CN=server", "0102");
	if (asks)
		expect(event.own_certificate, other, "CN=client", "7f");
	else
		ck_assert_ptr_null(event.own_certificate);
	meeting_close(&meeting);
	party_close(&server);
	party_close(&client);
}
END_TEST

START_TEST(segments_are_those_of_tcp)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(name);
	int listening = socket(AF_INET, SOCK_STREAM, 0), from = socket(AF_INET, SOCK_STREAM, 0), ends[2];
	struct cci_event event = {.fd = from};

	ck_assert_int_eq(bind(listening, (const struct sockaddr *)&name, size), 0);
	ck_assert_int_eq(listen(listening, 1), 0);
	ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&name, &size), 0);
	ck_assert_int_eq(connect(from, (const struct sockaddr *)&name, size), 0);
	event_tcp_fill(&event);
	ck_assert_uint_gt(event.segments_in, 0);
	ck_assert_uint_gt(event.segments_out, 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	event = (struct cci_event){.fd = ends[0]};
	event_tcp_fill(&event);
	ck_assert_uint_eq(event.segments_in + event.segments_out, 0);
	event.fd = -1;
	event_tcp_fill(&event);
	ck_assert_uint_eq(event.segments_in + event.segments_out, 0);
	close(listening);
	close(from);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("event_tls");
	TCase *tests = tcase_create("event_tls");

	tcase_set_timeout(tests, 30);
	tcase_add_loop_test(tests, both_certificates_are_named, 0, 2 * KINDS);
	tcase_add_test(tests, segments_are_those_of_tcp);
	suite_add_tcase(suite, tests);
	return suite;
}
