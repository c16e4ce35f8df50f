/*
 * What has to be remembered to write SMF records: connections whose initiation is held back or written, and the totals
 * of each security session. Bounded: a connection without room is recorded by its events alone (an initiation may be
 * missing), and a session without room is counted under one of two that stand for the rest. The clock is the caller's,
 * and so is where records go. One thread at a time.
 */
#ifndef SMF_TABLE_H
#define SMF_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "smf.h"

/* An initiation is held back for so long: of a connection that ends before, one record says all. */
#define SMF_HOLD_US UINT64_C(10000000)

struct smf_table;

struct smf_table_options {
	const struct smf_origin *origin; /* borrowed for as long as the table lives */
	size_t connections, sessions;    /* how many are remembered */
	uint64_t interval_us;            /* between two summaries; written at wall-clock multiples of it */
	void *owner;
	/* Write whole records, all or none. 0, or -1: nothing was written; the same is tried again. */
	int (*emit)(void *owner, const uint8_t *records, size_t size);
};

/* At `now_us` (since 1970, as all times here). Writes nothing yet. NULL: no memory. */
struct smf_table *smf_table_new(const struct smf_table_options *options, uint64_t now_us) MUST_CHECK;

/* Take one event and write what is due for it at once. 0, or -1 where emit failed: nothing has changed, so call again.
 */
int smf_table_take(struct smf_table *table, const struct smf_connection *connection, uint64_t now_us) MUST_CHECK;

/* Write what is due by time: subtype 12 "enabled" first of all, initiations after ten seconds, summaries. Call about
 * once a second. What emit fails on stays due. */
void smf_table_turn(struct smf_table *table, uint64_t now_us);

/* The event that ended this leg was lost: it is active no longer. */
void smf_table_forget(struct smf_table *table, const uint8_t *id, int role);

/* The last summary, and "disabled". 0, or -1 where emit failed. */
int smf_table_finish(struct smf_table *table, uint64_t now_us) MUST_CHECK;

struct smf_table_count {
	uint64_t connections, sessions;       /* remembered now */
	uint64_t connections_over, sessions_over; /* that had no room, since the start */
};

void smf_table_counts(const struct smf_table *table, struct smf_table_count *count);

/* NULL does nothing. */
void smf_table_free(struct smf_table *table);

#endif
