/* Workers with sessions that only hold their connection: accepting, swapping, draining, limits, lack of descriptors. */
#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fake_session.h"
#include "session.h"
#include "suite.h"
#include "worker.h"
#define MOST_WORKERS 4

struct fixture {
	struct worker_shared shared;
	struct worker *workers[MOST_WORKERS];
	unsigned count;
	struct snapshot *snapshot;
	struct listener_set listeners;
	int descriptors;
};

static atomic_uint drained;
static struct error error;

static const char config_text[] = "[gateway]\nsysid = H\n[service s]\naddress = builtin:echo\n"
                                  "[listener l]\naddress = 127.0.0.1:0, 127.0.0.1:0\nservice = s\nunsecured_connections = only\n";

static void on_drained(void *context)
{
	ck_assert_ptr_eq(context, &drained);
	atomic_fetch_add(&drained, 1);
}

static void report(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	(void)context;
	ck_assert_msg(!is_error, "%s:%u: %s", file, line, text);
}

static struct snapshot *make_snapshot(unsigned workers)
{
	static const struct cci_notifier_kind *const kinds[] = {NULL};
	FILE *stream = fmemopen((void *)(uintptr_t)config_text, sizeof(config_text) - 1, "r");
	struct config *config = config_load_stream(stream, "test.ini", PROGRAM_CCISSL, report, NULL);
	struct snapshot *snapshot = snapshot_new(config, workers, kinds, &error);

	(void)fclose(stream);
	ck_assert_msg(snapshot != NULL, "%s", error.text);
	return snapshot;
}

static int open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(folder) != NULL)
		count++;
	(void)closedir(folder);
	return count;
}

/* With the first loop of a process libuv opens what it never closes (and cannot do without: it aborts). */
static void warm_up(void)
{
	uv_loop_t loop;

	ck_assert_int_eq(uv_loop_init(&loop), 0);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void start(struct fixture *fixture, unsigned count)
{
	warm_up();
	memset(fixture, 0, sizeof(*fixture));
	fixture->count = count;
	fixture->shared = (struct worker_shared){.quota = quota_new(),
	                                         .ratchet = ratchet_new(16),
	                                         .noise = noise_new(),
	                                         .drained = on_drained,
	                                         .context = &drained};
	fixture->snapshot = make_snapshot(count);
	fixture->descriptors = open_descriptors();
	ck_assert_int_eq(listener_open(&fixture->listeners, fixture->snapshot->config, NULL, count, &error), 0);
	for (unsigned i = 0; i < count; i++) {
		fixture->workers[i] = worker_start(i, &fixture->shared, &error);
		ck_assert_msg(fixture->workers[i] != NULL, "%s", error.text);
		ck_assert_int_eq(worker_prepare(fixture->workers[i], fixture->snapshot, &fixture->listeners, &error), 0);
	}
	for (unsigned i = 0; i < count; i++)
		worker_use(fixture->workers[i]);
}

/* Everything is given back: memory (a sanitizer says), descriptors, places in the limits. */
static void stop(struct fixture *fixture)
{
	listener_close(&fixture->listeners);
	for (unsigned i = 0; i < fixture->count; i++)
		worker_stop(fixture->workers[i]);
	ck_assert_uint_eq(atomic_load(&fixture->snapshot->references), 1);
	ck_assert_uint_eq(quota_count(fixture->shared.quota), 0);
	snapshot_release(fixture->snapshot);
	quota_free(fixture->shared.quota);
	ratchet_free(fixture->shared.ratchet);
	noise_free(fixture->shared.noise);
}

static int try_connect(const struct fixture *fixture, int fd)
{
	const union socket_address *to = &fixture->listeners.at[0].bound;

	return connect(fd, &to->any, socket_length(to));
}

static int client(const struct fixture *fixture)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(try_connect(fixture, fd), 0);
	return fd;
}

static void wait_for(atomic_uint *number, unsigned value)
{
	for (int i = 0; i < 5000 && atomic_load(number) < value; i++)
		usleep(1000);
	ck_assert_uint_eq(atomic_load(number), value);
}

