/*
 * Asks each address of each peer with a health_interval, again and again, whether a gateway answers there: a connection
 * with the target *PING, secured as the peer's are and verified the same, over which some random bytes have to come back. What
 * it finds goes into the peer's target_memory; MESSAGE_PEER_DOWN and MESSAGE_PEER_UP on changes only. Its connections
 * have no closing record, tell no notifier and count in no limit. One for the process, on one loop. One thread only.
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

/* Ask no more; what runs is closed. The memory goes by itself, in later turns of the loop. What was found stays. NULL does
 * nothing. */
void health_stop(struct health *health);

#endif
