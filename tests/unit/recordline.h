/* What record_write writes, taken from standard error. For one test program. */
#ifndef RECORDLINE_H
#define RECORDLINE_H

#include "log.h"
#include "record.h"
#include "saying.h"

/* Into `line`, terminated; how long it is. */
static size_t record_line(const struct record *record, char *line, size_t room)
{
	struct saying saying;
	struct error error;

	saying_begin(&saying);
	ck_assert_int_eq(log_open(LOG_STDERR, LEVEL_DEBUG, "test", &error), 0);
	record_write(record);
	return saying_end(&saying, line, room);
}

#endif
