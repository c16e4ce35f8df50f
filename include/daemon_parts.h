/*
 * What daemon_start.c, daemon.c (signals, timers, end) and daemon_reload.c (another configuration, or the same with
 * other files) share, and options.c, which checks what they would do. Nobody else includes it. Main thread only, save
 * where it says so.
 */
#ifndef DAEMON_PARTS_H
#define DAEMON_PARTS_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include "control.h"
#include "daemon.h"
#include "filewatch.h"
#include "http.h"
#include "listener.h"
#include "memorytrim.h"
#include "ratchet_keeper.h"
#include "service.h"
#include "snapshot.h"
#include "tlsexpiry.h"
#include "upgrade.h"
#include "worker.h"

struct daemon {
	enum program program;
	const char *file;
	uv_loop_t loop;
	uv_signal_t hangup, terminate, interrupt;
	uv_async_t drained;
	uv_timer_t reload_timer, drain_timer, noise_timer, second_timer, expiry_timer, rotation_timer;
	struct service service;
	bool stuck_said; /* a worker that does not answer was logged */
	struct worker_shared shared;
	struct iobudget budget;
	struct memory_trim memory;
	struct metrics *metrics;
	struct http *http;
	struct control *control;
	struct ratchet_keeper *ratchet_keeper;
	struct filewatch *watch;
	struct tls_expiries *expiries;
	struct config *starting; /* until the snapshot has it */
	struct snapshot *snapshot;
	struct listener_set listeners;
	struct listener_set passed;    /* by the service manager; kept for reloads and the next process */
	struct listener_set inherited; /* from the process before; until the start is over */
	struct worker **workers;
	unsigned worker_count;
	atomic_uint drained_count; /* workers without a session left */
	bool draining, loop_is_open;
	bool serving;                     /* the start is over */
	bool reload_failed;               /* the last one */
	uint64_t started_us, in_force_us; /* UTC since 1970: this process, and its configuration */
	struct upgrade upgrade;
	uv_signal_t upgrade_signal;
	bool succeeded;    /* by another process; draining too */
	uint64_t accepted; /* connections, when all is over */
	bool failed;       /* what it cannot do without has ended: drained or not, the end is no success */
	int status;
};

/* daemon_start.c: everything from the configuration to the first connection, which may come from its return on; `argv`
 * is how the program was started. 0, or -1 with `error`; what was made by then is the daemon's in both cases. */
int daemon_start(struct daemon *daemon, char *const *argv, struct error *error) MUST_CHECK;

/* Before the loop listens to them, and after, signals would end the process: in the middle of its start, or
 * (at_the_end: those that end it too) of the last write of the secured names. Keep them for this thread and those that
 * it starts. */
void daemon_keep_signals(bool at_the_end);

/* The main loop, with its signals and timers. 0, or -1 with `error`; what was opened is closed with it. */
int daemon_open_loop(struct daemon *daemon, struct error *error) MUST_CHECK;

/* A worker_shared.drained: called by a worker's thread, once each; `context` is the daemon. */
void daemon_tell_drained(void *context);

/* A config_report that logs. */
void daemon_log_finding(void *context, bool is_error, const char *file, unsigned line, const char *text);

/* Open the log as `config` says. 0, or -1 with `error`. */
int daemon_open_log(const struct config *config, struct error *error) MUST_CHECK;

/* Put the limits of `config` in force; warns of too few descriptors. */
void daemon_apply_limits(const struct daemon *daemon, const struct config *config);

/* The kinds of notifiers that there are, NULL-terminated. */
extern const struct cci_notifier_kind *const daemon_notifier_kinds[];

/* All workers prepare for `snapshot` and `listeners` (worker_prepare), or none does. 0, or -1 with `error`. */
int daemon_prepare_workers(struct daemon *daemon, struct snapshot *snapshot, const struct listener_set *listeners,
                           struct error *error) MUST_CHECK;

/* daemon_service.c: make ready to tell the service manager how this gateway goes. */
void daemon_open_service(struct daemon *daemon);

/* daemon_keys.c: end when the key process does, say when the starter does. 0, or -1 with `error`. */
int daemon_watch_keys(struct daemon *daemon, struct error *error) MUST_CHECK;
int daemon_watch_starter(struct daemon *daemon, struct error *error) MUST_CHECK;

/* daemon_keys.c: warn of each private key that this process could read itself, though another holds it, and of what it
 * cannot read again at a reload. It tries. */
void daemon_look_at_files(const struct config *config);

/* Wait for the last connection, but not longer than the configuration says; then end. */
void daemon_start_drain(struct daemon *daemon);

/* daemon_upgrade.c: answer SIGUSR2. 0, or -1 with `error`. */
int daemon_open_upgrade(struct daemon *daemon, struct error *error) MUST_CHECK;

/* daemon_upgrade.c: all that can fail is done; from its return on we serve. 0, or -1 with `error`. */
int daemon_take_over(struct daemon *daemon, struct error *error) MUST_CHECK;

/* Take no more connections, and end with the last one, or when the drain time is over; `why` is logged. False: that is
 * under way already. */
bool daemon_drain(struct daemon *daemon, const char *why);

/* Read the file again and use it: all of it or, after any error, nothing. What is found in the file is logged, and
 * appended to the array `findings` (may be NULL) as texts. 0, or -1 with `error`, which is logged too. */
int daemon_reload(struct daemon *daemon, json_t *findings, struct error *error);

/* Use the same configuration with what its files hold now: all of it or, after any error (which is logged), nothing. */
void daemon_renew(struct daemon *daemon);

/* Put `config`'s line before an error of a file that it names. */
void daemon_place_error(const struct config *config, struct error *error);

/* http_status.c: why this gateway should get no connections, in words; NULL: it should. */
const char *http_unready(const struct daemon *daemon);

/* The next are in daemon_renew.c. Before the files of `config` are loaded: note how they are now. 0 or -1 with `error`.
 */
int daemon_watch_open(struct daemon *daemon, const struct config *config, struct error *error) MUST_CHECK;
int daemon_watch(struct daemon *daemon, const struct config *config, struct error *error) MUST_CHECK;

/* With the snapshot and the loop there, and privileges dropped: watch the files, look for what expires, rotate ticket
 * keys. */
int daemon_watch_start(struct daemon *daemon, struct error *error) MUST_CHECK;

/* Log what a new snapshot has of TLS, warn of what expires. */
void daemon_tls_used(struct daemon *daemon);

/* Before the loop is closed. */
void daemon_watch_close(struct daemon *daemon);

#endif
