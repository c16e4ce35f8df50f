/* One thread with its loop: carries sessions, takes commands from the main thread. */
#include "worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "accept.h"
#include "health.h"
#include "iocontext.h"
#include "log.h"
#include "privileges.h"
#include "session.h"

enum command {
	COMMAND_NONE,
	COMMAND_PREPARE,
	COMMAND_USE,
	COMMAND_FORGET,
	COMMAND_DRAIN,
	COMMAND_RETIRE,
	COMMAND_CUT,
	COMMAND_STOP,
	COMMAND_VIEW,
	COMMAND_END,
	COMMAND_END_PEER,
	COMMAND_PING,
	COMMAND_PING_CANCEL
};

struct worker {
	unsigned number;
	struct worker_shared shared;
	pthread_t thread;
	uv_loop_t loop;
	uv_async_t wake;
	struct iocontext *io;
	struct session_host host;
	struct accepting accepting;
	struct health *ping;   /* asked by the operator; NULL: none */
	struct health *health; /* of worker 0 alone; NULL: nobody is asked */
	bool draining, drained, stopping;
	atomic_uint asked, answered; /* is it alive? */
	atomic_ullong seen_ns;       /* when it came by last */
	uint64_t called_ns;          /* when it was asked to; main thread */
	/* The command at hand; the main thread gives one at a time and waits until it was taken. */
	pthread_mutex_t lock;
	pthread_cond_t taken;
	enum command command;
	struct snapshot *new_snapshot;
	const struct listener_set *new_listeners;
	int result;
	struct { /* COMMAND_VIEW */
		uint64_t before;
		struct session_view *at;
		size_t count; /* room, and then how many there are */
	} view;
	const uint8_t *ended; /* COMMAND_END */
	const struct target_memory *memory; /* COMMAND_END_PEER */
	size_t count;                       /* and how many have ended */
	struct worker_ping asked_ping;      /* COMMAND_PING */
};

static void say_drained(struct worker *worker)
{
	if (!worker->draining || worker->drained || worker->stopping || worker->host.count > 0)
		return;
	worker->drained = true;
	worker->shared.drained(worker->shared.context);
}

static void on_emptied(struct session_host *host)
{
	say_drained(OWNER_OF(host, struct worker, host));
}

static void stop_health(struct worker *worker)
{
	health_stop(worker->health);
	worker->health = NULL;
}

static void stop_ping(struct worker *worker)
{
	health_stop(worker->ping);
	worker->ping = NULL;
}

static void on_ping(void *owner, const struct health_answer *answer)
{
	struct worker *worker = owner;

	worker->ping = NULL;
	worker->asked_ping.done(worker->asked_ping.owner, answer);
}

/* Who has asked waits for an answer still. */
static void break_ping(struct worker *worker)
{
	static const struct health_answer answer = {.reason = REASON_SHUTTING_DOWN, .detail = "", .sysid = ""};

	if (worker->ping == NULL)
		return;
	stop_ping(worker);
	worker->asked_ping.done(worker->asked_ping.owner, &answer);
}

static int start_ping(struct worker *worker)
{
	const struct worker_ping *ping = &worker->asked_ping;
	struct health_question question = {.io = worker->io,
	                                   .snapshot = ping->snapshot,
	                                   .worker = worker->number,
	                                   .ratchet = worker->shared.peer_ratchet,
	                                   .peer_number = ping->peer_number,
	                                   .address = ping->address};

	worker->ping = health_once(&question, on_ping, worker);
	return worker->ping != NULL ? 0 : -1;
}

/* One worker asks peers for their health; what it finds, all know. */
static void use(struct worker *worker)
{
	accept_use(&worker->accepting);
	stop_health(worker);
	if (worker->number == 0)
		worker->health = health_start(worker->io, worker->new_snapshot, worker->number, worker->shared.peer_ratchet);
}

/* What is in the backlog gets its REFUSE, as session_drain came first. */
static void drain(struct worker *worker)
{
	worker->draining = true;
	stop_health(worker);
	break_ping(worker);
	session_drain(&worker->host);
	accept_use(&worker->accepting);
	say_drained(worker);
}

