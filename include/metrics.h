/*
 * What the gateway counts, for /metrics and the chart: a part for each worker, which writes to it alone, without a lock
 * and without a byte shared with others; whoever reads sums the parts up. Labels come from bounded tables of our own:
 * nothing that a peer says becomes one. docs/http.md lists what is counted. Knows no session.
 */
#ifndef METRICS_H
#define METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "compiler.h"
#include "config.h"
#include "policy.h"
#include "reason.h"

struct metrics;
struct metrics_part;

/* With a part for each of `workers` (at least 1). NULL without memory. */
struct metrics *metrics_new(unsigned workers) MUST_CHECK;
void metrics_free(struct metrics *metrics);

/* The part of worker number `worker`: borrowed. NULL where `metrics` is. */
struct metrics_part *metrics_part(struct metrics *metrics, unsigned worker);

/* --- counting: by the part's own thread only; a part that is NULL counts nothing --- */

/* What an open session is. One is undecided until it is agreed, or its handshake is done. */
enum metrics_security { METRICS_UNDECIDED, METRICS_SECURED, METRICS_CLEAR, METRICS_SECURITIES };

enum metrics_role { METRICS_ACCEPTING, METRICS_CONNECTING, METRICS_ROLES };

enum metrics_answer {
	METRICS_ANSWER_CLEAR,
	METRICS_ANSWER_TLS,
	METRICS_ANSWER_INSIDE,
	METRICS_ANSWER_REFUSE,
	METRICS_ANSWERS
};

/* A session begins: undecided. */
void metrics_begin(struct metrics_part *part);

/* An open session was `from`, and is `to` now. */
void metrics_change(struct metrics_part *part, enum metrics_security from, enum metrics_security to);

/* A session is agreed (begins), or was and ends: what it is between hosts, to the peer where it is passed on to one, or
 * else to the client. */
void metrics_link(struct metrics_part *part, enum metrics_security security, bool begins);

/* How it ended. Times of 0: it did not come to that stage. */
struct metrics_end {
	enum metrics_security was;
	enum reason reason;
	bool agreed; /* it came to a relay */
	bool noise;  /* it never spoke the protocol: no refusal */
	uint64_t up, down;            /* bytes relayed */
	uint64_t clear_in, clear_out; /* all bytes from and to the client in the clear */
	uint64_t exchange_us, handshake_us, connect_us, duration_us;
};

void metrics_end(struct metrics_part *part, const struct metrics_end *end);

/* An offer was answered. `asked` is the word of the record (none, off, on, required, inside, raw, tls); `code` that of
 * a REFUSE, 0: none was said. */
void metrics_answer(struct metrics_part *part, const char *asked, enum metrics_answer answer, uint16_t code);

/* A policy has decided; a policy on trial would have. */
void metrics_policy(struct metrics_part *part, enum unsecured policy, enum outcome outcome);
void metrics_audit(struct metrics_part *part, enum unsecured policy, enum outcome outcome);

/* A handshake was done: version ("1.3") and IANA name of the suite. Or it failed. */
void metrics_handshake(struct metrics_part *part, enum metrics_role role, const char *version, const char *suite,
                       bool resumed);
void metrics_handshake_failed(struct metrics_part *part, enum metrics_role role, enum reason reason);

/* A client started with TLS; a clear exchange was confirmed inside TLS. */
void metrics_direct(struct metrics_part *part);
void metrics_confirmed(struct metrics_part *part, enum metrics_role role);

/* A limit was met: its name (connections, connections_per_source, connection_rate, handshake_rate, rule). */
void metrics_limit(struct metrics_part *part, const char *limit);

/* --- reading: any thread --- */

struct metrics_totals {
	uint64_t open[METRICS_SECURITIES];     /* by what they are to the client */
	uint64_t
	    links[METRICS_SECURITIES]; /* agreed ones, by what they are between hosts: to the peer, or else to the client */
	uint64_t sessions;   /* ended */
	uint64_t refusals;   /* sessions that ended before they were agreed, noise apart */
	uint64_t handshakes; /* done, both roles */
};

void metrics_totals(const struct metrics *metrics, struct metrics_totals *totals);

/* All of it in Prometheus' text format. */
void metrics_write(const struct metrics *metrics, FILE *stream);

#endif
