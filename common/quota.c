/* Connections counted in all and per source. */
#include "quota.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS 64
#define BUCKETS 256 /* in each shard */
#define BALANCERS 0xff /* in place of an address family */

/* Lives only while its source has connections: memory is bounded by the number of connections. */
struct source {
	struct source *next;
	struct source_key key;
	uint64_t count, over;
};

struct shard {
	pthread_mutex_t lock;
	struct source *buckets[BUCKETS];
};

struct quota {
	atomic_ullong limit, limit_per_source, count, over;
	struct shard shards[SHARDS];
};

struct quota *quota_new(void)
{
	struct quota *quota = calloc(1, sizeof(*quota));

	for (size_t i = 0; quota != NULL && i < SHARDS; i++)
		(void)pthread_mutex_init(&quota->shards[i].lock, NULL);
	return quota;
}

void quota_free(struct quota *quota)
{
	if (quota == NULL)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
			while (quota->shards[i].buckets[bucket] != NULL) {
				struct source *source = quota->shards[i].buckets[bucket];

				quota->shards[i].buckets[bucket] = source->next;
				free(source);
			}
		}
		(void)pthread_mutex_destroy(&quota->shards[i].lock);
	}
	free(quota);
}

void quota_set(struct quota *quota, uint64_t connections, uint64_t per_source)
{
	atomic_store(&quota->limit, connections);
	atomic_store(&quota->limit_per_source, per_source);
}

static uint32_t hash(const struct source_key *key)
{
	uint32_t sum = 2166136261u;

	for (size_t i = 0; i < sizeof(key->bytes); i++)
		sum = (sum ^ key->bytes[i]) * 16777619u;
	return sum;
}

static struct source **find(struct shard *shard, const struct source_key *key, uint32_t sum)
{
	struct source **at = &shard->buckets[sum / SHARDS % BUCKETS];

	while (*at != NULL && memcmp(&(*at)->key, key, sizeof(*key)) != 0)
		at = &(*at)->next;
	return at;
}

/* How many may be told that a limit is reached, beyond the limit itself. */
static uint64_t overflow(uint64_t limit)
{
	uint64_t most = limit / 8;

	return most < 16 ? 16 : most > 1024 ? 1024 : most;
}

/* Count one, unless `limit` would be passed. */
static bool add_up_to(atomic_ullong *count, uint64_t limit)
{
	if (atomic_fetch_add(count, 1) < limit || limit == 0)
		return true;
	atomic_fetch_sub(count, 1);
	return false;
}

static enum quota_verdict enter_over(struct quota *quota, struct source *source, uint64_t limit)
{
	if (source->over >= overflow(limit) || !add_up_to(&quota->over, 1024))
		return QUOTA_CLOSE;
	source->over++;
	return QUOTA_OVER;
}

static enum quota_verdict enter_source(struct quota *quota, struct source *source)
{
	uint64_t per_source = atomic_load(&quota->limit_per_source), limit = atomic_load(&quota->limit);

	if (per_source != 0 && !quota_is_balancers(&source->key) && source->count >= per_source)
		return enter_over(quota, source, per_source);
	if (!add_up_to(&quota->count, limit))
		return enter_over(quota, source, limit);
	source->count++;
	return QUOTA_OK;
}

static void free_if_empty(struct source **at)
{
	struct source *source = *at;

	if (source->count > 0 || source->over > 0)
		return;
	*at = source->next;
	free(source);
}

void quota_key_of(const struct network_list *balancers, const union socket_address *remote, struct source_key *key)
{
	source_key_of(remote, key);
	if (network_list_contains(balancers, remote))
		*key = (struct source_key){.bytes = {BALANCERS}};
}

bool quota_is_balancers(const struct source_key *source)
{
	return source->bytes[0] == BALANCERS;
}

static enum quota_verdict enter(struct quota *quota, const struct source_key *key, bool over)
{
	uint32_t sum = hash(key);
	struct shard *shard = &quota->shards[sum % SHARDS];
	enum quota_verdict verdict = QUOTA_CLOSE;
	struct source **at;

	(void)pthread_mutex_lock(&shard->lock);
	at = find(shard, key, sum);
	if (*at == NULL && (*at = calloc(1, sizeof(**at))) != NULL)
		(*at)->key = *key;
	if (*at != NULL) {
		verdict = over ? enter_over(quota, *at, atomic_load(&quota->limit_per_source)) : enter_source(quota, *at);
		free_if_empty(at);
	}
	(void)pthread_mutex_unlock(&shard->lock);
	return verdict;
}

enum quota_verdict quota_enter(struct quota *quota, const struct source_key *source)
{
	return enter(quota, source, false);
}

enum quota_verdict quota_enter_over(struct quota *quota, const struct source_key *source)
{
	return enter(quota, source, true);
}

void quota_leave(struct quota *quota, const struct source_key *key, enum quota_verdict verdict)
{
	uint32_t sum = hash(key);
	struct shard *shard = &quota->shards[sum % SHARDS];
	struct source **at;

	if (verdict == QUOTA_CLOSE)
		return;
	(void)pthread_mutex_lock(&shard->lock);
	at = find(shard, key, sum);
	if (*at != NULL && verdict == QUOTA_OVER && (*at)->over > 0) {
		(*at)->over--;
		atomic_fetch_sub(&quota->over, 1);
		free_if_empty(at);
	} else if (*at != NULL && verdict == QUOTA_OK && (*at)->count > 0) {
		(*at)->count--;
		atomic_fetch_sub(&quota->count, 1);
		free_if_empty(at);
	}
	(void)pthread_mutex_unlock(&shard->lock);
}

uint64_t quota_count(const struct quota *quota)
{
	/* C11's atomic_load wants no const. */
	struct quota *counted = (struct quota *)(uintptr_t)quota;

	return atomic_load(&counted->count) + atomic_load(&counted->over);
}

const char *quota_met(const struct quota *quota)
{
	/* C11's atomic_load wants no const. */
	struct quota *counted = (struct quota *)(uintptr_t)quota;
	uint64_t limit = atomic_load(&counted->limit);

	return limit != 0 && atomic_load(&counted->count) >= limit ? "connections" : "connections_per_source";
}
