/* What report.c (the table) hands to report_json.c (what is made of it). Nobody else includes it. */
#ifndef REPORT_ENTRIES_H
#define REPORT_ENTRIES_H

#include "report.h"

/* How sessions differ: entries are kept apart by these texts. KEY(NAME, member of the JSON) */
#define REPORT_KEYS(KEY)                                                                                              \
	KEY(LISTENER, "listener")                                                                                         \
	KEY(SYSID, "sysid")                                                                                               \
	KEY(NETWORK, "network")                                                                                           \
	KEY(STATE, "state")                                                                                               \
	KEY(REASON, "reason")                                                                                             \
	KEY(ASKED, "asked")                                                                                               \
	KEY(OUTCOME, "outcome")                                                                                           \
	KEY(POLICY, "policy")                                                                                             \
	KEY(RULE, "rule")                                                                                                 \
	KEY(AUDIT_POLICY, "audit_policy")                                                                                 \
	KEY(AUDIT_OUTCOME, "audit_outcome")                                                                               \
	KEY(NEVER_OUTCOME, "never_outcome")                                                                               \
	KEY(TLS_VERSION, "tls_version")                                                                                   \
	KEY(TLS_SUITE, "tls_suite")                                                                                       \
	KEY(TLS_START, "tls_start")

enum report_key {
#define KEY(name, member) REPORT_##name,
	REPORT_KEYS(KEY)
#undef KEY
	    REPORT_KEY_COUNT
};

/* What became of a session: REPORT_STATE is one of these. */
#define REPORT_SECURED "secured" /* relayed, by TLS */
#define REPORT_CLEAR "clear"     /* relayed, in the clear */
#define REPORT_REFUSED "refused" /* by a REFUSE, save that a target is down; REPORT_REASON says why */
#define REPORT_FAILED "failed"   /* neither; REPORT_REASON says why */

/* Numbers of one entry. */
struct report_counts {
	uint64_t sessions, bytes_up, bytes_down;
	uint64_t resumed, confirmed;
	uint64_t open;              /* sessions that have not ended */
	uint64_t first_us, last_us; /* UTC since 1970: when its first session began, and its last */
	bool ratcheted;             /* as its last session left it */
};

struct report_entry {
	const char *keys[REPORT_KEY_COUNT]; /* never NULL; the name as it was spelled first */
	const char *agent, *subject;        /* as they were said last; "": never */
	struct report_counts counts;
};

/* A copy of the whole. */
struct report_list {
	struct report_entry *at; /* the one that was seen last comes first */
	size_t count;
	char *texts;             /* what the entries point into */
	uint64_t since_us, until_us; /* first and last begin of a session that was counted; 0: none */
	uint64_t sessions, forgotten; /* counted in all; of these in entries that have left */
};

/* 0, or -1 without memory. To be released with report_list_free in either case. */
int report_copy(struct report *report, struct report_list *list) MUST_CHECK;
void report_list_free(struct report_list *list);

/* report_names.c: "names" (at most so many) and "summary" of the report, of which `list` has the entries. */
void report_put_names(json_t *report, const struct report_list *list, size_t most);

#endif
