/* Workers with sessions that only hold their connection: starting, swapping, draining, stopping. */
#include "suite.h"
#include "workers.h"

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
	ck_assert_int_eq(listener_open(&listeners, next->config, NULL, NULL, 1, &error), 0);
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
	ck_assert_int_eq(listener_open(&listeners, next->config, &fixture.listeners, NULL, 2, &error), 0);
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
	tcase_add_loop_test(tests, a_worker_without_descriptors_does_not_start, 0, 4);
	tcase_add_test(tests, a_worker_that_cannot_start_leaves_nothing);
	suite_add_tcase(suite, tests);
	return suite;
}
