/* Feeds inih physical lines that were checked first, and hands on sections and whole values. */
#include "inireader.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Debian's inih has a buffer of 200 bytes and takes what does not fit for a line of its own. */
#define LINE_MAX_CHARS 199
#define LINE_SIZE (LINE_MAX_CHARS + 1)

/* Far above any list that makes sense; keeps a runaway file from filling the memory. */
#define VALUE_MAX_CHARS 65536

/* What inih gets in place of a line that it shall not see: a comment. */
#define NOTHING ";"

struct reader {
	FILE *stream;
	const struct inireader_calls *calls;
	void *context;
	unsigned line;       /* physical line that was read last */
	bool in_section;     /* a section header was seen */
	bool continues;      /* the line that inih has now goes on with the value before it */
	bool dropping;       /* the key was refused: its indented lines go the same way */
	bool told_to_indent; /* indented lines without a key were reported for this section */
	unsigned key_line;   /* 0: no value is pending */
	char key[LINE_SIZE];
	char *value; /* owned; pending until the next key, section or the end */
	size_t used;
	size_t size;
};

static void say(const struct reader *reader, unsigned line, const char *text)
{
	reader->calls->error(reader->context, line, text);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static const char *skip_blanks(const char *text)
{
	while (is_blank(*text))
		text++;
	return text;
}

static bool is_comment(const char *text)
{
	return *text == '\0' || *text == ';' || *text == '#';
}

/* Give the pending value to the caller: nothing can be added to it any more. */
static void flush_value(struct reader *reader)
{
	if (reader->key_line == 0)
		return;
	reader->calls->value(reader->context, reader->key_line, reader->key, reader->value ? reader->value : "");
	reader->key_line = 0;
	reader->used = 0;
}

static bool reserve(struct reader *reader, size_t more)
{
	size_t wanted = reader->used + more;

	if (wanted <= reader->size)
		return true;
	size_t size = wanted < 256 ? 256 : wanted * 2;
	char *value = realloc(reader->value, size);
	if (value == NULL)
		return false;
	reader->value = value;
	reader->size = size;
	return true;
}

/* Add one line's part of the value; parts are separated by a newline, empty ones leave no trace. */
static void add_part(struct reader *reader, const char *part)
{
	size_t length = strlen(part);

	if (reader->used + length > VALUE_MAX_CHARS || !reserve(reader, length + 2)) {
		say(reader, reader->line, "the value is too long: at most 65536 characters over all its lines");
		reader->dropping = true;
		return;
	}
	if (reader->used > 0 && length > 0)
		reader->value[reader->used++] = '\n';
	memcpy(reader->value + reader->used, part, length + 1);
	reader->used += length;
}

/* inih's handler. Sections were handled when their line was read: inih cuts their names at 49 characters and is
 * silent about empty ones. 0 would be an error that stops nothing, so faults are reported where they are found. */
static int on_value(void *context, const char *section, const char *name, const char *value)
{
	struct reader *reader = context;

	(void)section;
	if (!reader->continues) {
		flush_value(reader);
		reader->key_line = reader->line;
		snprintf(reader->key, sizeof(reader->key), "%s", name);
	}
	add_part(reader, value ? value : "");
	return 1;
}

struct raw_line {
	size_t length; /* of the whole line, the newline excluded */
	bool nul;
	bool control;
};

static void note_byte(struct raw_line *raw, char *line, int byte)
{
	if (byte == '\0')
		raw->nul = true;
	else if (byte != '\t' && byte != '\r' && iscntrl(byte) != 0)
		raw->control = true;
	if (raw->length < LINE_MAX_CHARS)
		line[raw->length] = (char)byte;
	raw->length++;
}

/* Read one physical line, however long; what fits is in `line`. false at the end of the stream. */
static bool take_line(FILE *stream, char *line, struct raw_line *raw)
{
	int byte = getc(stream);
	bool carriage_return = false;

	*raw = (struct raw_line){0};
	if (byte == EOF)
		return false;
	for (; byte != '\n' && byte != EOF; byte = getc(stream)) {
		if (carriage_return)
			note_byte(raw, line, '\r');
		carriage_return = byte == '\r';
		if (!carriage_return)
			note_byte(raw, line, byte);
	}
	line[raw->length < LINE_MAX_CHARS ? raw->length : LINE_MAX_CHARS] = '\0';
	/* A carriage return inside the line is an old Mac's line end, or rubbish. */
	if (strchr(line, '\r') != NULL)
		raw->control = true;
	return true;
}

/* Does an indented line look like a key that was meant to begin in the first column? */
static bool looks_like_key(const char *text)
{
	const char *at = text;

	while (islower((unsigned char)*at) || *at == '_')
		at++;
	return at > text && *skip_blanks(at) == '=';
}

/* inih 55 strips ` ;` comments from the first line of a value only. */
static void cut_comment(char *text)
{
	for (char *at = text; *at != '\0'; at++) {
		if (*at == ';' && at > text && is_blank(at[-1])) {
			*at = '\0';
			return;
		}
	}
}

/* May this indented line go on with the value before it? */
static bool accept_indented(struct reader *reader, char *line)
{
	const char *start = skip_blanks(line);

	if (reader->dropping)
		return false;
	if (*start == '[') {
		const char *close = strchr(start, ']');
		if (close == NULL || is_comment(skip_blanks(close + 1))) {
			say(reader, reader->line,
			    "a section header must begin in the first column: indented lines continue a value");
			return false;
		}
	}
	if (looks_like_key(start)) {
		say(reader, reader->line, "a key must begin in the first column: indented lines continue the value before");
		return false;
	}
	if (reader->key_line == 0) {
		if (!reader->told_to_indent)
			say(reader, reader->line, "an indented line continues a value, and there is no key before it");
		reader->told_to_indent = true;
		return false;
	}
	reader->continues = true;
	cut_comment(line);
	return true;
}

/* A header that cannot be read still begins a section, so that its keys are not taken for those of the one before. */
static void bad_header(struct reader *reader, const char *text)
{
	say(reader, reader->line, text);
	reader->calls->section(reader->context, reader->line, "", "");
}

static void accept_header(struct reader *reader, char *line)
{
	char *close = strchr(line, ']');

	flush_value(reader);
	reader->in_section = true;
	reader->dropping = false;
	reader->told_to_indent = false;
	if (close == NULL) {
		bad_header(reader, "the section header has no ]: write [section] or [section NAME]");
		return;
	}
	if (!is_comment(skip_blanks(close + 1))) {
		bad_header(reader, "text after the ] of a section header: put it on a line of its own");
		return;
	}
	*close = '\0';
	char *kind = line + 1 + (skip_blanks(line + 1) - (line + 1));
	char *end = close;
	while (end > kind && is_blank(end[-1]))
		*--end = '\0';
	size_t length = strcspn(kind, " \t");
	const char *name = skip_blanks(kind + length);
	if (length == 0) {
		bad_header(reader, "the section header is empty: write [section] or [section NAME]");
		return;
	}
	kind[length] = '\0';
	reader->calls->section(reader->context, reader->line, kind, name);
}

/* Is this `key = value`, at a place where a key may stand? inih would take ':' for '=' and blanks into the key. */
static bool accept_key(struct reader *reader, const char *line)
{
	size_t length = strcspn(line, "=:; \t#");
	const char *after = skip_blanks(line + length);

	flush_value(reader);
	reader->dropping = true;
	if (*after != '=' || length == 0) {
		say(reader, reader->line,
		    length == 0 ? "no key before the =: write key = value" : "no = after the key: write key = value");
		return false;
	}
	if (!reader->in_section) {
		say(reader, reader->line, "a key before any [section]: put the section's header above it");
		return false;
	}
	reader->dropping = false;
	return true;
}

/* Report what inih would pass over in silence. false: the line must not be used. */
static bool check_raw(struct reader *reader, const char *line, const struct raw_line *raw)
{
	char text[160];

	if (raw->nul) {
		say(reader, reader->line, "a NUL byte: this is not a text file in UTF-8");
		return false;
	}
	if (raw->length <= LINE_MAX_CHARS || is_comment(skip_blanks(line))) {
		if (raw->control && !is_comment(skip_blanks(line))) {
			say(reader, reader->line, "a control character: only printable text, tabs and line ends are taken");
			return false;
		}
		return true;
	}
	snprintf(text, sizeof(text),
	         "the line has %zu characters, at most %d are taken: continue the value on indented lines", raw->length,
	         LINE_MAX_CHARS);
	say(reader, reader->line, text);
	return false;
}

/* A refused line that began in the first column ended the value before it, and was the key of what follows. */
static void refuse_line(struct reader *reader, const char *line)
{
	if (is_blank(line[0]))
		return;
	flush_value(reader);
	reader->dropping = true;
	if (line[0] == '[') {
		reader->in_section = true;
		reader->calls->section(reader->context, reader->line, "", "");
	}
}

/* Look at the line before inih does. false: inih shall see a comment in its place. */
static bool accept_line(struct reader *reader, char *line, const struct raw_line *raw)
{
	const char *start = skip_blanks(line);

	reader->continues = false;
	if (!check_raw(reader, line, raw)) {
		refuse_line(reader, line);
		return false;
	}
	if (is_comment(start))
		return false;
	if (is_blank(line[0]))
		return accept_indented(reader, line);
	if (line[0] == '[') {
		accept_header(reader, line);
		return false;
	}
	return accept_key(reader, line);
}

static void skip_mark(char *line, struct raw_line *raw)
{
	static const char mark[] = "\xef\xbb\xbf";
	size_t stored = raw->length < LINE_MAX_CHARS ? raw->length : LINE_MAX_CHARS;

	if (raw->length < 3 || memcmp(line, mark, 3) != 0)
		return;
	memmove(line, line + 3, stored - 3 + 1);
	raw->length -= 3;
}

/* inih's reader, like fgets. */
static char *read_line(char *line, int size, void *context)
{
	struct reader *reader = context;
	char taken[LINE_SIZE];
	struct raw_line raw;

	if (!take_line(reader->stream, taken, &raw))
		return NULL;
	reader->line++;
	if (reader->line == 1)
		skip_mark(taken, &raw);
	snprintf(line, (size_t)size, "%s", accept_line(reader, taken, &raw) ? taken : NOTHING);
	return line;
}

int inireader_read(FILE *stream, const struct inireader_calls *calls, void *context)
{
	struct reader reader = {.stream = stream, .calls = calls, .context = context};

	errno = 0;
	int result = ini_parse_stream(read_line, &reader, on_value, &reader);
	int saved = errno;
	flush_value(&reader);
	free(reader.value);
	if (ferror(stream) != 0) {
		struct error error;
		error_set(&error, "cannot be read: %s", saved == EISDIR ? "it is a directory, not a file" : strerror(saved));
		say(&reader, 0, error.text);
		return -1;
	}
	if (result != 0) /* every such line was refused before inih saw it; never pass over one all the same */
		say(&reader, result > 0 ? (unsigned)result : 0, "inih cannot read this line");
	return 0;
}
