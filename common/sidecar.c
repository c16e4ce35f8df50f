/* A process beside the gateway, and whole messages between the two. */
#include "sidecar.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define END_MS 2000
#define STEP_MS 5

/* --- the new process --- */

/* A gateway is told to end, to reload or to upgrade by signals that a terminal and a service manager send to all its
 * processes: this one follows its socket alone. */
static void ignore_signals(void)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGQUIT};
	sigset_t none;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		(void)signal(numbers[i], SIG_IGN);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* All but the standard descriptors and `fd`: other sidecars' sockets, and what the gateway has inherited, are none of
 * its. */
static void close_others(int fd)
{
	if (fd > STDERR_FILENO + 1)
		(void)close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0);
	(void)close_range((unsigned)fd + 1, ~0u, 0);
}

static int become(const char *name, int fd, sidecar_task *task, void *context)
{
	const struct rlimit none = {0, 0};

	ignore_signals();
	close_others(fd);
	(void)prctl(PR_SET_NAME, name, 0L, 0L, 0L);
	(void)setrlimit(RLIMIT_CORE, &none);
	return task(fd, context);
}

#ifdef CCI_COVERAGE
extern void __gcov_dump(void);
#endif

/* Nothing that the gateway had opened before the fork is closed or written a second time. */
static void leave(int status)
{
#ifdef CCI_COVERAGE
	__gcov_dump();
#endif
	_exit(status);
}

/* --- its life --- */

int sidecar_start(struct sidecar *sidecar, const char *name, sidecar_task *task, void *context, struct error *error)
{
	sigset_t all, before;
	int pair[2], number;

	sidecar->pid = 0;
	sidecar->fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return error_set(error, "no socket for process %s: %s", name, strerrordesc_np(errno));
	/* None of them reaches it before it has learnt to ignore them. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	sidecar->pid = fork();
	number = errno;
	if (sidecar->pid != 0)
		(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (sidecar->pid == 0)
		leave(become(name, pair[1], task, context));
	close(pair[1]);
	sidecar->fd = pair[0];
	if (sidecar->pid > 0)
		return 0;
	error_set(error, "process %s cannot be started: %s: raise the limit of processes (TasksMax=, ulimit -u)", name,
	          strerrordesc_np(number));
	close(pair[0]);
	sidecar->pid = 0;
	sidecar->fd = -1;
	return -1;
}

void sidecar_stop(struct sidecar *sidecar)
{
	const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
	pid_t ended = 0;

	if (sidecar->pid <= 0)
		return;
	close(sidecar->fd);
	sidecar->fd = -1;
	for (int waited = 0; waited < END_MS && ended == 0; waited += STEP_MS) {
		ended = waitpid(sidecar->pid, NULL, WNOHANG);
		if (ended == 0)
			(void)nanosleep(&step, NULL);
	}
	/* Out of a sandbox no signal goes: then it is left to its socket, which has ended. */
	if (ended == 0 && kill(sidecar->pid, SIGKILL) == 0) {
		while (waitpid(sidecar->pid, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	sidecar->pid = 0;
}

/* --- messages --- */

union control {
	char bytes[CMSG_SPACE(SIDECAR_DESCRIPTORS_MAX * sizeof(int))];
	struct cmsghdr header;
};

int sidecar_send(int fd, const void *bytes, size_t length, const int *fds, size_t count)
{
	struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	union control control;
	struct cmsghdr *header;
	ssize_t sent;

	if (length == 0 || length > SIDECAR_MESSAGE_MAX || count > SIDECAR_DESCRIPTORS_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (count > 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		header = CMSG_FIRSTHDR(&message);
		if (header == NULL) {
			errno = EMSGSIZE;
			return -1;
		}
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	}
	do
		sent = sendmsg(fd, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)length ? 0 : -1;
}

/* The descriptors that came: to `fds`, or closed where nobody wants them. */
static void take_descriptors(struct msghdr *message, int *fds, size_t *count)
{
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
		size_t came = header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS
		                  ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int)
		                  : 0;

		for (size_t i = 0; i < came; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + i * sizeof(fd), sizeof(fd));
			if (fds != NULL && count != NULL && *count < SIDECAR_DESCRIPTORS_MAX)
				fds[(*count)++] = fd;
			else
				close(fd);
		}
	}
}

ssize_t sidecar_receive(int fd, void *bytes, size_t size, int *fds, size_t *count)
{
	struct iovec part = {.iov_base = bytes, .iov_len = size};
	union control control;
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
	                         .msg_controllen = sizeof(control.bytes)};
	ssize_t got;

	if (count != NULL)
		*count = 0;
	do
		got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return got;
	take_descriptors(&message, fds, count);
	if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
		return got;
	for (size_t i = 0; count != NULL && i < *count; i++)
		close(fds[i]);
	if (count != NULL)
		*count = 0;
	errno = EMSGSIZE;
	return -1;
}
