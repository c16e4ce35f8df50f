/* Look-ups that are answered here: numeric hosts, the local host, names that cannot be; and names that hang for as long
 * as a test likes. */
#include <arpa/inet.h>
#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "hanging.h"
#include "lookup.h"
#include "loop.h"
#include "resolver.h"
#include "suite.h"

#define NAMES 64
#define MANY 40

/* --- who asks --- */

struct lookup_of_test {
	struct resolver *resolver;
	bool started, done;
	pthread_t asker;
	size_t count;
	char error[160];
	union socket_address list[RESOLVER_ADDRESSES];
};

static void on_found(void *owner, const char *error, const union socket_address *list, size_t count)
{
	struct lookup_of_test *lookup = owner;

	ck_assert(lookup->started && !lookup->done);
	ck_assert(pthread_equal(lookup->asker, pthread_self()));
	ck_assert_uint_le(count, RESOLVER_ADDRESSES);
	lookup->done = true;
	lookup->count = count;
	(void)snprintf(lookup->error, sizeof(lookup->error), "%s", error != NULL ? error : "");
	if (count > 0)
		memcpy(lookup->list, list, count * sizeof(*list));
}

static void ask(struct test_loop *test, const char *host, struct lookup_of_test *lookup)
{
	memset(lookup, 0, sizeof(*lookup));
	lookup->asker = pthread_self();
	lookup->resolver = resolver_start(test->io, host, 1202, on_found, lookup);
	ck_assert_ptr_nonnull(lookup->resolver);
	lookup->started = true;
}

static void ask_number(struct test_loop *test, const char *kind, unsigned number, struct lookup_of_test *lookup)
{
	char host[32];

	(void)snprintf(host, sizeof(host), "%s-%u", kind, number);
	ask(test, host, lookup);
}

static void is_found(struct test_loop *test, struct lookup_of_test *lookup)
{
	test_loop_until(test, &lookup->done);
	ck_assert_str_eq(lookup->error, "");
	ck_assert_uint_eq(lookup->count, 1);
	ck_assert_uint_eq(ntohs(lookup->list[0].v4.sin_port), 1202);
}

static const struct row {
	const char *host;
	bool found;
	int family; /* AF_UNSPEC: either */
	unsigned calls;
} rows[] = {
    {"127.0.0.1", true, AF_INET, 0},           {"::1", true, AF_INET6, 0},
    {"localhost", true, AF_UNSPEC, 1},         {"no-such.invalid", false, AF_UNSPEC, 1},
    {"bad name.invalid", false, AF_UNSPEC, 1},
};

START_TEST(answers_once_and_later)
{
	struct test_loop test;
	struct lookup_of_test lookup;

	test_loop_open(&test);
	ask(&test, rows[_i].host, &lookup);
	test_loop_until(&test, &lookup.done);
	ck_assert_int_eq(lookup.count > 0, rows[_i].found);
	ck_assert_int_eq(lookup.error[0] == '\0', rows[_i].found);
	for (size_t i = 0; i < lookup.count; i++) {
		int family = lookup.list[i].any.sa_family;

		ck_assert(rows[_i].family == AF_UNSPEC || family == rows[_i].family);
		ck_assert_uint_eq(ntohs(family == AF_INET ? lookup.list[i].v4.sin_port : lookup.list[i].v6.sin6_port), 1202);
		ck_assert(socket_is_local(&lookup.list[i]));
	}
	ck_assert_uint_eq(calls(), rows[_i].calls);
	test_loop_close(&test);
}
END_TEST

/* Many at once, so that some wait in the queue and some run when they are cancelled: nobody is called, and what comes
 * back later is dropped. */
START_TEST(cancelled_while_pending)
{
	struct test_loop test;
	struct lookup_of_test lookups[32];

	test_loop_open(&test);
	for (int i = 0; i < 32; i++)
		ask(&test, i % 2 == 0 ? "localhost" : "no-such.invalid", &lookups[i]);
	usleep((useconds_t)_i * 300);
	for (int i = 0; i < 32; i++)
		resolver_cancel(lookups[i].resolver);
	resolver_cancel(NULL);
	test_loop_close(&test);
	for (int i = 0; i < 32; i++)
		ck_assert(!lookups[i].done);
}
END_TEST

/* --- one look-up for all who want the name --- */

