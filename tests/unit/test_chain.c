/* The links of chained lines: what is written is read, and nothing else is. */
#include "chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
/* printf '{"seq":1,"prev":"000...","a":1}' | sha256sum */
#define FIRST "{\"seq\":1,\"prev\":\"" ZEROS "\",\"a\":1}"

START_TEST(lines_follow_each_other)
{
	struct chain chain = {0};
	struct chain_link link;
	char digest[CHAIN_DIGEST_TEXT], wanted[256];
	size_t size;
	char *line = chain_line(&chain, "{\"a\":1}", 7, &size);

	ck_assert_ptr_nonnull(line);
	ck_assert_uint_eq(size, strlen(FIRST));
	ck_assert_int_eq(memcmp(line, FIRST, size), 0);
	ck_assert_int_eq(chain_take(&chain, line, size), 0);
	free(line);
	ck_assert_uint_eq(chain.seq, 1);
	(void)snprintf(wanted, sizeof(wanted), "{\"seq\":2,\"prev\":\"%s\",\"b\":[]}",
	               chain_digest_text(chain.digest, digest));
	line = chain_line(&chain, "{\"b\":[]}", 8, &size);
	ck_assert_ptr_nonnull(line);
	ck_assert_int_eq((int)size, (int)strlen(wanted));
	ck_assert_int_eq(memcmp(line, wanted, size), 0);
	ck_assert_int_eq(chain_parse(line, size, &link), 0);
	ck_assert_uint_eq(link.seq, 2);
	ck_assert_int_eq(memcmp(link.prev, chain.digest, CHAIN_DIGEST), 0);
	free(line);
}
END_TEST

START_TEST(the_digest_is_sha_256)
{
	uint8_t digest[CHAIN_DIGEST];
	char text[CHAIN_DIGEST_TEXT];

	/* FIPS 180-2, appendix B.1 */
	ck_assert_int_eq(chain_digest("abc", 3, digest), 0);
	ck_assert_str_eq(chain_digest_text(digest, text),
	                 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
END_TEST

static const char *const others[] = {
    "",
    "{",
    "{}",
    "{\"seq\":",
    "{\"seq\":1",
    "{\"event\":\"closed\"}",
    "{\"seq\":0,\"prev\":\"" ZEROS "\",\"a\":1}",
    "{\"seq\":01,\"prev\":\"" ZEROS "\",\"a\":1}",
    "{\"seq\":-1,\"prev\":\"" ZEROS "\",\"a\":1}",
    "{\"seq\":12345678901234567890,\"prev\":\"" ZEROS "\",\"a\":1}",
    "{\"seq\": 1,\"prev\":\"" ZEROS "\",\"a\":1}",
    "{\"seq\":1,\"prev\":\"A" ZEROS "\",\"a\":1}",
    "{\"seq\":1,\"prev\":\"000000000000000000000000000000000000000000000000000000000000000\",\"a\":1}",
    "{\"seq\":1,\"prev\":\"00000000000000000000000000000000000000000000000000000000000000AA\",\"a\":1}",
    "{\"seq\":1,\"prev\":\"00000000000000000000000000000000000000000000000000000000000000 0\",\"a\":1}",
    "{\"seq\":1,\"prev\":\"" ZEROS "\",\"a\":1",
    "{\"seq\":1,\"prev\":\"" ZEROS "\"}",
};

START_TEST(other_lines_are_none_of_a_chain)
{
	struct chain chain = {.seq = 7};
	struct chain_link link;
	size_t size = strlen(others[_i]);
	/* Behind the last byte, nothing may be read. */
	char *copy = malloc(size + (size == 0));

	memcpy(copy, others[_i], size);
	ck_assert_int_eq(chain_parse(copy, size, &link), -1);
	ck_assert_int_eq(chain_take(&chain, copy, size), -1);
	ck_assert_uint_eq(chain.seq, 7);
	free(copy);
}
END_TEST

START_TEST(a_beginning_is_no_line)
{
	struct chain_link link;

	ck_assert_int_eq(chain_parse(FIRST, strlen(FIRST), &link), 0);
	for (size_t size = 0; size < strlen(FIRST); size++) {
		char *copy = malloc(size + 1);

		memcpy(copy, FIRST, size);
		ck_assert_int_eq(chain_parse(copy, size, &link), -1);
		free(copy);
	}
}
END_TEST

START_TEST(what_is_no_object_is_not_chained)
{
	struct chain chain = {0};
	size_t size;

	ck_assert_ptr_null(chain_line(&chain, "{}", 2, &size));
	ck_assert_ptr_null(chain_line(&chain, "[1]", 3, &size));
	ck_assert_ptr_null(chain_line(&chain, "", 0, &size));
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("chain");
	TCase *tests = tcase_create("chain");

	tcase_add_test(tests, lines_follow_each_other);
	tcase_add_test(tests, the_digest_is_sha_256);
	tcase_add_loop_test(tests, other_lines_are_none_of_a_chain, 0, (int)(sizeof(others) / sizeof(others[0])));
	tcase_add_test(tests, a_beginning_is_no_line);
	tcase_add_test(tests, what_is_no_object_is_not_chained);
	suite_add_tcase(suite, tests);
	return suite;
}
