/*
 * The closing record of a session as JSON: what the log line says, under the same names, with numbers as numbers and
 * yes and no as true and false. docs/events.md and docs/events.schema.json describe it.
 */
#ifndef RECORD_JSON_H
#define RECORD_JSON_H

#include <stddef.h>

#include "compiler.h"
#include "record.h"

/* {"event":"record", ...} in one line of ASCII without a line feed; to be freed by the caller; *size is its length. To
 * be called before the session's channels are closed. NULL without memory. */
char *record_json(const struct record *record, size_t *size) MUST_CHECK;

#endif
