/* The gateways that a fuzzed session runs in: configurations and contexts made once, and what a worker would hold. */
#ifndef FUZZ_SITE_H
#define FUZZ_SITE_H

#include "session.h"

#define SITES 6
#define SITE_SYSID "FUZZ"

/* Ports of what the configurations name, on 127.0.0.1. */
#define SERVICE_PORT 9001 /* to 9009 */
#define PEER_PORT 9011    /* to 9099 */

struct site {
	struct snapshot *snapshot;
	const struct config *config;
};

extern struct site sites[SITES]; /* ccissl and ccisslgw as they come; both strict: confirm = require, resumption;
                                 both with on_error = continue */
extern struct session_host site_host;
extern bool site_trouble; /* a limit is low, or a target is said to be down: who comes may be turned away */

/* Once. */
void site_open(void);

/* What a run changes and the next must not see: ratchets, limits. site_end: nothing is left of this one. */
void site_begin(void);
void site_end(const struct site *site);

/* One turn of the loop. False: nothing is left that could happen. */
bool site_turn(void);

/* Bytes of buffers that connections hold. */
uint64_t site_buffers(void);
void site_limit_buffers(uint64_t bytes);

/* how & 1: one connection at once; how & 2: one handshake a second; else as many as one likes. */
void site_limit(uint8_t how);

#endif
