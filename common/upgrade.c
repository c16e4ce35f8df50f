/* The program starts its successor, and the successor tells it when. */
#include "upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "listener_inherit.h"
#include "starter.h"

#define VARIABLE "CCI_UPGRADE"
#define ANSWER_FD 3
#define FIRST_FD 4
#define OURSELVES "/proc/self/exe"
#define READY 'R'
#define GO 'G'
#define END_MS 1000 /* between the end of a process's descriptors and its own */
#define GO_MS 60000 /* how long a successor waits for the answer of a predecessor that lives */

/* One successor. Its memory goes when its handles are closed. */
struct upgrade_attempt {
	struct upgrade *upgrade;
	pid_t pid;
	uv_poll_t answer;
	uv_timer_t deadline;
	int fd;        /* owned */
	unsigned open; /* handles */
};

/* --- the old process --- */

/* Where the shell would find `name`; NULL: nowhere. */
static char *find_in_path(const char *name)
{
	const char *at = getenv("PATH");
	char *path = NULL;

	while (at != NULL && at[0] != '\0') {
		size_t length = strcspn(at, ":");

		free(path);
		if (asprintf(&path, "%.*s/%s", (int)length, at, name) < 0)
			return NULL;
		if (access(path, X_OK) == 0)
			return path;
		at += length + (at[length] == ':');
	}
	free(path);
	return NULL;
}

static bool is_same_file(const char *a, const char *b)
{
	struct stat first, second;

	return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
	       first.st_ino == second.st_ino;
}

/* By the name it was started with, so that a link that is pointed to a new version leads there; where that name is not
 * ours, by the file. */
static char *find_program(const char *name, const char *folder)
{
	char *path = NULL;

	if (name == NULL || name[0] == '\0' || folder == NULL)
		return NULL;
	if (strchr(name, '/') == NULL)
		path = find_in_path(name);
	else if (asprintf(&path, "%s%s%s", name[0] == '/' ? "" : folder, name[0] == '/' ? "" : "/", name) < 0)
		return NULL;
	if (path != NULL && is_same_file(path, OURSELVES))
		return path;
	free(path);
	return realpath(OURSELVES, NULL);
}

void upgrade_init(struct upgrade *upgrade, char *const *argv)
{
	memset(upgrade, 0, sizeof(*upgrade));
	upgrade->predecessor = -1;
	upgrade->argv = argv;
	upgrade->folder = getcwd(NULL, 0);
	upgrade->program = find_program(argv[0], upgrade->folder);
}

static void on_closed(uv_handle_t *handle)
{
	struct upgrade_attempt *attempt = handle->data;

	if (--attempt->open > 0)
		return;
	free(attempt);
}

static void close_one(uv_handle_t *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, on_closed);
}

/* The attempt is over, whatever came of it. */
static void let_go(struct upgrade_attempt *attempt)
{
	attempt->upgrade->attempt = NULL;
	close_one((uv_handle_t *)&attempt->answer);
	close_one((uv_handle_t *)&attempt->deadline);
	close(attempt->fd);
	attempt->fd = -1;
}

static void fail(struct upgrade_attempt *attempt, const char *why)
{
	struct upgrade_hooks hooks = attempt->upgrade->hooks;

	starter_kill(attempt->pid);
	let_go(attempt);
	hooks.failed(hooks.context, why);
}

/* Nobody has its end of the socket any more. */
static void on_end(struct upgrade_attempt *attempt)
{
	char why[128];
	int status;

	if (!starter_has_ended(attempt->pid, END_MS, &status)) {
		(void)uv_poll_stop(&attempt->answer); /* it lives, and will never be ready: the deadline ends it */
		return;
	}
	if (WIFSIGNALED(status))
		(void)snprintf(why, sizeof(why), "the new process was ended by signal %d", WTERMSIG(status));
	else
		(void)snprintf(why, sizeof(why),
		               "the new process ended with status %d before it was ready: its own lines say why",
		               WEXITSTATUS(status));
	fail(attempt, why);
}

static void on_deadline(uv_timer_t *timer)
{
	fail(timer->data, "the new process was not ready in time (upgrade in [timeouts]), and was ended");
}

/* It is ready; from 'G' on it serves. */
static void hand_over(struct upgrade_attempt *attempt)
{
	struct upgrade_hooks hooks = attempt->upgrade->hooks;
	pid_t pid = attempt->pid;

	hooks.ready(hooks.context, pid);
	if (send(attempt->fd, &(char){GO}, 1, MSG_NOSIGNAL) != 1) {
		fail(attempt, "the new process ended when it was to take over");
		return;
	}
	let_go(attempt);
	hooks.done(hooks.context, pid);
}

