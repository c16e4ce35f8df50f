/* Holds each line against the one before. */
#include "verify.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ULL(number) ((unsigned long long)(number))

static bool found(struct verify *verify, const char *kind, const struct verify_place *at)
{
	verify->kind = kind;
	verify->at = *at;
	return false;
}

/* chain-start and chain-end. In an upgrade the new process starts before the old one ends. */
static void take_life(struct verify *verify, const char *event, json_int_t pid)
{
	if (strcmp(event, "chain-start") == 0) {
		verify->starts++;
		verify->open++;
		verify->last_pid = pid;
		verify->last_ended = false;
	}
	if (strcmp(event, "chain-end") == 0) {
		verify->ends++;
		/* The start may stand in a file that is gone. */
		if (verify->open > 0)
			verify->open--;
		if (pid == verify->last_pid)
			verify->last_ended = true;
	}
}

uint64_t verify_unended(const struct verify *verify)
{
	bool runs = verify->open > 0 && !verify->last_ended;

	return verify->open - (runs ? 1 : 0);
}

/* What the lines themselves say of the chain. False: `half` was no half line. */
static bool take_words(struct verify *verify, const char *line, size_t size)
{
	json_t *object = json_loadb(line, size, 0, NULL);
	const char *event = json_string_value(json_object_get(object, "event"));
	const char *digest = json_string_value(json_object_get(object, "digest"));
	char text[CHAIN_DIGEST_TEXT];
	bool fits = verify->half.seq == 0;

	if (event != NULL)
		take_life(verify, event, json_integer_value(json_object_get(object, "pid")));
	if (event != NULL && strcmp(event, "torn") == 0) {
		verify->torn++;
		fits = fits || ((uint64_t)json_integer_value(json_object_get(object, "bytes")) == verify->half.seq &&
		                digest != NULL && strcmp(digest, chain_digest_text(verify->half.digest, text)) == 0);
	}
	json_decref(object);
	return fits;
}

static bool no_half_line(struct verify *verify)
{
	(void)error_set(&verify->words, "is no line of a chain");
	return found(verify, "broken", &verify->half_at);
}

static bool is_expected(const struct verify *verify, const struct chain *chain)
{
	return memcmp(verify->expected.digest, chain->digest, CHAIN_DIGEST) == 0;
}

static bool accept(struct verify *verify, const struct verify_place *at, const struct chain *now, const char *line,
                   size_t size)
{
	if (!take_words(verify, line, size))
		return no_half_line(verify);
	verify->half.seq = 0;
	if (verify->lines++ == 0)
		verify->first_seq = now->seq;
	verify->chain = *now;
	verify->last = *at;
	if (verify->has_expected && now->seq == verify->expected.seq) {
		verify->met = true;
		if (!is_expected(verify, now)) {
			(void)error_set(&verify->words,
			                "seq %llu has another digest than expected: it, or a line before it, was altered",
			                ULL(now->seq));
			return found(verify, "unexpected", at);
		}
	}
	return true;
}

/* Its place is not the next one. */
static bool displaced(struct verify *verify, const struct verify_place *at, const struct chain *now)
{
	uint64_t wanted = verify->chain.seq + 1;

	if (now->seq == 1) {
		(void)error_set(&verify->words, "a new chain begins after seq %llu: the gateway was started with an empty file",
		                ULL(verify->chain.seq));
		return found(verify, "restarted", at);
	}
	if (now->seq == verify->chain.seq && memcmp(now->digest, verify->chain.digest, CHAIN_DIGEST) == 0) {
		(void)error_set(&verify->words, "seq %llu stands here twice", ULL(now->seq));
		return found(verify, "doubled", at);
	}
	if (now->seq < wanted) {
		(void)error_set(&verify->words, "seq %llu stands after seq %llu: moved, or doubled", ULL(now->seq),
		                ULL(verify->chain.seq));
		return found(verify, "moved", at);
	}
	verify->gap = *now;
	verify->gap_at = *at;
	return true;
}

