/*
 * Host names to addresses by getaddrinfo, which blocks, and cannot be broken off. So it runs in threads of its own,
 * never more than one for a name: all who want a name that is being looked up wait for that one look-up. A name whose
 * server is silent holds up its own waiters and nobody else, as long as there are fewer such names than LOOKUP_THREADS.
 * Who waits may leave at any moment, and so may the process end: the threads are detached and touch nothing but what is
 * theirs. Any thread.
 */
#ifndef LOOKUP_H
#define LOOKUP_H

#include <netdb.h>

#include "compiler.h"
#include "text.h"

#define LOOKUP_THREADS 16 /* names beyond that wait until one of them is answered */

struct lookup;

/* One who waits, embedded in its owner, zeroed at first. */
struct lookup_waiter {
	/* The answer is there. Called once, on another thread and under the lock of all look-ups, maybe before lookup_join
	 * has returned: it may wake somebody up, and nothing else. */
	void (*answered)(struct lookup_waiter *waiter);
	struct lookup *lookup; /* from here on lookup.c's; NULL: waits for nothing */
	struct lookup_waiter *next, *previous;
};

/* Wait for the addresses of `host` for TCP, with a look-up that runs or waits already, or with one of its own. Threads
 * are started when they are needed (thread_start: all signals blocked, no capability) and end when nothing was wanted
 * for a few seconds. 0; or -1 with `error` and nothing to leave: no memory, or no thread. */
int lookup_join(struct lookup_waiter *waiter, const char *host, struct error *error) MUST_CHECK;

/* After `answered`: what was found; or NULL with the system's word for the fault in `error` (static). Until
 * lookup_leave. */
const struct addrinfo *lookup_answer(const struct lookup_waiter *waiter, const char **error);

/* Wait no more: `answered` is not called from now on, nor running. A look-up that nobody waits for any more is not
 * begun; one that runs goes on, and whoever wants the name meanwhile gets its answer. Who waits for nothing may leave
 * too. */
void lookup_leave(struct lookup_waiter *waiter);

#endif
