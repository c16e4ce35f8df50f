/* The ready queue, the pools. */
#include <string.h>

#include "loop.h"
#include "suite.h"

struct job {
	struct ready ready;
	struct iocontext *io;
	int runs, again;
	int *order, place;
};

static void run_job(struct ready *ready)
{
	struct job *job = (struct job *)(void *)ready;

	job->runs++;
	if (job->order != NULL)
		job->place = ++*job->order;
	if (job->again-- > 0)
		iocontext_ready(job->io, ready);
}

START_TEST(runs_once_in_order_and_before_sleeping)
{
	struct test_loop test;
	int order = 0;
	struct job jobs[3] = {0};

	test_loop_open(&test);
	for (int i = 0; i < 3; i++) {
		jobs[i].ready.run = run_job;
		jobs[i].order = &order;
		iocontext_ready(test.io, &jobs[i].ready);
		iocontext_ready(test.io, &jobs[i].ready);
	}
	ck_assert_int_eq(jobs[0].runs, 0);
	iocontext_unready(&jobs[1].ready);
	/* Would sleep for ever were the queue not run: nothing else is in the loop. */
	(void)iocontext_turn(test.io, -1);
	ck_assert_int_eq(jobs[0].runs, 1);
	ck_assert_int_eq(jobs[1].runs, 0);
	ck_assert_int_eq(jobs[2].runs, 1);
	ck_assert_int_lt(jobs[0].place, jobs[2].place);
	test_loop_close(&test);
}
END_TEST

START_TEST(work_queued_by_work_waits_for_the_next_turn)
{
	struct test_loop test;
	struct job job = {.ready.run = run_job, .again = 2};

	test_loop_open(&test);
	job.io = test.io;
	iocontext_ready(test.io, &job.ready);
	(void)iocontext_turn(test.io, 0);
	ck_assert_int_eq(job.runs, 1);
	test_loop_turns(&test, 5);
	ck_assert_int_eq(job.runs, 3);
	test_loop_close(&test);
}
END_TEST

START_TEST(buffers_are_used_again)
{
	static const size_t sizes[] = {1, 16 * 1024, 16 * 1024 + 1, 128 * 1024, 1024 * 1024};
	struct test_loop test;
	size_t capacity, again;
	uint8_t *buffer;

	test_loop_open(&test);
	buffer = iocontext_take(test.io, sizes[_i], &capacity);
	ck_assert_ptr_nonnull(buffer);
	ck_assert_uint_ge(capacity, sizes[_i]);
	memset(buffer, 0xa5, capacity);
	iocontext_give(test.io, buffer, capacity);
	uint8_t *second = iocontext_take(test.io, sizes[_i], &again);
	ck_assert_uint_eq(again, capacity);
	iocontext_give(test.io, second, again);
	test_loop_close(&test);
}
END_TEST

START_TEST(pipes_are_used_again)
{
	struct test_loop test;
	int first[2], second[2];

	test_loop_open(&test);
	ck_assert_int_eq(iocontext_take_pipe(test.io, first), 0);
	iocontext_give_pipe(test.io, first);
	ck_assert_int_eq(iocontext_take_pipe(test.io, second), 0);
	ck_assert_int_eq(first[0], second[0]);
	iocontext_give_pipe(test.io, second);
	test_loop_close(&test);
	ck_assert_int_eq(fcntl(first[0], F_GETFD), -1);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("iocontext");
	TCase *tests = tcase_create("iocontext");

	tcase_add_test(tests, runs_once_in_order_and_before_sleeping);
	tcase_add_test(tests, work_queued_by_work_waits_for_the_next_turn);
	tcase_add_loop_test(tests, buffers_are_used_again, 0, 5);
	tcase_add_test(tests, pipes_are_used_again);
	suite_add_tcase(suite, tests);
	return suite;
}
