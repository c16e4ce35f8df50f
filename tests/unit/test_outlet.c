/* What waits is bounded, in order, whole, and dropped only when that is said. */
#include "outlet.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "suite.h"

/* Takes items, or refuses them while `broken`, or waits while `stuck`. */
struct sink {
	atomic_bool broken, stuck, talking, lost;
	atomic_uint count, turns, flushes;
	char all[65536];
	size_t used;
};

static int write_sink(void *owner, const char *bytes, size_t size, struct error *error)
{
	struct sink *sink = owner;

	while (atomic_load(&sink->stuck))
		usleep(1000);
	if (atomic_load(&sink->broken))
		return error_set(error, "no room");
	if (sink->used + size < sizeof(sink->all)) {
		memcpy(sink->all + sink->used, bytes, size);
		sink->used += size;
	}
	(void)atomic_fetch_add(&sink->count, 1);
	return 0;
}

static void turn_sink(void *owner)
{
	struct sink *sink = owner;

	if (atomic_exchange(&sink->talking, false))
		log_say(MESSAGE_NOTIFIER_ERROR, "said by the thread");
	(void)atomic_fetch_add(&sink->turns, 1);
}

static int flush_sink(void *owner, struct error *error)
{
	struct sink *sink = owner;

	(void)atomic_fetch_add(&sink->flushes, 1);
	return atomic_load(&sink->lost) ? error_set(error, "no disk") : 0;
}

static struct sink sink;

static struct outlet *open_sink(uint64_t limit_bytes)
{
	struct outlet_options options = {.name = "sink", .limit_bytes = limit_bytes, .owner = &sink, .write = write_sink,
	                                 .turn = turn_sink, .flush = flush_sink};
	struct error error;
	struct outlet *outlet;

	memset(&sink, 0, sizeof(sink));
	outlet = outlet_new(&options, &error);
	ck_assert_ptr_nonnull(outlet);
	return outlet;
}

static void wait_for(atomic_uint *number, unsigned least)
{
	for (int i = 0; i < 5000 && atomic_load(number) < least; i++)
		usleep(1000);
	ck_assert_uint_ge(atomic_load(number), least);
}

START_TEST(items_come_out_in_their_order)
{
	struct outlet *outlet = open_sink(1000);

	ck_assert_int_eq(outlet_put(outlet, "one ", 4, NULL), 0);
	ck_assert_int_eq(outlet_put(outlet, "two ", 4, NULL), 0);
	ck_assert_int_eq(outlet_put(outlet, "three", 5, NULL), 0);
	wait_for(&sink.count, 3);
	ck_assert_uint_eq(outlet_free(outlet, 1000), 0);
	ck_assert_uint_eq(sink.used, 13);
	ck_assert_int_eq(memcmp(sink.all, "one two three", 13), 0);
	ck_assert_uint_ge(atomic_load(&sink.flushes), 1);
}
END_TEST

START_TEST(what_has_no_room_is_refused_and_counted)
{
	struct outlet *outlet = open_sink(10);
	struct cci_notifier_status status = {.size = sizeof(status)};

	atomic_store(&sink.stuck, true);
	ck_assert_int_eq(outlet_put(outlet, "12345", 5, NULL), 0);
	ck_assert_int_eq(outlet_put(outlet, "67890", 5, NULL), 0);
	ck_assert_int_eq(outlet_put(outlet, "x", 1, NULL), -1);
	outlet_status(outlet, &status);
	ck_assert_uint_eq(status.dropped, 1);
	ck_assert_uint_eq(status.queued_bytes, 10);
	ck_assert_uint_eq(status.queue_bytes, 10);
	atomic_store(&sink.stuck, false);
	wait_for(&sink.count, 2);
	for (int i = 0; i < 5000 && status.queued_bytes > 0; i++) {
		usleep(1000);
		outlet_status(outlet, &status);
	}
	ck_assert_int_eq(outlet_put(outlet, "y", 1, NULL), 0);
	ck_assert_uint_eq(outlet_free(outlet, 1000), 1);
	ck_assert_int_eq(memcmp(sink.all, "1234567890y", 11), 0);
}
END_TEST

