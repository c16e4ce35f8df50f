/* The service manager is told how it goes. */
#include "service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define GRACE_MS 5000 /* to end the threads, after the last connection */

static void tell(struct service *service, const char *state)
{
	int result = service->told && !service->silent ? sd_notify(0, state) : 1;

	if (result > 0 || service->unheard)
		return;
	service->unheard = true;
	log_say(MESSAGE_MANAGER_UNHEARD, "%s: %s", getenv("NOTIFY_SOCKET"), strerrordesc_np(-result));
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
	tell_status(timer->data, "");
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

	(void)snprintf(with, sizeof(with), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\n", (most_ms + GRACE_MS) * 1000);
	tell_status(service, with);
}

void service_successor(struct service *service, pid_t pid)
{
	char state[48];

	(void)snprintf(state, sizeof(state), "MAINPID=%ld", (long)pid);
	tell(service, state);
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
