/* The verifiers of CONFIRM. */
#include "confirm.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <string.h>

#define LABEL "EXPORTER-CCI-Confirm"
#define KEY_SIZE 32
#define ROLE_SIZE 6

int confirm_digest(const uint8_t *offer, size_t offer_size, const uint8_t *accept, size_t accept_size, uint8_t *digest)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int done = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
	           EVP_DigestUpdate(context, offer, offer_size) == 1 &&
	           EVP_DigestUpdate(context, accept, accept_size) == 1 && EVP_DigestFinal_ex(context, digest, NULL) == 1;

	EVP_MD_CTX_free(context);
	return done ? 0 : -1;
}

static EVP_MAC *hmac; /* looked up once, as that takes longer than its use; lives as long as the process */
static pthread_once_t hmac_once = PTHREAD_ONCE_INIT;

static void fetch_hmac(void)
{
	hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
}

/* HMAC(key, role || digest); the context keeps the key for a second one. */
static bool authenticate(EVP_MAC_CTX *context, const char *role, const uint8_t *digest, uint8_t *verifier)
{
	size_t size;

	return EVP_MAC_update(context, (const uint8_t *)role, ROLE_SIZE) == 1 &&
	       EVP_MAC_update(context, digest, CONFIRM_DIGEST_SIZE) == 1 &&
	       EVP_MAC_final(context, verifier, &size, PARAMS_VERIFIER_SIZE) == 1 && size == PARAMS_VERIFIER_SIZE;
}

int confirm_verifiers(SSL *ssl, const uint8_t *digest, struct confirm_verifiers *verifiers)
{
	static char hash[] = "SHA256";
	OSSL_PARAM settings[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash, 0),
	                         OSSL_PARAM_construct_end()};
	uint8_t key[KEY_SIZE];
	EVP_MAC_CTX *context;
	bool done;

	(void)pthread_once(&hmac_once, fetch_hmac);
	context = hmac != NULL ? EVP_MAC_CTX_new(hmac) : NULL;
	done = context != NULL &&
	       SSL_export_keying_material(ssl, key, sizeof(key), LABEL, strlen(LABEL), NULL, 0, 0) == 1 &&
	       EVP_MAC_init(context, key, sizeof(key), settings) == 1 &&
	       authenticate(context, "client", digest, verifiers->client) && EVP_MAC_init(context, NULL, 0, NULL) == 1 &&
	       authenticate(context, "server", digest, verifiers->server);
	OPENSSL_cleanse(key, sizeof(key));
	EVP_MAC_CTX_free(context);
	return done ? 0 : -1;
}

bool confirm_equal(const uint8_t *a, const uint8_t *b)
{
	return CRYPTO_memcmp(a, b, PARAMS_VERIFIER_SIZE) == 0;
}
