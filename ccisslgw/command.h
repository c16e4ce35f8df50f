/* The commands of ccisslgw that are no gateway: connect and ping. */
#ifndef COMMAND_H
#define COMMAND_H

/* Run the command in argv[1] if it is one; *status is its exit status. 1: it was, 0: it is none. */
int command_run(int argc, char **argv, int *status);

/* `ccisslgw connect HOST:PORT ...` and `ccisslgw ping HOST:PORT ...`; argv[0] is the command. Exit status: 0, 1 refused
 * or failed, 2 bad usage. */
int connect_command(int argc, char **argv);
int ping_command(int argc, char **argv);

#endif
