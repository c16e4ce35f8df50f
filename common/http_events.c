/* /events: what happens, as it happens, to those who listen (server-sent events). */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "event_json.h"
#include "eventring.h"
#include "http_parts.h"
#include "memfile.h"

#define RING_BYTES (256 * 1024)
#define LINES_BYTES (64 * 1024) /* taken from the ring at once; no line is longer */
#define SEND_BYTES (64 * 1024)
#define HEARTBEAT_S 15
#define LINGER_S 60 /* events are kept for so long after the last listener, who may only be about to come again */

/* One who listens. */
struct http_stream {
	struct http_stream *next, *previous;
	struct http_events *events;
	struct MHD_Connection *connection;
	uint64_t line; /* the number of the next */
	bool suspended, ending, greeted, beat;
	char *out; /* what is on its way */
	size_t size, sent;
};

struct http_events {
	struct http *http;
	struct eventring *ring;
	struct notifiers_tap tap;
	uv_async_t wake;
	struct http_stream *streams;
	unsigned count;
	uint64_t stamp; /* tells our numbers from those of another process */
	uint64_t heard_s, beat_s;
	char lines[LINES_BYTES];
};

/* --- from the workers --- */

/* Any thread. */
static void on_event(void *owner, const struct cci_event *event)
{
	struct http_events *events = owner;
	size_t size = 0;
	char *line = event_json(event, &size);

	if (line != NULL)
		eventring_add(events->ring, line, size);
	free(line);
}

/* Any thread. */
static void on_woken(void *owner)
{
	struct http_events *events = owner;

	(void)uv_async_send(&events->wake);
}

/* --- to who listens --- */

static void resume_all(struct http_events *events)
{
	for (struct http_stream *stream = events->streams; stream != NULL; stream = stream->next) {
		if (stream->suspended)
			MHD_resume_connection(stream->connection);
		stream->suspended = false;
	}
	http_run_soon(events->http);
}

static void on_wake(uv_async_t *wake)
{
	resume_all(wake->data);
}

static void put_line(struct http_stream *stream, FILE *out, uint64_t number, const char *line)
{
	(void)fprintf(out, "id: %llu-%llu\ndata: %s\n\n", (unsigned long long)stream->events->stamp,
	              (unsigned long long)number, line);
}

static void put_lines(struct http_stream *stream, FILE *out)
{
	struct http_events *events = stream->events;
	uint64_t missed = 0, number = 0;
	size_t size = eventring_take(events->ring, &stream->line, events->lines, sizeof(events->lines), &missed);
	char *line = events->lines, *end, words[64];

	/* One that is longer than all our room. */
	if (size == 0 && missed == 0 && stream->line < eventring_next(events->ring)) {
		stream->line++;
		missed++;
	}
	for (size_t i = 0; i < size; i++)
		number += events->lines[i] == '\n';
	number = stream->line - number;
	if (missed > 0) {
		(void)snprintf(words, sizeof(words), "{\"event\":\"missed\",\"missed\":%llu}", (unsigned long long)missed);
		put_line(stream, out, number - 1, words);
	}
	for (; line < events->lines + size; line = end + 1) {
		end = memchr(line, '\n', (size_t)(events->lines + size - line));
		if (end == NULL)
			break;
		*end = '\0';
		put_line(stream, out, number++, line);
	}
}

/* What is to be sent next, if anything. */
static void fill(struct http_stream *stream)
{
	struct memfile text;
	FILE *out;

	free(stream->out);
	stream->out = NULL;
	stream->size = stream->sent = 0;
	out = memfile_open(&text);
	if (out == NULL)
		return;
	if (!stream->greeted)
		(void)fputs("retry: 2000\n: events as they come\n\n", out);
	stream->greeted = true;
	put_lines(stream, out);
	if (stream->beat && fflush(out) == 0 && text.size == 0)
		(void)fputs(":\n\n", out);
	stream->beat = false;
	/* Whoever was to hear of it comes again, and says what it has seen last. */
	if (memfile_close(&text, out) != 0) {
		stream->ending = true;
		return;
	}
	stream->out = text.bytes;
	stream->size = text.size;
}

static ssize_t on_read(void *context, uint64_t at, char *buffer, size_t size)
{
	struct http_stream *stream = context;

	(void)at;
	if (stream->ending)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (stream->sent == stream->size)
		fill(stream);
	if (stream->ending)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (stream->size == 0) {
		stream->suspended = true;
		MHD_suspend_connection(stream->connection);
		return 0;
	}
	if (size > stream->size - stream->sent)
		size = stream->size - stream->sent;
	memcpy(buffer, stream->out + stream->sent, size);
	stream->sent += size;
	return (ssize_t)size;
}

