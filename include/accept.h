/*
 * How one worker takes connections: watches its listening sockets, accepts in batches, asks the limits, starts
 * sessions; and goes on when descriptors run out. One thread only, save where it says so.
 */
#ifndef ACCEPT_H
#define ACCEPT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "compiler.h"
#include "complaint.h"
#include "listener.h"
#include "session.h"
#include "snapshot.h"

struct door;

/* Embedded in the worker; only accept.c looks inside. */
struct accepting {
	uv_loop_t *loop;           /* borrowed, as the next one */
	struct session_host *host; /* whom sessions are started for, and who admits them */
	uv_timer_t pause;      /* accepting again after descriptors ran out */
	struct door *doors;    /* in use */
	struct door *prepared; /* not yet */
	int reserve;           /* a descriptor to give up when there are none left */
	bool closing;
	struct complaint not_accepted;
	atomic_ullong accepted;
};

/* Nothing is accepted yet. Everything is borrowed and has to outlive it. */
void accept_init(struct accepting *accepting, uv_loop_t *loop, struct session_host *host);

/* Do all that can fail before `snapshot` (a reference is taken) and the sockets of worker `host->number` in `listeners`
 * (they are duplicated) can be used. 0, or -1: not enough memory or descriptors, and nothing is prepared. */
int accept_prepare(struct accepting *accepting, struct snapshot *snapshot,
                   const struct listener_set *listeners) MUST_CHECK;

/* Use what was prepared; what waits in the backlog of the sockets before is accepted for the snapshot before, then they
 * are closed. Cannot fail. Nothing prepared: accept the backlog, and then no more. */
void accept_use(struct accepting *accepting);

/* Drop what was prepared. */
void accept_forget(struct accepting *accepting);

/* Accept the backlog, close everything; the memory goes when the turn of the loop ends. */
void accept_close(struct accepting *accepting);

/* Connections accepted so far, those that were turned away included. Any thread. */
uint64_t accept_count(const struct accepting *accepting);

#endif
