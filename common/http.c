/* The sockets of HTTP and the connections there, on the main loop. */
#include "http_parts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "listener_unix.h"
#include "log.h"

/* One address. Its memory goes when its two handles are closed. */
struct http_door {
	struct http_door *next;
	struct http *http;
	struct listener_set set; /* with the one listener; MHD borrows its socket */
	struct MHD_Daemon *mhd;
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned open; /* handles */
	bool kept;     /* the configuration that is prepared names it too */
};

uint64_t http_now_s(const struct http *http)
{
	return uv_now(&http->daemon->loop) / 1000;
}

/* --- clients --- */

static void on_client(void *context, struct MHD_Connection *connection, void **state,
                      enum MHD_ConnectionNotificationCode code)
{
	struct http *http = context;
	struct http_client *client = *state;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*state = client = calloc(1, sizeof(*client));
		if (client == NULL)
			return; /* http_answer closes it */
		*client = (struct http_client){
		    .http = http, .connection = connection, .since_s = http_now_s(http), .next = http->clients};
		if (http->clients != NULL)
			http->clients->previous = client;
		http->clients = client;
	} else if (client != NULL) {
		*(client->previous != NULL ? &client->previous->next : &http->clients) = client->next;
		if (client->next != NULL)
			client->next->previous = client->previous;
		free(client);
		*state = NULL;
	}
}

static void on_answered(void *context, struct MHD_Connection *connection, void **state,
                        enum MHD_RequestTerminationCode code)
{
	struct http_client *client = *state;

	(void)context;
	(void)connection;
	(void)code;
	if (client == NULL)
		return;
	client->answering = client->streaming = false;
	client->was_answered = true;
	client->since_s = http_now_s(client->http);
}

/* Are others kept waiting by those who are there? */
static bool is_full(const struct http_client *client)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(client->connection, MHD_CONNECTION_INFO_DAEMON);
	const union MHD_DaemonInfo *count =
	    info != NULL ? MHD_get_daemon_info(info->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS) : NULL;

	return count != NULL && count->num_connections >= HTTP_CONNECTIONS;
}

static uint64_t patience_s(const struct http_client *client, bool full)
{
	if (client->answering)
		return HTTP_REPLY_S;
	if (full)
		return HTTP_FULL_S;
	return client->was_answered ? HTTP_TIMEOUT_S : HTTP_REQUEST_S;
}

/* Silence is MHD's to end; a byte now and then does not help. */
static void end_slow(const struct http *http)
{
	uint64_t now_s = http_now_s(http);

	for (struct http_client *client = http->clients; client != NULL; client = client->next) {
		const union MHD_ConnectionInfo *info;

		if (client->streaming || now_s - client->since_s <= patience_s(client, is_full(client)))
			continue;
		info = MHD_get_connection_info(client->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		if (info != NULL)
			(void)shutdown(info->connect_fd, SHUT_RDWR);
	}
}

/* --- doors --- */

static void run_door(struct http_door *door);

static void on_timer(uv_timer_t *timer)
{
	run_door(timer->data);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	run_door(poll->data);
}

static unsigned count_connections(const struct http_door *door)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(door->mhd, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info != NULL ? info->num_connections : 0;
}

static void run_door(struct http_door *door)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;
	unsigned before = count_connections(door);

	(void)MHD_run(door->mhd);
	/* One that was at its limit listens again only when it is run once more. */
	if (count_connections(door) < before)
		(void)uv_timer_start(&door->timer, on_timer, 0, 0);
	else if (MHD_get_timeout(door->mhd, &wait_ms) == MHD_YES)
		(void)uv_timer_start(&door->timer, on_timer, wait_ms, 0);
	else
		(void)uv_timer_stop(&door->timer);
}

/* libmicrohttpd's descriptor does not tell of connections that were resumed. */
void http_run_soon(const struct http *http)
{
	for (struct http_door *door = http->doors; door != NULL; door = door->next)
		(void)uv_timer_start(&door->timer, on_timer, 0, 0);
}

