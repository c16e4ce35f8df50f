/*
 * A stream into memory that says when memory was lacking: open_memstream loses what does not fit without setting the
 * stream's error. Knows nothing of what is written.
 */
#ifndef MEMFILE_H
#define MEMFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "compiler.h"

/* Outlives the stream. */
struct memfile {
	char *bytes; /* after memfile_close: the caller's, to be freed; not terminated */
	size_t size, room;
	bool failed;
};

/* Begin an empty one. What was written is in `file` only after fflush. NULL without memory. */
FILE *memfile_open(struct memfile *file) MUST_CHECK;

/* Close the stream. 0, or -1 where anything was lost: then there are no bytes. */
int memfile_close(struct memfile *file, FILE *stream) MUST_CHECK;

#endif
