/*
 * The back end of the benchmarks. One thread waits for connections and first bytes, and answers 'P' itself, so that
 * idle connections and handshakes cost little; every other request gets a thread with blocking reads. Prints its port.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

static bool read_all(int fd, uint8_t *bytes, size_t size)
{
	while (size > 0) {
		ssize_t got = recv(fd, bytes, size, 0);

		if (got <= 0)
			return false;
		bytes += got;
		size -= (size_t)got;
	}
	return true;
}

static bool write_all(int fd, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		ssize_t went = send(fd, bytes, size, MSG_NOSIGNAL);

		if (went <= 0)
			return false;
		bytes += went;
		size -= (size_t)went;
	}
	return true;
}

static void echo(int fd, uint64_t size, uint8_t *chunk)
{
	while (size <= CHUNK_SIZE && read_all(fd, chunk, size) && write_all(fd, chunk, size))
		;
}

/* Take or give `length` bytes, and then give their digest. */
static bool transfer(int fd, bool take, uint64_t length, uint8_t *chunk)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool fine = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;

	if (!take)
		payload_fill(chunk, CHUNK_SIZE, length);
	for (uint64_t done = 0; fine && done < length;) {
		size_t size = length - done < CHUNK_SIZE ? (size_t)(length - done) : CHUNK_SIZE;

		if (!take)
			memcpy(chunk, &done, size < sizeof(done) ? size : sizeof(done));
		fine = (take ? read_all(fd, chunk, size) : write_all(fd, chunk, size)) &&
		       EVP_DigestUpdate(digest, chunk, size) == 1;
		done += size;
	}
	fine = fine && EVP_DigestFinal_ex(digest, chunk, NULL) == 1 && write_all(fd, chunk, DIGEST_SIZE);
	EVP_MD_CTX_free(digest);
	return fine;
}

static void *serve(void *argument)
{
	int fd = (int)(intptr_t)argument;
	uint8_t request[REQUEST_SIZE], *chunk = malloc(CHUNK_SIZE);

	while (chunk != NULL && read_all(fd, request, sizeof(request))) {
		if (request[0] == 'E')
			echo(fd, request_number(request), chunk);
		else if ((request[0] != 'U' && request[0] != 'D') ||
		         !transfer(fd, request[0] == 'U', request_number(request), chunk))
			break;
	}
	free(chunk);
	close(fd);
	return NULL;
}

/* The first bytes of a connection, or its end. */
static void first_bytes(int poll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	uint8_t request[REQUEST_SIZE];
	pthread_t thread;
	ssize_t got = recv(fd, request, sizeof(request), MSG_PEEK | MSG_DONTWAIT);

	if (got == 0 || (got < 0 && errno != EAGAIN)) {
		close(fd);
		return;
	}
	if (got > 0 && request[0] == 'P') {
		if (got == REQUEST_SIZE && (!read_all(fd, request, sizeof(request)) || !write_all(fd, request, 1)))
			close(fd);
		return;
	}
	if (got <= 0)
		return;
	(void)epoll_ctl(poll, EPOLL_CTL_DEL, fd, &event);
	if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0)
		(void)pthread_detach(thread);
	else
		close(fd);
}

static void take_connection(int poll, int listening)
{
	struct epoll_event event = {.events = EPOLLIN};
	int on = 1;

	event.data.fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	if (event.data.fd < 0)
		return;
	(void)setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (epoll_ctl(poll, EPOLL_CTL_ADD, event.data.fd, &event) != 0)
		close(event.data.fd);
}

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), poll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listening}, events[64];

	if (listening < 0 || poll < 0 || bind(listening, (const struct sockaddr *)&address, size) != 0 ||
	    listen(listening, 4096) != 0 || getsockname(listening, (struct sockaddr *)&address, &size) != 0 ||
	    epoll_ctl(poll, EPOLL_CTL_ADD, listening, &event) != 0) {
		perror("backend");
		return 1;
	}
	(void)printf("%u\n", (unsigned)ntohs(address.sin_port));
	(void)fflush(stdout);
	for (;;) {
		int count = epoll_wait(poll, events, 64, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listening)
				take_connection(poll, listening);
			else
				first_bytes(poll, events[i].data.fd);
		}
	}
}
