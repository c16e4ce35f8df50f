/* SIGUSR2: another version of the program takes over, and this process ends with its last connection. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "daemon_parts.h"
#include "log.h"
#include "notifier_socket.h"

static void say_failed(const char *why)
{
	log_say(MESSAGE_UPGRADE_FAILED, "%s", why);
	log_flush();
}

static void on_ready(void *context, pid_t pid)
{
	struct daemon *daemon = context;

	/* Before it speaks: the service manager listens to the main process alone. */
	service_successor(&daemon->service, pid);
	/* At the last moment before it serves: what was secured here may not come back in the clear there. */
	ratchet_keeper_sync(daemon->ratchet_keeper);
}

static void on_done(void *context, pid_t pid)
{
	struct daemon *daemon = context;
	struct logline line;

	daemon->draining = daemon->succeeded = true;
	/* The files of unix sockets are the new one's now. */
	listener_close(&daemon->listeners);
	listener_close(&daemon->passed);
	http_close(daemon->http, true);
	control_hand_over(daemon->control);
	for (unsigned i = 0; i < daemon->worker_count; i++)
		worker_retire(daemon->workers[i]);
	notifier_socket_hand_over(pid);
	log_begin(&line, MESSAGE_UPGRADE_DONE, NULL);
	log_number(&line, "pid", (uint64_t)pid);
	log_number(&line, "connections", quota_count(daemon->shared.quota));
	log_end(&line);
	log_flush();
	daemon_start_drain(daemon);
}

static void on_failed(void *context, const char *why)
{
	struct daemon *daemon = context;

	service_stays(&daemon->service);
	say_failed(why);
}

/* All that we listen on: an array of our own, with borrowed members. 0, or -1 without memory. */
static int all_listeners(struct daemon *daemon, struct listener_set *all)
{
	const struct listener_set *parts[] = {&daemon->listeners, http_listeners(daemon->http),
	                                      control_listeners(daemon->control)};

	memset(all, 0, sizeof(*all));
	all->at = calloc(parts[0]->count + parts[1]->count + parts[2]->count + 1, sizeof(*all->at));
	if (all->at == NULL)
		return -1;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		for (size_t j = 0; j < parts[i]->count; j++)
			all->at[all->count++] = parts[i]->at[j];
	return 0;
}

static int start(struct daemon *daemon, struct error *error)
{
	const struct config *config = daemon->snapshot->config;
	struct listener_set all;
	struct logline line;
	pid_t pid;

	if (daemon->draining)
		return error_set(error, daemon->succeeded ? "this process was upgraded already: signal the new one"
		                                          : "this process is about to end");
	if (config->gateway.chroot != NULL)
		return error_set(error, "under chroot in [gateway] the program cannot be found again: restart it");
	if (all_listeners(daemon, &all) != 0)
		return error_set(error, "not enough memory");
	pid = upgrade_start(&daemon->upgrade, &all, &daemon->passed, config->timeouts.upgrade_ms, error);
	free(all.at);
	if (pid < 0)
		return -1;
	log_begin(&line, MESSAGE_UPGRADE_STARTED, NULL);
	log_text(&line, "program", daemon->upgrade.program);
	log_number(&line, "pid", (uint64_t)pid);
	log_end(&line);
	log_flush();
	return 0;
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct error error;

	(void)number;
	if (start(handle->data, &error) != 0)
		say_failed(error.text);
}

int daemon_open_upgrade(struct daemon *daemon, struct error *error)
{
	daemon->upgrade.loop = &daemon->loop;
	daemon->upgrade.hooks =
	    (struct upgrade_hooks){.ready = on_ready, .done = on_done, .failed = on_failed, .context = daemon};
	if (uv_signal_init(&daemon->loop, &daemon->upgrade_signal) != 0)
		return error_set(error, "cannot make an event loop: raise the limit of open files");
	daemon->upgrade_signal.data = daemon;
	if (uv_signal_start(&daemon->upgrade_signal, on_signal, SIGUSR2) != 0)
		return error_set(error, "cannot watch signals");
	return 0;
}

int daemon_take_over(struct daemon *daemon, struct error *error)
{
	bool succeeds = daemon->upgrade.predecessor >= 0;
	struct listener_set all;

	if (upgrade_take_over(&daemon->upgrade, error) != 0)
		return -1;
	notifier_socket_take_over();
	/* What the old process secured since we have read the file. */
	if (succeeds)
		ratchet_keeper_sync(daemon->ratchet_keeper);
	/* What the new configuration has no more goes with the old process. */
	if (all_listeners(daemon, &all) == 0)
		listener_remove_files(&daemon->inherited, &all);
	free(all.at);
	if (daemon->inherited.count > 0)
		listener_permit(&daemon->listeners, daemon->snapshot->config);
	listener_close(&daemon->inherited);
	return 0;
}
