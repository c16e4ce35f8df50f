/* The command `verify FILE...` of both programs: is a hash-chained file of events whole? */
#ifndef VERIFY_COMMAND_H
#define VERIFY_COMMAND_H

#include "config.h"

/* `verify [--json] [--expect SEQ:DIGEST] FILE...`; argv[0] is "verify". Several files are one chain, oldest first
 * (rotated ones); - is standard input. Names the first line that is altered, missing, doubled or out of order, with
 * file and line number; and the last line's place and digest, for --expect another time. Exit status: 0 whole; 1 not,
 * or a file cannot be read; 2 bad usage. */
int verify_command(enum program program, int argc, char **argv);

#endif
