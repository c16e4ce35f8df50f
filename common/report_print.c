/* The report for people: a line that sums up, the names, the entries. */
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define CELL_SIZE 256
#define COLUMNS_MOST 20

struct column {
	const char *title;
	void (*cell)(const json_t *row, const char *member, struct text *text);
	const char *member;
	bool is_number; /* to the right */
};

/* --- cells --- */

static void put_text(const json_t *row, const char *member, struct text *text)
{
	const char *value = json_string_value(json_object_get(row, member));

	if (value == NULL || value[0] == '\0')
		text_puts(text, "-");
	else
		text_put_escaped(text, value, strlen(value));
}

static void put_number(const json_t *row, const char *member, struct text *text)
{
	text_printf(text, "%lld", (long long)json_integer_value(json_object_get(row, member)));
}

static void put_yes(const json_t *row, const char *member, struct text *text)
{
	text_puts(text, json_is_true(json_object_get(row, member)) ? "yes" : "no");
}

/* 2026-11-24T09:00:00.000000Z as 2026-11-24 09:00:00. */
static void put_time(const json_t *row, const char *member, struct text *text)
{
	const char *value = json_string_value(json_object_get(row, member));
	char time[20];

	if (value == NULL || strlen(value) < 19) {
		text_puts(text, "-");
		return;
	}
	(void)snprintf(time, sizeof(time), "%.19s", value);
	time[10] = ' ';
	text_put_escaped(text, time, strlen(time));
}

static void put_list(const json_t *row, const char *member, struct text *text)
{
	const json_t *list = json_object_get(row, member);

	if (json_array_size(list) == 0)
		text_puts(text, "-");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *value = json_string_value(json_array_get(list, i));

		text_puts(text, i > 0 ? "," : "");
		text_put_escaped(text, value != NULL ? value : "", value != NULL ? strlen(value) : 0);
	}
}

/* Clients without an exchange have no name. */
static void put_name(const json_t *row, const char *member, struct text *text)
{
	const char *value = json_string_value(json_object_get(row, member));

	if (value == NULL || value[0] == '\0')
		text_puts(text, "(no name)");
	else
		text_put_escaped(text, value, strlen(value));
}

/* --- tables --- */

static size_t width_of(const struct column *column, const json_t *rows)
{
	size_t width = strlen(column->title);
	char buffer[CELL_SIZE];
	struct text text;

	for (size_t i = 0; i < json_array_size(rows); i++) {
		text_init(&text, buffer, sizeof(buffer));
		column->cell(json_array_get(rows, i), column->member, &text);
		width = text.used > width ? text.used : width;
	}
	return width;
}

/* Nothing stands behind the last word of a line. */
static void print_cell(const struct column *column, const char *value, size_t width, FILE *stream)
{
	bool is_last = column[1].title == NULL;

	(void)fprintf(stream, "%*s%s", is_last ? 0 : column->is_number ? (int)width : -(int)width, value, is_last ? "\n" : "  ");
}

static void print_table(const struct column *columns, const json_t *rows, FILE *stream)
{
	size_t widths[COLUMNS_MOST] = {0};
	char buffer[CELL_SIZE];
	struct text text;

	for (size_t i = 0; columns[i].title != NULL; i++) {
		widths[i] = width_of(&columns[i], rows);
		print_cell(&columns[i], columns[i].title, widths[i], stream);
	}
	for (size_t row = 0; row < json_array_size(rows); row++)
		for (size_t i = 0; columns[i].title != NULL; i++) {
			text_init(&text, buffer, sizeof(buffer));
			columns[i].cell(json_array_get(rows, row), columns[i].member, &text);
			print_cell(&columns[i], buffer, widths[i], stream);
		}
}

static const struct column name_columns[] = {
    {"NAME", put_name, "name", false},
    {"STATE", put_text, "state", false},
    {"TLS", put_text, "tls", false},
    {"SECURED", put_number, "secured", true},
    {"LAST SECURED", put_time, "secured_last", false},
    {"CLEAR", put_number, "clear", true},
    {"LAST CLEAR", put_time, "clear_last", false},
    {"REFUSED", put_number, "refused", true},
    {"FAILED", put_number, "failed", true},
    {"WHY", put_text, "last_reason", false},
    {"NEVER", put_number, "never", true},
    {"AUDIT", put_number, "audit", true},
    {"HELD", put_yes, "ratcheted", false},
    {"CLEAR FROM", put_list, "clear_networks", false},
    {NULL, NULL, NULL, false},
};

