/* The migration: what all entries of one name say of it, and whom to look after first. */
#include <stdlib.h>
#include <string.h>

#include "jsontext.h"
#include "report_entries.h"

#define NETWORKS_MOST 32

/* In the order in which one acts on them. */
#define STANDINGS(STANDING)                                                                                           \
	STANDING(FELL_BACK, "fell-back", "fell_back", "back in the clear")                                                \
	STANDING(REFUSED, "refused", "refused", "refused")                                                                \
	STANDING(FAILED, "failed", "failed", "failed")                                                                    \
	STANDING(MIXED, "mixed", "mixed", "secured and clear")                                                            \
	STANDING(CLEAR_CAN, "clear", "clear_can", "clear that can do TLS")                                                \
	STANDING(CLEAR_UNKNOWN, "clear", "clear_unknown", "clear that do not say")                                        \
	STANDING(CLEAR_CANNOT, "clear", "clear_cannot", "clear that cannot")                                              \
	STANDING(SECURED, "secured", "secured", "secured")

enum standing {
#define STANDING(name, state, member, words) STANDING_##name,
	STANDINGS(STANDING)
#undef STANDING
	    STANDING_COUNT
};

static const struct {
	const char *state, *member, *words;
} standings[] = {
#define STANDING(name, state, member, words) {state, member, words},
    STANDINGS(STANDING)
#undef STANDING
};

/* What a name can do, and how that is known. */
enum ability { ABILITY_UNKNOWN, ABILITY_NONE, ABILITY_OFFERED, ABILITY_DONE };

static const char *const abilities[] = {"unknown", "none", "offered", "done"};

/* Sessions of one sort, and when the last of them was. */
struct tally {
	uint64_t sessions, open, last_us;
};

struct name {
	const struct report_entry **entries; /* borrowed from the sorted list */
	size_t count;
	struct tally all, secured, clear, refused, failed;
	struct tally denied; /* refused for the want of security */
	struct tally never, audit;
	uint64_t open_clear_us, open_never_us; /* the last in the clear, where the door was not closed since; 0: none */
	uint64_t first_secured_us;
	enum ability ability;
	enum standing standing;
	bool never_refuses;
	const struct report_entry *last; /* the one that was seen last */
};

