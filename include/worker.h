/*
 * One thread with its loop: accepts in batches from its own listening sockets, starts sessions, takes commands from the
 * main thread (new snapshot, drain, end), flushes the log once a turn.
 */
#ifndef WORKER_H
#define WORKER_H

#include "compiler.h"
#include "quota.h"
#include "listener.h"
#include "noise.h"
#include "ratchet.h"
#include "snapshot.h"
#include "text.h"

struct worker;

struct worker_shared {
	struct quota *quota;
	struct ratchet *ratchet;
	struct noise *noise;
	/* Called from the worker's thread when a draining worker has no session left. */
	void (*drained)(void *context);
	void *context;
};

/* Start thread number `number`. `shared` is borrowed. NULL with `error`. */
struct worker *worker_start(unsigned number, const struct worker_shared *shared, struct error *error) MUST_CHECK;

/* Hand over a snapshot (a reference is taken) and its listening sockets (`fds` of this worker are duplicated); what it listened on
 * before is closed after the new ones are watched. Returns when the worker has taken it. */
void worker_use(struct worker *worker, struct snapshot *snapshot, const struct listener_set *listeners);

/* Accept what is already in the backlog, answer it REFUSE 9, close the listening sockets; then `drained` is called once. */
void worker_drain(struct worker *worker);

/* End all sessions with REASON_DRAIN_EXPIRED. */
void worker_cut(struct worker *worker);

/* Stop the loop, join the thread, free. */
void worker_stop(struct worker *worker);

#endif
