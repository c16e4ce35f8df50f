/* ccisslgw connect: standard input and output through the exchange and TLS. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "relay.h"

static const char usage[] =
    "ccisslgw connect HOST:PORT: standard input and output through the exchange and TLS\n"
    "\n"
    "    --sysid NAME         our CCI name; the host's name at first\n"
    "    --target NAME        the service or gateway that is wanted\n"
    "    --security WORD      none, off, on, required (at first) or direct\n"
    "    --ca FILE            authorities to check its certificate against; the system's at first\n"
    "    --cert FILE --key FILE   our certificate\n"
    "    --server-name NAME   what its certificate must say; HOST at first\n"
    "    --timeout DURATION   for each phase, 10s at first\n"
    "    --quiet              do not print what was agreed to standard error\n"
    "\n"
    "Exit status: 0 both directions ended in order; 1 refused or failed; 2 bad usage.\n";

/* Standard input and output may be files, terminals or pipes that block: a thread each copies between them and a
 * socket pair, so that the loop sees sockets alone. */
struct connect {
	struct client client;
	struct channel *local;
	struct relay *relay;
	pthread_t output;
	int ends[2];
	bool has_output, output_failed;
};

static int copy(int from, int to)
{
	char bytes[65536];
	ssize_t got;

	while ((got = read(from, bytes, sizeof(bytes))) != 0) {
		ssize_t done = 0;

		if (got < 0 && errno != EINTR)
			return -1;
		while (done < got) {
			ssize_t went = write(to, bytes + done, (size_t)(got - done));

			if (went < 0 && errno != EINTR)
				return -1;
			done += went > 0 ? went : 0;
		}
	}
	return 0;
}

static void *copy_input(void *argument)
{
	const struct connect *connect = argument;

	(void)copy(STDIN_FILENO, connect->ends[0]);
	(void)shutdown(connect->ends[0], SHUT_WR);
	return NULL;
}

static void *copy_output(void *argument)
{
	struct connect *connect = argument;

	connect->output_failed = copy(connect->ends[0], STDOUT_FILENO) != 0;
	if (connect->output_failed)
		(void)shutdown(connect->ends[0], SHUT_RD);
	return NULL;
}

static void on_relay(void *owner, enum reason reason, bool at_front, const char *detail)
{
	struct connect *connect = owner;

	if (reason != REASON_ENDED)
		(void)fprintf(stderr, "ccisslgw connect: %s%s%s%s\n", at_front ? "here: " : "", reason_text(reason),
		              detail[0] != '\0' ? ": " : "", detail);
	relay_free(connect->relay);
	channel_close(connect->local);
	client_stop(&connect->client, reason == REASON_ENDED ? EXIT_SUCCESS : EXIT_FAILURE);
}

static int start_threads(struct connect *connect)
{
	pthread_t input;

	if (pthread_create(&connect->output, NULL, copy_output, connect) != 0)
		return -1;
	connect->has_output = true;
	if (pthread_create(&input, NULL, copy_input, connect) != 0)
		return -1;
	/* It may sit in a read for ever: the end of the program ends it. */
	return pthread_detach(input);
}

static void on_ready(struct client *client)
{
	struct connect *connect = client->user;

	connect->local = channel_new(client->io, connect->ends[1]);
	if (connect->local == NULL || start_threads(connect) != 0) {
		(void)fprintf(stderr, "ccisslgw connect: not enough memory or threads\n");
		channel_close(connect->local);
		client_stop(client, EXIT_FAILURE);
		return;
	}
	connect->relay = relay_start(connect->local, client->channel, 0, &client->verdict, on_relay, connect);
}

int connect_command(int argc, char **argv)
{
	static struct connect connect;
	struct client_options options;
	bool done;
	int status = client_parse(argc, argv, usage, &options, &done);

	if (done)
		return status;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, connect.ends) != 0) {
		perror("ccisslgw connect: socketpair");
		return EXIT_FAILURE;
	}
	status = client_open(&connect.client, &options, on_ready, &connect) == 0 ? client_run(&connect.client) : EXIT_FAILURE;
	if (connect.has_output) {
		(void)pthread_join(connect.output, NULL);
		if (connect.output_failed) {
			(void)fprintf(stderr, "ccisslgw connect: standard output cannot be written\n");
			status = EXIT_FAILURE;
		}
	}
	client_close(&connect.client);
	return status;
}
