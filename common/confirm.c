/* The verifier of CONFIRM. */
#include "confirm.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
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

int confirm_verifier(SSL *ssl, enum confirm_role role, const uint8_t *digest, uint8_t *verifier)
{
	uint8_t key[KEY_SIZE], text[ROLE_SIZE + CONFIRM_DIGEST_SIZE];
	unsigned size = 0;
	int done;

	memcpy(text, role == CONFIRM_CLIENT ? "client" : "server", ROLE_SIZE);
	memcpy(text + ROLE_SIZE, digest, CONFIRM_DIGEST_SIZE);
	done = SSL_export_keying_material(ssl, key, sizeof(key), LABEL, strlen(LABEL), NULL, 0, 0) == 1 &&
	       HMAC(EVP_sha256(), key, sizeof(key), text, sizeof(text), verifier, &size) != NULL &&
	       size == PARAMS_VERIFIER_SIZE;
	OPENSSL_cleanse(key, sizeof(key));
	return done ? 0 : -1;
}

bool confirm_equal(const uint8_t *a, const uint8_t *b)
{
	return CRYPTO_memcmp(a, b, PARAMS_VERIFIER_SIZE) == 0;
}
