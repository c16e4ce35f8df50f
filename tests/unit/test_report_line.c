/* The report out of lines of JSON, of which some are a stranger's. */
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "suite.h"

#define START "{\"event\":\"record\",\"listener\":\"hosts\",\"started\":\"2025-11-24T16:05:00.000001Z\""
#define WHOLE                                                                                                         \
	START ",\"from\":\"192.0.2.9:4711\",\"sysid\":\"BR1\",\"asked\":\"on\",\"outcome\":\"tls\",\"policy\":\"allow\"," \
	      "\"rule\":\"branches:12\",\"audit_policy\":\"never\",\"audit_outcome\":\"tls\",\"never_outcome\":\"tls\","  \
	      "\"secured\":true,\"relayed\":true,\"ratcheted\":true,\"tls_version\":\"1.3\",\"tls_suite\":\"S\","         \
	      "\"tls_start\":\"upgrade\",\"tls_resumed\":true,\"confirmed\":true,\"verify\":\"ok\","                      \
	      "\"peer_subject\":\"CN=br1\",\"agent\":\"x/1\",\"up\":7,\"down\":8,\"reason\":\"ended\",\"future\":[{}]}"

static enum report_line add(struct report *report, const char *line)
{
	struct error error = {.text = ""};

	return report_add_line(report, line, strlen(line), &error);
}

static json_t *json_of(const char *line)
{
	struct report *report = report_new(10);
	json_t *json;

	ck_assert_int_eq(add(report, line), REPORT_LINE_TAKEN);
	json = report_json(report);
	ck_assert_ptr_nonnull(json);
	report_free(report);
	return json;
}

START_TEST(a_record_is_taken_whole)
{
	static const char *const texts[][2] = {
	    {"listener", "hosts"},
	    {"sysid", "BR1"},
	    {"network", "192.0.2.0/24"},
	    {"state", "secured"},
	    {"asked", "on"},
	    {"outcome", "tls"},
	    {"policy", "allow"},
	    {"rule", "branches"},
	    {"audit_policy", "never"},
	    {"audit_outcome", "tls"},
	    {"never_outcome", "tls"},
	    {"tls_version", "1.3"},
	    {"tls_suite", "S"},
	    {"tls_start", "upgrade"},
	    {"agent", "x/1"},
	    {"peer_subject", "CN=br1"},
	    {"first", "2025-11-24T16:05:00.000001Z"},
	};
	static const char *const ones[] = {"sessions", "resumed", "confirmed"};
	json_t *json = json_of(WHOLE), *entry = json_array_get(json_object_get(json, "entries"), 0);

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_str_eq(json_string_value(json_object_get(entry, texts[i][0])), texts[i][1]);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(json_integer_value(json_object_get(entry, ones[i])), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(entry, "bytes_up")), 7);
	ck_assert_int_eq(json_integer_value(json_object_get(entry, "bytes_down")), 8);
	ck_assert(json_is_true(json_object_get(entry, "ratcheted")));
	ck_assert_ptr_null(json_object_get(entry, "reason"));
	json_decref(json);
}
END_TEST

/* Only what is verified says who it was. */
START_TEST(a_subject_that_is_not_verified_is_left_out)
{
	json_t *json = json_of(START ",\"sysid\":\"A\",\"verify\":\"self-signed certificate\",\"peer_subject\":\"CN=x\"}");

	ck_assert_ptr_null(json_object_get(json_array_get(json_object_get(json, "entries"), 0), "peer_subject"));
	json_decref(json);
}
END_TEST

static const struct {
	const char *from, *network;
} sources[] = {
    {"127.0.0.1:5", "127.0.0.0/24"},
    {"[2001:db8::1]:5", "2001:db8::/64"},
    {"[fe80::1%nonesuch]:5", "fe80::/64"},
    {"unix", "unix"},
    {"unix:/run/x", "unix"},
    {"unix:uid=0,pid=12", "unix"},
};

START_TEST(addresses_are_read_as_they_are_written)
{
	char line[512];
	json_t *json;

	(void)snprintf(line, sizeof(line), "%s,\"sysid\":\"A\",\"from\":\"%s\"}", START, sources[_i].from);
	json = json_of(line);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(json_object_get(json, "entries"), 0), "network")),
	                 sources[_i].network);
	json_decref(json);
}
END_TEST

static const char *const others[] = {
    "{\"event\":\"closed\",\"listener\":5}",
    "{\"event\":\"\"}",
    "{\"event\":\"new in 2040\",\"a\":[1,2,{\"b\":null}]}",
};

static const struct {
	const char *reason, *state;
} refusals[] = {
    {"security-required", "refused"}, {"ratcheted", "refused"},      {"not-permitted", "refused"},
    {"peer-refused", "refused"},      {"connect-refused", "failed"}, {"connect-timeout", "failed"},
    {"name-not-found", "failed"},     {"peer-down", "failed"},       {"target-unreachable", "failed"},
    {"disconnected", "failed"},
};

START_TEST(what_is_down_refuses_nobody)
{
	char line[512];
	json_t *json;

	(void)snprintf(line, sizeof(line), "%s,\"sysid\":\"A\",\"outcome\":\"refuse\",\"reason\":\"%s\"}", START,
	               refusals[_i].reason);
	json = json_of(line);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(json_object_get(json, "names"), 0), "state")),
	                 refusals[_i].state);
	json_decref(json);
}
END_TEST

