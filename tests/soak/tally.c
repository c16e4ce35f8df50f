/*
 * Holds what the load did against what a gateway wrote: every connection of the ledger has exactly one record, which says of
 * it what the load knows. `tally LEDGER EVENTS...`; events as JSON Lines (docs/events.md). One line on standard output;
 * exit status 1 where anything does not fit.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAID_MOST 10

struct expected {
	bool there, whole;
	char kind[20];
	unsigned long long up, down, records;
};

static struct expected *ledger;
static size_t ledger_size;
static char prefix[17]; /* the first half of every id: "SOAK" and the run */

static struct {
	unsigned long long connections, records, anonymous, doubled, missing, differing, foreign, up, down;
} seen;

static void complain(const char *what, const char *line)
{
	static int said;

	if (said++ < SAID_MOST)
		(void)fprintf(stderr, "tally: %s: %.600s\n", what, line);
}

static bool read_ledger(const char *path)
{
	FILE *stream = fopen(path, "re");
	char id[33];
	struct expected one = {.there = true};
	int whole;

	while (stream != NULL && fscanf(stream, "%32s %19s %d %llu %llu", id, one.kind, &whole, &one.up, &one.down) == 5) {
		size_t sequence = (size_t)strtoull(id + 16, NULL, 16);

		if (sequence >= ledger_size) {
			size_t size = 2 * sequence + 1024;

			ledger = realloc(ledger, size * sizeof(*ledger));
			if (ledger == NULL)
				return false;
			memset(ledger + ledger_size, 0, (size - ledger_size) * sizeof(*ledger));
			ledger_size = size;
		}
		memcpy(prefix, id, 16);
		one.whole = whole == 1;
		ledger[sequence] = one;
		seen.connections++;
	}
	if (stream != NULL)
		(void)fclose(stream);
	return stream != NULL;
}

/* The value behind `"name":`, or "". */
static const char *member(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	return at != NULL ? at + strlen(name) : "";
}

static bool fits(const struct expected *expected, const char *line)
{
	bool clear = strcmp(expected->kind, "clear") == 0, refused = strcmp(expected->kind, "refused") == 0;

	if (!expected->whole)
		return true;
	if (refused)
		return strncmp(member(line, "\"reason\":"), "\"security-required\"", 19) == 0;
	return strncmp(member(line, "\"reason\":"), "\"ended\"", 7) == 0 &&
	       strncmp(member(line, "\"secured\":"), clear ? "false" : "true", 4) == 0 &&
	       strncmp(member(line, "\"truncated\":"), "false", 5) == 0 &&
	       strtoull(member(line, "\"up\":"), NULL, 10) == expected->up &&
	       strtoull(member(line, "\"down\":"), NULL, 10) == expected->down;
}

static void take_record(const char *line)
{
	const char *id = member(line, "\"client_conn\":\"");
	size_t sequence = id[0] != '\0' && strnlen(id, 32) == 32 ? (size_t)strtoull((char[17]){id[16], id[17], id[18], id[19],
	                                                                                    id[20], id[21], id[22], id[23], id[24],
	                                                                                    id[25], id[26], id[27], id[28], id[29],
	                                                                                    id[30], id[31]}, NULL, 16)
	                                                          : 0;

	seen.records++;
	seen.up += strtoull(member(line, "\"up\":"), NULL, 10);
	seen.down += strtoull(member(line, "\"down\":"), NULL, 10);
	if (id[0] == '\0') {
		seen.anonymous++;
	} else if (strncmp(id, prefix, 16) != 0 || sequence >= ledger_size || !ledger[sequence].there) {
		seen.foreign++;
		complain("nobody made this", line);
	} else if (++ledger[sequence].records > 1) {
		seen.doubled++;
		complain("a second record", line);
	} else if (!fits(&ledger[sequence], line)) {
		seen.differing++;
		complain(ledger[sequence].kind, line);
	}
}

static bool read_events(const char *path)
{
	FILE *stream = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;

	while (stream != NULL && getline(&line, &room, stream) > 0)
		if (strncmp(line, "{\"event\":\"record\"", 17) == 0)
			take_record(line);
		else if (strncmp(line, "{\"event\":\"dropped\"", 18) == 0)
			complain("events were dropped", line);
	free(line);
	if (stream != NULL)
		(void)fclose(stream);
	return stream != NULL;
}

int main(int argc, char **argv)
{
	if (argc < 3 || !read_ledger(argv[1]))
		return 2;
	for (int i = 2; i < argc; i++)
		if (!read_events(argv[i]))
			return 2;
	for (size_t i = 0; i < ledger_size; i++) {
		if (!ledger[i].there || ledger[i].records > 0)
			continue;
		seen.missing++;
		if (seen.missing <= SAID_MOST)
			(void)fprintf(stderr, "tally: no record: connection %zu (%s)\n", i, ledger[i].kind);
	}
	(void)printf("connections=%llu records=%llu anonymous=%llu missing=%llu doubled=%llu differing=%llu foreign=%llu up=%llu "
	             "down=%llu\n",
	             seen.connections, seen.records, seen.anonymous, seen.missing, seen.doubled, seen.differing, seen.foreign,
	             seen.up, seen.down);
	return seen.missing + seen.doubled + seen.differing + seen.foreign > 0;
}
