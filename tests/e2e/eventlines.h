/*
 * What notifiers of the kind file have written of sessions, for scenarios: a folder, clients that come in each way,
 * lines read back as JSON and held against docs/events.schema.json. What fails fails the test.
 */
#ifndef EVENTLINES_H
#define EVENTLINES_H

#include <jansson.h>
#include <stddef.h>

#define EVENT_TLS "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"
/* %s: the file */
#define EVENT_NOTIFIER "[notifier file]\nkind = file\npath = %s\n"
#define EVENT_CLIENTS                                                                                         \
	"[gateway]\nsysid = HOST1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nservice = s\ndirect = yes\n" \
	"unsecured_connections = allow\n[service s]\naddress = builtin:echo\n" EVENT_TLS EVENT_NOTIFIER

/* A folder of the test's own; two paths in it. */
extern char folder[64], path[96], other[96];
void make_folder(void);
void remove_folder(void);

/* The lines of a file that are this event, as an array; waits up to 10 s until there are `least`. To be released. */
json_t *events(const char *name, const char *event, size_t least);

/* A member that is a string; "" where it is not there. */
const char *word(const json_t *object, const char *member);

/* It is this string. */
void has(const json_t *record, const char *member, const char *value);

/* It is a number, and this one. */
json_int_t number(const json_t *record, const char *member);

/* All lines of these files fit the schema; `wanted` are the events that are there, in the order of the alphabet. */
void fits_the_schema(const char *files, const char *wanted);

enum way { CLEAR, UPGRADE, INSIDE, REFUSED, FAILED };

/* A client that comes in this way, has four bytes echoed where it can, and leaves. */
void session(int port, const char *sysid, enum way way);

/* Four bytes there and back; over TLS where ssl is not NULL. */
void echo(int fd, void *ssl);

#endif
