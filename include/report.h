/*
 * The report: what has come, summed up by listener, name, source network and security, in a bounded table; the entry
 * that was seen longest ago leaves. Fed by the gateway at the end of each session, or from the records of a file. Its
 * first question is the migration: who is secured, who comes in the clear still and could do better, and whom `never`
 * would refuse. Knows no session and no socket.
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
#include "reason.h"

struct report;

/* One session that has ended. Texts are borrowed; NULL or "": not known. */
struct report_session {
	const char *listener, *sysid, *agent;
	const union socket_address *source; /* counted by its /24 or /64; family 0: unknown */
	const char *asked;       /* none, off, on, required, tls, raw */
	const char *outcome;     /* clear, tls, inside, refuse; NULL: never decided */
	const char *rule, *policy;
	const char *audit_policy, *audit_outcome;
	bool secured, resumed, confirmed, direct;
	bool agreed;             /* it came to a relay */
	const char *tls_version, *tls_suite;
	const char *peer_subject; /* of a verified certificate */
	const char *reason;      /* stable word */
	uint64_t bytes_up, bytes_down, ended_us;
	bool never_refuses;      /* what `never` would have done with it */
};

/* Holds at most `entries`. NULL without memory. */
struct report *report_new(size_t entries) MUST_CHECK;
void report_free(struct report *report);

/* Count a session. Any thread; one lock. */
void report_add(struct report *report, const struct report_session *session);

/* Add what a line of JSON (event "record", record_json.h) says. 0; 1: another kind of line; -1 with `error`: not such a
 * line at all. */
int report_add_line(struct report *report, const char *line, size_t size, struct error *error) MUST_CHECK;

/* The whole as JSON (docs/report.md gives the members): {"since","until","forgotten","names":[...],"entries":[...]}. To be
 * released by the caller. NULL without memory. */
json_t *report_json(struct report *report) MUST_CHECK;

/* The same JSON as tables for people, or as CSV (RFC 4180; entries only). 0, or -1 where the stream fails. */
int report_print(const json_t *report, FILE *stream) MUST_CHECK;
int report_print_csv(const json_t *report, FILE *stream) MUST_CHECK;

#endif
