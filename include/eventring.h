/*
 * The last lines of something that happens (events for the page, a trace of one connection), bounded: any thread adds,
 * one reader on a loop takes them at its own pace and learns how many it has missed. Knows nothing of what stands in
 * them.
 */
#ifndef EVENTRING_H
#define EVENTRING_H

#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

struct eventring;

/* Holds at most `limit_bytes`; the oldest lines leave. `woken` is called (any thread, after a line was added, not again
 * until eventring_take was called); NULL: nobody. NULL without memory. */
struct eventring *eventring_new(size_t limit_bytes, void (*woken)(void *owner), void *owner) MUST_CHECK;
void eventring_free(struct eventring *ring);

/* Add a copy of a line (without line feed). Any thread; never waits for a reader. A line that is too long is counted as
 * missed. */
void eventring_add(struct eventring *ring, const char *line, size_t size);

/* The number of the next line; lines are counted from 1. */
uint64_t eventring_next(struct eventring *ring);

/* Copy the lines from number *next on into `buffer`, each with a line feed, as many as fit whole; *next moves behind
 * them. *missed: how many from *next on were there no more. Returns the bytes written. Several readers may each have a
 * *next of their own. */
size_t eventring_take(struct eventring *ring, uint64_t *next, char *buffer, size_t size, uint64_t *missed) MUST_CHECK;

#endif
