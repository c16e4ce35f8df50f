/* INI files through inih, with an error for everything that inih lets pass in silence. */
#include "inireader.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <string.h>

#define LINE_MOST 199         /* characters; inih's buffer of 200 cuts what is longer */
#define VALUE_SIZE (16 * 1024) /* a value with all its continuation lines */

struct state {
	FILE *stream;
	const struct inireader_calls *calls;
	void *context;
	unsigned line;
	bool is_continuation; /* the line given to inih last is indented, after a key */
	bool in_section, has_key, failed;
	bool skip; /* after a broken section line: whose keys these are is not known */
	unsigned key_line;
	char key[LINE_MOST + 1];
	struct text value;
	char buffer[VALUE_SIZE];
};

static void say(struct state *state, unsigned line, const char *text)
{
	state->calls->error(state->context, line, text);
}

/* Hand over the value that is complete now. */
static void finish_value(struct state *state)
{
	if (!state->has_key)
		return;
	state->has_key = false;
	if (state->skip)
		return;
	if (state->value.cut)
		say(state, state->key_line, "the value is longer than 16 KiB");
	else
		state->calls->value(state->context, state->key_line, state->key, state->buffer);
}

/* [kind] or [kind name]. */
static void take_section(struct state *state, char *line)
{
	char *end = strchr(line, ']'), *kind = line + 1, *name;

	finish_value(state);
	state->in_section = true;
	state->skip = true;
	if (end == NULL || (end[1 + strspn(end + 1, " \t\r")] != '\0' && end[1 + strspn(end + 1, " \t\r")] != ';')) {
		say(state, state->line, "a section is written as [name] or [name NAME] on a line of its own");
		return;
	}
	*end = '\0';
	kind += strspn(kind, " \t");
	name = kind + strcspn(kind, " \t");
	if (*name != '\0') {
		*name++ = '\0';
		name += strspn(name, " \t");
	}
	while (strlen(name) > 0 && strchr(" \t", name[strlen(name) - 1]) != NULL)
		name[strlen(name) - 1] = '\0';
	state->skip = false;
	state->calls->section(state->context, state->line, kind, name);
}

/* `word =`: no value that is continued begins so. */
static bool looks_like_key(const char *start)
{
	size_t word = strspn(start, "abcdefghijklmnopqrstuvwxyz_");

	return word > 0 && start[word + strspn(start + word, " \t")] == '=';
}

/* Look at a line before inih does. True: inih gets it; false: an empty line instead. */
static bool look(struct state *state, char *line)
{
	size_t indent = strspn(line, " \t");
	const char *start = line + indent;
	const char *separator = start + strcspn(start, "=:");

	state->is_continuation = false;
	if (*start == '\0' || *start == '\r' || *start == ';' || *start == '#')
		return false;
	if (indent > 0 && state->has_key && looks_like_key(start)) {
		say(state, state->line,
		    "this looks like a key, and an indented line continues the value above: do not indent it");
		return false;
	}
	if (indent > 0 && state->has_key) {
		state->is_continuation = true;
		return true;
	}
	if (indent > 0) {
		say(state, state->line, "an indented line continues a value, and there is none before it");
		return false;
	}
	if (*start == '[') {
		take_section(state, line);
		return false;
	}
	finish_value(state);
	if (*separator != '=' || separator == start) {
		say(state, state->line, "expected `key = value`, [section] or a comment that begins with ;");
		return false;
	}
	if (!state->in_section) {
		say(state, state->line, "a key before any [section]");
		return false;
	}
	return true;
}

/* One physical line, without its end. False at the end of the stream. */
static bool read_line(struct state *state, char *line)
{
	size_t length = 0;
	bool has_nul = false, any = false;
	int c;

	while ((c = getc(state->stream)) != EOF && c != '\n') {
		any = true;
		has_nul = has_nul || c == '\0';
		if (length < LINE_MOST)
			line[length] = (char)c;
		length++;
	}
	if (c == EOF && !any)
		return false;
	state->line++;
	if (length > 0 && length <= LINE_MOST + 1 && line[length <= LINE_MOST ? length - 1 : LINE_MOST - 1] == '\r' &&
	    length <= LINE_MOST)
		length--;
	line[length <= LINE_MOST ? length : 0] = '\0';
	if (length > LINE_MOST) {
		finish_value(state);
		say(state, state->line, "the line has more than 199 characters: go on in an indented line");
	}
	if (has_nul) {
		say(state, state->line, "the line holds a NUL byte: this is not a text file");
		line[0] = '\0';
	}
	if (state->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
		memmove(line, line + 3, strlen(line + 3) + 1);
	return true;
}

static char *reader(char *buffer, int size, void *stream)
{
	struct state *state = stream;
	char line[LINE_MOST + 1];

	if (size < LINE_MOST + 1 || !read_line(state, line)) {
		state->failed = size < LINE_MOST + 1;
		return NULL;
	}
	if (!look(state, line))
		line[0] = '\0';
	memcpy(buffer, line, strlen(line) + 1);
	return buffer;
}

/* inih leaves comments on continued lines. A list goes on at once after its separator, so that a list of suites holds
 * no blank; and so does a path after a slash. */
static void continue_value(struct state *state, const char *value)
{
	const char *comment = strstr(value, " ;");
	size_t length = comment != NULL ? (size_t)(comment - value) : strlen(value);
	size_t used = state->value.used;

	while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t'))
		length--;
	if (used > 0 && strchr(",:/", state->buffer[used - 1]) == NULL)
		text_puts(&state->value, " ");
	text_put(&state->value, value, length);
}

static int handler(void *user, const char *section, const char *name, const char *value)
{
	struct state *state = user;

	(void)section;
	if (state->is_continuation) {
		continue_value(state, value);
		return 1;
	}
	state->has_key = true;
	state->key_line = state->line;
	(void)snprintf(state->key, sizeof(state->key), "%s", name);
	text_init(&state->value, state->buffer, sizeof(state->buffer));
	text_puts(&state->value, value);
	return 1;
}

int inireader_read(FILE *stream, const struct inireader_calls *calls, void *context)
{
	struct state state = {.stream = stream, .calls = calls, .context = context};
	int result;

	errno = 0;
	/* Faults of lines were found before inih saw them: its own result says no more than that there were some. */
	result = ini_parse_stream(reader, &state, handler, &state);
	finish_value(&state);
	if (ferror(stream) || state.failed || result < 0) {
		say(&state, 0, errno == EISDIR ? "this is a directory: name a file" : "the file cannot be read");
		return -1;
	}
	return 0;
}
