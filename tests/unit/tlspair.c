/* Certificates and handshakes in memory. */
#include "tlspair.h"

#include <check.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

#define MEETING_STEPS 20
#define NINETY_DAYS_S (90L * 24 * 3600)

static void add_extension(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	ck_assert_msg(extension != NULL, "%s", value);
	ck_assert_int_eq(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

static void add_raw_name(X509 *certificate, const char *bytes, size_t size)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *value = ASN1_IA5STRING_new();

	ck_assert_int_eq(ASN1_STRING_set(value, bytes, (int)size), 1);
	GENERAL_NAME_set0_value(name, GEN_DNS, value);
	ck_assert_int_gt(sk_GENERAL_NAME_push(names, name), 0);
	ck_assert_int_eq(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT), 1);
	GENERAL_NAMES_free(names);
}

static void set_times(X509 *certificate, const struct party_wish *wish)
{
	bool usual = wish->from_s == 0 && wish->until_s == 0;

	ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notBefore(certificate), usual ? -3600 : wish->from_s));
	ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notAfter(certificate), usual ? NINETY_DAYS_S : wish->until_s));
}

void party_make(struct party *identity, const struct party_wish *wish)
{
	const struct party *issuer = wish->issuer != NULL ? wish->issuer : identity;
	X509 *certificate = X509_new();

	identity->key = EVP_EC_gen("P-256");
	identity->certificate = certificate;
	ck_assert(certificate != NULL && identity->key != NULL);
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 0x4711ab);
	set_times(certificate, wish);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
	                           (const unsigned char *)wish->common_name, -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(issuer->certificate));
	X509_set_pubkey(certificate, identity->key);
	add_extension(certificate, NID_basic_constraints, wish->issuer == NULL ? "critical,CA:TRUE" : "CA:FALSE");
	if (wish->names != NULL)
		add_extension(certificate, NID_subject_alt_name, wish->names);
	if (wish->raw_dns != NULL)
		add_raw_name(certificate, wish->raw_dns, wish->raw_size);
	if (wish->usage != NULL)
		add_extension(certificate, NID_ext_key_usage, wish->usage);
	ck_assert_int_gt(X509_sign(certificate, issuer->key, EVP_sha256()), 0);
}

void party_close(struct party *identity)
{
	X509_free(identity->certificate);
	EVP_PKEY_free(identity->key);
}

const char *path_in(const char *folder, const char *name)
{
	static char paths[8][80];
	static int next;
	char *path = paths[next++ % 8];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

void identity_write(const struct party *identity, const char *certificate, const char *key)
{
	FILE *stream;

	if (certificate != NULL) {
		stream = fopen(certificate, "w");
		ck_assert_ptr_nonnull(stream);
		ck_assert_int_eq(PEM_write_X509(stream, identity->certificate), 1);
		ck_assert_int_eq(fclose(stream), 0);
	}
	if (key != NULL) {
		stream = fopen(key, "w");
		ck_assert_ptr_nonnull(stream);
		ck_assert_int_eq(fchmod(fileno(stream), 0600), 0);
		ck_assert_int_eq(PEM_write_PrivateKey(stream, identity->key, NULL, NULL, 0, NULL, NULL), 1);
		ck_assert_int_eq(fclose(stream), 0);
	}
}

SSL_CTX *plain_context(bool is_server, const struct party *own, const struct party *authority)
{
	SSL_CTX *context = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());

	ck_assert_ptr_nonnull(context);
	ck_assert_int_eq(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION), 1);
	if (own != NULL) {
		ck_assert_int_eq(SSL_CTX_use_certificate(context, own->certificate), 1);
		ck_assert_int_eq(SSL_CTX_use_PrivateKey(context, own->key), 1);
	}
	if (authority != NULL) {
		ck_assert_int_eq(X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority->certificate), 1);
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	}
	return context;
}

static SSL *plain_new(SSL_CTX *context, bool is_server)
{
	SSL *ssl = SSL_new(context);

	ck_assert_ptr_nonnull(ssl);
	if (is_server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	return ssl;
}

SSL *plain_on_socket(SSL_CTX *context, bool is_server, int fd)
{
	SSL *ssl = plain_new(context, is_server);

	if (fd >= 0)
		ck_assert_int_eq(SSL_set_fd(ssl, fd), 1);
	return ssl;
}

void meeting_open(struct meeting *meeting, SSL *client, SSL *server)
{
	BIO *left, *right;

	ck_assert_int_eq(BIO_new_bio_pair(&left, 65536, &right, 65536), 1);
	SSL_set_bio(client, left, left);
	SSL_set_bio(server, right, right);
	meeting->client = client;
	meeting->server = server;
}

/* 1: done; 0: waits; -1: failed, with the errors in the queue. */
static int step(SSL *ssl)
{
	int result, error;

	ERR_clear_error();
	result = SSL_do_handshake(ssl);
	if (result == 1)
		return 1;
	error = SSL_get_error(ssl, result);
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

enum met meeting_run(struct meeting *meeting)
{
	int client = 0, server = 0;

	for (int i = 0; i < MEETING_STEPS && (client != 1 || server != 1); i++) {
		client = step(meeting->client);
		if (client < 0)
			return MET_CLIENT_FAILED;
		server = step(meeting->server);
		if (server < 0)
			return MET_SERVER_FAILED;
	}
	ck_assert(client == 1 && server == 1);
	return MET_BOTH;
}

void meeting_close(struct meeting *meeting)
{
	SSL_free(meeting->client);
	SSL_free(meeting->server);
	ERR_clear_error();
}