/* The line after one that came too early tells whether those between are gone, or moved. */
static bool resolve_gap(struct verify *verify, uint64_t next_seq)
{
	uint64_t seq = verify->gap.seq, wanted = verify->chain.seq + 1;

	if (next_seq == wanted) {
		(void)error_set(&verify->words, "seq %llu stands before seq %llu", ULL(seq), ULL(wanted));
		return found(verify, "moved", &verify->gap_at);
	}
	(void)error_set(&verify->words, "seq %llu follows on seq %llu: %llu line%s missing before it", ULL(seq),
	                ULL(verify->chain.seq), ULL(seq - wanted), seq - wanted == 1 ? " is" : "s are");
	return found(verify, "missing", &verify->gap_at);
}

/* The line after one whose `prev` is wrong tells which of the two was altered. */
static bool resolve(struct verify *verify, const struct chain_link *link)
{
	bool is_intact = link == NULL || (link->seq == verify->doubt.seq + 1 &&
	                                  memcmp(link->prev, verify->doubt.digest, CHAIN_DIGEST) == 0);

	(void)error_set(&verify->words, "seq %llu was altered%s", ULL(verify->doubt.seq - (is_intact ? 1 : 0)),
	                link == NULL ? ", or the line after it, which is the last" : "");
	return found(verify, "altered", is_intact ? &verify->last : &verify->doubt_at);
}

static bool no_link(struct verify *verify, const struct verify_place *at, const char *line, size_t size)
{
	if (verify->gap.seq != 0)
		return resolve_gap(verify, 0);
	if (verify->doubt.seq != 0)
		return resolve(verify, NULL);
	if (verify->half.seq != 0)
		return no_half_line(verify);
	/* What a crash has left, if the next line says so. */
	verify->half_at = *at;
	verify->half.seq = size;
	if (size == 0 || chain_digest(line, size, verify->half.digest) != 0)
		return no_half_line(verify);
	return true;
}

bool verify_line(struct verify *verify, const struct verify_place *at, const char *line, size_t size)
{
	struct chain_link link;
	struct chain now = {0};

	if (verify->kind != NULL)
		return false;
	if (chain_parse(line, size, &link) != 0 || chain_take(&now, line, size) != 0)
		return no_link(verify, at, line, size);
	if (verify->gap.seq != 0)
		return resolve_gap(verify, now.seq);
	if (verify->doubt.seq != 0)
		return resolve(verify, &link);
	if (verify->half.seq != 0 && now.seq != verify->chain.seq + 1)
		return no_half_line(verify);
	if (verify->lines > 0 && now.seq != verify->chain.seq + 1)
		return displaced(verify, at, &now);
	if ((verify->lines > 0 || now.seq == 1) && memcmp(link.prev, verify->chain.digest, CHAIN_DIGEST) != 0) {
		verify->doubt = now;
		verify->doubt_at = *at;
		return verify->lines > 0 ? true : resolve(verify, &(struct chain_link){0});
	}
	return accept(verify, at, &now, line, size);
}

void verify_end(struct verify *verify)
{
	if (verify->kind != NULL)
		return;
	if (verify->gap.seq != 0)
		(void)resolve_gap(verify, 0);
	else if (verify->doubt.seq != 0)
		(void)resolve(verify, NULL);
	else if (verify->half.seq != 0)
		(void)no_half_line(verify);
	else if (verify->has_expected && !verify->met) {
		(void)error_set(&verify->words, "seq %llu, which is expected, is not there: the last is seq %llu",
		                ULL(verify->expected.seq), ULL(verify->chain.seq));
		(void)found(verify, "missing", &verify->last);
	}
}

int verify_expect(struct verify *verify, const char *text)
{
	char *end;

	if (text[0] < '1' || text[0] > '9')
		return -1;
	verify->expected.seq = strtoull(text, &end, 10);
	if (*end != ':' || strlen(end + 1) != CHAIN_DIGEST_TEXT - 1)
		return -1;
	verify->has_expected = true;
	return text_from_hex(end + 1, verify->expected.digest, CHAIN_DIGEST) == CHAIN_DIGEST ? 0 : -1;
}
