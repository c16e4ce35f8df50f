/* The service manager is told how it goes. */
#include "service.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define SUCCESSOR_MS 1000 /* the longest wait for the manager, so that it hears of another main process */
#define GRACE_MS 5000 /* to end the threads, after the last connection */

/* Its socket, which nothing is sent to from here; -1 where it cannot be reached. */
static int connect_manager(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = name != NULL ? strlen(name) : 0;
	int fd;

	if (length == 0 || length >= sizeof(address.sun_path))
		return -1;
	memcpy(address.sun_path, name, length);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Would the manager take a message, now or within `patience_ms`? sd_notify would wait for ever for one that does not
 * read, and this thread must see SIGTERM. Where it cannot be reached, sd_notify says so at once. */
static bool manager_takes(int patience_ms)
{
	struct pollfd wait = {.fd = connect_manager(), .events = POLLOUT};
	int result = wait.fd >= 0 ? poll(&wait, 1, patience_ms) : 1;

	if (wait.fd >= 0)
		close(wait.fd);
	return result != 0;
}

static void tell_patiently(struct service *service, const char *state, int patience_ms)
{
	int result;

	if (!service->told || service->silent)
		return;
	result = manager_takes(patience_ms) ? sd_notify(0, state) : -EAGAIN;
	service->owed = service->owed || result == -EAGAIN;
	if (result > 0 || service->unheard)
		return;
	service->unheard = true;
	log_say(MESSAGE_MANAGER_UNHEARD, "%s: %s", getenv("NOTIFY_SOCKET"),
	        result == -EAGAIN ? "nobody reads there" : strerrordesc_np(-result));
}

static void tell(struct service *service, const char *state)
{
	tell_patiently(service, state, 0);
}

/* A status that has not changed is not worth a message; one that comes with another word always is. */
static void tell_status(struct service *service, const char *with)
{
	char buffer[sizeof(service->status)], state[sizeof(service->status) + 128];
	struct text text;

	if (!service->told || service->silent)
		return;
	text_init(&text, buffer, sizeof(buffer));
	service->hooks.describe(service->hooks.context, &text);
	if (with[0] == '\0' && strcmp(buffer, service->status) == 0)
		return;
	memcpy(service->status, buffer, sizeof(buffer));
	(void)snprintf(state, sizeof(state), "%sSTATUS=%s", with, buffer);
	tell(service, state);
}

static void on_status(uv_timer_t *timer)
{
	struct service *service = timer->data;
	const char *with = !service->owed ? "" : service->stopping ? "STOPPING=1\n" : "READY=1\n";

	/* What it missed, in short. */
	service->owed = false;
	tell_status(service, with);
}

static void on_watchdog(uv_timer_t *timer)
{
	struct service *service = timer->data;

	if (service->hooks.alive(service->hooks.context))
		tell(service, "WATCHDOG=1");
}

void service_init(struct service *service, uv_loop_t *loop, const struct service_hooks *hooks)
{
	const char *socket = getenv("NOTIFY_SOCKET");

	memset(service, 0, sizeof(*service));
	service->hooks = *hooks;
	service->told = socket != NULL && socket[0] != '\0';
	if (sd_watchdog_enabled(0, &service->watchdog_usec) <= 0)
		service->watchdog_usec = 0;
	(void)unsetenv("WATCHDOG_PID");
	(void)uv_timer_init(loop, &service->status_timer);
	(void)uv_timer_init(loop, &service->watchdog_timer);
	service->status_timer.data = service->watchdog_timer.data = service;
}

/* A quarter of the manager's patience: a thread may be late once, and the manager still hears from us every half. */
static void start_watchdog(struct service *service)
{
	uint64_t tick_ms = service->watchdog_usec / 4000;

	if (service->watchdog_usec == 0)
		return;
	/* Asks for the first time; the answer counts at the first tick. */
	(void)service->hooks.alive(service->hooks.context);
	(void)uv_timer_start(&service->watchdog_timer, on_watchdog, tick_ms, tick_ms > 0 ? tick_ms : 1);
}

static void start_timers(struct service *service)
{
	(void)uv_timer_start(&service->status_timer, on_status, SERVICE_STATUS_MS, SERVICE_STATUS_MS);
	start_watchdog(service);
}

void service_ready(struct service *service)
{
	if (!service->told)
		return;
	tell_status(service, "READY=1\n");
	start_timers(service);
}

void service_reloading(struct service *service)
{
	char state[96];
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	(void)snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading",
	               (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	tell(service, state);
}

void service_reloaded(struct service *service)
{
	tell_status(service, "READY=1\n");
}

void service_stopping(struct service *service, uint64_t most_ms)
{
	char with[96];

	service->stopping = true;
	(void)snprintf(with, sizeof(with), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\n", (most_ms + GRACE_MS) * 1000);
	tell_status(service, with);
}

void service_successor(struct service *service, pid_t pid)
{
	char state[48];

	(void)snprintf(state, sizeof(state), "MAINPID=%ld", (long)pid);
	/* Without this word it would take our end for that of the service. */
	tell_patiently(service, state, SUCCESSOR_MS);
	service->silent = true;
	(void)uv_timer_stop(&service->status_timer);
	(void)uv_timer_stop(&service->watchdog_timer);
}

void service_stays(struct service *service)
{
	char with[48];

	if (!service->silent)
		return;
	service->silent = false;
	(void)snprintf(with, sizeof(with), "MAINPID=%ld\n", (long)getpid());
	tell_status(service, with);
	if (service->told)
		start_timers(service);
}
