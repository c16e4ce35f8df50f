/*
 * The configuration reader. The first byte chooses the program, the rest is the file. Either it is refused with at least one error
 * that says something, or it is taken without; and what --dump writes of it is taken again, and is a fixed point. Half of
 * the changes put in lines that the table of rows knows.
 */
#include "config.h"
#include "input.h"
#include "output.h"
#include "rows.h"

struct findings {
	unsigned errors, warnings;
	bool quiet;
};

static void count(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	struct findings *findings = context;

	(void)line;
	FUZZ_CHECK(file != NULL && text != NULL && text[0] != '\0', "a finding without words");
	for (const char *at = text; *at != '\0'; at++)
		FUZZ_CHECK(*at != '\n' && *at != '\033' && *at != '\r', "a finding with a control character: %s", text);
	FUZZ_CHECK(!findings->quiet || !is_error, "a dump is refused: %s", text);
	findings->errors += is_error;
	findings->warnings += !is_error;
}

static struct config *load(const char *text, size_t size, enum program program, struct findings *findings)
{
	FILE *stream = size > 0 ? fmemopen((void *)(uintptr_t)text, size, "r") : fopen("/dev/null", "r");
	struct config *config;

	FUZZ_CHECK(stream != NULL, "no stream");
	config = config_load_stream(stream, "/etc/f.ini", program, count, findings);
	(void)fclose(stream);
	FUZZ_CHECK((config == NULL) == (findings->errors > 0), "%s with %u errors", config == NULL ? "refused" : "taken",
	           findings->errors);
	return config;
}

static void dump(const struct config *config, struct output *output)
{
	FUZZ_CHECK(config_dump(config, output_begin(output)) == 0, "a dump failed");
	output_end(output);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	enum program program = size > 0 && bytes[0] % 2 == 1 ? PROGRAM_CCISSLGW : PROGRAM_CCISSL;
	struct findings findings = {0}, again = {.quiet = true};
	struct config *config, *second;
	struct output first_dump, second_dump;

	if (size == 0)
		return 0;
	config = load((const char *)bytes + 1, size - 1, program, &findings);
	if (config == NULL)
		return 0;
	dump(config, &first_dump);
	second = load(first_dump.text, first_dump.size, program, &again);
	dump(second, &second_dump);
	FUZZ_CHECK(first_dump.size == second_dump.size && memcmp(first_dump.text, second_dump.text, first_dump.size) == 0,
	           "what is dumped reads as something else:\n%s\n%s", first_dump.text, second_dump.text);
	free(first_dump.text);
	free(second_dump.text);
	config_free(config);
	config_free(second);
	return 0;
}

/* --- changes --- */

size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed);

static const char *const values[] = {"127.0.0.1:1202", "unix:/tmp/s", "builtin:echo", "PAYROLL", "A*", "10.0.0.0/8", "::/0", "unix",
                                     "0",  "1",  "5s", "4M", "0600", "a.pem", "DNS:*.example", "IP:10.0.0.0/8", "18446744073709551615"};

/* A line that the table has, with a value that it may have. */
static int make_line(char *line, size_t size, unsigned seed)
{
	const struct row *row = &rows[seed % row_count];
	const struct row_section *section = row_section_find(row->section);
	const char *value = values[(seed >> 8) % (sizeof(values) / sizeof(values[0]))];
	unsigned words = 0;

	while (row->words != NULL && row->words[words].word != NULL)
		words++;
	if (words > 0 && seed >> 28 != 0)
		value = row->words[(seed >> 8) % words].word;
	if (seed >> 30 == 0)
		return snprintf(line, size, "[%s%s]\n%s = %s\n", row->section,
		                section->named ? (const char *[]){" A", " PAYROLL", " b"}[seed % 3] : "", row->key, value);
	return snprintf(line, size, "%s = %s\n", row->alias != NULL && seed >> 31 ? row->alias : row->key, value);
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed)
{
	char line[256];
	size_t at, length;

	if (seed % 2 == 0 || size < 2)
		return LLVMFuzzerMutate(bytes, size, most);
	seed = seed / 2 * 2654435761u;
	length = (size_t)make_line(line, sizeof(line), seed);
	if (length >= sizeof(line) || size + length > most)
		return LLVMFuzzerMutate(bytes, size, most);
	/* Behind some line. */
	at = 1 + (seed >> 3) % (size - 1);
	while (at < size && bytes[at - 1] != '\n')
		at++;
	memmove(bytes + at + length, bytes + at, size - at);
	memcpy(bytes + at, line, length);
	return size + length;
}
