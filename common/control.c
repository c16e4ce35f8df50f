/* The control socket, and those who ask there. */
#include "control.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "daemon_parts.h"
#include "jsontext.h"
#include "log.h"

#define BEHIND_BYTES (1024 * 1024) /* what may wait for a client that reads an answer which goes on */

/* A listening socket. Its memory goes when its handle is closed. */
struct door {
	struct control *control;
	struct listener_set set;
	uv_pipe_t pipe;
	bool watched; /* `pipe` is open */
};

struct control {
	struct daemon *daemon;
	struct door *door, *prepared; /* owned; NULL: none. The same where the configuration has not changed */
	bool is_prepared;
	struct control_reply *first;
	size_t count;
};

/* A client, from its accept on. */
struct control_reply {
	struct control *control;
	struct control_reply *next, *previous;
	uv_pipe_t pipe;
	uv_timer_t timer;
	unsigned open; /* handles */
	bool answering, finished, closing;
	void (*gone)(void *owner);
	void *owner;
	size_t used;
	char request[CONTROL_REQUEST_BYTES + 1];
};

/* --- a client --- */

static void on_handle_closed(uv_handle_t *handle)
{
	struct control_reply *client = handle->data;

	if (--client->open == 0)
		free(client);
}

static void close_client(struct control_reply *client)
{
	struct control *control = client->control;
	void (*gone)(void *owner) = client->gone;

	if (client->closing)
		return;
	client->closing = true;
	*(client->previous != NULL ? &client->previous->next : &control->first) = client->next;
	if (client->next != NULL)
		client->next->previous = client->previous;
	control->count--;
	uv_close((uv_handle_t *)&client->pipe, on_handle_closed);
	uv_close((uv_handle_t *)&client->timer, on_handle_closed);
	client->gone = NULL;
	if (gone != NULL)
		gone(client->owner);
}

static void on_late(uv_timer_t *timer)
{
	close_client(timer->data);
}

struct line {
	uv_write_t write;
	struct control_reply *client;
	char *text; /* owned */
};

static void on_written(uv_write_t *write, int status)
{
	struct line *line = (struct line *)(void *)write;
	struct control_reply *client = line->client;

	free(line->text);
	free(line);
	if (client->closing)
		return;
	if (status != 0 || (client->finished && client->pipe.write_queue_size == 0))
		close_client(client);
	else if (client->pipe.write_queue_size == 0)
		(void)uv_timer_stop(&client->timer);
}

/* Takes over `text`. */
static int write_text(struct control_reply *client, char *text)
{
	struct line *line = calloc(1, sizeof(*line));
	uv_buf_t buffer = uv_buf_init(text, text != NULL ? (unsigned)strlen(text) : 0);

	if (line == NULL || text == NULL) {
		free(line);
		free(text);
		return -1;
	}
	line->client = client;
	line->text = text;
	(void)uv_timer_start(&client->timer, on_late, CONTROL_REPLY_DEADLINE_MS, 0);
	if (uv_write(&line->write, (uv_stream_t *)&client->pipe, &buffer, 1, on_written) == 0)
		return 0;
	free(line);
	free(text);
	return -1;
}

/* Takes over `value`. One line, with its line feed. */
static int write_line(struct control_reply *client, json_t *value)
{
	size_t size;
	char *text = json_line(value, &size), *line = text != NULL ? realloc(text, size + 2) : NULL;

	if (line == NULL) {
		free(text);
		return -1;
	}
	line[size] = '\n';
	line[size + 1] = '\0';
	return write_text(client, line);
}

int control_send(struct control_reply *reply, json_t *answer)
{
	if (reply->pipe.write_queue_size > BEHIND_BYTES) {
		json_decref(answer);
		return -1;
	}
	return write_line(reply, json_pack("{s:b,s:o}", "ok", 1, "answer", answer));
}

static void fail(struct control_reply *reply, const char *words, json_t *findings)
{
	json_t *whole = json_pack("{s:b,s:o}", "ok", 0, "error", json_of_text(words));

	if (json_array_size(findings) > 0)
		(void)json_object_set(whole, "findings", findings);
	(void)!write_line(reply, whole);
}

void control_fail(struct control_reply *reply, const char *words)
{
	fail(reply, words, NULL);
}

void control_finish(struct control_reply *reply)
{
	reply->gone = NULL;
	reply->finished = true;
	if (reply->pipe.write_queue_size == 0)
		close_client(reply);
}

struct control_reply *control_later(struct control_request *request, void (*gone)(void *owner), void *owner)
{
	request->later = true;
	request->reply->gone = gone;
	request->reply->owner = owner;
	return request->reply;
}

