/* The gateway's side of the starter. */
#include "starter_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "binding.h"

#define REAP_MS 200

static struct sidecar sidecar;

static struct {
	uv_poll_t watch;
	bool is_watched, has_ended;
	void (*ended)(void *context);
	void *context;
} life;

/* One question and its answer. -1 with errno where there is nobody to answer. */
static int ask(const struct starter_request *request, size_t length, const int *fds, size_t count,
               struct starter_answer *answer)
{
	ssize_t got;

	if (sidecar.pid <= 0 || life.has_ended) {
		errno = ESRCH;
		return -1;
	}
	if (sidecar_send(sidecar.fd, request, length, fds, count) != 0)
		return -1;
	got = sidecar_receive(sidecar.fd, answer, sizeof(*answer), NULL, NULL);
	if (got == (ssize_t)sizeof(*answer))
		return 0;
	if (got >= 0)
		errno = EPIPE;
	return -1;
}

/* What the answer says of a call, as the call would say it. */
static int as_call(const struct starter_request *request, int fd)
{
	struct starter_answer answer;

	if (ask(request, sizeof(*request), &fd, 1, &answer) != 0)
		return -1;
	errno = answer.number;
	return answer.number == 0 ? 0 : -1;
}

static int bind_there(int fd, const struct sockaddr *address, socklen_t size)
{
	struct starter_request request = {.what = STARTER_BIND, .size = size};

	if (size > sizeof(request.address)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(&request.address, address, size);
	return as_call(&request, fd);
}

static int listen_there(int fd, int backlog)
{
	const struct starter_request request = {.what = STARTER_LISTEN, .number = backlog};

	return as_call(&request, fd);
}

static int own_there(const char *path, int fd, uid_t uid, gid_t gid)
{
	struct starter_request request = {
	    .what = STARTER_OWN, .size = sizeof(request.address.local), .uid = uid, .gid = gid};

	request.address.local.sun_family = AF_UNIX;
	(void)snprintf(request.address.local.sun_path, sizeof(request.address.local.sun_path), "%s", path);
	return as_call(&request, fd);
}

/* --- its life --- */

int starter_open(const struct config *config, const struct starter_program *program, struct error *error)
{
	struct starter_task task = {.config = config, .program = program};

	return sidecar_start(&sidecar, "cci-starter", starter_serve, &task, error);
}

int starter_settle(struct error *error)
{
	static const struct binding there = {.bind = bind_there, .listen = listen_there, .own = own_there};
	const struct starter_request request = {.what = STARTER_SETTLE};
	struct starter_answer answer;

	if (ask(&request, sizeof(request), NULL, 0, &answer) != 0)
		return error_set(error, "the starter does not answer: %s", strerrordesc_np(errno));
	if (answer.number != 0)
		return error_set(error, "the starter: %s", answer.words);
	binding_use(&there);
	return 0;
}

/* Its socket is closed a moment before it can be waited for. */
static void take_leave(void)
{
	const struct timespec step = {.tv_nsec = 1000000};

	for (int i = 0; i < REAP_MS && waitpid(sidecar.pid, NULL, WNOHANG) == 0; i++)
		(void)nanosleep(&step, NULL);
}

static void on_end(uv_poll_t *watch, int status, int events)
{
	(void)status;
	(void)events;
	(void)uv_poll_stop(watch);
	life.has_ended = true;
	take_leave();
	life.ended(life.context);
}

int starter_watch(uv_loop_t *loop, void (*ended)(void *context), void *context, struct error *error)
{
	if (uv_poll_init(loop, &life.watch, sidecar.fd) != 0)
		return error_set(error, "the starter cannot be watched: not enough memory");
	/* Who asks waits for the answer, and libuv, which has taken that away, only looks. */
	(void)fcntl(sidecar.fd, F_SETFL, fcntl(sidecar.fd, F_GETFL) & ~O_NONBLOCK);
	life.ended = ended;
	life.context = context;
	life.is_watched = true;
	(void)uv_poll_start(&life.watch, UV_DISCONNECT, on_end);
	return 0;
}

bool starter_is_there(void)
{
	return sidecar.pid > 0 && !life.has_ended;
}

int starter_pid(void)
{
	return (int)sidecar.pid;
}

void starter_close(void)
{
	binding_use(NULL);
	/* The loop lives on: its look at this descriptor must not. */
	if (life.is_watched)
		(void)uv_poll_stop(&life.watch);
	life.is_watched = life.has_ended = false;
	sidecar_stop(&sidecar);
}

/* --- programs --- */

static int no_starter(struct error *error)
{
	return error_set(error, "the starter has ended (%s): restart the gateway", strerrordesc_np(errno));
}

/* More descriptors than one message takes go ahead of the request. */
static int send_ahead(const int **fds, size_t *count, struct error *error)
{
	const struct starter_request more = {.what = STARTER_MORE};
	struct starter_answer answer;

	while (*count > SIDECAR_DESCRIPTORS_MAX) {
		if (ask(&more, sizeof(more), *fds, SIDECAR_DESCRIPTORS_MAX, &answer) != 0)
			return no_starter(error);
		*fds += SIDECAR_DESCRIPTORS_MAX;
		*count -= SIDECAR_DESCRIPTORS_MAX;
	}
	return 0;
}

pid_t starter_start(const char *variable, const int *fds, size_t count, struct error *error)
{
	size_t length = strlen(variable) + 1;
	struct starter_request *request;
	struct starter_answer answer;
	int result;

	if (sizeof(*request) + length > SIDECAR_MESSAGE_MAX)
		return error_set(error, "more listeners than can be handed to another process: restart instead");
	if (send_ahead(&fds, &count, error) != 0)
		return -1;
	request = calloc(1, sizeof(*request) + length);
	if (request == NULL)
		return error_set(error, "not enough memory");
	request->what = STARTER_START;
	memcpy(request->variable, variable, length);
	result = ask(request, sizeof(*request) + length, fds, count, &answer);
	free(request);
	if (result != 0)
		return no_starter(error);
	return answer.number == 0 ? answer.pid : error_set(error, "%s", answer.words);
}

bool starter_has_ended(pid_t pid, unsigned wait_ms, int *status)
{
	const struct starter_request request = {.what = STARTER_WAIT, .pid = pid, .number = (int)wait_ms};
	struct starter_answer answer;

	*status = 0;
	if (ask(&request, sizeof(request), NULL, 0, &answer) != 0)
		return false;
	*status = answer.status;
	return answer.number == 0;
}

void starter_kill(pid_t pid)
{
	const struct starter_request request = {.what = STARTER_KILL, .pid = pid};
	struct starter_answer answer;

	(void)ask(&request, sizeof(request), NULL, 0, &answer);
}
