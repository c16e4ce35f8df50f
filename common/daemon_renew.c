/* Files of TLS that change while the gateway runs: noticed, loaded; warned of before they expire. And ticket keys in
 * memory. */
#include <stdlib.h>
#include <string.h>

#include "daemon_parts.h"
#include "log.h"

#define EXPIRY_MS (3600 * 1000)
#define PATHS_OF_TLS 6
#define PATHS_OF_CERTIFICATE 4
#define PATHS_OF_PEER 2

struct paths {
	const char **at;
	size_t count;
};

static void add(struct paths *paths, const char *path)
{
	if (path != NULL)
		paths->at[paths->count++] = path;
}

/* What a snapshot is made of beside the configuration itself; borrowed from it. */
static int list_paths(const struct config *config, struct paths *paths)
{
	const struct config_tls *tls = &config->tls;

	paths->count = 0;
	paths->at =
	    calloc(PATHS_OF_TLS + PATHS_OF_CERTIFICATE * config->certificate_count + PATHS_OF_PEER * config->peer_count,
	           sizeof(char *));
	if (paths->at == NULL)
		return -1;
	add(paths, tls->certificate);
	add(paths, tls->private_key);
	add(paths, tls->passphrase_file);
	add(paths, tls->ocsp_response);
	add(paths, tls->ca);
	add(paths, tls->crl);
	for (size_t i = 0; i < config->certificate_count; i++) {
		add(paths, config->certificates[i].certificate);
		add(paths, config->certificates[i].private_key);
		add(paths, config->certificates[i].passphrase_file);
		add(paths, config->certificates[i].ocsp_response);
	}
	for (size_t i = 0; i < config->peer_count; i++) {
		add(paths, config->peers[i].ca);
		add(paths, config->peers[i].crl);
	}
	if (tls->resumption == CHOICE_YES)
		add(paths, tls->ticket_keys);
	return 0;
}

int daemon_watch(struct daemon *daemon, const struct config *config, struct error *error)
{
	struct paths paths;
	int result;

	if (list_paths(config, &paths) != 0)
		return error_set(error, "not enough memory");
	result = filewatch_set(daemon->watch, paths.at, paths.count, config->tls.watch_interval_ms, error);
	free(paths.at);
	return result;
}

static void on_changed(void *context)
{
	daemon_renew(context);
}

int daemon_watch_open(struct daemon *daemon, const struct config *config, struct error *error)
{
	daemon->watch = filewatch_new(on_changed, daemon);
	daemon->expiries = tls_expiries_new();
	if (daemon->watch == NULL || daemon->expiries == NULL)
		return error_set(error, "not enough memory");
	return daemon_watch(daemon, config, error);
}

static void look_for_expiry(struct daemon *daemon)
{
	const struct tls_worker *tls = daemon->snapshot->parts[0].tls;

	if (tls != NULL)
		(void)tls_expiries_look(daemon->expiries, tls, time(NULL));
}

static void on_expiry(uv_timer_t *timer)
{
	look_for_expiry(timer->data);
	log_flush();
}

static void on_rotation(uv_timer_t *timer)
{
	struct error error;

	(void)timer;
	if (tls_rotate(&error) != 0)
		log_say(MESSAGE_NOT_RENEWED, "ticket keys: %s", error.text);
}

void daemon_tls_used(struct daemon *daemon)
{
	const struct config_tls *tls = &daemon->snapshot->config->tls;

	tls_worker_log(daemon->snapshot->parts[0].tls);
	tls_worker_warn(daemon->snapshot->parts[0].tls);
	look_for_expiry(daemon);
	daemon_look_at_files(daemon->snapshot->config);
	if (uv_timer_get_repeat(&daemon->rotation_timer) != tls->ticket_rotation_ms)
		(void)uv_timer_start(&daemon->rotation_timer, on_rotation, tls->ticket_rotation_ms, tls->ticket_rotation_ms);
}

int daemon_watch_start(struct daemon *daemon, struct error *error)
{
	const struct config *config = daemon->snapshot->config;

	(void)uv_timer_init(&daemon->loop, &daemon->expiry_timer);
	(void)uv_timer_init(&daemon->loop, &daemon->rotation_timer);
	daemon->expiry_timer.data = daemon->rotation_timer.data = daemon;
	(void)uv_timer_start(&daemon->expiry_timer, on_expiry, EXPIRY_MS, EXPIRY_MS);
	/* Below another root the paths are those of other files, which may not be there yet. */
	if (config->gateway.chroot != NULL && daemon_watch(daemon, config, error) != 0)
		return -1;
	filewatch_start(daemon->watch, &daemon->loop);
	return 0;
}

void daemon_watch_close(struct daemon *daemon)
{
	filewatch_close(daemon->watch);
	tls_expiries_free(daemon->expiries);
}
