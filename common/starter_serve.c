/* The starter: binds what the configuration file names, and runs the one program. */
#include "starter_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "privileges.h"

#define FIRST_FD 3
#define DESCRIPTORS_MAX 65536
#define REAP_MS 1000
#define STEP_MS 2
#define WAIT_MOST_MS 5000
#define CHILDREN_MOST 4u /* an upgrade has one, and those that failed before it may still be ending */
#define VARIABLE "CCI_UPGRADE="

extern char **environ;

struct starter {
	const struct starter_task *task;
	int *fds; /* for the next program; owned */
	size_t count;
	unsigned children; /* that have not been waited for */
	bool settled;
	pid_t last; /* the one that ended last, and how */
	int last_status;
	struct starter_names names;
};

static int fail(struct starter_answer *answer, int number, const char *words)
{
	answer->number = number;
	(void)snprintf(answer->words, sizeof(answer->words), "%s", words);
	return -1;
}

/* --- binding --- */

/* What was compared is what is bound: a shorter address would be another one. */
static bool is_whole_address(const struct starter_request *request)
{
	switch (request->address.any.sa_family) {
	case AF_INET:
		return request->size == sizeof(request->address.v4);
	case AF_INET6:
		return request->size == sizeof(request->address.v6);
	case AF_UNIX:
		return request->size == sizeof(request->address.local) &&
		       memchr(request->address.local.sun_path, '\0', sizeof(request->address.local.sun_path)) != NULL;
	default:
		return false;
	}
}

