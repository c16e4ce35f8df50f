/* Sockets and pipes in memory. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuzz.h"
#include "world_calls.h"

#define FIRST_FD WORLD_FIRST_FD
#define WIRES WORLD_WIRES

static struct wire wires[WIRES];
static bool reversed;
static unsigned descriptors_short;

/* --- bytes --- */

void stream_put(struct stream *stream, const void *bytes, size_t size)
{
	if (size == 0)
		return;
	if (stream->start == stream->end)
		stream->start = stream->end = 0;
	if (stream->end + size > stream->room) {
		stream->room = (stream->end + size) * 2;
		stream->bytes = realloc(stream->bytes, stream->room);
		FUZZ_CHECK(stream->bytes != NULL, "no memory");
	}
	memcpy(stream->bytes + stream->end, bytes, size);
	stream->end += size;
}

void stream_drop(struct stream *stream, size_t size)
{
	stream->start += size;
}

void stream_clear(struct stream *stream)
{
	stream->start = stream->end = 0;
}

void stream_free(struct stream *stream)
{
	free(stream->bytes);
	memset(stream, 0, sizeof(*stream));
}

/* --- wires --- */

struct wire *world_wire(int fd)
{
	return fd >= FIRST_FD && fd < FIRST_FD + WIRES ? &wires[fd - FIRST_FD] : NULL;
}

int world_fd(const struct wire *wire)
{
	return FIRST_FD + (int)(wire - wires);
}

static struct wire *new_wire(void)
{
	for (size_t i = 0; i < WIRES; i++) {
		if (wires[i].state != WIRE_FREE)
			continue;
		wires[i].room = 64 * 1024;
		return &wires[i];
	}
	return NULL;
}

/* Descriptors of before must be gone, so that a new one can be told from them. */
void world_clear_wires(void)
{
	for (size_t i = 0; i < WIRES; i++) {
		struct stream in = wires[i].in, out = wires[i].out;

		stream_clear(&in);
		stream_clear(&out);
		memset(&wires[i], 0, sizeof(wires[i]));
		wires[i].in = in;
		wires[i].out = out;
	}
	reversed = false;
	descriptors_short = 0;
}

size_t world_open_wires(void)
{
	size_t count = 0;

	for (size_t i = 0; i < WIRES; i++)
		count += wires[i].state != WIRE_FREE && wires[i].state != WIRE_CLOSED;
	return count;
}

void world_reverse(void)
{
	reversed = !reversed;
}

void world_no_descriptors(unsigned count)
{
	descriptors_short = count;
}

bool world_is_short(void)
{
	if (descriptors_short == 0)
		return false;
	descriptors_short--;
	errno = EMFILE;
	return true;
}

static void edge(struct wire *wire)
{
	wire->edge = true;
}

struct wire *world_accept(const union socket_address *remote, const union socket_address *local)
{
	struct wire *wire = new_wire();

	if (wire == NULL)
		return NULL;
	wire->state = WIRE_OPEN;
	wire->accepted = true;
	wire->remote = *remote;
	wire->local = *local;
	return wire;
}

void world_answer(struct wire *wire, int error)
{
	if (wire->state != WIRE_CONNECTING)
		return;
	wire->error = error;
	wire->state = error == 0 ? WIRE_OPEN : WIRE_FAILED;
	edge(wire);
}

static bool reaches_gateway(const struct wire *wire)
{
	return wire->state == WIRE_OPEN && !wire->in_end && !wire->in_reset;
}

void world_deliver(struct wire *wire, const uint8_t *bytes, size_t size)
{
	if (!reaches_gateway(wire) || size == 0)
		return;
	stream_put(&wire->in, bytes, size);
	edge(wire);
}

void world_deliver_end(struct wire *wire)
{
	if (!reaches_gateway(wire))
		return;
	wire->in_end = true;
	edge(wire);
}

/* What was not read yet is lost with it. */
void world_reset(struct wire *wire)
{
	if (wire->state != WIRE_OPEN || wire->in_reset)
		return;
	wire->in_reset = true;
	stream_clear(&wire->in);
	stream_clear(&wire->out);
	edge(wire);
}

static void offer_room(struct wire *wire)
{
	if (wire->full_told && stream_size(&wire->out) < wire->room) {
		wire->full_told = false;
		edge(wire);
	}
}

size_t world_take(struct wire *wire, uint8_t *bytes, size_t size)
{
	size_t have = stream_size(&wire->out);

	if (size > have)
		size = have;
	if (size == 0)
		return 0;
	memcpy(bytes, stream_at(&wire->out), size);
	stream_drop(&wire->out, size);
	offer_room(wire);
	return size;
}

