/* Names that have been secured: a bounded hash table with an order of age. */
#include "ratchet.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define STRIPES 64
#define DAY_S 86400u

struct entry {
	struct entry *next_same; /* in the bucket */
	struct entry *older, *newer;
	uint64_t first_s, last_s;
	uint64_t born; /* the change that brought it; 0: it is known to be on disk */
	bool seen;     /* by the merge that runs */
	char name[NAME_MAX_CHARS + 1];
};

/*
 * Whoever changes anything holds `lock`. Chains and times are also read by every OFFER, so changing those takes the
 * stripe of the bucket as well, and reading them either of the two. An empty bucket is seen without a lock.
 */
struct ratchet {
	pthread_mutex_t lock;
	pthread_mutex_t stripes[STRIPES];
	_Atomic(struct entry *) *buckets;
	size_t bucket_count, count, limit;
	struct entry *oldest, *newest;
	atomic_ullong names, times; /* changes */
	atomic_ullong pushed_out;
	uint64_t saved;             /* `names` when it was last written */
	atomic_ullong most_age_s;   /* 0: any */
	uint64_t (*now_s)(void);
	uint32_t seed; /* strangers choose names: they shall not choose buckets */
};

static uint64_t system_now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (uint64_t)now.tv_sec;
}

/* FNV-1a over the name without regard to case; the bucket's number. */
static size_t bucket_of(const struct ratchet *ratchet, const char *name)
{
	uint32_t sum = 2166136261u ^ ratchet->seed;

	for (; *name != '\0'; name++) {
		char c = (char)(*name >= 'A' && *name <= 'Z' ? *name - 'A' + 'a' : *name);

		sum = (sum ^ (uint8_t)c) * 16777619u;
	}
	return sum % ratchet->bucket_count;
}

struct ratchet *ratchet_new(size_t limit)
{
	struct ratchet *ratchet = calloc(1, sizeof(*ratchet));

	if (ratchet == NULL)
		return NULL;
	ratchet->limit = limit > 0 ? limit : 1;
	ratchet->bucket_count = ratchet->limit;
	ratchet->now_s = system_now_s;
	ratchet->buckets = calloc(ratchet->bucket_count, sizeof(*ratchet->buckets));
	if (ratchet->buckets == NULL) {
		free(ratchet);
		return NULL;
	}
	if (getrandom(&ratchet->seed, sizeof(ratchet->seed), GRND_NONBLOCK) < 0)
		ratchet->seed = (uint32_t)system_now_s();
	(void)pthread_mutex_init(&ratchet->lock, NULL);
	for (size_t i = 0; i < STRIPES; i++)
		(void)pthread_mutex_init(&ratchet->stripes[i], NULL);
	return ratchet;
}

void ratchet_free(struct ratchet *ratchet)
{
	struct entry *newer;

	if (ratchet == NULL)
		return;
	for (struct entry *entry = ratchet->oldest; entry != NULL; entry = newer) {
		newer = entry->newer;
		free(entry);
	}
	for (size_t i = 0; i < STRIPES; i++)
		(void)pthread_mutex_destroy(&ratchet->stripes[i]);
	(void)pthread_mutex_destroy(&ratchet->lock);
	free(ratchet->buckets);
	free(ratchet);
}

void ratchet_use_clock(struct ratchet *ratchet, uint64_t (*now_s)(void))
{
	ratchet->now_s = now_s;
}

void ratchet_set_days(struct ratchet *ratchet, uint64_t days)
{
	atomic_store(&ratchet->most_age_s, days * DAY_S);
}

/* A time that lies ahead (a clock was set back) holds. */
static bool is_expired(const struct ratchet *ratchet, const struct entry *entry)
{
	uint64_t most_s = atomic_load_explicit(&ratchet->most_age_s, memory_order_relaxed);
	uint64_t now_s;

	if (most_s == 0)
		return false;
	now_s = ratchet->now_s();
	return now_s > entry->last_s && now_s - entry->last_s > most_s;
}

