/*
 * A private key as its file has it. Read by the gateway itself, or by the process that holds its keys (keyholder.h):
 * the same errors in both. Knows no certificate but by its name.
 */
#ifndef TLSKEY_H
#define TLSKEY_H

#include <openssl/evp.h>
#include <stdbool.h>

#include "compiler.h"
#include "text.h"
#include "tlsload.h"

/* Paths; all borrowed. */
struct tls_credential_files {
	struct tls_place place;
	const char *certificate, *private_key;
	const char *passphrase_file, *ocsp_response; /* NULL: none */
};

/* Read the key, opened with the passphrase where it is encrypted. *is_unneeded: a passphrase was given, and it is not.
 * Owned by the caller. NULL with `error`. */
EVP_PKEY *tls_key_load(OSSL_LIB_CTX *library, const struct tls_credential_files *files, bool *is_unneeded,
                       struct error *error) MUST_CHECK;

#endif
