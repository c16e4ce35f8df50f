/* The totals of each security session, bounded, and their summaries over an interval (SMF 119, subtype 12). See
 * smf_table.h, which uses it. One thread at a time. */
#ifndef SMF_SESSIONS_H
#define SMF_SESSIONS_H

#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "smf.h"

struct smf_sessions;

/* Room for `limit` of them. NULL: no memory. */
struct smf_sessions *smf_sessions_new(size_t limit) MUST_CHECK;

/* One of them; lives while it has active connections, or had some in this interval or the one before. */
struct smf_entry {
	struct smf_session session;
	struct smf_totals start, end;
	uint32_t changed;        /* since the last summary */
	struct smf_entry *next;  /* in its chain */
};

/* Find or make it; where there is no room, that of the rest. Never NULL. */
struct smf_entry *smf_sessions_at(struct smf_sessions *sessions, const struct smf_session *session);

/* Subtype 12 records of all that changed or have active connections, one behind the other, malloc'ed: *size bytes, 0
 * where there is nothing to say (then NULL). NULL with *size not 0: no memory. */
uint8_t *smf_sessions_summary(const struct smf_sessions *sessions, const struct smf_origin *origin,
                              uint64_t interval_us, uint64_t now_us, size_t *size);

/* The summary is written: another interval begins. */
void smf_sessions_begin(struct smf_sessions *sessions);

size_t smf_sessions_count(const struct smf_sessions *sessions);

/* How many found no room. */
uint64_t smf_sessions_over(const struct smf_sessions *sessions);

/* NULL does nothing. */
void smf_sessions_free(struct smf_sessions *sessions);

#endif
