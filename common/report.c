/* What has come, counted: a bounded hash table with an order of age. */
#include "report.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "keyhash.h"
#include "report_entries.h"

#define TEXT_MOST 255 /* bytes of agent and subject that are kept */
#define KEY_MOST 64   /* of each text of a key */
#define KEY_SIZE (REPORT_KEY_COUNT * (KEY_MOST + 1))

struct entry {
	struct entry *next_same; /* in the bucket */
	struct entry *older, *newer;
	uint64_t hash;
	struct report_counts counts;
	char *agent, *subject;         /* owned; NULL: never said */
	char name[NAME_MAX_CHARS + 1]; /* as it was spelled first */
	size_t size;
	char key[]; /* the texts of REPORT_KEYS, each with its terminator; the name without capitals */
};

struct report {
	pthread_mutex_t lock;
	struct entry **buckets;
	size_t bucket_count; /* a power of two */
	size_t count, limit;
	size_t bytes; /* what the texts of all entries take in a copy */
	struct entry *oldest, *newest;
	uint64_t since_us, until_us, sessions, forgotten;
	uint8_t secret[KEYHASH_KEY_SIZE];
};

struct report *report_new(size_t entries)
{
	struct report *report = calloc(1, sizeof(*report));

	if (report == NULL)
		return NULL;
	report->limit = entries > 0 ? entries : 1;
	report->bucket_count = 16;
	while (report->bucket_count < report->limit)
		report->bucket_count *= 2;
	report->buckets = calloc(report->bucket_count, sizeof(struct entry *));
	if (report->buckets == NULL) {
		free(report);
		return NULL;
	}
	keyhash_key(report->secret);
	(void)pthread_mutex_init(&report->lock, NULL);
	return report;
}

static void free_entry(struct entry *entry)
{
	free(entry->agent);
	free(entry->subject);
	free(entry);
}

void report_held(struct report *report, uint64_t *entries, uint64_t *forgotten)
{
	(void)pthread_mutex_lock(&report->lock);
	*entries = report->count;
	*forgotten = report->forgotten;
	(void)pthread_mutex_unlock(&report->lock);
}

void report_free(struct report *report)
{
	struct entry *newer;

	if (report == NULL)
		return;
	for (struct entry *entry = report->oldest; entry != NULL; entry = newer) {
		newer = entry->newer;
		free_entry(entry);
	}
	(void)pthread_mutex_destroy(&report->lock);
	free(report->buckets);
	free(report);
}

/* --- the key of a session --- */

static const char *said(const char *text)
{
	return text != NULL ? text : "";
}

/* A REFUSE tells the client of these, too: but nobody refused it. */
static bool is_down(const char *reason)
{
	static const char *const words[] = {"target-unreachable", "connect-timeout", "connect-refused",
	                                    "name-not-found",     "peer-down",       "disconnected"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(reason, words[i]) == 0)
			return true;
	return false;
}

static const char *state_of(const struct report_session *session)
{
	if (session->relayed)
		return session->secured ? REPORT_SECURED : REPORT_CLEAR;
	return strcmp(said(session->outcome), "refuse") == 0 && !is_down(said(session->reason)) ? REPORT_REFUSED
	                                                                                        : REPORT_FAILED;
}

static const char *network_of(const union socket_address *source, char *buffer)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	struct network network = {.family = source != NULL ? source->any.sa_family : 0};

	if (network.family == AF_INET) {
		memcpy(network.bytes, &source->v4.sin_addr, 3);
		network.bits = 24;
	} else if (network.family == AF_INET6 && memcmp(&source->v6.sin6_addr, mapped, sizeof(mapped)) == 0) {
		network.family = AF_INET;
		memcpy(network.bytes, source->v6.sin6_addr.s6_addr + sizeof(mapped), 3);
		network.bits = 24;
	} else if (network.family == AF_INET6) {
		memcpy(network.bytes, &source->v6.sin6_addr, 8);
		network.bits = 64;
	} else if (network.family != AF_UNIX) {
		return "";
	}
	return network_format(&network, buffer);
}

