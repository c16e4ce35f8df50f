/*
 * The starter against a gateway that somebody else has: requests of any bytes, or nearly right ones, with any descriptors. The linker
 * puts what follows in the place of the kernel's calls (fuzz.mk). It binds and listens at what the file names and nothing else, judged here a
 * second time; it kills its own children only; what is to be its program's environment is one variable; each request is
 * answered once; no descriptor is left.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "input.h"
#include "starter_parts.h"

#define CHILDREN 8
#define FIRST_CHILD 70000000 /* no process has such a number */
#define REQUESTS 16

static struct config *config;
static struct input input;

static struct {
	bool active;
	unsigned requests, answers, forks, open;
	pid_t children[CHILDREN];
	union socket_address address; /* of the request at hand */
} world;

int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __real_close(int fd);
pid_t __real_fork(void);
pid_t __real_waitpid(pid_t pid, int *status, int options);
int __real_kill(pid_t pid, int number);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_close(int fd);
pid_t __wrap_fork(void);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);
int __wrap_kill(pid_t pid, int number);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_listen(int fd, int backlog);
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_privileges_follow(const struct config *followed, bool with_mark, struct error *error);
ssize_t __wrap_sidecar_receive(int fd, void *bytes, size_t size, int *fds, size_t *count);
int __wrap_sidecar_send(int fd, const void *bytes, size_t length, const int *fds, size_t count);

/* --- what the file names --- */

static const char *const paths[] = {"/run/x/a", "/run/x/ctl", "/run/x/http"};

static bool is_named(const union socket_address *address)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (address->any.sa_family == AF_UNIX)
		return strcmp(address->local.sun_path, paths[0]) == 0 || strcmp(address->local.sun_path, paths[1]) == 0 ||
		       strcmp(address->local.sun_path, paths[2]) == 0;
	if (address->any.sa_family == AF_INET)
		return address->v4.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && address->v4.sin_port == htons(7000);
	(void)inet_ntop(AF_INET6, &address->v6.sin6_addr, text, sizeof(text));
	return address->any.sa_family == AF_INET6 && strcmp(text, "::1") == 0 && address->v6.sin6_scope_id == 0;
}

static void make_address(union socket_address *address, socklen_t *size)
{
	memset(address, 0, sizeof(*address));
	switch (input_below(&input, 4)) {
	case 0:
		address->v4.sin_family = AF_INET;
		address->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK + input_byte(&input) % 2);
		address->v4.sin_port = htons((uint16_t)(7000 + input_byte(&input) % 2));
		*size = sizeof(address->v4);
		break;
	case 1:
		address->v6.sin6_family = AF_INET6;
		address->v6.sin6_addr.s6_addr[15] = input_byte(&input) % 4;
		address->v6.sin6_scope_id = input_byte(&input) % 4 == 3;
		address->v6.sin6_port = input_byte(&input);
		*size = sizeof(address->v6);
		break;
	case 2:
		address->local.sun_family = AF_UNIX;
		(void)strcpy(address->local.sun_path, paths[input_below(&input, 3)]);
		address->local.sun_path[7] = (char)(address->local.sun_path[7] ^ (input_byte(&input) % 8 == 0));
		*size = sizeof(address->local);
		break;
	default:
		input_bytes(&input, address, sizeof(*address));
		*size = (socklen_t)input_number(&input);
	}
	if (input_byte(&input) % 8 == 0)
		*size = (socklen_t)input_byte(&input);
}

/* --- the kernel --- */

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	if (!world.active)
		return __real_poll(fds, count, timeout);
	return timeout < 0 || input_byte(&input) % 4 != 1;
}

int __wrap_close(int fd)
{
	if (world.active && fd >= 3)
		world.open--;
	return __real_close(fd);
}

static bool is_stream(int fd)
{
	return fd % 8 != 7;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
	if (!world.active)
		return __real_getsockopt(fd, level, name, value, size);
	FUZZ_CHECK(level == SOL_SOCKET && name == SO_TYPE && *size == sizeof(int), "option %d of level %d", name, level);
	*(int *)value = is_stream(fd) ? SOCK_STREAM : SOCK_DGRAM;
	return 0;
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size)
{
	union socket_address bound;

	FUZZ_CHECK(is_stream(fd), "no stream is bound");
	memset(&bound, 0, sizeof(bound));
	FUZZ_CHECK(size <= sizeof(bound), "an address of %u bytes is bound", size);
	memcpy(&bound, address, size);
	FUZZ_CHECK(is_named(&bound), "an address that nobody named is bound, family %u", bound.any.sa_family);
	return 0;
}

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
	(void)fd;
	memcpy(address, &world.address, sizeof(world.address));
	*size = sizeof(world.address);
	return 0;
}

int __wrap_listen(int fd, int backlog)
{
	(void)fd, (void)backlog;
	FUZZ_CHECK(is_named(&world.address), "it listens at an address that nobody named");
	return 0;
}

pid_t __wrap_fork(void)
{
	if (!world.active)
		return __real_fork();
	world.open += 2; /* the pipe to the child */
	for (unsigned i = 0; i < CHILDREN; i++)
		if (world.children[i] == 0)
			return world.children[i] = FIRST_CHILD + (pid_t)world.forks++;
	FUZZ_CHECK(false, "children without end");
	return -1;
}

