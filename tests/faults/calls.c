/*
 * System calls that fail, come late, or do less than was asked when the board says so; and a calendar clock that jumps.
 * Whoever waits at the edges of epoll is told again of what a shortened call has left, as if it had come a moment later.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "board.h"

/* The next function of this name. dlsym gives a void pointer, which is not one to a function. */
#define REAL(name, ...) \
	__extension__({ \
		static union { void *at; __typeof__(&name) call; } real; \
		if (real.at == NULL) \
			real.at = dlsym(RTLD_NEXT, #name); \
		real.call(__VA_ARGS__); \
	})

static bool fails(enum fault_kind kind)
{
	if (!fault_due(kind))
		return false;
	errno = atomic_load(&faults_board->faults[kind].error);
	return true;
}

/* --- who is watched at which edges --- */

#define WATCHED_MOST 4096

static struct {
	int epoll;
	struct epoll_event event;
} watched[WATCHED_MOST];

static void tell_again(int fd)
{
	if (fd >= 0 && fd < WATCHED_MOST && (watched[fd].event.events & EPOLLET) != 0)
		(void)syscall(SYS_epoll_ctl, watched[fd].epoll, EPOLL_CTL_MOD, fd, &watched[fd].event);
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	if (fails(FAULT_EPOLL_CTL))
		return -1;
	if (fd >= 0 && fd < WATCHED_MOST) {
		watched[fd].epoll = epoll;
		watched[fd].event = operation != EPOLL_CTL_DEL && event != NULL ? *event : (struct epoll_event){0};
	}
	return REAL(epoll_ctl, epoll, operation, fd, event);
}

/* --- pieces --- */

static _Thread_local uint64_t state;

static uint64_t chance(void)
{
	if (state == 0)
		state = atomic_load(&faults_board->ragged) * UINT64_C(2654435761) + (uint64_t)syscall(SYS_gettid) % 97 + 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* How much of `size` goes in one call; 0: none now, with errno. */
static size_t piece(int fd, size_t size)
{
	uint64_t what;

	if (faults_board == NULL || size == 0 || atomic_load_explicit(&faults_board->ragged, memory_order_relaxed) == 0)
		return size;
	what = chance() % 16;
	if (what < 2) {
		errno = EINTR;
		return 0;
	}
	tell_again(fd);
	if (what < 4) {
		errno = EAGAIN;
		return 0;
	}
	if (what < 8)
		return 1;
	return what < 12 ? chance() % size + 1 : size;
}

ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
	size_t most;

	if (fails(FAULT_RECV))
		return -1;
	most = piece(fd, size);
	return most == 0 && size > 0 ? -1 : REAL(recv, fd, bytes, most, flags);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
	size_t most;

	if (fails(FAULT_SEND))
		return -1;
	most = piece(fd, size);
	return most == 0 && size > 0 ? -1 : REAL(send, fd, bytes, most, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	return fails(FAULT_SEND) ? -1 : REAL(sendmsg, fd, message, flags);
}

ssize_t splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags)
{
	size_t most;

	if (fails(FAULT_SPLICE))
		return -1;
	most = piece(from, size);
	if (most < size)
		tell_again(to);
	return most == 0 && size > 0 ? -1 : REAL(splice, from, from_at, to, to_at, most, flags);
}

/* --- files --- */

static bool is_socket(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

static bool is_file(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

static enum fault_kind kind_of(int fd)
{
	return fd == STDERR_FILENO ? FAULT_LOG : FAULT_WRITE;
}

/* With error -1 half of it is written. */
ssize_t write(int fd, const void *bytes, size_t size)
{
	if (faults_board != NULL && is_file(fd) && fault_due(kind_of(fd))) {
		int error = atomic_load(&faults_board->faults[kind_of(fd)].error);

		if (error == -1 && size > 1)
			return REAL(write, fd, bytes, size / 2);
		errno = error == -1 ? ENOSPC : error;
		return -1;
	}
	if (faults_board != NULL && is_socket(fd) && fails(FAULT_SEND))
		return -1;
	return REAL(write, fd, bytes, size);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
	if (faults_board != NULL && is_file(fd) && fails(kind_of(fd))) {
		for (int i = 0; i < count && errno == -1; i++)
			if (pieces[i].iov_len > 1)
				return REAL(write, fd, pieces[i].iov_base, pieces[i].iov_len / 2);
		return -1;
	}
	return REAL(writev, fd, pieces, count);
}

int fsync(int fd)
{
	return fails(FAULT_SYNC) ? -1 : REAL(fsync, fd);
}

int fdatasync(int fd)
{
	return fails(FAULT_SYNC) ? -1 : REAL(fdatasync, fd);
}

int rename(const char *from, const char *to)
{
	return fails(FAULT_RENAME) ? -1 : REAL(rename, from, to);
}

static int open_at(int folder, const char *path, int flags, va_list arguments)
{
	mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;

	return fails(FAULT_OPEN) ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list arguments;
	int fd;

	va_start(arguments, flags);
	fd = open_at(AT_FDCWD, path, flags, arguments);
	va_end(arguments);
	return fd;
}

int open64(const char *path, int flags, ...)
{
	va_list arguments;
	int fd;

	va_start(arguments, flags);
	fd = open_at(AT_FDCWD, path, flags, arguments);
	va_end(arguments);
	return fd;
}

int openat(int folder, const char *path, int flags, ...)
{
	va_list arguments;
	int fd;

	va_start(arguments, flags);
	fd = open_at(folder, path, flags, arguments);
	va_end(arguments);
	return fd;
}

FILE *fopen(const char *path, const char *mode)
{
	return fails(FAULT_OPEN) ? NULL : REAL(fopen, path, mode);
}

/* --- descriptors --- */

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	return fails(FAULT_ACCEPT) ? -1 : REAL(accept4, fd, address, size, flags);
}

int socket(int family, int type, int protocol)
{
	return fails(FAULT_SOCKET) ? -1 : REAL(socket, family, type, protocol);
}

int socketpair(int family, int type, int protocol, int fds[2])
{
	return fails(FAULT_SOCKET) ? -1 : REAL(socketpair, family, type, protocol, fds);
}

int pipe2(int fds[2], int flags)
{
	return fails(FAULT_PIPE) ? -1 : REAL(pipe2, fds, flags);
}

int eventfd(unsigned count, int flags)
{
	return fails(FAULT_EVENTFD) ? -1 : REAL(eventfd, count, flags);
}

int epoll_create1(int flags)
{
	return fails(FAULT_EPOLL_CREATE) ? -1 : REAL(epoll_create1, flags);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	return fails(FAULT_CONNECT) ? -1 : REAL(connect, fd, address, size);
}

int fcntl(int fd, int command, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, command);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (command == F_DUPFD_CLOEXEC && fails(FAULT_DUP))
		return -1;
	return REAL(fcntl, fd, command, argument);
}

/* --- threads, names, time --- */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
	if (fails(FAULT_THREAD))
		return EAGAIN;
	return REAL(pthread_create, thread, attributes, run, argument);
}

/* No name that a test needs ends like that; so some can hang while others are answered. */
static bool is_invalid(const char *node)
{
	const char *end = node != NULL ? strrchr(node, '.') : NULL;

	return end != NULL && strcmp(end, ".invalid") == 0;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	if (is_invalid(node) && fault_due(FAULT_NAMES))
		return atomic_load(&faults_board->faults[FAULT_NAMES].error);
	return REAL(getaddrinfo, node, service, hints, found);
}

int clock_gettime(clockid_t which, struct timespec *now)
{
	int result = REAL(clock_gettime, which, now);

	if (result == 0 && faults_board != NULL && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
		now->tv_sec += (time_t)atomic_load_explicit(&faults_board->clock_s, memory_order_relaxed);
	return result;
}

time_t time(time_t *at)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (at != NULL)
		*at = now.tv_sec;
	return now.tv_sec;
}
