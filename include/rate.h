/*
 * How fast something may happen per source: a token bucket each, in a bounded table, for all workers (a lock for each
 * part of the table, none where no bound is set). Knows only source keys; the time is told.
 */
#ifndef RATE_H
#define RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "compiler.h"

/* Sources remembered at once. */
#define RATE_SOURCES 16384

struct rate;

/* Without a bound. NULL without memory. */
struct rate *rate_new(void) MUST_CHECK;
void rate_free(struct rate *rate);

/* From now on `per_second` tokens come back a second, up to `burst` (0 counts as 1); 0 a second: no bound. Any thread.
 */
void rate_set(struct rate *rate, uint64_t per_second, uint64_t burst);

/*
 * Take one token of `source` at `now_ms` of a clock that does not jump. False: there is none, and nothing is taken.
 * NULL has no bound. Any thread.
 *
 * A source that has been quiet until its bucket was full again is not remembered. Where RATE_SOURCES are active (or, by
 * chance, the eight that share a place), a new one takes the place, and what is left in the bucket, of the one that has
 * most: so a flood from very many sources shares 16,384 buckets and gets no fresh ones by pushing others out; a
 * newcomer begins with the fullest bucket of its eight.
 */
bool rate_take(struct rate *rate, const struct source_key *source, uint64_t now_ms) MUST_CHECK;

#endif
