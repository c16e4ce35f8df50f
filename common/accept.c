/* How a worker takes connections: in batches, within the limits, and past a lack of descriptors. */
#include "accept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#define BATCH 64 /* connections accepted in one turn from one socket */
#define BACKLOG_MOST \
	4096             /* the same from one that is about to be closed: clients that keep coming cannot hold it open */
#define PAUSE_MS 100 /* without descriptors: before accepting again */

/* A listening socket being watched. */
struct door {
	struct watch watch;
	struct accepting *accepting;
	struct snapshot *snapshot; /* one reference */
	size_t listener;
	int fd;      /* owned */
	bool shared; /* other workers accept from the same socket */
	bool local;  /* a unix socket */
	struct door *next;
};

static void on_pause_over(uv_timer_t *timer);

static struct poller *poller_of(const struct accepting *accepting)
{
	return iocontext_poller(accepting->host->io);
}

static void say_not_accepted(struct accepting *accepting, const char *why)
{
	uint64_t count = complaint_due(&accepting->not_accepted, uv_now(accepting->loop));
	struct logline line;

	if (count == 0)
		return;
	log_begin(&line, MESSAGE_ACCEPT_FAILED, NULL);
	log_text(&line, "detail", why);
	log_number(&line, "count", count);
	log_end(&line);
}

static void reset_and_close(int fd)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Who is at the other end of a unix socket: the kernel knows, whatever name that end has. */
static void identify_local(int fd, union socket_address *remote)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
		socket_set_credentials(remote, peer.uid, (unsigned long)peer.pid);
}

/* Hand one connection over, or turn it away. */
static void start_session(struct door *door, int fd, const union socket_address *remote)
{
	struct accepting *accepting = door->accepting;
	struct source_key source;
	struct admission_who who = {.source = &source, .remote = remote, .now_ms = uv_now(accepting->loop)};
	enum quota_verdict verdict;

	(void)atomic_fetch_add_explicit(&accepting->accepted, 1, memory_order_relaxed);
	quota_key_of(&door->snapshot->config->listeners[door->listener].proxy_from, remote, &source);
	verdict = admission_enter(&accepting->host->admission, &who);
	if (verdict == QUOTA_CLOSE) {
		reset_and_close(fd);
		return;
	}
	if (session_start(accepting->host, door->snapshot, door->listener, fd, remote, verdict) == 0)
		return;
	quota_leave(accepting->host->admission.quota, &source, verdict);
	reset_and_close(fd);
	say_not_accepted(accepting, "no memory or descriptors for a session");
}

static int open_reserve(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Nothing more comes from it until it is opened. */
static void close_door(struct door *door)
{
	(void)poller_change(poller_of(door->accepting), &door->watch, 0);
}

static void pause_accepting(struct accepting *accepting)
{
	for (struct door *door = accepting->doors; door != NULL; door = door->next)
		close_door(door);
	if (!accepting->closing)
		(void)uv_timer_start(&accepting->pause, on_pause_over, PAUSE_MS, 0);
}

/* No descriptor is left: give up the reserve to turn one away, and let the others wait for a moment. */
static void out_of_descriptors(struct door *door, int error)
{
	struct accepting *accepting = door->accepting;
	int fd;

	say_not_accepted(accepting, strerrordesc_np(error));
	if (accepting->reserve >= 0) {
		close(accepting->reserve);
		fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			(void)atomic_fetch_add_explicit(&accepting->accepted, 1, memory_order_relaxed);
			reset_and_close(fd);
		}
		accepting->reserve = open_reserve();
	}
	pause_accepting(accepting);
}

/* Accept up to `most` connections. */
static void accept_some(struct door *door, int most)
{
	for (int i = 0; i < most; i++) {
		union socket_address remote;
		socklen_t size = sizeof(remote);
		int fd;

		memset(&remote, 0, sizeof(remote));
		fd = accept4(door->fd, &remote.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			if (door->local)
				identify_local(fd, &remote);
			start_session(door, fd, &remote);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			out_of_descriptors(door, errno);
			return;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			return;
		}
		/* Anything else is the fault of the one connection: it is gone, the next may be fine. */
	}
}

static void on_connection(struct watch *watch, uint32_t events)
{
	struct door *door = OWNER_OF(watch, struct door, watch);

	/* An error of the socket may pass. */
	if (events & (EPOLLERR | EPOLLHUP))
		pause_accepting(door->accepting);
	else
		accept_some(door, BATCH);
}

