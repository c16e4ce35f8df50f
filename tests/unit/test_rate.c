/* How fast things may happen per source, how often a limit is complained about, and the limits of rules. */
#include <pthread.h>
#include <string.h>

#include "admission.h"
#include "complaint.h"
#include "rate.h"
#include "rulelimit.h"
#include "suite.h"

static struct source_key key_of(unsigned number)
{
	struct source_key key = {{0}};

	memcpy(key.bytes, &number, sizeof(number));
	return key;
}

/* How many of `tries` at `now_ms` are let through. */
static unsigned take(struct rate *rate, unsigned source, unsigned tries, uint64_t now_ms)
{
	struct source_key key = key_of(source);
	unsigned taken = 0;

	for (unsigned i = 0; i < tries; i++)
		taken += rate_take(rate, &key, now_ms);
	return taken;
}

START_TEST(a_bucket_gives_its_burst_and_then_its_rate)
{
	struct rate *rate = rate_new();

	ck_assert_uint_eq(take(rate, 1, 1000, 5), 1000); /* no bound yet */
	rate_set(rate, 10, 5);
	ck_assert_uint_eq(take(rate, 1, 100, 1000), 5);
	ck_assert_uint_eq(take(rate, 2, 100, 1000), 5);
	ck_assert_uint_eq(take(rate, 1, 100, 1099), 0);
	ck_assert_uint_eq(take(rate, 1, 100, 1100), 1);
	ck_assert_uint_eq(take(rate, 1, 100, 1350), 2);
	/* What was refused has cost nothing; a long pause saves up no more than the burst. */
	ck_assert_uint_eq(take(rate, 1, 100, 100000), 5);
	/* A second of attempts every millisecond: the rate. */
	rate_set(rate, 100, 1);
	for (unsigned ms = 0, taken = 0; ms <= 1000; ms++) {
		taken += take(rate, 3, 1, 200000 + ms);
		if (ms == 1000)
			ck_assert_uint_eq(taken, 101);
	}
	rate_set(rate, 0, 5);
	ck_assert_uint_eq(take(rate, 1, 1000, 100000), 1000);
	rate_free(rate);
}
END_TEST

START_TEST(the_fastest_and_a_slower_rate_are_kept)
{
	struct rate *rate = rate_new();

	rate_set(rate, 1000000, 1000000);
	ck_assert_uint_eq(take(rate, 1, 1000500, 1), 1000000);
	ck_assert_uint_eq(take(rate, 1, 2000, 2), 1000);
	/* With the rate of a reload the source is not punished for what it took before. */
	rate_set(rate, 1, 1);
	ck_assert_uint_eq(take(rate, 2, 5, 10), 1);
	rate_set(rate, 1000, 1);
	ck_assert_uint_eq(take(rate, 2, 5, 12), 0);
	ck_assert_uint_eq(take(rate, 2, 5, 13), 1);
	ck_assert(rate_take(NULL, &(struct source_key){{1}}, 0));
	rate_free(rate);
}
END_TEST

/* More sources than are remembered: what they get together is bounded, and quiet ones are in nobody's way. */
START_TEST(a_full_table_gives_no_fresh_buckets)
{
	struct rate *rate = rate_new();
	unsigned taken = 0, sources = 4 * RATE_SOURCES;

	rate_set(rate, 1, 2);
	for (unsigned round = 0; round < 4; round++)
		for (unsigned i = 0; i < sources; i++)
			taken += take(rate, i, 1, 1000);
	ck_assert_uint_le(taken, 2 * RATE_SOURCES);
	/* No place is left empty for long, however the sources are spread. */
	ck_assert_uint_ge(taken, 2 * RATE_SOURCES * 9 / 10);
	/* All are full again: a source gets its burst, and a flood of others does not give it more. */
	ck_assert_uint_eq(take(rate, 1, 10, 10000), 2);
	for (unsigned i = 100; i < sources; i++)
		(void)take(rate, i, 1, 10000);
	ck_assert_uint_le(take(rate, 1, 10, 10000), 1);
	rate_free(rate);
}
END_TEST

struct crowd {
	struct rate *rate;
	unsigned taken;
};

static void *work(void *argument)
{
	struct crowd *crowd = argument;

	for (unsigned i = 0; i < 20000; i++)
		crowd->taken += take(crowd->rate, i % 4, 1, 1000);
	return NULL;
}