static const struct column entry_columns[] = {
    {"LISTENER", put_text, "listener", false},
    {"NAME", put_name, "sysid", false},
    {"FROM", put_text, "network", false},
    {"STATE", put_text, "state", false},
    {"WHY", put_text, "reason", false},
    {"ASKED", put_text, "asked", false},
    {"POLICY", put_text, "policy", false},
    {"RULE", put_text, "rule", false},
    {"AUDIT", put_text, "audit_outcome", false},
    {"NEVER", put_text, "never_outcome", false},
    {"TLS", put_text, "tls_version", false},
    {"SUITE", put_text, "tls_suite", false},
    {"SESSIONS", put_number, "sessions", true},
    {"UP", put_number, "bytes_up", true},
    {"DOWN", put_number, "bytes_down", true},
    {"LAST", put_time, "last", false},
    {"AGENT", put_text, "agent", false},
    {NULL, NULL, NULL, false},
};

static void print_head(const json_t *report, FILE *stream)
{
	char words[1024], since[32], until[32];
	struct text text;

	text_init(&text, words, sizeof(words));
	put_text(json_object_get(report, "summary"), "text", &text);
	(void)fprintf(stream, "%s\n", words);
	text_init(&text, since, sizeof(since));
	put_time(report, "since", &text);
	text_init(&text, until, sizeof(until));
	put_time(report, "until", &text);
	(void)fprintf(stream, "%lld sessions from %s to %s UTC", (long long)json_integer_value(json_object_get(report, "sessions")),
	              since, until);
	if (json_integer_value(json_object_get(report, "forgotten")) > 0)
		(void)fprintf(stream, "; %lld of them forgotten, as there were more entries than fit",
		              (long long)json_integer_value(json_object_get(report, "forgotten")));
	(void)fprintf(stream, "\n");
}

static void print_rows(const struct column *columns, const json_t *rows, FILE *stream)
{
	if (json_array_size(rows) == 0)
		return;
	(void)fprintf(stream, "\n");
	print_table(columns, rows, stream);
}

static int end(FILE *stream)
{
	return fflush(stream) == 0 && ferror(stream) == 0 ? 0 : -1;
}

int report_print_names(const json_t *report, FILE *stream)
{
	print_head(report, stream);
	print_rows(name_columns, json_object_get(report, "names"), stream);
	return end(stream);
}

int report_print(const json_t *report, FILE *stream)
{
	print_head(report, stream);
	print_rows(name_columns, json_object_get(report, "names"), stream);
	print_rows(entry_columns, json_object_get(report, "entries"), stream);
	return end(stream);
}

/* --- CSV --- */

static const char *const csv_members[] = {
    "listener",    "sysid",     "network",    "state",    "reason",     "asked",   "outcome",   "policy",
    "rule",        "audit_policy", "audit_outcome", "never_outcome", "tls_version", "tls_suite", "tls_start",
    "sessions",    "bytes_up",  "bytes_down", "resumed",  "confirmed",  "ratcheted", "first",   "last",
    "agent",       "peer_subject",
};

/* What a spreadsheet would run stands behind an apostrophe. What is not printable ASCII is
 * escaped by a backslash, which is doubled itself, as quotes are. */
static void print_csv_text(const char *value, FILE *stream)
{
	(void)fprintf(stream, "\"%s", value[0] != '\0' && strchr("=+-@", value[0]) != NULL ? "'" : "");
	for (; *value != '\0'; value++) {
		unsigned char byte = (unsigned char)*value;

		if (byte == '"' || byte == '\\')
			(void)fprintf(stream, "%c%c", byte, byte);
		else if (byte < 0x20 || byte > 0x7e)
			(void)fprintf(stream, "\\x%02x", byte);
		else
			(void)fputc(byte, stream);
	}
	(void)fputc('"', stream);
}

static void print_csv_value(const json_t *value, FILE *stream)
{
	if (json_is_string(value))
		print_csv_text(json_string_value(value), stream);
	else if (json_is_integer(value))
		(void)fprintf(stream, "%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		(void)fputs(json_is_true(value) ? "yes" : "no", stream);
}

int report_print_csv(const json_t *report, FILE *stream)
{
	const json_t *entries = json_object_get(report, "entries");
	size_t count = sizeof(csv_members) / sizeof(csv_members[0]);

	for (size_t i = 0; i < count; i++)
		(void)fprintf(stream, "%s%s", csv_members[i], i + 1 < count ? "," : "\r\n");
	for (size_t row = 0; row < json_array_size(entries); row++)
		for (size_t i = 0; i < count; i++) {
			print_csv_value(json_object_get(json_array_get(entries, row), csv_members[i]), stream);
			(void)fputs(i + 1 < count ? "," : "\r\n", stream);
		}
	return end(stream);
}