static uint64_t accepted(const struct fixture *fixture)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < fixture->count; i++)
		sum += worker_accepted(fixture->workers[i]);
	return sum;
}

/* Leave room for exactly `count` more descriptors; -1: all there may be. */
static void leave_descriptors(int count)
{
	struct rlimit limit;
	int fd = 0;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int found = 0; found < count; fd++)
		found += fcntl(fd, F_GETFD) < 0;
	limit.rlim_cur = count < 0 ? limit.rlim_max : (rlim_t)fd;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* --- tests --- */

START_TEST(connections_become_sessions_and_all_is_given_back)
{
	struct fixture fixture;
	int fds[100], before;

	start(&fixture, 2);
	before = fixture.descriptors;
	for (int i = 0; i < 100; i++)
		fds[i] = client(&fixture);
	wait_for(&started, 100);
	ck_assert_uint_eq(accepted(&fixture), 100);
	ck_assert_uint_eq(quota_count(fixture.shared.quota), 100);
	for (int i = 0; i < 100; i++)
		close(fds[i]);
	listener_close(&fixture.listeners);
	for (unsigned i = 0; i < fixture.count; i++)
		worker_stop(fixture.workers[i]);
	ck_assert_int_eq(open_descriptors(), before);
	fixture.count = 0;
	ck_assert_uint_eq(atomic_load(&drained), 0);
	stop(&fixture);
}
END_TEST

static void *open_gate(void *unused)
{
	(void)unused;
	usleep(200000);
	(void)sem_post(&gate);
	return NULL;
}

/* 150 connections are more than two batches. */
START_TEST(the_backlog_of_a_socket_that_goes_is_served_by_the_old_snapshot)
{
	struct fixture fixture;
	struct snapshot *next = make_snapshot(1);
	struct listener_set listeners;
	pthread_t opener;
	int fds[150];

	(void)sem_init(&gate, 0, 0);
	start(&fixture, 1);
	ck_assert_int_eq(listener_open(&listeners, next->config, NULL, 1, &error), 0);
	ck_assert_int_eq(worker_prepare(fixture.workers[0], next, &listeners, &error), 0);
	atomic_store(&new_snapshot, next);
	atomic_store(&gated, true);
	for (int i = 0; i < 150; i++)
		fds[i] = client(&fixture);
	ck_assert_int_eq(pthread_create(&opener, NULL, open_gate, NULL), 0);
	listener_close(&fixture.listeners);
	worker_use(fixture.workers[0]);
	(void)pthread_join(opener, NULL);
	wait_for(&started, 150);
	ck_assert_uint_eq(atomic_load(&started_by_new), 0);
	fixture.listeners = listeners;
	close(fds[0]);
	fds[0] = client(&fixture);
	wait_for(&started_by_new, 1);
	worker_cut(fixture.workers[0]);
	/* Nobody uses the old one any more: only this function holds it. */
	ck_assert_uint_eq(atomic_load(&fixture.snapshot->references), 1);
	snapshot_release(fixture.snapshot);
	fixture.snapshot = next;
	for (int i = 0; i < 150; i++)
		close(fds[i]);
	stop(&fixture);
}
END_TEST

START_TEST(what_is_forgotten_changes_nothing)
{
	struct fixture fixture;
	struct snapshot *next;
	struct listener_set listeners;
	int fd, before;

	start(&fixture, 2);
	before = open_descriptors();
	next = make_snapshot(2);
	ck_assert_int_eq(listener_open(&listeners, next->config, &fixture.listeners, 2, &error), 0);
	atomic_store(&new_snapshot, next);
	ck_assert_int_eq(worker_prepare(fixture.workers[0], next, &listeners, &error), 0);
	/* Room for one of the two. */
	leave_descriptors(1);
	ck_assert_int_eq(worker_prepare(fixture.workers[1], next, &listeners, &error), -1);
	ck_assert_msg(strstr(error.text, "limit of open files") != NULL, "%s", error.text);
	leave_descriptors(-1);
	worker_forget(fixture.workers[0]);
	listener_close(&listeners);
	for (int i = 0; i < 20; i++) {
		fd = client(&fixture);
		wait_for(&started, (unsigned)i + 1);
		close(fd);
	}
	ck_assert_uint_eq(atomic_load(&started_by_new), 0);
	ck_assert_uint_eq(atomic_load(&next->references), 1);
	snapshot_release(next);
	worker_cut(fixture.workers[0]);
	worker_cut(fixture.workers[1]);
	ck_assert_int_eq(open_descriptors(), before);
	stop(&fixture);
}
END_TEST

