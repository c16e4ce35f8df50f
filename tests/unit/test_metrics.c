/* What is counted is summed up, and shown as Prometheus wants it. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "metrics_text.h"
#include "promtext.h"
#include "suite.h"

#define WORKERS 4
#define ROUNDS 20000

static struct metrics *metrics;
static struct metrics_part *part;
static char *shown;

static void setup(void)
{
	metrics = metrics_new(WORKERS);
	ck_assert_ptr_nonnull(metrics);
	part = metrics_part(metrics, 0);
}

static void teardown(void)
{
	free(shown);
	shown = NULL;
	metrics_free(metrics);
}

/* All of it, checked. */
static const char *show(void)
{
	size_t size;
	FILE *stream;

	free(shown);
	stream = open_memstream(&shown, &size);
	metrics_write(metrics, stream);
	ck_assert_int_eq(fclose(stream), 0);
	promtext_check(shown);
	return shown;
}

static void expect(const char *series, double value)
{
	ck_assert_msg(promtext_value(show(), series) == value, "%s is %g, not %g", series, promtext_value(shown, series), value);
}

static atomic_bool over;

static void *count_much(void *argument)
{
	struct metrics_part *mine = argument;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct metrics_end end = {.was = METRICS_SECURED, .reason = REASON_ENDED, .agreed = true, .up = 3, .duration_us = 7};

		metrics_begin(mine);
		metrics_change(mine, METRICS_UNDECIDED, METRICS_SECURED);
		metrics_handshake(mine, METRICS_ACCEPTING, "1.3", "TLS_AES_128_GCM_SHA256", false);
		metrics_end(mine, &end);
	}
	return NULL;
}

static void *read_much(void *argument)
{
	struct metrics_totals totals, before = {0};

	(void)argument;
	while (!atomic_load(&over)) {
		metrics_totals(metrics, &totals);
		ck_assert_uint_ge(totals.sessions, before.sessions);
		ck_assert_uint_le(totals.open[METRICS_SECURED], 2 * WORKERS);
		before = totals;
	}
	return NULL;
}

START_TEST(threads_are_summed_up)
{
	pthread_t threads[WORKERS], reader;
	struct metrics_totals totals;

	atomic_store(&over, false);
	ck_assert_int_eq(pthread_create(&reader, NULL, read_much, NULL), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count_much, metrics_part(metrics, i)), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	atomic_store(&over, true);
	ck_assert_int_eq(pthread_join(reader, NULL), 0);
	metrics_totals(metrics, &totals);
	ck_assert_uint_eq(totals.sessions, WORKERS * ROUNDS);
	ck_assert_uint_eq(totals.handshakes, WORKERS * ROUNDS);
	ck_assert_uint_eq(totals.refusals, 0);
	ck_assert_uint_eq(totals.open[METRICS_SECURED] + totals.open[METRICS_UNDECIDED], 0);
	expect("cci_relayed_bytes_total{direction=\"up\"}", 3.0 * WORKERS * ROUNDS);
	expect("cci_session_seconds_count", WORKERS * ROUNDS);
}
END_TEST

START_TEST(open_sessions_are_what_they_became)
{
	struct metrics_end end = {.was = METRICS_CLEAR, .reason = REASON_ENDED, .agreed = true};

	for (unsigned i = 0; i < 3; i++)
		metrics_begin(part);
	metrics_change(part, METRICS_UNDECIDED, METRICS_SECURED);
	metrics_change(part, METRICS_UNDECIDED, METRICS_CLEAR);
	expect("cci_sessions_open{security=\"secured\"}", 1);
	expect("cci_sessions_open{security=\"clear\"}", 1);
	expect("cci_sessions_open{security=\"undecided\"}", 1);
	metrics_end(part, &end);
	expect("cci_sessions_open{security=\"clear\"}", 0);
	expect("cci_sessions_total", 3);
}
END_TEST

/* A reader between two writes of another thread may see one session less than none. */
START_TEST(a_gauge_is_never_below_none)
{
	metrics_change(part, METRICS_CLEAR, METRICS_SECURED);
	expect("cci_sessions_open{security=\"clear\"}", 0);
	expect("cci_sessions_open{security=\"secured\"}", 1);
}
END_TEST

static const struct edge {
	uint64_t took_us;
	const char *in, *below; /* the smallest bucket that has it; the largest that has it not */
} edges[] = {
    {1, "0.0005", NULL},         {500, "0.0005", NULL},      {501, "0.001", "0.0005"}, {1000, "0.001", "0.0005"},
    {30000000, "30", "10"},      {30000001, "+Inf", "30"},   {UINT64_C(1) << 60, "+Inf", "30"},
};

START_TEST(a_time_is_in_the_bucket_of_its_bound)
{
	struct metrics_end end = {.handshake_us = edges[_i].took_us};
	char series[96];

	metrics_begin(part);
	metrics_end(part, &end);
	(void)snprintf(series, sizeof(series), "cci_stage_seconds_bucket{stage=\"handshake\",le=\"%s\"}", edges[_i].in);
	expect(series, 1);
	if (edges[_i].below != NULL) {
		(void)snprintf(series, sizeof(series), "cci_stage_seconds_bucket{stage=\"handshake\",le=\"%s\"}", edges[_i].below);
		expect(series, 0);
	}
	expect("cci_stage_seconds_count{stage=\"handshake\"}", 1);
	expect("cci_stage_seconds_count{stage=\"exchange\"}", 0); /* it did not come to that */
	ck_assert_double_eq_tol(promtext_value(shown, "cci_stage_seconds_sum{stage=\"handshake\"}"), (double)edges[_i].took_us / 1e6,
	                        (double)edges[_i].took_us / 1e12);
}
END_TEST

