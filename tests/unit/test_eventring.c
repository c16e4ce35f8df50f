/* Unit tests: the bounded ring of lines. */
#include "eventring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

static void count_wake(void *owner)
{
	(void)atomic_fetch_add((atomic_uint *)owner, 1);
}

static void add(struct eventring *ring, const char *line)
{
	eventring_add(ring, line, strlen(line));
}

START_TEST(lines_come_in_order)
{
	struct eventring *ring = eventring_new(256, NULL, NULL);
	char buffer[64];
	uint64_t next = eventring_next(ring), missed = 9;
	size_t got;

	ck_assert_uint_eq(next, 1);
	ck_assert_uint_eq(eventring_take(ring, &next, buffer, sizeof(buffer), &missed), 0);
	ck_assert_uint_eq(missed, 0);
	add(ring, "one");
	add(ring, "");
	add(ring, "three");
	got = eventring_take(ring, &next, buffer, sizeof(buffer), &missed);
	ck_assert_uint_eq(got, 11);
	ck_assert_mem_eq(buffer, "one\n\nthree\n", 11);
	ck_assert_uint_eq(next, 4);
	ck_assert_uint_eq(missed, 0);
	eventring_free(ring);
	eventring_free(NULL);
}
END_TEST

START_TEST(lines_are_whole)
{
	struct eventring *ring = eventring_new(256, NULL, NULL);
	char buffer[7];
	uint64_t next = 1, missed;

	add(ring, "abc");
	add(ring, "def");
	ck_assert_uint_eq(eventring_take(ring, &next, buffer, sizeof(buffer), &missed), 4);
	ck_assert_uint_eq(next, 2);
	ck_assert_uint_eq(eventring_take(ring, &next, buffer, sizeof(buffer), &missed), 4);
	ck_assert_mem_eq(buffer, "def\n", 4);
	eventring_free(ring);
}
END_TEST

START_TEST(the_oldest_leave)
{
	/* Room for three lines of four bytes and their lengths, and not one byte more: each wraps at another place. */
	struct eventring *ring = eventring_new(25, NULL, NULL);
	char line[8], buffer[64];
	uint64_t behind = 1, fresh, missed;
	size_t got;

	for (int i = 1000; i < 1100; i++) {
		(void)snprintf(line, sizeof(line), "%d", i);
		add(ring, line);
	}
	fresh = 100;
	got = eventring_take(ring, &behind, buffer, sizeof(buffer), &missed);
	ck_assert_uint_eq(missed, 97);
	ck_assert_uint_eq(got, 15);
	ck_assert_mem_eq(buffer, "1097\n1098\n1099\n", 15);
	/* A reader of its own is where it was. */
	ck_assert_uint_eq(eventring_take(ring, &fresh, buffer, sizeof(buffer), &missed), 5);
	ck_assert_uint_eq(missed, 0);
	ck_assert_mem_eq(buffer, "1099\n", 5);
	eventring_free(ring);
}
END_TEST

START_TEST(too_long_is_missed)
{
	struct eventring *ring = eventring_new(32, NULL, NULL);
	char buffer[64], longer[32] = {0};
	uint64_t next = 1, missed;

	eventring_add(ring, longer, sizeof(longer));
	ck_assert_uint_eq(eventring_take(ring, &next, buffer, sizeof(buffer), &missed), 0);
	ck_assert_uint_eq(missed, 1);
	add(ring, "after");
	ck_assert_uint_eq(eventring_take(ring, &next, buffer, sizeof(buffer), &missed), 6);
	ck_assert_uint_eq(missed, 0);
	eventring_free(ring);
}
END_TEST

START_TEST(woken_once)
{
	atomic_uint wakes = 0;
	struct eventring *ring = eventring_new(256, count_wake, &wakes);
	char buffer[64];
	uint64_t next = 1, missed;

	add(ring, "a");
	add(ring, "b");
	ck_assert_uint_eq(wakes, 1);
	ck_assert_uint_eq(eventring_take(ring, &next, buffer, sizeof(buffer), &missed), 4);
	add(ring, "c");
	ck_assert_uint_eq(wakes, 2);
	eventring_free(ring);
}
END_TEST

#define THREADS 3
#define LINES   20000

struct writer {
	struct eventring *ring;
	atomic_uint *running;
	unsigned number;
};

static void *write_lines(void *argument)
{
	struct writer *writer = argument;
	char line[32];

	for (unsigned i = 0; i < LINES; i++) {
		int size = snprintf(line, sizeof(line), "%u %u", writer->number, i);

		eventring_add(writer->ring, line, (size_t)size);
	}
	(void)atomic_fetch_sub(writer->running, 1);
	return NULL;
}

struct tally {
	uint64_t next, missed, lines;
	unsigned last[THREADS];
};

/* Each line is whole, and those of one writer rise. */
static void take_some(struct eventring *ring, struct tally *tally)
{
	char buffer[512], *line, *rest = buffer;
	uint64_t missed;
	size_t got = eventring_take(ring, &tally->next, buffer, sizeof(buffer) - 1, &missed);

	buffer[got] = '\0';
	tally->missed += missed;
	while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
		unsigned who, what;

		ck_assert_int_eq(sscanf(line, "%u %u", &who, &what), 2);
		ck_assert_uint_lt(who, THREADS);
		ck_assert_uint_ge(what + 1, tally->last[who] + 1);
		tally->last[who] = what;
		tally->lines++;
	}
}

START_TEST(threads_lose_nothing_uncounted)
{
	atomic_uint running = THREADS, wakes = 0;
	struct eventring *ring = eventring_new(1024, count_wake, &wakes);
	struct writer writers[THREADS];
	struct tally one = {.next = 1}, other = {.next = 1};
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		writers[i] = (struct writer){ring, &running, i};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, &writers[i]), 0);
	}
	while (atomic_load(&running) > 0) {
		take_some(ring, &one);
		take_some(ring, &one);
		take_some(ring, &other);
	}
	for (unsigned i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
	while (one.next < eventring_next(ring))
		take_some(ring, &one);
	while (other.next < eventring_next(ring))
		take_some(ring, &other);
	/* Every line was either read or counted, by each reader. */
	ck_assert_uint_eq(one.lines + one.missed, THREADS * LINES);
	ck_assert_uint_eq(other.lines + other.missed, THREADS * LINES);
	ck_assert_uint_ge(wakes, 1);
	eventring_free(ring);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("eventring");
	TCase *tests = tcase_create("eventring");

	tcase_add_test(tests, lines_come_in_order);
	tcase_add_test(tests, lines_are_whole);
	tcase_add_test(tests, the_oldest_leave);
	tcase_add_test(tests, too_long_is_missed);
	tcase_add_test(tests, woken_once);
	tcase_add_test(tests, threads_lose_nothing_uncounted);
	suite_add_tcase(suite, tests);
	return suite;
}
