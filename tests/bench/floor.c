/*
 * What no gateway can go below on this machine: the bare work, without a gateway around it.
 *
 *     floor accept PORT BACKEND_PORT CERTIFICATE KEY    one thread: accept, handshake, answer 'P', close; no back end
 *     floor splice PORT BACKEND_PORT                    a relay of blocking threads that splice
 *     floor copy PORT BACKEND_PORT                      the same with read and write
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "peer.h"

#define STEP (256 * 1024)

struct way {
	int from, to;
	bool splice;
};

static int listen_on(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	address.sin_port = htons((uint16_t)port);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 4096) != 0) {
		perror("floor");
		exit(1);
	}
	return fd;
}

static void serve_tls(SSL_CTX *context, int fd)
{
	uint8_t request[REQUEST_SIZE];
	SSL *ssl = SSL_new(context);

	if (ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1)
		while (SSL_read(ssl, request, sizeof(request)) == REQUEST_SIZE && SSL_write(ssl, request, 1) == 1)
			;
	if (ssl != NULL)
		(void)SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
}

static void accept_loop(int listening, const char *certificate, const char *key)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (context == NULL || SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_set_num_tickets(context, 1) != 1) {
		(void)fprintf(stderr, "floor: the certificate or its key cannot be loaded\n");
		exit(1);
	}
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	for (;;) {
		int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			serve_tls(context, fd);
	}
}

static void move_by_splice(const struct way *way)
{
	int ends[2];
	ssize_t came;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return;
	(void)fcntl(ends[1], F_SETPIPE_SZ, STEP);
	while ((came = splice(way->from, NULL, ends[1], NULL, STEP, SPLICE_F_MOVE)) > 0)
		while (came > 0) {
			ssize_t went = splice(ends[0], NULL, way->to, NULL, (size_t)came, SPLICE_F_MOVE);

			if (went <= 0)
				goto out;
			came -= went;
		}
out:
	close(ends[0]);
	close(ends[1]);
}

static void move_by_copy(const struct way *way)
{
	uint8_t *bytes = malloc(STEP);
	ssize_t came;

	while (bytes != NULL && (came = recv(way->from, bytes, STEP, 0)) > 0)
		for (ssize_t at = 0; at < came;) {
			ssize_t went = send(way->to, bytes + at, (size_t)(came - at), MSG_NOSIGNAL);

			if (went <= 0)
				goto out;
			at += went;
		}
out:
	free(bytes);
}

static void *move(void *argument)
{
	struct way *way = argument;

	if (way->splice)
		move_by_splice(way);
	else
		move_by_copy(way);
	(void)shutdown(way->to, SHUT_WR);
	return NULL;
}

static void *relay(void *argument)
{
	struct way *up = argument, down = {.from = up->to, .to = up->from, .splice = up->splice};
	pthread_t thread;

	if (pthread_create(&thread, NULL, move, up) == 0) {
		(void)move(&down);
		(void)pthread_join(thread, NULL);
	}
	close(up->from);
	close(up->to);
	free(up);
	return NULL;
}

static void relay_loop(int listening, int backend, bool splice)
{
	for (;;) {
		struct way *way = calloc(1, sizeof(*way));
		pthread_t thread;

		if (way == NULL)
			exit(1);
		way->splice = splice;
		way->from = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		way->to = way->from >= 0 ? peer_connect(backend) : -1;
		if (way->to >= 0 && pthread_create(&thread, NULL, relay, way) == 0) {
			(void)pthread_detach(thread);
			continue;
		}
		if (way->from >= 0)
			close(way->from);
		free(way);
	}
}

int main(int argc, char **argv)
{
	if (argc < 4 || (strcmp(argv[1], "accept") == 0 && argc < 6)) {
		(void)fprintf(stderr,
		              "floor: accept|splice|copy PORT BACKEND_PORT [CERTIFICATE KEY]; see tests/bench/floor.c\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (strcmp(argv[1], "accept") == 0)
		accept_loop(listen_on(atoi(argv[2])), argv[4], argv[5]);
	relay_loop(listen_on(atoi(argv[2])), atoi(argv[3]), strcmp(argv[1], "splice") == 0);
}