static bool is_there(const struct upgrade_attempt *attempt)
{
	char word;

	return recv(attempt->fd, &word, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void on_answer(uv_poll_t *poll, int status, int events)
{
	struct upgrade_attempt *attempt = poll->data;
	char word = 0;
	ssize_t got = recv(attempt->fd, &word, 1, 0);

	(void)status;
	(void)events;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got == 1 && word == READY && is_there(attempt))
		hand_over(attempt);
	else
		on_end(attempt);
}

/* Run the program with `fd` and the sockets of the parcel. Its process id, or -1 with `error`. */
static pid_t launch(const struct listener_parcel *parcel, int fd, struct error *error)
{
	int *fds = calloc(parcel->count + 1, sizeof(*fds));
	char *variable = NULL;
	pid_t pid = -1;

	if (fds == NULL || asprintf(&variable, VARIABLE "=%s", parcel->words) < 0) {
		free(fds);
		return error_set(error, "not enough memory");
	}
	fds[0] = fd;
	for (size_t i = 0; i < parcel->count; i++)
		fds[1 + i] = parcel->fds[i];
	pid = starter_start(variable, fds, parcel->count + 1, error);
	free(variable);
	free(fds);
	return pid;
}

/* Owns `attempt`, also after a failure. */
static int open_attempt(struct upgrade_attempt *attempt, const struct listener_parcel *parcel, struct error *error)
{
	uv_loop_t *loop = attempt->upgrade->loop;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
		free(attempt);
		return error_set(error, "no descriptors for a new process: %s", strerrordesc_np(errno));
	}
	attempt->fd = pair[0];
	if (uv_poll_init(loop, &attempt->answer, pair[0]) != 0) {
		close(pair[0]);
		close(pair[1]);
		free(attempt);
		return error_set(error, "the new process cannot be waited for: not enough memory");
	}
	(void)uv_timer_init(loop, &attempt->deadline);
	attempt->open = 2;
	attempt->answer.data = attempt->deadline.data = attempt;
	attempt->pid = launch(parcel, pair[1], error);
	close(pair[1]);
	if (attempt->pid > 0)
		return 0;
	let_go(attempt);
	return -1;
}

pid_t upgrade_start(struct upgrade *upgrade, const struct listener_set *set, const struct listener_set *passed,
                    uint64_t deadline_ms, struct error *error)
{
	struct upgrade_attempt *attempt;
	struct listener_parcel parcel;
	int result;

	if (upgrade->attempt != NULL)
		return error_set(error, "an upgrade is under way already: process %d is being waited for",
		                 upgrade->attempt->pid);
	attempt = calloc(1, sizeof(*attempt));
	if (attempt == NULL || listener_pack(&parcel, set, passed) != 0) {
		free(attempt);
		return error_set(error, "not enough memory");
	}
	attempt->upgrade = upgrade;
	result = open_attempt(attempt, &parcel, error);
	free(parcel.words);
	free(parcel.fds);
	if (result != 0)
		return -1;
	upgrade->attempt = attempt;
	(void)uv_poll_start(&attempt->answer, UV_READABLE, on_answer);
	(void)uv_timer_start(&attempt->deadline, on_deadline, deadline_ms, 0);
	return attempt->pid;
}

bool upgrade_is_running(const struct upgrade *upgrade)
{
	return upgrade->attempt != NULL;
}

void upgrade_cancel(struct upgrade *upgrade)
{
	struct upgrade_attempt *attempt = upgrade->attempt;

	if (attempt == NULL)
		return;
	starter_kill(attempt->pid);
	let_go(attempt);
}

void upgrade_close(struct upgrade *upgrade)
{
	upgrade_cancel(upgrade);
	if (upgrade->predecessor >= 0)
		close(upgrade->predecessor);
	upgrade->predecessor = -1;
	free(upgrade->program);
	free(upgrade->folder);
	upgrade->program = upgrade->folder = NULL;
}

/* --- the new process --- */

int upgrade_inherit(struct upgrade *upgrade, struct listener_set *inherited, struct listener_set *passed,
                    struct error *error)
{
	const char *words = getenv(VARIABLE);
	struct ucred who;
	socklen_t size = sizeof(who);
	char *copy;
	int result;

	memset(inherited, 0, sizeof(*inherited));
	if (words == NULL)
		return listener_take_passed(passed, error);
	copy = strdup(words);
	if (copy == NULL)
		return error_set(error, "not enough memory");
	(void)unsetenv(VARIABLE);
	result = listener_inherit(inherited, passed, copy, FIRST_FD, error);
	free(copy);
	if (result != 0)
		return -1;
	if (fcntl(ANSWER_FD, F_SETFD, FD_CLOEXEC) != 0) {
		listener_close(inherited);
		listener_close(passed);
		return error_set(error, VARIABLE " is set, and nobody is there who did it: take it out of the environment");
	}
	upgrade->predecessor = ANSWER_FD;
	if (getsockopt(ANSWER_FD, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0)
		upgrade->predecessor_pid = who.pid;
	return 0;
}

/* 0: we go. */
static int wait_for_go(int fd, struct error *error)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	char word = 0;
	ssize_t got;

	while (poll(&wait, 1, GO_MS) < 0 && errno == EINTR)
		continue;
	got = recv(fd, &word, 1, MSG_DONTWAIT);
	if (got == 0 || (got < 0 && errno == ECONNRESET) || (got == 1 && word == GO))
		return 0;
	return error_set(error, "the process before did not let go of its sockets");
}

int upgrade_take_over(struct upgrade *upgrade, struct error *error)
{
	int result;

	if (upgrade->predecessor < 0)
		return 0;
	(void)send(upgrade->predecessor, &(char){READY}, 1, MSG_NOSIGNAL);
	result = wait_for_go(upgrade->predecessor, error);
	close(upgrade->predecessor);
	upgrade->predecessor = -1;
	return result;
}
