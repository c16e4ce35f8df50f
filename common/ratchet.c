/* Names that have been secured: a bounded hash table with an order of age, behind one lock. */
#include "ratchet.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "text.h"

struct entry {
	struct entry *next_same; /* in the bucket */
	struct entry *older, *newer;
	char name[NAME_MAX_CHARS + 1];
};

struct ratchet {
	pthread_mutex_t lock;
	struct entry **buckets;
	size_t bucket_count, count, limit;
	struct entry *oldest, *newest;
};

/* FNV-1a over the name without regard to case. */
static size_t hash(const char *name)
{
	uint32_t sum = 2166136261u;

	for (; *name != '\0'; name++) {
		char c = *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name;

		sum = (sum ^ (uint8_t)c) * 16777619u;
	}
	return sum;
}

struct ratchet *ratchet_new(size_t limit)
{
	struct ratchet *ratchet = calloc(1, sizeof(*ratchet));

	if (ratchet == NULL)
		return NULL;
	ratchet->limit = limit > 0 ? limit : 1;
	ratchet->bucket_count = ratchet->limit;
	ratchet->buckets = calloc(ratchet->bucket_count, sizeof(struct entry *));
	if (ratchet->buckets == NULL || pthread_mutex_init(&ratchet->lock, NULL) != 0) {
		free(ratchet->buckets);
		free(ratchet);
		return NULL;
	}
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
	(void)pthread_mutex_destroy(&ratchet->lock);
	free(ratchet->buckets);
	free(ratchet);
}

static struct entry **find(struct ratchet *ratchet, const char *sysid)
{
	struct entry **at = &ratchet->buckets[hash(sysid) % ratchet->bucket_count];

	while (*at != NULL && !name_equal((*at)->name, sysid))
		at = &(*at)->next_same;
	return at;
}

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

static void drop_oldest(struct ratchet *ratchet)
{
	struct entry *entry = ratchet->oldest;
	struct entry **at = find(ratchet, entry->name);

	*at = entry->next_same;
	unlink_age(ratchet, entry);
	free(entry);
	ratchet->count--;
}

bool ratchet_add(struct ratchet *ratchet, const char *sysid)
{
	struct entry *entry, **at;
	bool added = false;

	(void)pthread_mutex_lock(&ratchet->lock);
	entry = *find(ratchet, sysid);
	if (entry != NULL) {
		unlink_age(ratchet, entry);
		link_newest(ratchet, entry);
	} else if ((entry = calloc(1, sizeof(*entry))) != NULL) {
		(void)snprintf(entry->name, sizeof(entry->name), "%s", sysid);
		if (ratchet->count == ratchet->limit)
			drop_oldest(ratchet);
		at = find(ratchet, sysid);
		*at = entry;
		link_newest(ratchet, entry);
		ratchet->count++;
		added = true;
	}
	(void)pthread_mutex_unlock(&ratchet->lock);
	return added;
}

bool ratchet_holds(struct ratchet *ratchet, const char *sysid)
{
	bool holds;

	(void)pthread_mutex_lock(&ratchet->lock);
	holds = *find(ratchet, sysid) != NULL;
	(void)pthread_mutex_unlock(&ratchet->lock);
	return holds;
}

size_t ratchet_count(struct ratchet *ratchet)
{
	size_t count;

	(void)pthread_mutex_lock(&ratchet->lock);
	count = ratchet->count;
	(void)pthread_mutex_unlock(&ratchet->lock);
	return count;
}
