/*
 * Connects to the first of several socket addresses that answers (RFC 8305, section 5): one attempt after the other,
 * the next one 250 ms after the one before, or at once when that has failed; all that have started stay in the race,
 * the first that connects wins, and the others are closed. Has no deadline: its owner keeps one. One thread only.
 */
#ifndef CONNECTOR_H
#define CONNECTOR_H

#include <stddef.h>

#include "address.h"
#include "channel.h"
#include "compiler.h"
#include "iocontext.h"

#define CONNECTOR_STAGGER_MS 250

struct connector;

/* `channel`: connected, and the owner's now, unwatched. NULL: no address can be reached, and `error` is what the last
 * one that failed said (static words). */
typedef void connector_done(void *owner, struct channel *channel, const char *error);

/* Start with the first of `count` (at least 1) addresses of `list` (copied). Calls `done` exactly once, never before
 * the return, unless cancelled; the connector is gone then. NULL without memory. */
struct connector *connector_start(struct iocontext *io, const union socket_address *list, size_t count,
                                  connector_done *done, void *owner) MUST_CHECK;

/* `done` will not be called; all attempts are closed. NULL does nothing. */
void connector_cancel(struct connector *connector);

#endif
