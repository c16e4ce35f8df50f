/* The life of a gateway: signals, timers, drain, stop. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uv.h>

#include "clock.h"
#include "daemon_parts.h"
#include "keyholder.h"
#include "log.h"
#include "starter.h"
#include "tlstickets.h"

#define NOISE_MS 60000
#define SECOND_MS 1000
#define EXIT_CUT 3

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

void daemon_tell_drained(void *context)
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

/* --- the loop --- */

int daemon_open_loop(struct daemon *daemon, struct error *error)
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
	daemon->reload_timer.data = daemon->drain_timer.data = daemon;
	daemon->noise_timer.data = daemon->second_timer.data = daemon;
	if (uv_signal_start(&daemon->hangup, on_hangup, SIGHUP) != 0 ||
	    uv_signal_start(&daemon->terminate, on_stop, SIGTERM) != 0 ||
	    uv_signal_start(&daemon->interrupt, on_stop, SIGINT) != 0)
		return error_set(error, "cannot watch signals");
	(void)uv_timer_start(&daemon->noise_timer, on_noise_timer, NOISE_MS, NOISE_MS);
	(void)uv_timer_start(&daemon->second_timer, on_second, SECOND_MS, SECOND_MS);
	if (daemon_open_upgrade(daemon, error) != 0)
		return -1;
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

/* --- what is left --- */

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
	config_free(daemon->starting);
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

int daemon_run(enum program program, const char *file, char *const *argv)
{
	struct daemon daemon = {.program = program, .file = file, .started_us = clock_utc_us()};
	struct error error;

	daemon.in_force_us = daemon.started_us;
	if (daemon_start(&daemon, argv, &error) != 0) {
		log_say(MESSAGE_START_FAILED, "%s", error.text);
		log_flush();
		free_daemon(&daemon);
		return EXIT_FAILURE;
	}
	(void)uv_run(&daemon.loop, UV_RUN_DEFAULT);
	daemon_keep_signals(true);
	free_daemon(&daemon);
	say_stopped(&daemon);
	return daemon.status;
}
