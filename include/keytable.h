/*
 * The private keys of a key process, each under a handle, and their signatures. Whoever asks is not trusted: what a
 * request says is bounded and checked, and nothing is signed but what the handshake of TLS signs. Any thread. Knows no
 * file and no socket.
 */
#ifndef KEYTABLE_H
#define KEYTABLE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "keywire.h"

#define KEYTABLE_MOST 65536u

struct keytable;

/* NULL without memory. */
struct keytable *keytable_new(void) MUST_CHECK;

/* All keys are wiped. No other thread may use it any more. NULL does nothing. */
void keytable_free(struct keytable *table);

/* Own `key`, whose library context outlives the table. `as_client`: it also signs what a client of TLS signs. Its
 * handle; 0: the table is full, and the key still the caller's. */
uint64_t keytable_add(struct keytable *table, OSSL_LIB_CTX *library, EVP_PKEY *key, bool as_client) MUST_CHECK;

/* The key of this handle is used no more: it is wiped when the last signature under way is done. Nothing where there is
 * none. */
void keytable_remove(struct keytable *table, uint64_t handle);

size_t keytable_count(struct keytable *table);

/* Answer a request of a channel (KEYWIRE_SIGN or KEYWIRE_PING), `size` bytes that may be anything. *signature_size of
 * `signature` (KEYWIRE_SIGNATURE_MOST bytes) follow the answer. */
void keytable_answer(struct keytable *table, const uint8_t *request, size_t size, struct keywire_answer *answer,
                     uint8_t *signature, size_t *signature_size);

#endif
