/*
 * The processes beside this one. The end of the key process is the end of the gateway: without it nobody can be
 * secured, and it reads keys as root. The starter's end is only said: what serves goes on serving.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "daemon_parts.h"
#include "keyholder.h"
#include "log.h"
#include "starter.h"

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

static void on_starter_ended(void *context)
{
	(void)context;
	log_say(MESSAGE_STARTER_ENDED, "pid=%d", starter_pid());
	log_flush();
}

int daemon_watch_starter(struct daemon *daemon, struct error *error)
{
	return starter_watch(&daemon->loop, on_starter_ended, daemon, error);
}

static void warn(enum message message, const char *path)
{
	struct logline line;

	log_begin(&line, message, NULL);
	log_text(&line, "file", path);
	log_end(&line);
}

static void look_for(const char *path)
{
	int fd = path != NULL ? open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	close(fd);
	warn(MESSAGE_KEYS_READABLE, path);
}

/* Below another root the paths are those of other files. */
static void look_at(const struct config *config, const char *path)
{
	if (path != NULL && config->gateway.chroot == NULL && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) != 0 &&
	    errno == EACCES)
		warn(MESSAGE_FILE_UNREADABLE, path);
}

static void look_at_others(const struct config *config)
{
	const struct config_tls *tls = &config->tls;

	look_at(config, config->file);
	look_at(config, tls->certificate);
	look_at(config, tls->ca);
	look_at(config, tls->crl);
	look_at(config, tls->ticket_keys);
	for (size_t i = 0; i < config->certificate_count; i++)
		look_at(config, config->certificates[i].certificate);
}

void daemon_look_at_files(const struct config *config)
{
	look_at_others(config);
	if (config->keys.process != CHOICE_YES)
		return;
	look_for(config->tls.private_key);
	for (size_t i = 0; i < config->certificate_count; i++)
		look_for(config->certificates[i].private_key);
}
