/* What a service manager hears. */
#include "service.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "suite.h"

static uv_loop_t loop;
static struct service service;
static char path[64];
static int manager = -1;
static bool alive = true;
static int asked;
static const char *words = "fine";

static void describe(void *context, struct text *text)
{
	ck_assert_ptr_eq(context, &service);
	text_puts(text, words);
}

static bool is_alive(void *context)
{
	ck_assert_ptr_eq(context, &service);
	asked++;
	return alive;
}

static void start(const char *watchdog_usec)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	static const struct service_hooks hooks = {describe, is_alive, &service};

	(void)snprintf(path, sizeof(path), "/tmp/cci-notify-%d", (int)getpid());
	memcpy(address.sun_path, path, strlen(path) + 1);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&address, sizeof(address)), 0);
	(void)setenv("NOTIFY_SOCKET", path, 1);
	if (watchdog_usec != NULL)
		(void)setenv("WATCHDOG_USEC", watchdog_usec, 1);
	else
		(void)unsetenv("WATCHDOG_USEC");
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	service_init(&service, &loop, &hooks);
}

static void stop(void)
{
	uv_close((uv_handle_t *)&service.status_timer, NULL);
	uv_close((uv_handle_t *)&service.watchdog_timer, NULL);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	close(manager);
	(void)unlink(path);
}

/* The next message is this one; NULL: there is none. */
static void hears(const char *expected)
{
	char text[1024];
	ssize_t got = recv(manager, text, sizeof(text) - 1, 0);

	if (expected == NULL) {
		ck_assert_int_eq(got, -1);
		return;
	}
	ck_assert_int_gt(got, 0);
	text[got] = '\0';
	ck_assert_str_eq(text, expected);
}

/* Turn the loop for a while. */
static void turn(unsigned for_ms)
{
	uint64_t end = uv_hrtime() + for_ms * 1000000ull;

	while (uv_hrtime() < end) {
		(void)uv_run(&loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
}

START_TEST(it_is_told_what_happens)
{
	char text[256];
	ssize_t got;

	start(NULL);
	hears(NULL);
	service_ready(&service);
	hears("READY=1\nSTATUS=fine");
	service_reloading(&service);
	got = recv(manager, text, sizeof(text) - 1, 0);
	ck_assert_int_gt(got, 0);
	text[got] = '\0';
	ck_assert_ptr_nonnull(strstr(text, "RELOADING=1\nMONOTONIC_USEC="));
	ck_assert_uint_gt(strtoull(strstr(text, "USEC=") + 5, NULL, 10), 0);
	service_reloaded(&service);
	hears("READY=1\nSTATUS=fine");
	service_stopping(&service, 30000);
	hears("STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000\nSTATUS=fine");
	ck_assert_int_eq(uv_is_active((uv_handle_t *)&service.watchdog_timer), 0);
	ck_assert_int_eq(asked, 0);
	stop();
}
END_TEST

START_TEST(a_status_is_sent_again_when_it_has_changed)
{
	start(NULL);
	service_ready(&service);
	hears("READY=1\nSTATUS=fine");
	ck_assert_uint_le(uv_timer_get_due_in(&service.status_timer), SERVICE_STATUS_MS);
	(void)uv_timer_start(&service.status_timer, service.status_timer.timer_cb, 1, 1);
	turn(20);
	hears(NULL);
	words = "better";
	turn(20);
	hears("STATUS=better");
	hears(NULL);
	stop();
}
END_TEST

START_TEST(a_watchdog_is_fed_while_all_threads_live)
{
	(void)setenv("WATCHDOG_PID", "1", 1);
	if (_i == 1) {
		/* Another process is watched. */
		start("40000");
		ck_assert_ptr_null(getenv("WATCHDOG_PID"));
		service_ready(&service);
		hears("READY=1\nSTATUS=fine");
		turn(30);
		hears(NULL);
		stop();
		return;
	}
	(void)unsetenv("WATCHDOG_PID");
	start("40000");
	turn(30);
	hears(NULL);
	service_ready(&service);
	hears("READY=1\nSTATUS=fine");
	turn(100);
	hears("WATCHDOG=1");
	hears("WATCHDOG=1");
	alive = false;
	while (recv(manager, &(char){0}, 1, 0) > 0)
		continue;
	asked = 0;
	turn(50);
	ck_assert_int_gt(asked, 0);
	hears(NULL);
	alive = true;
	turn(50);
	hears("WATCHDOG=1");
	stop();
}
END_TEST

START_TEST(a_successor_speaks_alone)
{
	start("40000");
	service_ready(&service);
	hears("READY=1\nSTATUS=fine");
	service_successor(&service, 4711);
	hears("MAINPID=4711");
	service_stopping(&service, 1);
	service_reloading(&service);
	service_reloaded(&service);
	turn(30);
	hears(NULL);
	stop();
}
END_TEST

/* The successor died when it was to take over. */
START_TEST(without_a_successor_it_speaks_on)
{
	char main_pid[64];

	start("40000");
	service_ready(&service);
	hears("READY=1\nSTATUS=fine");
	service_stays(&service);
	service_successor(&service, 4711);
	hears("MAINPID=4711");
	service_stays(&service);
	(void)snprintf(main_pid, sizeof(main_pid), "MAINPID=%d\nSTATUS=fine", (int)getpid());
	hears(main_pid);
	turn(30);
	hears("WATCHDOG=1");
	stop();
}
END_TEST

/* A manager that hangs does not make us hang; when it reads again it hears what counts. */
START_TEST(a_manager_that_does_not_read_is_not_waited_for)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), sent = 0;
	char text[64];

	start(NULL);
	memcpy(address.sun_path, path, strlen(path) + 1);
	while (sendto(other, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)) == 1)
		sent++;
	ck_assert_int_gt(sent, 0);
	service_ready(&service);
	service_reloading(&service);
	service_reloaded(&service);
	ck_assert(service.owed && service.unheard);
	while (recv(manager, text, sizeof(text), 0) > 0)
		;
	service.status_timer.timer_cb(&service.status_timer);
	hears("READY=1\nSTATUS=fine");
	hears(NULL);
	ck_assert(!service.owed);
	close(other);
	stop();
}
END_TEST

START_TEST(without_a_manager_nothing_happens)
{
	start("40000");
	stop();
	if (_i == 0)
		(void)unsetenv("NOTIFY_SOCKET");
	else
		(void)setenv("NOTIFY_SOCKET", "/no/such/socket", 1);
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	service_init(&service, &loop, &(struct service_hooks){describe, is_alive, &service});
	service_ready(&service);
	service_reloading(&service);
	service_reloaded(&service);
	service_stopping(&service, 0);
	service_stays(&service);
	ck_assert_int_eq(service.unheard, _i == 1);
	ck_assert_int_eq(uv_is_active((uv_handle_t *)&service.watchdog_timer), _i == 1);
	manager = -1;
	stop();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("service");
	TCase *tests = tcase_create("service");

	tcase_add_test(tests, it_is_told_what_happens);
	tcase_add_test(tests, a_status_is_sent_again_when_it_has_changed);
	tcase_add_loop_test(tests, a_watchdog_is_fed_while_all_threads_live, 0, 2);
	tcase_add_test(tests, a_successor_speaks_alone);
	tcase_add_test(tests, without_a_successor_it_speaks_on);
	tcase_add_test(tests, a_manager_that_does_not_read_is_not_waited_for);
	tcase_add_loop_test(tests, without_a_manager_nothing_happens, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
