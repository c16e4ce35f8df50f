/* Loading what SSL_CTXs are made of, and the rehearsal of a handshake in memory. For tlscontext.c alone. */
#ifndef TLSCONTEXT_LOAD_H
#define TLSCONTEXT_LOAD_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "compiler.h"
#include "config.h"
#include "text.h"
#include "tlscontext.h"

/* A library context of its own with the system's openssl.cnf in it. NULL with `error`. */
OSSL_LIB_CTX *tls_load_library(struct error *error) MUST_CHECK;

/* Versions, suites, groups and the options that everybody gets. 0 or -1 with `error`. */
int tls_load_settings(SSL_CTX *context, const struct config_tls *tls, struct error *error) MUST_CHECK;

/* Certificate chain and key; paths are named in `error`. Warns of a key that others can read. */
int tls_load_identity(SSL_CTX *context, const char *certificate, const char *private_key, struct error *error)
    MUST_CHECK;

/* The authorities in `ca`. `where` names section and key for the error. */
int tls_load_ca(SSL_CTX *context, const char *ca, const char *where, struct error *error) MUST_CHECK;

/* SHA-256 of a file's bytes; NULL path: of nothing. `what` names section and key for the error. 0 or -1 with
 * `error`. */
int tls_file_digest(const char *what, const char *path, uint8_t digest[32], struct error *error) MUST_CHECK;

/* Let a client of our own shake hands with `server` in memory. 0 or -1 with `error`. */
int tls_rehearse(SSL_CTX *server, OSSL_LIB_CTX *library, const struct config_tls *tls, enum tls_start start,
                 struct error *error) MUST_CHECK;

/* The ALPN name of a start in wire form; *size is its length. */
const uint8_t *tls_alpn_wire(enum tls_start start, unsigned *size);

/* "...: reason" of the last error of OpenSSL put behind a printf text; always -1. */
int tls_error(struct error *error, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
