/*
 * The back end of the soak test: one thread, epoll, any number of connections. Listens on 127.0.0.1 to 127.0.0.4 on one
 * port, which it prints; at SIGTERM prints what it has seen and ends: 1 where anything was wrong.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"

#define ADDRESSES 4
#define EVENTS 256

struct client {
	int fd;
	bool listening, has_head, sealed;
	uint8_t head[FRAME_HEAD];
	size_t head_at;
	struct frame frame;
	struct buffer in, out;
};

static struct {
	unsigned long long connections, ended, requests, up, down, wrong, cut;
} seen;

static volatile sig_atomic_t stopping;

static void on_term(int number)
{
	(void)number;
	stopping = 1;
}

static void close_client(struct client *client)
{
	buffer_free(&client->in);
	buffer_free(&client->out);
	close(client->fd);
	free(client);
	seen.ended++;
}

/* True: more may follow now. False: nothing to take; `*over` at the end of the stream. */
static bool take(struct client *client, uint8_t *bytes, size_t *at, size_t size, bool *over)
{
	ssize_t got = recv(client->fd, bytes + *at, size - *at, 0);

	if (got > 0) {
		*at += (size_t)got;
		return true;
	}
	*over = got == 0 || (errno != EAGAIN && errno != EINTR);
	return got < 0 && errno == EINTR;
}

static void check_request(struct client *client)
{
	uint8_t digest[FRAME_DIGEST];

	SHA256(client->in.bytes, client->frame.up, digest);
	if (memcmp(digest, client->in.bytes + client->frame.up, FRAME_DIGEST) != 0)
		seen.wrong++;
	/* A wrong one is answered with a digest that tells the client, too. */
	frame_seal(digest, client->out.bytes, client->frame.down, client->out.bytes + client->frame.down);
	client->out.size += FRAME_DIGEST;
	client->sealed = true;
	seen.up += FRAME_HEAD + client->in.size;
	seen.down += client->out.size;
	buffer_free(&client->in);
}

/* False: end the connection. */
static bool read_request(struct client *client)
{
	bool over = false;

	while (!client->has_head && take(client, client->head, &client->head_at, FRAME_HEAD, &over)) {
		if (client->head_at < FRAME_HEAD)
			continue;
		client->has_head = true;
		client->sealed = false;
		if (!frame_head(client->head, &client->frame) ||
		    !buffer_make(&client->in, client->frame.up + FRAME_DIGEST) ||
		    !frame_answer(&client->frame, &client->out)) {
			seen.wrong++;
			return false;
		}
	}
	while (client->in.bytes != NULL && take(client, client->in.bytes, &client->in.at, client->in.size, &over))
		if (client->in.at == client->in.size)
			check_request(client);
	if (over && (client->head_at > 0 || client->has_head))
		seen.cut++;
	return !over;
}

static bool write_answer(struct client *client)
{
	struct buffer *out = &client->out;

	while (out->bytes != NULL && out->at < out->size) {
		ssize_t went = send(client->fd, out->bytes + out->at, out->size - out->at, MSG_NOSIGNAL);

		if (went < 0 && errno == EAGAIN)
			return true;
		if (went < 0 && errno != EINTR)
			return false;
		out->at += went > 0 ? (size_t)went : 0;
	}
	if (out->bytes == NULL || !client->sealed)
		return true;
	buffer_free(out);
	client->has_head = false;
	client->head_at = 0;
	seen.requests++;
	return (client->frame.flags & FRAME_CLOSE) == 0;
}

static void accept_all(int poll, int listening)
{
	struct client *client;
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
	int on = 1, fd;

	while ((fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		client = calloc(1, sizeof(*client));
		if (client == NULL)
			exit(1);
		client->fd = fd;
		event.data.ptr = client;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		seen.connections++;
		if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0)
			close_client(client);
	}
	if (errno == EMFILE || errno == ENFILE) {
		(void)fprintf(stderr, "backend: too few descriptors\n");
		exit(1);
	}
}

/* All addresses on one port, which the first gets from the kernel. */
static bool listen_on(int poll, struct client *listeners, uint16_t *port)
{
	for (unsigned i = 0; i < ADDRESSES; i++) {
		struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = *port,
		                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK + i)};
		socklen_t size = sizeof(address);
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listeners[i]};
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd < 0 || bind(fd, (const struct sockaddr *)&address, size) != 0 || listen(fd, 4096) != 0 ||
		    getsockname(fd, (struct sockaddr *)&address, &size) != 0 || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0)
			return false;
		*port = address.sin_port;
		listeners[i] = (struct client){.fd = fd, .listening = true};
	}
	return true;
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_term};
	struct rlimit limit;
	struct client listeners[ADDRESSES];
	struct epoll_event events[EVENTS];
	int poll = epoll_create1(EPOLL_CLOEXEC);
	uint16_t port = 0;

	(void)sigaction(SIGTERM, &action, NULL);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (poll < 0 || !listen_on(poll, listeners, &port)) {
		perror("backend");
		return 1;
	}
	(void)printf("port=%u\n", (unsigned)ntohs(port));
	(void)fflush(stdout);
	while (!stopping) {
		int count = epoll_wait(poll, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			struct client *client = events[i].data.ptr;

			if (client->listening)
				accept_all(poll, client->fd);
			else if (!read_request(client) || !write_answer(client))
				close_client(client);
		}
	}
	(void)printf("connections=%llu ended=%llu requests=%llu up=%llu down=%llu wrong=%llu cut=%llu\n", seen.connections,
	             seen.ended, seen.requests, seen.up, seen.down, seen.wrong, seen.cut);
	return seen.wrong > 0;
}
