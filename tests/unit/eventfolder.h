/* A folder for a file of events and what it is renamed to, and what stands in them. */
#ifndef TEST_EVENTFOLDER_H
#define TEST_EVENTFOLDER_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64], path[96], other[96], text[262144];

static inline void make_folder(void)
{
	(void)strcpy(folder, "/tmp/cci-events-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/events", folder);
	(void)snprintf(other, sizeof(other), "%s/events.1", folder);
}

static inline void remove_folder(void)
{
	(void)unlink(path);
	(void)unlink(other);
	ck_assert_int_eq(rmdir(folder), 0);
}

/* In `text`; "" where there is no file. */
static inline const char *contents(const char *name)
{
	FILE *stream = fopen(name, "r");
	size_t got = stream != NULL ? fread(text, 1, sizeof(text) - 1, stream) : 0;

	text[got] = '\0';
	if (stream != NULL)
		(void)fclose(stream);
	return text;
}

#endif
