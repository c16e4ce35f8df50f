/* The connections of one rule. */
#include "rulelimit.h"

#include <stdlib.h>
#include <string.h>

struct rulelimit *rulelimit_new(const struct config_rule *rule)
{
	struct rulelimit *limit = calloc(1, sizeof(*limit));

	if (limit == NULL)
		return NULL;
	atomic_init(&limit->owners, 1);
	limit->name = strdup(rule->place.name);
	limit->quota = quota_new();
	if (limit->name == NULL || limit->quota == NULL) {
		rulelimit_free(limit);
		return NULL;
	}
	rulelimit_set(limit, rule);
	return limit;
}

struct rulelimit *rulelimit_share(struct rulelimit *limit)
{
	(void)atomic_fetch_add_explicit(&limit->owners, 1, memory_order_relaxed);
	return limit;
}

void rulelimit_free(struct rulelimit *limit)
{
	if (limit == NULL || atomic_fetch_sub_explicit(&limit->owners, 1, memory_order_acq_rel) != 1)
		return;
	quota_free(limit->quota);
	free(limit->name);
	free(limit);
}

static uint64_t bound(uint64_t value)
{
	return value != CONFIG_INHERIT ? value : 0;
}

void rulelimit_set(struct rulelimit *limit, const struct config_rule *rule)
{
	quota_set(limit->quota, bound(rule->connections), bound(rule->connections_per_source));
}
