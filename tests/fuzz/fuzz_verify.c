/*
 * The reader of chained files. Even first byte: a chain of events out of the bytes is whole; then one byte of it, one line of it, or the order
 * of its lines is changed, and verify names something. Odd: the bytes are lines that somebody else has made.
 */
#include "chain.h"
#include "input.h"
#include "verify.h"

#define LINES_MOST 12

struct lines {
	char *at[LINES_MOST + 1]; /* owned */
	size_t sizes[LINES_MOST + 1], count;
};

static void free_lines(struct lines *lines)
{
	while (lines->count > 0)
		free(lines->at[--lines->count]);
}

static const char *look(const struct lines *lines, const char *expected)
{
	struct verify verify = {0};
	struct verify_place at = {.file = "f", .line = 1};

	if (expected != NULL)
		FUZZ_CHECK(verify_expect(&verify, expected) == 0, "our own --expect is not taken");
	for (size_t i = 0; i < lines->count; i++, at.line++)
		if (!verify_line(&verify, &at, lines->at[i], lines->sizes[i]))
			break;
	verify_end(&verify);
	FUZZ_CHECK(verify.kind == NULL || verify.words.text[0] != '\0', "%s, without words", verify.kind);
	FUZZ_CHECK(verify.lines <= lines->count && verify_unended(&verify) <= verify.starts, "numbers that cannot be");
	return verify.kind;
}

/* A chain, and what its end is expected to be. */
static void make_chain(struct input *input, struct lines *lines, char *expected, size_t size)
{
	struct chain chain = {0};
	char object[96], text[CHAIN_DIGEST_TEXT];
	static const char *const events[] = {"record", "chain-start", "chain-end", "closed"};
	size_t count = 1 + input_byte(input) % LINES_MOST;

	for (lines->count = 0; lines->count < count; lines->count++) {
		uint8_t what = input_byte(input);
		int length = snprintf(object, sizeof(object), "{\"event\":\"%s\",\"pid\":%u,\"n\":\"%02x\"}", events[what % 4], what / 4u % 3,
		                      (unsigned)input_byte(input));
		char *line = chain_line(&chain, object, (size_t)length, &lines->sizes[lines->count]);

		FUZZ_CHECK(line != NULL, "an event cannot be chained");
		FUZZ_CHECK(chain_take(&chain, line, lines->sizes[lines->count]) == 0, "a line of ours is none of a chain");
		lines->at[lines->count] = line;
	}
	(void)snprintf(expected, size, "%llu:%s", (unsigned long long)chain.seq, chain_digest_text(chain.digest, text));
}

static void swap(struct lines *lines, size_t a, size_t b)
{
	char *line = lines->at[a];
	size_t size = lines->sizes[a];

	lines->at[a] = lines->at[b];
	lines->sizes[a] = lines->sizes[b];
	lines->at[b] = line;
	lines->sizes[b] = size;
}

static void take_out(struct lines *lines, size_t at)
{
	free(lines->at[at]);
	lines->count--;
	memmove(lines->at + at, lines->at + at + 1, (lines->count - at) * sizeof(lines->at[0]));
	memmove(lines->sizes + at, lines->sizes + at + 1, (lines->count - at) * sizeof(lines->sizes[0]));
}

static void cut(struct lines *lines, size_t at, size_t size)
{
	char *shorter = malloc(size + 1);

	FUZZ_CHECK(shorter != NULL, "no memory");
	memcpy(shorter, lines->at[at], size);
	free(lines->at[at]);
	lines->at[at] = shorter;
	lines->sizes[at] = size;
}

/* False: nothing could be changed. */
static bool change(struct input *input, struct lines *lines)
{
	size_t at = input_byte(input) % lines->count, other = input_byte(input) % lines->count, position;
	uint8_t how = input_byte(input), bits = input_byte(input);

	switch (how % 4) {
	case 0:
		swap(lines, at, other);
		return at != other;
	case 1:
		/* A chain whose first lines are in a file that is gone is whole; only its end is expected. */
		if (at == 0)
			return false;
		take_out(lines, at);
		return true;
	case 2:
		cut(lines, at, input_below(input, 65535) % lines->sizes[at]);
		return true;
	default:
		position = input_below(input, 65535) % lines->sizes[at];
		lines->at[at][position] = (char)(lines->at[at][position] ^ (char)bits);
		return bits != 0;
	}
}

static void take_strangers(struct input *input, struct lines *lines)
{
	for (lines->count = 0; lines->count < LINES_MOST && input->size > 0; lines->count++) {
		const uint8_t *newline = memchr(input->at, '\n', input->size);
		size_t size = newline != NULL ? (size_t)(newline - input->at) : input->size;

		lines->at[lines->count] = malloc(size + 1);
		FUZZ_CHECK(lines->at[lines->count] != NULL, "no memory");
		input_bytes(input, lines->at[lines->count], size);
		lines->sizes[lines->count] = size;
		(void)input_byte(input);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct lines lines = {.count = 0};
	struct input input;
	char expected[128];

	input_open(&input, bytes, size);
	if (input_byte(&input) % 2 == 1) {
		take_strangers(&input, &lines);
		(void)look(&lines, NULL);
	} else {
		make_chain(&input, &lines, expected, sizeof(expected));
		FUZZ_CHECK(look(&lines, NULL) == NULL && look(&lines, expected) == NULL, "a whole chain is said to be broken");
		if (change(&input, &lines))
			FUZZ_CHECK(look(&lines, expected) != NULL, "a change is not seen");
	}
	free_lines(&lines);
	input_close(&input);
	return 0;
}
