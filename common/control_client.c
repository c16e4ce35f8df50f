/* Who asks at the control socket: one request, and its answer. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control_parts.h"
#include "daemon_parts.h"
#include "jsontext.h"
#include "log.h"

#define BEHIND_BYTES (1024 * 1024) /* what may wait for a client whose answer goes on */

/* A client, from its accept on. Its memory goes when its two handles are closed. */
struct control_reply {
	struct control *control;
	struct control_reply *next, *previous;
	uv_pipe_t pipe;
	uv_timer_t timer;
	unsigned open;  /* handles */
	uid_t uid;      /* of the process that has connected, by the kernel's word, as is pid */
	pid_t pid;
	uint64_t began_ms;
	bool yielding;  /* its deadline is that of CONTROL_SILENT_MS */
	bool answering; /* the request is there, or was refused */
	bool finished;  /* all of the answer was given to `pipe` */
	bool closing;
	bool streaming; /* `source` has more */
	bool has_part;  /* one was written */
	struct control_source source;
	void (*gone)(void *owner);
	void *owner;
	size_t used;
	char request[CONTROL_REQUEST_BYTES + 1];
};

/* --- its end --- */

static void on_handle_closed(uv_handle_t *handle)
{
	struct control_reply *client = handle->data;

	if (--client->open == 0)
		free(client);
}

static void end_source(struct control_reply *client)
{
	if (!client->streaming)
		return;
	client->streaming = false;
	client->source.free(client->source.owner);
}

static void close_client(struct control_reply *client)
{
	struct control *control = client->control;
	void (*gone)(void *owner) = client->gone;

	if (client->closing)
		return;
	client->closing = true;
	*(client->previous != NULL ? &client->previous->next : &control->clients) = client->next;
	if (client->next != NULL)
		client->next->previous = client->previous;
	control->count--;
	uv_close((uv_handle_t *)&client->pipe, on_handle_closed);
	uv_close((uv_handle_t *)&client->timer, on_handle_closed);
	end_source(client);
	client->gone = NULL;
	if (gone != NULL)
		gone(client->owner);
	control_left(control);
}

void control_cut(struct control *control)
{
	for (struct control_reply *client = control->clients, *next; client != NULL; client = next) {
		next = client->next;
		close_client(client);
	}
}

/* --- what is written --- */

struct writing {
	uv_write_t write;
	struct control_reply *client;
	char *text; /* owned */
};

static void write_part(struct control_reply *client);

static void on_written(uv_write_t *write, int status)
{
	struct writing *writing = (struct writing *)(void *)write;
	struct control_reply *client = writing->client;

	free(writing->text);
	free(writing);
	if (client->closing)
		return;
	if (status != 0)
		close_client(client);
	else if (uv_stream_get_write_queue_size((uv_stream_t *)&client->pipe) > 0)
		return;
	else if (client->finished)
		close_client(client);
	else if (client->streaming)
		write_part(client);
	else
		(void)uv_timer_stop(&client->timer);
}

static void on_late(uv_timer_t *timer);

/* Takes over `text`. 0, or -1 without memory. */
static int write_text(struct control_reply *client, char *text)
{
	struct writing *writing = calloc(1, sizeof(*writing));
	uv_buf_t buffer = uv_buf_init(text, text != NULL ? (unsigned)strlen(text) : 0);

	if (writing == NULL || text == NULL)
		goto err;
	writing->client = client;
	writing->text = text;
	(void)uv_timer_start(&client->timer, on_late, CONTROL_REPLY_DEADLINE_MS, 0);
	if (uv_write(&writing->write, (uv_stream_t *)&client->pipe, &buffer, 1, on_written) == 0)
		return 0;
err:
	free(writing);
	free(text);
	return -1;
}

/* Takes over `value`. One line. */
static int write_line(struct control_reply *client, json_t *value)
{
	size_t size;
	char *text = json_line(value, &size), *line = text != NULL ? realloc(text, size + 2) : NULL;

	if (line == NULL) {
		free(text);
		return -1;
	}
	memcpy(line + size, "\n", 2);
	return write_text(client, line);
}

