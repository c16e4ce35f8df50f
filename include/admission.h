/*
 * The bounds on connections that a worker asks before it takes one, and on handshakes before it starts one; and the
 * line, once a minute for each of them, that says which was met by whom. Knows no connection.
 */
#ifndef ADMISSION_H
#define ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "compiler.h"
#include "complaint.h"
#include "metrics.h"
#include "quota.h"
#include "rate.h"
#include "rulelimit.h"

enum limit { LIMIT_CONNECTIONS, LIMIT_CONNECTION_RATE, LIMIT_HANDSHAKE_RATE, LIMIT_COUNT };

/* One for each worker. */
struct admission {
	struct quota *quota;           /* borrowed, of the process, as the next two */
	struct rate *connection_rate;  /* NULL: no bound */
	struct rate *handshake_rate;   /* NULL: no bound */
	struct metrics_part *metrics;  /* of the worker; NULL: nobody counts */
	struct complaint complaints[LIMIT_COUNT];
};

/* Who asks, and when. */
struct admission_who {
	const struct source_key *source;
	const union socket_address *remote;
	uint64_t now_ms; /* of a clock that does not jump */
};

/* One more connection: how fast they come, then how many there are. As quota_enter, and to be left as that; a
 * connection that comes too fast is QUOTA_OVER, or QUOTA_CLOSE where many such are there. A key of balancers
 * (quota_key_of) has no rate: the client that the PROXY header names has. */
enum quota_verdict admission_enter(struct admission *admission, const struct admission_who *who) MUST_CHECK;

/* May a TLS handshake start? */
bool admission_handshake(struct admission *admission, const struct admission_who *who) MUST_CHECK;

/* One more connection that this rule decided: true, and it has to be left by quota_leave(limit->quota, source,
 * QUOTA_OK); or false, and it is not counted. */
bool admission_enter_rule(struct rulelimit *limit, const struct admission_who *who) MUST_CHECK;

#endif
