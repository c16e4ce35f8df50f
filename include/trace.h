/*
 * Traces of single connections: somebody asks for one by its id, by the network it comes from, or by its sysid, and
 * gets a line for each message of the exchange, decoded, and for each stage. At most TRACES_MOST at a time, each with a
 * bounded ring of lines; who reads too slowly learns how many were missed. While nobody traces, a hook costs one
 * relaxed load. Never payload, never a secret: a hook says counts, and of CONFIRM that it came. Any thread.
 */
#ifndef TRACE_H
#define TRACE_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "compiler.h"
#include "eventring.h"
#include "params.h"
#include "text.h"
#include "trace_held.h"

#define TRACES_MOST 16

/* --- whom a hook speaks of --- */

/* One connection, as its session keeps it; borrowed, read while a hook runs only. */
struct trace_subject {
	const uint8_t *connection;          /* PARAMS_CONNECTION_SIZE bytes */
	const union socket_address *source;
	const char *sysid;                  /* "" until it is known */
	struct trace_held *held;            /* lines until then, and what is to come yet; NULL: none is held */
	uint64_t began_ns;                  /* CLOCK_MONOTONIC */
};

extern atomic_uint trace_count; /* of traces; read by trace_any alone */

/* Does anybody trace anything? One relaxed load. */
static inline bool trace_any(void)
{
	return atomic_load_explicit(&trace_count, memory_order_relaxed) != 0;
}

/* A stage, in a word (a literal), and what is to say of it. `subject` NULL: nothing. Called by TRACE, which looks at
 * trace_any first; the arguments are not evaluated while nobody traces. */
void trace_say(const struct trace_subject *subject, enum trace_side side, const char *stage, const char *format, ...)
    PRINTF_LIKE(4, 5);
#define TRACE(subject, side, ...) \
	do { \
		if (trace_any()) \
			trace_say(subject, side, __VA_ARGS__); \
	} while (0)

/* A message was sent or came. `message` NULL: it could not be decoded; `fault` (may be NULL) says why. */
struct trace_message {
	bool sent;
	const uint8_t *bytes;
	size_t size;
	const struct params *message;
	const char *fault;
};
void trace_message(const struct trace_subject *subject, enum trace_side side, const struct trace_message *message);

/* The subject's source is known now, and was `before`; or (NULL) its name is, or never will be, and its source too. Who
 * traces by that gets the lines that were held, before any newer one; when nothing is to come any more they are
 * dropped. */
void trace_known(const struct trace_subject *subject, const union socket_address *before);

/* The connection has ended: its last line; traces of its id are over. */
void trace_end(const struct trace_subject *subject, const char *reason, const char *detail);

/* --- who asks --- */

enum trace_kind { TRACE_ID, TRACE_SOURCE, TRACE_SYSID };

/* What is traced. */
struct trace_target {
	enum trace_kind kind;
	uint8_t id[PARAMS_CONNECTION_SIZE]; /* TRACE_ID */
	struct network source;              /* TRACE_SOURCE */
	char words[80];                     /* as asked; TRACE_SYSID: the pattern, behind "sysid=" */
};

struct trace; /* one that is read */

/* Lines come into a ring from now on; each is a JSON object (docs/trace.md). `woken` as in eventring.h. NULL with
 * `error`: there are TRACES_MOST, or no memory. */
struct trace *trace_open(const struct trace_target *target, void (*woken)(void *owner), void *owner,
                         struct error *error) MUST_CHECK;

/* `woken` is not called any more once it has returned. NULL does nothing. */
void trace_close(struct trace *trace);

struct eventring *trace_ring(struct trace *trace);

/* Has its connection ended (TRACE_ID)? No line comes after that. */
bool trace_over(struct trace *trace);

/* Lines go into the log (CCI1130I) from now on, until trace_log_off or the end of the connection (TRACE_ID). 0, also
 * where they do already; -1 with `error`. */
int trace_log_on(const struct trace_target *target, struct error *error) MUST_CHECK;

/* False: there was none of these words. */
bool trace_log_off(const char *words) MUST_CHECK;

/* The active ones: an array of {"trace":words,"to":"log"|"reader","lines":N}. */
json_t *trace_list(void) MUST_CHECK;

#endif
