/* Settings of SSL_CTXs, and the rehearsal of a handshake in memory. For the modules of TLS alone. */
#ifndef TLSCONTEXT_LOAD_H
#define TLSCONTEXT_LOAD_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "compiler.h"
#include "config.h"
#include "text.h"
#include "tlscontext.h"
#include "tlscredential.h"

/* A library context of its own with the system's openssl.cnf in it. NULL with `error`. */
OSSL_LIB_CTX *tls_load_library(struct error *error) MUST_CHECK;

/* Versions, suites, groups, signature algorithms and the options that everybody gets. 0 or -1 with `error`. */
int tls_load_settings(SSL_CTX *context, const struct config_tls *tls, struct error *error) MUST_CHECK;

/* Would they be taken? For a configuration in which nothing else says so. 0 or -1 with `error`. */
int tls_check_settings(OSSL_LIB_CTX *library, const struct config_tls *tls, struct error *error) MUST_CHECK;

/* Do all suites only ask for signatures of the private key, which is all that a key process gives? 0 or -1 with
 * `error`. */
int tls_check_key_exchange(OSSL_LIB_CTX *library, const struct config_tls *tls, struct error *error) MUST_CHECK;

/* A descriptor that appends to the file of secrets, which is made for its owner alone; owned by the caller. Main
 * thread only. -1 with `error`. */
int tls_open_key_log(const char *path, struct error *error) MUST_CHECK;

/* What a rehearsal is about; all borrowed. */
struct tls_rehearsal {
	SSL_CTX *server;
	OSSL_LIB_CTX *library;
	const struct config_tls *tls;
	enum tls_start start;
	int highest; /* version that the client speaks, such as TLS1_2_VERSION */
};

/* Let a client of our own shake hands in memory with the server, where it shows `credential` and nothing else. 0 or -1
 * with `error`. */
int tls_rehearse(const struct tls_rehearsal *rehearsal, const struct tls_credential *credential,
                 struct error *error) MUST_CHECK;

/* The ALPN name of a start in wire form; *size is its length. */
const uint8_t *tls_alpn_wire(enum tls_start start, unsigned *size);

/* "...: reason" of the last error of OpenSSL put behind a printf text; always -1. */
int tls_error(struct error *error, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