/* The texts of a session, into `key` of KEY_SIZE bytes; how long it is. */
static size_t make_key(const struct report_session *session, char *key)
{
	char network[ADDRESS_TEXT_SIZE];
	const char *texts[REPORT_KEY_COUNT] = {
	    [REPORT_LISTENER] = session->listener,
	    [REPORT_SYSID] = session->sysid,
	    [REPORT_NETWORK] = network_of(session->source, network),
	    [REPORT_STATE] = state_of(session),
	    [REPORT_REASON] = session->relayed ? "" : session->reason,
	    [REPORT_ASKED] = session->asked,
	    [REPORT_OUTCOME] = session->outcome,
	    [REPORT_POLICY] = session->policy,
	    [REPORT_RULE] = session->rule,
	    [REPORT_AUDIT_POLICY] = session->audit_policy,
	    [REPORT_AUDIT_OUTCOME] = session->audit_outcome,
	    [REPORT_NEVER_OUTCOME] = session->never_outcome,
	    [REPORT_TLS_VERSION] = session->tls_version,
	    [REPORT_TLS_SUITE] = session->tls_suite,
	    [REPORT_TLS_START] = session->tls_start,
	};
	size_t size = 0;

	for (size_t i = 0; i < REPORT_KEY_COUNT; i++) {
		size_t length = strnlen(said(texts[i]), KEY_MOST);

		memcpy(key + size, said(texts[i]), length);
		for (size_t at = size; i == REPORT_SYSID && at < size + length; at++)
			if (key[at] >= 'A' && key[at] <= 'Z')
				key[at] = (char)(key[at] - 'A' + 'a');
		size += length;
		key[size++] = '\0';
	}
	return size;
}

/* --- under the lock --- */

static struct entry **bucket_of(struct report *report, uint64_t hash)
{
	return &report->buckets[hash & (report->bucket_count - 1)];
}

static void unlink_age(struct report *report, struct entry *entry)
{
	if (entry->older != NULL)
		entry->older->newer = entry->newer;
	else
		report->oldest = entry->newer;
	if (entry->newer != NULL)
		entry->newer->older = entry->older;
	else
		report->newest = entry->older;
}

static void link_newest(struct report *report, struct entry *entry)
{
	entry->newer = NULL;
	entry->older = report->newest;
	if (report->newest != NULL)
		report->newest->newer = entry;
	else
		report->oldest = entry;
	report->newest = entry;
}

static size_t text_size(const char *text)
{
	return text != NULL ? strlen(text) + 1 : 0;
}

static size_t copy_size(const struct entry *entry)
{
	return entry->size + text_size(entry->agent) + text_size(entry->subject);
}

static void forget_oldest(struct report *report)
{
	struct entry *entry = report->oldest, **at = bucket_of(report, entry->hash);

	while (*at != entry)
		at = &(*at)->next_same;
	*at = entry->next_same;
	unlink_age(report, entry);
	report->count--;
	report->bytes -= copy_size(entry);
	report->forgotten += entry->counts.sessions;
	free_entry(entry);
}

/* The entry with this key, which is the newest then; or NULL. */
static struct entry *find(struct report *report, const char *key, size_t size, uint64_t hash)
{
	struct entry *entry = *bucket_of(report, hash);

	while (entry != NULL && (entry->hash != hash || entry->size != size || memcmp(entry->key, key, size) != 0))
		entry = entry->next_same;
	if (entry != NULL) {
		unlink_age(report, entry);
		link_newest(report, entry);
	}
	return entry;
}

/* The same, a new one if need be; NULL without memory. */
static struct entry *find_or_add(struct report *report, const char *key, size_t size, uint64_t hash)
{
	struct entry **bucket = bucket_of(report, hash), *entry = find(report, key, size, hash);

	if (entry != NULL)
		return entry;
	entry = calloc(1, sizeof(*entry) + size);
	if (entry == NULL)
		return NULL;
	entry->hash = hash;
	entry->size = size;
	memcpy(entry->key, key, size);
	if (report->count == report->limit)
		forget_oldest(report);
	entry->next_same = *bucket;
	*bucket = entry;
	link_newest(report, entry);
	report->count++;
	report->bytes += size;
	return entry;
}

/* Most sessions say what the one before has said. */
static void keep_text(struct report *report, char **kept, const char *text)
{
	char *copy;

	if (said(text)[0] == '\0' || (*kept != NULL && strncmp(*kept, text, TEXT_MOST) == 0))
		return;
	copy = strndup(text, TEXT_MOST);
	if (copy == NULL)
		return;
	report->bytes += strlen(copy) + 1 - text_size(*kept);
	free(*kept);
	*kept = copy;
}

static void note_time(uint64_t time_us, uint64_t *first_us, uint64_t *last_us)
{
	if (*first_us == 0 || time_us < *first_us)
		*first_us = time_us;
	if (time_us > *last_us)
		*last_us = time_us;
}

