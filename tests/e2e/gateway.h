/*
 * Runs the real programs for scenarios: a configuration in a folder of its own, started, waited for, its log read back,
 * ended by pid. The programs come from the folder in CCI_BUILD, or from build/.
 */
#ifndef GATEWAY_H
#define GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct gateway {
	pid_t pid;
	char folder[64];
	char log[96];
	char config[96];
	int ports[4]; /* of the listening lines, in the order of the file's listeners */
};

/* The limit of open files of programs started from now on; 0: as it is. */
extern unsigned long gateway_descriptors;

/* Called in the new process before it becomes the program; NULL: nothing. */
extern void (*gateway_before_exec)(void);

/* Start `program` ("ccissl", or an absolute path) with the configuration text; certificates are in build/test-certs ("@CERTS@" in the text stands
 * for it). Fails the test when it does not start. */
void gateway_start(struct gateway *gateway, const char *program, const char *config, ...)
    __attribute__((format(printf, 3, 4)));

/* Read the ports from the listening lines of its log, as gateway_start does. */
void gateway_ports(struct gateway *gateway);

/* Write another configuration in place (as printf). */
void gateway_rewrite(struct gateway *gateway, const char *config, ...) __attribute__((format(printf, 2, 3)));

/* The number of log lines that hold all of these texts (b, c may be NULL); waits up to 10 s until there are `least`. */
int gateway_lines(const struct gateway *gateway, int least, const char *a, const char *b, const char *c);

/* Send SIGTERM, wait, and check: exit status, no sanitizer report, no internal error. Removes the folder. */
void gateway_stop(struct gateway *gateway);

/* End it by SIGKILL: nothing is said, nothing is checked. Removes the folder. */
void gateway_kill(struct gateway *gateway);

/* The process that its last upgrade has started, as the log says; -1: none. */
pid_t gateway_successor(const struct gateway *gateway);

/* Wait up to 15 s until this process of ours has ended, and check: exit status 0. */
void gateway_ends(pid_t pid);

/* What system() says of this line (as printf) of a shell. */
int gateway_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "build" or what CCI_BUILD says. */
const char *gateway_build(void);

#endif
