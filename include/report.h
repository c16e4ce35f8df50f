/*
 * The report: what has come, summed up by listener, name, source network and security, in a bounded table; the entry
 * that was seen longest ago leaves. Fed by the gateway at the end of each session, or from the records of a file: the
 * same sessions give the same report. Its first question is the migration: who is secured, who comes in the clear still
 * and could do better, and whom `never` would refuse. Knows no session and no socket. docs/report.md is its
 * description.
 */
#ifndef REPORT_H
#define REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "address.h"
#include "compiler.h"
#include "text.h"

struct report;

/* Where a session stands when the report is told of it. */
enum report_moment {
	REPORT_WHOLE,  /* it has ended, and the report has not heard of it */
	REPORT_AGREED, /* it is agreed, and open: it counts from now on */
	REPORT_ENDED,  /* it was told as agreed; now its bytes are known */
};

/* One session. Texts are borrowed for the time of the call and cut where too long; NULL or "": not known. What
 * a member means is what the closing record says under the same name (docs/operating.md). */
struct report_session {
	const char *listener, *sysid, *agent;
	const union socket_address *source; /* counted by its /24 or /64; NULL or family 0: not known */
	const char *asked;                  /* none, off, on, required, inside, tls, raw */
	const char *outcome;                /* clear, tls, inside, refuse; NULL: never decided */
	const char *policy, *rule;
	const char *audit_policy, *audit_outcome;
	const char *never_outcome; /* what the policy `never` would have done (policy.h) */
	const char *tls_version, *tls_suite;
	const char *tls_start;     /* direct, upgrade */
	const char *peer_subject;  /* of a verified certificate, and of no other */
	const char *reason;        /* stable word of the end */
	bool secured;              /* the handshake was done */
	bool relayed;              /* it came to a relay: both sides had agreed */
	bool resumed, confirmed;
	bool ratcheted;            /* from now on the name is held: it may not come back in the clear */
	bool ping;                 /* *PING, which the gateway has answered itself */
	uint64_t bytes_up, bytes_down;
	uint64_t started_us;       /* UTC since 1970 */
	enum report_moment moment;
};

/* Holds at most `entries` (at least 1). NULL without memory. */
struct report *report_new(size_t entries) MUST_CHECK;

/* NULL does nothing. */
void report_free(struct report *report);

/*
 * Count a session. One that lives for days counts as soon as it is agreed. Not counted are pings, and who never said
 * who he is: connections that ended before a whole OFFER, save those that started TLS at once and those of a listener
 * without an exchange. Any thread; one lock, held for the time of one look-up; names are equal without regard to case.
 * Without memory the session is counted as forgotten. NULL `report` does nothing.
 */
void report_add(struct report *report, const struct report_session *session);

/* How many entries it holds now, and how many sessions left it with entries that had to. Any thread. */
void report_held(struct report *report, uint64_t *entries, uint64_t *forgotten);

/* What report_add_line made of a line. */
enum report_line {
	REPORT_LINE_TAKEN, /* a record; counted, if it is one that counts */
	REPORT_LINE_OTHER, /* another event, or a line that is none of ours but is whole */
	REPORT_LINE_BROKEN /* not a JSON object, or a record with members that cannot be; `error` says what */
};

/* Add what a line of JSON (event "record", record_json.h) says. `line` has `size` bytes, without the line feed. Members
 * that are not known are passed over. */
enum report_line report_add_line(struct report *report, const char *line, size_t size, struct error *error) MUST_CHECK;

/* The whole as JSON (docs/report.md gives the members):
 * {"since","until","sessions","forgotten","entries_total","summary":{...,"text"}, "names":[...],"entries":[...]}. To be
 * released by the caller. NULL without memory. Any thread; report_add waits while the entries are copied. */
json_t *report_json(struct report *report) MUST_CHECK;

/* The same with at most so many of the names (those to act on first) and of the entries (those seen last), for whoever
 * asks often; the summary is of all. */
json_t *report_json_most(struct report *report, size_t most) MUST_CHECK;

/* The same JSON as tables for people, first line the summary, the names, and then (not with _names) the entries; or as
 * CSV (RFC 4180; the entries), in which no cell is taken for a formula. Only printable ASCII is written. 0, or -1 where
 * the stream fails. */
int report_print(const json_t *report, FILE *stream) MUST_CHECK;
int report_print_names(const json_t *report, FILE *stream) MUST_CHECK;
int report_print_csv(const json_t *report, FILE *stream) MUST_CHECK;

#endif
