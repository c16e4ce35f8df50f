/*
 * Values of single rows: from text into a section's structure, back to text, and released. What config.c,
 * config_check.c and config_dump.c share.
 */
#ifndef CONFIG_VALUES_H
#define CONFIG_VALUES_H

#include "config.h"
#include "rows.h"

/* What a row's value is read with: the folder of the file (for paths) and the program (for default ports). */
struct config_context {
	const char *folder; /* absolute; borrowed */
	enum program program;
};

/* Parse `value` into the member of `section` that `row` names; the value before is released. 0, or -1 with `error`
 * (what is wrong and what was meant, without place). */
int config_set(const struct config_context *context, const struct row *row, void *section, const char *value,
               struct error *error) MUST_CHECK;

/* Release the member; it is unset afterwards. */
void config_unset(const struct row *row, void *section);

/* Is the member set? (A number or word always is.) */
bool config_is_set(const struct row *row, const void *section);

/* Item number `item` of the member as text, into `text`; false where there is no such item. What is no list has one. */
bool config_get(const struct row *row, const void *section, size_t item, struct text *text);

/* config.c: a wait that is CONFIG_INHERIT becomes that of `from`. */
void config_timeouts_inherit(struct config_timeouts *waits, const struct config_timeouts *from);

/* config_check.c: what single rows cannot see: contradictions, names that do not exist, TLS without certificates. Fills
 * in what listeners inherit. */
void config_check(struct config *config, config_report *report, void *context);

#endif
