/* Lines that vouch for those before them. */
#include "chain.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAIL_MOST (sizeof(",\"seq\":18446744073709551615,\"chain\":\"\"}") + CHAIN_DIGEST_SIZE)
#define CHAIN_MEMBER ",\"chain\":\""
#define CHAIN_TAIL (sizeof(CHAIN_MEMBER) - 1 + CHAIN_DIGEST_SIZE + 2) /* from the member's comma to the end of the line */

/* SHA-256 over the digest before and the line up to the member `chain`, in hexadecimal. */
static int digest_of(const struct chain *before, const char *line, size_t size, char *digest)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char bytes[EVP_MAX_MD_SIZE];
	struct text text;
	int result = -1;

	if (context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(context, before->digest, strlen(before->digest)) == 1 &&
	    EVP_DigestUpdate(context, line, size) == 1 && EVP_DigestFinal_ex(context, bytes, NULL) == 1)
		result = 0;
	EVP_MD_CTX_free(context);
	text_init(&text, digest, CHAIN_DIGEST_SIZE + 1);
	text_put_hex(&text, bytes, result == 0 ? CHAIN_DIGEST_SIZE / 2 : 0);
	return result;
}

int chain_link(const struct chain *chain, const char *line, size_t size, char **linked, size_t *linked_size,
               struct chain *next)
{
	char *copy = malloc(size + TAIL_MOST);
	int used;

	*linked = copy;
	if (copy == NULL)
		return -1;
	next->number = chain->number + 1;
	memcpy(copy, line, size - 1);
	used = snprintf(copy + size - 1, TAIL_MOST, ",\"seq\":%" PRIu64, next->number);
	*linked_size = size - 1 + (size_t)used;
	if (digest_of(chain, copy, *linked_size, next->digest) == 0) {
		(void)snprintf(copy + *linked_size, CHAIN_TAIL + 1, CHAIN_MEMBER "%s\"}", next->digest);
		*linked_size += CHAIN_TAIL;
		return 0;
	}
	free(copy);
	*linked = NULL;
	return -1;
}

/* The decimal number that ends at `end`, of up to 20 digits; *first is its first digit. */
static uint64_t number_before(const char *line, size_t end, size_t *first)
{
	uint64_t number = 0, place = 1;

	for (*first = end; *first > 0 && end - *first < 19 && line[*first - 1] >= '0' && line[*first - 1] <= '9'; place *= 10)
		number += place * (uint64_t)(line[--*first] - '0');
	return number;
}

int chain_read(const char *line, size_t size, struct chain *claim)
{
	static const char seq[] = ",\"seq\":";
	size_t body, first;

	*claim = (struct chain){.number = 0};
	if (size < CHAIN_TAIL + sizeof(seq) || memcmp(line + size - 2, "\"}", 2) != 0)
		return -1;
	body = size - CHAIN_TAIL;
	if (memcmp(line + body, CHAIN_MEMBER, sizeof(CHAIN_MEMBER) - 1) != 0)
		return -1;
	memcpy(claim->digest, line + size - 2 - CHAIN_DIGEST_SIZE, CHAIN_DIGEST_SIZE);
	if (strspn(claim->digest, "0123456789abcdef") != CHAIN_DIGEST_SIZE)
		return -1;
	claim->number = number_before(line, body, &first);
	if (first == body || first < sizeof(seq) || memcmp(line + first - (sizeof(seq) - 1), seq, sizeof(seq) - 1) != 0)
		return -1;
	return claim->number > 0 ? 0 : -1;
}

int chain_follow(const struct chain *chain, const char *line, size_t size, struct chain *next, struct error *error)
{
	struct chain before = {.number = 0};
	char digest[CHAIN_DIGEST_SIZE + 1];

	if (chain_read(line, size, next) != 0)
		return error_set(error, "this is no line of a chain");
	if (chain == NULL && next->number > 1)
		return 0;
	if (chain != NULL)
		before = *chain;
	if (next->number != before.number + 1)
		return error_set(error, "line %" PRIu64 " of the chain is missing here: this is line %" PRIu64, before.number + 1,
		                 next->number);
	if (digest_of(&before, line, size - CHAIN_TAIL, digest) != 0)
		return error_set(error, "not enough memory");
	if (memcmp(digest, next->digest, CHAIN_DIGEST_SIZE) != 0)
		return error_set(error, "this line, or the one before it, is altered");
	return 0;
}
