/* The samples of the chart. */
#include <check.h>

#include "history.h"
#include "suite.h"

#define NOW_US UINT64_C(1764057600000000) /* 2025-11-25T08:00:00Z */

static struct history *history;
static json_t *shown;

static void setup(void)
{
	history = history_new();
	ck_assert_ptr_nonnull(history);
	shown = NULL;
}

static void teardown(void)
{
	json_decref(shown);
	history_free(history);
	history_free(NULL);
}

static void note(uint64_t now_s, uint64_t secured, uint64_t refused)
{
	history_note(history, now_s,
	             &(struct history_sample){.secured = secured, .clear = 2 * secured, .refused = refused, .handshakes = 3 * refused});
}

static json_t *samples(const char *ring, uint64_t now_s)
{
	json_decref(shown);
	shown = history_json(history, now_s, NOW_US);
	ck_assert_ptr_nonnull(shown);
	return json_object_get(json_object_get(shown, ring), "samples");
}

static long long member(json_t *all, size_t at, const char *key)
{
	return json_integer_value(json_object_get(json_array_get(all, at), key));
}

START_TEST(nothing_was_noted)
{
	ck_assert_uint_eq(json_array_size(samples("hour", 5)), 0);
	ck_assert_uint_eq(json_array_size(samples("day", 5)), 0);
}
END_TEST

START_TEST(a_sample_is_taken_when_it_is_time)
{
	json_t *hour;

	for (uint64_t second = 1000; second < 1012; second++)
		note(second, second, second - 990);
	hour = samples("hour", 1012);
	ck_assert_uint_eq(json_array_size(hour), 3);
	ck_assert_int_eq(member(hour, 0, "secured"), 1000);
	ck_assert_int_eq(member(hour, 2, "secured"), 1010);
	ck_assert_int_eq(member(hour, 2, "clear"), 2020);
	/* What grows is shown by step. */
	ck_assert_int_eq(member(hour, 0, "refused"), 10);
	ck_assert_int_eq(member(hour, 1, "refused"), 5);
	ck_assert_int_eq(member(hour, 2, "handshakes"), 15);
	ck_assert_uint_eq(json_array_size(samples("day", 1012)), 1);
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(shown, "hour"), "until")), "2025-11-25T07:59:58.000000Z");
}
END_TEST

START_TEST(the_oldest_leave)
{
	json_t *hour;

	for (uint64_t second = 1000; second < 1000 + 4000; second += 5)
		note(second, second, second);
	hour = samples("hour", 5000);
	ck_assert_uint_eq(json_array_size(hour), 720);
	ck_assert_int_eq(member(hour, 0, "secured"), 4995 - 719 * 5);
	ck_assert_int_eq(member(hour, 719, "secured"), 4995);
	ck_assert_uint_eq(json_array_size(samples("day", 5000)), 4000 / 60 + 1);
}
END_TEST

START_TEST(a_gap_is_filled)
{
	json_t *hour;

	note(1000, 7, 1);
	note(1021, 9, 5);
	hour = samples("hour", 1021);
	ck_assert_uint_eq(json_array_size(hour), 5);
	ck_assert_int_eq(member(hour, 1, "refused"), 4);
	ck_assert_int_eq(member(hour, 2, "refused"), 0);
	ck_assert_int_eq(member(hour, 4, "secured"), 9);
	/* The steps keep their time. */
	note(1024, 1, 5);
	ck_assert_uint_eq(json_array_size(samples("hour", 1024)), 5);
	note(1025, 1, 5);
	ck_assert_uint_eq(json_array_size(samples("hour", 1025)), 6);
	/* A night without a look costs no more than a ring; a clock that goes back, nothing. */
	note(90000000, 1, 5);
	ck_assert_uint_eq(json_array_size(samples("hour", 90000000)), 720);
	note(10, 1, 5);
	ck_assert_uint_eq(json_array_size(samples("day", 90000000)), 1440);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("history");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, nothing_was_noted);
	tcase_add_test(tests, a_sample_is_taken_when_it_is_time);
	tcase_add_test(tests, the_oldest_leave);
	tcase_add_test(tests, a_gap_is_filled);
	suite_add_tcase(suite, tests);
	return suite;
}
