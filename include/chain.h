/*
 * Lines that vouch for those before them: each line of JSON gets a number and a digest over itself and the digest of the line
 * before. Whoever can write the file can make all digests anew; whoever has kept one digest elsewhere finds that out. Knows
 * no file.
 */
#ifndef CHAIN_H
#define CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "text.h"

#define CHAIN_DIGEST_SIZE 64 /* hexadecimal digits of SHA-256 */

/* Where a chain has come to. Zeroed: nowhere yet. */
struct chain {
	uint64_t number;                    /* of the last line; 0: there is none */
	char digest[CHAIN_DIGEST_SIZE + 1]; /* of the last line; "" where there is none */
};

/* The next line: `line` (a JSON object of `size` bytes, not empty) with two members more, "seq":NUMBER and "chain":"DIGEST", the
 * latter SHA-256 over the digest before and the line without it. *linked is to be freed, *linked_size its length; *next is the
 * chain after it. 0, or -1 without memory. */
int chain_link(const struct chain *chain, const char *line, size_t size, char **linked, size_t *linked_size,
               struct chain *next) MUST_CHECK;

/* Read what a linked line says of itself into *claim. 0, or -1: it is none. */
int chain_read(const char *line, size_t size, struct chain *claim) MUST_CHECK;

/* Does a linked line follow on `chain` (NULL: on whatever; only its own digest cannot be judged)? 0, and *next is the chain after
 * it; or -1 with `error`: it is none, is altered, or others are missing before it. */
int chain_follow(const struct chain *chain, const char *line, size_t size, struct chain *next, struct error *error) MUST_CHECK;

#endif
