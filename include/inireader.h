/*
 * Reads an INI stream through inih line by line, and makes errors of what Debian's inih lets pass: lines over 199
 * characters, NUL bytes, a directory in place of a file, keys before any section. A long value goes on in indented
 * lines. Knows sections, keys and values, not what they mean.
 */
#ifndef INIREADER_H
#define INIREADER_H

#include <stdio.h>

#include "compiler.h"
#include "text.h"

/* What inireader_read calls, in the order of the file. `line` counts from 1. Strings are borrowed. */
struct inireader_calls {
	void (*section)(void *context, unsigned line, const char *kind, const char *name); /* [kind name]; "" = no name */
	void (*value)(void *context, unsigned line, const char *key, const char *value);
	void (*error)(void *context, unsigned line, const char *text);
};

/* Read the whole stream. Errors go to calls->error and reading goes on, so that all are found. 0, or -1 when the
 * stream itself could not be read (then calls->error was called with line 0). */
int inireader_read(FILE *stream, const struct inireader_calls *calls, void *context) MUST_CHECK;

#endif
