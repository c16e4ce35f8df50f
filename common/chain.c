/* The links of hash-chained lines. */
#include "chain.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static const char seq_key[] = "{\"seq\":", prev_key[] = ",\"prev\":\"";

#define SEQ_KEY (sizeof(seq_key) - 1)
#define PREV_KEY (sizeof(prev_key) - 1)
#define SEQ_DIGITS 19 /* so that it fits */
#define HEAD_MOST (SEQ_KEY + SEQ_DIGITS + PREV_KEY + CHAIN_DIGEST_TEXT + 2)

const char *chain_digest_text(const uint8_t *digest, char *buffer)
{
	struct text text;

	text_init(&text, buffer, CHAIN_DIGEST_TEXT);
	text_put_hex(&text, digest, CHAIN_DIGEST);
	return buffer;
}

char *chain_line(const struct chain *chain, const char *object, size_t size, size_t *line_size)
{
	char *line = size > 2 && object[0] == '{' ? malloc(HEAD_MOST + size) : NULL;
	char digest[CHAIN_DIGEST_TEXT];
	int head;

	if (line == NULL)
		return NULL;
	head = snprintf(line, HEAD_MOST, "%s%" PRIu64 "%s%s\",", seq_key, chain->seq + 1, prev_key,
	                chain_digest_text(chain->digest, digest));
	memcpy(line + head, object + 1, size - 1);
	*line_size = (size_t)head + size - 1;
	return line;
}

/* The digits at `at`, no zero before them; how many. */
static size_t parse_seq(const char *at, size_t size, uint64_t *seq)
{
	size_t digits = 0;

	*seq = 0;
	while (digits < size && digits < SEQ_DIGITS && at[digits] >= '0' && at[digits] <= '9')
		*seq = *seq * 10 + (uint64_t)(at[digits++] - '0');
	return digits > 0 && at[0] != '0' ? digits : 0;
}

int chain_parse(const char *line, size_t size, struct chain_link *link)
{
	char text[CHAIN_DIGEST_TEXT] = "", again[CHAIN_DIGEST_TEXT];
	size_t digits, at = SEQ_KEY;

	if (size < at || memcmp(line, seq_key, at) != 0)
		return -1;
	digits = parse_seq(line + at, size - at, &link->seq);
	at += digits;
	if (digits == 0 || size - at < PREV_KEY + CHAIN_DIGEST_TEXT + 2 || memcmp(line + at, prev_key, PREV_KEY) != 0)
		return -1;
	at += PREV_KEY;
	memcpy(text, line + at, CHAIN_DIGEST_TEXT - 1);
	at += CHAIN_DIGEST_TEXT - 1;
	if (line[at] != '"' || line[at + 1] != ',' || line[size - 1] != '}' || strlen(text) != CHAIN_DIGEST_TEXT - 1)
		return -1;
	if (text_from_hex(text, link->prev, CHAIN_DIGEST) != CHAIN_DIGEST)
		return -1;
	/* Written in one way only. */
	return strcmp(chain_digest_text(link->prev, again), text) == 0 ? 0 : -1;
}

int chain_digest(const char *line, size_t size, uint8_t *digest)
{
	return EVP_Digest(line, size, digest, NULL, EVP_sha256(), NULL) == 1 ? 0 : -1;
}

int chain_take(struct chain *chain, const char *line, size_t size)
{
	struct chain_link link;
	struct chain next;

	if (chain_parse(line, size, &link) != 0 || chain_digest(line, size, next.digest) != 0)
		return -1;
	next.seq = link.seq;
	*chain = next;
	return 0;
}
