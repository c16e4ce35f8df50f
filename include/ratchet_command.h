/*
 * The command `ratchet` of both programs: lists the names that a gateway has on disk, and lifts one of them. It edits
 * the file under its lock; a gateway that runs takes what changed within about a second (ratchet_keeper.h).
 */
#ifndef RATCHET_COMMAND_H
#define RATCHET_COMMAND_H

#include "compiler.h"
#include "config.h"
#include "text.h"

/* `ratchet -c FILE list [--json]` and `ratchet -c FILE lift NAME [--peer]`; argv[0] is "ratchet". Findings about the
 * configuration go to `report`. Exit status: 0; 1 with one line on standard error: no ratchet_file, it cannot be read
 * or written, it is damaged, no such name; 2 bad usage. */
int ratchet_command(enum program program, config_report *report, int argc, char **argv);

/* For --check: can ratchet_file be kept? 0 (also where none is configured), or -1 with `error`. */
int ratchet_command_check(const struct config *config, struct error *error) MUST_CHECK;

#endif
