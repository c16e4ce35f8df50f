/* Finding rows of the configuration, and what comes near one. */
#include "rows.h"

#include <string.h>

const struct row *row_find(const char *section, const char *key)
{
	for (size_t i = 0; i < row_count; i++)
		if (strcmp(rows[i].section, section) == 0 &&
		    (strcmp(rows[i].key, key) == 0 || (rows[i].alias != NULL && strcmp(rows[i].alias, key) == 0)))
			return &rows[i];
	return NULL;
}

const struct row_section *row_section_find(const char *section)
{
	for (size_t i = 0; i < row_section_count; i++)
		if (strcmp(row_sections[i].name, section) == 0)
			return &row_sections[i];
	return NULL;
}

#define WORD_MOST 40

/* Levenshtein's distance; words that are too long are far from all. */
static size_t distance(const char *a, const char *b)
{
	size_t line[WORD_MOST + 1], length = strlen(b);

	if (strlen(a) > WORD_MOST || length > WORD_MOST)
		return WORD_MOST;
	for (size_t j = 0; j <= length; j++)
		line[j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		size_t corner = line[0];

		line[0] = i;
		for (size_t j = 1; j <= length; j++) {
			size_t change = corner + (a[i - 1] != b[j - 1]);
			size_t best = line[j] < line[j - 1] ? line[j] + 1 : line[j - 1] + 1;

			corner = line[j];
			line[j] = change < best ? change : best;
		}
	}
	return line[length];
}

/* The nearer of two candidates, as long as it is near at all. */
static void consider(const char *given, const char *candidate, const char **best, size_t *least)
{
	size_t far = distance(given, candidate);

	if (far < *least) {
		*least = far;
		*best = candidate;
	}
}

const char *row_nearest_key(const char *section, const char *given)
{
	const char *best = NULL;
	size_t least = 4;

	for (size_t i = 0; i < row_count; i++)
		if (strcmp(rows[i].section, section) == 0)
			consider(given, rows[i].key, &best, &least);
	return best;
}

const char *row_nearest_section(const char *given)
{
	const char *best = NULL;
	size_t least = 4;

	for (size_t i = 0; i < row_section_count; i++)
		consider(given, row_sections[i].name, &best, &least);
	return best;
}