void world_set_room(struct wire *wire, size_t room)
{
	wire->room = room;
	offer_room(wire);
}

static int fail(int error)
{
	errno = error;
	return -1;
}

/* --- calls on sockets --- */

static bool interrupted(struct wire *wire)
{
	if (wire->interrupts == 0)
		return false;
	wire->interrupts--;
	errno = EINTR;
	return true;
}

ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags)
{
	struct wire *wire = world_wire(fd);

	FUZZ_CHECK(wire != NULL && wire->state != WIRE_FREE && wire->state != WIRE_CLOSED, "recv from a closed socket %d", fd);
	if (interrupted(wire))
		return -1;
	if (wire->state != WIRE_OPEN)
		return fail(ENOTCONN);
	if (wire->in_reset) {
		if (wire->reset_told)
			return 0;
		wire->reset_told = true;
		return fail(ECONNRESET);
	}
	if (stream_size(&wire->in) == 0)
		return wire->in_end ? 0 : fail(EAGAIN);
	if (size > stream_size(&wire->in))
		size = stream_size(&wire->in);
	memcpy(bytes, stream_at(&wire->in), size);
	if (!(flags & MSG_PEEK))
		stream_drop(&wire->in, size);
	return (ssize_t)size;
}

static ssize_t send_some(struct wire *wire, const uint8_t *bytes, size_t size)
{
	size_t have = stream_size(&wire->out);

	if (wire->state != WIRE_OPEN)
		return fail(ENOTCONN);
	if (wire->in_reset || wire->out_end)
		return fail(EPIPE);
	if (have >= wire->room) {
		wire->full_told = true;
		return fail(EAGAIN);
	}
	if (size > wire->room - have) {
		size = wire->room - have;
		wire->full_told = true;
	}
	stream_put(&wire->out, bytes, size);
	world_on_sent(wire, bytes, size);
	return (ssize_t)size;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags)
{
	struct wire *wire = world_wire(fd);

	FUZZ_CHECK(wire != NULL && wire->state != WIRE_FREE && wire->state != WIRE_CLOSED, "send on a closed socket %d", fd);
	FUZZ_CHECK(flags & MSG_NOSIGNAL, "send that may raise SIGPIPE");
	return interrupted(wire) ? -1 : send_some(wire, bytes, size);
}

int __wrap_shutdown(int fd, int how)
{
	struct wire *wire = world_wire(fd);

	FUZZ_CHECK(wire != NULL && how == SHUT_WR, "shutdown of something else");
	if (wire->state != WIRE_OPEN)
		return fail(ENOTCONN);
	wire->out_end = true;
	return 0;
}

int __wrap_socket(int family, int type, int protocol)
{
	struct wire *wire;

	(void)family, (void)protocol;
	FUZZ_CHECK(type == (SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC), "a socket that blocks or is inherited");
	if (world_is_short())
		return -1;
	wire = new_wire();
	if (wire == NULL)
		return fail(EMFILE);
	wire->state = WIRE_CONNECTING;
	return world_fd(wire);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	struct wire *wire = world_wire(fd);
	int error;

	FUZZ_CHECK(wire != NULL && wire->state == WIRE_CONNECTING, "connect of something else");
	if (size > sizeof(wire->remote))
		return fail(EINVAL);
	memcpy(&wire->remote, address, size);
	wire->local.v4 = (struct sockaddr_in){.sin_family = address->sa_family, .sin_port = htons(40000)};
	error = world_on_connect(wire);
	if (error == 0)
		wire->state = WIRE_OPEN;
	return error == 0 ? 0 : fail(error);
}

/* What was not read turns the close into a reset, and what was not taken is lost then. */
static void close_wire(struct wire *wire)
{
	FUZZ_CHECK(wire->state != WIRE_FREE && wire->state != WIRE_CLOSED, "a socket is closed twice");
	if (wire->state == WIRE_OPEN && (wire->linger_none || stream_size(&wire->in) > 0)) {
		wire->out_reset = true;
		stream_clear(&wire->out);
	}
	wire->out_end = true;
	wire->state = WIRE_CLOSED;
	wire->watched = false;
}

