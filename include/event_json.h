/*
 * A notifier event as JSON: the line that the kinds `file` and `socket` give to others. docs/events.md and
 * docs/events.schema.json describe its members; a test holds them together.
 */
#ifndef EVENT_JSON_H
#define EVENT_JSON_H

#include <stddef.h>

#include "cci/notifier.h"
#include "compiler.h"

/* The word that stands in "event": handshake-starting, handshake-done, handshake-failed, unsecured, refused, closed,
 * record. Never NULL. */
const char *event_word(int type);

/* The event as a compact JSON object of one line of ASCII, without a line feed; to be freed by the caller; *size is its
 * length (may be NULL). What is unknown is left out. An event of CCI_RECORD is its `record` as it is. NULL without
 * memory. */
char *event_json(const struct cci_event *event, size_t *size) MUST_CHECK;

#endif