static struct entry *find(const struct ratchet *ratchet, size_t bucket, const char *name)
{
	struct entry *entry = atomic_load_explicit(&ratchet->buckets[bucket], memory_order_acquire);

	while (entry != NULL && !name_equal(entry->name, name))
		entry = entry->next_same;
	return entry;
}

static pthread_mutex_t *stripe_of(struct ratchet *ratchet, size_t bucket)
{
	return &ratchet->stripes[bucket % STRIPES];
}

/* --- under `lock` from here --- */

static void unlink_age(struct ratchet *ratchet, struct entry *entry)
{
	if (entry->older != NULL)
		entry->older->newer = entry->newer;
	else
		ratchet->oldest = entry->newer;
	if (entry->newer != NULL)
		entry->newer->older = entry->older;
	else
		ratchet->newest = entry->older;
}

static void link_newest(struct ratchet *ratchet, struct entry *entry)
{
	entry->newer = NULL;
	entry->older = ratchet->newest;
	if (ratchet->newest != NULL)
		ratchet->newest->newer = entry;
	else
		ratchet->oldest = entry;
	ratchet->newest = entry;
}

static void link_bucket(struct ratchet *ratchet, struct entry *entry)
{
	size_t bucket = bucket_of(ratchet, entry->name);

	(void)pthread_mutex_lock(stripe_of(ratchet, bucket));
	entry->next_same = atomic_load_explicit(&ratchet->buckets[bucket], memory_order_relaxed);
	atomic_store_explicit(&ratchet->buckets[bucket], entry, memory_order_release);
	(void)pthread_mutex_unlock(stripe_of(ratchet, bucket));
}

static void unlink_bucket(struct ratchet *ratchet, struct entry *entry)
{
	size_t bucket = bucket_of(ratchet, entry->name);
	struct entry *before = atomic_load_explicit(&ratchet->buckets[bucket], memory_order_relaxed);

	(void)pthread_mutex_lock(stripe_of(ratchet, bucket));
	if (before == entry) {
		atomic_store_explicit(&ratchet->buckets[bucket], entry->next_same, memory_order_release);
	} else {
		while (before->next_same != entry)
			before = before->next_same;
		before->next_same = entry->next_same;
	}
	(void)pthread_mutex_unlock(stripe_of(ratchet, bucket));
}

static void drop(struct ratchet *ratchet, struct entry *entry)
{
	unlink_bucket(ratchet, entry);
	unlink_age(ratchet, entry);
	free(entry);
	ratchet->count--;
}

static uint64_t name_changed(struct ratchet *ratchet)
{
	return atomic_fetch_add_explicit(&ratchet->names, 1, memory_order_relaxed) + 1;
}

static struct entry *insert(struct ratchet *ratchet, const char *name, uint64_t first_s, uint64_t last_s)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (entry == NULL)
		return NULL;
	(void)snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->first_s = first_s;
	entry->last_s = last_s;
	link_bucket(ratchet, entry);
	link_newest(ratchet, entry);
	ratchet->count++;
	return entry;
}

static void drop_beyond_limit(struct ratchet *ratchet)
{
	while (ratchet->count > ratchet->limit) {
		drop(ratchet, ratchet->oldest);
		(void)name_changed(ratchet);
		(void)atomic_fetch_add_explicit(&ratchet->pushed_out, 1, memory_order_relaxed);
	}
}

/* It was held already: from now on it is the newest. */
static bool secured_again(struct ratchet *ratchet, struct entry *entry, uint64_t now_s)
{
	bool anew = is_expired(ratchet, entry);
	size_t bucket;

	unlink_age(ratchet, entry);
	link_newest(ratchet, entry);
	if (entry->last_s == now_s)
		return false;
	bucket = bucket_of(ratchet, entry->name);
	(void)pthread_mutex_lock(stripe_of(ratchet, bucket));
	entry->last_s = now_s;
	(void)pthread_mutex_unlock(stripe_of(ratchet, bucket));
	if (anew) {
		entry->first_s = now_s;
		entry->born = name_changed(ratchet);
	} else {
		(void)atomic_fetch_add_explicit(&ratchet->times, 1, memory_order_relaxed);
	}
	return anew;
}

