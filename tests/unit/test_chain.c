/* Lines that vouch for those before them: what is changed anywhere is found, and where. */
#include "chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

#define LINES 5

static char *lines[LINES];
static size_t sizes[LINES];

static void make_lines(void)
{
	struct chain chain = {.number = 0}, next;
	char line[64];

	for (int i = 0; i < LINES; i++) {
		int size = snprintf(line, sizeof(line), "{\"event\":\"record\",\"n\":%d}", i);

		ck_assert_int_eq(chain_link(&chain, line, (size_t)size, &lines[i], &sizes[i], &next), 0);
		ck_assert_uint_eq(sizes[i], strlen(lines[i]));
		chain = next;
	}
}

static void free_lines(void)
{
	for (int i = 0; i < LINES; i++)
		free(lines[i]);
}

/* Number of the first line, in this order, that does not follow; -1: all do. */
static int first_bad(const int *order, int count, struct error *error)
{
	struct chain chain = {.number = 0}, next;

	for (int i = 0; i < count; i++) {
		if (chain_follow(i > 0 ? &chain : NULL, lines[order[i]], sizes[order[i]], &next, error) != 0)
			return i;
		chain = next;
	}
	return -1;
}

START_TEST(a_chain_that_is_whole_follows)
{
	static const int all[] = {0, 1, 2, 3, 4}, rest[] = {2, 3, 4};
	struct error error;
	struct chain claim;

	make_lines();
	ck_assert_int_eq(first_bad(all, 5, &error), -1);
	/* Older files are gone: their last line is taken on trust. */
	ck_assert_int_eq(first_bad(rest, 3, &error), -1);
	ck_assert_int_eq(chain_read(lines[3], sizes[3], &claim), 0);
	ck_assert_uint_eq(claim.number, 4);
	ck_assert_ptr_nonnull(strstr(lines[3], claim.digest));
	free_lines();
}
END_TEST

START_TEST(lines_that_are_missing_or_moved_are_found)
{
	static const int missing[] = {0, 1, 3, 4}, moved[] = {0, 2, 1, 3}, twice[] = {0, 1, 1, 2};
	struct error error;

	make_lines();
	ck_assert_int_eq(first_bad(missing, 4, &error), 2);
	ck_assert_str_eq(error.text, "line 3 of the chain is missing here: this is line 4");
	ck_assert_int_eq(first_bad(moved, 4, &error), 1);
	ck_assert_int_eq(first_bad(twice, 4, &error), 2);
	free_lines();
}
END_TEST

/* Each byte of a line, turned into another: this line is found, or the next. */
START_TEST(every_byte_counts)
{
	static const int all[] = {0, 1, 2, 3, 4};
	struct error error;

	make_lines();
	for (size_t at = 0; at < sizes[2]; at++) {
		char kept = lines[2][at];

		lines[2][at] = (char)(kept ^ 1);
		ck_assert_int_eq(first_bad(all, 5, &error), 2);
		lines[2][at] = kept;
	}
	for (size_t cut = 0; cut < sizes[1]; cut++) {
		struct chain next, chain;

		ck_assert_int_eq(chain_read(lines[0], sizes[0], &chain), 0);
		ck_assert_int_eq(chain_follow(&chain, lines[1], cut, &next, &error), -1);
	}
	free_lines();
}
END_TEST

/* Who makes a line's digest anew breaks the next. */
START_TEST(a_line_made_anew_is_found_by_the_next)
{
	static const int all[] = {0, 1, 2, 3, 4};
	static const char forged[] = "{\"event\":\"record\",\"n\":9}";
	struct chain chain, next;
	struct error error;

	make_lines();
	ck_assert_int_eq(chain_read(lines[1], sizes[1], &chain), 0);
	free(lines[2]);
	ck_assert_int_eq(chain_link(&chain, forged, sizeof(forged) - 1, &lines[2], &sizes[2], &next), 0);
	ck_assert_int_eq(first_bad(all, 5, &error), 3);
	free_lines();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("chain");
	TCase *tests = tcase_create("chain");

	tcase_add_test(tests, a_chain_that_is_whole_follows);
	tcase_add_test(tests, lines_that_are_missing_or_moved_are_found);
	tcase_add_test(tests, every_byte_counts);
	tcase_add_test(tests, a_line_made_anew_is_found_by_the_next);
	suite_add_tcase(suite, tests);
	return suite;
}
