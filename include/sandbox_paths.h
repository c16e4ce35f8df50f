/*
 * The folders that a gateway in its sandbox keeps: those of what its configuration names, and those of
 * sandbox_folders.h. For sandbox.c. Main thread only.
 */
#ifndef SANDBOX_PATHS_H
#define SANDBOX_PATHS_H

#include "compiler.h"
#include "config.h"
#include "text.h"

/* Keep the folders of `config` and give up the rest (landlock_enter). 0, or -1 with `error`. */
int sandbox_paths_enter(const struct config *config, int abi, struct error *error) MUST_CHECK;

/* Is all that `config` names in what was kept? 0; or -1 with `error`, which says at which key (error_at). */
int sandbox_paths_check(const struct config *config, struct error *error) MUST_CHECK;

/* After sandbox_paths_enter: the first file that decides what the next process runs (the configuration, the program, a
 * plug-in) and lies in a folder whose files may be written. NULL: none. Static until the next call. */
const char *sandbox_paths_open(const struct config *config);

#endif
