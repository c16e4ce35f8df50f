/* What the code under test prints, in memory, and promises about it. */
#ifndef FUZZ_OUTPUT_H
#define FUZZ_OUTPUT_H

#include "fuzz.h"

struct output {
	FILE *stream;
	char *text; /* after output_end; free(text) */
	size_t size;
};

static inline FILE *output_begin(struct output *output)
{
	*output = (struct output){.stream = NULL};
	output->stream = open_memstream(&output->text, &output->size);
	FUZZ_CHECK(output->stream != NULL, "no memory");
	return output->stream;
}

static inline void output_end(struct output *output)
{
	FUZZ_CHECK(fclose(output->stream) == 0, "no memory");
}

/* Nothing in it can move a cursor, colour a terminal or begin a line of its own: printable ASCII and line feeds. */
static inline void output_is_tame(const struct output *output)
{
	for (size_t i = 0; i < output->size; i++)
		FUZZ_CHECK(output->text[i] == '\n' || (output->text[i] >= ' ' && output->text[i] <= '~'),
		           "byte %02x at %zu of what is printed", (unsigned)(unsigned char)output->text[i], i);
}

#endif
