/* The life of a gateway: start, reload, drain, stop. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "bio.h"
#include "confirm.h"
#include "daemon_parts.h"
#include "kerneltls.h"
#include "keyholder.h"
#include "clock.h"
#include "listener_inherit.h"
#include "log.h"
#include "notifier_socket.h"
#include "privileges.h"
#include "sandbox.h"
#include "starter.h"
#include "tlstickets.h"

#define NOISE_MS 60000
#define SECOND_MS 1000
#define EXIT_CUT 3
#define MAIN_DESCRIPTORS 15  /* standard ones, libuv's own, those of the main loop, inotify, three for a file being written */
#define CONTROL_DESCRIPTORS 2u /* its socket, and one who asks there */
#define KEYS_DESCRIPTORS 3u    /* sockets to the key process, beside one for each worker */
#define WORKER_DESCRIPTORS 5 /* a loop, its wake-up, its signal pipe, the reserve */

/* --- reload --- */

static void on_reload(uv_timer_t *timer)
{
	struct error ignored;

	(void)!daemon_reload(timer->data, NULL, &ignored);
}

/* Signals that come together, or while one reload runs, are one reload: the timer is set again, not once more. */
static void on_hangup(uv_signal_t *handle, int number)
{
	struct daemon *daemon = handle->data;

	(void)number;
	(void)uv_timer_start(&daemon->reload_timer, on_reload, 0, 0);
}

/* --- the end --- */

static void stop(struct daemon *daemon, int status)
{
	daemon->status = status == EXIT_SUCCESS && daemon->failed ? EXIT_FAILURE : status;
	uv_stop(&daemon->loop);
}

static bool all_drained(struct daemon *daemon)
{
	return atomic_load(&daemon->drained_count) == daemon->worker_count;
}

static void on_drain_over(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;

	if (!all_drained(daemon))
		log_say(MESSAGE_DRAIN_CUT, "connections=%llu", (unsigned long long)quota_count(daemon->shared.quota));
	stop(daemon, EXIT_SUCCESS);
}

/* Called by a worker's thread, once each. */
static void tell_drained(void *context)
{
	struct daemon *daemon = context;

	(void)atomic_fetch_add(&daemon->drained_count, 1);
	(void)uv_async_send(&daemon->drained);
}

static void on_drained(uv_async_t *handle)
{
	struct daemon *daemon = handle->data;

	if (all_drained(daemon))
		stop(daemon, EXIT_SUCCESS);
}

void daemon_start_drain(struct daemon *daemon)
{
	uint64_t drain_ms = daemon->snapshot->config->timeouts.drain_ms;

	service_stopping(&daemon->service, drain_ms);
	(void)uv_timer_start(&daemon->drain_timer, on_drain_over, drain_ms, 0);
}

bool daemon_drain(struct daemon *daemon, const char *why)
{
	/* A process that only waits for its last connections can still be told to stop. */
	if (daemon->draining && !daemon->succeeded)
		return false;
	daemon->draining = true;
	daemon->succeeded = false;
	upgrade_cancel(&daemon->upgrade);
	log_say(MESSAGE_DRAINING, "%s", why);
	log_flush();
	/* Ours first: then nothing listens any more when the workers have closed theirs. */
	listener_remove_files(&daemon->listeners, NULL);
	listener_close(&daemon->listeners);
	for (unsigned i = 0; i < daemon->worker_count; i++)
		worker_drain(daemon->workers[i]);
	daemon_start_drain(daemon);
	return true;
}

static void on_stop(uv_signal_t *handle, int number)
{
	struct daemon *daemon = handle->data;

	if (daemon_drain(daemon, number == SIGINT ? "SIGINT" : "SIGTERM"))
		return;
	log_say(MESSAGE_DRAIN_CUT, "second signal");
	stop(daemon, EXIT_CUT);
}

static void on_noise_timer(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;

	noise_report(daemon->shared.noise, uv_now(&daemon->loop));
	log_flush();
}

/* What is to be done every second. */
static void on_second(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;

	notifiers_reap();
	keyholder_tick();
	memory_trim_tick(&daemon->memory, quota_count(daemon->shared.quota));
	http_tick(daemon->http);
	control_tick(daemon->control);
	log_flush();
}

/* --- the start --- */

/* Before the loop listens to them, and after, signals would end the process: in the middle of its start, or of the last
 * write of the secured names. They are kept meanwhile. */
static void keep_signals(const int *numbers, int how)
{
	sigset_t kept;

	(void)sigemptyset(&kept);
	for (; *numbers != 0; numbers++)
		(void)sigaddset(&kept, *numbers);
	(void)pthread_sigmask(how, &kept, NULL);
}

