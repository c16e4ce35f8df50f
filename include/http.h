/*
 * A page, metrics, health and events by HTTP, at the addresses of [control] http: loopback or unix sockets only, GET
 * and HEAD only, nothing can be changed there. All of it runs on the main loop, through libmicrohttpd without threads.
 * docs/http.md lists the paths.
 *
 * The order: http_new, http_prepare and http_use at the start; then the last two again with each configuration that is
 * put in force; http_tick every second; http_close.
 */
#ifndef HTTP_H
#define HTTP_H

#include <stdint.h>

#include "compiler.h"
#include "config.h"
#include "listener.h"
#include "text.h"

struct daemon;
struct http;

/* Serves nowhere yet. `daemon` is borrowed, its loop open. NULL with `error`. */
struct http *http_new(struct daemon *daemon, struct error *error) MUST_CHECK;

/* Open what [control] http of `config` names and is not open yet; the sockets in `inherited` (a predecessor's; may be
 * NULL) that are control's are duplicated rather than opened anew. What is open serves on. Has to be followed by
 * http_use or http_forget. 0, or -1 with `error`: then nothing is prepared, and nothing has changed. At the start
 * before privileges are dropped. */
int http_prepare(struct http *http, const struct config *config, const struct listener_set *inherited,
                 struct error *error) MUST_CHECK;

/* Serve at what was prepared, close what is named no more. Cannot fail. */
void http_use(struct http *http);

/* Drop what was prepared. NULL does nothing. */
void http_forget(struct http *http);

/* Its listening sockets (what is prepared included), marked as control's, for a process that takes over; borrowed until
 * the next call of this module. */
const struct listener_set *http_listeners(struct http *http);

/* A second has passed. */
void http_tick(struct http *http);

/* End all connections and close; the files of unix sockets are removed unless `keep_files`: another process has them
 * now. http_free follows, once the loop is closed or has turned. NULL does nothing. */
void http_close(struct http *http, bool keep_files);
void http_free(struct http *http);

#endif
