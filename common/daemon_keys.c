/* The end of the key process is the end of the gateway: without it nobody can be secured, and it reads keys as root. */
#include "daemon_parts.h"
#include "keyholder.h"
#include "log.h"

/* What is secured already needs no key: it may end in peace, while new connections are told to go elsewhere. */
static void on_ended(void *context)
{
	struct daemon *daemon = context;

	log_say(MESSAGE_KEYS_ENDED, "pid=%d", keyholder_pid());
	log_flush();
	if (daemon->draining)
		return;
	daemon->failed = true;
	(void)daemon_drain(daemon, "the key process has ended");
}

int daemon_watch_keys(struct daemon *daemon, struct error *error)
{
	return keyholder_watch(&daemon->loop, on_ended, daemon, error);
}