/* What is in the backlog is served: whoever was woken for it (EPOLLEXCLUSIVE) must not leave it. */
static void retire(struct worker *worker)
{
	worker->draining = true;
	stop_health(worker);
	accept_use(&worker->accepting);
	say_drained(worker);
}

static void close_handles(struct worker *worker)
{
	worker->stopping = true;
	stop_health(worker);
	stop_ping(worker);
	session_drain(&worker->host);
	accept_close(&worker->accepting);
	session_end_all(&worker->host, REASON_DRAIN_EXPIRED);
	uv_close((uv_handle_t *)&worker->wake, NULL);
}

static void obey(struct worker *worker, enum command command)
{
	switch (command) {
	case COMMAND_PREPARE:
		worker->result = accept_prepare(&worker->accepting, worker->new_snapshot, worker->new_listeners);
		break;
	case COMMAND_USE:
		use(worker);
		break;
	case COMMAND_FORGET:
		accept_forget(&worker->accepting);
		break;
	case COMMAND_DRAIN:
		drain(worker);
		break;
	case COMMAND_RETIRE:
		retire(worker);
		break;
	case COMMAND_CUT:
		session_end_all(&worker->host, REASON_DRAIN_EXPIRED);
		break;
	case COMMAND_VIEW:
		worker->view.count =
		    session_view_slice(&worker->host, worker->view.before, worker->view.at, worker->view.count);
		break;
	case COMMAND_END:
		worker->result = session_view_end(&worker->host, worker->ended, REASON_OPERATOR, "") ? 0 : -1;
		break;
	case COMMAND_END_PEER:
		worker->count = session_end_peer(&worker->host, worker->memory);
		health_cut(worker->health, worker->memory);
		break;
	case COMMAND_PING:
		worker->result = start_ping(worker);
		break;
	case COMMAND_PING_CANCEL:
		stop_ping(worker);
		break;
	case COMMAND_STOP:
		close_handles(worker);
		break;
	case COMMAND_NONE:
		break;
	}
}

