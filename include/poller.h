/*
 * How the descriptors of one worker are waited for: an epoll instance of our own, with libuv's loop as one of its
 * descriptors (the way that libuv's uv_backend_fd is made for). Timers, signals and wake-ups between threads
 * stay libuv's. Sockets do not: uv_poll registers each descriptor five times where once is enough, which a handshake
 * and a round trip feel (docs/performance.md). One thread only.
 */
#ifndef POLLER_H
#define POLLER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <uv.h>

#include "compiler.h"

struct poller;

/* A descriptor being watched, embedded in its owner; only poller.c looks inside after poller_add. */
struct watch {
	void (*event)(struct watch *watch, uint32_t events); /* EPOLLIN, ...; it may retire any watch, its own too */
	void (*release)(struct watch *watch);
	struct watch *next_retired;
	int fd;
	bool retired, exclusive;
};

/* Around `loop` (borrowed; must outlive). NULL without memory or descriptors. */
struct poller *poller_new(uv_loop_t *loop) MUST_CHECK;

/* Nothing may be watched any more. NULL does nothing. */
void poller_free(struct poller *poller);

/* Watch `fd` for `events` (epoll_ctl(2); EPOLLET for edges). 0 or -1 with errno. */
int poller_add(struct poller *poller, struct watch *watch, int fd, uint32_t events) MUST_CHECK;

/* Watch for other events from now on. False: as before, for want of memory (only where it was watched exclusively, as
 * far as Linux is known). */
bool poller_change(struct poller *poller, struct watch *watch, uint32_t events);

/* Watch for EPOLLIN from now on; where several instances watch one listening socket so, a connection wakes one of them.
 * After that only poller_change to 0, this again, and poller_retire. Where the kernel has no memory for it, it is
 * watched in the usual way. False: nor for that; it is not watched until this is called again. */
bool poller_exclusive(struct poller *poller, struct watch *watch);

/* No event comes any more; `release` is called when the turn ends (events at hand may still point to the watch). The
 * caller closes the descriptor now. */
void poller_retire(struct poller *poller, struct watch *watch, void (*release)(struct watch *watch));

/* Wait for events (at most `most_ms` milliseconds, -1: as long as libuv's timers allow) and call them; then libuv's, if
 * it has any; then release what was retired. */
void poller_turn(struct poller *poller, int most_ms);

/* Is anything watched, or active in libuv's loop? */
bool poller_alive(const struct poller *poller);

#endif