static bool is_behind(const struct control_reply *reply)
{
	return uv_stream_get_write_queue_size((const uv_stream_t *)&reply->pipe) > BEHIND_BYTES;
}

int control_send(struct control_reply *reply, json_t *answer)
{
	if (!is_behind(reply))
		return write_line(reply, json_pack("{s:b,s:o}", "ok", 1, "answer", answer));
	json_decref(answer);
	return -1;
}

int control_send_text(struct control_reply *reply, char *text)
{
	char *line = NULL;

	if (text == NULL || is_behind(reply) || asprintf(&line, "{\"ok\":true,\"answer\":%s}\n", text) < 0)
		line = NULL;
	free(text);
	return line != NULL ? write_text(reply, line) : -1;
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
	if (uv_stream_get_write_queue_size((uv_stream_t *)&reply->pipe) == 0)
		close_client(reply);
}

/* No request came of it. */
static void refuse(struct control_reply *client, const char *words)
{
	client->answering = true;
	control_fail(client, words);
	control_finish(client);
}

/* Something has come that was not read yet: timers run before that. */
static bool has_unread(const struct control_reply *client)
{
	char byte;
	int fd;

	return uv_fileno((const uv_handle_t *)&client->pipe, &fd) == 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

static void on_late(uv_timer_t *timer)
{
	struct control_reply *client = timer->data;

	if (client->answering)
		close_client(client);
	else if (client->yielding && has_unread(client))
		(void)uv_timer_start(timer, on_late, 1, 0);
	else if (client->yielding)
		refuse(client,
		       "others wait, and the request was not complete within 0.1 s: it is a line that ends in a line feed");
	else
		refuse(client, "the request was not complete within 5 s: it is a line that ends in a line feed");
}

static unsigned silent_ones(const struct control *control, uid_t uid)
{
	unsigned count = 0;

	for (const struct control_reply *client = control->clients; client != NULL; client = client->next)
		count += !client->answering && client->uid == uid;
	return count;
}

void control_make_way(struct control *control)
{
	struct control_reply *chosen = NULL;
	unsigned most = 0;
	uint64_t age_ms;

	/* The first are the youngest. */
	for (struct control_reply *client = control->clients; client != NULL; client = client->next) {
		unsigned count = client->answering ? 0 : silent_ones(control, client->uid);

		if (count == 0 || count < most)
			continue;
		most = count;
		chosen = client;
	}
	if (chosen == NULL || chosen->yielding)
		return;
	age_ms = uv_now(&control->daemon->loop) - chosen->began_ms;
	chosen->yielding = true;
	(void)uv_timer_start(&chosen->timer, on_late, age_ms < CONTROL_SILENT_MS ? CONTROL_SILENT_MS - age_ms : 0, 0);
}

/* --- answers that come later, or in parts --- */

struct control_reply *control_later(struct control_request *request, void (*gone)(void *owner), void *owner)
{
	request->later = true;
	request->reply->gone = gone;
	request->reply->owner = owner;
	return request->reply;
}

/* The elements of an array, behind those that were written. NULL without memory. */
static char *elements_text(const struct control_reply *client, json_t *part)
{
	bool is_empty = json_array_size(part) == 0;
	const char *before = is_empty || !client->has_part ? "" : ",";
	char *text = json_line(part, NULL), *elements = NULL;

	if (text == NULL)
		return NULL;
	/* Without its brackets. */
	text[strlen(text) - 1] = '\0';
	if (asprintf(&elements, "%s%s", before, text + 1) < 0)
		elements = NULL;
	free(text);
	return elements;
}

/* An empty part is nothing to wait for a client with: a few of them are passed over at once. */
static void write_part(struct control_reply *client)
{
	json_t *part = client->source.next(client->source.owner);
	bool is_empty = json_array_size(part) == 0;
	char *text;

	if (part == NULL) {
		end_source(client);
		client->finished = true;
		if (write_text(client, strdup("]}\n")) != 0)
			close_client(client);
		return;
	}
	text = elements_text(client, part);
	/* A write of nothing ends in a later turn of the loop, too. */
	if (text == NULL || write_text(client, text) != 0)
		close_client(client);
	else if (!is_empty)
		client->has_part = true;
}

void control_stream(struct control_request *request, const struct control_source *source)
{
	struct control_reply *client = request->reply;

	request->later = true;
	client->source = *source;
	client->streaming = true;
	if (write_text(client, strdup("{\"ok\":true,\"answer\":[")) != 0)
		close_client(client);
}

/* --- a request --- */

static bool is_printable(const char *line, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((line[i] < ' ' || line[i] > '~') && line[i] != '\t' && line[i] != '\r')
			return false;
	return true;
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

void control_say_told(const struct control_request *request, const char *verb)
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
}

static const struct control_verb *find(struct control_request *request, const char *name)
{
	const struct control_verb *verb = control_verb_find(name, (unsigned)request->daemon->program);

	if (verb == NULL)
		(void)error_set(&request->error, "%.64s is not known: help lists what is", name);
	else if (request->count < verb->least || request->count > verb->most)
		(void)error_set(&request->error, "%s takes other words: %s %s", name, name, verb->words);
	else
		return verb;
	return NULL;
}

/* What comes of the words: NULL with request->error, or later. */
static json_t *obey(struct control_request *request, char **words, int count)
{
	const struct control_verb *verb;

	if (count <= 0) {
		(void)error_set(&request->error, count == 0 ? "nothing was asked: help lists what can be" : "too many words");
		return NULL;
	}
	request->count = (size_t)count - 1;
	request->words = words + 1;
	verb = find(request, words[0]);
	if (verb == NULL)
		return NULL;
	if (verb->changes)
		control_say_told(request, verb->name);
	return verb->run(request);
}

static void answer(struct control_reply *client, size_t size)
{
	struct control_request request = {.daemon = client->control->daemon, .reply = client};
	char *words[CONTROL_WORDS];
	json_t *said;

	if (!is_printable(client->request, size)) {
		refuse(client, "the request holds bytes that are not printable ASCII");
		return;
	}
	client->answering = true;
	(void)uv_timer_stop(&client->timer);
	request.uid = client->uid;
	request.pid = client->pid;
	said = obey(&request, words, split(client->request, words));
	log_flush();
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
		/* Half-closed, it still reads. What goes on and on ends with the client's side. */
		if (got < 0 && (got != UV_EOF || client->gone != NULL))
			close_client(client);
		return;
	}
	if (got > 0)
		client->used += (size_t)got;
	end = memchr(client->request, '\n', client->used);
	if (end != NULL || (got == UV_EOF && client->used > 0)) {
		size_t size = end != NULL ? (size_t)(end - client->request) : client->used;

		client->request[size] = '\0';
		answer(client, size);
	} else if (got < 0) {
		close_client(client);
	} else if (client->used == CONTROL_REQUEST_BYTES) {
		refuse(client, "the request is too long: at most 4096 bytes");
	}
}

static void learn_caller(struct control_reply *client, int fd)
{
	struct ucred caller = {.uid = (uid_t)-1};
	socklen_t size = sizeof(caller);

	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &caller, &size);
	client->uid = caller.uid;
	client->pid = caller.pid;
}

void control_serve(struct control *control, int fd)
{
	struct control_reply *client = calloc(1, sizeof(*client));
	uv_loop_t *loop = &control->daemon->loop;

	if (client == NULL) {
		close(fd);
		return;
	}
	client->control = control;
	client->began_ms = uv_now(loop);
	learn_caller(client, fd);
	(void)uv_pipe_init(loop, &client->pipe, 0);
	(void)uv_timer_init(loop, &client->timer);
	client->pipe.data = client->timer.data = client;
	client->open = 2;
	client->next = control->clients;
	if (control->clients != NULL)
		control->clients->previous = client;
	control->clients = client;
	control->count++;
	(void)uv_timer_start(&client->timer, on_late, CONTROL_DEADLINE_MS, 0);
	if (uv_pipe_open(&client->pipe, fd) != 0) {
		close(fd);
		close_client(client);
	} else if (uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read) != 0) {
		close_client(client);
	}
}