START_TEST(labels_come_from_our_own_tables)
{
	metrics_handshake(part, METRICS_CONNECTING, "1.2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", true);
	metrics_handshake(part, METRICS_ACCEPTING, "9\"}", "\n} 7", false);
	metrics_answer(part, "required", METRICS_ANSWER_REFUSE, 4);
	metrics_answer(part, "weird\n", METRICS_ANSWER_REFUSE, 60000);
	metrics_answer(part, NULL, METRICS_ANSWER_TLS, 0);
	metrics_limit(part, "handshake_rate");
	metrics_limit(part, "another");
	metrics_handshake_failed(part, METRICS_ACCEPTING, REASON_HANDSHAKE_TIMEOUT);
	metrics_policy(part, UNSECURED_NEVER, OUTCOME_REFUSE);
	metrics_audit(part, UNSECURED_ONLY, OUTCOME_CLEAR);
	metrics_policy(part, UNSECURED_INHERIT, OUTCOME_CLEAR); /* never: but nothing breaks */
	expect("cci_handshakes_total{role=\"connecting\",version=\"1.2\",suite=\"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\","
	       "resumption=\"resumed\"}", 1);
	expect("cci_handshakes_total{role=\"accepting\",version=\"other\",suite=\"other\",resumption=\"full\"}", 1);
	expect("cci_offers_total{asked=\"required\",answer=\"refuse\",code=\"4\"}", 1);
	expect("cci_offers_total{asked=\"other\",answer=\"refuse\",code=\"other\"}", 1);
	expect("cci_offers_total{asked=\"other\",answer=\"tls\"}", 1);
	expect("cci_limits_met_total{limit=\"handshake_rate\"}", 1);
	expect("cci_limits_met_total{limit=\"other\"}", 1);
	expect("cci_handshakes_failed_total{role=\"accepting\",reason=\"handshake-timeout\"}", 1);
	expect("cci_policy_outcomes_total{policy=\"never\",outcome=\"refuse\"}", 1);
	expect("cci_audit_outcomes_total{audit_policy=\"only\",outcome=\"clear\"}", 1);
}
END_TEST

START_TEST(noise_is_no_refusal)
{
	struct metrics_end end = {.reason = REASON_NOT_CCI, .noise = true};

	metrics_begin(part);
	metrics_end(part, &end);
	expect("cci_sessions_ended_total{reason=\"not-cci\"}", 1);
	expect("cci_refusals_total{reason=\"not-cci\"}", 0);
	end = (struct metrics_end){.reason = REASON_BUSY};
	metrics_begin(part);
	metrics_end(part, &end);
	expect("cci_refusals_total{reason=\"busy\"}", 1);
}
END_TEST

START_TEST(without_a_part_nothing_is_counted)
{
	struct metrics_end end = {.handshake_us = 5};

	metrics_begin(NULL);
	metrics_change(NULL, METRICS_UNDECIDED, METRICS_CLEAR);
	metrics_end(NULL, &end);
	metrics_direct(NULL);
	metrics_confirmed(NULL, METRICS_ACCEPTING);
	metrics_limit(NULL, "rule");
	ck_assert_ptr_null(metrics_part(NULL, 0));
	metrics_free(NULL);
	expect("cci_sessions_total", 0);
}
END_TEST

START_TEST(labels_are_escaped)
{
	struct metrics_label labels[] = {{"file", "a\"b\\c\nd"}, {"none", ""}, {"kind", "x"}};
	char buffer[256] = "";
	FILE *stream = fmemopen(buffer, sizeof(buffer), "w");

	metrics_family(stream, "cci_test", "gauge", "Words.");
	metrics_number(stream, "cci_test", labels, 3, 5);
	metrics_real(stream, "cci_test", NULL, 0, 0.25);
	ck_assert_int_eq(fclose(stream), 0);
	promtext_check(buffer);
	ck_assert_str_eq(buffer, "# HELP cci_test Words.\n# TYPE cci_test gauge\ncci_test{file=\"a\\\"b\\\\c\\nd\",kind=\"x\"} 5\n"
	                         "cci_test 0.25\n");
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("metrics");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, threads_are_summed_up);
	tcase_add_test(tests, open_sessions_are_what_they_became);
	tcase_add_test(tests, a_gauge_is_never_below_none);
	tcase_add_loop_test(tests, a_time_is_in_the_bucket_of_its_bound, 0, sizeof(edges) / sizeof(edges[0]));
	tcase_add_test(tests, labels_come_from_our_own_tables);
	tcase_add_test(tests, noise_is_no_refusal);
	tcase_add_test(tests, without_a_part_nothing_is_counted);
	tcase_add_test(tests, labels_are_escaped);
	suite_add_tcase(suite, tests);
	return suite;
}
