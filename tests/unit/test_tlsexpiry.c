/* Which warnings of what expires are due: each once, at its steps. */
#include <string.h>

#include "suite.h"
#include "tlsexpiry.h"

#define DAY_S (24L * 3600)
#define NOW 1800000000L

static unsigned look(struct tls_expiries *expiries, const struct tls_expiry *expiry, time_t now)
{
	tls_expiries_begin(expiries, now);
	if (expiry != NULL)
		tls_expiries_see(expiries, expiry);
	return tls_expiries_end(expiries);
}

START_TEST(each_step_is_said_once)
{
	static const long days[] = {30, 14, 7, 1, 0};
	struct tls_expiries *expiries = tls_expiries_new();
	struct tls_expiry certificate = {.setting = "[tls] certificate", .file = "/x", .until = NOW, .effect = "e"};

	ck_assert_uint_eq(look(expiries, &certificate, NOW - 90 * DAY_S), 0);
	for (int i = 0; i < 5; i++) {
		ck_assert_uint_eq(look(expiries, &certificate, NOW - days[i] * DAY_S - 1), 0);
		ck_assert_uint_eq(look(expiries, &certificate, NOW - days[i] * DAY_S), 1);
		ck_assert_uint_eq(look(expiries, &certificate, NOW - days[i] * DAY_S + 3600), 0);
	}
	ck_assert_uint_eq(look(expiries, &certificate, NOW + 100 * DAY_S), 0);
	tls_expiries_free(expiries);
	tls_expiries_free(NULL);
}
END_TEST

START_TEST(steps_that_were_passed_are_one_warning)
{
	struct tls_expiries *expiries = tls_expiries_new();
	struct tls_expiry certificate = {.setting = "[tls] certificate", .file = "/x", .until = NOW, .effect = "e"};

	ck_assert_uint_eq(look(expiries, &certificate, NOW - 3 * DAY_S), 1);
	ck_assert_uint_eq(look(expiries, &certificate, NOW - 3 * DAY_S), 0);
	tls_expiries_free(expiries);
}
END_TEST

START_TEST(a_new_file_begins_anew)
{
	struct tls_expiries *expiries = tls_expiries_new();
	struct tls_expiry old = {.setting = "[tls] certificate", .file = "/x", .until = NOW, .effect = "e"}, new = old;
	struct tls_expiry other = {.setting = "[certificate b] certificate", .file = "/x", .until = NOW, .effect = "e"};

	new.until += 20 * DAY_S;
	ck_assert_uint_eq(look(expiries, &old, NOW - DAY_S), 1);
	ck_assert_uint_eq(look(expiries, &new, NOW - DAY_S), 1);
	ck_assert_uint_eq(look(expiries, &new, NOW - DAY_S), 0);
	ck_assert_uint_eq(look(expiries, &other, NOW - DAY_S), 1);
	/* Not in use for a while: what was said of it is forgotten. */
	ck_assert_uint_eq(look(expiries, NULL, NOW), 0);
	ck_assert_uint_eq(look(expiries, &other, NOW - DAY_S), 1);
	tls_expiries_free(expiries);
}
END_TEST

static const struct {
	long lives_days, left_s;
	unsigned warnings;
} lists[] = {{7, 3 * DAY_S, 0}, {7, DAY_S, 1}, {7, 0, 1}, {1, DAY_S / 2, 0}, {1, 0, 1}, {60, 20 * DAY_S, 0}, {60, DAY_S, 1}};

START_TEST(what_lives_shortly_is_warned_of_late)
{
	struct tls_expiries *expiries = tls_expiries_new();
	struct tls_expiry list = {.setting = "[tls] crl",
	                          .file = "/x",
	                          .until = NOW,
	                          .from = NOW - lists[_i].lives_days * DAY_S,
	                          .effect = "e"};

	ck_assert_uint_eq(look(expiries, &list, NOW - lists[_i].left_s), lists[_i].warnings);
	tls_expiries_free(expiries);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("tlsexpiry");
	TCase *tests = tcase_create("tlsexpiry");

	tcase_add_test(tests, each_step_is_said_once);
	tcase_add_test(tests, steps_that_were_passed_are_one_warning);
	tcase_add_test(tests, a_new_file_begins_anew);
	tcase_add_loop_test(tests, what_lives_shortly_is_warned_of_late, 0, (int)(sizeof(lists) / sizeof(lists[0])));
	suite_add_tcase(suite, tests);
	return suite;
}
