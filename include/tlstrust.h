/*
 * Whom this side believes: authorities and their revocation lists, in one store that all contexts with the same
 * settings share. Loaded once for each worker, in the worker's library context. For the modules of TLS alone.
 */
#ifndef TLSTRUST_H
#define TLSTRUST_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "compiler.h"
#include "text.h"
#include "tlsload.h"

/* Paths; all borrowed. A [peer] may have its own of one, and that of [tls] of the other. */
struct tls_trust_files {
	struct tls_place ca_place, crl_place;
	const char *ca;  /* NULL: the system's authorities */
	const char *crl; /* NULL: nobody is revoked */
	int crl_check;   /* enum crl_check */
};

struct tls_trust {
	struct tls_trust_files files;
	X509_STORE *store;
	STACK_OF(X509_NAME) *names; /* of the authorities in `ca`, for clients that choose a certificate by them */
	time_t crl_from, crl_until; /* of the list that expires first; 0: none does */
	uint8_t digest[32];         /* of all that decides who is believed */
};

/* Read and check: PEM, at least one certificate or list each, no list with a broken signature of an authority in `ca`.
 * From then on every certificate is looked up; one whose authority has no list, or only an expired one, is refused.
 * `files` is copied, its texts stay borrowed. NULL with `error`. */
struct tls_trust *tls_trust_load(OSSL_LIB_CTX *library, const struct tls_trust_files *files,
                                 struct error *error) MUST_CHECK;
void tls_trust_free(struct tls_trust *trust);

/* Warn of authorities in `ca` that have no list: of each with crl_check = chain, which refuses whoever is below it;
 * otherwise where none has one, as the list is of somebody else then. The number of those without. */
unsigned tls_trust_warn(const struct tls_trust *trust);

/* Are its lists in date now? Whoever verifies a peer in full finds out by itself; a session made while they were is not
 * to be resumed any more. NULL: nothing expires. */
bool tls_trust_is_current(const struct tls_trust *trust);

/* Verify the peers of `context` against it. */
void tls_trust_use(SSL_CTX *context, const struct tls_trust *trust);

#endif
