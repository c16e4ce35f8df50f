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

/* Looked up once, as that takes longer than their use and a lock of all threads; they live as long as the process. */
static EVP_MD *sha256;
static EVP_MAC_CTX *hmac; /* with its hash and a key of zeros: what each use copies */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void look_up(void)
{
	static char hash[] = "SHA256";
	static const uint8_t zeros[KEY_SIZE];
	OSSL_PARAM settings[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash, 0),
	                         OSSL_PARAM_construct_end()};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	sha256 = EVP_MD_fetch(NULL, hash, NULL);
	hmac = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
	EVP_MAC_free(mac);
	if (hmac == NULL || EVP_MAC_init(hmac, zeros, sizeof(zeros), settings) == 1)
		return;
	EVP_MAC_CTX_free(hmac);
	hmac = NULL;
}

int confirm_prepare(void)
{
	(void)pthread_once(&once, look_up);
	return sha256 != NULL && hmac != NULL ? 0 : -1;
}

int confirm_digest(const uint8_t *offer, size_t offer_size, const uint8_t *accept, size_t accept_size, uint8_t *digest)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int done = confirm_prepare() == 0 && context != NULL && EVP_DigestInit_ex(context, sha256, NULL) == 1 &&
	       EVP_DigestUpdate(context, offer, offer_size) == 1 && EVP_DigestUpdate(context, accept, accept_size) == 1 &&
	       EVP_DigestFinal_ex(context, digest, NULL) == 1;
	EVP_MD_CTX_free(context);
	return done ? 0 : -1;
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
	uint8_t key[KEY_SIZE];
	EVP_MAC_CTX *context;
	bool done;

	context = confirm_prepare() == 0 ? EVP_MAC_CTX_dup(hmac) : NULL;
	done = context != NULL &&
	       SSL_export_keying_material(ssl, key, sizeof(key), LABEL, strlen(LABEL), NULL, 0, 0) == 1 &&
	       EVP_MAC_init(context, key, sizeof(key), NULL) == 1 &&
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
