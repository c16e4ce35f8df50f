/* ccisslgw connect: standard input and output through the exchange and TLS. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "relay.h"

static const char usage[] =
    "ccisslgw connect HOST:PORT: standard input and output through exchange and TLS\n"
    "\n"
    "    --sysid NAME         our CCI name; the host's name at first\n"
    "    --target NAME        the service or gateway that is wanted\n"
    "    --security WORD      none, off, on, required (at first) or direct\n"
    "    --ca FILE            authorities for its certificate; the system's at first\n"
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
	uv_async_t failed; /* standard output takes no more */
	pthread_t output;
	int ends[2];
	bool has_output;
	atomic_int input_error; /* errno; the thread is never joined */
	int output_error;       /* errno; the loop reads it once the thread has sent `failed` or was joined */
};

/* Whoever started us may have left a descriptor non-blocking: wait as if it were not. */
static bool try_again(int fd, short events)
{
	struct pollfd wait = {.fd = fd, .events = events};

	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return poll(&wait, 1, -1) >= 0 || errno == EINTR;
	return errno == EINTR;
}

static int write_all(int to, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t went = write(to, bytes, size);

		if (went < 0 && !try_again(to, POLLOUT))
			return -1;
		bytes += went > 0 ? went : 0;
		size -= went > 0 ? (size_t)went : 0;
	}
	return 0;
}

/* Until the end of `from`: 0; or -1 with *to_blame set to the side that failed. */
static int copy(int from, int to, int *to_blame)
{
	char bytes[65536];
	ssize_t got;

	*to_blame = from;
	while ((got = read(from, bytes, sizeof(bytes))) != 0) {
		if (got < 0 && !try_again(from, POLLIN))
			return -1;
		if (got > 0 && write_all(to, bytes, (size_t)got) != 0) {
			*to_blame = to;
			return -1;
		}
	}
	return 0;
}

static void *copy_input(void *argument)
{
	struct connect *connect = argument;
	int to_blame;

	/* What cannot be read ends like a file: the peer's answer still comes. */
	if (copy(STDIN_FILENO, connect->ends[0], &to_blame) != 0 && to_blame == STDIN_FILENO)
		atomic_store(&connect->input_error, errno);
	(void)shutdown(connect->ends[0], SHUT_WR);
	return NULL;
}

static void *copy_output(void *argument)
{
	struct connect *connect = argument;
	int to_blame;

	/* The pair itself only breaks when the connection has ended, which says why. */
	if (copy(connect->ends[0], STDOUT_FILENO, &to_blame) == 0 || to_blame != STDOUT_FILENO)
		return NULL;
	connect->output_error = errno;
	(void)uv_async_send(&connect->failed);
	return NULL;
}

static void end(struct connect *connect, int status)
{
	relay_free(connect->relay);
	connect->relay = NULL;
	channel_close(connect->local);
	connect->local = NULL;
	if (!uv_is_closing((uv_handle_t *)&connect->failed))
		uv_close((uv_handle_t *)&connect->failed, NULL);
	client_stop(&connect->client, status);
}

/* The channel's close alone would look like an accident to the peer: say that it is over, in TLS as well. */
static void on_output_failed(uv_async_t *failed)
{
	struct connect *connect = failed->data;
	enum channel_status ignored = CHANNEL_OK;

	if (connect->client.channel != NULL)
		ignored = channel_end(connect->client.channel);
	(void)ignored;
	end(connect, EXIT_FAILURE);
}

static void on_relay(void *owner, enum reason reason, bool at_front, const char *detail)
{
	struct connect *connect = owner;

	if (reason != REASON_ENDED)
		(void)fprintf(stderr, "ccisslgw connect: %s%s%s%s\n", at_front ? "here: " : "", reason_text(reason),
		              detail[0] != '\0' ? ": " : "", detail);
	end(connect, reason == REASON_ENDED ? EXIT_SUCCESS : EXIT_FAILURE);
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

	connect->failed.data = connect;
	if (uv_async_init(&client->loop, &connect->failed, on_output_failed) != 0) {
		(void)fprintf(stderr, "ccisslgw connect: not enough descriptors\n");
		client_stop(client, EXIT_FAILURE);
		return;
	}
	connect->local = channel_new(client->io, connect->ends[1]);
	if (connect->local != NULL)
		connect->relay = relay_start(connect->local, client->channel, 0, &client->verdict, on_relay, connect);
	if (connect->relay == NULL || start_threads(connect) != 0) {
		(void)fprintf(stderr, "ccisslgw connect: not enough memory or threads\n");
		end(connect, EXIT_FAILURE);
	}
}

/* A standard descriptor that is closed would be taken by the first socket. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd);
}

int connect_command(int argc, char **argv)
{
	static struct connect connect;
	struct client_options options;
	bool done;
	int status = client_parse(argc, argv, usage, &options, &done);

	if (done)
		return status;
	fill_standard_descriptors();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, connect.ends) != 0) {
		perror("ccisslgw connect: socketpair");
		return EXIT_FAILURE;
	}
	status =
	    client_open(&connect.client, &options, on_ready, &connect) == 0 ? client_run(&connect.client) : EXIT_FAILURE;
	if (connect.has_output) {
		(void)pthread_join(connect.output, NULL);
		if (connect.output_error != 0) {
			(void)fprintf(stderr, "ccisslgw connect: standard output cannot be written: %s\n",
			              strerrordesc_np(connect.output_error));
			status = EXIT_FAILURE;
		}
	}
	if (atomic_load(&connect.input_error) != 0) {
		(void)fprintf(stderr, "ccisslgw connect: standard input cannot be read: %s\n",
		              strerrordesc_np(atomic_load(&connect.input_error)));
		status = EXIT_FAILURE;
	}
	client_close(&connect.client);
	return status;
}
