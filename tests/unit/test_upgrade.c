/* A process that starts its successor: what comes of each kind of them, and what is left. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "suite.h"
#include "starter.h"
#include "upgrade.h"

static uv_loop_t loop;
static struct upgrade upgrade;
static struct listener_set nothing;
static int ready, done, failed;
static char why[256];

static void on_ready(void *context, pid_t pid)
{
	ck_assert_ptr_eq(context, &upgrade);
	ck_assert_int_gt(pid, 0);
	ready++;
}

static void on_done(void *context, pid_t pid)
{
	ck_assert_ptr_eq(context, &upgrade);
	ck_assert_int_gt(pid, 0);
	done++;
}

static void on_failed(void *context, const char *words)
{
	ck_assert_ptr_eq(context, &upgrade);
	(void)snprintf(why, sizeof(why), "%s", words);
	failed++;
}

/* A shell that does `script` in place of the program. */
static pid_t start(const char *script, uint64_t deadline_ms)
{
	static char *argv[4];
	struct starter_program program;
	struct error error;
	pid_t pid;

	argv[0] = (char *)(uintptr_t) "/bin/sh";
	argv[1] = (char *)(uintptr_t) "-c";
	argv[2] = (char *)(uintptr_t)script;
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	upgrade_init(&upgrade, argv);
	free(upgrade.program);
	upgrade.program = strdup(argv[0]);
	upgrade.loop = &loop;
	program = (struct starter_program){upgrade.program, upgrade.folder, upgrade.argv};
	ck_assert_int_eq(starter_open(NULL, &program, &error), 0);
	ck_assert_int_eq(starter_settle(&error), 0);
	upgrade.hooks = (struct upgrade_hooks){on_ready, on_done, on_failed, &upgrade};
	pid = upgrade_start(&upgrade, &nothing, &nothing, deadline_ms, &error);
	ck_assert_msg(pid > 0, "%s", error.text);
	return pid;
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

/* Turn the loop until nothing is left of the process, not even a zombie; at most some seconds. */
static void until_gone(pid_t pid)
{
	static uv_timer_t tick; /* until the loop has closed it */

	(void)uv_timer_init(&loop, &tick);
	(void)uv_timer_start(&tick, on_tick, 10, 10);
	for (int i = 0; i < 500 && kill(pid, 0) == 0; i++)
		(void)uv_run(&loop, UV_RUN_ONCE);
	ck_assert_msg(kill(pid, 0) != 0, "process %d is left", (int)pid);
	uv_close((uv_handle_t *)&tick, NULL);
}

static void finish(void)
{
	upgrade_close(&upgrade);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	starter_close();
}

START_TEST(one_that_is_too_slow_is_ended_and_reaped)
{
	pid_t pid = start("exec sleep 30", 50);

	until_gone(pid);
	ck_assert(failed == 1 && ready == 0 && done == 0);
	ck_assert_msg(strstr(why, "not ready in time") != NULL, "%s", why);
	ck_assert(!upgrade_is_running(&upgrade));
	finish();
}
END_TEST

START_TEST(one_that_ends_says_its_status)
{
	pid_t pid = start("exit 7", 5000);

	until_gone(pid);
	ck_assert(failed == 1 && ready == 0 && done == 0);
	ck_assert_msg(strstr(why, "status 7") != NULL, "%s", why);
	finish();
}
END_TEST

/* Whoever is no longer there when it would be let go never was the next. */
START_TEST(one_that_was_ready_and_is_gone_is_not_named)
{
	char script[160], file[] = "/tmp/cci-gone-XXXXXX";
	int fd = mkstemp(file);
	pid_t pid;

	ck_assert_int_ge(fd, 0);
	close(fd);
	(void)snprintf(script, sizeof(script), "printf R >&3; exec 3>&-; rm %s; sleep 0.2; exit 3", file);
	pid = start(script, 5000);
	for (int i = 0; i < 1000 && access(file, F_OK) == 0; i++)
		(void)usleep(5000);
	until_gone(pid);
	ck_assert(failed == 1 && ready == 0 && done == 0);
	ck_assert_msg(strstr(why, "status 3") != NULL, "%s", why);
	finish();
}
END_TEST

START_TEST(one_that_is_ready_is_let_go_and_reaped_when_it_ends)
{
	pid_t pid = start("printf R >&3; exec sleep 1", 5000);

	until_gone(pid);
	ck_assert(failed == 0 && ready == 1 && done == 1);
	ck_assert(!upgrade_is_running(&upgrade));
	finish();
}
END_TEST

START_TEST(one_that_is_cancelled_is_reaped)
{
	pid_t pid = start("exec sleep 30", 5000);

	upgrade_cancel(&upgrade);
	ck_assert(!upgrade_is_running(&upgrade));
	until_gone(pid);
	ck_assert(failed == 0 && ready == 0 && done == 0);
	finish();
}
END_TEST

/* Nothing of it is left in the loop. */
START_TEST(all_is_closed_while_one_runs)
{
	pid_t pid = start("exec sleep 30", 5000);

	finish();
	for (int i = 0; i < 1000 && kill(pid, 0) == 0; i++)
		(void)usleep(5000);
	ck_assert_int_ne(kill(pid, 0), 0);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("upgrade");
	TCase *tests = tcase_create("upgrade");

	tcase_set_timeout(tests, 20);
	tcase_add_test(tests, one_that_is_too_slow_is_ended_and_reaped);
	tcase_add_test(tests, one_that_ends_says_its_status);
	tcase_add_test(tests, one_that_is_ready_is_let_go_and_reaped_when_it_ends);
	tcase_add_test(tests, one_that_was_ready_and_is_gone_is_not_named);
	tcase_add_test(tests, one_that_is_cancelled_is_reaped);
	tcase_add_test(tests, all_is_closed_while_one_runs);
	suite_add_tcase(suite, tests);
	return suite;
}
