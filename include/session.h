/*
 * One connection from its accept to its closing record: the order of the stages, their deadlines, the policy's
 * answers, the one place where it ends. Both programs; they differ in how the target is chosen.
 */
#ifndef SESSION_H
#define SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "address.h"
#include "compiler.h"
#include "iocontext.h"
#include "admission.h"
#include "metrics.h"
#include "noise.h"
#include "ratchet.h"
#include "report.h"
#include "snapshot.h"

struct session;

/* What the sessions of one worker share; made by the worker. */
struct session_host {
	struct iocontext *io;
	unsigned number;             /* of the worker, from 0 */
	struct admission admission;
	struct ratchet *ratchet;     /* clients that were secured; borrowed, as the next two */
	struct ratchet *peer_ratchet;
	struct noise *noise;
	struct report *report;       /* the same; NULL: nobody asks */
	struct metrics_part *metrics; /* NULL: nobody counts */
	bool draining;               /* set by session_drain */
	struct session *first;       /* all sessions here */
	size_t count;
	uint64_t serial;             /* of the newest session */
	uint64_t viewed;             /* session_view.c: serial of the last one in the last slice, */
	struct session *next_viewed; /* and the one behind it; NULL: none */
	void (*emptied)(struct session_host *host); /* called when count falls to 0; NULL: nobody asks */
};

/* Take over `fd`, accepted from `remote` on listener number `listener` of `snapshot` (a reference is taken). The
 * session leaves the limits when it ends (`verdict` is what quota_enter said: OK, or OVER to be told REFUSE 8). 0;
 * or -1 without memory or descriptors: then fd is the caller's, and so is the place in the limits. */
int session_start(struct session_host *host, struct snapshot *snapshot, size_t listener, int fd,
                  const union socket_address *remote, enum quota_verdict verdict) MUST_CHECK;

/* From now on: no answer but REFUSE 9 to who has not been answered; the rest goes on. */
void session_drain(struct session_host *host);

/* End those that have, or make, a connection to the peer that `memory` is of, by REASON_DISCONNECTED. How many. */
size_t session_end_peer(struct session_host *host, const struct target_memory *memory);

/* End all with `reason`; their records are written. */
void session_end_all(struct session_host *host, enum reason reason);

#endif
