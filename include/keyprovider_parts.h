/* What keyprovider.c (the provider, its keys) and keyprovider_sign.c (its signatures) share. Nobody else includes it.
 */
#ifndef KEYPROVIDER_PARTS_H
#define KEYPROVIDER_PARTS_H

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "keyprovider.h"

/* The one name of all its signatures: no other provider has it, so that nobody else's is found for our keys, nor ours
 * for others. */
#define KEYPROVIDER_SIGNATURE "CCI-KEYS-SIGNATURE"

/* A key of the provider. Counted. */
struct provided_key {
	atomic_uint references;
	const char *type;  /* static: "RSA"... */
	OSSL_LIB_CTX *library; /* borrowed */
	EVP_PKEY *shown;   /* owned: the public key, of another provider; NULL: not there yet */
	bool is_held;      /* there is a private key, under: */
	uint64_t handle;
};

struct provided_key *keyprovider_share(struct provided_key *key);
void keyprovider_drop(struct provided_key *key);

extern const OSSL_DISPATCH keyprovider_signature[];

/* What was given to keyprovider_use. */
const struct keyprovider_hooks *keyprovider_hooks(void);

/* Put the words of `result` into OpenSSL's queue of errors. */
void keyprovider_raise(enum keywire_result result);

#endif
