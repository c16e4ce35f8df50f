/* Token buckets per source, as the time at which each would be full again (the generic cell rate algorithm). */
#include "rate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SHARDS 64
#define WAYS 8 /* buckets that share a place */
#define SETS (RATE_SOURCES / SHARDS / WAYS)
#define SECOND_NS UINT64_C(1000000000)
#define MS_NS UINT64_C(1000000)

struct bucket {
	struct source_key key;
	uint64_t full_ns; /* when it is full again; 0: nobody's */
};

struct shard {
	pthread_mutex_t lock;
	struct bucket sets[SETS][WAYS];
};

struct rate {
	atomic_ullong token_ns; /* after which one token has come back; 0: no bound */
	atomic_ullong slack_ns; /* by which `full_ns` may lie ahead and a token is still there */
	uint64_t seed;          /* strangers choose addresses: they shall not choose places */
	struct shard shards[SHARDS];
};

struct rate *rate_new(void)
{
	struct rate *rate = calloc(1, sizeof(*rate));

	if (rate == NULL)
		return NULL;
	if (getrandom(&rate->seed, sizeof(rate->seed), GRND_NONBLOCK) < 0)
		rate->seed = (uint64_t)(uintptr_t)rate;
	for (size_t i = 0; i < SHARDS; i++)
		(void)pthread_mutex_init(&rate->shards[i].lock, NULL);
	return rate;
}

void rate_free(struct rate *rate)
{
	for (size_t i = 0; rate != NULL && i < SHARDS; i++)
		(void)pthread_mutex_destroy(&rate->shards[i].lock);
	free(rate);
}

void rate_set(struct rate *rate, uint64_t per_second, uint64_t burst)
{
	uint64_t token_ns = per_second > 0 ? SECOND_NS / per_second : 0;

	if (per_second > 0 && token_ns == 0)
		token_ns = 1;
	atomic_store(&rate->slack_ns, (burst > 0 ? burst - 1 : 0) * token_ns);
	atomic_store(&rate->token_ns, token_ns);
}

/* FNV-1a, and a last step that brings the high bits down. */
static uint64_t hash(const struct rate *rate, const struct source_key *key)
{
	uint64_t sum = UINT64_C(14695981039346656037) ^ rate->seed;

	for (size_t i = 0; i < sizeof(key->bytes); i++)
		sum = (sum ^ key->bytes[i]) * UINT64_C(1099511628211);
	return sum ^ (sum >> 32);
}

/* The source's own bucket; or the fullest of the set, which becomes its. */
static struct bucket *find(struct bucket *set, const struct source_key *key)
{
	struct bucket *fullest = set;

	for (struct bucket *bucket = set; bucket < set + WAYS; bucket++) {
		if (bucket->full_ns != 0 && memcmp(&bucket->key, key, sizeof(*key)) == 0)
			return bucket;
		if (bucket->full_ns < fullest->full_ns)
			fullest = bucket;
	}
	fullest->key = *key;
	return fullest;
}

bool rate_take(struct rate *rate, const struct source_key *source, uint64_t now_ms)
{
	uint64_t token_ns, slack_ns, sum, now_ns = now_ms * MS_NS;
	struct bucket *bucket;
	struct shard *shard;
	bool taken;

	if (rate == NULL || (token_ns = atomic_load_explicit(&rate->token_ns, memory_order_relaxed)) == 0)
		return true;
	slack_ns = atomic_load_explicit(&rate->slack_ns, memory_order_relaxed);
	sum = hash(rate, source);
	shard = &rate->shards[sum % SHARDS];
	(void)pthread_mutex_lock(&shard->lock);
	bucket = find(shard->sets[sum / SHARDS % SETS], source);
	if (bucket->full_ns < now_ns)
		bucket->full_ns = now_ns;
	/* What was taken under a slower rate before is not held against the source for longer than now. */
	if (bucket->full_ns > now_ns + slack_ns + token_ns)
		bucket->full_ns = now_ns + slack_ns + token_ns;
	taken = bucket->full_ns - now_ns <= slack_ns;
	if (taken)
		bucket->full_ns += token_ns;
	(void)pthread_mutex_unlock(&shard->lock);
	return taken;
}
