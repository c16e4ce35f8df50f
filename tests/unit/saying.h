/* What is written to standard error meanwhile, as the log is. */
#ifndef TEST_SAYING_H
#define TEST_SAYING_H

#include <check.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"

struct saying {
	FILE *stream;
	int saved;
};

static inline void saying_begin(struct saying *saying)
{
	saying->stream = tmpfile();
	saying->saved = dup(STDERR_FILENO);
	ck_assert_ptr_nonnull(saying->stream);
	ck_assert_int_ge(saying->saved, 0);
	ck_assert_int_eq(dup2(fileno(saying->stream), STDERR_FILENO), STDERR_FILENO);
}

/* Into `text`, terminated; how long it is. */
static inline size_t saying_end(struct saying *saying, char *text, size_t room)
{
	size_t size;

	log_flush();
	ck_assert_int_eq(dup2(saying->saved, STDERR_FILENO), STDERR_FILENO);
	close(saying->saved);
	rewind(saying->stream);
	size = fread(text, 1, room - 1, saying->stream);
	text[size] = '\0';
	ck_assert_int_eq(fclose(saying->stream), 0);
	return size;
}

/* How many lines it was. */
static inline int saying_lines(struct saying *saying)
{
	char text[8192];
	int lines = 0;

	(void)saying_end(saying, text, sizeof(text));
	for (const char *at = text; *at != '\0'; at++)
		lines += *at == '\n';
	return lines;
}

#endif
