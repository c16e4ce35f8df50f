/* TLS of the attacker, and CONFIRM. */
#include "link.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/x509.h>
#include <string.h>

static _Thread_local int last_alert;

static void note_alert(const SSL *ssl, int where, int value)
{
	(void)ssl;
	if ((where & SSL_CB_ALERT) != 0 && (where & SSL_CB_READ) != 0 && (value & 0xff) != 0)
		last_alert = value & 0xff;
}

int link_alert(void)
{
	return last_alert;
}

/* --- certificates --- */

/* A certificate that is its own authority. */
static bool use_self_made(SSL_CTX *context)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	X509_NAME *name = certificate != NULL ? X509_get_subject_name(certificate) : NULL;
	bool good =
	    key != NULL && name != NULL && X509_set_version(certificate, 2) == 1 &&
	    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
	    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) != NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) != NULL &&
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0) == 1 &&
	    X509_set_issuer_name(certificate, name) == 1 && X509_set_pubkey(certificate, key) == 1 &&
	    X509_sign(certificate, key, EVP_sha256()) > 0 && SSL_CTX_use_certificate(context, certificate) == 1 &&
	    SSL_CTX_use_PrivateKey(context, key) == 1;

	X509_free(certificate);
	EVP_PKEY_free(key);
	return good;
}

static bool use_files(SSL_CTX *context, const char *cert, const char *key)
{
	return SSL_CTX_use_certificate_chain_file(context, cert) == 1 &&
	       SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1;
}

static bool use_certificate(SSL_CTX *context, const struct scene *scene, const struct tls_wish *wish)
{
	if (wish->no_certificate)
		return true;
	if (wish->self_made)
		return use_self_made(context);
	if (wish->cert != NULL)
		return use_files(context, wish->cert, wish->key);
	return scene->cert == NULL || use_files(context, scene->cert, scene->key);
}

/* --- ALPN --- */

/* Names as they are sent: each after its length. */
static size_t pack_names(const char *const *names, uint8_t *packed)
{
	size_t size = 0;

	for (size_t i = 0; i < 3 && names[i] != NULL && names[i][0] != '\0'; i++) {
		size_t length = strlen(names[i]);

		packed[size++] = (uint8_t)length;
		memcpy(packed + size, names[i], length);
		size += length;
	}
	return size;
}