static void *ask_many(void *unused)
{
	struct lookup_of_test lookups[MANY];
	struct test_loop test;

	test_loop_open(&test);
	for (int i = 0; i < MANY; i++)
		ask_number(&test, "hang", 1, &lookups[i]);
	test_loop_turns(&test, 10);
	for (int i = 0; i < MANY; i++)
		ck_assert(!lookups[i].done);
	resolver_cancel(lookups[0].resolver);
	resolver_cancel(lookups[MANY / 2].resolver);
	resolver_cancel(lookups[MANY - 1].resolver);
	if (unused != NULL)
		release_names();
	for (int i = 1; i < MANY - 1; i++)
		if (i != MANY / 2)
			is_found(&test, &lookups[i]);
	test_loop_close(&test);
	ck_assert(!lookups[0].done && !lookups[MANY / 2].done && !lookups[MANY - 1].done);
	return NULL;
}

START_TEST(a_name_is_looked_up_once_for_all)
{
	struct lookup_of_test lookup;
	struct test_loop test;
	pthread_t other;

	ck_assert_int_eq(pthread_create(&other, NULL, ask_many, NULL), 0);
	wait_for_hanging(1);
	usleep(50000);
	(void)ask_many(&names);
	(void)pthread_join(other, NULL);
	ck_assert_uint_eq(calls(), 1);
	/* Nothing is remembered. */
	test_loop_open(&test);
	ask(&test, "hang-1", &lookup);
	is_found(&test, &lookup);
	test_loop_close(&test);
	ck_assert_uint_eq(calls(), 2);
	ck_assert(!names.open_to_signals);
}
END_TEST

/* --- names that hang --- */

START_TEST(names_that_hang_hold_up_no_other)
{
	static struct lookup_of_test hanging[(LOOKUP_THREADS - 1) * 3];
	struct lookup_of_test quick;
	struct test_loop test;

	test_loop_open(&test);
	for (unsigned i = 0; i < (LOOKUP_THREADS - 1) * 3; i++)
		ask_number(&test, "hang", 1 + i / 3, &hanging[i]);
	wait_for_hanging(LOOKUP_THREADS - 1);
	for (unsigned i = 0; i < 20; i++) {
		ask_number(&test, "quick", 60, &quick);
		is_found(&test, &quick);
	}
	ck_assert_uint_eq(calls(), LOOKUP_THREADS - 1 + 20);
	release_names();
	for (unsigned i = 0; i < (LOOKUP_THREADS - 1) * 3; i++)
		is_found(&test, &hanging[i]);
	test_loop_close(&test);
	ck_assert(!names.twice);
}
END_TEST

/* There are so many threads and no more; who gives up before a thread was free is never looked up. */
START_TEST(names_beyond_the_most_wait_for_a_thread)
{
	struct lookup_of_test hanging[LOOKUP_THREADS], waits, gives_up;
	struct test_loop test;

	test_loop_open(&test);
	for (unsigned i = 0; i < LOOKUP_THREADS; i++)
		ask_number(&test, "hang", 1 + i, &hanging[i]);
	wait_for_hanging(LOOKUP_THREADS);
	ask_number(&test, "quick", 60, &waits);
	ask_number(&test, "quick", 61, &gives_up);
	usleep(100000);
	test_loop_turns(&test, 10);
	ck_assert(!waits.done && !gives_up.done);
	resolver_cancel(gives_up.resolver);
	ck_assert_uint_eq(calls(), LOOKUP_THREADS);
	release_names();
	is_found(&test, &waits);
	for (unsigned i = 0; i < LOOKUP_THREADS; i++)
		is_found(&test, &hanging[i]);
	test_loop_close(&test);
	ck_assert_uint_eq(calls(), LOOKUP_THREADS + 1);
	ck_assert_uint_eq(names.most_inside, LOOKUP_THREADS);
	ck_assert(!gives_up.done);
}
END_TEST

/* The loop ends at once, and so does whoever runs it; the answer finds those who ask for the name by then. */
START_TEST(a_loop_ends_while_a_name_hangs)
{
	struct lookup_of_test lookup, later;
	struct test_loop test;

	test_loop_open(&test);
	ask(&test, "hang-1", &lookup);
	wait_for_hanging(1);
	resolver_cancel(lookup.resolver);
	/* Comes to an end only if nothing of the loop waits for the name. */
	test_loop_close(&test);
	test_loop_open(&test);
	ask(&test, "hang-1", &later);
	usleep(20000);
	ck_assert_uint_eq(calls(), 1);
	release_names();
	is_found(&test, &later);
	test_loop_close(&test);
	ck_assert(!lookup.done);
	ck_assert_uint_eq(calls(), 1);
}
END_TEST

static void hang_and_exit(bool cancelled)
{
	struct lookup_of_test lookup;
	struct test_loop test;

	test_loop_open(&test);
	ask(&test, "hang-1", &lookup);
	wait_for_hanging(1);
	if (cancelled) {
		resolver_cancel(lookup.resolver);
		test_loop_close(&test);
	}
	exit(0);
}

