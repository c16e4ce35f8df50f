/* Answers of the control socket as tables. */
#include "control_print.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "jsontext.h"
#include "tableprint.h"
#include "text.h"

/* --- cells --- */

static const char *words_of(const json_t *object, const char *member, char *buffer)
{
	struct text text;

	text_init(&text, buffer, TABLE_CELL_SIZE);
	table_put(object, member, &text);
	return buffer;
}

/* A member as words, for one use: the buffer lives as long as the block around. */
#define WORDS(object, member) words_of(object, member, (char[TABLE_CELL_SIZE]){0})

static int print_table(const json_t *rows, const struct table_column *columns, FILE *stream)
{
	table_print(rows, columns, stream);
	return fflush(stream) == 0 ? 0 : -1;
}

/* --- status --- */

static void put_line(FILE *stream, const char *title, const json_t *object, const char *member)
{
	if (json_object_get(object, member) != NULL)
		(void)fprintf(stream, "%-16s %s\n", title, WORDS(object, member));
}

static json_int_t number_of(const json_t *object, const char *member)
{
	return json_integer_value(json_object_get(object, member));
}

static void put_listeners(FILE *stream, const json_t *listeners)
{
	const json_t *listener;
	size_t i;

	json_array_foreach(listeners, i, listener)
	{
		const char *audit = WORDS(listener, "audit_policy");

		(void)fprintf(stream, "%-16s %s at %s, %s%s%s\n", i == 0 ? "listeners" : "", WORDS(listener, "name"),
		              WORDS(listener, "addresses"), WORDS(listener, "policy"), audit[0] != '\0' ? ", on trial: " : "",
		              audit);
	}
}

int control_print_status(const json_t *answer, FILE *stream)
{
	const json_t *open = json_object_get(answer, "open"), *links = json_object_get(answer, "links");

	(void)fprintf(stream, "%-16s %s %s as %s, process %" JSON_INTEGER_FORMAT "\n", "program", WORDS(answer, "program"),
	              WORDS(answer, "version"), WORDS(answer, "sysid"), number_of(answer, "pid"));
	put_line(stream, "configuration", answer, "config");
	put_line(stream, "in force since", answer, "in_force");
	(void)fprintf(stream, "%-16s %s, %" JSON_INTEGER_FORMAT " s ago\n", "started", WORDS(answer, "started"),
	              number_of(answer, "uptime_s"));
	put_line(stream, "ready", answer, "ready");
	put_line(stream, "not ready", answer, "not_ready");
	if (json_is_true(json_object_get(answer, "reload_failed")))
		(void)fprintf(stream, "%-16s the last one failed: what was in force before still is\n", "reload");
	(void)fprintf(stream,
	              "%-16s %" JSON_INTEGER_FORMAT " secured, %" JSON_INTEGER_FORMAT " clear, %" JSON_INTEGER_FORMAT
	              " undecided\n",
	              "open now", number_of(open, "secured"), number_of(open, "clear"), number_of(open, "undecided"));
	if (links != NULL && json_is_string(json_object_get(answer, "program")) &&
	    strcmp(json_string_value(json_object_get(answer, "program")), "ccisslgw") == 0)
		(void)fprintf(stream, "%-16s %" JSON_INTEGER_FORMAT " secured, %" JSON_INTEGER_FORMAT " clear\n",
		              "between hosts", number_of(links, "secured"), number_of(links, "clear"));
	put_line(stream, "accepted", answer, "accepted");
	put_line(stream, "ended", answer, "ended");
	put_line(stream, "refused", answer, "refusals");
	put_line(stream, "handshakes", answer, "handshakes");
	(void)fprintf(stream, "%-16s %s\n", "sandbox", WORDS(answer, "sandbox"));
	put_line(stream, "  it lacks", answer, "sandbox_missing");
	put_line(stream, "  it can write", answer, "sandbox_open");
	put_line(stream, "key process", answer, "keys_sandbox");
	if (!json_is_true(json_object_get(answer, "starter")))
		(void)fprintf(stream, "%-16s has ended: restart when it suits\n", "starter");
	put_line(stream, "workers", answer, "workers");
	put_line(stream, "log level", answer, "log_level");
	put_line(stream, "log lines lost", answer, "log_lines_lost");
	put_listeners(stream, json_object_get(answer, "listeners"));
	return fflush(stream) == 0 ? 0 : -1;
}