int __wrap_close(int fd)
{
	if (world_wire(fd) != NULL)
		close_wire(world_wire(fd));
	else if (world_is_pipe(fd))
		world_close_pipe(fd);
	else
		return __real_close(fd);
	return 0;
}

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
	struct wire *wire = world_wire(fd);
	struct linger linger;

	FUZZ_CHECK(wire != NULL, "an option of something else");
	if (level == SOL_SOCKET && option == SO_LINGER && size == sizeof(linger)) {
		memcpy(&linger, value, sizeof(linger));
		wire->linger_none = linger.l_onoff && linger.l_linger == 0;
	}
	return 0;
}

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
	struct wire *wire = world_wire(fd);
	int answer = 0;

	FUZZ_CHECK(wire != NULL && wire->state != WIRE_CLOSED && *size >= sizeof(answer), "an option of something else");
	if (level == SOL_SOCKET && option == SO_ERROR) {
		answer = wire->error;
		wire->error = 0;
	} else if (level == SOL_SOCKET && option == SO_TYPE) {
		answer = SOCK_STREAM;
	}
	memcpy(value, &answer, sizeof(answer));
	*size = sizeof(answer);
	return 0;
}

static int give_address(const union socket_address *address, struct sockaddr *to, socklen_t *size)
{
	socklen_t length = socket_length(address);

	memcpy(to, address, length < *size ? length : *size);
	*size = length;
	return 0;
}

int __wrap_getsockname(int fd, struct sockaddr *to, socklen_t *size)
{
	return give_address(&world_wire(fd)->local, to, size);
}

int __wrap_getpeername(int fd, struct sockaddr *to, socklen_t *size)
{
	struct wire *wire = world_wire(fd);

	return wire->state == WIRE_OPEN ? give_address(&wire->remote, to, size) : fail(ENOTCONN);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list rest;

	va_start(rest, request);
	FUZZ_CHECK(world_wire(fd) != NULL && request == SIOCOUTQ, "an ioctl that nobody knows");
	*va_arg(rest, int *) = (int)stream_size(&world_wire(fd)->out);
	va_end(rest);
	return 0;
}

int __wrap_poll(struct pollfd *list, nfds_t count, int timeout)
{
	struct wire *wire = world_wire(list->fd);

	if (list->fd == STDERR_FILENO) { /* of the log */
		list->revents = POLLOUT;
		return 1;
	}
	FUZZ_CHECK(count == 1 && timeout == 0 && wire != NULL && list->events == POLLOUT, "a poll that waits");
	list->revents = stream_size(&wire->out) < wire->room || wire->in_reset ? POLLOUT : 0;
	if (list->revents == 0)
		wire->full_told = true;
	return list->revents != 0;
}

int __wrap_fcntl(int fd, int command, ...)
{
	va_list rest;
	long argument;

	if (world_is_pipe(fd))
		return 0;
	va_start(rest, command);
	argument = va_arg(rest, long);
	va_end(rest);
	return (int)syscall(SYS_fcntl, fd, command, argument);
}

/* --- epoll: as with EPOLLET, whatever is ready is told once something has happened --- */

static uint32_t ready_events(const struct wire *wire)
{
	uint32_t events = 0;

	if (wire->state == WIRE_CONNECTING)
		return 0;
	if (wire->state == WIRE_FAILED)
		return EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP;
	if (wire->in_reset)
		return EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLERR | EPOLLHUP;
	if (stream_size(&wire->in) > 0 || wire->in_end)
		events |= EPOLLIN;
	if (wire->in_end)
		events |= EPOLLRDHUP | (wire->out_end ? EPOLLHUP : 0);
	return events | (stream_size(&wire->out) < wire->room ? EPOLLOUT : 0);
}

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	struct wire *wire = world_wire(fd);

	(void)epoll;
	if (wire == NULL)
		return 0; /* libuv's own: its timers make no event */
	FUZZ_CHECK(wire->state != WIRE_FREE && wire->state != WIRE_CLOSED, "epoll of a closed socket");
	if (operation == EPOLL_CTL_DEL) {
		wire->watched = false;
		return 0;
	}
	FUZZ_CHECK(operation == EPOLL_CTL_ADD && (event->events & EPOLLET), "a socket that is watched in another way");
	wire->watched = wire->edge = true;
	wire->mask = event->events;
	wire->watch = event->data.ptr;
	return 0;
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
	int count = 0;

	(void)epoll;
	FUZZ_CHECK(timeout == 0, "a turn that waits");
	for (size_t i = 0; i < WIRES && count < most; i++) {
		struct wire *wire = &wires[reversed ? WIRES - 1 - i : i];
		uint32_t told;

		if (!wire->watched || !wire->edge)
			continue;
		wire->edge = false;
		told = ready_events(wire) & (wire->mask | EPOLLERR | EPOLLHUP);
		if (told == 0)
			continue;
		events[count].events = told;
		events[count++].data.ptr = wire->watch;
	}
	return count;
}
