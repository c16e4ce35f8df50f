/*
 * The starter: a sidecar that does for a gateway in its sandbox the two things that this shall never be able to do by itself:
 * run a program, and make a listening socket. It runs nothing but the program, arguments and folder that the gateway was
 * started with, and binds nothing but what the configuration file names when it is asked. Main thread only.
 */
#ifndef STARTER_H
#define STARTER_H

#include <sys/socket.h>
#include <sys/types.h>

#include "compiler.h"
#include "config.h"
#include "text.h"

struct upgrade;

/* Fork it. `config` is how the gateway starts, `upgrade` what is started (both are copied by the fork). 0, or -1 with `error`. */
int starter_open(const struct config *config, const struct upgrade *upgrade, struct error *error) MUST_CHECK;

/* It becomes the user that the gateway becomes (privileges.h), and from now on it alone binds and starts. 0, or -1 with
 * `error`. */
int starter_settle(struct error *error) MUST_CHECK;

/* bind(2) and listen(2): by this process itself as long as there is no starter that has settled. 0, or -1 with errno; EPERM
 * where the configuration file has no such address. */
int starter_bind(int fd, const struct sockaddr *address, socklen_t size) MUST_CHECK;
int starter_listen(int fd, int backlog) MUST_CHECK;

/* Let it end. */
void starter_close(void);

#endif
