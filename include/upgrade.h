/*
 * Another version of the program takes over without a lost connection. The old process has it started (by starter.h)
 * with all its listening sockets, and waits; the new one makes everything ready that can fail, says so, and is let go;
 * then it accepts, and the old one retires. Until then the old one serves as if nothing had happened, whatever becomes
 * of the new one. Main thread only.
 *
 * Between the two: CCI_UPGRADE in the environment has the words of listener_pack; descriptor 3 is a stream socket on
 * which the new one says 'R' when it is ready, and the old one answers 'G'; the listening sockets follow from
 * descriptor 4 on.
 */
#ifndef UPGRADE_H
#define UPGRADE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "compiler.h"
#include "listener.h"
#include "text.h"

struct upgrade_hooks {
	/* The new process is ready, and will serve next; unless it dies in this moment, and failed follows. */
	void (*ready)(void *context, pid_t pid);
	/* It serves now. */
	void (*done)(void *context, pid_t pid);
	/* It does not, and never will: it has ended, or was ended. */
	void (*failed)(void *context, const char *why);
	void *context; /* borrowed */
};

struct upgrade_attempt;

/* Embedded by its owner. */
struct upgrade {
	struct upgrade_hooks hooks;
	uv_loop_t *loop;
	char *program;     /* absolute path of what is started, as it was found at our own start; NULL: it was not */
	char *folder;      /* where we were started */
	char *const *argv; /* borrowed */
	int predecessor;   /* who waits for us to get ready; -1: nobody */
	pid_t predecessor_pid; /* 0: there was none */
	struct upgrade_attempt *attempt;
};

/* Note how this process was started: `argv` (borrowed) and the current folder. To be called before either changes. */
void upgrade_init(struct upgrade *upgrade, char *const *argv);

/* The sockets that this process was started with, by its predecessor or by the service manager (listener_inherit.h).
 * Takes the words for it out of the environment. Empty sets where there are none. 0, or -1 with `error`. */
int upgrade_inherit(struct upgrade *upgrade, struct listener_set *inherited, struct listener_set *passed,
                    struct error *error) MUST_CHECK;

/* Everything that can fail is done: tell the predecessor, and wait until it lets us go. At once where there is none; if
 * it dies meanwhile, we go. 0, or -1 with `error`: it does not let us, and this process has to end. */
int upgrade_take_over(struct upgrade *upgrade, struct error *error) MUST_CHECK;

/* Start the program again, with the sockets of both sets (borrowed; nothing happens to them). One of the hooks done and
 * failed is called later, from the loop; failed at the latest after `deadline_ms`. The process id; or -1 with `error`:
 * an attempt is under way already, or nothing could be started. */
pid_t upgrade_start(struct upgrade *upgrade, const struct listener_set *set, const struct listener_set *passed,
                    uint64_t deadline_ms, struct error *error) MUST_CHECK;

/* Is a new process being waited for? */
bool upgrade_is_running(const struct upgrade *upgrade);

/* End an attempt, and its process; no hook is called. Nothing where there is none. */
void upgrade_cancel(struct upgrade *upgrade);

/* Cancel, and free what upgrade_init took. The loop has to turn once more, and be closed after that. */
void upgrade_close(struct upgrade *upgrade);

#endif
