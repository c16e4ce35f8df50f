/*
 * Counts connections that never spoke the protocol (scanners, foreign programs), per source, in a bounded table;
 * says one line a source at most once a minute, with the count since the last one.
 */
#ifndef NOISE_H
#define NOISE_H

#include <stdint.h>

#include "address.h"
#include "compiler.h"
#include "reason.h"

struct noise;

struct noise *noise_new(void) MUST_CHECK;
void noise_free(struct noise *noise);

/* One more. `now_ms` is any monotonic clock. Logs MESSAGE_NOISE when a line is due: the first at once, then at
 * most one a minute a source; what the table cannot hold is counted under "other". */
void noise_count(struct noise *noise, const union socket_address *source, enum reason reason, uint64_t now_ms);

/* Say what has been counted and not yet said (at the end of a program, and each minute from the main thread). */
void noise_report(struct noise *noise, uint64_t now_ms);

#endif