static int choose_name(SSL *ssl, const uint8_t **out, uint8_t *out_size, const uint8_t *offered, unsigned size,
                       void *name)
{
	(void)ssl;
	for (unsigned at = 0; at < size; at += 1u + offered[at])
		if (offered[at] == strlen(name) && memcmp(offered + at + 1, name, offered[at]) == 0) {
			*out = offered + at + 1;
			*out_size = offered[at];
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_NOACK;
}

/* --- handshakes --- */

static SSL_CTX *context_for(const struct scene *scene, const struct tls_wish *wish, const SSL_METHOD *method)
{
	SSL_CTX *context = SSL_CTX_new(method);

	if (context == NULL)
		return NULL;
	if (wish->highest != 0 && wish->highest < TLS1_2_VERSION)
		SSL_CTX_set_security_level(context, 0); /* the library would not even try */
	if (!use_certificate(context, scene, wish) || SSL_CTX_set_min_proto_version(context, wish->lowest) != 1 ||
	    SSL_CTX_set_max_proto_version(context, wish->highest) != 1 ||
	    (scene->ca != NULL && SSL_CTX_load_verify_file(context, scene->ca) != 1)) {
		SSL_CTX_free(context);
		return NULL;
	}
	SSL_CTX_set_info_callback(context, note_alert);
	return context;
}

bool link_tls(struct link *link, const struct scene *scene, bool direct, const struct tls_wish *wish)
{
	const struct tls_wish usual = {0};
	const char *const own[3] = {direct ? ALPN_DIRECT : ALPN_UPGRADE, NULL, NULL};
	uint8_t packed[3 * 256];
	SSL_CTX *context;
	size_t size;

	last_alert = 0;
	wish = wish != NULL ? wish : &usual;
	context = context_for(scene, wish, TLS_client_method());
	size = pack_names(wish->alpn[0] != NULL ? wish->alpn : own, packed);
	if (context == NULL)
		return false;
	if (scene->ca != NULL)
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	link->ssl = SSL_new(context);
	SSL_CTX_free(context);
	if (link->ssl == NULL || (size > 0 && SSL_set_alpn_protos(link->ssl, packed, (unsigned)size) != 0) ||
	    SSL_set_fd(link->ssl, link->fd) != 1 ||
	    (wish->session != NULL && SSL_set_session(link->ssl, wish->session) != 1))
		return false;
	ERR_clear_error();
	return SSL_connect(link->ssl) == 1;
}

bool link_tls_server(struct link *link, const struct scene *scene, const struct tls_wish *wish)
{
	static char upgrade[] = ALPN_UPGRADE;
	const struct tls_wish usual = {0};
	SSL_CTX *context;

	last_alert = 0;
	wish = wish != NULL ? wish : &usual;
	context = context_for(scene, wish, TLS_server_method());
	if (context == NULL)
		return false;
	if (wish->alpn[0] == NULL)
		SSL_CTX_set_alpn_select_cb(context, choose_name, upgrade);
	link->ssl = SSL_new(context);
	SSL_CTX_free(context);
	ERR_clear_error();
	return link->ssl != NULL && SSL_set_fd(link->ssl, link->fd) == 1 && SSL_accept(link->ssl) == 1;
}

size_t link_hello(uint8_t *bytes, size_t most)
{
	static const uint8_t name[] = "\15" ALPN_UPGRADE;
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *ssl = context != NULL ? SSL_new(context) : NULL;
	BIO *out = BIO_new(BIO_s_mem()), *in = BIO_new(BIO_s_mem());
	int size = 0;

	if (ssl != NULL && out != NULL && in != NULL && SSL_set_alpn_protos(ssl, name, sizeof(name) - 1) == 0) {
		SSL_set_bio(ssl, in, out);
		SSL_set_connect_state(ssl);
		(void)SSL_do_handshake(ssl);
		size = BIO_read(out, bytes, (int)most);
	}
	SSL_free(ssl);
	SSL_CTX_free(context);
	return size > 0 ? (size_t)size : 0;
}

/* --- CONFIRM --- */

static void make_verifier(struct link *link, const char *role, uint8_t verifier[VERIFIER_SIZE])
{
	static const char label[] = "EXPORTER-CCI-Confirm";
	uint8_t key[32], input[6 + 32];
	EVP_MD_CTX *digest = EVP_MD_CTX_new();

	memset(verifier, 0, VERIFIER_SIZE);
	memcpy(input, role, 6);
	if (digest != NULL &&
	    SSL_export_keying_material(link->ssl, key, sizeof(key), label, sizeof(label) - 1, NULL, 0, 0) == 1 &&
	    EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(digest, link->offer.bytes, link->offer.size) == 1 &&
	    EVP_DigestUpdate(digest, link->answer.bytes, link->answer.size) == 1 &&
	    EVP_DigestFinal_ex(digest, input + 6, NULL) == 1)
		(void)HMAC(EVP_sha256(), key, sizeof(key), input, sizeof(input), verifier, NULL);
	EVP_MD_CTX_free(digest);
}

void link_verifier(struct link *link, const char *role, struct message *confirm)
{
	uint8_t verifier[VERIFIER_SIZE];

	make_verifier(link, role, verifier);
	message_begin(confirm, CONFIRM, 0);
	message_add(confirm, P_VERIFIER, verifier, sizeof(verifier));
}

const char *link_confirm(struct link *link, const char *role)
{
	const bool is_client = strcmp(role, "client") == 0;
	uint8_t expected[VERIFIER_SIZE];
	struct message ours;
	struct link other; /* its messages are not those of the exchange */
	int got;

	link_verifier(link, role, &ours);
	make_verifier(link, is_client ? "server" : "client", expected);
	if (!link_send_message(link, &ours))
		return "CONFIRM could not be sent";
	other = *link;
	got = link_answer(&other);
	if (got != CONFIRM)
		return seen("in place of CONFIRM %s", got_words(&other, got));
	return memcmp(other.read.verifier, expected, sizeof(expected)) == 0 ? NULL : "a CONFIRM that is not right";
}
