/* Finds the command that ccisslgw was called with. */
#include "command.h"

#include <string.h>

int command_run(int argc, char **argv, int *status)
{
	if (argc < 2)
		return 0;
	if (strcmp(argv[1], "connect") == 0)
		*status = connect_command(argc - 1, argv + 1);
	else if (strcmp(argv[1], "ping") == 0)
		*status = ping_command(argc - 1, argv + 1);
	else
		return 0;
	return 1;
}
