/*
 * Asks each address of each peer with a health_interval, again and again, whether a gateway answers there: a connection
 * with the target *PING, secured as the peer's are and verified the same, over which some random bytes have to come
 * back. What it finds goes into the peer's target_memory; MESSAGE_PEER_DOWN and MESSAGE_PEER_UP on changes only. Its
 * connections have no closing record, tell no notifier and count in no limit. One for the process, on one loop. One
 * thread only.
 */
#ifndef HEALTH_H
#define HEALTH_H

#include "compiler.h"
#include "iocontext.h"
#include "ratchet.h"
#include "snapshot.h"

struct health;

/* Ask from now on for the peers of `snapshot` (it is used as worker number `worker`, by whose thread this is called,
 * until all is over); what is remembered of peers that are not asked any more is forgotten. `ratchet` is that of peers:
 * borrowed; NULL: none. Each address is asked at
 * once, and then health_interval, give or take health_jitter, after each answer. NULL: there is nobody to ask, or no
 * memory (which is logged). */
struct health *health_start(struct iocontext *io, struct snapshot *snapshot, unsigned worker,
                            struct ratchet *ratchet) MUST_CHECK;

/* What one ping has found. */
struct health_answer {
	enum reason reason; /* REASON_NONE: it came back right */
	const char *detail; /* borrowed until the return */
	const char *sysid;  /* what the peer calls itself; the same */
	bool secured, confirmed;
	uint64_t exchange_us, handshake_us, total_us; /* total: from the start to the echo */
};
typedef void health_done(void *owner, const struct health_answer *answer);

/* Ask one address of peer number `peer_number` once, now, whether or not it is disconnected; what is found is
 * remembered nowhere. `done` exactly once, never before the return; then it is gone. health_stop before that: never.
 * NULL without memory. */
struct health_question {
	struct iocontext *io;
	struct snapshot *snapshot;
	unsigned worker;
	struct ratchet *ratchet;
	size_t peer_number, address;
};
struct health *health_once(const struct health_question *question, health_done *done, void *owner) MUST_CHECK;

/* The pings that run to the peer which `memory` is of are closed, and found nothing; its next ones are due in an
 * interval. NULL does nothing. */
void health_cut(struct health *health, const struct target_memory *memory);

/* Ask no more; what runs is closed. The memory goes by itself, in later turns of the loop. What was found stays. NULL
 * does nothing. */
void health_stop(struct health *health);

#endif