/* A connection to a socket that several wait for wakes one of them. */
static bool open_door(struct door *door)
{
	if (door->shared)
		return poller_exclusive(poller_of(door->accepting), &door->watch);
	return poller_change(poller_of(door->accepting), &door->watch, EPOLLIN);
}

/* The kernel may lack memory for it: a door that stays closed would never be heard of again. */
static void open_doors(struct accepting *accepting)
{
	bool open = true;

	for (struct door *door = accepting->doors; door != NULL; door = door->next)
		open = open_door(door) && open;
	if (!open && !accepting->closing)
		(void)uv_timer_start(&accepting->pause, on_pause_over, PAUSE_MS, 0);
}

static void on_pause_over(uv_timer_t *timer)
{
	struct accepting *accepting = timer->data;

	/* Another thread may have taken its place when it was given up. */
	if (accepting->reserve < 0)
		accepting->reserve = open_reserve();
	open_doors(accepting);
}

static void free_door(struct watch *watch)
{
	struct door *door = OWNER_OF(watch, struct door, watch);

	snapshot_leave(door->snapshot, door->accepting->host->number);
	free(door);
}

static void close_doors(struct door *door, bool serve)
{
	struct door *next;

	for (; door != NULL; door = next) {
		next = door->next;
		/* Other descriptors of the same socket live on: the listener's own, and the next snapshot's. Where one of
		 * several is woken, this must be the one no more before the last look: or what comes between would wake nobody.
		 */
		poller_retire(poller_of(door->accepting), &door->watch, free_door);
		if (serve)
			accept_some(door, BACKLOG_MOST);
		close(door->fd);
	}
}

static struct door *make_door(struct accepting *accepting, int fd)
{
	struct door *door = calloc(1, sizeof(*door));
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (door != NULL)
		door->watch.event = on_connection;
	if (door == NULL || copy < 0 || poller_add(poller_of(accepting), &door->watch, copy, 0) != 0) {
		if (copy >= 0)
			close(copy);
		free(door);
		return NULL;
	}
	door->accepting = accepting;
	door->fd = copy;
	return door;
}

void accept_init(struct accepting *accepting, uv_loop_t *loop, struct session_host *host)
{
	memset(accepting, 0, sizeof(*accepting));
	accepting->loop = loop;
	accepting->host = host;
	atomic_init(&accepting->accepted, 0);
	(void)uv_timer_init(loop, &accepting->pause);
	accepting->pause.data = accepting;
	accepting->reserve = open_reserve();
}

/* Doors for those sockets of listener number `at` that this worker serves. */
static int prepare_listener(struct accepting *accepting, struct snapshot *snapshot, const struct listener_set *set,
                            size_t at)
{
	const struct listener *listener = &set->at[at];
	unsigned worker = accepting->host->number;

	for (unsigned i = 0; i < listener->sockets; i++) {
		struct door *door;

		if (!listener_serves(listener, worker, set->workers, i))
			continue;
		door = make_door(accepting, listener->fds[i]);
		if (door == NULL)
			return -1;
		door->snapshot = snapshot_use(snapshot, worker);
		door->listener = set->owner[at];
		door->shared = listener_is_shared(listener, set->workers);
		door->local = listener->bound.any.sa_family == AF_UNIX;
		door->next = accepting->prepared;
		accepting->prepared = door;
	}
	return 0;
}

int accept_prepare(struct accepting *accepting, struct snapshot *snapshot, const struct listener_set *listeners)
{
	for (size_t i = 0; i < listeners->count; i++) {
		if (prepare_listener(accepting, snapshot, listeners, i) == 0)
			continue;
		accept_forget(accepting);
		return -1;
	}
	return 0;
}

void accept_use(struct accepting *accepting)
{
	struct door *old = accepting->doors;

	accepting->doors = accepting->prepared;
	accepting->prepared = NULL;
	open_doors(accepting);
	close_doors(old, true);
}

void accept_forget(struct accepting *accepting)
{
	struct door *doors = accepting->prepared;

	accepting->prepared = NULL;
	close_doors(doors, false);
}

void accept_close(struct accepting *accepting)
{
	accepting->closing = true;
	accept_forget(accepting);
	accept_use(accepting);
	uv_close((uv_handle_t *)&accepting->pause, NULL);
	if (accepting->reserve >= 0)
		close(accepting->reserve);
	accepting->reserve = -1;
}

uint64_t accept_count(const struct accepting *accepting)
{
	/* C11's atomic_load wants no const. */
	struct accepting *counted = (struct accepting *)(uintptr_t)accepting;

	return atomic_load_explicit(&counted->accepted, memory_order_relaxed);
}
