/*
 * For scenarios of the control socket: a folder for it, the command `ctl`, requests by hand, and clients to look at.
 */
#ifndef CONTROLLING_H
#define CONTROLLING_H

#include "gateway.h"
#include "peer.h"

#define CERTS "build/test-certs/"
#define TLS_SECTION "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"

/* A gateway that may do all: more of [gateway], the path of its socket. */
#define CONTROL_CONFIG                                                                                                      \
	"[gateway]\nsysid = HOST1\nworkers = 2\n%s[listener l]\naddress = 127.0.0.1:0\nservice = s\n"                   \
	"unsecured_connections = allow\nratchet = yes\n[rule narrow]\nsysid = R*\nconnections = 100\naction = accept\n" \
	"[service s]\naddress = builtin:echo\n[timeouts]\ndrain = 10s\n" TLS_SECTION                                    \
	"[notifier log]\nkind = log\n[control]\nsocket = %s\n"

/* One that takes many connections in the clear: "socket = ", the path, more of [control]. */
#define CONTROL_REST                                                                                                       \
	"sysid = HOST1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"                               \
	"unsecured_connections = only\n[service s]\naddress = builtin:echo\n[timeouts]\ndrain = 10s\nexchange = 60s\n" \
	"[limits]\nconnections = 4000\nconnections_per_source = 4000\n[control]\n%s%s\n%s\n"
#define CONTROL_BARE "[gateway]\n" CONTROL_REST

/* What the command printed: to standard output, and to standard error. */
extern char control_out[4 * 1024 * 1024], control_err[8192];

/* A folder, and where the socket is in it. */
extern char control_folder[64], control_path[96];
void control_make_folder(void);
void control_remove_folder(void); /* it has to be empty */

/* `PROGRAM ctl -c CONFIG WORDS`: the exit status. */
int control_run(const struct gateway *gateway, const char *words);

/* The same as `PROGRAM ctl WORDS`, after `before` of a shell's line. */
int control_command_line(const char *program, const char *before, const char *words);

/* The command has to end with `status`, and to have printed these (NULL: whatever). */
void control_expect(const struct gateway *gateway, const char *words, int status, const char *out, const char *err);

/* Wait until `connections FILTER` prints a line with this text. Fails the test where it does not come. */
void control_wait(const struct gateway *gateway, const char *filter, const char *text);

/* Only printable ASCII and line feeds. */
void control_check_printable(const char *text);

/* Connected to the socket. */
int control_connect(void);

/* Send `size` bytes, then read until the end; the answer is in control_out. Its length. */
size_t control_ask(const void *bytes, size_t size);

/* Send a request; the answer is one line that holds `wanted`. */
void control_say(const char *request, const char *wanted);

/* A client of ports[0], relayed. */
struct control_client {
	int fd;
	SSL *ssl;
};
struct control_client control_client(const struct gateway *gateway, const char *sysid, const char *agent, bool secured);
void control_part(struct control_client *client);

#endif
