/* An epoll instance around libuv's loop. */
#include "poller.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define EVENTS 256 /* taken with one call */

struct poller {
	uv_loop_t *loop;
	int epoll;
	bool libuv_due; /* its descriptor has something */
	struct watch libuv;
	struct watch *retired;
	unsigned long watched;
	struct epoll_event events[EVENTS];
};

static void libuv_event(struct watch *watch, uint32_t events)
{
	struct poller *poller = OWNER_OF(watch, struct poller, libuv);

	(void)events;
	poller->libuv_due = true;
}

static int control(struct poller *poller, int operation, struct watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	return epoll_ctl(poller->epoll, operation, watch->fd, &event);
}

struct poller *poller_new(uv_loop_t *loop)
{
	struct poller *poller = calloc(1, sizeof(*poller));

	if (poller == NULL)
		return NULL;
	poller->loop = loop;
	poller->epoll = epoll_create1(EPOLL_CLOEXEC);
	poller->libuv.event = libuv_event;
	/* The first turn lets libuv register what was started before. */
	poller->libuv_due = true;
	if (poller->epoll >= 0 && poller_add(poller, &poller->libuv, uv_backend_fd(loop), EPOLLIN) == 0) {
		poller->watched = 0; /* libuv's own is always there: it keeps nothing alive */
		return poller;
	}
	poller_free(poller);
	return NULL;
}

static void release_retired(struct poller *poller)
{
	while (poller->retired != NULL) {
		struct watch *watch = poller->retired;

		poller->retired = watch->next_retired;
		watch->release(watch);
	}
}

void poller_free(struct poller *poller)
{
	if (poller == NULL)
		return;
	release_retired(poller);
	if (poller->epoll >= 0)
		close(poller->epoll);
	free(poller);
}

int poller_add(struct poller *poller, struct watch *watch, int fd, uint32_t events)
{
	watch->fd = fd;
	if (control(poller, EPOLL_CTL_ADD, watch, events) != 0)
		return -1;
	poller->watched++;
	return 0;
}

bool poller_change(struct poller *poller, struct watch *watch, uint32_t events)
{
	bool again = watch->exclusive;

	if (again)
		(void)control(poller, EPOLL_CTL_DEL, watch, 0);
	watch->exclusive = false;
	return control(poller, again ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, watch, events) == 0;
}

/* An exclusive registration cannot be changed, only made anew. */
bool poller_exclusive(struct poller *poller, struct watch *watch)
{
	(void)control(poller, EPOLL_CTL_DEL, watch, 0);
	watch->exclusive = true;
	return control(poller, EPOLL_CTL_ADD, watch, EPOLLIN | EPOLLEXCLUSIVE) == 0 ||
	       control(poller, EPOLL_CTL_ADD, watch, EPOLLIN) == 0;
}

/* The close alone does not always end the registration, and then events come for memory that is gone: another
 * descriptor of the same socket may be open, ours or, for a moment, that of a process that was forked and has not
 * become its program yet. */
void poller_retire(struct poller *poller, struct watch *watch, void (*release)(struct watch *watch))
{
	(void)control(poller, EPOLL_CTL_DEL, watch, 0);
	watch->retired = true;
	watch->release = release;
	watch->next_retired = poller->retired;
	poller->retired = watch;
	poller->watched--;
}

/* How long to wait, in milliseconds; -1: until something comes. */
static int timeout_of(const struct poller *poller, int most_ms)
{
	int timeout = uv_loop_alive(poller->loop) ? uv_backend_timeout(poller->loop) : -1;

	if (poller->libuv_due || poller->retired != NULL)
		return 0;
	return timeout < 0 || (most_ms >= 0 && most_ms < timeout) ? most_ms : timeout;
}

void poller_turn(struct poller *poller, int most_ms)
{
	int timeout = poller_alive(poller) ? timeout_of(poller, most_ms) : 0;
	int count = epoll_wait(poller->epoll, poller->events, EVENTS, timeout);

	uv_update_time(poller->loop);
	for (int i = 0; i < count; i++) {
		struct watch *watch = poller->events[i].data.ptr;

		if (!watch->retired)
			watch->event(watch, poller->events[i].events);
	}
	/* A timer that is due, or a handle being closed, makes no event. */
	if (poller->libuv_due || (uv_loop_alive(poller->loop) && uv_backend_timeout(poller->loop) == 0)) {
		poller->libuv_due = false;
		(void)uv_run(poller->loop, UV_RUN_NOWAIT);
	}
	release_retired(poller);
}

bool poller_alive(const struct poller *poller)
{
	return poller->watched > 0 || poller->retired != NULL || uv_loop_alive(poller->loop) != 0;
}
