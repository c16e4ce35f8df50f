/* Lines of a stream, in a buffer that no line can outgrow. */
#ifndef LINEREADER_H
#define LINEREADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "compiler.h"

#define LINE_MOST (256 * 1024) /* no line that we write is that long */

/* The next line into `buffer` of LINE_MOST bytes, without its end. False where nothing is left, or the stream fails; a
 * *size above LINE_MOST: the rest of the line was dropped. */
bool line_read(FILE *stream, char *buffer, size_t *size) MUST_CHECK;

#endif