static void on_gone(void *context)
{
	struct http_stream *stream = context;
	struct http_events *events = stream->events;

	*(stream->previous != NULL ? &stream->previous->next : &events->streams) = stream->next;
	if (stream->next != NULL)
		stream->next->previous = stream->previous;
	events->count--;
	free(stream->out);
	free(stream);
}

/* Where who has heard so far goes on: behind the last it has seen, if that was one of ours. */
static uint64_t first_line(const struct http_events *events, struct MHD_Connection *connection)
{
	const char *last = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Last-Event-ID");
	unsigned long long stamp, line;
	uint64_t next = eventring_next(events->ring);
	int used = 0;

	/* Twenty digits may be more than fits: then it is another stamp, or a line that is not there.
	 * NOLINTNEXTLINE(cert-err34-c) */
	if (last == NULL || sscanf(last, "%20llu-%20llu%n", &stamp, &line, &used) != 2 || last[used] != '\0' ||
	    stamp != events->stamp || line >= next)
		return next;
	return line + 1;
}

static struct http_stream *new_stream(struct http_events *events, struct MHD_Connection *connection)
{
	struct http_stream *stream = calloc(1, sizeof(*stream));

	if (stream == NULL)
		return NULL;
	stream->events = events;
	stream->connection = connection;
	stream->line = first_line(events, connection);
	stream->next = events->streams;
	if (stream->next != NULL)
		stream->next->previous = stream;
	events->streams = stream;
	events->count++;
	return stream;
}

/* Who is slow misses lines soon, and takes little of the kernel's memory. */
static void keep_small(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	int size = SEND_BYTES;

	if (info != NULL)
		(void)setsockopt(info->connect_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

enum MHD_Result http_events_answer(struct http *http, struct MHD_Connection *connection)
{
	struct http_events *events = http->events;
	struct http_stream *stream = new_stream(events, connection);
	struct MHD_Response *response;

	if (stream == NULL)
		return MHD_NO;
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16 * 1024, on_read, stream, on_gone);
	if (response == NULL)
		on_gone(stream);
	keep_small(connection);
	events->heard_s = http_now_s(http);
	atomic_store_explicit(&events->tap.listening, true, memory_order_relaxed);
	return http_send(connection, MHD_HTTP_OK, "text/event-stream; charset=utf-8", response);
}

unsigned http_events_count(const struct http *http)
{
	return http->events->count;
}

/* Who is suspended is not watched: has it gone? */
static bool is_gone(const struct http_stream *stream)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(stream->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	char byte;

	return info != NULL && recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void end_gone(struct http_events *events)
{
	bool any = false;

	for (struct http_stream *stream = events->streams; stream != NULL; stream = stream->next) {
		stream->ending |= stream->suspended && is_gone(stream);
		any |= stream->ending;
	}
	if (any)
		resume_all(events);
}

void http_events_tick(struct http *http)
{
	struct http_events *events = http->events;
	uint64_t now_s = http_now_s(http);

	end_gone(events);
	if (events->count > 0)
		events->heard_s = now_s;
	else if (now_s - events->heard_s > LINGER_S)
		atomic_store_explicit(&events->tap.listening, false, memory_order_relaxed);
	if (now_s - events->beat_s < HEARTBEAT_S)
		return;
	events->beat_s = now_s;
	for (struct http_stream *stream = events->streams; stream != NULL; stream = stream->next)
		stream->beat = true;
	resume_all(events);
}

void http_events_end(struct http *http)
{
	for (struct http_stream *stream = http->events->streams; stream != NULL; stream = stream->next)
		stream->ending = true;
	resume_all(http->events);
}

/* --- the whole --- */

struct http_events *http_events_new(struct http *http, struct error *error)
{
	struct http_events *events = calloc(1, sizeof(*events));

	if (events != NULL)
		events->ring = eventring_new(RING_BYTES, on_woken, events);
	if (events == NULL || events->ring == NULL || uv_async_init(&http->daemon->loop, &events->wake, on_wake) != 0)
		goto err;
	events->http = http;
	events->wake.data = events;
	events->stamp = http->daemon->started_us / 1000;
	events->tap.tell = on_event;
	events->tap.owner = events;
	notifiers_set_tap(&events->tap);
	return events;
err:
	error_set(error, "not enough memory for events");
	if (events != NULL)
		eventring_free(events->ring);
	free(events);
	return NULL;
}

/* The handle was closed with the loop. */
void http_events_free(struct http_events *events)
{
	if (events == NULL)
		return;
	notifiers_set_tap(NULL);
	eventring_free(events->ring);
	free(events);
}
