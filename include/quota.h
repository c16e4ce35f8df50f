/*
 * Counts connections in all and per source, for all workers (atomics and a sharded table with a lock each).
 * Knows only source keys.
 */
#ifndef QUOTA_H
#define QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "compiler.h"

struct quota;

enum quota_verdict {
	QUOTA_OK,
	QUOTA_OVER,  /* over a limit: may be told so by REFUSE 8 and no more; still has to be left */
	QUOTA_CLOSE, /* far over: close at once; was not entered, must not be left */
};

struct quota *quota_new(void) MUST_CHECK;
void quota_free(struct quota *quota);

/* The bounds in force from now on (0: none). Connections that are there stay. */
void quota_set(struct quota *quota, uint64_t connections, uint64_t per_source);

/* The key under which a connection from `remote` is counted before its first byte: its source; or, where `balancers`
 * contain it, one for all of these that is counted in all and has no bound per source. */
void quota_key_of(const struct network_list *balancers, const union socket_address *remote, struct source_key *key);

/* Is it the key of all balancers? */
bool quota_is_balancers(const struct source_key *source);

/* One more connection from `source`. QUOTA_OVER is given to at most limit/8 (16 to 1024) connections at once. */
enum quota_verdict quota_enter(struct quota *quota, const struct source_key *source) MUST_CHECK;

/* The same for a connection that is over another limit, whatever those here say: QUOTA_OVER or QUOTA_CLOSE. */
enum quota_verdict quota_enter_over(struct quota *quota, const struct source_key *source) MUST_CHECK;

/* It ended; once for each enter that did not say QUOTA_CLOSE. `verdict` is what enter said. */
void quota_leave(struct quota *quota, const struct source_key *source, enum quota_verdict verdict);

/* The name of the limit that a connection which is not QUOTA_OK has met, as things are now: "connections" or
 * "connections_per_source". */
const char *quota_met(const struct quota *quota);

/* Connections entered and not left. */
uint64_t quota_count(const struct quota *quota);

#endif