/* A sanitizer would say in the status what was left. */
START_TEST(a_process_ends_while_a_name_hangs)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0)
		hang_and_exit(_i == 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* --- threads --- */

START_TEST(without_a_thread_there_is_an_error)
{
	struct lookup_of_test lookup, given_up;
	struct test_loop test;

	test_loop_open(&test);
	names.without_threads = true;
	ask(&test, "quick-1", &lookup);
	ask(&test, "quick-1", &given_up);
	resolver_cancel(given_up.resolver);
	test_loop_until(&test, &lookup.done);
	ck_assert_uint_eq(lookup.count, 0);
	ck_assert_ptr_nonnull(strstr(lookup.error, "cannot start a thread"));
	names.without_threads = false;
	ask(&test, "quick-1", &lookup);
	is_found(&test, &lookup);
	/* It is there still, once it has found the time to wait for more. */
	names.without_threads = true;
	for (int i = 0; i < 200 && (i == 0 || lookup.count == 0); i++) {
		usleep(10000);
		ask(&test, "quick-2", &lookup);
		test_loop_until(&test, &lookup.done);
	}
	ck_assert_uint_eq(lookup.count, 1);
	test_loop_close(&test);
	ck_assert(!given_up.done);
}
END_TEST

static int threads(void)
{
	DIR *folder = opendir("/proc/self/task");
	int count = 0;

	ck_assert_ptr_nonnull(folder);
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
		count += entry->d_name[0] != '.';
	(void)closedir(folder);
	return count;
}

START_TEST(a_thread_stays_for_a_moment)
{
	struct lookup_of_test lookup;
	struct test_loop test;
	unsigned others = 0;
	long last = 0;
	int most;

	test_loop_open(&test);
	for (unsigned i = 0; i < 20; i++) {
		ask_number(&test, "quick", i, &lookup);
		is_found(&test, &lookup);
		others += names.thread != last;
		last = names.thread;
		usleep(10000);
	}
	/* Another one only where the last was too slow to wait for more. */
	ck_assert_uint_le(others, 10);
	most = threads();
	for (int i = 0; i < 1000 && threads() == most; i++)
		usleep(10000);
	ck_assert_int_lt(threads(), most);
	ask(&test, "quick-1", &lookup);
	is_found(&test, &lookup);
	test_loop_close(&test);
}
END_TEST

/* --- all at once --- */

static void *ask_at_random(void *seed)
{
	unsigned state = *(unsigned *)seed;
	struct lookup_of_test lookups[16];
	struct test_loop test;

	test_loop_open(&test);
	for (int round = 0; round < 200; round++) {
		unsigned gives_up = (unsigned)rand_r(&state) % 16;

		for (unsigned i = 0; i < 16; i++)
			ask_number(&test, "quick", (unsigned)rand_r(&state) % 24, &lookups[i]);
		if (round % 3 == 0)
			usleep((useconds_t)rand_r(&state) % 300);
		resolver_cancel(lookups[gives_up].resolver);
		for (unsigned i = 0; i < 16; i++)
			if (i != gives_up)
				is_found(&test, &lookups[i]);
		ck_assert(!lookups[gives_up].done);
	}
	test_loop_close(&test);
	return NULL;
}

START_TEST(many_loops_ask_and_give_up)
{
	unsigned seeds[4] = {1, 2, 3, 4};
	pthread_t askers[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&askers[i], NULL, ask_at_random, &seeds[i]), 0);
	for (int i = 0; i < 4; i++)
		(void)pthread_join(askers[i], NULL);
	ck_assert(!names.twice && !names.open_to_signals);
	ck_assert_uint_le(names.most_inside, LOOKUP_THREADS);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("resolver");
	TCase *tests = tcase_create("resolver");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, answers_once_and_later, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_loop_test(tests, cancelled_while_pending, 0, 4);
	tcase_add_test(tests, a_name_is_looked_up_once_for_all);
	tcase_add_test(tests, names_that_hang_hold_up_no_other);
	tcase_add_test(tests, names_beyond_the_most_wait_for_a_thread);
	tcase_add_test(tests, a_loop_ends_while_a_name_hangs);
	tcase_add_loop_test(tests, a_process_ends_while_a_name_hangs, 0, 2);
	tcase_add_test(tests, without_a_thread_there_is_an_error);
	tcase_add_test(tests, a_thread_stays_for_a_moment);
	tcase_add_test(tests, many_loops_ask_and_give_up);
	suite_add_tcase(suite, tests);
	return suite;
}
