/*
 * Lines that carry the digest of the line before them. Pure: knows no file. A line of a chain is a JSON object that
 * begins
 *
 *     {"seq":12,"prev":"64 hexadecimal digits",
 *
 * where prev is the SHA-256 of the line before, as it stands, without its line feed; 64 zeros in the first, whose seq
 * is 1.
 */
#ifndef CHAIN_H
#define CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

#define CHAIN_DIGEST 32
#define CHAIN_DIGEST_TEXT (2 * CHAIN_DIGEST + 1)

/* The last line of a chain; zeroed: there is none yet. */
struct chain {
	uint64_t seq;
	uint8_t digest[CHAIN_DIGEST];
};

/* What a line says of its place. */
struct chain_link {
	uint64_t seq;
	uint8_t prev[CHAIN_DIGEST];
};

/* `object`, a JSON object in one line with at least one member, as the next line behind `chain`, which stays as it is.
 * To be freed; *line_size is its length, no byte follows. NULL without memory, or where it is no object. */
char *chain_line(const struct chain *chain, const char *object, size_t size, size_t *line_size) MUST_CHECK;

/* What `line` says of its place. 0, or -1: it is no line of a chain. */
int chain_parse(const char *line, size_t size, struct chain_link *link) MUST_CHECK;

/* The digest of a line. 0, or -1: OpenSSL failed. */
int chain_digest(const char *line, size_t size, uint8_t *digest) MUST_CHECK;

/* Make `line` the last one. 0, or -1: it is no line of a chain, and nothing has changed. */
int chain_take(struct chain *chain, const char *line, size_t size) MUST_CHECK;

/* A digest in hexadecimal; `text` has CHAIN_DIGEST_TEXT bytes. Returns it. */
const char *chain_digest_text(const uint8_t *digest, char *text);

#endif
