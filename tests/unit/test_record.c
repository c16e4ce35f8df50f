/* The closing record: one line for each way to end, escaped and bounded. */
#include <string.h>

#include "suite.h"

#include "recordline.h"

static char line[2 * LOG_LINE_SIZE];

static void make_record(struct record *record)
{
	memset(record, 0, sizeof(*record));
	leg_init(&record->front, CCI_ACCEPTING, "GW", record->connection);
	leg_init(&record->back, CCI_CONNECTING, "GW", record->connection);
	memcpy(record->connection, "0123456789abcdef", PARAMS_CONNECTION_SIZE);
	record->front.listener = "in";
	record->front.policy = "never";
	(void)strcpy(record->front.sysid, "BR1");
	record->asked = "none";
	record->outcome = "clear";
	record->reason = REASON_ENDED;
	record->started_us = UINT64_C(1000000000000007);
	record->up = 11;
	record->down = 22;
	record->duration_us = 33;
}

/* What is written, taken from standard error. */
static void write_record(const struct record *record)
{
	size_t size = record_line(record, line, sizeof(line));

	/* One line, whole, of printable characters. */
	ck_assert_uint_gt(size, 1);
	ck_assert_uint_le(size, LOG_LINE_SIZE);
	ck_assert_ptr_eq(strchr(line, '\n'), line + size - 1);
	for (size_t i = 0; i + 1 < size; i++)
		ck_assert_msg(line[i] >= 0x20 && line[i] <= 0x7e, "%zu: %s", i, line);
}

static void expect(const char *text)
{
	ck_assert_msg(strstr(line, text) != NULL, "%s is not in %s", text, line);
}

static void expect_none(const char *text)
{
	ck_assert_msg(strstr(line, text) == NULL, "%s is in %s", text, line);
}

START_TEST(each_end_has_its_word_and_message)
{
	struct record record;
	char text[100];

	make_record(&record);
	record.reason = (enum reason)_i;
	record.reason_at_back = _i % 2 == 1;
	write_record(&record);
	(void)snprintf(text, sizeof(text), " id=%s ", message_id(reason_message(record.reason)));
	expect(text);
	(void)snprintf(text, sizeof(text), " reason=%s ", reason_word(record.reason));
	expect(text);
	expect(_i == REASON_TRUNCATED ? " truncated=yes" : " truncated=no");
	if (_i == REASON_ENDED)
		expect_none(" at=");
	else
		expect(_i % 2 == 1 ? " at=back " : " at=front ");
	expect_none("cut=yes");
}
END_TEST

START_TEST(says_what_is_known_and_no_more)
{
	struct record record;

	make_record(&record);
	write_record(&record);
	expect(" conn=30313233343536373839616263646566 ");
	expect(" listener=in asked=none outcome=clear rule=- policy=never sysid=BR1 relayed=no ratcheted=no secured=no ");
	expect(" up=11 down=22 started=2001-09-09T01:46:40.000007Z ");
	expect(" duration_us=33 ");
	expect_none(" client_conn=");
	expect_none(" refuse=");
	expect_none(" to=");
	expect_none(" tls_version=");
	expect_none(" detail=");
	record.front.rule = "branches";
	record.rule_line = 17;
	record.refuse_code = 3;
	record.front.has_peer_connection = true;
	memcpy(record.front.peer_connection, "AAAAAAAAAAAAAAAA", PARAMS_CONNECTION_SIZE);
	write_record(&record);
	expect(" rule=branches:17 ");
	expect(" refuse=3 ");
	expect(" client_conn=41414141414141414141414141414141 ");
}
END_TEST

START_TEST(a_strangers_words_are_escaped)
{
	struct record record;
	char agent[] = "x\" secured=yes\nreason=ended \\\xff";

	make_record(&record);
	record.front.agent = agent;
	record.peer_text = "no\r\n\x1b[2J";
	record.back.secured = _i == 1;
	write_record(&record);
	expect(" agent=\"x\\\" secured=yes\\x0areason=ended \\\\\\xff\" ");
	expect(_i == 1 ? " peer_text=\"no\\x0d\\x0a\\x1b[2J\"" : " peer_text_unauthenticated=\"no\\x0d\\x0a\\x1b[2J\"");
}
END_TEST

START_TEST(the_longest_texts_are_bounded)
{
	struct record record;
	char agent[3000], long_detail[200] = "";

	make_record(&record);
	memset(agent, _i == 0 ? 'a' : '\x01', sizeof(agent) - 1);
	agent[sizeof(agent) - 1] = '\0';
	record.front.agent = agent;
	memset(long_detail, 'd', sizeof(long_detail) - 1);
	record.detail = long_detail;
	write_record(&record);
	expect(" reason=ended ");
	if (_i == 0)
		expect_none(" cut=yes");
	else
		ck_assert_str_eq(line + strlen(line) - 9, " cut=yes\n");
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("record");
	TCase *tests = tcase_create("record");

	tcase_add_loop_test(tests, each_end_has_its_word_and_message, 0, REASON_COUNT);
	tcase_add_test(tests, says_what_is_known_and_no_more);
	tcase_add_loop_test(tests, a_strangers_words_are_escaped, 0, 2);
	tcase_add_loop_test(tests, the_longest_texts_are_bounded, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