static const int early[] = {SIGHUP, SIGUSR2, 0}, late[] = {SIGHUP, SIGUSR2, SIGTERM, SIGINT, 0};

static int open_loop(struct daemon *daemon, struct error *error)
{
	uv_loop_t *loop = &daemon->loop;

	if (uv_loop_init(loop) != 0)
		return error_set(error, "cannot make an event loop: raise the limit of open files");
	daemon->loop_is_open = true;
	if (uv_async_init(loop, &daemon->drained, on_drained) != 0 || uv_signal_init(loop, &daemon->hangup) != 0 ||
	    uv_signal_init(loop, &daemon->terminate) != 0 || uv_signal_init(loop, &daemon->interrupt) != 0)
		return error_set(error, "cannot make an event loop: raise the limit of open files");
	(void)uv_timer_init(loop, &daemon->reload_timer);
	(void)uv_timer_init(loop, &daemon->drain_timer);
	(void)uv_timer_init(loop, &daemon->noise_timer);
	(void)uv_timer_init(loop, &daemon->second_timer);
	daemon_open_service(daemon);
	daemon->drained.data = daemon->hangup.data = daemon->terminate.data = daemon->interrupt.data = daemon;
	daemon->reload_timer.data = daemon->drain_timer.data = daemon->noise_timer.data = daemon->second_timer.data = daemon;
	if (uv_signal_start(&daemon->hangup, on_hangup, SIGHUP) != 0 ||
	    uv_signal_start(&daemon->terminate, on_stop, SIGTERM) != 0 ||
	    uv_signal_start(&daemon->interrupt, on_stop, SIGINT) != 0)
		return error_set(error, "cannot watch signals");
	(void)uv_timer_start(&daemon->noise_timer, on_noise_timer, NOISE_MS, NOISE_MS);
	(void)uv_timer_start(&daemon->second_timer, on_second, SECOND_MS, SECOND_MS);
	if (daemon_open_upgrade(daemon, error) != 0)
		return -1;
	keep_signals(early, SIG_UNBLOCK);
	return 0;
}

static void close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void close_loop(struct daemon *daemon)
{
	if (!daemon->loop_is_open)
		return;
	uv_walk(&daemon->loop, close_handle, NULL);
	(void)uv_run(&daemon->loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&daemon->loop);
}

/* Signals are the main thread's: workers start with all of them blocked. */
static int start_workers(struct daemon *daemon, struct error *error)
{
	sigset_t all, before;
	int result = 0;

	daemon->workers = calloc(daemon->worker_count, sizeof(struct worker *));
	if (daemon->workers == NULL)
		return error_set(error, "not enough memory");
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < daemon->worker_count && result == 0; i++) {
		daemon->workers[i] = worker_start(i, &daemon->shared, error);
		result = daemon->workers[i] != NULL ? 0 : -1;
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}

/* libuv ends the program without a word where its first loop cannot have its pipes. */
static int check_descriptors(const struct daemon *daemon, const struct config *config, struct error *error)
{
	rlim_t addresses = 0, needed;
	struct rlimit limit;

	for (size_t i = 0; i < config->listener_count; i++)
		addresses += config->listeners[i].address.count;
	needed = MAIN_DESCRIPTORS + (config->control.socket != NULL ? CONTROL_DESCRIPTORS : 0) +
	         (config->keys.process == CHOICE_YES ? KEYS_DESCRIPTORS + daemon->worker_count : 0) +
	         daemon->worker_count * (WORKER_DESCRIPTORS + 2 * addresses);
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
		return 0;
	return error_set(error,
	                 "the limit of open files is %llu, and listening alone takes %llu: raise it (LimitNOFILE=, "
	                 "ulimit -n)",
	                 (unsigned long long)limit.rlim_cur, (unsigned long long)needed);
}

/* What was secured before the restart is known before the first connection. */
static int open_ratchet(struct daemon *daemon, struct error *error)
{
	struct ratchet_keeper_options options = {
	    .path = daemon->snapshot->config->gateway.ratchet_file,
	    .tables = {[RATCHET_CLIENT] = daemon->shared.ratchet, [RATCHET_PEER] = daemon->shared.peer_ratchet},
	};

	daemon->ratchet_keeper = ratchet_keeper_new(&options, error);
	if (daemon->ratchet_keeper == NULL)
		return -1;
	ratchet_keeper_start(daemon->ratchet_keeper, &daemon->loop);
	return 0;
}