START_TEST(threads_share_the_buckets)
{
	struct rate *rate = rate_new();
	struct crowd crowds[4];
	pthread_t threads[4];
	unsigned taken = 0;

	rate_set(rate, 1, 100);
	for (unsigned i = 0; i < 4; i++) {
		crowds[i] = (struct crowd){rate, 0};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &crowds[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		taken += crowds[i].taken;
	}
	ck_assert_uint_eq(taken, 400);
	rate_free(rate);
}
END_TEST

START_TEST(one_line_a_minute_counts_all)
{
	struct complaint complaint = {0};

	ck_assert_uint_eq(complaint_due(&complaint, 0), 1);
	for (unsigned i = 1; i < 100; i++)
		ck_assert_uint_eq(complaint_due(&complaint, i), 0);
	ck_assert_uint_eq(complaint_due(&complaint, COMPLAINT_MS - 1), 0);
	ck_assert_uint_eq(complaint_due(&complaint, COMPLAINT_MS), 101);
	ck_assert_uint_eq(complaint_due(&complaint, COMPLAINT_MS + 1), 0);
}
END_TEST

static void set_name(struct config_rule *rule)
{
	*rule = (struct config_rule){.place = {(char *)(uintptr_t)"r", 1}, .connections = 3, .connections_per_source = 2};
}

START_TEST(a_rule_counts_across_its_owners)
{
	struct source_key a = key_of(1), b = key_of(2);
	union socket_address remote = {.v4.sin_family = AF_INET};
	struct admission_who who_a = {&a, &remote, 1}, who_b = {&b, &remote, 1};
	struct config_rule rule;
	struct rulelimit *limit, *same;

	set_name(&rule);
	ck_assert(rulelimit_wanted(&rule));
	limit = rulelimit_new(&rule);
	same = rulelimit_share(limit);
	ck_assert(admission_enter_rule(limit, &who_a) && admission_enter_rule(same, &who_a));
	ck_assert(!admission_enter_rule(limit, &who_a)); /* per source */
	ck_assert(admission_enter_rule(limit, &who_b));
	ck_assert(!admission_enter_rule(limit, &who_b)); /* in all */
	rulelimit_free(limit);
	quota_leave(same->quota, &a, QUOTA_OK);
	ck_assert(admission_enter_rule(same, &who_b));
	/* A reload: another bound for those who are there. */
	rule.connections = rule.connections_per_source = CONFIG_INHERIT;
	ck_assert(!rulelimit_wanted(&rule));
	rulelimit_set(same, &rule);
	for (unsigned i = 0; i < 100; i++)
		ck_assert(admission_enter_rule(same, &who_a));
	rulelimit_free(same);
}
END_TEST

START_TEST(too_fast_is_told_and_then_closed)
{
	struct source_key source = key_of(7);
	union socket_address remote = {.v4.sin_family = AF_INET};
	struct admission admission = {.quota = quota_new(), .connection_rate = rate_new(), .handshake_rate = rate_new()};
	struct admission_who who = {&source, &remote, 1000};

	quota_set(admission.quota, 1000, 100);
	rate_set(admission.connection_rate, 10, 2);
	rate_set(admission.handshake_rate, 10, 1);
	ck_assert_int_eq(admission_enter(&admission, &who), QUOTA_OK);
	ck_assert_int_eq(admission_enter(&admission, &who), QUOTA_OK);
	for (int i = 0; i < 16; i++)
		ck_assert_int_eq(admission_enter(&admission, &who), QUOTA_OVER);
	ck_assert_int_eq(admission_enter(&admission, &who), QUOTA_CLOSE);
	for (int i = 0; i < 18; i++)
		quota_leave(admission.quota, &source, i < 2 ? QUOTA_OK : QUOTA_OVER);
	ck_assert_uint_eq(quota_count(admission.quota), 0);
	/* It recovers by itself. */
	who.now_ms += 100;
	ck_assert_int_eq(admission_enter(&admission, &who), QUOTA_OK);
	ck_assert(admission_handshake(&admission, &who) && !admission_handshake(&admission, &who));
	who.now_ms += 100;
	ck_assert(admission_handshake(&admission, &who));
	quota_free(admission.quota);
	rate_free(admission.connection_rate);
	rate_free(admission.handshake_rate);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("rate");
	TCase *tests = tcase_create("rate");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_bucket_gives_its_burst_and_then_its_rate);
	tcase_add_test(tests, the_fastest_and_a_slower_rate_are_kept);
	tcase_add_test(tests, a_full_table_gives_no_fresh_buckets);
	tcase_add_test(tests, threads_share_the_buckets);
	tcase_add_test(tests, one_line_a_minute_counts_all);
	tcase_add_test(tests, a_rule_counts_across_its_owners);
	tcase_add_test(tests, too_fast_is_told_and_then_closed);
	suite_add_tcase(suite, tests);
	return suite;
}
