/*
 * What a service manager (systemd, through libsystemd) is told: that we are ready, reload, stop, how it goes, and that
 * all threads are alive. Where no manager asks to be told (NOTIFY_SOCKET is not set), nothing happens. Main thread
 * only. A manager that does not read is not waited for (save a second for MAINPID): what it missed is told with a later
 * status.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "text.h"

struct service_hooks {
	/* Append to `text` how it goes, one line without its end: the manager shows it. */
	void (*describe)(void *context, struct text *text);
	/* Has every thread answered since this was asked last? Then ask them again. Never waits. */
	bool (*alive)(void *context);
	void *context; /* borrowed */
};

/* Embedded by its owner, who closes the two timers with the loop. */
struct service {
	struct service_hooks hooks;
	uv_timer_t status_timer, watchdog_timer;
	bool told;        /* somebody wants to be told */
	bool unheard;     /* and could not; it was logged */
	bool silent;      /* a successor speaks now */
	bool owed;        /* it did not read, and missed something */
	bool stopping;
	uint64_t watchdog_usec; /* the manager's patience; 0: no watchdog */
	char status[256]; /* what was said last */
};

/* Zero the structure and make its timers. Takes note of the environment, and removes WATCHDOG_PID from it, so that a
 * program started in our place takes over the watchdog: to be called before other threads start. */
void service_init(struct service *service, uv_loop_t *loop, const struct service_hooks *hooks);

/* Everything listens and runs: READY=1, the status (again every SERVICE_STATUS_MS where it has changed), and from now
 * on WATCHDOG=1 while `alive` says so, where the manager has a watchdog. */
#define SERVICE_STATUS_MS 10000
void service_ready(struct service *service);

/* A reload begins (RELOADING=1). It ends with service_reloaded in any case: the old configuration is one to serve by.
 */
void service_reloading(struct service *service);
void service_reloaded(struct service *service);

/* The end has begun, and takes `most_ms` at most: STOPPING=1; a stop timeout of the manager that is shorter is
 * extended. */
void service_stopping(struct service *service, uint64_t most_ms);

/* Another process has taken over (MAINPID=): nothing is said from here any more. */
void service_successor(struct service *service, pid_t pid);

/* It has not, after all: this process is the one to be heard (MAINPID=), as before. Nothing where no other was named.
 */
void service_stays(struct service *service);

#endif