/* --- a request --- */

static void learn_caller(struct control_reply *client, struct control_request *request)
{
	struct ucred caller = {.uid = (uid_t)-1};
	socklen_t size = sizeof(caller);
	int fd;

	if (uv_fileno((uv_handle_t *)&client->pipe, &fd) == 0)
		(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &caller, &size);
	request->uid = caller.uid;
	request->pid = caller.pid;
}

/* The words of the line, in place. How many, or -1: too many. */
static int split(char *line, char **words)
{
	char *save = NULL;
	int count = 0;

	for (char *word = strtok_r(line, " \t\r", &save); word != NULL; word = strtok_r(NULL, " \t\r", &save)) {
		if (count == CONTROL_WORDS)
			return -1;
		words[count++] = word;
	}
	return count;
}

static void say_changed(const struct control_request *request, const char *verb)
{
	struct logline line;
	char words[256];
	struct text text;

	text_init(&text, words, sizeof(words));
	text_puts(&text, verb);
	for (size_t i = 0; i < request->count; i++)
		text_printf(&text, " %s", request->words[i]);
	log_begin(&line, MESSAGE_CONTROLLED, NULL);
	log_text(&line, "request", words);
	log_number(&line, "uid", request->uid);
	log_number(&line, "pid", (uint64_t)request->pid);
	log_end(&line);
	log_flush();
}

static const struct control_verb *find(struct control_request *request, const char *name)
{
	const struct control_verb *verb = control_verb_find(name, (unsigned)request->daemon->program);

	if (verb == NULL)
		(void)error_set(&request->error, "%s is not known: help lists what is", name);
	else if (request->count < verb->least || request->count > verb->most)
		(void)error_set(&request->error, "%s takes other words: %s %s", name, name, verb->words);
	else
		return verb;
	return NULL;
}

static void answer(struct control_reply *client, char *line)
{
	struct control_request request = {.daemon = client->control->daemon, .reply = client};
	char *words[CONTROL_WORDS];
	int count = split(line, words);
	const struct control_verb *verb = NULL;
	json_t *said = NULL;

	client->answering = true;
	learn_caller(client, &request);
	if (count <= 0) {
		(void)error_set(&request.error, count == 0 ? "nothing was asked: help lists what can be" : "too many words");
	} else {
		request.count = (size_t)count - 1;
		request.words = words + 1;
		verb = find(&request, words[0]);
	}
	if (verb != NULL && verb->changes)
		say_changed(&request, verb->name);
	if (verb != NULL)
		said = verb->run(&request);
	if (request.later)
		return;
	if (said == NULL)
		fail(client, request.error.text[0] != '\0' ? request.error.text : "not enough memory", request.findings);
	else if (control_send(client, said) != 0)
		control_fail(client, "not enough memory");
	json_decref(request.findings);
	control_finish(client);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	struct control_reply *client = handle->data;
	static char rest[256]; /* what comes behind a request is not looked at */

	(void)suggested;
	if (client->answering)
		*buffer = uv_buf_init(rest, sizeof(rest));
	else
		*buffer = uv_buf_init(client->request + client->used, (unsigned)(CONTROL_REQUEST_BYTES - client->used));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
	struct control_reply *client = stream->data;
	char *end;

	(void)buffer;
	if (client->closing || got == 0)
		return;
	if (client->answering) {
		/* Half-closed: it still reads. What goes on ends with the client's side. */
		if (got < 0 && (got != UV_EOF || client->gone != NULL))
			close_client(client);
		return;
	}
	if (got > 0)
		client->used += (size_t)got;
	client->request[client->used] = '\0';
	end = memchr(client->request, '\n', client->used);
	if (end != NULL)
		*end = '\0';
	if (end != NULL || (got == UV_EOF && client->used > 0)) {
		answer(client, client->request);
	} else if (got < 0) {
		close_client(client);
	} else if (client->used == CONTROL_REQUEST_BYTES) {
		client->answering = true;
		control_fail(client, "the request is too long");
		control_finish(client);
	}
}

/* --- accepting --- */

