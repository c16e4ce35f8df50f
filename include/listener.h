/*
 * Listening sockets: opened, shared with the next configuration, and closed by the main thread, accepted from by
 * workers. An IP address has a socket for each worker (SO_REUSEPORT), a unix socket and one that was passed by the
 * service manager are one socket for all. Knows addresses; what is done with a connection is the worker's business.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "address.h"
#include "compiler.h"
#include "config.h"
#include "text.h"
#include "unixsocket.h"

/* Bursts of reconnecting clients wait here; the kernel cuts it at net.core.somaxconn. */
#define LISTENER_BACKLOG 4096

/* One bound address. */
struct listener {
	struct address asked;       /* as configured */
	union socket_address bound; /* with the real port */
	bool dual_stack;            /* [::] takes IPv4 too */
	int *fds;                   /* `sockets` of them; owned; -1: closed */
	unsigned sockets;
	struct unixsocket_file file; /* of a unix socket */
	bool control; /* it is [control]'s, and no [listener] has it */
};

struct listener_set {
	struct listener *at;
	size_t count;
	size_t *owner; /* owner[i]: number of the [listener] section that at[i] belongs to */
	unsigned workers;
};

/* Open every address of every [listener] of `config`. What `old` (may be NULL) has bound already for the same asked
 * address is shared with it (descriptors duplicated), with as many sockets as it has there, so that neither a reload
 * nor another number of workers loses a connection. systemd:NAME shares all that `passed` (may be NULL) has of that
 * name. An address in use is an error (not shared silently with another process), save the unix socket that a dead
 * process left. All or nothing: NULL-initialised set on -1, with `error`; unix sockets made on the way are removed. */
int listener_open(struct listener_set *set, const struct config *config, const struct listener_set *old,
                  const struct listener_set *passed, unsigned workers, struct error *error) MUST_CHECK;

/* Add to `set` an address of [control]: one socket, with what `section` says of unix sockets. One that `old` (may be
 * NULL) has for [control] is shared. 0, or -1 with `error`. */
int listener_open_control(struct listener_set *set, const struct address *asked, const struct config_listener *section,
                          const struct listener_set *old, struct error *error) MUST_CHECK;

/* Does worker number `worker` of `workers` accept from socket number `socket`? Each socket has at least one that does.
 */
bool listener_serves(const struct listener *listener, unsigned worker, unsigned workers, unsigned socket);

/* Does more than one of them accept from it? */
bool listener_is_shared(const struct listener *listener, unsigned workers);

/* Room for one more, as asked for by section `owner`, with `sockets` descriptors (all -1). NULL with `error`. It may
 * move the others. */
struct listener *listener_add(struct listener_set *set, const struct address *asked, size_t owner, unsigned sockets,
                              struct error *error) MUST_CHECK;

/* The descriptors of `from` duplicated into the new listener `to`, which has room for as many; and what is known of
 * them. 0, or -1 with `error`. */
int listener_share(struct listener *to, const struct listener *from, struct error *error) MUST_CHECK;

/* Remove the files of the unix sockets in `set`, save those that `kept` (may be NULL) has too, and what is not ours any
 * more. Before listener_close, by a process that does not hand its sockets over. */
void listener_remove_files(const struct listener_set *set, const struct listener_set *kept);

/* Close and free. The files of unix sockets stay. */
void listener_close(struct listener_set *set);

/* Unix sockets shared with an older set get the mode and owner that `config` says; logs what cannot be done. */
void listener_permit(const struct listener_set *set, const struct config *config);

/* Log MESSAGE_LISTENING for each (with the real port). */
void listener_log(const struct listener_set *set, const struct config *config);

#endif
