/*
 * Which settings a reload takes: those whose row says reloadable. Knows the table of rows, no worker and no socket.
 */
#ifndef RELOAD_H
#define RELOAD_H

#include <jansson.h>

#include "compiler.h"
#include "config.h"
#include "text.h"

/* Put the values of `old` back into `config` for every setting that only a restart can change, and log
 * MESSAGE_RELOAD_NEEDS_RESTART for each that differs, which is appended to the array `findings` (NULL: none) as a text
 * too. Rows of sections with a name can all be reloaded; those that cannot hold words, numbers and texts (a test holds
 * the table to that). 0, or -1 without memory, with `error`. */
int reload_keep(struct config *config, const struct config *old, json_t *findings, struct error *error) MUST_CHECK;

#endif
