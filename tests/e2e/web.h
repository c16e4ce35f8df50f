/* A plain HTTP client for scenarios: what it sends is what the test says, what comes is shown as it came. */
#ifndef WEB_H
#define WEB_H

#include "gateway.h"

/* The port of the HTTP address that was logged as number `number` (from 1; waits for it). */
int web_port(const struct gateway *gateway, int number);

/* Send a request, byte by byte as it stands, and read until the other side closes: all of it, terminated; the caller frees it. "" where
 * nothing came. */
char *web_raw(int fd, const char *request);

/* GET `path` at a port of 127.0.0.1, over a connection of its own. Owned by the caller, as above. */
char *web_get(int port, const char *path);

/* The status of an answer; 0: it is none. What follows its headers. */
int web_status(const char *answer);
const char *web_body(const char *answer);

/* GET a path until what comes holds `words`, for 10 seconds at most; fails the test where it never does. */
char *web_await(int port, const char *path, const char *words);

#endif