START_TEST(other_events_are_passed_over)
{
	struct report *report = report_new(10);

	ck_assert_int_eq(add(report, others[_i]), REPORT_LINE_OTHER);
	report_free(report);
}
END_TEST

static const char *const broken[] = {
    "",
    " ",
    "x",
    "5",
    "[]",
    "null",
    "\"event\"",
    "{",
    "{}",
    "{\"event\":5}",
    "{\"event\":\"record\"}",
    "{\"event\":\"record\",\"listener\":\"l\"}",
    "{\"event\":\"record\",\"listener\":\"l\",\"started\":\"\"}",
    "{\"event\":\"record\",\"listener\":\"l\",\"started\":\"2025-02-30T16:05:00.000001Z\"}",
    "{\"event\":\"record\",\"listener\":\"l\",\"started\":\"2025-11-24T16:05:61.000001Z\"}",
    "{\"event\":\"record\",\"listener\":\"l\",\"started\":\"0000-00-00T00:00:00.000000Z\"}",
    "{\"event\":\"record\",\"listener\":\"l\",\"started\":\"2025-11-24T16:05:00.000001\"}",
    "{\"event\":\"record\",\"listener\":\"l\",\"started\":5}",
    START,
    START "} x",
    START "}" START "}",
    START ",\"listener\":\"twice\"}",
    START ",\"up\":-1}",
    START ",\"up\":1.5}",
    START ",\"up\":\"1\"}",
    START ",\"up\":99999999999999999999999999}",
    START ",\"down\":1e999}",
    START ",\"sysid\":\"A B\"}",
    START ",\"sysid\":\"\\u0000\"}",
    START ",\"sysid\":\"\\u001b[2J\"}",
    START ",\"sysid\":5}",
    START ",\"secured\":1}",
    START ",\"relayed\":\"yes\"}",
    START ",\"agent\":{}}",
    START ",\"rule\":[]}",
    START ",\"from\":\"elsewhere\"}",
    START ",\"from\":\"[::1\\u0001]:5\"}",
    START ",\"from\":\"\"}",
    START ",\"agent\":\"\xff\"}",
};

START_TEST(broken_lines_are_named_and_harm_nothing)
{
	struct report *report = report_new(10);
	struct error error = {.text = ""};
	json_t *json;

	ck_assert_int_eq(report_add_line(report, broken[_i], strlen(broken[_i]), &error), REPORT_LINE_BROKEN);
	ck_assert_str_ne(error.text, "");
	for (const char *at = error.text; *at != '\0'; at++)
		ck_assert(*at >= 0x20 && *at <= 0x7e);
	json = report_json(report);
	ck_assert_int_eq(json_integer_value(json_object_get(json, "sessions")), 0);
	json_decref(json);
	report_free(report);
}
END_TEST

START_TEST(a_nul_and_a_deep_nest_are_broken)
{
	static const char nul[] = START ",\"sysid\":\"A\0B\"}";
	struct report *report = report_new(10);
	size_t size = 200000;
	char *deep = malloc(size);
	struct error error;

	memset(deep, '[', size);
	memcpy(deep, "{\"event\":", 9);
	ck_assert_int_eq(report_add_line(report, nul, sizeof(nul) - 1, &error), REPORT_LINE_BROKEN);
	ck_assert_int_eq(report_add_line(report, deep, size, &error), REPORT_LINE_BROKEN);
	free(deep);
	report_free(report);
}
END_TEST

/* Each line, cut anywhere, or with one byte turned into another. */
START_TEST(no_line_does_harm)
{
	struct report *report = report_new(4);
	char line[] = WHOLE;
	size_t size = sizeof(line) - 1;
	struct error error;
	json_t *json;

	for (size_t cut = 0; cut < size; cut++)
		ck_assert_int_eq(report_add_line(report, line, cut, &error), REPORT_LINE_BROKEN);
	for (size_t at = 0; at < size; at++) {
		char kept = line[at];
		static const char bytes[] = "\"{[,:\\0\x01\xff";

		for (size_t i = 0; i < sizeof(bytes); i++) {
			enum report_line ignored;

			line[at] = bytes[i];
			ignored = report_add_line(report, line, size, &error);
			(void)ignored;
		}
		line[at] = kept;
	}
	json = report_json(report);
	ck_assert_ptr_nonnull(json);
	ck_assert_uint_le(json_array_size(json_object_get(json, "entries")), 4);
	json_decref(json);
	report_free(report);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("report_line");
	TCase *lines = tcase_create("lines");

	tcase_set_timeout(lines, 30);
	tcase_add_test(lines, a_record_is_taken_whole);
	tcase_add_test(lines, a_subject_that_is_not_verified_is_left_out);
	tcase_add_loop_test(lines, addresses_are_read_as_they_are_written, 0, (int)(sizeof(sources) / sizeof(sources[0])));
	tcase_add_loop_test(lines, what_is_down_refuses_nobody, 0, (int)(sizeof(refusals) / sizeof(refusals[0])));
	tcase_add_loop_test(lines, other_events_are_passed_over, 0, (int)(sizeof(others) / sizeof(others[0])));
	tcase_add_loop_test(lines, broken_lines_are_named_and_harm_nothing, 0, (int)(sizeof(broken) / sizeof(broken[0])));
	tcase_add_test(lines, a_nul_and_a_deep_nest_are_broken);
	tcase_add_test(lines, no_line_does_harm);
	suite_add_tcase(suite, lines);
	return suite;
}