/* It was counted when it was agreed; its entry may have been forgotten meanwhile. */
static void count_end(struct entry *entry, const struct report_session *session)
{
	struct report_counts *counts = &entry->counts;

	counts->bytes_up += session->bytes_up;
	counts->bytes_down += session->bytes_down;
	counts->open -= counts->open > 0;
}

static void count(struct report *report, struct entry *entry, const struct report_session *session)
{
	struct report_counts *counts = &entry->counts;

	if (entry->name[0] == '\0')
		(void)snprintf(entry->name, sizeof(entry->name), "%s", said(session->sysid));
	keep_text(report, &entry->agent, session->agent);
	keep_text(report, &entry->subject, session->peer_subject);
	if (session->started_us >= counts->last_us)
		counts->ratcheted = session->ratcheted;
	note_time(session->started_us, &counts->first_us, &counts->last_us);
	counts->sessions++;
	counts->open += session->moment == REPORT_AGREED;
	counts->bytes_up += session->bytes_up;
	counts->bytes_down += session->bytes_down;
	counts->resumed += session->resumed;
	counts->confirmed += session->confirmed;
}

/* --- without it --- */

static bool is_counted(const struct report_session *session)
{
	const char *asked = said(session->asked);

	if (session->ping)
		return false;
	return said(session->sysid)[0] != '\0' || strcmp(asked, "raw") == 0 || strcmp(asked, "tls") == 0;
}

void report_add(struct report *report, const struct report_session *session)
{
	char key[KEY_SIZE];
	struct entry *entry;
	uint64_t hash;
	size_t size;

	if (report == NULL || !is_counted(session))
		return;
	size = make_key(session, key);
	hash = keyhash(report->secret, key, size);
	(void)pthread_mutex_lock(&report->lock);
	if (session->moment == REPORT_ENDED) {
		entry = find(report, key, size, hash);
		if (entry != NULL)
			count_end(entry, session);
	} else {
		report->sessions++;
		note_time(session->started_us, &report->since_us, &report->until_us);
		entry = find_or_add(report, key, size, hash);
		if (entry != NULL)
			count(report, entry, session);
		else
			report->forgotten++;
	}
	(void)pthread_mutex_unlock(&report->lock);
}

/* --- a copy --- */

static const char *copy_text(char **at, const char *text)
{
	char *copy = *at;
	size_t size = text_size(text);

	if (size == 0)
		return "";
	memcpy(copy, text, size);
	*at += size;
	return copy;
}

static void copy_entry(const struct entry *entry, struct report_entry *copy, char **at)
{
	char *key = *at;

	memcpy(key, entry->key, entry->size);
	*at += entry->size;
	for (size_t i = 0; i < REPORT_KEY_COUNT; i++) {
		/* The same letters, as they were spelled. */
		if (i == REPORT_SYSID)
			memcpy(key, entry->name, strlen(entry->name));
		copy->keys[i] = key;
		key += strlen(key) + 1;
	}
	copy->agent = copy_text(at, entry->agent);
	copy->subject = copy_text(at, entry->subject);
	copy->counts = entry->counts;
}

static void copy_all(const struct report *report, struct report_list *list)
{
	char *at = list->texts;

	list->count = 0;
	for (const struct entry *entry = report->newest; entry != NULL; entry = entry->older)
		copy_entry(entry, &list->at[list->count++], &at);
	list->since_us = report->since_us;
	list->until_us = report->until_us;
	list->sessions = report->sessions;
	list->forgotten = report->forgotten;
}

/* The memory is got without the lock: it may be too little by then, and is got again. */
int report_copy(struct report *report, struct report_list *list)
{
	size_t room = 0, bytes = 0;
	bool done;

	*list = (struct report_list){.at = NULL};
	do {
		report_list_free(list);
		list->at = malloc((room + 1) * sizeof(*list->at));
		list->texts = malloc(bytes + 1);
		if (list->at == NULL || list->texts == NULL)
			return -1;
		/* The kernel gives the pages now, and not under the lock. */
		memset(list->at, 0, (room + 1) * sizeof(*list->at));
		memset(list->texts, 0, bytes + 1);
		(void)pthread_mutex_lock(&report->lock);
		done = report->count <= room && report->bytes <= bytes;
		if (done)
			copy_all(report, list);
		room = report->count + 16;
		bytes = report->bytes + 8192;
		(void)pthread_mutex_unlock(&report->lock);
	} while (!done);
	return 0;
}

void report_list_free(struct report_list *list)
{
	free(list->at);
	free(list->texts);
	*list = (struct report_list){.at = NULL};
}
