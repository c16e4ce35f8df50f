/* Another configuration for a gateway that runs: all of it, or nothing. */
#include <stdlib.h>
#include <sys/resource.h>

#include "daemon_parts.h"
#include "jsontext.h"
#include "clock.h"
#include "listener_inherit.h"
#include "log.h"
#include "notifier_file.h"
#include "notifier_log.h"
#include "notifier_mark.h"
#include "notifier_plugin.h"
#include "notifier_smf.h"
#include "notifier_socket.h"
#include "reload.h"
#include "sandbox.h"

const struct cci_notifier_kind *const daemon_notifier_kinds[] = {
    &notifier_log_kind, &notifier_file_kind, &notifier_socket_kind, &notifier_plugin_kind,
    &notifier_smf_kind, &notifier_mark_kind, NULL};

/* --- configuration --- */

void daemon_log_finding(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	struct logline out;

	(void)context;
	log_begin(&out, is_error ? MESSAGE_CONFIG_ERROR : MESSAGE_CONFIG_WARNING, NULL);
	log_format(&out, "at", line > 0 ? "%s:%u" : "%s", file, line);
	log_text(&out, "detail", text);
	log_end(&out);
	log_flush();
}

void daemon_apply_limits(const struct daemon *daemon, const struct config *config)
{
	static uint64_t said; /* main thread; a load of certificates is no reason to say it again */
	struct rlimit limit;

	ratchet_set_days(daemon->shared.ratchet, config->gateway.ratchet_days);
	ratchet_set_days(daemon->shared.peer_ratchet, config->gateway.ratchet_days);
	rate_set(daemon->shared.connection_rate, config->limits.connection_rate, config->limits.connection_burst);
	rate_set(daemon->shared.handshake_rate, config->limits.handshake_rate, config->limits.handshake_burst);
	iobudget_set(daemon->shared.budget, config->limits.buffer_bytes);
	quota_set(daemon->shared.quota, config->limits.connections, config->limits.connections_per_source);
	if (config->limits.connections != said && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur < 2 * config->limits.connections + 64)
		log_say(
		    MESSAGE_CONFIG_WARNING,
		    "[limits] connections = %llu needs twice as many descriptors, and the limit of open files is %llu: raise "
		    "that (LimitNOFILE=, ulimit -n), or lower connections",
		    (unsigned long long)config->limits.connections, (unsigned long long)limit.rlim_cur);
	said = config->limits.connections;
}

int daemon_open_log(const struct config *config, struct error *error)
{
	return log_open((enum log_sink)config->log.to, (enum level)config->log.level, program_word(config->program), error);
}

/* --- reload --- */

/* All workers are ready for it, or none is. */
int daemon_prepare_workers(struct daemon *daemon, struct snapshot *snapshot, const struct listener_set *listeners,
                           struct error *error)
{
	for (unsigned i = 0; i < daemon->worker_count; i++) {
		if (worker_prepare(daemon->workers[i], snapshot, listeners, error) == 0)
			continue;
		while (i-- > 0)
			worker_forget(daemon->workers[i]);
		return -1;
	}
	return 0;
}

/* From here on nothing fails. Our own descriptors of the old sockets go first: what a worker closes is closed then, and
 * no connection can wait there for nobody. */
static void swap(struct daemon *daemon, struct snapshot *snapshot, const struct listener_set *listeners)
{
	listener_remove_files(&daemon->listeners, listeners);
	listener_close(&daemon->listeners);
	for (unsigned i = 0; i < daemon->worker_count; i++)
		worker_use(daemon->workers[i]);
	snapshot_release(daemon->snapshot);
	daemon->listeners = *listeners;
	listener_permit(listeners, snapshot->config);
	listener_warn_unused(&daemon->passed, snapshot->config);
	daemon->snapshot = snapshot;
	snapshot_use_limits(snapshot);
	daemon_apply_limits(daemon, snapshot->config);
}

void daemon_place_error(const struct config *config, struct error *error)
{
	unsigned line = error->key != NULL && error->section != NULL
	                    ? config_line_of(config, error->section, error->name, error->key)
	                    : 0;

	if (line != 0)
		(void)error_prefix(error, "%s:%u", config->file, line);
}

/* Owns `config`, also after a failure. */
static struct snapshot *make_snapshot(struct daemon *daemon, struct config *config, struct error *error)
{
	const struct notifier_source notifiers = {daemon_notifier_kinds, daemon->snapshot->notifiers};
	struct snapshot *snapshot = NULL;

