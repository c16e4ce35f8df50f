/*
 * Counts connections in all and per source, for all workers (atomics and a sharded table with a lock each).
 * Knows only source keys.
 */
#ifndef LIMITS_H
#define LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "compiler.h"

struct limits;

enum limits_verdict {
	LIMITS_OK,
	LIMITS_OVER,  /* over a limit: may be told so by REFUSE 8 and no more; still has to be left */
	LIMITS_CLOSE, /* far over: close at once; was not entered, must not be left */
};

struct limits *limits_new(void) MUST_CHECK;
void limits_free(struct limits *limits);

/* The bounds in force from now on (0: none). Connections that are there stay. */
void limits_set(struct limits *limits, uint64_t connections, uint64_t per_source);

/* One more connection from `source`. LIMITS_OVER is given to at most limit/8 (16 to 1024) connections at once. */
enum limits_verdict limits_enter(struct limits *limits, const struct source_key *source) MUST_CHECK;

/* It ended; once for each enter that did not say LIMITS_CLOSE. `verdict` is what enter said. */
void limits_leave(struct limits *limits, const struct source_key *source, enum limits_verdict verdict);

/* Connections entered and not left. */
uint64_t limits_count(const struct limits *limits);

#endif
