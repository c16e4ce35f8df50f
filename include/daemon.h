/*
 * The life of a gateway process: options, configuration, workers, signals (SIGHUP reload, SIGUSR2 upgrade, SIGTERM and
 * SIGINT drain, a second one ends at once), exit status. The same for both programs.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include "compiler.h"
#include "config.h"

#include "version.h"

/* Run with the configuration in `file` until a signal ends it; `argv` is how the program was started, for an upgrade.
 * Returns the exit status: 0 after an orderly end, 1 when it could not start or the key process has ended (the reason
 * was logged), 3 when a second signal cut the drain short. */
int daemon_run(enum program program, const char *file, char *const *argv);

/* The next four are in options.c.
 *
 * --check: print every finding to standard error and "FILE: ok" to standard output; exit status 0 or 1. */
int daemon_check(enum program program, const char *file);

/* --dump: the effective configuration to standard output; exit status 0 or 1. */
int daemon_dump(enum program program, const char *file);

/* --explain: what becomes of the connection that `words` describe (explain.h), to standard output; exit status 0; 1 for
 * errors in the file, 2 for words that are not understood. */
int daemon_explain(enum program program, const char *file, int count, char *const *words);

/* Options common to both programs: -c FILE, --check, --dump, --explain, --version, --help. Handles them all and returns
 * the exit status of the program. `usage` is printed for --help. */
int daemon_main(enum program program, const char *usage, int argc, char **argv);

#endif
