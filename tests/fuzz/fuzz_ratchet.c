/*
 * The file of secured names. Even first byte: the rest is a file that anybody has made. Odd: a file of ours with one change: every
 * name that comes out of it was in it, with its times, and a change is noticed.
 */
#include "input.h"
#include "output.h"
#include "ratchet_file.h"

#define NAMES_MOST 8

static enum ratchet_read parse(const char *text, size_t size, struct ratchet_reading *reading)
{
	FILE *stream = size > 0 ? fmemopen((void *)(uintptr_t)text, size, "r") : fopen("/dev/null", "r");
	enum ratchet_read result;
	struct error error = {.text = ""};

	FUZZ_CHECK(stream != NULL, "no stream");
	result = ratchet_file_parse(stream, reading, &error);
	(void)fclose(stream);
	FUZZ_CHECK(result != RATCHET_READ_ABSENT, "a stream is not absent");
	FUZZ_CHECK(result != RATCHET_READ_FAILED || (error.text[0] != '\0' && reading->entries.count == 0), "it failed without words");
	if (result == RATCHET_READ_DAMAGED) {
		char words[512];
		struct text clause;

		text_init(&clause, words, sizeof(words));
		ratchet_file_describe(reading, &clause);
		FUZZ_CHECK(clause.used > 0 && !clause.cut, "damage without words");
	}
	return result;
}

static bool equal(const struct ratchet_entry *a, const struct ratchet_entry *b)
{
	return a->kind == b->kind && strcmp(a->name, b->name) == 0 && a->first_s == b->first_s && a->last_s == b->last_s;
}

/* What was read can be written, and is the same then. */
static void check_written(const struct ratchet_entries *entries)
{
	struct ratchet_reading again;
	struct output output;

	FUZZ_CHECK(ratchet_file_print(output_begin(&output), entries) == 0, "cannot be written");
	output_end(&output);
	output_is_tame(&output);
	FUZZ_CHECK(parse(output.text, output.size, &again) == RATCHET_READ_OK, "what we write is damaged");
	FUZZ_CHECK(again.entries.count == entries->count, "%zu names become %zu", entries->count, again.entries.count);
	for (size_t i = 0; i < entries->count; i++)
		FUZZ_CHECK(equal(&entries->at[i], &again.entries.at[i]), "name %zu comes back as another", i);
	free(again.entries.at);
	free(output.text);
}

static void make_entries(struct input *input, struct ratchet_entry *at, size_t count)
{
	static const char letters[] = "ABCXYZabcxyz0189@#$._-";

	for (size_t i = 0; i < count; i++) {
		size_t length = 1 + input_byte(input) % NAME_MAX_CHARS;

		at[i] = (struct ratchet_entry){.kind = input_byte(input) % 2 ? RATCHET_PEER : RATCHET_CLIENT};
		for (size_t j = 0; j < length; j++)
			at[i].name[j] = letters[input_byte(input) % (sizeof(letters) - 1)];
		at[i].first_s = input_number(input) & INT64_MAX;
		at[i].last_s = input_number(input) & INT64_MAX;
	}
}

static bool is_among(const struct ratchet_entry *entry, const struct ratchet_entry *at, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (equal(entry, &at[i]))
			return true;
	return false;
}

static void damage(struct input *input)
{
	struct ratchet_entry at[NAMES_MOST];
	struct ratchet_entries entries = {at, input_byte(input) % (NAMES_MOST + 1)};
	struct ratchet_reading reading;
	struct output output;
	size_t position;
	uint8_t bits;

	make_entries(input, at, entries.count);
	check_written(&entries);
	FUZZ_CHECK(ratchet_file_print(output_begin(&output), &entries) == 0, "cannot be written");
	output_end(&output);
	position = input_below(input, 65535) % output.size;
	bits = input_byte(input);
	output.text[position] = (char)(output.text[position] ^ (char)bits);
	if (bits != 0)
		FUZZ_CHECK(parse(output.text, output.size, &reading) != RATCHET_READ_OK, "byte %zu is changed, and nobody sees it", position);
	else
		FUZZ_CHECK(parse(output.text, position, &reading) != RATCHET_READ_OK, "cut at %zu, and nobody sees it", position);
	for (size_t i = 0; i < reading.entries.count; i++)
		FUZZ_CHECK(is_among(&reading.entries.at[i], at, entries.count), "a name that was never there");
	free(reading.entries.at);
	free(output.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct ratchet_reading reading;
	struct input input;

	input_open(&input, bytes, size);
	if (input_byte(&input) % 2 == 1) {
		damage(&input);
	} else {
		(void)parse((const char *)input.at, input.size, &reading);
		check_written(&reading.entries);
		free(reading.entries.at);
	}
	input_close(&input);
	return 0;
}
