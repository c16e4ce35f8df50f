/* Lines by key: a hash table that grows, of lines that link themselves. */
#include "linetable.h"

#include <stdlib.h>
#include <string.h>

#define LEAST_BUCKETS 256 /* a power of two */

struct linetable {
	struct line **buckets;
	size_t size; /* of buckets: a power of two */
	size_t count;
};

struct line *line_new(const struct line_key *key, const char *bytes, size_t size)
{
	struct line *line = malloc(sizeof(*line) + size + 1);

	if (line == NULL)
		return NULL;
	memset(line, 0, sizeof(*line));
	atomic_init(&line->references, 1);
	line->key = *key;
	line->size = size + 1;
	memcpy(line->bytes, bytes, size);
	line->bytes[size] = '\n';
	return line;
}

struct line *line_share(struct line *line)
{
	(void)atomic_fetch_add_explicit(&line->references, 1, memory_order_relaxed);
	return line;
}

void line_leave(struct line *line)
{
	if (line != NULL && atomic_fetch_sub_explicit(&line->references, 1, memory_order_acq_rel) == 1)
		free(line);
}

struct linetable *linetable_new(void)
{
	struct linetable *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return NULL;
	table->size = LEAST_BUCKETS;
	table->buckets = calloc(table->size, sizeof(struct line *));
	if (table->buckets != NULL)
		return table;
	free(table);
	return NULL;
}

void linetable_free(struct linetable *table)
{
	if (table == NULL)
		return;
	for (size_t i = 0; i < table->size; i++)
		for (struct line *line = table->buckets[i], *next; line != NULL; line = next) {
			next = line->chained;
			line_leave(line);
		}
	free(table->buckets);
	free(table);
}

/* Ids are random; no stranger chooses them. */
static size_t bucket_of(const struct line_key *key, size_t size)
{
	uint64_t first;

	memcpy(&first, key->bytes, sizeof(first));
	return (size_t)(first ^ key->bytes[sizeof(key->bytes) - 1]) & (size - 1);
}

/* Where there is no memory for more buckets, the chains grow instead. */
static void grow(struct linetable *table)
{
	size_t size = 2 * table->size;
	struct line **buckets = calloc(size, sizeof(struct line *));

	if (buckets == NULL)
		return;
	for (size_t i = 0; i < table->size; i++)
		for (struct line *line = table->buckets[i], *next; line != NULL; line = next) {
			struct line **to = &buckets[bucket_of(&line->key, size)];

			next = line->chained;
			line->chained = *to;
			*to = line;
		}
	free(table->buckets);
	table->buckets = buckets;
	table->size = size;
}

void linetable_drop(struct linetable *table, const struct line_key *key)
{
	struct line **at = &table->buckets[bucket_of(key, table->size)];

	for (; *at != NULL; at = &(*at)->chained) {
		struct line *line = *at;

		if (memcmp(&line->key, key, sizeof(*key)) != 0)
			continue;
		*at = line->chained;
		table->count--;
		line_leave(line);
		return;
	}
}

void linetable_keep(struct linetable *table, struct line *line)
{
	struct line **to;

	linetable_drop(table, &line->key);
	if (table->count >= table->size)
		grow(table);
	to = &table->buckets[bucket_of(&line->key, table->size)];
	line->chained = *to;
	*to = line_share(line);
	table->count++;
}

size_t linetable_count(const struct linetable *table)
{
	return table->count;
}

void linetable_copy(const struct linetable *table, struct line **lines)
{
	for (size_t i = 0; i < table->size; i++)
		for (struct line *line = table->buckets[i]; line != NULL; line = line->chained)
			*lines++ = line_share(line);
}