/* --- without it --- */

bool ratchet_add(struct ratchet *ratchet, const char *name)
{
	size_t bucket = bucket_of(ratchet, name);
	uint64_t now_s = ratchet->now_s();
	struct entry *entry;
	bool added = false;

	(void)pthread_mutex_lock(&ratchet->lock);
	entry = find(ratchet, bucket, name);
	if (entry != NULL) {
		added = secured_again(ratchet, entry, now_s);
	} else if ((entry = insert(ratchet, name, now_s, now_s)) != NULL) {
		entry->born = name_changed(ratchet);
		drop_beyond_limit(ratchet);
		added = true;
	}
	(void)pthread_mutex_unlock(&ratchet->lock);
	return added;
}

bool ratchet_holds(struct ratchet *ratchet, const char *name)
{
	const struct entry *entry;
	size_t bucket;
	bool holds;

	if (ratchet == NULL)
		return false;
	bucket = bucket_of(ratchet, name);
	if (atomic_load_explicit(&ratchet->buckets[bucket], memory_order_acquire) == NULL)
		return false;
	(void)pthread_mutex_lock(stripe_of(ratchet, bucket));
	entry = find(ratchet, bucket, name);
	holds = entry != NULL && !is_expired(ratchet, entry);
	(void)pthread_mutex_unlock(stripe_of(ratchet, bucket));
	return holds;
}

bool ratchet_lift(struct ratchet *ratchet, const char *name)
{
	struct entry *entry;
	bool held;

	(void)pthread_mutex_lock(&ratchet->lock);
	entry = find(ratchet, bucket_of(ratchet, name), name);
	held = entry != NULL && !is_expired(ratchet, entry);
	if (entry != NULL) {
		drop(ratchet, entry);
		(void)name_changed(ratchet);
	}
	(void)pthread_mutex_unlock(&ratchet->lock);
	return held;
}

size_t ratchet_count(struct ratchet *ratchet)
{
	size_t count;

	(void)pthread_mutex_lock(&ratchet->lock);
	count = ratchet->count;
	(void)pthread_mutex_unlock(&ratchet->lock);
	return count;
}

uint64_t ratchet_pushed_out(const struct ratchet *ratchet)
{
	/* C11's atomic_load wants no const. */
	struct ratchet *counted = (struct ratchet *)(uintptr_t)ratchet;

	return atomic_load_explicit(&counted->pushed_out, memory_order_relaxed);
}

size_t ratchet_expire(struct ratchet *ratchet)
{
	size_t dropped = 0;

	(void)pthread_mutex_lock(&ratchet->lock);
	while (ratchet->oldest != NULL && is_expired(ratchet, ratchet->oldest)) {
		drop(ratchet, ratchet->oldest);
		(void)name_changed(ratchet);
		dropped++;
	}
	(void)pthread_mutex_unlock(&ratchet->lock);
	return dropped;
}

/* --- what a file keeps --- */

struct ratchet_changes ratchet_changes(const struct ratchet *ratchet)
{
	/* C11's atomic_load wants no const. */
	struct ratchet *counted = (struct ratchet *)(uintptr_t)ratchet;

	return (struct ratchet_changes){atomic_load(&counted->names), atomic_load(&counted->times)};
}

static void export_entry(const struct entry *entry, enum ratchet_kind kind, struct ratchet_entry *out)
{
	*out = (struct ratchet_entry){.kind = kind, .first_s = entry->first_s, .last_s = entry->last_s};
	memcpy(out->name, entry->name, sizeof(out->name));
}

int ratchet_list(struct ratchet *ratchet, enum ratchet_kind kind, struct ratchet_entries *entries,
                 struct ratchet_changes *changes)
{
	struct ratchet_entry *at;

