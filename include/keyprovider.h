/*
 * An OpenSSL provider ("cci-keys") whose private keys are elsewhere: an EVP_PKEY of it has a public key and a handle,
 * works in libssl like any other, and asks for each signature by a hook. It has no private part that could be taken
 * out: export of one fails. RSA, RSA-PSS, EC, Ed25519 and Ed448; what TLS 1.2 and 1.3 sign, and nothing else. Knows no
 * process and no socket.
 */
#ifndef KEYPROVIDER_H
#define KEYPROVIDER_H

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "keywire.h"
#include "text.h"

#define KEYPROVIDER_NAME "cci-keys"

struct keyprovider_request {
	uint64_t handle;
	enum keywire_padding padding;
	enum keywire_digest digest; /* PSS: of the mask too, and the salt is as long */
	const uint8_t *bytes; /* the text to be signed, not its digest */
	size_t size;
};

struct keyprovider_hooks {
	/* Sign into `signature` of KEYWIRE_SIGNATURE_MOST bytes; *size is how many they are. Any thread; it may block. */
	enum keywire_result (*sign)(const struct keyprovider_request *request, uint8_t *signature, size_t *size);
	/* The last EVP_PKEY of the handle is gone. Any thread. */
	void (*release)(uint64_t handle);
};

/* For the whole process, before the first thread (borrowed for ever). NULL: every signature fails. */
void keyprovider_use(const struct keyprovider_hooks *hooks);

/* Add it to a library context. What has no handle still goes to the providers that are there. Owned by the caller, who
 * takes it out (OSSL_PROVIDER_unload) when its keys are gone and before the library context is freed. NULL with
 * `error`. */
OSSL_PROVIDER *keyprovider_add(OSSL_LIB_CTX *library, struct error *error) MUST_CHECK;

/* The key that `handle` stands for; `public_key` is its SubjectPublicKeyInfo in DER. Owned by the caller
 * (EVP_PKEY_free); the handle goes with it. NULL with `error`: the handle stays the caller's. */
EVP_PKEY *keyprovider_key(OSSL_LIB_CTX *library, uint64_t handle, const uint8_t *public_key, size_t size,
                          struct error *error) MUST_CHECK;

#endif
