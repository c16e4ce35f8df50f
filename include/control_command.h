/* The command `ctl` of both programs: asks a gateway that runs, by its control socket, and prints the answer. */
#ifndef CONTROL_COMMAND_H
#define CONTROL_COMMAND_H

#include "config.h"

/* `ctl -c FILE [--json] VERB [WORDS...]`, or --socket PATH in place of -c; argv[0] is "ctl". Findings about the
 * configuration go to `report`. Exit status: 0; 1 the gateway cannot be asked, or says no; 2 bad usage. */
int control_command(enum program program, config_report *report, int argc, char **argv);

#endif
