/*
 * Keys of session tickets: made in memory and rotated there, or out of a file that several machines share. What seals a
 * ticket on the wire is derived from such a key for one policy, so that a ticket of another policy does not open. Each
 * worker has its copy; it looks at one atomic counter, and takes the lock only after a rotation. For the modules of TLS
 * alone.
 */
#ifndef TLSTICKETS_H
#define TLSTICKETS_H

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "text.h"
#include "tlsload.h"

#define TLS_TICKET_KEYS 16 /* at most of one file */

/* Make the first key in memory; does nothing where there is one. 0 or -1 with `error`. */
int tls_tickets_init(struct error *error) MUST_CHECK;

/* A new key in memory seals from now on; the one before still opens; the one before that is wiped. Main thread only. */
int tls_tickets_rotate(struct error *error) MUST_CHECK;

/* Wipe those in memory, at the end of the process: no worker is left. */
void tls_tickets_forget(void);

struct tls_tickets;

/* The keys of one worker, in its library context. `file`: lines of 64 or more hexadecimal digits, # and ; begin a
 * comment; the first seals, all open. NULL: those in memory. Faults name file, line and remedy, never what the line
 * says. NULL with `error`. */
struct tls_tickets *tls_tickets_new(OSSL_LIB_CTX *library, const char *file, struct error *error) MUST_CHECK;
void tls_tickets_free(struct tls_tickets *tickets);

/* What they give for one policy. */
struct tls_ticket_policy;

/* `tickets` must outlive the result. NULL without memory. */
struct tls_ticket_policy *tls_ticket_policy_new(struct tls_tickets *tickets, const uint8_t digest[32]) MUST_CHECK;
void tls_ticket_policy_free(struct tls_ticket_policy *policy);

/* What OpenSSL asks a callback of SSL_CTX_set_tlsext_ticket_key_evp_cb(3), with its arguments and its results. A ticket
 * that another key than the first has opened is renewed; one of TLS 1.3 always is, as it is used once. */
struct tls_ticket_request {
	unsigned char *name; /* 16 bytes */
	unsigned char *iv;
	EVP_CIPHER_CTX *cipher;
	EVP_MAC_CTX *mac;
	int seal;
	bool single_use; /* TLS 1.3 */
};
int tls_ticket_answer(struct tls_ticket_policy *policy, const struct tls_ticket_request *request);

#endif
