/*
 * Listening sockets: one set for each worker on the same addresses (SO_REUSEPORT), opened and closed by the main
 * thread, accepted from by a worker. Knows addresses; what is done with a connection is the worker's business.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include <stddef.h>

#include "address.h"
#include "compiler.h"
#include "config.h"
#include "text.h"

/* One bound address with a socket for each worker. */
struct listener {
	struct address asked;          /* as configured */
	union socket_address bound;    /* with the real port */
	int *fds;                      /* one for each worker; owned; -1: handed over or closed */
	unsigned workers;
};

struct listener_set {
	struct listener *at;
	size_t count;
	size_t *owner; /* owner[i]: number of the [listener] section that at[i] belongs to */
};

/* Open every address of every [listener] of `config`. What `old` (may be NULL) has bound already for the same asked
 * address is shared with it (descriptors duplicated), so that a reload loses no connection. An address in use is an error (not shared
 * silently with another process). All or nothing: NULL-initialised set on -1, with `error`. */
int listener_open(struct listener_set *set, const struct config *config, const struct listener_set *old,
                  unsigned workers, struct error *error) MUST_CHECK;

void listener_close(struct listener_set *set);

/* Log MESSAGE_LISTENING for each (with the real port). */
void listener_log(const struct listener_set *set, const struct config *config);

#endif
