/*
 * What a gateway and its key process say to each other: whole messages, each of a fixed header and a bounded rest, over
 * sockets that nobody else has. Both are the same program, so that numbers are the machine's. Knows no socket.
 *
 * On the sidecar's socket the main thread asks for keys to be loaded, and anybody for them to be forgotten; on each of
 * the channels one thread asks for signatures. A request that is answered is answered once, under its sequence number.
 */
#ifndef KEYWIRE_H
#define KEYWIRE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

/* The most that is signed at once: a TLS 1.2 client signs all messages of its handshake, certificates included. */
#define KEYWIRE_SIGNED_MOST (200u * 1024)
#define KEYWIRE_SIGNATURE_MOST 2048u /* RSA of 16384 bits */
#define KEYWIRE_PUBLIC_MOST 4096u    /* SubjectPublicKeyInfo of such a key, in DER */
#define KEYWIRE_TEXT_MOST 20480u     /* texts of a request, or of an error */

enum keywire_kind { KEYWIRE_LOAD = 1, KEYWIRE_FREE, KEYWIRE_CHANNELS, KEYWIRE_SETTLE, KEYWIRE_SIGN, KEYWIRE_PING };

enum keywire_padding { KEYWIRE_PLAIN, KEYWIRE_PKCS1, KEYWIRE_PSS, KEYWIRE_PADDINGS }; /* plain: not RSA */

/* Of the algorithm, not of what is sent: that is the text itself. None: EdDSA. SHA-1 and MD5 are not among them. */
enum keywire_digest {
	KEYWIRE_NONE,
	KEYWIRE_SHA224,
	KEYWIRE_SHA256,
	KEYWIRE_SHA384,
	KEYWIRE_SHA512,
	KEYWIRE_DIGESTS
};

enum keywire_result {
	KEYWIRE_DONE,
	KEYWIRE_FAILED,  /* words follow where it was a load */
	KEYWIRE_REFUSED, /* no such key; or not what TLS signs */
	KEYWIRE_SILENT,  /* of this side: no answer within the deadline */
	KEYWIRE_GONE,    /* of this side: the process has ended */
	KEYWIRE_RESULTS
};

/* Begins every request. */
struct keywire_request {
	uint32_t kind; /* enum keywire_kind */
	uint32_t sequence;
	uint64_t handle;  /* SIGN, FREE */
	uint32_t slot;    /* LOAD: the worker that will use it; CHANNELS: from which one on */
	uint8_t padding, digest; /* SIGN */
	uint16_t reserved; /* 0 */
};
static_assert(sizeof(struct keywire_request) == 24, "no holes");

/* Begins every answer. SIGN: the signature follows. LOAD: the public key, or the words of the error. */
struct keywire_answer {
	uint32_t sequence;
	uint32_t result; /* enum keywire_result */
	uint64_t handle;  /* LOAD */
	uint32_t about;   /* LOAD that failed: enum keywire_about */
	uint32_t notes;   /* LOAD: bits of KEYWIRE_NOTE_... */
};
static_assert(sizeof(struct keywire_answer) == 24, "no holes");

enum keywire_about { KEYWIRE_ABOUT_NOTHING, KEYWIRE_ABOUT_KEY, KEYWIRE_ABOUT_PASSPHRASE };

#define KEYWIRE_NOTE_UNNEEDED 1u /* a passphrase was given, and the key is not encrypted */

/* The texts of a load, each with its terminator, in this order; what is not there is empty. */
enum keywire_text {
	KEYWIRE_TEXT_SECTION,
	KEYWIRE_TEXT_NAME,
	KEYWIRE_TEXT_KEY,
	KEYWIRE_TEXT_PASSPHRASE,
	KEYWIRE_TEXT_CERTIFICATE,
	KEYWIRE_TEXTS
};

/* Why there is no signature, in words for a record. Static. */
const char *keywire_words(enum keywire_result result);

/* The name by which OpenSSL knows a digest; NULL: KEYWIRE_NONE. And the reverse, without regard to case: -1 where it is
 * none of ours. */
const char *keywire_digest_name(enum keywire_digest digest);
int keywire_digest_named(const char *name) MUST_CHECK;

/* Find the texts of a load in `bytes`. Every one points into them. False: they are not exactly KEYWIRE_TEXTS texts. */
bool keywire_split(const char *bytes, size_t size, const char *texts[KEYWIRE_TEXTS]) MUST_CHECK;

/* Is this what one side of a TLS handshake signs (RFC 8446 section 4.4.3; RFC 5246 sections 7.4.3 and 7.4.8)? So a key
 * cannot be made to sign a certificate or a token. A TLS 1.2 client's text is looked at message by message; what is in
 * certificates, names and extensions is not (docs/keys.md says what remains free). */
bool keywire_is_handshake(const uint8_t *bytes, size_t size) MUST_CHECK;

/* Is it what the client of one signs, and no server? */
bool keywire_is_of_client(const uint8_t *bytes, size_t size) MUST_CHECK;

#endif
