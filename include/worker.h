/*
 * One thread with its loop: accepts in batches from its own listening sockets, starts sessions, takes commands from the
 * main thread (new snapshot, drain, end), has the log written when it is due.
 */
#ifndef WORKER_H
#define WORKER_H

#include <stdint.h>

#include "compiler.h"
#include "health.h"
#include "listener.h"
#include "metrics.h"
#include "noise.h"
#include "quota.h"
#include "rate.h"
#include "ratchet.h"
#include "report.h"
#include "session_view.h"
#include "snapshot.h"
#include "text.h"

struct worker;

struct worker_ping {
	struct snapshot *snapshot; /* in force */
	size_t peer_number, address;
	health_done *done;
	void *owner;
};

struct worker_shared {
	struct quota *quota;
	struct rate *connection_rate, *handshake_rate; /* NULL: no bound */
	struct ratchet *ratchet, *peer_ratchet; /* clients that were secured, and peers */
	struct noise *noise;
	struct report *report; /* NULL: none is kept */
	struct iobudget *budget; /* of buffers; NULL: no bound */
	struct metrics *metrics; /* NULL: nobody counts */
	/* Called from the worker's thread when a draining worker has no session left. */
	void (*drained)(void *context);
	void *context;
};

/* Start thread number `number`. `shared` is borrowed. NULL with `error`. */
struct worker *worker_start(unsigned number, const struct worker_shared *shared, struct error *error) MUST_CHECK;

/* Do all that can fail before `snapshot` (a reference is taken) and its listening sockets (those of this worker are
 * duplicated) can be used. Has to be followed by worker_use or worker_forget. 0, or -1 with `error` (then nothing is
 * prepared, and nothing has changed). */
int worker_prepare(struct worker *worker, struct snapshot *snapshot, const struct listener_set *listeners,
                   struct error *error) MUST_CHECK;

/* Use what was prepared: connections are accepted for it from now on. What waits in the backlog of the sockets before
 * is accepted for the snapshot before, then they are closed. Returns when the worker has done so; cannot fail. */
void worker_use(struct worker *worker);

/* Drop what was prepared. */
void worker_forget(struct worker *worker);

/* Accept what is already in the backlog, answer it REFUSE 9, close the listening sockets; then `drained` is called
 * once. */
void worker_drain(struct worker *worker);

/* Another process accepts from the same sockets: serve what is in the backlog now, close ours, and go on with the
 * sessions that there are; then `drained` is called once. worker_drain may follow. */
void worker_retire(struct worker *worker);

/* End all sessions with REASON_DRAIN_EXPIRED. */
void worker_cut(struct worker *worker);

/* Copy a slice of the worker's sessions (session_view_slice). Returns when that is done. */
size_t worker_view(struct worker *worker, uint64_t before, struct session_view *views, size_t most) MUST_CHECK;

/* End the session with this id (PARAMS_CONNECTION_SIZE bytes) by REASON_OPERATOR. False: there is none. */
bool worker_end_session(struct worker *worker, const uint8_t *id) MUST_CHECK;

/* End this worker's sessions to the peer that `memory` is of (session_end_peer), and its health pings (not counted).
 * How many. */
size_t worker_end_peer(struct worker *worker, const struct target_memory *memory);

/* Ask an address of a peer once (health_once; `done` comes in the worker's thread). One at a time, which the
 * caller sees to. False: no memory. worker_ping_cancel: `done` does not come any more, once it has returned. */
bool worker_ping(struct worker *worker, const struct worker_ping *ping) MUST_CHECK;
void worker_ping_cancel(struct worker *worker);

/* Has the thread come by since this was asked last (true at first)? Asks it again; never waits. Main thread only. */
bool worker_alive(struct worker *worker);

/* For how many milliseconds it has not come by since it was asked to; asks again where it has. Never waits; apart from
 * worker_alive. Main thread only. */
uint64_t worker_silent_ms(struct worker *worker);

/* Connections accepted so far, those that were turned away included. Any thread. */
uint64_t worker_accepted(const struct worker *worker);

/* End all sessions, stop the loop, join the thread, free; `drained` is not called any more. NULL does nothing. */
void worker_stop(struct worker *worker);

#endif
