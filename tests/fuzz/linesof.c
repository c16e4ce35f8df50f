/* Promises about lines that are written for others. */
#include "linesof.h"

#include "metrics_text.h"
#include "output.h"

void line_is_tame(const char *line, size_t size)
{
	for (size_t i = 0; i < size; i++)
		FUZZ_CHECK(line[i] >= ' ' && line[i] <= '~', "byte %02x at %zu of a line", (unsigned)(unsigned char)line[i], i);
}

/* --- UTF-8, by RFC 3629's own table --- */

static size_t sequence(const unsigned char *at)
{
	static const struct {
		unsigned char lead_first, lead_last, second_first, second_last;
		size_t size;
	} forms[] = {{0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
	             {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
	             {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (at[0] < forms[i].lead_first || at[0] > forms[i].lead_last)
			continue;
		if (forms[i].size > 1 && (at[1] < forms[i].second_first || at[1] > forms[i].second_last))
			return 0;
		for (size_t j = 2; j < forms[i].size; j++)
			if (at[j] < 0x80 || at[j] > 0xbf)
				return 0;
		return forms[i].size;
	}
	return 0;
}

bool line_is_text(const char *value, const char *text)
{
	while (*text != '\0') {
		size_t size = sequence((const unsigned char *)text), used = size;
		char escaped[5];

		if (size == 0) {
			(void)snprintf(escaped, sizeof(escaped), "\\x%02x", (unsigned)(unsigned char)*text);
			if (strncmp(value, escaped, 4) != 0)
				return false;
			size = 4;
			used = 1;
		} else if (strncmp(value, text, size) != 0) {
			return false;
		}
		value += size;
		text += used;
	}
	return *value == '\0';
}

/* --- CSV --- */

/* A cell, from its first byte to the one behind it. */
static const char *csv_cell(const char *at, const char *end)
{
	if (at < end && *at == '"') {
		FUZZ_CHECK(strchr("=+-@\t\r", at[1]) == NULL || at[1] == '\0', "a cell is a formula: %.20s", at);
		for (at++; at < end; at++) {
			if (*at == '"' && at[1] != '"')
				return at + 1;
			at += *at == '"';
		}
		FUZZ_CHECK(false, "a cell without an end");
	}
	while (at < end && *at != ',' && *at != '\r') {
		FUZZ_CHECK((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') || *at == '_' || *at == '-', "byte %02x in a bare cell",
		           (unsigned)(unsigned char)*at);
		at++;
	}
	return at;
}

void csv_is_tame(const char *text, size_t size)
{
	const char *at = text, *end = text + size;
	size_t first = 0;

	while (at < end) {
		size_t cells = 0;

		do {
			const char *behind = csv_cell(at, end);

			line_is_tame(at, (size_t)(behind - at));
			cells++;
			at = behind + 1;
		} while (at <= end && at[-1] == ',');
		FUZZ_CHECK(at < end && at[-1] == '\r' && *at == '\n', "a line ends otherwise");
		at++;
		FUZZ_CHECK(first == 0 || cells == first, "%zu cells below %zu", cells, first);
		first = cells;
	}
}

/* --- metrics --- */

#define LABELS 3

/* The value behind a label's first quote, as whoever scrapes reads it; behind its last. */
static const char *label_value(const char *at, char *value)
{
	for (; *at != '"'; at++) {
		FUZZ_CHECK(*at != '\0' && *at != '\n', "a value without an end");
		if (*at != '\\') {
			*value++ = *at;
			continue;
		}
		at++;
		FUZZ_CHECK(*at == '\\' || *at == '"' || *at == 'n', "an escape that is none");
		*value++ = *at == 'n' ? '\n' : *at;
	}
	*value = '\0';
	return at + 1;
}

/* A sample of one line; behind it. */
static const char *read_sample(const char *at, const struct metrics_label *labels, const char *name)
{
	size_t next = 0;
	char value[1024], *end;

	FUZZ_CHECK(strncmp(at, name, strlen(name)) == 0, "another name");
	at += strlen(name);
	for (char before = '{'; *at == before; before = ',') {
		while (next < LABELS && (labels[next].value == NULL || labels[next].value[0] == '\0'))
			next++;
		FUZZ_CHECK(next < LABELS && strncmp(at + 1, labels[next].name, 1) == 0 && strncmp(at + 2, "=\"", 2) == 0, "another label");
		at = label_value(at + 4, value);
		FUZZ_CHECK(strcmp(value, labels[next].value) == 0, "a label comes back as another text");
		next++;
	}
	at += *at == '}';
	FUZZ_CHECK(*at == ' ', "no number");
	(void)strtod(at + 1, &end);
	FUZZ_CHECK(end > at + 1 && *end == '\n', "no number, or more than one");
	return end + 1;
}

void metrics_parse(struct input *input)
{
	struct metrics_label labels[LABELS] = {{"a", NULL}, {"b", NULL}, {"c", NULL}};
	struct output output;
	const char *at;
	uint64_t number = input_number(input);
	double real;

	for (size_t i = 0; i < LABELS; i++)
		labels[i].value = input_text_or_null(input, 300);
	input_bytes(input, &real, sizeof(real));
	(void)output_begin(&output);
	metrics_number(output.stream, "cci_x_total", labels, LABELS, number);
	metrics_real(output.stream, "cci_x_total", labels, LABELS, real);
	metrics_number(output.stream, "cci_x_total", labels, 0, number);
	output_end(&output);
	at = read_sample(output.text, labels, "cci_x_total");
	at = read_sample(at, labels, "cci_x_total");
	at = read_sample(at, labels, "cci_x_total");
	FUZZ_CHECK(*at == '\0', "something behind the last line");
	free(output.text);
}
