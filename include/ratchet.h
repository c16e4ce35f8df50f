/*
 * The names that have been secured and may not come back in the clear: a bounded table in memory, shared by all
 * workers behind one lock. The oldest name leaves when the table is full. Knows nothing of connections.
 */
#ifndef RATCHET_H
#define RATCHET_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler.h"

struct ratchet;

/* An empty table for at most `limit` names. NULL without memory. */
struct ratchet *ratchet_new(size_t limit) MUST_CHECK;
void ratchet_free(struct ratchet *ratchet);

/* Remember the CCI name `sysid` (no regard to case). True where it was not held before. */
bool ratchet_add(struct ratchet *ratchet, const char *sysid);

bool ratchet_holds(struct ratchet *ratchet, const char *sysid);

size_t ratchet_count(struct ratchet *ratchet);

#endif