START_TEST(a_failure_refuses_until_it_is_over)
{
	struct outlet *outlet = open_sink(100);
	struct cci_notifier_status status = {.size = sizeof(status)};

	atomic_store(&sink.broken, true);
	ck_assert_int_eq(outlet_put(outlet, "kept", 4, NULL), 0);
	for (int i = 0; i < 5000 && !status.failing; i++) {
		usleep(1000);
		outlet_status(outlet, &status);
	}
	ck_assert_uint_eq(status.failing, 1);
	ck_assert_str_eq(status.error, "no room");
	ck_assert_int_eq(outlet_put(outlet, "lost", 4, NULL), -1);
	atomic_store(&sink.broken, false);
	wait_for(&sink.count, 1);
	for (int i = 0; i < 5000 && status.failing; i++) {
		usleep(1000);
		outlet_status(outlet, &status);
	}
	ck_assert_int_eq(outlet_put(outlet, " new", 4, NULL), 0);
	ck_assert_uint_eq(outlet_free(outlet, 1000), 1);
	ck_assert_int_eq(memcmp(sink.all, "kept new", 8), 0);
}
END_TEST

START_TEST(what_fails_is_tried_once_a_second)
{
	struct outlet *outlet = open_sink(100);
	unsigned tries;

	atomic_store(&sink.broken, true);
	ck_assert_int_eq(outlet_put(outlet, "kept", 4, NULL), 0);
	wait_for(&sink.flushes, 1);
	usleep(50000);
	tries = atomic_load(&sink.flushes);
	usleep(600000);
	ck_assert_uint_le(atomic_load(&sink.flushes), tries + 1);
	/* Nobody wakes it. */
	atomic_store(&sink.broken, false);
	wait_for(&sink.count, 1);
	ck_assert_uint_eq(outlet_free(outlet, 1000), 0);
}
END_TEST

START_TEST(the_end_waits_no_longer_than_told)
{
	struct outlet *outlet = open_sink(100);

	atomic_store(&sink.broken, true);
	ck_assert_int_eq(outlet_put(outlet, "never", 5, NULL), 0);
	ck_assert_uint_eq(outlet_free(outlet, 10), 1);
	ck_assert_uint_eq(sink.used, 0);
	ck_assert_uint_eq(outlet_free(NULL, 10), 0);
}
END_TEST

/* The main thread waits, and several files may lie on one full disk. */
START_TEST(the_end_of_what_fails_is_soon)
{
	struct cci_notifier_status status = {.failing = 0};
	struct outlet *outlet = open_sink(100);
	struct timespec began, ended;

	atomic_store(&sink.broken, true);
	ck_assert_int_eq(outlet_put(outlet, "never", 5, NULL), 0);
	for (int i = 0; i < 5000 && status.failing == 0; i++) {
		usleep(1000);
		outlet_status(outlet, &status);
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &began);
	ck_assert_uint_eq(outlet_free(outlet, 60000), 1);
	(void)clock_gettime(CLOCK_MONOTONIC, &ended);
	ck_assert_int_lt(ended.tv_sec - began.tv_sec, 5);
}
END_TEST

START_TEST(a_wake_is_a_turn)
{
	struct outlet *outlet = open_sink(100);
	unsigned before = atomic_load(&sink.turns);

	outlet_wake(outlet);
	wait_for(&sink.turns, before + 1);
	ck_assert_uint_eq(outlet_free(outlet, 10), 0);
}
END_TEST

struct waiter {
	struct cci_pending pending;
	atomic_int result; /* -1: none yet */
	atomic_uint flushes; /* until then */
};

static void take_answer(struct cci_pending *pending, int result)
{
	struct waiter *waiter = OWNER_OF(pending, struct waiter, pending);

	atomic_store(&waiter->flushes, atomic_load(&sink.flushes));
	atomic_store(&waiter->result, result);
}

static void put_waiting(struct outlet *outlet, const char *text, struct waiter *waiter)
{
	*waiter = (struct waiter){.pending = {.answer = take_answer}, .result = -1};
	ck_assert_int_eq(outlet_put(outlet, text, strlen(text), &waiter->pending), 0);
}

static void expect_answer(struct waiter *waiter, int result)
{
	for (int i = 0; i < 5000 && atomic_load(&waiter->result) < 0; i++)
		usleep(1000);
	ck_assert_int_eq(atomic_load(&waiter->result), result);
}

