/*
 * Files that TLS settings are made of, read whole into memory, and errors about them in the words of the configuration.
 * For the modules of TLS alone. Knows no SSL_CTX.
 */
#ifndef TLSLOAD_H
#define TLSLOAD_H

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "compiler.h"
#include "text.h"

/* The section of the configuration that names a file. */
struct tls_place {
	const char *section; /* static; NULL: none, the command line */
	const char *name;    /* borrowed from the configuration; NULL: a section without names */
};

#define TLS_WHAT_SIZE 160

/* "[certificate rsa] private_key", into `buffer` of TLS_WHAT_SIZE bytes; returns it. */
const char *tls_what(const struct tls_place *place, const char *key, char *buffer);

struct tls_bytes {
	uint8_t *at; /* owned */
	size_t size;
};

/* The bytes of the file that `key` names. 0, or -1 with `error`: cannot be opened, read, or is larger than 16 MiB. */
int tls_read(const struct tls_place *place, const char *key, const char *path, struct tls_bytes *bytes,
             struct error *error) MUST_CHECK;

/* Warn where others may read what nobody else should, once for each change of the file. */
void tls_warn_exposed(const struct tls_place *place, const char *key, const char *path);

/* The same as tls_read, with that warning. */
int tls_read_secret(const struct tls_place *place, const char *key, const char *path, struct tls_bytes *bytes,
                    struct error *error) MUST_CHECK;

/* Overwritten, and freed. */
void tls_wipe(struct tls_bytes *bytes);

/* The next certificate of a PEM file. 1, 0 where there is none any more, -1 where one is damaged. */
int tls_next_certificate(BIO *pem, OSSL_LIB_CTX *library, X509 **certificate) MUST_CHECK;

/* What the last PEM function left: only that there is nothing more? Clears the errors where it is. */
bool tls_pem_is_over(void);

/* "TEXT: reason" with the reason of OpenSSL's last error, about `key`. Always -1. */
int tls_fail(const struct tls_place *place, const char *key, struct error *error, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* Seconds since 1970 of an ASN.1 time; 0: cannot be told. */
time_t tls_seconds_of(const ASN1_TIME *time);

/* The clock of all that expires. Tests turn it; `seconds` from the real one. */
time_t tls_now(void);
void tls_now_shift(time_t seconds);

#endif