START_TEST(a_drain_ends_once_with_the_last_session)
{
	struct fixture fixture;
	struct sockaddr_in to;
	int fd, late;

	start(&fixture, 1);
	fd = client(&fixture);
	wait_for(&started, 1);
	to = fixture.listeners.at[0].bound.v4;
	listener_close(&fixture.listeners);
	worker_drain(fixture.workers[0]);
	late = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(late, (struct sockaddr *)&to, sizeof(to)), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	ck_assert_uint_eq(atomic_load(&drained), 0);
	worker_cut(fixture.workers[0]);
	ck_assert_uint_eq(atomic_load(&drained), 1);
	worker_cut(fixture.workers[0]);
	close(fd);
	close(late);
	stop(&fixture);
	ck_assert_uint_eq(atomic_load(&drained), 1);
}
END_TEST

START_TEST(an_idle_worker_is_drained_at_once)
{
	struct fixture fixture;

	start(&fixture, 2);
	listener_close(&fixture.listeners);
	worker_drain(fixture.workers[0]);
	worker_drain(fixture.workers[1]);
	ck_assert_uint_eq(atomic_load(&drained), 2);
	stop(&fixture);
}
END_TEST

START_TEST(the_backlog_of_a_drain_is_told)
{
	struct fixture fixture;
	pthread_t opener;
	int fds[150];

	(void)sem_init(&gate, 0, 0);
	start(&fixture, 1);
	atomic_store(&gated, true);
	for (int i = 0; i < 150; i++)
		fds[i] = client(&fixture);
	ck_assert_int_eq(pthread_create(&opener, NULL, open_gate, NULL), 0);
	worker_drain(fixture.workers[0]);
	(void)pthread_join(opener, NULL);
	ck_assert_uint_eq(atomic_load(&started), 150);
	/* The first batches may have come before the drain, the rest knows of it. */
	ck_assert_uint_ge(atomic_load(&started_draining), 150 - 2 * 64);
	for (int i = 0; i < 150; i++)
		close(fds[i]);
	stop(&fixture);
}
END_TEST

/* Beyond the limit 16 are started to be told so; the others get a reset. */
START_TEST(far_over_the_limit_a_connection_is_reset)
{
	struct fixture fixture;
	int fds[40], resets = 0;
	char byte;

	start(&fixture, 1);
	quota_set(fixture.shared.quota, 4, 100);
	for (int i = 0; i < 40; i++)
		fds[i] = client(&fixture);
	for (int i = 0; i < 2000 && accepted(&fixture) < 40; i++)
		usleep(1000);
	wait_for(&started, 20);
	ck_assert_uint_eq(atomic_load(&started_over), 16);
	usleep(20000);
	for (int i = 0; i < 40; i++) {
		resets += recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
		close(fds[i]);
	}
	ck_assert_int_eq(resets, 20);
	stop(&fixture);
}
END_TEST

static int lines_with(FILE *stream, const char *what)
{
	char line[4096];
	int count = 0;

	rewind(stream);
	while (fgets(line, sizeof(line), stream) != NULL)
		count += strstr(line, what) != NULL;
	return count;
}

/* With room for three: three are taken, one at a time is turned away by the reserve, the rest waits; and is taken when
 * there is room again. One line says so, however long it lasts. */
