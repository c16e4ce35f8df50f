/*
 * Lines of a connection that nobody can be given yet: whose client, or whose name, is not known. A bounded list of the
 * session's; empty, and without memory, while no trace waits for them. One thread only.
 */
#ifndef TRACE_HELD_H
#define TRACE_HELD_H

#include <stddef.h>
#include <stdint.h>

#define TRACE_HELD_BYTES (16 * 1024) /* most that is kept of one connection, all counted */

enum trace_side { TRACE_FRONT, TRACE_BACK };

/* One line; the texts are borrowed, `stage` for ever. */
struct trace_line {
	uint64_t us; /* since the accept */
	enum trace_side side;
	const char *stage, *text;
	const char *hex; /* NULL: none */
};

enum trace_unknown { TRACE_UNKNOWN_SOURCE = 1, TRACE_UNKNOWN_NAME = 2 };

/* All zero to begin with. */
struct trace_held {
	unsigned unknown; /* enum trace_unknown, or'ed: what is to come yet */
	struct trace_held_line *first, *last;
	size_t bytes;
	uint64_t lost; /* lines that were not kept */
};

/* Keep a copy, unless it would be too much; one that is not kept is counted in `lost`, as are all behind it. */
void trace_held_add(struct trace_held *held, const struct trace_line *line);

/* `each` for every line, the oldest first, and for one that says how many were lost. They stay. */
void trace_held_each(const struct trace_held *held, void (*each)(void *context, const struct trace_line *line),
                     void *context);

/* Drop the lines. */
void trace_held_drop(struct trace_held *held);

#endif
