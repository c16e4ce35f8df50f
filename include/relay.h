/*
 * Moves opaque bytes between two channels until both directions have ended (protocol, section 8): half-close in all
 * four combinations of clear and TLS, back-pressure with bounded memory, a bounded amount in one turn, splice between
 * clear sockets in bulk. Starts only with an accepted verdict. Knows no deadline: its owner asks for the last activity.
 */
#ifndef RELAY_H
#define RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "channel.h"
#include "compiler.h"
#include "reason.h"
#include "tlsverdict.h"
#include "trace.h"

struct relay;

struct relay_count {
	uint64_t up;          /* bytes from the front (who connected) to the back */
	uint64_t down;        /* bytes from the back to the front */
	uint64_t up_ms, down_ms;   /* loop time of the last byte that moved in that direction */
	bool up_ended, down_ended; /* that direction ended in order */
};

/* REASON_ENDED: both directions ended in order and everything was handed to the kernel. Otherwise TRUNCATED, RESET,
 * TLS_ERROR, NO_MEMORY; `at_front` says on which leg it happened. `detail` in words. */
typedef void relay_done(void *owner, enum reason reason, bool at_front, const char *detail);

/* Relay between `front` and `back` (both borrowed). back NULL: echo to the front what it sends, up to `echo_limit`
 * bytes (0: no limit), and then end. `verdict` must be one that accepts: anything else is a programming error and ends
 * with REASON_INTERNAL before a byte moves. `done` exactly once, never before the return. NULL without memory. */
struct relay *relay_start(struct channel *front, struct channel *back, uint64_t echo_limit,
                          const struct verdict *verdict, relay_done *done, void *owner) MUST_CHECK;

void relay_counts(const struct relay *relay, struct relay_count *count);

/* First bytes and half-closes are shown to those who trace `subject` (borrowed). */
void relay_trace(struct relay *relay, const struct trace_subject *subject);

/* Stop; also frees after `done` was called. NULL does nothing. */
void relay_free(struct relay *relay);

#endif