START_TEST(without_descriptors_it_goes_on_and_recovers)
{
	struct fixture fixture;
	FILE *log = tmpfile();
	int fds[12], reset = 0;
	char byte;

	start(&fixture, 1);
	for (int i = 0; i < 12; i++)
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
	(void)fflush(stderr);
	ck_assert_int_eq(dup2(fileno(log), STDERR_FILENO), STDERR_FILENO);
	leave_descriptors(3);
	for (int i = 0; i < 12; i++)
		ck_assert_int_eq(try_connect(&fixture, fds[i]), 0);
	usleep(350000);
	ck_assert_uint_eq(atomic_load(&started), 3);
	for (int i = 0; i < 12; i++)
		reset += recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
	/* At once, and then each 100 ms. */
	ck_assert_int_ge(reset, 2);
	ck_assert_int_le(reset, 5);
	leave_descriptors(-1);
	for (int i = 0; i < 2000 && accepted(&fixture) < 12; i++)
		usleep(1000);
	ck_assert_uint_eq(accepted(&fixture), 12);
	/* The last one is counted a moment before it is started. */
	usleep(20000);
	ck_assert_uint_ge(atomic_load(&started), 12 - 6);
	for (int i = 0; i < 12; i++)
		close(fds[i]);
	stop(&fixture);
	ck_assert_int_eq(lines_with(log, "id=CCI1013E"), 1);
}
END_TEST

START_TEST(a_session_that_cannot_start_is_turned_away)
{
	struct fixture fixture;
	FILE *log = tmpfile();
	char byte;
	int fd;

	start(&fixture, 1);
	(void)fflush(stderr);
	ck_assert_int_eq(dup2(fileno(log), STDERR_FILENO), STDERR_FILENO);
	atomic_store(&failing, true);
	for (int i = 0; i < 3; i++) {
		fd = client(&fixture);
		ck_assert_int_eq((int)recv(fd, &byte, 1, 0), -1);
		ck_assert_int_eq(errno, ECONNRESET);
		close(fd);
	}
	ck_assert_uint_eq(quota_count(fixture.shared.quota), 0);
	atomic_store(&failing, false);
	fd = client(&fixture);
	wait_for(&started, 1);
	close(fd);
	stop(&fixture);
	ck_assert_int_eq(lines_with(log, "id=CCI1013E"), 1);
}
END_TEST

START_TEST(a_worker_without_descriptors_does_not_start)
{
	struct worker_shared shared = {.drained = on_drained, .context = &drained};

	warm_up();
	leave_descriptors(_i);
	ck_assert_ptr_null(worker_start(0, &shared, &error));
	/* A sanitizer that looks for leaks needs some. */
	leave_descriptors(-1);
	ck_assert_msg(strstr(error.text, "limit of open files") != NULL, "%s", error.text);
}
END_TEST

/* No thread has a stack of 64 TiB. */
START_TEST(a_worker_that_cannot_start_leaves_nothing)
{
	struct worker_shared shared = {.drained = on_drained, .context = &drained};
	pthread_attr_t attributes;
	int before;

	warm_up();
	before = open_descriptors();
	(void)pthread_attr_init(&attributes);
	ck_assert_int_eq(pthread_attr_setstacksize(&attributes, (size_t)1 << 46), 0);
	ck_assert_int_eq(pthread_setattr_default_np(&attributes), 0);
	ck_assert_ptr_null(worker_start(0, &shared, &error));
	ck_assert_msg(strstr(error.text, "cannot start a thread") != NULL, "%s", error.text);
	ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("worker");
	TCase *tests = tcase_create("worker");

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, connections_become_sessions_and_all_is_given_back);
	tcase_add_test(tests, the_backlog_of_a_socket_that_goes_is_served_by_the_old_snapshot);
	tcase_add_test(tests, what_is_forgotten_changes_nothing);
	tcase_add_test(tests, a_drain_ends_once_with_the_last_session);
	tcase_add_test(tests, an_idle_worker_is_drained_at_once);
	tcase_add_test(tests, the_backlog_of_a_drain_is_told);
	tcase_add_test(tests, far_over_the_limit_a_connection_is_reset);
	tcase_add_test(tests, without_descriptors_it_goes_on_and_recovers);
	tcase_add_test(tests, a_session_that_cannot_start_is_turned_away);
	tcase_add_loop_test(tests, a_worker_without_descriptors_does_not_start, 0, 4);
	tcase_add_test(tests, a_worker_that_cannot_start_leaves_nothing);
	suite_add_tcase(suite, tests);
	return suite;
}
