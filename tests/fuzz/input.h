/* Numbers and texts out of the bytes of an input; when they are used up, zeros and empty texts. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>

#include "fuzz.h"

#define INPUT_TEXTS 96

struct input {
	const uint8_t *at;
	size_t size;
	char *texts[INPUT_TEXTS]; /* owned */
	size_t count;
};

static inline void input_open(struct input *input, const uint8_t *bytes, size_t size)
{
	*input = (struct input){.at = bytes, .size = size};
}

static inline void input_close(struct input *input)
{
	while (input->count > 0)
		free(input->texts[--input->count]);
}

static inline void input_bytes(struct input *input, void *to, size_t size)
{
	size_t there = size < input->size ? size : input->size;

	memset(to, 0, size);
	if (there == 0)
		return;
	memcpy(to, input->at, there);
	input->at += there;
	input->size -= there;
}

static inline uint8_t input_byte(struct input *input)
{
	uint8_t byte;

	input_bytes(input, &byte, 1);
	return byte;
}

/* In [0, bound). */
static inline unsigned input_below(struct input *input, unsigned bound)
{
	uint16_t number;

	if (bound <= 256)
		return input_byte(input) % bound;
	input_bytes(input, &number, sizeof(number));
	return number % bound;
}

static inline uint64_t input_number(struct input *input)
{
	uint64_t number = 0;

	input_bytes(input, &number, input_byte(input) % 9);
	return number;
}

/* A terminated text, which lives until input_close: up to a NUL byte or `most` bytes. Its own block of memory, so that what reads
 * past its end is found. */
static inline char *input_text(struct input *input, size_t most)
{
	const uint8_t *nul = input->size > 0 ? memchr(input->at, 0, input->size) : NULL;
	size_t length = nul != NULL ? (size_t)(nul - input->at) : input->size, used = length + (nul != NULL ? 1 : 0);
	char *text;

	if (length > most)
		length = used = most;
	FUZZ_CHECK(input->count < INPUT_TEXTS, "the fuzzer itself: too many texts");
	text = malloc(length + 1);
	FUZZ_CHECK(text != NULL, "no memory");
	if (length > 0)
		memcpy(text, input->at, length);
	text[length] = '\0';
	input->at += used;
	input->size -= used;
	input->texts[input->count++] = text;
	return text;
}

/* The same, and NULL now and then. */
static inline char *input_text_or_null(struct input *input, size_t most)
{
	return input_byte(input) % 8 == 0 ? NULL : input_text(input, most);
}

#endif
