/* A strict reader of Prometheus' text format. */
#include "promtext.h"

#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE 1024
#define SERIES_MOST 4096

struct family {
	char name[128], type[16];
	bool has_help;
	double last_bucket, last_count; /* of the histogram at hand */
	char last_labels[LINE_SIZE];
};

static char *series[SERIES_MOST];
static unsigned series_count;

static size_t name_length(const char *text)
{
	size_t length = 0;

	while (isalnum((unsigned char)text[length]) || text[length] == '_' || text[length] == ':')
		length++;
	return length > 0 && !isdigit((unsigned char)text[0]) ? length : 0;
}

/* Past `{a="b",...}`; the value of `le` into `le`, the others into `others`. */
static const char *skip_labels(const char *at, char *le, char *others, const char *line)
{
	le[0] = others[0] = '\0';
	if (*at != '{')
		return at;
	do {
		const char *name = ++at, *value;
		size_t length = name_length(name);

		ck_assert_msg(length > 0 && name[length] == '=' && name[length + 1] == '"', "label: %s", line);
		value = at = name + length + 2;
		for (; *at != '"'; at++) {
			ck_assert_msg(*at != '\0', "label without an end: %s", line);
			if (*at == '\\') {
				at++;
				ck_assert_msg(*at == '\\' || *at == '"' || *at == 'n', "escape: %s", line);
			}
		}
		if (length == 2 && strncmp(name, "le", 2) == 0)
			(void)snprintf(le, 32, "%.*s", (int)(at - value), value);
		else
			(void)snprintf(others + strlen(others), LINE_SIZE - strlen(others), "%.*s,", (int)(at - name), name);
		at++;
	} while (*at == ',');
	ck_assert_msg(*at == '}', "labels without an end: %s", line);
	return at + 1;
}

static void check_once(const char *whole, const char *line)
{
	ck_assert_uint_lt(series_count, SERIES_MOST);
	for (unsigned i = 0; i < series_count; i++)
		ck_assert_msg(strcmp(series[i], whole) != 0, "twice: %s", line);
	series[series_count] = strdup(whole);
	ck_assert_ptr_nonnull(series[series_count++]);
}

static void check_histogram(struct family *family, const char *suffix, const char *le, const char *labels, double value,
                            const char *line)
{
	double bound = strcmp(le, "+Inf") == 0 ? 1e300 : strtod(le, NULL);

	if (strcmp(suffix, "_bucket") == 0) {
		ck_assert_msg(le[0] != '\0', "a bucket without le: %s", line);
		if (strcmp(labels, family->last_labels) != 0 || family->last_bucket == 1e300)
			family->last_bucket = family->last_count = -1;
		ck_assert_msg(bound > family->last_bucket && value >= family->last_count, "it shrinks: %s", line);
		family->last_bucket = bound;
		family->last_count = value;
		(void)snprintf(family->last_labels, sizeof(family->last_labels), "%s", labels);
		return;
	}
	ck_assert_msg(family->last_bucket == 1e300 && strcmp(labels, family->last_labels) == 0, "no +Inf before: %s", line);
	ck_assert_msg(strcmp(suffix, "_sum") == 0 || (strcmp(suffix, "_count") == 0 && value == family->last_count),
	              "the count is not that of +Inf: %s", line);
}

static void check_sample(struct family *family, const char *line)
{
	char name[128], le[32], others[LINE_SIZE], whole[LINE_SIZE], *end;
	size_t length = name_length(line), base = strlen(family->name);
	const char *at;
	double value;

	ck_assert_msg(length > 0 && length < sizeof(name), "name: %s", line);
	(void)snprintf(name, sizeof(name), "%.*s", (int)length, line);
	ck_assert_msg(family->type[0] != '\0' && strncmp(name, family->name, base) == 0, "not of %s: %s", family->name, line);
	at = skip_labels(line + length, le, others, line);
	(void)snprintf(whole, sizeof(whole), "%.*s", (int)(at - line), line);
	check_once(whole, line);
	ck_assert_msg(*at == ' ' && at[1] != ' ', "one space before the number: %s", line);
	value = strtod(at + 1, &end);
	ck_assert_msg(end > at + 1 && *end == '\0', "number: %s", line);
	if (strcmp(family->type, "histogram") == 0)
		check_histogram(family, name + base, le, others, value, line);
	else
		ck_assert_msg(name[base] == '\0' && le[0] == '\0', "not of %s: %s", family->name, line);
	if (strcmp(family->type, "counter") == 0)
		ck_assert_msg(value >= 0 && base > 6 && strcmp(name + base - 6, "_total") == 0, "a counter: %s", line);
	else
		ck_assert_msg(base < 6 || strcmp(family->name + base - 6, "_total") != 0, "no counter: %s", line);
}

static void check_comment(struct family *family, const char *line)
{
	char name[128] = "", type[16] = "";
	int used = 0;

	if (sscanf(line, "# HELP %127[a-zA-Z0-9_:] %n", name, &used) == 1 && used > 0) {
		char whole[LINE_SIZE];

		ck_assert_msg(line[used] != '\0', "no words: %s", line);
		(void)snprintf(whole, sizeof(whole), "# %s", name);
		check_once(whole, line);
		memset(family, 0, sizeof(*family));
		(void)snprintf(family->name, sizeof(family->name), "%s", name);
		family->has_help = true;
		return;
	}
	ck_assert_msg(sscanf(line, "# TYPE %127[a-zA-Z0-9_:] %15s%n", name, type, &used) == 2 && line[used] == '\0', "%s", line);
	ck_assert_msg(family->has_help && strcmp(name, family->name) == 0 && family->type[0] == '\0', "no HELP before: %s", line);
	ck_assert_msg(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0 || strcmp(type, "histogram") == 0, "%s", line);
	(void)snprintf(family->type, sizeof(family->type), "%s", type);
}

/* The line at *at into `line`; false at the end. */
static bool next_line(const char **at, char *line)
{
	size_t length = strcspn(*at, "\n");

	if (**at == '\0')
		return false;
	ck_assert_msg((*at)[length] == '\n', "the last line has no end");
	ck_assert_uint_lt(length, LINE_SIZE);
	memcpy(line, *at, length);
	line[length] = '\0';
	*at += length + 1;
	return true;
}

void promtext_check(const char *text)
{
	struct family family = {0};
	char line[LINE_SIZE];

	while (next_line(&text, line)) {
		ck_assert_msg(line[0] != '\0', "an empty line");
		if (line[0] == '#')
			check_comment(&family, line);
		else
			check_sample(&family, line);
	}
	while (series_count > 0)
		free(series[--series_count]);
}

double promtext_value(const char *text, const char *wanted)
{
	size_t length = strlen(wanted);
	char line[LINE_SIZE];

	while (next_line(&text, line))
		if (strncmp(line, wanted, length) == 0 && line[length] == ' ')
			return strtod(line + length, NULL);
	return -1;
}

void promtext_families(const char *text, char *names, unsigned long size)
{
	char line[LINE_SIZE], name[128];

	names[0] = '\0';
	while (next_line(&text, line))
		if (sscanf(line, "# TYPE %127s", name) == 1)
			(void)snprintf(names + strlen(names), size - strlen(names), "%s ", name);
}