static pid_t *child_of(pid_t pid)
{
	for (unsigned i = 0; i < CHILDREN; i++)
		if (world.children[i] == pid && pid != 0)
			return &world.children[i];
	return NULL;
}

pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
	pid_t *child;

	if (!world.active)
		return __real_waitpid(pid, status, options);
	child = &world.children[input_below(&input, CHILDREN)];
	if (*child == 0 || input_byte(&input) % 2 == 0)
		return 0;
	pid = *child;
	*child = 0;
	*status = input_byte(&input) << 8;
	return pid;
}

int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	(void)type, (void)options;
	info->si_pid = 0;
	return child_of((pid_t)id) != NULL ? 0 : -1;
}

int __wrap_kill(pid_t pid, int number)
{
	if (!world.active)
		return __real_kill(pid, number);
	FUZZ_CHECK(number == 0 || child_of(pid) != NULL, "somebody else's process %d is killed", pid);
	return child_of(pid) != NULL ? 0 : -1;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
	(void)time, (void)left;
	return 0;
}

int __wrap_privileges_follow(const struct config *followed, bool with_mark, struct error *error)
{
	FUZZ_CHECK(followed == config && with_mark, "another configuration is followed");
	return input_byte(&input) % 4 == 0 ? error_set(error, "it cannot") : 0;
}

/* --- the gateway --- */

static size_t make_request(struct starter_request *request, size_t size)
{
	static const char variable[] = "CCI_UPGRADE=1 2 3";
	size_t words = 0;

	memset(request, 0, sizeof(*request));
	request->what = (enum starter_what)(input_byte(&input) % 9);
	request->number = (int)input_number(&input);
	request->pid = input_byte(&input) % 2 == 0 ? FIRST_CHILD + input_byte(&input) % 8 : (pid_t)input_number(&input);
	make_address(&request->address, &request->size);
	if (request->what == STARTER_START) {
		uint8_t form = input_byte(&input);

		words = form % 4 == 0 ? input.size % 64 : sizeof(variable) - (form % 4 == 1);
		if (form % 4 == 0)
			input_bytes(&input, request->variable, words);
		else
			memcpy(request->variable, variable, words);
	}
	FUZZ_CHECK(sizeof(*request) + words <= size, "the fuzzer itself");
	return sizeof(*request) + words;
}

ssize_t __wrap_sidecar_receive(int fd, void *bytes, size_t size, int *fds, size_t *count)
{
	size_t length;

	(void)fd;
	FUZZ_CHECK(world.requests == world.answers, "%u requests, %u answers", world.requests, world.answers);
	if (input.size == 0 || world.requests == REQUESTS)
		return 0;
	world.requests++;
	length = make_request(bytes, size);
	if (input_byte(&input) % 8 == 0)
		length = 1 + input_byte(&input) % length;
	world.address = ((const struct starter_request *)bytes)->address;
	*count = input_byte(&input) % 4;
	for (size_t i = 0; i < *count; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		FUZZ_CHECK(fds[i] >= 3, "no descriptors");
		world.open++;
	}
	return (ssize_t)length;
}

int __wrap_sidecar_send(int fd, const void *bytes, size_t length, const int *fds, size_t count)
{
	const struct starter_answer *answer = bytes;

	(void)fd, (void)fds;
	FUZZ_CHECK(length == sizeof(*answer) && count == 0, "an answer of %zu bytes with %zu descriptors", length, count);
	FUZZ_CHECK(memchr(answer->words, '\0', sizeof(answer->words)) != NULL, "words without an end");
	FUZZ_CHECK(answer->pid == 0 || child_of(answer->pid) != NULL, "process %d was not started", answer->pid);
	world.answers++;
	return 0;
}

/* The starter reads it each time that it is asked. */
static char file[] = "/tmp/cci-fuzz-starter-XXXXXX";

static void remove_file(void)
{
	(void)unlink(file);
}

static void report(void *context, bool is_error, const char *name, unsigned line, const char *text)
{
	(void)context;
	FUZZ_CHECK(!is_error, "%s:%u: %s", name, line, text);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
	int fd = mkstemp(file);
	FILE *stream = fdopen(fd, "w");

	(void)count, (void)arguments;
	FUZZ_CHECK(fd >= 0 && stream != NULL, "no file");
	(void)fprintf(stream, "[gateway]\nsysid = A\n%s[listener a]\naddress = 127.0.0.1:7000, [::1]:0, unix:%s\n"
	                      "unsecured_connections = only\nservice = s\n[service s]\naddress = builtin:echo\n[control]\nsocket = %s\n"
	                      "http = unix:%s\n", geteuid() == 0 ? "user = root\n" : "", paths[0], paths[1], paths[2]);
	(void)fclose(stream);
	config = config_load(file, PROGRAM_CCISSL, report, NULL);
	FUZZ_CHECK(config != NULL, "no configuration");
	return atexit(remove_file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const struct starter_program program = {.path = "/nowhere/program", .folder = "/", .argv = (char *[]){NULL}};
	struct starter_task task = {.config = config, .program = &program};

	input_open(&input, bytes, size);
	memset(&world, 0, sizeof(world));
	world.active = true;
	FUZZ_CHECK(starter_serve(0, &task) == 0, "it ends otherwise");
	world.active = false;
	FUZZ_CHECK(world.open == 0, "%u descriptors are left open", world.open);
	input_close(&input);
	return 0;
}
