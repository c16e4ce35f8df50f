/*
 * What this side shows of itself: a certificate with its chain and key, and an OCSP response to staple. Loaded once for
 * each worker, in the worker's library context; knows the names it is good for. For the modules of TLS alone.
 */
#ifndef TLSCREDENTIAL_H
#define TLSCREDENTIAL_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "compiler.h"
#include "text.h"
#include "tlskey.h"

struct tls_credential {
	struct tls_credential_files files;
	X509 *certificate;
	STACK_OF(X509) *chain; /* without the certificate */
	EVP_PKEY *key;
	uint8_t *ocsp; /* DER; NULL: none */
	size_t ocsp_size;
	time_t ocsp_from, ocsp_until; /* seconds since 1970; 0: for ever */
	uint8_t digest[32]; /* of the certificate */
};

/* Read and check: the chain and the key are PEM, belong together, the passphrase opens the key; the OCSP response
 * parses, is about this certificate, says good, and has not expired. Every fault names section, key, file and remedy.
 * Warns of secrets that others can read. `files` is copied, its texts stay borrowed. NULL with `error`. */
struct tls_credential *tls_credential_load(OSSL_LIB_CTX *library, const struct tls_credential_files *files,
                                           struct error *error) MUST_CHECK;
void tls_credential_free(struct tls_credential *credential);

/* Show it on all connections of `context`, or on this one, beside others with another type of key. 0, or -1 (`error`).
 */
int tls_credential_use(SSL_CTX *context, const struct tls_credential *credential, struct error *error) MUST_CHECK;
int tls_credential_use_once(SSL *ssl, const struct tls_credential *credential) MUST_CHECK;

/* Is the certificate for the host `name`? Subject alternative names only; a * stands for one whole label (RFC 6125). */
bool tls_credential_is_for(const struct tls_credential *credential, const char *name);

/* Could both be shown to a client that asks for the same name? */
bool tls_credential_shares_name(const struct tls_credential *a, const struct tls_credential *b);

/* Do both have the same type of key, so that only one of them can be shown? */
bool tls_credential_same_type(const struct tls_credential *a, const struct tls_credential *b);

#endif