	(void)pthread_mutex_lock(&ratchet->lock);
	at = realloc(entries->at, (entries->count + ratchet->count + 1) * sizeof(*at));
	if (at != NULL) {
		entries->at = at;
		for (const struct entry *entry = ratchet->oldest; entry != NULL; entry = entry->newer)
			export_entry(entry, kind, &at[entries->count++]);
		*changes = ratchet_changes(ratchet);
	}
	(void)pthread_mutex_unlock(&ratchet->lock);
	return at != NULL ? 0 : -1;
}

void ratchet_saved(struct ratchet *ratchet, const struct ratchet_changes *changes)
{
	(void)pthread_mutex_lock(&ratchet->lock);
	ratchet->saved = changes->names;
	(void)pthread_mutex_unlock(&ratchet->lock);
}

static int take_in(struct ratchet *ratchet, const struct ratchet_entry *news)
{
	size_t bucket = bucket_of(ratchet, news->name);
	struct entry *entry = find(ratchet, bucket, news->name);

	if (entry == NULL && (entry = insert(ratchet, news->name, news->first_s, news->last_s)) == NULL)
		return -1;
	entry->seen = true;
	entry->born = 0;
	if (news->first_s < entry->first_s)
		entry->first_s = news->first_s;
	(void)pthread_mutex_lock(stripe_of(ratchet, bucket));
	if (news->last_s > entry->last_s)
		entry->last_s = news->last_s;
	(void)pthread_mutex_unlock(stripe_of(ratchet, bucket));
	return 0;
}

static void lift_unseen(struct ratchet *ratchet, const struct ratchet_news *news)
{
	struct ratchet_entry gone;
	struct entry *newer;

	for (struct entry *entry = ratchet->oldest; entry != NULL; entry = newer) {
		newer = entry->newer;
		if (entry->seen || entry->born > ratchet->saved)
			continue;
		export_entry(entry, news->kind, &gone);
		drop(ratchet, entry);
		news->lifted(&gone);
	}
}

/* Two lists, each in order of age, become one. */
static struct entry *merge_ages(struct entry *a, struct entry *b)
{
	struct entry *first = NULL, **at = &first;

	while (a != NULL && b != NULL) {
		struct entry **least = a->last_s <= b->last_s ? &a : &b;

		*at = *least;
		at = &(*least)->newer;
		*least = (*least)->newer;
	}
	*at = a != NULL ? a : b;
	return first;
}

/* Merge sort over `newer` alone: one list for each power of two. */
static void sort_ages(struct ratchet *ratchet)
{
	struct entry *sorted[32] = {NULL}, *newer, *all = NULL;

	for (struct entry *entry = ratchet->oldest; entry != NULL; entry = newer) {
		struct entry *run = entry;
		size_t i = 0;

		newer = entry->newer;
		run->newer = NULL;
		for (; sorted[i] != NULL; i++) {
			run = merge_ages(sorted[i], run);
			sorted[i] = NULL;
		}
		sorted[i] = run;
	}
	for (size_t i = 0; i < 32; i++)
		all = merge_ages(sorted[i], all);
	ratchet->oldest = ratchet->newest = NULL;
	for (; all != NULL; all = newer) {
		newer = all->newer;
		link_newest(ratchet, all);
	}
}

int ratchet_merge(struct ratchet *ratchet, const struct ratchet_news *news)
{
	int result = 0;

	(void)pthread_mutex_lock(&ratchet->lock);
	for (struct entry *entry = ratchet->oldest; entry != NULL; entry = entry->newer)
		entry->seen = false;
	for (size_t i = 0; i < news->count && result == 0; i++)
		if (news->at[i].kind == news->kind)
			result = take_in(ratchet, &news->at[i]);
	if (result == 0 && news->lifted != NULL)
		lift_unseen(ratchet, news);
	sort_ages(ratchet);
	drop_beyond_limit(ratchet);
	(void)pthread_mutex_unlock(&ratchet->lock);
	return result;
}