/* Written is not enough: the flush behind it has to work. */
START_TEST(whoever_waits_hears_what_became_of_it)
{
	struct outlet *outlet = open_sink(100);
	struct waiter first, second, third, last;
	unsigned before;

	atomic_store(&sink.stuck, true);
	before = atomic_load(&sink.flushes);
	put_waiting(outlet, "one ", &first);
	usleep(20000);
	ck_assert_int_eq(atomic_load(&first.result), -1);
	atomic_store(&sink.stuck, false);
	expect_answer(&first, CCI_NOTIFIED);
	ck_assert_uint_gt(atomic_load(&first.flushes), before);
	atomic_store(&sink.lost, true);
	put_waiting(outlet, "two ", &second);
	expect_answer(&second, CCI_FAILED);
	for (int i = 0; i < 5000 && outlet_put(outlet, "x", 1, NULL) == 0; i++)
		usleep(1000);
	ck_assert_int_eq(outlet_put(outlet, "x", 1, NULL), -1);
	atomic_store(&sink.lost, false);
	for (int i = 0; i < 5000 && outlet_put(outlet, "", 0, NULL) != 0; i++)
		usleep(1000);
	/* What cannot be written is not waited for, and is written all the same. */
	atomic_store(&sink.broken, true);
	put_waiting(outlet, "three", &third);
	expect_answer(&third, CCI_FAILED);
	atomic_store(&sink.broken, false);
	for (int i = 0; i < 5000 && outlet_put(outlet, "", 0, NULL) != 0; i++)
		usleep(1000);
	ck_assert_ptr_nonnull(strstr(sink.all, "three"));
	atomic_store(&sink.stuck, true);
	put_waiting(outlet, "a", &first);
	usleep(20000);
	put_waiting(outlet, "last", &last);
	atomic_store(&sink.broken, true);
	atomic_store(&sink.stuck, false);
	(void)outlet_free(outlet, 0);
	expect_answer(&last, CCI_FAILED);
}
END_TEST

static void *put_many(void *context)
{
	for (int i = 0; i < 1000; i++)
		while (outlet_put(context, "12345678", 8, NULL) != 0)
			usleep(100);
	return NULL;
}

/* Lines of the log are gathered by thread. */
START_TEST(what_its_thread_says_is_in_the_log_soon)
{
	struct outlet *outlet = open_sink(10);
	char line[512] = "";
	struct error error;
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
	ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	ck_assert_int_eq(log_open(LOG_STDERR, LEVEL_WARNING, "test", &error), 0);
	atomic_store(&sink.talking, true);
	outlet_wake(outlet);
	for (int i = 0; i < 5000 && read(ends[0], line, sizeof(line) - 1) <= 0; i++)
		usleep(1000);
	ck_assert_ptr_nonnull(strstr(line, "said by the thread"));
	ck_assert_uint_eq(outlet_free(outlet, 1000), 0);
}
END_TEST

START_TEST(all_threads_put)
{
	struct outlet *outlet = open_sink(400);
	pthread_t threads[3];

	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, put_many, outlet), 0);
	for (size_t i = 0; i < 3; i++)
		(void)pthread_join(threads[i], NULL);
	wait_for(&sink.count, 3000);
	(void)outlet_free(outlet, 1000);
	ck_assert_uint_eq(sink.used, 24000);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("outlet");
	TCase *tests = tcase_create("outlet");

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, items_come_out_in_their_order);
	tcase_add_test(tests, what_has_no_room_is_refused_and_counted);
	tcase_add_test(tests, a_failure_refuses_until_it_is_over);
	tcase_add_test(tests, what_fails_is_tried_once_a_second);
	tcase_add_test(tests, the_end_waits_no_longer_than_told);
	tcase_add_test(tests, the_end_of_what_fails_is_soon);
	tcase_add_test(tests, a_wake_is_a_turn);
	tcase_add_test(tests, whoever_waits_hears_what_became_of_it);
	tcase_add_test(tests, what_its_thread_says_is_in_the_log_soon);
	tcase_add_test(tests, all_threads_put);
	suite_add_tcase(suite, tests);
	return suite;
}
