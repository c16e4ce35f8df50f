/*
 * One configuration in force, with everything made from it: TLS contexts for each worker, the memory of addresses, and
 * the notifiers. Immutable (but for what is remembered), counted; a session keeps the one it started with.
 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include <stdatomic.h>

#include "compiler.h"
#include "config.h"
#include "notifier.h"
#include "rulelimit.h"
#include "target.h"
#include "text.h"
#include "tlscontext.h"

/* What one worker uses of it, and nobody else touches. */
struct snapshot_part {
	struct tls_worker *tls;          /* NULL where no listener and no peer can use TLS */
	size_t users;                    /* how often the worker holds it */
};

struct snapshot {
	struct config *config;       /* owned */
	struct notifiers *notifiers; /* owned */
	struct target_memory **services; /* one for each service; owned, maybe with other snapshots */
	struct target_memory **peers;    /* one for each peer; the same */
	struct rulelimit **rules;        /* one for each rule, NULL where it has no limit; the same */
	struct snapshot_part *parts; /* one for each worker */
	unsigned workers;
	atomic_uint references;
};

/* Make one with one reference. Owns `config` after success; after failure the caller still does. NULL with `error`. */
struct snapshot *snapshot_new(struct config *config, unsigned workers, const struct notifier_source *notifiers,
                              struct error *error) MUST_CHECK;

/* Share with `before` what it remembers of services and peers that have the same name and the same addresses, and the
 * counts of rules of the same name. To be called before anybody uses `snapshot`. */
void snapshot_remember(struct snapshot *snapshot, const struct snapshot *before);

/* The bounds of its rules are in force: with what they share they have had those of the snapshot before. */
void snapshot_use_limits(const struct snapshot *snapshot);

/* One reference less; the last one frees. NULL does nothing. Any thread. */
void snapshot_release(struct snapshot *snapshot);

/* Worker number `worker` uses the snapshot once more; returns `snapshot`. All uses of one worker are one reference. */
struct snapshot *snapshot_use(struct snapshot *snapshot, unsigned worker);

/* And once less. With its last use the worker leaves the library context of its part, and the reference is released. By
 * the worker's thread only. */
void snapshot_leave(struct snapshot *snapshot, unsigned worker);

#endif