static void on_closed(uv_handle_t *handle)
{
	struct http_door *door = handle->data;

	if (--door->open == 0)
		free(door);
}

/* Without the socket, which is in `set` still. */
static void stop_door(struct http_door *door)
{
	uv_close((uv_handle_t *)&door->poll, on_closed);
	uv_close((uv_handle_t *)&door->timer, on_closed);
	/* It would shut the socket down, which may be another process's by now. */
	(void)MHD_quiesce_daemon(door->mhd);
	MHD_stop_daemon(door->mhd);
}

static void close_door(struct http_door *door, bool keep_file)
{
	bool has_handles = door->open > 0;

	if (has_handles)
		stop_door(door);
	if (!keep_file)
		listener_remove_files(&door->set, NULL);
	listener_close(&door->set);
	if (!has_handles)
		free(door);
}

/* Of a path with an escaped zero only what stands before it would be looked at. As it stands it is no path of ours. */
static size_t unescape(void *context, struct MHD_Connection *connection, char *text)
{
	(void)context;
	(void)connection;
	return strstr(text, "%00") != NULL ? strlen(text) : MHD_http_unescape(text);
}

static struct MHD_Daemon *start_mhd(struct http *http, int fd)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, http_answer, http,
	                        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS,
	                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_CONNECTION_BYTES,
	                        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_TIMEOUT_S, MHD_OPTION_STRICT_FOR_CLIENT, 1,
	                        MHD_OPTION_NOTIFY_CONNECTION, on_client, http, MHD_OPTION_NOTIFY_COMPLETED, on_answered,
	                        http, MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_END);
}

static int start_door(struct http_door *door, struct error *error)
{
	uv_loop_t *loop = &door->http->daemon->loop;
	const union MHD_DaemonInfo *info;

	door->mhd = start_mhd(door->http, door->set.at[0].fds[0]);
	if (door->mhd == NULL)
		return error_set(error, "HTTP cannot be served: not enough memory, or raise the limit of open files");
	info = MHD_get_daemon_info(door->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL || uv_poll_init(loop, &door->poll, info->epoll_fd) != 0) {
		(void)MHD_quiesce_daemon(door->mhd);
		MHD_stop_daemon(door->mhd);
		return error_set(error, "HTTP cannot be served: not enough memory");
	}
	(void)uv_timer_init(loop, &door->timer);
	door->open = 2;
	door->poll.data = door->timer.data = door;
	return 0;
}

/* The file of a unix socket belongs to whom the gateway runs as, and to their group. */
static struct config_listener section_of(const struct config *config)
{
	return (struct config_listener){
	    .unix_mode = 0660, .unix_owner = config->gateway.user, .unix_group = config->gateway.group};
}

static int open_door(struct http *http, const struct config *config, const struct address *asked,
                     const struct listener_set *inherited, struct error *error)
{
	const struct config_listener section = section_of(config);
	struct http_door *door = calloc(1, sizeof(*door));

	if (door == NULL)
		return error_set(error, "not enough memory");
	door->http = http;
	if (listener_open_control(&door->set, asked, &section, inherited, error) != 0 || start_door(door, error) != 0) {
		/* Of what is passed on the file is the other process's still. */
		close_door(door, inherited != NULL && inherited->count > 0);
		return -1;
	}
	door->next = http->prepared;
	http->prepared = door;
	return 0;
}

/* One whose file is gone is of no use. Under chroot the path leads elsewhere, and says nothing. */
static bool is_reached(const struct http_door *door, const struct config *config)
{
	const struct listener *listener = &door->set.at[0];

	return listener->asked.kind != ADDRESS_UNIX || config->gateway.chroot != NULL || listener_unix_is_there(listener);
}

static struct http_door *find_door(struct http *http, const struct config *config, const struct address *asked)
{
	for (struct http_door *door = http->doors; door != NULL; door = door->next)
		if (!door->kept && address_equal(&door->set.at[0].asked, asked) && is_reached(door, config))
			return door;
	return NULL;
}

/* --- the whole --- */

struct http *http_new(struct daemon *daemon, struct error *error)
{
	struct http *http = calloc(1, sizeof(*http));

