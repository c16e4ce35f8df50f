/* Certificates and contexts. */
#include "certs.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "fuzz.h"

struct party {
	X509 *certificate;
	EVP_PKEY *key;
};

static struct party authority, stranger, parties[CERTS];
static SSL_CTX *contexts[CERTS][2];

static void add_extension(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	FUZZ_CHECK(extension != NULL && X509_add_ext(certificate, extension, -1) == 1, "no extension %s", value);
	X509_EXTENSION_free(extension);
}

/* `issuer` NULL: an authority. */
static void make(struct party *party, const char *name, const struct party *issuer)
{
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_get_subject_name(certificate);
	char text[64];

	party->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	party->certificate = certificate;
	(void)X509_set_version(certificate, X509_VERSION_3);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	(void)X509_gmtime_adj(X509_getm_notAfter(certificate), 10L * 365 * 86400);
	(void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	(void)X509_set_pubkey(certificate, party->key);
	(void)X509_set_issuer_name(certificate,
	                           issuer != NULL ? X509_get_subject_name(issuer->certificate) : subject);
	if (issuer == NULL) {
		add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
		add_extension(certificate, NID_key_usage, "keyCertSign,cRLSign");
	} else {
		(void)snprintf(text, sizeof(text), "DNS:%s", name);
		add_extension(certificate, NID_subject_alt_name, text);
	}
	FUZZ_CHECK(X509_sign(certificate, issuer != NULL ? issuer->key : party->key, NULL) > 0, "no certificate for %s", name);
}

static void write_pem(const char *folder, const char *name, X509 *certificate, EVP_PKEY *key)
{
	char path[512];
	FILE *file;
	int written;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	FUZZ_CHECK(file != NULL, "cannot write %s", path);
	written = key != NULL ? PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) : PEM_write_X509(file, certificate);
	FUZZ_CHECK(written == 1 && fclose(file) == 0, "cannot write %s", path);
}

static SSL_CTX *make_context(const struct party *own, int is_server)
{
	SSL_CTX *context = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());

	FUZZ_CHECK(context != NULL, "no context");
	if (own->certificate != NULL)
		FUZZ_CHECK(SSL_CTX_use_certificate(context, own->certificate) == 1 && SSL_CTX_use_PrivateKey(context, own->key) == 1,
		           "no certificate in a context");
	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	(void)SSL_CTX_set_num_tickets(context, 0);
	(void)SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
	(void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	return context;
}

void certs_make(const char *folder)
{
	make(&authority, "Fuzz CA", NULL);
	make(&stranger, "Stranger CA", NULL);
	make(&parties[CERT_GATEWAY], "gateway.test", &authority);
	make(&parties[CERT_PEER], "peer.test", &authority);
	make(&parties[CERT_CLIENT], "client.test", &authority);
	make(&parties[CERT_OTHER_NAME], "other.test", &authority);
	make(&parties[CERT_UNTRUSTED], "peer.test", &stranger);
	write_pem(folder, "ca.pem", authority.certificate, NULL);
	write_pem(folder, "gateway.pem", parties[CERT_GATEWAY].certificate, NULL);
	write_pem(folder, "gateway.key", NULL, parties[CERT_GATEWAY].key);
	for (int i = 0; i < CERTS; i++)
		for (int is_server = 0; is_server < 2; is_server++)
			contexts[i][is_server] = make_context(&parties[i], is_server);
}

SSL_CTX *certs_context(enum cert cert, int is_server)
{
	return contexts[cert][is_server];
}