static void tally(struct tally *tally, const struct report_counts *counts)
{
	tally->sessions += counts->sessions;
	tally->open += counts->open;
	if (counts->last_us > tally->last_us)
		tally->last_us = counts->last_us;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool is_word(const char *text, const char *word)
{
	return strcmp(text, word) == 0;
}

static bool is_denied(const char *reason)
{
	return is_word(reason, "security-required") || is_word(reason, "ratcheted") || is_word(reason, "no-tls-version");
}

static enum ability ability_of(const struct report_entry *entry)
{
	const char *asked = entry->keys[REPORT_ASKED];

	if (entry->keys[REPORT_TLS_VERSION][0] != '\0')
		return ABILITY_DONE;
	if (is_word(asked, "none"))
		return ABILITY_NONE;
	return is_word(asked, "raw") || asked[0] == '\0' ? ABILITY_UNKNOWN : ABILITY_OFFERED;
}

static void take_clear(struct name *name, const struct report_entry *entry)
{
	tally(&name->clear, &entry->counts);
	if (is_word(entry->keys[REPORT_NEVER_OUTCOME], "refuse"))
		tally(&name->never, &entry->counts);
}

static void take_entry(struct name *name, const struct report_entry *entry)
{
	const struct report_counts *counts = &entry->counts;
	const char *state = entry->keys[REPORT_STATE];
	enum ability ability = ability_of(entry);

	tally(&name->all, counts);
	if (name->last == NULL || counts->last_us > name->last->counts.last_us)
		name->last = entry;
	if (ability > name->ability)
		name->ability = ability;
	if (is_word(state, REPORT_SECURED)) {
		tally(&name->secured, counts);
		if (name->first_secured_us == 0 || counts->first_us < name->first_secured_us)
			name->first_secured_us = counts->first_us;
	} else if (is_word(state, REPORT_CLEAR)) {
		take_clear(name, entry);
	} else {
		tally(is_word(state, REPORT_REFUSED) ? &name->refused : &name->failed, counts);
		if (is_denied(entry->keys[REPORT_REASON]))
			tally(&name->denied, counts);
	}
	if (is_word(entry->keys[REPORT_AUDIT_OUTCOME], "refuse") && !is_word(state, REPORT_REFUSED))
		tally(&name->audit, counts);
}

static enum standing standing_of(const struct name *name)
{
	if (name->secured.sessions > 0) {
		if (later(name->clear.last_us, name->denied.last_us) > name->secured.last_us)
			return STANDING_FELL_BACK;
		return name->clear.last_us > name->first_secured_us ? STANDING_MIXED : STANDING_SECURED;
	}
	if (name->clear.sessions == 0)
		return name->refused.sessions > 0 ? STANDING_REFUSED : STANDING_FAILED;
	if (name->open_clear_us == 0)
		return STANDING_REFUSED;
	if (name->ability == ABILITY_UNKNOWN)
		return STANDING_CLEAR_UNKNOWN;
	return name->ability == ABILITY_NONE ? STANDING_CLEAR_CANNOT : STANDING_CLEAR_CAN;
}

static bool is_same_place(const struct report_entry *a, const struct report_entry *b)
{
	return is_word(a->keys[REPORT_LISTENER], b->keys[REPORT_LISTENER]) &&
	       is_word(a->keys[REPORT_NETWORK], b->keys[REPORT_NETWORK]);
}

/* The entries of one place, which are neighbours, from number `from` on; where the next place begins. What is refused
 * somewhere else, of a stranger who took the name, closes no door here. */
static size_t judge_place(struct name *name, size_t from)
{
	uint64_t clear_us = 0, never_us = 0, denied_us = 0;
	size_t i;

	for (i = from; i < name->count && is_same_place(name->entries[i], name->entries[from]); i++) {
		const struct report_entry *entry = name->entries[i];
		bool clear = is_word(entry->keys[REPORT_STATE], REPORT_CLEAR);

		if (clear)
			clear_us = later(clear_us, entry->counts.last_us);
		if (clear && is_word(entry->keys[REPORT_NEVER_OUTCOME], "refuse"))
			never_us = later(never_us, entry->counts.last_us);
		if (is_denied(entry->keys[REPORT_REASON]))
			denied_us = later(denied_us, entry->counts.last_us);
	}
	if (clear_us > denied_us)
		name->open_clear_us = later(name->open_clear_us, clear_us);
	if (never_us > denied_us)
		name->open_never_us = later(name->open_never_us, never_us);
	return i;
}

static void judge(struct name *name)
{
	for (size_t i = 0; i < name->count; i++)
		take_entry(name, name->entries[i]);
	for (size_t i = 0; i < name->count;)
		i = judge_place(name, i);
	name->standing = standing_of(name);
	/* Who has moved to TLS since is no news. */
	name->never_refuses = name->open_never_us > name->first_secured_us;
}

/* --- as JSON --- */

static void put_tally(json_t *object, const char *key, const struct tally *tally)
{
	char last[32];

	json_put_number(object, key, tally->sessions);
	(void)snprintf(last, sizeof(last), "%s_last", key);
	json_put_utc(object, last, tally->last_us);
}

/* Where it comes from in the clear still. */
static json_t *networks_of(const struct name *name)
{
	json_t *networks = json_array();

	for (size_t i = 0; i < name->count && json_array_size(networks) < NETWORKS_MOST; i++) {
		const char *network = name->entries[i]->keys[REPORT_NETWORK];
		bool known = network[0] == '\0' || !is_word(name->entries[i]->keys[REPORT_STATE], REPORT_CLEAR);

		for (size_t j = 0; j < json_array_size(networks) && !known; j++)
			known = is_word(json_string_value(json_array_get(networks, j)), network);
		if (!known)
			(void)json_array_append_new(networks, json_of_text(network));
	}
	return networks;
}

/* Why it was refused, or failed, and how often. */
static json_t *reasons_of(const struct name *name)
{
	json_t *reasons = json_object();

	for (size_t i = 0; i < name->count; i++) {
		const char *reason = name->entries[i]->keys[REPORT_REASON];
		json_int_t before = json_integer_value(json_object_get(reasons, reason));

		if (reason[0] != '\0')
			json_put_number(reasons, reason, (uint64_t)before + name->entries[i]->counts.sessions);
	}
	return reasons;
}

static const char *last_reason(const struct name *name)
{
	const struct report_entry *last = NULL;

	for (size_t i = 0; i < name->count; i++)
		if (name->entries[i]->keys[REPORT_REASON][0] != '\0' &&
		    (last == NULL || name->entries[i]->counts.last_us > last->counts.last_us))
			last = name->entries[i];
	return last != NULL ? last->keys[REPORT_REASON] : NULL;
}

static json_t *json_of_name(const struct name *name)
{
	json_t *object = json_object();

	json_put_text(object, "name", name->last->keys[REPORT_SYSID]);
	json_put_text(object, "state", standings[name->standing].state);
	json_put_text(object, "tls", abilities[name->ability]);
	json_put_bool(object, "ratcheted", name->last->counts.ratcheted);
	put_tally(object, "secured", &name->secured);
	json_put_number(object, "secured_open", name->secured.open);
	put_tally(object, "clear", &name->clear);
	json_put_number(object, "clear_open", name->clear.open);
	put_tally(object, "refused", &name->refused);
	put_tally(object, "failed", &name->failed);
	put_tally(object, "never", &name->never);
	json_put_bool(object, "never_refuses", name->never_refuses);
	put_tally(object, "audit", &name->audit);
	(void)json_object_set_new(object, "clear_networks", networks_of(name));
	(void)json_object_set_new(object, "reasons", reasons_of(name));
	json_put_text(object, "last_reason", last_reason(name));
	json_put_said(object, "agent", name->last->agent);
	json_put_utc(object, "last", name->all.last_us);
	return object;
}

static json_t *summary_of(const struct name *names, size_t count)
{
	/* The best news first. */
	static const enum standing order[STANDING_COUNT] = {STANDING_SECURED, STANDING_CLEAR_CAN, STANDING_CLEAR_CANNOT,
	                                                    STANDING_CLEAR_UNKNOWN, STANDING_MIXED, STANDING_FAILED,
	                                                    STANDING_REFUSED, STANDING_FELL_BACK};
	size_t counts[STANDING_COUNT] = {0}, refused = 0;
	json_t *summary = json_object();
	const char *before = ": ";
	char words[512];
	struct text text;

	for (size_t i = 0; i < count; i++) {
		counts[names[i].standing]++;
		refused += names[i].never_refuses;
	}
	text_init(&text, words, sizeof(words));
	text_printf(&text, "%zu name%s", count, count == 1 ? "" : "s");
	json_put_number(summary, "names", count);
	for (size_t i = 0; i < STANDING_COUNT; i++) {
		size_t number = counts[order[i]];

		json_put_number(summary, standings[order[i]].member, number);
		if (number == 0)
			continue;
		text_printf(&text, "%s%zu %s", before, number, standings[order[i]].words);
		before = ", ";
	}
	text_printf(&text, "; never would refuse %zu today", refused);
	json_put_number(summary, "never_refuses", refused);
	json_put_text(summary, "text", words);
	return summary;
}

/* --- from entries to names --- */

/* By name without regard to case, then by place, and as the table has them. */
static int compare_entries(const void *one, const void *other)
{
	const struct report_entry *a = *(const struct report_entry *const *)one;
	const struct report_entry *b = *(const struct report_entry *const *)other;
	int order = name_compare(a->keys[REPORT_SYSID], b->keys[REPORT_SYSID]);

	if (order == 0)
		order = strcmp(a->keys[REPORT_LISTENER], b->keys[REPORT_LISTENER]);
	if (order == 0)
		order = strcmp(a->keys[REPORT_NETWORK], b->keys[REPORT_NETWORK]);
	return order != 0 ? order : (a > b) - (a < b);
}

static int compare_names(const void *one, const void *other)
{
	const struct name *a = one, *b = other;

	if (a->standing != b->standing)
		return a->standing < b->standing ? -1 : 1;
	if (a->standing != STANDING_SECURED && a->clear.sessions != b->clear.sessions)
		return a->clear.sessions > b->clear.sessions ? -1 : 1;
	return name_compare(a->entries[0]->keys[REPORT_SYSID], b->entries[0]->keys[REPORT_SYSID]);
}

/* Nobody can be named who never said a name, save for a listener where nobody does. */
static bool has_name(const struct report_entry *entry)
{
	return entry->keys[REPORT_SYSID][0] != '\0' || is_word(entry->keys[REPORT_ASKED], "raw");
}

/* How many names there are; `names` has room for all entries. */
static size_t gather(const struct report_entry **sorted, size_t count, struct name *names)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		struct name *name = &names[found];

		if (found == 0 ||
		    name_compare(names[found - 1].entries[0]->keys[REPORT_SYSID], sorted[i]->keys[REPORT_SYSID]) != 0) {
			name->entries = &sorted[i];
			found++;
		}
		names[found - 1].count++;
	}
	for (size_t i = 0; i < found; i++)
		judge(&names[i]);
	return found;
}

void report_put_names(json_t *report, const struct report_list *list, size_t most)
{
	const struct report_entry **sorted = calloc(list->count + 1, sizeof(const struct report_entry *));
	struct name *names = calloc(list->count + 1, sizeof(*names));
	json_t *array = json_array();
	size_t count = 0;

	for (size_t i = 0; i < list->count && sorted != NULL; i++)
		if (has_name(&list->at[i]))
			sorted[count++] = &list->at[i];
	if (sorted != NULL && names != NULL) {
		qsort(sorted, count, sizeof(*sorted), compare_entries);
		count = gather(sorted, count, names);
		qsort(names, count, sizeof(*names), compare_names);
		for (size_t i = 0; i < count && i < most; i++)
			(void)json_array_append_new(array, json_of_name(&names[i]));
		(void)json_object_set_new(report, "summary", summary_of(names, count));
		(void)json_object_set_new(report, "names", array);
	} else {
		json_decref(array);
	}
	free(sorted);
	free(names);
}
