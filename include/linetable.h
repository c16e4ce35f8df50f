/*
 * Lines of text that are counted, and a table of those that stand for something that goes on: by a key, the last line
 * for it. Not for several threads at once, save that references may be left by any.
 */
#ifndef LINETABLE_H
#define LINETABLE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

/* What a line is about: a connection's id, and a byte for its side. */
struct line_key {
	uint8_t bytes[17];
};

/* One line; never changes once it is shared. */
struct line {
	atomic_uint references;
	struct line_key key;
	struct line *next;    /* for whoever queues it: in one queue at most */
	struct line *chained; /* the table's own */
	uint64_t number, end; /* for whoever queues it */
	size_t size;
	char bytes[];
};

/* A copy of `size` bytes with a line feed behind them; one reference, the caller's. NULL without memory. */
struct line *line_new(const struct line_key *key, const char *bytes, size_t size) MUST_CHECK;

/* One reference more. */
struct line *line_share(struct line *line);

/* One less; the last frees it. NULL does nothing. */
void line_leave(struct line *line);

struct linetable;

/* NULL without memory. */
struct linetable *linetable_new(void) MUST_CHECK;

/* Leaves all lines. NULL does nothing. */
void linetable_free(struct linetable *table);

/* Keep `line` under its key, in place of another one; the table takes a reference of its own. Cannot fail. */
void linetable_keep(struct linetable *table, struct line *line);

/* Take out what is kept under `key`. Nothing where there is nothing. */
void linetable_drop(struct linetable *table, const struct line_key *key);

size_t linetable_count(const struct linetable *table);

/* All of them into `lines` (room for linetable_count), the caller's references. In no order. */
void linetable_copy(const struct linetable *table, struct line **lines);

#endif
