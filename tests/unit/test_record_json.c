/* The closing record as JSON: what the log line says, under the same names; and what the report makes of it. */
#include "record_json.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "suite.h"

#include "recordline.h"

static char line[2 * LOG_LINE_SIZE];

/* A session that has all there is without a descriptor. */
static void make_record(struct record *record)
{
	memset(record, 0, sizeof(*record));
	leg_init(&record->front, CCI_ACCEPTING, "GW", record->connection);
	leg_init(&record->back, CCI_CONNECTING, "GW", record->connection);
	memcpy(record->connection, "0123456789abcdef", PARAMS_CONNECTION_SIZE);
	record->front.remote.v4.sin_family = AF_INET;
	record->front.remote.v4.sin_addr.s_addr = htonl(0xc0000209);
	record->front.has_peer_connection = true;
	record->front.listener = "in";
	record->front.policy = "allow";
	record->front.rule = "r";
	record->rule_line = 12;
	(void)strcpy(record->front.sysid, "BR1");
	(void)strcpy(record->front.target, "PAYROLL");
	record->front.agent = (char *)(uintptr_t)"x\"y\xc3\xbc";
	record->asked = "none";
	record->outcome = "clear";
	record->audit = "never";
	record->audit_outcome = record->never = "refuse";
	record->audit_reason = record->never_reason = REASON_SECURITY_REQUIRED;
	record->relayed = true;
	record->service_kind = "service";
	record->service = "PAYROLL";
	record->reason = REASON_RESET;
	record->detail = "words";
	record->refuse_code = 6;
	record->peer_text = "a\nb";
	record->started_us = UINT64_C(1764000000000007);
	record->up = 11;
	record->down = 22;
	record->duration_us = 33;
}

static bool is_among(const char *key, const char *const *keys)
{
	while (*keys != NULL && strcmp(*keys, key) != 0)
		keys++;
	return *keys != NULL;
}

START_TEST(it_has_what_the_log_line_has)
{
	static const char *const logs[] = {"level", "id", "msg", NULL}, *const jsons[] = {"event", "gateway", NULL};
	struct record record;
	char *text, *rest, key[64];
	const char *member;
	json_t *json, *value;

	make_record(&record);
	(void)record_line(&record, line, sizeof(line));
	text = record_json(&record, NULL);
	json = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(json);
	json_object_foreach(json, member, value)
	{
		(void)snprintf(key, sizeof(key), "%s=", member);
		ck_assert_msg(is_among(member, jsons) || strstr(line, key) != NULL, "%s is not in %s", member, line);
	}
	/* No value of this record has a blank and an equals sign. */
	for (char *word = strtok_r(line, " \n", &rest); word != NULL; word = strtok_r(NULL, " \n", &rest)) {
		if (strchr(word, '=') == NULL)
			continue;
		*strchr(word, '=') = '\0';
		ck_assert_msg(is_among(word, logs) || json_object_get(json, word) != NULL, "%s is not in %s", word, text);
	}
	ck_assert(json_is_integer(json_object_get(json, "up")) && json_is_true(json_object_get(json, "relayed")));
	ck_assert_str_eq(json_string_value(json_object_get(json, "rule")), "r:12");
	json_decref(json);
	free(text);
}
END_TEST

START_TEST(it_is_one_line_of_ascii)
{
	struct record record;
	size_t size;
	char *text;

	make_record(&record);
	text = record_json(&record, &size);
	ck_assert_uint_eq(size, strlen(text));
	for (size_t i = 0; i < size; i++)
		ck_assert(text[i] >= 0x20 && text[i] <= 0x7e);
	free(text);
	memset(&record, 0, sizeof(record));
	leg_init(&record.front, CCI_ACCEPTING, "GW", record.connection);
	record.front.listener = "in";
	text = record_json(&record, &size);
	ck_assert_int_eq(strncmp(text, "{\"event\":\"record\",", 18), 0);
	free(text);
}
END_TEST

START_TEST(the_report_takes_it)
{
	struct report *report = report_new(10);
	struct record record;
	struct error error;
	const json_t *entry;
	json_t *json;
	size_t size;
	char *text;

	make_record(&record);
	text = record_json(&record, &size);
	ck_assert_int_eq(report_add_line(report, text, size, &error), REPORT_LINE_TAKEN);
	json = report_json(report);
	entry = json_array_get(json_object_get(json, "entries"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(entry, "network")), "192.0.2.0/24");
	ck_assert_str_eq(json_string_value(json_object_get(entry, "rule")), "r");
	ck_assert_str_eq(json_string_value(json_object_get(entry, "state")), "clear");
	ck_assert_str_eq(json_string_value(json_object_get(entry, "never_outcome")), "refuse");
	ck_assert_str_eq(json_string_value(json_object_get(entry, "first")), "2025-11-24T16:00:00.000007Z");
	json_decref(json);
	report_free(report);
	free(text);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("record_json");
	TCase *tests = tcase_create("record_json");

	tcase_add_test(tests, it_has_what_the_log_line_has);
	tcase_add_test(tests, it_is_one_line_of_ascii);
	tcase_add_test(tests, the_report_takes_it);
	suite_add_tcase(suite, tests);
	return suite;
}
