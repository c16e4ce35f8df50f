/* One thread with its loop: accepts, starts sessions, takes commands from the main thread. */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "iocontext.h"
#include "log.h"
#include "session.h"

#define BATCH 64              /* connections accepted in one turn from one socket */
#define PAUSE_MS 100          /* without descriptors: before accepting again */
#define COMPLAIN_MS 60000     /* one line a minute of the same trouble */

/* A listening socket being watched. */
struct door {
	uv_poll_t poll;
	struct worker *worker;
	struct snapshot *snapshot; /* one reference */
	size_t listener;
	int fd;
	bool closing;
	struct door *next;
};

enum command { COMMAND_NONE, COMMAND_USE, COMMAND_DRAIN, COMMAND_CUT, COMMAND_STOP };

struct worker {
	unsigned number;
	struct worker_shared shared;
	pthread_t thread;
	uv_loop_t loop;
	uv_async_t wake;
	uv_timer_t pause; /* accepting again after descriptors ran out */
	uv_prepare_t turn; /* the log is flushed before the loop may sleep */
	struct iocontext *io;
	struct session_host host;
	struct door *doors;
	int reserve; /* a descriptor to give up when there are none left */
	uint64_t complained_ms;
	bool draining, drained, stopping;
	/* The command at hand; the main thread gives one at a time and waits until it was taken. */
	pthread_mutex_t lock;
	pthread_cond_t taken;
	enum command command;
	struct snapshot *new_snapshot;
	const struct listener_set *new_listeners;
};

static bool may_complain(struct worker *worker)
{
	uint64_t now_ms = uv_now(&worker->loop) + 1;

	if (worker->complained_ms != 0 && now_ms - worker->complained_ms < COMPLAIN_MS)
		return false;
	worker->complained_ms = now_ms;
	return true;
}

static void reset_and_close(int fd)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Hand one connection over, or turn it away. */
static void start_session(struct door *door, int fd, const union socket_address *remote)
{
	struct worker *worker = door->worker;
	struct source_key source;
	enum quota_verdict verdict;

	source_key_of(remote, &source);
	verdict = quota_enter(worker->shared.quota, &source);
	if (verdict != QUOTA_OK && may_complain(worker))
		log_say(MESSAGE_LIMIT_REACHED, "connections=%llu", (unsigned long long)quota_count(worker->shared.quota));
	if (verdict == QUOTA_CLOSE) {
		reset_and_close(fd);
		return;
	}
	if (session_start(&worker->host, door->snapshot, door->listener, fd, remote, verdict) == 0)
		return;
	quota_leave(worker->shared.quota, &source, verdict);
	reset_and_close(fd);
	if (may_complain(worker))
		log_say(MESSAGE_ACCEPT_FAILED, "no memory or descriptors for a session");
}

static void on_pause_over(uv_timer_t *timer);
static void open_door(struct door *door);

