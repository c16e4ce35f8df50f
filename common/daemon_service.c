/* How this gateway goes, in words for the service manager. */
#include "daemon_parts.h"
#include "keyholder.h"
#include "log.h"

static void describe(void *context, struct text *text)
{
	const struct daemon *daemon = context;
	const struct config *config = daemon->snapshot->config;
	unsigned long long connections = quota_count(daemon->shared.quota);
	unsigned long long accepted = 0;

	for (unsigned i = 0; i < daemon->worker_count; i++)
		accepted += worker_accepted(daemon->workers[i]);
	if (daemon->draining)
		text_printf(text, "Stopping: waiting for %llu connection%s", connections, connections == 1 ? "" : "s");
	else
		text_printf(text, "Serving %llu connection%s, %llu accepted so far, on %zu address%s", connections,
		            connections == 1 ? "" : "s", accepted, daemon->listeners.count,
		            daemon->listeners.count == 1 ? "" : "es");
	text_printf(text, "; %s %s as %s, %u worker%s", program_word(daemon->program), GATEWAY_VERSION,
	            config->gateway.sysid, daemon->worker_count, daemon->worker_count == 1 ? "" : "s");
}

static void say_stuck(struct daemon *daemon, unsigned number)
{
	if (daemon->stuck_said)
		return;
	daemon->stuck_said = true;
	log_say(MESSAGE_WORKER_STUCK, "worker %u", number);
	log_flush();
}

static bool are_alive(void *context)
{
	struct daemon *daemon = context;
	bool alive = true;

	for (unsigned i = 0; i < daemon->worker_count; i++) {
		if (worker_alive(daemon->workers[i]))
			continue;
		say_stuck(daemon, i);
		alive = false;
	}
	if (keyholder_trouble() != NULL)
		return false; /* that was logged */
	if (alive && daemon->stuck_said) {
		daemon->stuck_said = false;
		log_say(MESSAGE_WORKER_ANSWERS, "%u workers", daemon->worker_count);
		log_flush();
	}
	return alive;
}

void daemon_open_service(struct daemon *daemon)
{
	static const struct service_hooks hooks = {.describe = describe, .alive = are_alive};

	service_init(&daemon->service, &daemon->loop, &hooks);
	daemon->service.hooks.context = daemon;
}