/* A datagram socket at a name of the file would get what is meant for the listener; it needs no one who listens. */
static bool is_stream(int fd)
{
	int type = 0;
	socklen_t size = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

static void answer_bind(struct starter *starter, const struct starter_request *request, struct starter_answer *answer)
{
	int fd = starter->count == 1 ? starter->fds[0] : -1;

	if (!is_whole_address(request) || !is_stream(fd) || !starter_names_address(&starter->names, &request->address))
		answer->number = EPERM;
	else if (bind(fd, &request->address.any, request->size) != 0)
		answer->number = errno;
}

static void answer_listen(struct starter *starter, const struct starter_request *request, struct starter_answer *answer)
{
	int fd = starter->count == 1 ? starter->fds[0] : -1;
	union socket_address address = {.any.sa_family = AF_UNSPEC};
	socklen_t size = sizeof(address);

	if (getsockname(fd, &address.any, &size) != 0)
		answer->number = errno;
	else if (!starter_names_address(&starter->names, &address))
		answer->number = EPERM;
	else if (listen(fd, request->number) != 0)
		answer->number = errno;
}

/* What is given away is a socket, the very one at its path, and to whom the file says. */
static void answer_own(struct starter *starter, const struct starter_request *request, struct starter_answer *answer)
{
	const char *path = request->address.local.sun_path;
	int fd = starter->count == 1 ? starter->fds[0] : -1;
	struct stat held, found;

	if (!is_whole_address(request) || request->address.any.sa_family != AF_UNIX ||
	    !starter_names_owner(&starter->names, path, request->uid, request->gid))
		answer->number = EPERM;
	else if (fstat(fd, &held) != 0 || lstat(path, &found) != 0)
		answer->number = errno;
	else if (!S_ISSOCK(held.st_mode) || held.st_ino != found.st_ino || held.st_dev != found.st_dev)
		answer->number = EPERM;
	else if (fchownat(fd, "", request->uid, request->gid, AT_EMPTY_PATH) != 0)
		answer->number = errno;
}

/* --- programs --- */

static bool is_own(const char *entry)
{
	static const char *const names[] = {
	    "CCI_UPGRADE=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "WATCHDOG_PID="};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(entry, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* An array to be freed by the caller, with borrowed words. */
static char **make_environment(const char *variable)
{
	size_t count = 0, at = 0;
	char **copy;

	while (environ[count] != NULL)
		count++;
	copy = calloc(count + 2, sizeof(*copy));
	for (size_t i = 0; copy != NULL && i < count; i++)
		if (!is_own(environ[i]))
			copy[at++] = environ[i];
	if (copy != NULL)
		copy[at] = (char *)(uintptr_t)variable;
	return copy;
}

/* In the new process: fds[i] becomes descriptor FIRST_FD + i. All leave the numbers that are wanted before the first is
 * put in its place. */
static int place(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST_FD + (int)count);
		if (fds[i] < 0)
			return -1;
	}
	for (size_t i = 0; i < count; i++)
		if (dup2(fds[i], FIRST_FD + (int)i) < 0)
			return -1;
	return 0;
}

static void listen_to_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		(void)signal(number, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the new process. Comes back only where it fails, with errno. */
static void run(const struct starter *starter, char *const *environment, int tell)
{
	const struct starter_program *program = starter->task->program;

	tell = fcntl(tell, F_DUPFD_CLOEXEC, FIRST_FD + (int)starter->count);
	listen_to_signals();
	if (tell >= 0 && place(starter->fds, starter->count) == 0 && chdir(program->folder) == 0) {
		privileges_pass_on(true);
		(void)execve(program->path, program->argv, environment);
	}
	(void)!write(tell, &errno, sizeof(errno));
	_exit(127);
}

/* Waits until the program runs, or could not. */
static void launch(struct starter *starter, char *const *environment, struct starter_answer *answer)
{
	int ends[2], number = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0) {
		(void)fail(answer, errno, "no pipe for a new process");
		return;
	}
	pid = fork();
	if (pid == 0)
		run(starter, environment, ends[1]);
	close(ends[1]);
	if (pid < 0)
		number = errno;
	else if (read(ends[0], &number, sizeof(number)) == (ssize_t)sizeof(number))
		(void)waitpid(pid, NULL, 0);
	else
		number = 0;
	close(ends[0]);
	if (number != 0) {
		answer->number = number;
		(void)snprintf(answer->words, sizeof(answer->words), "%s cannot be started: %s", starter->task->program->path,
		               strerrordesc_np(number));
		return;
	}
	starter->children++;
	answer->pid = pid;
}

/* Take in what has ended. */
static void reap(struct starter *starter)
{
	int status;
	pid_t pid;

	while (starter->children > 0 && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
		starter->children--;
		starter->last = pid;
		starter->last_status = status;
	}
}

static void answer_start(struct starter *starter, const struct starter_request *request, struct starter_answer *answer)
{
	char **environment;

	if (starter->task->program->path == NULL || starter->task->program->folder == NULL) {
		(void)fail(answer, ENOENT,
		           "the program was not found when this process was started: start it by its whole path");
		return;
	}
	reap(starter);
	if (starter->children >= CHILDREN_MOST) {
		(void)fail(answer, EAGAIN, "processes that were started before have not ended yet: try again later");
		return;
	}
	environment = make_environment(request->variable);
	if (environment == NULL)
		(void)fail(answer, ENOMEM, "not enough memory");
	else
		launch(starter, environment, answer);
	free(environment);
}

static bool still_runs(struct starter *starter, pid_t pid)
{
	reap(starter);
	return starter->last != pid && starter->children > 0 && kill(pid, 0) == 0;
}

static void answer_wait(struct starter *starter, const struct starter_request *request, struct starter_answer *answer)
{
	const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
	int left = request->number > WAIT_MOST_MS ? WAIT_MOST_MS : request->number;

	for (; left > 0 && still_runs(starter, request->pid); left -= STEP_MS)
		(void)nanosleep(&step, NULL);
	if (still_runs(starter, request->pid))
		answer->number = ECHILD;
	else if (starter->last == request->pid)
		answer->status = starter->last_status;
}

static void answer_kill(const struct starter_request *request)
{
	siginfo_t ended = {.si_pid = 0};

	/* Of its own children only: a number that another process has by now is none of its. */
	if (request->pid > 0 && waitid(P_PID, (id_t)request->pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	    ended.si_pid == 0)
		(void)kill(request->pid, SIGKILL);
}

/* --- requests --- */

static void forget_descriptors(struct starter *starter)
{
	for (size_t i = 0; i < starter->count; i++)
		close(starter->fds[i]);
	starter->count = 0;
}

/* Own those that came with the request too. */
static int keep(struct starter *starter, const int *fds, size_t count, struct starter_answer *answer)
{
	int *grown = realloc(starter->fds, (starter->count + count + 1) * sizeof(*grown));

	if (grown == NULL || starter->count + count > DESCRIPTORS_MAX) {
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		if (grown != NULL)
			starter->fds = grown;
		return fail(answer, ENOMEM, "not enough memory for the descriptors of a new process");
	}
	starter->fds = grown;
	memcpy(starter->fds + starter->count, fds, count * sizeof(*fds));
	starter->count += count;
	return 0;
}

static void settle(struct starter *starter, struct starter_answer *answer)
{
	struct error error;

	if (starter->settled)
		(void)fail(answer, EPERM, "it has settled before");
	else if (starter->task->config != NULL && privileges_follow(starter->task->config, true, &error) != 0)
		(void)fail(answer, EPERM, error.text);
	else
		starter->settled = true;
}

static void answer_request(struct starter *starter, const struct starter_request *request,
                           struct starter_answer *answer)
{
	switch (request->what) {
	case STARTER_SETTLE:
		settle(starter, answer);
		break;
	case STARTER_BIND:
		answer_bind(starter, request, answer);
		break;
	case STARTER_LISTEN:
		answer_listen(starter, request, answer);
		break;
	case STARTER_OWN:
		answer_own(starter, request, answer);
		break;
	case STARTER_MORE:
		return; /* what came is kept */
	case STARTER_START:
		answer_start(starter, request, answer);
		break;
	case STARTER_WAIT:
		answer_wait(starter, request, answer);
		break;
	case STARTER_KILL:
		answer_kill(request);
		break;
	}
	forget_descriptors(starter);
}

/* Whoever asks may be an intruder: of the environment nothing but the one variable is his (LD_PRELOAD would be code).
 */
static bool is_whole(const struct starter_request *request, ssize_t length)
{
	size_t words = (size_t)length - sizeof(*request);

	if (length < (ssize_t)sizeof(*request) || request->size > sizeof(request->address))
		return false;
	return request->what != STARTER_START || (words > strlen(VARIABLE) && request->variable[words - 1] == '\0' &&
	                                          strncmp(request->variable, VARIABLE, strlen(VARIABLE)) == 0);
}

/* Until a request comes; what ends meanwhile does not stay a zombie. */
static void wait_for_request(struct starter *starter, int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	while (poll(&wait, 1, starter->children > 0 ? REAP_MS : -1) <= 0)
		reap(starter);
}

int starter_serve(int fd, void *context)
{
	static union {
		struct starter_request request;
		char bytes[SIDECAR_MESSAGE_MAX];
	} in;
	const struct starter_task *task = context;
	struct starter starter = {.task = task, .names = {.config = task->config}};
	int fds[SIDECAR_DESCRIPTORS_MAX];
	size_t count;
	ssize_t got;

	for (;;) {
		struct starter_answer answer = {.number = 0};

		wait_for_request(&starter, fd);
		got = sidecar_receive(fd, &in, sizeof(in), fds, &count);
		if (got <= 0)
			break;
		if (keep(&starter, fds, count, &answer) == 0) {
			if (is_whole(&in.request, got))
				answer_request(&starter, &in.request, &answer);
			else
				(void)fail(&answer, EBADMSG, "a request that is none");
		}
		if (sidecar_send(fd, &answer, sizeof(answer), NULL, 0) != 0)
			break;
	}
	forget_descriptors(&starter);
	free(starter.fds);
	config_free(starter.names.named);
	return 0;
}
