/* The command `report FILE...` of both programs: the report out of files that notifiers of the kind `file` have
 * written. */
#ifndef REPORT_COMMAND_H
#define REPORT_COMMAND_H

#include "config.h"

/* `report [--names|--json|--csv] FILE...` ("-": standard input); argv[0] is "report". Lines that are no records are
 * counted and said on standard error, with file and line of the first. Exit status: 0; 1 where a file cannot be read or
 * has such lines; 2 bad usage. */
int report_command(enum program program, int argc, char **argv);

#endif