/* No descriptor is left: give up the reserve to turn one away, and let the others wait for a moment. */
static void out_of_descriptors(struct door *door, int error)
{
	struct worker *worker = door->worker;
	int fd;

	if (may_complain(worker))
		log_say(MESSAGE_ACCEPT_FAILED, "%s", strerrordesc_np(error));
	if (worker->reserve >= 0) {
		close(worker->reserve);
		fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			reset_and_close(fd);
		worker->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	for (struct door *each = worker->doors; each != NULL; each = each->next)
		(void)uv_poll_stop(&each->poll);
	if (!worker->stopping)
		(void)uv_timer_start(&worker->pause, on_pause_over, PAUSE_MS, 0);
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

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct door *door = poll->data;

	(void)events;
	if (door->closing)
		return;
	if (status < 0) {
		open_door(door);
		return;
	}
	accept_some(door, BATCH);
}

static void open_door(struct door *door)
{
	(void)uv_poll_start(&door->poll, UV_READABLE, on_connection);
}

static void on_pause_over(uv_timer_t *timer)
{
	struct worker *worker = OWNER_OF(timer, struct worker, pause);

	for (struct door *door = worker->doors; door != NULL; door = door->next)
		open_door(door);
}

static void door_closed(uv_handle_t *handle)
{
	struct door *door = handle->data;

	snapshot_leave(door->snapshot, door->worker->number);
	free(door);
}

/* What waits in the backlog is still served: by the snapshot that it connected to. */
static void close_doors(struct door *door)
{
	struct door *next;

	for (; door != NULL; door = next) {
		next = door->next;
		accept_some(door, 4096);
		door->closing = true;
		uv_close((uv_handle_t *)&door->poll, door_closed);
		close(door->fd);
	}
}

static struct door *make_door(struct worker *worker, struct snapshot *snapshot, size_t listener, int fd)
{
	struct door *door = calloc(1, sizeof(*door));
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (door == NULL || copy < 0 || uv_poll_init(&worker->loop, &door->poll, copy) != 0) {
		if (copy >= 0)
			close(copy);
		free(door);
		log_say(MESSAGE_ACCEPT_FAILED, "a listening socket cannot be watched");
		return NULL;
	}
	door->poll.data = door;
	door->worker = worker;
	door->snapshot = snapshot_use(snapshot, worker->number);
	door->listener = listener;
	door->fd = copy;
	return door;
}

static void use(struct worker *worker, struct snapshot *snapshot, const struct listener_set *listeners)
{
	struct door *old = worker->doors;

	worker->doors = NULL;
	for (size_t i = 0; i < listeners->count; i++) {
		struct door *door =
		    make_door(worker, snapshot, listeners->owner[i], listeners->at[i].fds[worker->number]);

		if (door == NULL)
			continue;
		door->next = worker->doors;
		worker->doors = door;
		open_door(door);
	}
	close_doors(old);
}

static void say_drained(struct worker *worker)
{
	if (!worker->draining || worker->drained || worker->host.count > 0)
		return;
	worker->drained = true;
	worker->shared.drained(worker->shared.context);
}

static void on_emptied(struct session_host *host)
{
	say_drained(OWNER_OF(host, struct worker, host));
}

static void drain(struct worker *worker)
{
	struct door *old = worker->doors;

	worker->draining = true;
	session_drain(&worker->host);
	worker->doors = NULL;
	(void)uv_timer_stop(&worker->pause);
	close_doors(old);
	say_drained(worker);
}

static void close_handles(struct worker *worker)
{
	struct door *old = worker->doors;

	worker->stopping = true;
	worker->doors = NULL;
	session_drain(&worker->host);
	close_doors(old);
	session_end_all(&worker->host, REASON_DRAIN_EXPIRED);
	uv_close((uv_handle_t *)&worker->wake, NULL);
	uv_close((uv_handle_t *)&worker->pause, NULL);
	uv_close((uv_handle_t *)&worker->turn, NULL);
	iocontext_close(worker->io);
}

static void obey(struct worker *worker, enum command command)
{
	switch (command) {
	case COMMAND_USE:
		use(worker, worker->new_snapshot, worker->new_listeners);
		break;
	case COMMAND_DRAIN:
		drain(worker);
		break;
	case COMMAND_CUT:
		session_end_all(&worker->host, REASON_DRAIN_EXPIRED);
		break;
	case COMMAND_STOP:
		close_handles(worker);
		break;
	default:
		break;
	}
}

static void on_wake(uv_async_t *wake)
{
	struct worker *worker = wake->data;
	enum command command;

	(void)pthread_mutex_lock(&worker->lock);
	command = worker->command;
	if (command != COMMAND_NONE)
		obey(worker, command);
	worker->command = COMMAND_NONE;
	(void)pthread_cond_signal(&worker->taken);
	(void)pthread_mutex_unlock(&worker->lock);
}

/* Give a command and wait until it was taken. Main thread only. */
static void give(struct worker *worker, enum command command)
{
	(void)pthread_mutex_lock(&worker->lock);
	worker->command = command;
	(void)uv_async_send(&worker->wake);
	while (worker->command != COMMAND_NONE)
		(void)pthread_cond_wait(&worker->taken, &worker->lock);
	(void)pthread_mutex_unlock(&worker->lock);
}

static void end_of_turn(uv_prepare_t *turn)
{
	(void)turn;
	log_flush();
}

static void *run(void *argument)
{
	struct worker *worker = argument;
	char name[16];

	(void)snprintf(name, sizeof(name), "worker %u", worker->number % 1000);
	(void)pthread_setname_np(pthread_self(), name);
	(void)uv_run(&worker->loop, UV_RUN_DEFAULT);
	log_flush();
	return NULL;
}

static int start_thread(struct worker *worker, struct error *error)
{
	int result = pthread_create(&worker->thread, NULL, run, worker);

	return result == 0 ? 0 : error_set(error, "cannot start a thread: %s", strerrordesc_np(result));
}

static int open_loop(struct worker *worker, struct error *error)
{
	if (uv_loop_init(&worker->loop) != 0)
		return error_set(error, "cannot make an event loop: raise the limit of open files");
	worker->io = iocontext_new(&worker->loop, error);
	if (worker->io == NULL || uv_async_init(&worker->loop, &worker->wake, on_wake) != 0)
		return error_set(error, "cannot make an event loop: not enough memory or descriptors");
	worker->wake.data = worker;
	(void)uv_timer_init(&worker->loop, &worker->pause);
	(void)uv_prepare_init(&worker->loop, &worker->turn);
	(void)uv_prepare_start(&worker->turn, end_of_turn);
	return 0;
}

struct worker *worker_start(unsigned number, const struct worker_shared *shared, struct error *error)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (worker == NULL) {
		error_set(error, "not enough memory");
		return NULL;
	}
	worker->number = number;
	worker->shared = *shared;
	(void)pthread_mutex_init(&worker->lock, NULL);
	(void)pthread_cond_init(&worker->taken, NULL);
	worker->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (open_loop(worker, error) != 0)
		goto err;
	worker->host = (struct session_host){.io = worker->io,
	                                     .number = number,
	                                     .quota = shared->quota,
	                                     .ratchet = shared->ratchet,
	                                     .noise = shared->noise,
	                                     .emptied = on_emptied};
	if (start_thread(worker, error) == 0)
		return worker;
err:
	/* The program ends: what the loop holds goes with it. */
	free(worker);
	return NULL;
}

void worker_use(struct worker *worker, struct snapshot *snapshot, const struct listener_set *listeners)
{
	worker->new_snapshot = snapshot;
	worker->new_listeners = listeners;
	give(worker, COMMAND_USE);
}

void worker_drain(struct worker *worker)
{
	give(worker, COMMAND_DRAIN);
}

void worker_cut(struct worker *worker)
{
	give(worker, COMMAND_CUT);
}

void worker_stop(struct worker *worker)
{
	if (worker == NULL)
		return;
	give(worker, COMMAND_STOP);
	(void)pthread_join(worker->thread, NULL);
	(void)uv_loop_close(&worker->loop);
	if (worker->reserve >= 0)
		close(worker->reserve);
	(void)pthread_cond_destroy(&worker->taken);
	(void)pthread_mutex_destroy(&worker->lock);
	free(worker);
}
