/* The gateways that a fuzzed session runs in: configurations and contexts made once, and what a worker would hold. */
#ifndef FUZZ_SITE_H
#define FUZZ_SITE_H

#include "session.h"

#define SITES 4
#define SITE_SYSID "FUZZ"

/* Ports of what the configurations name, on 127.0.0.1. */
#define SERVICE_PORT 9001 /* to 9009 */
#define PEER_PORT 9011    /* to 9099 */

struct site {
	struct snapshot *snapshot;
	const struct config *config;
};

extern struct site sites[SITES]; /* ccissl and ccisslgw as they come; then both strict: confirm = require, resumption */
extern struct session_host site_host;

/* Once. */
void site_open(void);

/* What a run changes and the next must not see: ratchets, limits. site_end: nothing is left of this one. */
void site_begin(void);
void site_end(void);

/* One turn of the loop. False: nothing is left that could happen. */
bool site_turn(void);

/* Bytes of buffers that connections hold. */
uint64_t site_buffers(void);
void site_limit_buffers(uint64_t bytes);

#endif