static void on_wake(uv_async_t *wake)
{
	struct worker *worker = wake->data;

	atomic_store(&worker->answered, atomic_load(&worker->asked));
	atomic_store_explicit(&worker->seen_ns, uv_hrtime(), memory_order_relaxed);
	(void)pthread_mutex_lock(&worker->lock);
	obey(worker, worker->command);
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

static void *run(void *argument)
{
	struct worker *worker = argument;
	char name[16];

	(void)snprintf(name, sizeof(name), "worker %u", worker->number % 1000);
	(void)pthread_setname_np(pthread_self(), name);
	privileges_drop_thread();
	while (iocontext_turn(worker->io, log_delay_ms()))
		log_flush_due();
	log_flush();
	return NULL;
}

static int start_thread(struct worker *worker, struct error *error)
{
	int result = pthread_create(&worker->thread, NULL, run, worker);

	return result == 0 ? 0 : error_set(error, "cannot start a thread: %s", strerrordesc_np(result));
}

static int open_handles(struct worker *worker, struct error *error)
{
	worker->io = iocontext_new(&worker->loop, error);
	if (worker->io != NULL)
		iocontext_use_budget(worker->io, worker->shared.budget);
	if (worker->io == NULL || uv_async_init(&worker->loop, &worker->wake, on_wake) != 0)
		return error_set(error, "cannot make an event loop: not enough memory or descriptors");
	worker->wake.data = worker;
	worker->host = (struct session_host){.io = worker->io,
	                                     .number = worker->number,
	                                     .admission = {.quota = worker->shared.quota,
	                                                .connection_rate = worker->shared.connection_rate,
	                                                .handshake_rate = worker->shared.handshake_rate,
	                                                .metrics = metrics_part(worker->shared.metrics, worker->number)},
	                                     .ratchet = worker->shared.ratchet,
	                                     .peer_ratchet = worker->shared.peer_ratchet,
	                                     .noise = worker->shared.noise,
	                                     .report = worker->shared.report,
	                                     .metrics = metrics_part(worker->shared.metrics, worker->number),
	                                     .emptied = on_emptied};
	accept_init(&worker->accepting, &worker->loop, &worker->host);
	return 0;
}

static void close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* Without a thread: close what open_handles has opened. */
static void undo_handles(struct worker *worker)
{
	if (worker->accepting.loop != NULL)
		accept_close(&worker->accepting);
	uv_walk(&worker->loop, close_handle, NULL);
	(void)uv_run(&worker->loop, UV_RUN_DEFAULT);
	iocontext_free(worker->io);
	(void)uv_loop_close(&worker->loop);
}

static void free_worker(struct worker *worker)
{
	(void)pthread_cond_destroy(&worker->taken);
	(void)pthread_mutex_destroy(&worker->lock);
	free(worker);
}

static int open_worker(struct worker *worker, struct error *error)
{
	if (uv_loop_init(&worker->loop) != 0)
		return error_set(error, "cannot make an event loop: raise the limit of open files");
	if (open_handles(worker, error) == 0 && start_thread(worker, error) == 0)
		return 0;
	undo_handles(worker);
	return -1;
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
	if (open_worker(worker, error) == 0)
		return worker;
	free_worker(worker);
	return NULL;
}

int worker_prepare(struct worker *worker, struct snapshot *snapshot, const struct listener_set *listeners,
                   struct error *error)
{
	worker->new_snapshot = snapshot;
	worker->new_listeners = listeners;
	give(worker, COMMAND_PREPARE);
	if (worker->result == 0)
		return 0;
	return error_set(error, "listening sockets cannot be watched: not enough memory, or raise the limit of open files "
	                        "(LimitNOFILE=, ulimit -n)");
}

void worker_use(struct worker *worker)
{
	give(worker, COMMAND_USE);
}

void worker_forget(struct worker *worker)
{
	give(worker, COMMAND_FORGET);
}

void worker_drain(struct worker *worker)
{
	give(worker, COMMAND_DRAIN);
}

void worker_retire(struct worker *worker)
{
	give(worker, COMMAND_RETIRE);
}

void worker_cut(struct worker *worker)
{
	give(worker, COMMAND_CUT);
}

size_t worker_view(struct worker *worker, uint64_t before, struct session_view *views, size_t most)
{
	worker->view.before = before;
	worker->view.at = views;
	worker->view.count = most;
	give(worker, COMMAND_VIEW);
	return worker->view.count;
}

bool worker_end_session(struct worker *worker, const uint8_t *id)
{
	worker->ended = id;
	give(worker, COMMAND_END);
	return worker->result == 0;
}

size_t worker_end_peer(struct worker *worker, const struct target_memory *memory)
{
	worker->memory = memory;
	give(worker, COMMAND_END_PEER);
	return worker->count;
}

bool worker_ping(struct worker *worker, const struct worker_ping *ping)
{
	worker->asked_ping = *ping;
	give(worker, COMMAND_PING);
	return worker->result == 0;
}

void worker_ping_cancel(struct worker *worker)
{
	give(worker, COMMAND_PING_CANCEL);
}

bool worker_alive(struct worker *worker)
{
	bool answered = atomic_load(&worker->answered) == atomic_load(&worker->asked);

	/* One question at a time: the answer to an old one is no sign of life now, but that it came is. */
	if (answered)
		(void)atomic_fetch_add(&worker->asked, 1);
	(void)uv_async_send(&worker->wake);
	return answered;
}

uint64_t worker_silent_ms(struct worker *worker)
{
	uint64_t now_ns = uv_hrtime();

	if (atomic_load_explicit(&worker->seen_ns, memory_order_relaxed) < worker->called_ns)
		return (now_ns - worker->called_ns) / 1000000;
	worker->called_ns = now_ns;
	(void)uv_async_send(&worker->wake);
	return 0;
}

uint64_t worker_accepted(const struct worker *worker)
{
	return accept_count(&worker->accepting);
}

void worker_stop(struct worker *worker)
{
	if (worker == NULL)
		return;
	give(worker, COMMAND_STOP);
	(void)pthread_join(worker->thread, NULL);
	iocontext_free(worker->io);
	(void)uv_loop_close(&worker->loop);
	free_worker(worker);
}
