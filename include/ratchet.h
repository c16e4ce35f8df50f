/*
 * The names that have been secured and may not come back in the clear: a bounded table in memory, shared by all
 * workers. The name whose last secured connection lies furthest back leaves when the table is full. There is one table
 * for the clients that we accept and one for the peers that we connect to. Knows nothing of connections and files.
 *
 * What is kept on disk (ratchet_file.h) follows the table by counts of changes: see ratchet_list and ratchet_merge.
 */
#ifndef RATCHET_H
#define RATCHET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "text.h"

/* Names that one table holds at most. */
#define RATCHET_NAMES 65536

struct ratchet;

enum ratchet_kind { RATCHET_CLIENT, RATCHET_PEER, RATCHET_KINDS };

/* A name as it is listed and kept. Times are seconds since 1970. */
struct ratchet_entry {
	enum ratchet_kind kind;
	char name[NAME_MAX_CHARS + 1];
	uint64_t first_s, last_s; /* when it was secured: first, and last */
};

struct ratchet_entries {
	struct ratchet_entry *at; /* malloc'ed; owned by the list's owner */
	size_t count;
};

/* An empty table for at most `limit` names. NULL without memory. */
struct ratchet *ratchet_new(size_t limit) MUST_CHECK;
void ratchet_free(struct ratchet *ratchet);

/* Tell the time by `now_s` (seconds since 1970) instead of the system's clock. Before the table is shared. */
void ratchet_use_clock(struct ratchet *ratchet, uint64_t (*now_s)(void));

/* For how many days after it was last secured a name holds; 0: for ever. Any thread. */
void ratchet_set_days(struct ratchet *ratchet, uint64_t days);

/* The CCI name `name` (no regard to case) has been secured, now. True where it was not held before. Any thread. */
bool ratchet_add(struct ratchet *ratchet, const char *name);

/* Any thread; takes no lock where no name of the same hash is held. NULL holds nothing. */
bool ratchet_holds(struct ratchet *ratchet, const char *name);

/* Hold the name no longer: it may come back in the clear, and is held anew once it is secured. False: it was not held.
 * Any thread. */
bool ratchet_lift(struct ratchet *ratchet, const char *name);

size_t ratchet_count(struct ratchet *ratchet);

/* How many names had to leave because the table was full, since ratchet_new. Any thread, no lock. */
uint64_t ratchet_pushed_out(const struct ratchet *ratchet);

/* Drop the names that hold no longer (ratchet_set_days). How many there were. */
size_t ratchet_expire(struct ratchet *ratchet);

/* --- what a file keeps --- */

/* How often a name came or went, and how often only a time moved, since ratchet_new. Any thread, no lock. */
struct ratchet_changes {
	uint64_t names, times;
};

struct ratchet_changes ratchet_changes(const struct ratchet *ratchet);

/* Append all names to `entries`, as `kind`, oldest first; `changes` says what is included. 0, or -1 without memory
 * (nothing is appended). */
int ratchet_list(struct ratchet *ratchet, enum ratchet_kind kind, struct ratchet_entries *entries,
                 struct ratchet_changes *changes) MUST_CHECK;

/* What was listed at `changes` is on disk now. */
void ratchet_saved(struct ratchet *ratchet, const struct ratchet_changes *changes);

/* What a file says, for ratchet_merge. */
struct ratchet_news {
	const struct ratchet_entry *at; /* borrowed; those of another kind are passed over */
	size_t count;
	enum ratchet_kind kind;
	/* Called, under the table's lock, for each name that was on disk (ratchet_saved, or an earlier merge), is no
	 * longer, and leaves the table therefore. NULL: nothing leaves, as after damage. */
	void (*lifted)(const struct ratchet_entry *entry);
};

/* Take in what is on disk: names that are new here are added, the wider of two times is kept; what was on disk and has
 * gone from there leaves; what was added since the last ratchet_saved stays. Beyond the limit the oldest leave. 0, or
 * -1 without memory: some may be missing, nothing has left. */
int ratchet_merge(struct ratchet *ratchet, const struct ratchet_news *news) MUST_CHECK;

#endif