	if (http != NULL)
		http->history = history_new();
	if (http == NULL || http->history == NULL) {
		free(http);
		error_set(error, "not enough memory");
		return NULL;
	}
	http->daemon = daemon;
	http->events = http_events_new(http, error);
	if (http->events != NULL)
		return http;
	http_free(http);
	return NULL;
}

int http_prepare(struct http *http, const struct config *config, const struct listener_set *inherited,
                 struct error *error)
{
	const struct address_list *asked = &config->control.http;

	for (size_t i = 0; i < asked->count; i++) {
		struct http_door *door = find_door(http, config, &asked->at[i]);

		if (door != NULL) {
			door->kept = true;
			continue;
		}
		if (open_door(http, config, &asked->at[i], inherited, error) == 0)
			continue;
		http_forget(http);
		return error_prefix(error, "%s:%u: [control] http", config->file,
		                    config_line_of(config, "control", NULL, "http"));
	}
	return 0;
}

static void close_doors(struct http_door *door, bool keep_files)
{
	struct http_door *next;

	for (; door != NULL; door = next) {
		next = door->next;
		close_door(door, keep_files);
	}
}

void http_forget(struct http *http)
{
	if (http == NULL)
		return;
	close_doors(http->prepared, false);
	http->prepared = NULL;
	for (struct http_door *door = http->doors; door != NULL; door = door->next)
		door->kept = false;
}

static void say_listening(const struct http_door *door)
{
	struct logline line;
	char text[ADDRESS_TEXT_SIZE];

	log_begin(&line, MESSAGE_HTTP_LISTENING, NULL);
	log_text(&line, "address", socket_format(&door->set.at[0].bound, text));
	log_end(&line);
}

void http_use(struct http *http)
{
	struct http_door *old = http->doors, *gone = NULL, *next;

	http->doors = http->prepared;
	http->prepared = NULL;
	for (struct http_door *door = http->doors; door != NULL; door = door->next) {
		(void)uv_poll_start(&door->poll, UV_READABLE, on_ready);
		say_listening(door);
		run_door(door);
	}
	for (; old != NULL; old = next) {
		struct http_door **list = old->kept ? &http->doors : &gone;

		next = old->next;
		old->kept = false;
		old->next = *list;
		*list = old;
	}
	if (gone != NULL)
		http_events_end(http);
	close_doors(gone, false);
}

const struct listener_set *http_listeners(struct http *http)
{
	const struct http_door *const lists[] = {http->doors, http->prepared};
	struct listener_set *set = &http->listeners;
	size_t count = 0;

	free(set->at);
	memset(set, 0, sizeof(*set));
	for (size_t i = 0; i < 2; i++)
		for (const struct http_door *door = lists[i]; door != NULL; door = door->next)
			count++;
	set->at = count > 0 ? calloc(count, sizeof(*set->at)) : NULL;
	for (size_t i = 0; i < 2 && set->at != NULL; i++)
		for (const struct http_door *door = lists[i]; door != NULL; door = door->next)
			set->at[set->count++] = door->set.at[0];
	return set;
}

void http_tick(struct http *http)
{
	struct metrics_totals totals;

	metrics_totals(http->daemon->metrics, &totals);
	history_note(http->history, http_now_s(http),
	             &(struct history_sample){.secured = totals.links[METRICS_SECURED],
	                                      .clear = totals.links[METRICS_CLEAR],
	                                      .refused = totals.refusals,
	                                      .handshakes = totals.handshakes});
	if (http->doors == NULL)
		return;
	end_slow(http);
	http_events_tick(http);
	http_watch_workers(http);
}

void http_close(struct http *http, bool keep_files)
{
	if (http == NULL)
		return;
	http_events_end(http);
	close_doors(http->prepared, keep_files);
	close_doors(http->doors, keep_files);
	http->doors = http->prepared = NULL;
}

void http_free(struct http *http)
{
	if (http == NULL)
		return;
	free(http->listeners.at);
	http_events_free(http->events);
	history_free(http->history);
	free(http);
}
