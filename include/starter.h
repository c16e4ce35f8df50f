/*
 * The starter: a sidecar that does for a gateway in its sandbox the two things that this shall never be able to do by
 * itself: run a program, and make a listening socket. It runs nothing but the program, arguments and folder that the
 * gateway was started with, and binds nothing but what the configuration file names when it is asked. Main thread only.
 */
#ifndef STARTER_H
#define STARTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "compiler.h"
#include "config.h"
#include "text.h"

/* What it may start; borrowed until starter_open has returned. */
struct starter_program {
	const char *path; /* absolute; NULL: it starts nothing */
	const char *folder;
	char *const *argv;
};

/* Fork it. `config` is how the gateway starts (NULL: it never binds). 0, or -1 with `error`. */
int starter_open(const struct config *config, const struct starter_program *program, struct error *error) MUST_CHECK;

/* It becomes the user that the gateway has become (privileges_follow), and from now on all that binding.h binds is
 * bound by it. 0, or -1 with `error`. */
int starter_settle(struct error *error) MUST_CHECK;

/* Have `ended` called with `context`, once, when it ends before starter_close: nothing can be bound or started from
 * then on. The loop's owner closes its handles after starter_close. 0, or -1 with `error`. */
int starter_watch(uv_loop_t *loop, void (*ended)(void *context), void *context, struct error *error) MUST_CHECK;

/* Does it still run? */
bool starter_is_there(void);

/* Its process id; 0: none. */
int starter_pid(void);

/* Run the program with `variable` ("CCI_UPGRADE=words": the starter takes no other name) in its environment, which is
 * that of this process's own start without what was meant for this process alone; with the standard descriptors, and
 * fds[i] as descriptor 3 + i. Few may run at once. The fds stay the caller's. The process id, or -1 with `error`. */
pid_t starter_start(const char *variable, const int *fds, size_t count, struct error *error) MUST_CHECK;

/* Has a process that was started ended, or does it within `wait_ms`? *status is as waitpid(2) has it; 0 where that is
 * not known any more. */
bool starter_has_ended(pid_t pid, unsigned wait_ms, int *status);

/* Kill it. Nothing where it has ended. */
void starter_kill(pid_t pid);

/* Let the starter end; what was started goes on. */
void starter_close(void);

#endif
