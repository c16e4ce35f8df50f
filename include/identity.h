/*
 * The names that a verified certificate gives its holder, and the patterns that rules match them with. Knows no
 * certificate and no rule: tlsverdict.c fills an identity in, policy.c asks.
 *
 * A name is a kind and a text: "DNS:host.example", "URI:spiffe://site/office", "EMAIL:a@b.example", "IP:10.0.0.1" (of
 * the subject alternative names) or "CN:office 7" (of the subject). A pattern is the same with * for any run of
 * characters and ? for one, dots included; DNS, EMAIL and CN without regard to case, URI to the letter; IP takes a
 * network.
 */
#ifndef IDENTITY_H
#define IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler.h"
#include "text.h"

#define IDENTITY_NAMES 32      /* at most of one certificate */
#define IDENTITY_TEXT_SIZE 256 /* of one name, kind and terminator included; a longer one is left out */

enum identity_kind { IDENTITY_DNS, IDENTITY_URI, IDENTITY_EMAIL, IDENTITY_IP, IDENTITY_CN };

struct identity {
	bool verified; /* a certificate was shown, and the one verdict has accepted it */
	bool partial;  /* it has names that are not here: what does not match may be among them */
	size_t count;
	char names[IDENTITY_NAMES][IDENTITY_TEXT_SIZE];
};

/* Add a name of `length` bytes. One that is empty, too long, or holds a NUL byte is left out: nothing may match the
 * part of a name before it. Whatever is left out, for want of room too, makes the identity partial; save an empty name.
 */
void identity_add(struct identity *identity, enum identity_kind kind, const char *bytes, size_t length);

/* Is this a pattern? 0, or -1 with `error` that says what was meant. */
int identity_pattern_check(const char *pattern, struct error *error) MUST_CHECK;

/* Does a name of `identity` (NULL, or not verified: none does) match? */
bool identity_matches(const struct identity *identity, const char *pattern);

#endif
