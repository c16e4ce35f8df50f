/* JSON of strangers' texts, of numbers, times and addresses. */
#include "jsontext.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "suite.h"

static const struct {
	const char *text, *json;
} texts[] = {
    {"", "\"\""},
    {"a\"b\\c", "\"a\\\"b\\\\c\""},
    {"\n\033[2J\x7f", "\"\\n\\u001B[2J\\u007F\""},
    {"gr\xc3\xbc\xc3\x9f", "\"gr\\u00FC\\u00DF\""},
    {"\xf0\x9f\x98\x80", "\"\\uD83D\\uDE00\""},
    {"a\xff" "b", "\"a\\\\xffb\""},
    {"\xc3", "\"\\\\xc3\""},
    {"\xc0\x80", "\"\\\\xc0\\\\x80\""},
    {"\xed\xa0\x80", "\"\\\\xed\\\\xa0\\\\x80\""},
    {"\xf4\x90\x80\x80", "\"\\\\xf4\\\\x90\\\\x80\\\\x80\""},
    {"\xe2\x82", "\"\\\\xe2\\\\x82\""},
    {"\xff\xc3\xbc", "\"\\\\xff\\u00FC\""},
    {NULL, "null"},
};

START_TEST(any_bytes_are_a_string)
{
	size_t size;
	char *line = json_line(json_of_text(texts[_i].text), &size);

	ck_assert_str_eq(line, texts[_i].json);
	ck_assert_uint_eq(size, strlen(line));
	free(line);
}
END_TEST

START_TEST(members_are_set_or_left_out)
{
	json_t *object = json_object();
	union socket_address address = {.v4 = {.sin_family = AF_INET, .sin_port = htons(5)}};
	char *line;

	json_put_text(object, "a", NULL);
	json_put_text(object, "b", "x");
	json_put_number(object, "c", 7);
	json_put_number(object, "d", UINT64_MAX);
	json_put_bool(object, "e", true);
	json_put_hex(object, "f", (const uint8_t *)"\x01\xff", 2);
	json_put_utc(object, "g", 0);
	json_put_utc(object, "h", 1764000000000001u);
	json_put_address(object, "i", NULL);
	json_put_address(object, "j", &address.any);
	line = json_line(object, NULL);
	ck_assert_str_eq(line, "{\"b\":\"x\",\"c\":7,\"d\":9223372036854775807,\"e\":true,\"f\":\"01ff\","
	                       "\"h\":\"2025-11-24T16:00:00.000001Z\",\"j\":\"0.0.0.0:5\"}");
	free(line);
}
END_TEST

/* What is not there for want of memory is found out at the end. */
START_TEST(nothing_is_made_of_nothing)
{
	json_put_text(NULL, "a", "x");
	json_put_number(NULL, "a", 1);
	json_put_bool(NULL, "a", true);
	json_put_utc(NULL, "a", 1);
	ck_assert_ptr_null(json_line(NULL, NULL));
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("jsontext");
	TCase *tests = tcase_create("jsontext");

	tcase_add_loop_test(tests, any_bytes_are_a_string, 0, (int)(sizeof(texts) / sizeof(texts[0])));
	tcase_add_test(tests, members_are_set_or_left_out);
	tcase_add_test(tests, nothing_is_made_of_nothing);
	suite_add_tcase(suite, tests);
	return suite;
}
