/* The verifier of CONFIRM: the clear exchange checked inside TLS (protocol, section 4; RFC 8446 7.5, RFC 5705). */
#ifndef CONFIRM_H
#define CONFIRM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "params.h"

#define CONFIRM_DIGEST_SIZE 32

/* Look up what the functions below need, once for the process: who starts without it would never have it. 0 or -1 (not
 * enough memory, or the library lacks HMAC-SHA-256). Any thread; they do it themselves where nobody has. */
int confirm_prepare(void) MUST_CHECK;

/* SHA-256(OFFER || ACCEPT) into `digest` of CONFIRM_DIGEST_SIZE bytes. 0 or -1 (the library failed). */
int confirm_digest(const uint8_t *offer, size_t offer_size, const uint8_t *accept, size_t accept_size,
                   uint8_t *digest) MUST_CHECK;

/* What the two ends of one connection send. */
struct confirm_verifiers {
	uint8_t client[PARAMS_VERIFIER_SIZE];
	uint8_t server[PARAMS_VERIFIER_SIZE];
};

/* Both verifiers of this TLS connection, whose handshake must be done. 0 or -1. The key is wiped. */
int confirm_verifiers(SSL *ssl, const uint8_t *digest, struct confirm_verifiers *verifiers) MUST_CHECK;

/* Compare in constant time. */
bool confirm_equal(const uint8_t *a, const uint8_t *b);

#endif