/* --- the rest --- */

int control_print_connections(const json_t *answer, FILE *stream)
{
	static const struct table_column columns[] = {{"ID", "id", false, 12, NULL},
	                                              {"NAME", "sysid", false, 0, NULL},
	                                              {"FROM", "from", false, 0, NULL},
	                                              {"LISTENER", "listener", false, 0, NULL},
	                                              {"STAGE", "stage", false, 0, NULL},
	                                              {"ASKED", "asked", false, 0, NULL},
	                                              {"GOT", "outcome", false, 0, NULL},
	                                              {"SECURED", "secured", false, 0, NULL},
	                                              {"TLS", "tls_version", false, 0, NULL},
	                                              {"SUITE", "tls_suite", false, 0, NULL},
	                                              {"RULE", "rule", false, 0, NULL},
	                                              {"TO", "to_name", false, 0, NULL},
	                                              {"TO TLS", "to_secured", false, 0, NULL},
	                                              {"UP", "up", true, 0, NULL},
	                                              {"DOWN", "down", true, 0, NULL},
	                                              {"SINCE", "started", false, 0, NULL},
	                                              {NULL, NULL, false, 0, NULL}};

	return print_table(answer, columns, stream);
}

int control_print_certificates(const json_t *answer, FILE *stream)
{
	static const struct table_column columns[] = {{"DAYS", "days_left", true, 0, NULL},
	                                              {"SUBJECT", "subject", false, 0, NULL},
	                                              {"SERIAL", "serial", false, 0, NULL},
	                                              {"NOT AFTER", "not_after", false, 0, NULL},
	                                              {"KEY", "key", false, 0, NULL},
	                                              {"BITS", "key_bits", true, 0, NULL},
	                                              {"LISTENERS", "listeners", false, 0, NULL},
	                                              {"FILE", "file", false, 0, NULL},
	                                              {NULL, NULL, false, 0, NULL}};

	return print_table(answer, columns, stream);
}

int control_print_notifiers(const json_t *answer, FILE *stream)
{
	static const struct table_column columns[] = {{"NAME", "name", false, 0, NULL},
	                                              {"KIND", "kind", false, 0, NULL},
	                                              {"ON ERROR", "on_error", false, 0, NULL},
	                                              {"TAKEN", "taken", true, 0, NULL},
	                                              {"FAILED", "failed", true, 0, NULL},
	                                              {"DROPPED", "dropped", true, 0, NULL},
	                                              {"QUEUED", "queued_bytes", true, 0, NULL},
	                                              {"FAILING", "failing", false, 0, NULL},
	                                              {"PATH", "path", false, 0, NULL},
	                                              {"ERROR", "error", false, 0, NULL},
	                                              {NULL, NULL, false, 0, NULL}};

	return print_table(answer, columns, stream);
}

int control_print_ratchet(const json_t *answer, FILE *stream)
{
	static const struct table_column columns[] = {
	    {"KIND", "kind", false, 0, NULL},           {"NAME", "name", false, 0, NULL},
	    {"FIRST SECURED", "first", false, 0, NULL}, {"LAST SECURED", "last", false, 0, NULL},
	    {"HOLDS UNTIL", "until", false, 0, NULL},   {NULL, NULL, false, 0, NULL}};

	return json_is_array(answer) ? print_table(answer, columns, stream) : control_print_text(answer, stream);
}

/* "source=10.0.0.0/8 sysid=BRANCH*" */
static void put_settings(FILE *stream, const char *title, const json_t *settings)
{
	const char *key;
	json_t *value;

	(void)fprintf(stream, "    %s", title);
	json_object_foreach((json_t *)(uintptr_t)settings, key, value)
	{
		char buffer[TABLE_CELL_SIZE];
		struct text escaped;

		(void)value;
		text_init(&escaped, buffer, sizeof(buffer));
		text_put_escaped(&escaped, key, strlen(key));
		(void)fprintf(stream, " %s=%s", buffer, WORDS(settings, key));
	}
	(void)fputs(json_object_size(settings) == 0 ? " -\n" : "\n", stream);
}

