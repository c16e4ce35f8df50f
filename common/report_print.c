/* The report for people: a line that sums up, the names, the entries. */
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "tableprint.h"

/* --- cells --- */

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

static const struct table_column name_columns[] = {
    {"NAME", "name", false, 0, put_name},
    {"STATE", "state", false, 0, NULL},
    {"TLS", "tls", false, 0, NULL},
    {"SECURED", "secured", true, 0, NULL},
    {"LAST SECURED", "secured_last", false, 0, put_time},
    {"CLEAR", "clear", true, 0, NULL},
    {"LAST CLEAR", "clear_last", false, 0, put_time},
    {"REFUSED", "refused", true, 0, NULL},
    {"FAILED", "failed", true, 0, NULL},
    {"WHY", "last_reason", false, 0, NULL},
    {"NEVER", "never", true, 0, NULL},
    {"AUDIT", "audit", true, 0, NULL},
    {"HELD", "ratcheted", false, 0, NULL},
    {"CLEAR FROM", "clear_networks", false, 0, NULL},
    {NULL, NULL, false, 0, NULL},
};

static const struct table_column entry_columns[] = {
    {"LISTENER", "listener", false, 0, NULL},
    {"NAME", "sysid", false, 0, put_name},
    {"FROM", "network", false, 0, NULL},
    {"STATE", "state", false, 0, NULL},
    {"WHY", "reason", false, 0, NULL},
    {"ASKED", "asked", false, 0, NULL},
    {"POLICY", "policy", false, 0, NULL},
    {"RULE", "rule", false, 0, NULL},
    {"AUDIT", "audit_outcome", false, 0, NULL},
    {"NEVER", "never_outcome", false, 0, NULL},
    {"TLS", "tls_version", false, 0, NULL},
    {"SUITE", "tls_suite", false, 0, NULL},
    {"SESSIONS", "sessions", true, 0, NULL},
    {"UP", "bytes_up", true, 0, NULL},
    {"DOWN", "bytes_down", true, 0, NULL},
    {"LAST", "last", false, 0, put_time},
    {"AGENT", "agent", false, 0, NULL},
    {NULL, NULL, false, 0, NULL},
};

static void print_head(const json_t *report, FILE *stream)
{
	char words[1024], since[32], until[32];
	struct text text;

	text_init(&text, words, sizeof(words));
	table_put(json_object_get(report, "summary"), "text", &text);
	(void)fprintf(stream, "%s\n", words);
	text_init(&text, since, sizeof(since));
	put_time(report, "since", &text);
	text_init(&text, until, sizeof(until));
	put_time(report, "until", &text);
	(void)fprintf(stream, "%lld sessions from %s to %s UTC",
	              (long long)json_integer_value(json_object_get(report, "sessions")), since, until);
	if (json_integer_value(json_object_get(report, "forgotten")) > 0)
		(void)fprintf(stream, "; %lld of them forgotten, as there were more entries than fit",
		              (long long)json_integer_value(json_object_get(report, "forgotten")));
	(void)fprintf(stream, "\n");
}

static void print_rows(const struct table_column *columns, const json_t *rows, FILE *stream)
{
	if (json_array_size(rows) == 0)
		return;
	(void)fprintf(stream, "\n");
	table_print(rows, columns, stream);
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
