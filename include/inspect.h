/*
 * What a running gateway says of itself, as JSON: the answers of the control socket and of the HTTP page alike
 * (docs/control.md describes the members). Main thread only; a worker that is asked for its connections is not held up
 * for more than a slice of them at a time. Each returns an object or array that the caller releases; NULL without
 * memory.
 */
#ifndef INSPECT_H
#define INSPECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "compiler.h"
#include "text.h"

struct daemon;

/* Which connections. Zeroed: all of them. */
struct connection_filter {
	const char *id;                   /* a connection id, or its first digits (4 or more) */
	const char *sysid;                /* a pattern of names */
	const char *listener, *rule, *to; /* names */
	const struct network *source;
	int secured; /* enum choice: only the secured ones, only the others */
	size_t most; /* 0: all */
};

/* Parse `key=value` words (id=, sysid=, listener=, rule=, to=, source=, secured=yes|no, most=). 0, or -1 with `error`.
 * The filter borrows the words and `network`. */
int connection_filter_parse(size_t count, char *const *words, struct connection_filter *filter, struct network *network,
                            struct error *error) MUST_CHECK;

json_t *inspect_status(struct daemon *daemon) MUST_CHECK; /* version, uptime, ready, workers, counts... */
json_t *inspect_connections(struct daemon *daemon, const struct connection_filter *filter) MUST_CHECK;

/* The same a part at a time, for whoever writes very many of them out: nothing is held between two parts but where it
 * goes on. `filter` (copied; what it points to is borrowed) has to live as long. NULL without memory. */
struct connection_walk;
struct connection_walk *connection_walk_new(struct daemon *daemon, const struct connection_filter *filter) MUST_CHECK;
void connection_walk_free(struct connection_walk *walk);

/* The next of those that match, the newest first: an array, maybe empty. Each worker is asked for one slice at most.
 * NULL: there are no more (or no memory). */
json_t *connection_walk_next(struct connection_walk *walk) MUST_CHECK;

/* Do all workers come by, so that what asks them does not wait? As far as control_tick or the page has asked them in
 * the seconds before. 0, or -1 with `error`, which names the one that does not. */
int inspect_reach(struct daemon *daemon, struct error *error) MUST_CHECK;

/* The one connection whose id begins with `digits` (4 or more), into `id` (PARAMS_CONNECTION_SIZE bytes). 0, or -1 with
 * `error`: none, or several. */
int inspect_find(struct daemon *daemon, const char *digits, uint8_t *id, struct error *error) MUST_CHECK;

/* End it, by REASON_OPERATOR. False: it is gone. */
bool inspect_end(struct daemon *daemon, const uint8_t *id) MUST_CHECK;

json_t *inspect_rules(struct daemon *daemon) MUST_CHECK;
json_t *inspect_peers(struct daemon *daemon) MUST_CHECK; /* and services */
json_t *inspect_certificates(struct daemon *daemon) MUST_CHECK;

/* The names that are held now, a part at a time, as connection_walk. */
struct ratchet_walk;
struct ratchet_walk *ratchet_walk_new(struct daemon *daemon) MUST_CHECK;
void ratchet_walk_free(struct ratchet_walk *walk);
json_t *ratchet_walk_next(struct ratchet_walk *walk) MUST_CHECK;

json_t *inspect_notifiers(struct daemon *daemon) MUST_CHECK;
json_t *inspect_report(struct daemon *daemon) MUST_CHECK;

#endif
