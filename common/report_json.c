/* The report as JSON. */
#include "jsontext.h"
#include "report_entries.h"

static const char *const members[] = {
#define KEY(name, member) member,
    REPORT_KEYS(KEY)
#undef KEY
};

static json_t *json_of_entry(const struct report_entry *entry)
{
	const struct report_counts *counts = &entry->counts;
	json_t *object = json_object();

	for (size_t i = 0; i < REPORT_KEY_COUNT; i++)
		json_put_said(object, members[i], entry->keys[i]);
	json_put_number(object, "sessions", counts->sessions);
	json_put_number(object, "open", counts->open);
	json_put_number(object, "bytes_up", counts->bytes_up);
	json_put_number(object, "bytes_down", counts->bytes_down);
	json_put_number(object, "resumed", counts->resumed);
	json_put_number(object, "confirmed", counts->confirmed);
	json_put_bool(object, "ratcheted", counts->ratcheted);
	json_put_utc(object, "first", counts->first_us);
	json_put_utc(object, "last", counts->last_us);
	json_put_said(object, "agent", entry->agent);
	json_put_said(object, "peer_subject", entry->subject);
	return object;
}

static bool is_whole(const json_t *report, size_t entries)
{
	return json_array_size(json_object_get(report, "entries")) == entries &&
	       json_is_array(json_object_get(report, "names")) && json_is_object(json_object_get(report, "summary"));
}

json_t *report_json(struct report *report)
{
	return report_json_most(report, SIZE_MAX);
}

json_t *report_json_most(struct report *report, size_t most)
{
	struct report_list list;
	json_t *object, *entries;
	size_t count;

	if (report_copy(report, &list) != 0) {
		report_list_free(&list);
		return NULL;
	}
	object = json_object();
	entries = json_array();
	json_put_utc(object, "since", list.since_us);
	json_put_utc(object, "until", list.until_us);
	json_put_number(object, "sessions", list.sessions);
	json_put_number(object, "forgotten", list.forgotten);
	json_put_number(object, "entries_total", list.count);
	report_put_names(object, &list, most);
	count = list.count < most ? list.count : most;
	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(entries, json_of_entry(&list.at[i]));
	(void)json_object_set_new(object, "entries", entries);
	if (!is_whole(object, count)) {
		json_decref(object);
		object = NULL;
	}
	report_list_free(&list);
	return object;
}