static void add_client(struct control *control, uv_stream_t *listening)
{
	struct control_reply *client = calloc(1, sizeof(*client));
	uv_loop_t *loop = &control->daemon->loop;

	if (client == NULL)
		return;
	client->control = control;
	(void)uv_pipe_init(loop, &client->pipe, 0);
	(void)uv_timer_init(loop, &client->timer);
	client->pipe.data = client->timer.data = client;
	client->open = 2;
	client->next = control->first;
	if (control->first != NULL)
		control->first->previous = client;
	control->first = client;
	control->count++;
	(void)uv_timer_start(&client->timer, on_late, CONTROL_DEADLINE_MS, 0);
	if (uv_accept(listening, (uv_stream_t *)&client->pipe) != 0 ||
	    uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read) != 0) {
		close_client(client);
	} else if (control->count > CONTROL_CLIENTS) {
		client->answering = true;
		control_fail(client, "too many at once");
		control_finish(client);
	}
}

static void on_connection(uv_stream_t *listening, int status)
{
	struct door *door = listening->data;

	if (status == 0)
		add_client(door->control, listening);
}

/* --- the socket --- */

static void on_door_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void close_door(struct door *door, bool keep_file)
{
	if (door == NULL)
		return;
	if (!keep_file)
		listener_remove_files(&door->set, NULL);
	listener_close(&door->set);
	if (door->watched)
		uv_close((uv_handle_t *)&door->pipe, on_door_closed);
	else
		free(door);
}

static struct door *open_door(struct control *control, const struct config *config, const struct listener_set *inherited,
                              struct error *error)
{
	const struct config_listener section = {.unix_mode = config->control.mode};
	struct door *door = calloc(1, sizeof(*door));
	struct address asked;
	char text[ADDRESS_TEXT_SIZE];

	if (door == NULL) {
		(void)error_set(error, "not enough memory");
		return NULL;
	}
	door->control = control;
	(void)snprintf(text, sizeof(text), "unix:%s", config->control.socket);
	if (address_parse(text, 0, &asked, error) == 0 &&
	    listener_open_control(&door->set, &asked, &section, inherited, error) == 0)
		return door;
	free(door);
	(void)error_prefix(error, "[control] socket");
	(void)error_at(error, "control", NULL, "socket");
	return NULL;
}

static bool is_at(const struct door *door, const char *path)
{
	return door != NULL && strcmp(door->set.at[0].asked.socket.local.sun_path, path) == 0;
}

static int watch_door(struct door *door)
{
	int fd = dup(door->set.at[0].fds[0]);

	(void)uv_pipe_init(&door->control->daemon->loop, &door->pipe, 0);
	door->pipe.data = door;
	door->watched = true;
	if (fd >= 0 && uv_pipe_open(&door->pipe, fd) == 0)
		return uv_listen((uv_stream_t *)&door->pipe, SOMAXCONN, on_connection);
	if (fd >= 0)
		close(fd);
	return -1;
}

struct control *control_new(struct daemon *daemon, struct error *error)
{
	struct control *control = calloc(1, sizeof(*control));

	if (control == NULL)
		(void)error_set(error, "not enough memory");
	else
		control->daemon = daemon;
	return control;
}

int control_prepare(struct control *control, const struct config *config, const struct listener_set *inherited,
                    struct error *error)
{
	const char *path = config->control.socket;

	control->is_prepared = true;
	control->prepared = NULL;
	if (path == NULL)
		return 0;
	if (is_at(control->door, path))
		control->prepared = control->door;
	else
		control->prepared = open_door(control, config, inherited, error);
	if (control->prepared != NULL && unixsocket_set_mode(path, (mode_t)config->control.mode, error) == 0)
		return 0;
	control_forget(control);
	return -1;
}

void control_use(struct control *control)
{
	if (!control->is_prepared)
		return;
	if (control->prepared != control->door) {
		close_door(control->door, false);
		control->door = control->prepared;
	}
	control->prepared = NULL;
	control->is_prepared = false;
	if (control->door != NULL && !control->door->watched && watch_door(control->door) != 0)
		log_say(MESSAGE_CONTROL_FAILED, "[control] socket cannot be watched: raise the limit of open files");
}

void control_forget(struct control *control)
{
	if (control == NULL || !control->is_prepared)
		return;
	if (control->prepared != control->door)
		close_door(control->prepared, false);
	control->prepared = NULL;
	control->is_prepared = false;
}

const struct listener_set *control_listeners(const struct control *control)
{
	static const struct listener_set none;
	const struct door *door = control->door != NULL ? control->door : control->prepared;

	return door != NULL ? &door->set : &none;
}

void control_close(struct control *control, bool keep_files)
{
	if (control == NULL)
		return;
	while (control->first != NULL)
		close_client(control->first);
	if (control->is_prepared && control->prepared != control->door)
		close_door(control->prepared, keep_files);
	close_door(control->door, keep_files);
	control->door = control->prepared = NULL;
	control->is_prepared = false;
}

void control_free(struct control *control)
{
	free(control);
}
