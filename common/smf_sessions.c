/* Security sessions in a hash table of a fixed number of chains. */
#include "smf_sessions.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CHAINS 1024

struct smf_sessions {
	size_t count, limit;
	uint64_t over;
	struct smf_entry rest[2]; /* clear, TLS */
	struct smf_entry *chains[CHAINS];
};

struct smf_sessions *smf_sessions_new(size_t limit)
{
	struct smf_sessions *sessions = calloc(1, sizeof(*sessions));

	if (sessions == NULL)
		return NULL;
	sessions->limit = limit;
	smf_session_rest(&sessions->rest[0].session, false);
	smf_session_rest(&sessions->rest[1].session, true);
	return sessions;
}

/* Clients choose some of these bytes; who makes them collide makes one thread walk through `limit` entries at worst. */
static size_t chain_of(const struct smf_session *session)
{
	const uint8_t *bytes = (const uint8_t *)session;
	uint32_t hash = 2166136261U;

	for (size_t i = 0; i < sizeof(*session); i++)
		hash = (hash ^ bytes[i]) * 16777619U;
	return hash % CHAINS;
}

static struct smf_entry *rest_for(struct smf_sessions *sessions, const struct smf_session *session)
{
	sessions->over++;
	return &sessions->rest[session->protection != 0];
}

struct smf_entry *smf_sessions_at(struct smf_sessions *sessions, const struct smf_session *session)
{
	struct smf_entry **chain = &sessions->chains[chain_of(session)];
	struct smf_entry *entry = *chain;

	while (entry != NULL && memcmp(&entry->session, session, sizeof(*session)) != 0)
		entry = entry->next;
	if (entry != NULL)
		return entry;
	entry = sessions->count < sessions->limit ? calloc(1, sizeof(*entry)) : NULL;
	if (entry == NULL)
		return rest_for(sessions, session);
	entry->session = *session;
	entry->next = *chain;
	*chain = entry;
	sessions->count++;
	return entry;
}

static bool is_told(const struct smf_entry *entry)
{
	return entry->changed != 0 || entry->end.active != 0;
}

/* Chains, then the rest; NULL after the last. */
static const struct smf_entry *step(const struct smf_sessions *sessions, size_t *chain, const struct smf_entry *entry)
{
	if (entry != NULL && entry->next != NULL)
		return entry->next;
	while (*chain < CHAINS)
		if (sessions->chains[(*chain)++] != NULL)
			return sessions->chains[*chain - 1];
	return *chain < CHAINS + 2 ? &sessions->rest[(*chain)++ - CHAINS] : NULL;
}

static size_t count_told(const struct smf_sessions *sessions)
{
	size_t count = 0, chain = 0;

	for (const struct smf_entry *entry = NULL; (entry = step(sessions, &chain, entry)) != NULL;)
		count += is_told(entry);
	return count;
}

uint8_t *smf_sessions_summary(const struct smf_sessions *sessions, const struct smf_origin *origin,
                              uint64_t interval_us, uint64_t now_us, size_t *size)
{
	size_t left = count_told(sessions), chain = 0;
	uint8_t *records = left != 0 ? malloc(left * SMF_SUMMARY_SIZE) : NULL;

	*size = left * SMF_SUMMARY_SIZE;
	if (records == NULL)
		return NULL;
	*size = 0;
	for (const struct smf_entry *entry = NULL; (entry = step(sessions, &chain, entry)) != NULL;) {
		struct smf_summary summary = {SMF_INTERVAL, left > 1, interval_us, &entry->session, &entry->start, &entry->end};

		if (!is_told(entry))
			continue;
		*size += smf_summary(records + *size, origin, &summary, now_us);
		left--;
	}
	return records;
}

static void begin_one(struct smf_entry *entry)
{
	entry->start = entry->end;
	entry->changed = 0;
}

void smf_sessions_begin(struct smf_sessions *sessions)
{
	begin_one(&sessions->rest[0]);
	begin_one(&sessions->rest[1]);
	for (size_t i = 0; i < CHAINS; i++)
		for (struct smf_entry **at = &sessions->chains[i]; *at != NULL;) {
			struct smf_entry *entry = *at;

			if (is_told(entry)) {
				begin_one(entry);
				at = &entry->next;
				continue;
			}
			*at = entry->next;
			free(entry);
			sessions->count--;
		}
}

size_t smf_sessions_count(const struct smf_sessions *sessions)
{
	return sessions->count;
}

uint64_t smf_sessions_over(const struct smf_sessions *sessions)
{
	return sessions->over;
}

void smf_sessions_free(struct smf_sessions *sessions)
{
	for (size_t i = 0; sessions != NULL && i < CHAINS; i++)
		for (struct smf_entry *entry = sessions->chains[i], *next; entry != NULL; entry = next) {
			next = entry->next;
			free(entry);
		}
	free(sessions);
}
