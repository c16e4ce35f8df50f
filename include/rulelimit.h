/*
 * The connections that one rule has admitted, in all and per source, with the rule's bounds. Counted by owners: the
 * snapshots of one configuration after another share that of the rule of the same name, so that a reload forgets
 * nobody.
 */
#ifndef RULELIMIT_H
#define RULELIMIT_H

#include "compiler.h"
#include "complaint.h"
#include "config.h"
#include "quota.h"

struct rulelimit {
	atomic_uint owners;
	char *name;          /* of the rule; owned */
	struct quota *quota; /* owned */
	struct complaint complaint;
};

/* Has this rule a bound of its own? */
static inline bool rulelimit_wanted(const struct config_rule *rule)
{
	return rule->connections != CONFIG_INHERIT || rule->connections_per_source != CONFIG_INHERIT;
}

/* With one owner and the bounds of `rule`. NULL without memory. */
struct rulelimit *rulelimit_new(const struct config_rule *rule) MUST_CHECK;

/* One owner more; returns `limit`. */
struct rulelimit *rulelimit_share(struct rulelimit *limit) MUST_CHECK;

/* One owner less; the last one frees. NULL does nothing. Any thread. */
void rulelimit_free(struct rulelimit *limit);

/* The bounds of `rule` are in force from now on. Connections that are there stay. */
void rulelimit_set(struct rulelimit *limit, const struct config_rule *rule);

#endif
