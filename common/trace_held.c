/* Lines that wait until it is known whose they are. */
#include "trace_held.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct trace_held_line {
	struct trace_held_line *next;
	struct trace_line line; /* its texts are in `bytes` */
	char bytes[];
};

static struct trace_held_line *copy(const struct trace_line *line, size_t size)
{
	struct trace_held_line *held = malloc(size);
	size_t text_size = strlen(line->text) + 1;

	if (held == NULL)
		return NULL;
	held->next = NULL;
	held->line = *line;
	held->line.text = memcpy(held->bytes, line->text, text_size);
	if (line->hex != NULL)
		held->line.hex = memcpy(held->bytes + text_size, line->hex, strlen(line->hex) + 1);
	return held;
}

void trace_held_add(struct trace_held *held, const struct trace_line *line)
{
	size_t hex_size = line->hex != NULL ? strlen(line->hex) + 1 : 0;
	size_t size = sizeof(struct trace_held_line) + strlen(line->text) + 1 + hex_size;
	struct trace_held_line *added = NULL;

	/* No gap but at the end: the number is said there. */
	if (held->lost == 0 && size <= TRACE_HELD_BYTES - held->bytes)
		added = copy(line, size);
	if (added == NULL) {
		held->lost++;
		return;
	}
	if (held->last != NULL)
		held->last->next = added;
	else
		held->first = added;
	held->last = added;
	held->bytes += size;
}

void trace_held_each(const struct trace_held *held, void (*each)(void *context, const struct trace_line *line),
                     void *context)
{
	char words[64];

	for (const struct trace_held_line *at = held->first; at != NULL; at = at->next)
		each(context, &at->line);
	if (held->lost == 0)
		return;
	(void)snprintf(words, sizeof(words), "%" PRIu64 " lines before this one were not kept", held->lost);
	each(context,
	     &(struct trace_line){.us = held->last != NULL ? held->last->line.us : 0, .stage = "missed", .text = words});
}

void trace_held_drop(struct trace_held *held)
{
	while (held->first != NULL) {
		struct trace_held_line *next = held->first->next;

		free(held->first);
		held->first = next;
	}
	held->last = NULL;
	held->bytes = 0;
	held->lost = 0;
}
