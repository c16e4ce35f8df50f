/* What record_write writes, taken from standard error. For one test program. */
#ifndef RECORDLINE_H
#define RECORDLINE_H

#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "record.h"

/* Into `line`, terminated; how long it is. */
static size_t record_line(const struct record *record, char *line, size_t room)
{
	FILE *stream = tmpfile();
	struct error error;
	int saved = dup(STDERR_FILENO);
	size_t size;

	ck_assert_ptr_nonnull(stream);
	ck_assert_int_eq(dup2(fileno(stream), STDERR_FILENO), STDERR_FILENO);
	ck_assert_int_eq(log_open(LOG_STDERR, LEVEL_DEBUG, "test", &error), 0);
	record_write(record);
	log_flush();
	ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	rewind(stream);
	size = fread(line, 1, room - 1, stream);
	line[size] = '\0';
	close(saved);
	ck_assert_int_eq(fclose(stream), 0);
	return size;
}

#endif
