/*
 * What connect and ping share: their options, and one connection dialled with them. One at a time, on a loop of its
 * own; for the main thread of a command.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <uv.h>

#include "compiler.h"
#include "dial.h"

#define CLIENT_PINGS_MOST 64 /* echoes of one ping */

struct client_options {
	char sysid[NAME_MAX_CHARS + 1], target[NAME_MAX_CHARS + 1];
	struct address address;
	int security; /* enum peer_security */
	struct tls_client_options tls;
	uint64_t timeout_ms;
	uint64_t count, interval_ms; /* ping */
	bool quiet;
};

/* Parse a command line; *done says that the command ends with the status returned (help, or an error, which was
 * printed). `usage` is printed for --help. */
int client_parse(int argc, char **argv, const char *usage, struct client_options *options, bool *done);

struct client {
	uv_loop_t loop;
	struct iocontext *io;
	struct client_options options;
	struct tls_worker *tls;
	struct config_peer peer;
	struct config_timeouts timeouts;
	struct leg leg;
	uint8_t connection[PARAMS_CONNECTION_SIZE];
	struct channel *channel; /* owned, after client_dial succeeded */
	struct verdict verdict;
	uint64_t connect_us;
	uint32_t maxru;
	bool dialled, secured;
	int status;
	void (*ready)(struct client *client); /* called once the connection is agreed */
	void *user;
};

/* Loop, TLS, and the start of the dial; `ready` is called from client_run. 0, or -1: the fault was printed. */
int client_open(struct client *client, const struct client_options *options, void (*ready)(struct client *client),
                void *user) MUST_CHECK;

/* Run until client_stop, or until the dial has failed (which is printed). The exit status. */
int client_run(struct client *client);

/* End the run with this status; the channel is closed. */
void client_stop(struct client *client, int status);

/* Release everything. */
void client_close(struct client *client);

/* Print what was agreed to standard error, line by line. */
void client_print(const struct client *client, const struct tls_facts *facts);

#endif
