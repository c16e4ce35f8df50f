/* What the commands of both programs (ratchet, report, ctl, verify) have in common: how they say that something is
 * wrong, and read the files that they are given. */
#ifndef SUBCOMMAND_H
#define SUBCOMMAND_H

#include <stdio.h>

#include "compiler.h"
#include "config.h"

#define EXIT_USAGE 2

/* Which one it is. */
struct subcommand {
	const char *program, *name; /* static */
};

/* `name` is static. */
struct subcommand subcommand_of(enum program program, const char *name);

/* "PROGRAM NAME: WORDS; see PROGRAM NAME --help" on standard error. Returns EXIT_USAGE. */
int subcommand_misused(const struct subcommand *command, const char *format, ...) PRINTF_LIKE(2, 3);

/* "PROGRAM NAME: WORDS" on standard error. Returns EXIT_FAILURE. */
int subcommand_failed(const struct subcommand *command, const char *format, ...) PRINTF_LIKE(2, 3);

/* Hand the file `path` ("-": standard input) to `take`, under the name that messages give it, and close it. 0; or -1
 * where it cannot be opened or read to its end, which was said. */
int subcommand_read(const struct subcommand *command, const char *path,
                    void (*take)(void *context, const char *name, FILE *stream), void *context) MUST_CHECK;

/* All is printed: EXIT_SUCCESS; or EXIT_FAILURE with words, where standard output has not taken it. */
int subcommand_printed(const struct subcommand *command) MUST_CHECK;

#endif
