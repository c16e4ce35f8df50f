/* Lines of a stream. */
#include "linereader.h"

bool line_read(FILE *stream, char *buffer, size_t *size)
{
	int c;

	*size = 0;
	while ((c = getc_unlocked(stream)) != EOF && c != '\n') {
		if (*size < LINE_MOST)
			buffer[*size] = (char)c;
		(*size)++;
	}
	return c != EOF || *size > 0;
}
