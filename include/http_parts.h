/*
 * What http.c (sockets, connections), http_reply.c (requests), http_status.c, http_metrics.c and http_events.c
 * (answers) share. Nobody else includes it. Main thread only.
 */
#ifndef HTTP_PARTS_H
#define HTTP_PARTS_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "address.h"
#include "daemon_parts.h"
#include "history.h"
#include "http.h"
#include "listener.h"

/* Connections that one address takes at once; more wait in its backlog. */
#define HTTP_CONNECTIONS 64
#define HTTP_CONNECTION_BYTES (16 * 1024)
#define HTTP_TIMEOUT_S 10  /* for silence, and for a whole request that is not the first */
#define HTTP_REQUEST_S 4   /* for the first request, all of it */
#define HTTP_FULL_S 1      /* for either, while an address takes no more connections */
#define HTTP_REPLY_S 60    /* for a whole answer; events apart */

struct http_door;
struct http_events;

struct http {
	struct daemon *daemon;
	struct http_door *doors, *prepared;
	struct http_client *clients;
	struct listener_set listeners; /* of http_listeners: an array of our own, with borrowed members */
	struct history *history;
	struct http_events *events;
	uint64_t ticks, requests[6]; /* answered, by the first digit of the status */
	bool closing;
};

/* A client's connection. */
struct http_client {
	struct http_client *next, *previous;
	struct http *http;
	struct MHD_Connection *connection;
	uint64_t since_s;  /* when the request or answer at hand began */
	bool answering, streaming;
	bool was_answered; /* a request before */
};

/* An answer. `body` is malloc'ed and becomes the reply's; or `fixed` is there for ever. */
struct http_reply {
	unsigned status;
	const char *type;
	char *body;
	const void *fixed;
	size_t size;
};

/* The files of the page, embedded: NULL where there is none at this path. */
struct http_file {
	const char *path, *type;
	const unsigned char *at;
	size_t size;
};
const struct http_file *http_file(const char *path);

/* http_reply.c: the handler of all requests. */
enum MHD_Result http_answer(void *context, struct MHD_Connection *connection, const char *path, const char *method,
                            const char *version, const char *upload, size_t *upload_size, void **state);

/* Give `response` (its reference is taken over; NULL: no memory) the headers that all have, and send it. */
enum MHD_Result http_send(struct MHD_Connection *connection, unsigned status, const char *type,
                          struct MHD_Response *response);

/* http_events.c: those who listen to events. `new` takes note of all events from now on while somebody listens; NULL
 * with `error`. free comes when the loop is closed; NULL does nothing. */
#define HTTP_LISTENERS 8
struct http_events *http_events_new(struct http *http, struct error *error) MUST_CHECK;
void http_events_free(struct http_events *events);

/* One more, on this connection. */
enum MHD_Result http_events_answer(struct http *http, struct MHD_Connection *connection);

unsigned http_events_count(const struct http *http);

/* A second has passed. */
void http_events_tick(struct http *http);

/* End all: they come again by themselves. To be called before a connection's MHD_Daemon is stopped. */
void http_events_end(struct http *http);

/* http_status.c, http_metrics.c: fill in the reply; on failure it stays as it is (500). */
void http_status(struct http *http, struct http_reply *reply);
void http_health(struct http *http, struct http_reply *reply);
void http_ready(struct http *http, struct http_reply *reply);
void http_metrics(struct http *http, struct http_reply *reply);

/* http_status.c: ask the workers whether they are alive. */
void http_watch_workers(struct http *http);

/* Let all daemons go on, in the loop's next turn. */
void http_run_soon(const struct http *http);

/* Seconds of a clock that does not jump. */
uint64_t http_now_s(const struct http *http);

#endif
