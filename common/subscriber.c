/* One subscriber: its descriptor, and what is on its way. */
#include "subscriber.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How much the kernel holds for it. The second has to be more than the first: it is room for the last line. */
#define KERNEL_BYTES (32 * 1024)
#define KERNEL_BYTES_AT_LAST (128 * 1024)

static void set_kernel_bytes(int fd, int bytes)
{
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

void subscriber_open(struct subscriber *subscriber, int fd)
{
	struct ucred credentials = {.pid = 0};
	socklen_t size = sizeof(credentials);

	subscriber->fd = fd;
	set_kernel_bytes(fd, KERNEL_BYTES);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
		return;
	subscriber->uid = credentials.uid;
	subscriber->pid = credentials.pid;
}

void subscriber_take(struct subscriber *subscriber, const char *bytes, size_t size)
{
	size_t needed = subscriber->filled + size;

	if (needed > subscriber->capacity) {
		size_t capacity = needed > SUBSCRIBER_BATCH ? needed + SUBSCRIBER_BATCH : SUBSCRIBER_BATCH;
		char *larger = realloc(subscriber->bytes, capacity);

		if (larger == NULL) {
			subscriber->failed = true;
			return;
		}
		subscriber->bytes = larger;
		subscriber->capacity = capacity;
	}
	memcpy(subscriber->bytes + subscriber->filled, bytes, size);
	subscriber->filled = needed;
}

bool subscriber_has_room(const struct subscriber *subscriber)
{
	return !subscriber->failed && subscriber->filled < SUBSCRIBER_BATCH;
}

bool subscriber_is_sending(const struct subscriber *subscriber)
{
	return subscriber->at < subscriber->filled;
}

void subscriber_send(struct subscriber *subscriber)
{
	while (subscriber->at < subscriber->filled && !subscriber->failed) {
		ssize_t sent = send(subscriber->fd, subscriber->bytes + subscriber->at, subscriber->filled - subscriber->at,
		                    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent >= 0)
			subscriber->at += (size_t)sent;
		else if (errno != EINTR)
			subscriber->failed = true;
	}
	subscriber->at = subscriber->filled = 0;
	/* One that has all does not hold memory. */
	free(subscriber->bytes);
	subscriber->bytes = NULL;
	subscriber->capacity = 0;
}

void subscriber_listen(struct subscriber *subscriber)
{
	char ignored[4096];
	ssize_t got = recv(subscriber->fd, ignored, sizeof(ignored), MSG_DONTWAIT);

	if (got == 0)
		subscriber->deaf = true;
	else if (got < 0 && errno != EAGAIN && errno != EINTR)
		subscriber->failed = true;
}

uint64_t subscriber_cut(struct subscriber *subscriber)
{
	size_t cut = subscriber->at;
	uint64_t lines = 0;

	if (cut > 0 && subscriber->bytes[cut - 1] != '\n')
		cut = (size_t)((char *)memchr(subscriber->bytes + cut, '\n', subscriber->filled - cut) + 1 - subscriber->bytes);
	for (size_t i = cut; i < subscriber->filled; i++)
		lines += subscriber->bytes[i] == '\n';
	subscriber->filled = cut;
	return lines;
}

void subscriber_widen(struct subscriber *subscriber)
{
	set_kernel_bytes(subscriber->fd, KERNEL_BYTES_AT_LAST);
}

void subscriber_close(struct subscriber *subscriber)
{
	for (size_t i = subscriber->listed; i < subscriber->list_count; i++)
		line_leave(subscriber->list[i]);
	free(subscriber->list);
	free(subscriber->bytes);
	close(subscriber->fd);
	memset(subscriber, 0, sizeof(*subscriber));
}
