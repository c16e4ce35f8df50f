/* What a reload leaves as it is. */
#include "reload.h"

#include <stdlib.h>
#include <string.h>

#include "jsontext.h"
#include "log.h"
#include "rows.h"

static int keep_text(char **now, const char *before, bool *changed)
{
	char *copy;

	*changed = (*now == NULL) != (before == NULL) || (before != NULL && strcmp(*now, before) != 0);
	if (!*changed)
		return 0;
	copy = before != NULL ? strdup(before) : NULL;
	if (before != NULL && copy == NULL)
		return -1;
	free(*now);
	*now = copy;
	return 0;
}

static bool is_text(const struct row *row)
{
	return row->type == ROW_NAME || row->type == ROW_TEXT || row->type == ROW_HOST || row->type == ROW_PATH;
}

/* One setting that only a restart can change keeps its old value. */
static int keep(const struct row *row, struct config *config, const struct config *old, bool *changed)
{
	size_t offset = row_section_find(row->section)->offset + row->offset;
	size_t size = row->type == ROW_WORD ? sizeof(int) : sizeof(uint64_t);
	char *now = (char *)config + offset;
	const char *before = (const char *)old + offset;

	if (is_text(row))
		return keep_text((char **)(void *)now, *(char *const *)(const void *)before, changed);
	*changed = memcmp(now, before, size) != 0;
	memcpy(now, before, size);
	return 0;
}

static void say_kept(const struct row *row, json_t *findings)
{
	char words[128];

	log_say(MESSAGE_RELOAD_NEEDS_RESTART, "[%s] %s", row->section, row->key);
	if (findings == NULL)
		return;
	(void)snprintf(words, sizeof(words), "[%s] %s: %s", row->section, row->key,
	               message_text(MESSAGE_RELOAD_NEEDS_RESTART));
	(void)json_array_append_new(findings, json_of_text(words));
}

int reload_keep(struct config *config, const struct config *old, json_t *findings, struct error *error)
{
	bool changed;

	for (size_t i = 0; i < row_count; i++) {
		if (rows[i].reloadable || row_section_find(rows[i].section)->named)
			continue;
		if (keep(&rows[i], config, old, &changed) != 0)
			return error_set(error, "not enough memory");
		if (changed)
			say_kept(&rows[i], findings);
	}
	return 0;
}