	if (sandbox_check(config, error) == 0)
		snapshot = snapshot_new(config, daemon->worker_count, &notifiers, error);
	if (snapshot != NULL) {
		snapshot_remember(snapshot, daemon->snapshot);
		return snapshot;
	}
	daemon_place_error(config, error);
	config_free(config);
	return NULL;
}

/* Into the log, and into the array of who has asked for the reload (NULL: nobody). */
static void on_finding(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	char words[1024], at[16] = "";

	daemon_log_finding(NULL, is_error, file, line, text);
	if (context == NULL)
		return;
	if (line > 0)
		(void)snprintf(at, sizeof(at), "%u:", line);
	(void)snprintf(words, sizeof(words), "%s:%s %s%s", file, at, is_error ? "" : "warning: ", text);
	(void)json_array_append_new(context, json_of_text(words));
}

/* Files are watched as they are before they are loaded, and again where nothing comes of that. */
static struct snapshot *load_again(struct daemon *daemon, json_t *findings, struct error *error)
{
	struct config *config = config_load(daemon->file, daemon->program, on_finding, findings);

	if (config == NULL) {
		error_set(error, "%s has errors", daemon->file);
		return NULL;
	}
	if (reload_keep(config, daemon->snapshot->config, findings, error) != 0 ||
	    daemon_watch(daemon, config, error) != 0) {
		config_free(config);
		return NULL;
	}
	return make_snapshot(daemon, config, error);
}

/* Owns `snapshot`, also after a failure. */
static int put_in_force(struct daemon *daemon, struct snapshot *snapshot, struct error *error)
{
	struct listener_set listeners = {0};

	if (listener_open(&listeners, snapshot->config, &daemon->listeners, &daemon->passed, daemon->worker_count, error) !=
	        0 ||
	    http_prepare(daemon->http, snapshot->config, NULL, error) != 0 ||
	    control_prepare(daemon->control, snapshot->config, NULL, error) != 0 ||
	    daemon_prepare_workers(daemon, snapshot, &listeners, error) != 0)
		goto err;
	if (daemon_open_log(snapshot->config, error) == 0) {
		swap(daemon, snapshot, &listeners);
		http_use(daemon->http);
		control_use(daemon->control);
		daemon->in_force_us = clock_utc_us();
		return 0;
	}
	for (unsigned i = 0; i < daemon->worker_count; i++)
		worker_forget(daemon->workers[i]);
err:
	http_forget(daemon->http);
	control_forget(daemon->control);
	listener_remove_files(&listeners, &daemon->listeners);
	listener_close(&listeners);
	snapshot_release(snapshot);
	return -1;
}

static int reload(struct daemon *daemon, json_t *findings, struct error *error)
{
	struct snapshot *snapshot;
	struct error ignored;

	/* The process that was started has our sockets as they are. */
	if (upgrade_is_running(&daemon->upgrade))
		return error_set(error, "an upgrade is under way: its process reads the file by itself");
	snapshot = load_again(daemon, findings, error);
	if (snapshot != NULL && put_in_force(daemon, snapshot, error) == 0)
		return 0;
	(void)!daemon_watch(daemon, daemon->snapshot->config, &ignored);
	return -1;
}

int daemon_reload(struct daemon *daemon, json_t *findings, struct error *error)
{
	/* Also where the file has errors: who renames what we write sends the signal for this. */
	notifiers_reopen(daemon->snapshot->notifiers);
	if (daemon->draining)
		return error_set(error, "this process is about to end, and loads nothing any more");
	service_reloading(&daemon->service);
	daemon->reload_failed = reload(daemon, findings, error) != 0;
	if (daemon->reload_failed) {
		log_say(MESSAGE_RELOAD_FAILED, "%s", error->text);
	} else {
		log_say(MESSAGE_RELOADED, "%s", daemon->file);
		listener_log(&daemon->listeners, daemon->snapshot->config);
		daemon_tls_used(daemon);
	}
	service_reloaded(&daemon->service);
	log_flush();
	return daemon->reload_failed ? -1 : 0;
}

void daemon_renew(struct daemon *daemon)
{
	struct snapshot *snapshot;
	struct error error;

	if (daemon->draining)
		return;
	snapshot = make_snapshot(daemon, config_share(daemon->snapshot->config), &error);
	daemon->reload_failed = snapshot == NULL || put_in_force(daemon, snapshot, &error) != 0;
	if (daemon->reload_failed) {
		log_say(MESSAGE_NOT_RENEWED, "%s", error.text);
	} else {
		log_say(MESSAGE_RENEWED, "%s", daemon->file);
		daemon_tls_used(daemon);
	}
	log_flush();
}