/* Whoever wants to look at the gateway or tell it something. */
static int open_sight(struct daemon *daemon, struct error *error)
{
	const struct config *config = daemon->snapshot->config;

	daemon->http = http_new(daemon, error);
	if (daemon->http == NULL || http_prepare(daemon->http, config, &daemon->inherited, error) != 0)
		return -1;
	daemon->control = control_new(daemon, error);
	return daemon->control != NULL ? control_prepare(daemon->control, config, &daemon->inherited, error) : -1;
}

static int start(struct daemon *daemon, struct config *config, struct error *error)
{
	const struct notifier_source notifiers = {daemon_notifier_kinds, NULL};

	daemon->shared.quota = quota_new();
	daemon->shared.connection_rate = rate_new();
	daemon->shared.handshake_rate = rate_new();
	daemon->shared.ratchet = ratchet_new(RATCHET_NAMES);
	daemon->shared.peer_ratchet = ratchet_new(RATCHET_NAMES);
	daemon->shared.noise = noise_new();
	daemon->shared.report = report_new(config->control.report_entries);
	daemon->shared.metrics = daemon->metrics = metrics_new(daemon->worker_count);
	daemon->shared.budget = &daemon->budget;
	daemon->shared.drained = tell_drained;
	daemon->shared.context = daemon;
	if (daemon->shared.connection_rate == NULL || daemon->shared.handshake_rate == NULL || daemon->shared.quota == NULL || daemon->shared.ratchet == NULL || daemon->shared.peer_ratchet == NULL ||
	    daemon->shared.noise == NULL || daemon->shared.report == NULL || daemon->metrics == NULL) {
		config_free(config);
		return error_set(error, "not enough memory");
	}
	if (check_descriptors(daemon, config, error) != 0) {
		config_free(config);
		return -1;
	}
	daemon_apply_limits(daemon, config);
	/* What is made once for the process must not depend on what its first connection finds. */
	if (confirm_prepare() != 0 || bio_prepare() != 0) {
		config_free(config);
		return error_set(error, "cannot make what TLS needs: not enough memory");
	}
	if (tls_init(error) == 0 && daemon_watch_open(daemon, config, error) == 0)
		daemon->snapshot = snapshot_new(config, daemon->worker_count, &notifiers, error);
	if (daemon->snapshot == NULL) {
		daemon_place_error(config, error);
		config_free(config);
		return -1;
	}
	if (listener_open(&daemon->listeners, config, &daemon->inherited, &daemon->passed, daemon->worker_count, error) != 0 ||
	    open_loop(daemon, error) != 0 || open_sight(daemon, error) != 0 || privileges_drop(config, error) != 0 ||
	    starter_settle(error) != 0 || keyholder_settle(error) != 0 || daemon_watch_keys(daemon, error) != 0 || open_ratchet(daemon, error) != 0 ||
	    daemon_watch_start(daemon, error) != 0 || start_workers(daemon, error) != 0 ||
	    daemon_prepare_workers(daemon, daemon->snapshot, &daemon->listeners, error) != 0 ||
	    sandbox_enter_calls(config, error) != 0 || daemon_take_over(daemon, error) != 0)
		return -1;
	for (unsigned i = 0; i < daemon->worker_count; i++)
		worker_use(daemon->workers[i]);
	http_use(daemon->http);
	control_use(daemon->control);
	return 0;
}

static void say_started(struct daemon *daemon)
{
	struct logline line;
	const struct config *config = daemon->snapshot->config;

	log_begin(&line, MESSAGE_STARTED, NULL);
	log_text(&line, "program", program_word(daemon->program));
	log_text(&line, "version", GATEWAY_VERSION);
	log_text(&line, "sysid", config->gateway.sysid);
	log_text(&line, "config", daemon->file);
	log_number(&line, "workers", daemon->worker_count);
	log_number(&line, "pid", (uint64_t)getpid());
	log_text(&line, "kernel_tls", kerneltls_words());
	log_text(&line, "sandbox", sandbox_words());
	log_end(&line);
	daemon_tls_used(daemon);
	listener_log(&daemon->listeners, config);
	listener_warn_unused(&daemon->passed, config);
	log_flush();
}

/* All connections are cut before the first thread is waited for. The main loop's handles outlive the threads, which may
 * call it until they are gone. */
static void stop_workers(struct daemon *daemon)
{
	if (daemon->workers == NULL)
		return;
	for (unsigned i = 0; i < daemon->worker_count; i++)
		if (daemon->workers[i] != NULL)
			worker_cut(daemon->workers[i]);
	for (unsigned i = 0; i < daemon->worker_count; i++) {
		if (daemon->workers[i] != NULL)
			daemon->accepted += worker_accepted(daemon->workers[i]);
		worker_stop(daemon->workers[i]);
	}
	free(daemon->workers);
	daemon->workers = NULL;
}