int control_print_rules(const json_t *answer, FILE *stream)
{
	const json_t *rule;
	size_t i;

	json_array_foreach(answer, i, rule)
	{
		(void)fprintf(stream, "%s (line %" JSON_INTEGER_FORMAT ")", WORDS(rule, "name"), number_of(rule, "line"));
		if (json_object_get(rule, "connections") != NULL)
			(void)fprintf(stream, ", %" JSON_INTEGER_FORMAT " connection%s", number_of(rule, "connections"),
			              number_of(rule, "connections") == 1 ? "" : "s");
		(void)fputc('\n', stream);
		put_settings(stream, "matches", json_object_get(rule, "matches"));
		put_settings(stream, "sets   ", json_object_get(rule, "sets"));
	}
	if (json_array_size(answer) == 0)
		(void)fputs("no rules: the listeners' own settings hold\n", stream);
	return fflush(stream) == 0 ? 0 : -1;
}

static void put_address(FILE *stream, const json_t *address)
{
	(void)fprintf(stream, "    %s: health %s, %" JSON_INTEGER_FORMAT " open", WORDS(address, "address"),
	              WORDS(address, "health"), number_of(address, "connections"));
	if (json_object_get(address, "left_out_for_s") != NULL)
		(void)fprintf(stream, ", left out for %" JSON_INTEGER_FORMAT " s", number_of(address, "left_out_for_s"));
	if (json_object_get(address, "reason") != NULL)
		(void)fprintf(stream, ", %s: %s", WORDS(address, "reason"), WORDS(address, "detail"));
	(void)fputc('\n', stream);
}

int control_print_peers(const json_t *answer, FILE *stream)
{
	const json_t *target, *address;
	size_t i, j;

	json_array_foreach(answer, i, target)
	{
		const char *security = WORDS(target, "security");

		(void)fprintf(stream, "%s %s: %s%s%s\n", WORDS(target, "kind"), WORDS(target, "name"), WORDS(target, "state"),
		              security[0] != '\0' ? ", security " : "", security);
		json_array_foreach(json_object_get(target, "addresses"), j, address) put_address(stream, address);
	}
	return fflush(stream) == 0 ? 0 : -1;
}

int control_print_text(const json_t *answer, FILE *stream)
{
	const json_t *text = json_is_string(answer) ? answer : json_object_get(answer, "text");

	control_print_texts(json_object_get(answer, "findings"), stream);
	if (!json_is_string(text))
		return json_print(answer, JSON_INDENT(2), stream);
	control_print_escaped(text, stream);
	(void)fputc('\n', stream);
	return fflush(stream) == 0 ? 0 : -1;
}

void control_print_escaped(const json_t *text, FILE *stream)
{
	size_t size = json_string_length(text);
	const char *words = json_string_value(text);

	/* As text_put_escaped, however long; quotes stay, as none are put around it. */
	for (size_t i = 0; words != NULL && i < size; i++)
		if (words[i] >= ' ' && words[i] <= '~')
			(void)fputc(words[i], stream);
		else
			(void)fprintf(stream, "\\x%02x", (unsigned char)words[i]);
}

void control_print_texts(const json_t *texts, FILE *stream)
{
	const json_t *text;
	size_t i;

	json_array_foreach(texts, i, text)
	{
		control_print_escaped(text, stream);
		(void)fputc('\n', stream);
	}
}

int control_print_help(const json_t *answer, FILE *stream)
{
	static const struct table_column columns[] = {{"VERB", "verb", false, 0, NULL},
	                                              {"WORDS", "words", false, 0, NULL},
	                                              {"WHAT IT DOES", "help", false, 0, NULL},
	                                              {NULL, NULL, false, 0, NULL}};

	return print_table(answer, columns, stream);
}