static void free_daemon(struct daemon *daemon)
{
	/* What is inherited still is the other process's, and what it succeeded to is its. */
	http_close(daemon->http, daemon->inherited.count > 0 || daemon->succeeded);
	control_close(daemon->control, daemon->inherited.count > 0 || daemon->succeeded);
	listener_remove_files(&daemon->listeners, &daemon->inherited);
	listener_close(&daemon->listeners);
	listener_close(&daemon->inherited);
	listener_close(&daemon->passed);
	stop_workers(daemon);
	upgrade_close(&daemon->upgrade);
	starter_close();
	daemon_watch_close(daemon);
	close_loop(daemon);
	http_free(daemon->http);
	control_free(daemon->control);
	ratchet_keeper_free(daemon->ratchet_keeper);
	snapshot_release(daemon->snapshot);
	tls_tickets_forget();
	notifiers_reap();
	if (daemon->shared.noise != NULL)
		noise_report(daemon->shared.noise, 0);
	noise_free(daemon->shared.noise);
	report_free(daemon->shared.report);
	quota_free(daemon->shared.quota);
	rate_free(daemon->shared.connection_rate);
	rate_free(daemon->shared.handshake_rate);
	ratchet_free(daemon->shared.ratchet);
	ratchet_free(daemon->shared.peer_ratchet);
	metrics_free(daemon->metrics);
	keyholder_close();
}

static void say_stopped(const struct daemon *daemon)
{
	struct logline line;

	log_begin(&line, MESSAGE_STOPPED, NULL);
	log_text(&line, "program", program_word(daemon->program));
	log_number(&line, "accepted", daemon->accepted);
	log_number(&line, "log_lines_lost", log_lost());
	log_number(&line, "status", (uint64_t)daemon->status);
	log_end(&line);
	log_flush();
}

/* Descriptors 0 to 2 must be there, or a socket would take their number and get what is written to them. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static void prepare_process(void)
{
	struct rlimit limit;

	keep_signals(early, SIG_BLOCK);
	(void)signal(SIGPIPE, SIG_IGN);
	/* OpenSSL's read buffers of 128 KiB come and go with each wake-up: keep them from being mapped and unmapped. */
	(void)mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
	(void)mallopt(M_TRIM_THRESHOLD, 16 * 1024 * 1024);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* What stands beside this process: forked before it has keys, threads or connections. */
static int open_sidecars(struct daemon *daemon, const struct config *config, struct error *error)
{
	const struct starter_program program = {daemon->upgrade.program, daemon->upgrade.folder, daemon->upgrade.argv};

	daemon->worker_count =
	    config->gateway.workers > 0 ? (unsigned)config->gateway.workers : uv_available_parallelism();
	return starter_open(config, &program, error) == 0 ? keyholder_open(config, daemon->worker_count, error) : -1;
}

/* Before the first thread: what is taken away is taken from the calling one, and all that it starts. */
static int contain(const struct config *config, struct error *error)
{
	if (sandbox_enter_paths(config, error) == 0)
		return 0;
	daemon_place_error(config, error);
	return -1;
}

int daemon_run(enum program program, const char *file, char *const *argv)
{
	struct daemon daemon = {.program = program, .file = file, .started_us = clock_utc_us(), .in_force_us = clock_utc_us()};
	struct config *config;
	struct error error;

	prepare_process();
	upgrade_init(&daemon.upgrade, argv);
	fill_standard_descriptors();
	config = config_load(file, program, daemon_log_finding, NULL);
	if (config == NULL || daemon_open_log(config, &error) != 0 ||
	    open_sidecars(&daemon, config, &error) != 0 ||
	    upgrade_inherit(&daemon.upgrade, &daemon.inherited, &daemon.passed, &error) != 0 ||
	    contain(config, &error) != 0) {
		log_say(MESSAGE_START_FAILED, "%s", config == NULL ? "the configuration has errors" : error.text);
		log_flush();
		config_free(config);
		upgrade_close(&daemon.upgrade);
		starter_close();
		keyholder_close();
		return EXIT_FAILURE;
	}
	notifier_socket_succeed(daemon.upgrade.predecessor_pid);
	if (start(&daemon, config, &error) != 0) {
		log_say(MESSAGE_START_FAILED, "%s", error.text);
		log_flush();
		free_daemon(&daemon);
		return EXIT_FAILURE;
	}
	say_started(&daemon);
	daemon.serving = true;
	service_ready(&daemon.service);
	(void)uv_run(&daemon.loop, UV_RUN_DEFAULT);
	keep_signals(late, SIG_BLOCK);
	free_daemon(&daemon);
	say_stopped(&daemon);
	return daemon.status;
}
