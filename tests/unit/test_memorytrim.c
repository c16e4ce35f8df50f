/* Memory of connections that have gone is given back, once they stay away. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "compiler.h"
#include "memorytrim.h"
#include "suite.h"

#define BLOCKS 8000
#define BLOCK 4000

static long resident_kib(void)
{
	FILE *stream = fopen("/proc/self/statm", "r");
	long whole, pages;

	ck_assert_ptr_nonnull(stream);
	ck_assert_int_eq(fscanf(stream, "%ld %ld", &whole, &pages), 2);
	(void)fclose(stream);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void ticks(struct memory_trim *trim, int times, uint64_t count)
{
	while (times-- > 0)
		memory_trim_tick(trim, count);
}

/* As connections do: many blocks, and one that stays above them. What it returns is to be freed. */
static void *come_and_go(void)
{
	static void *blocks[BLOCKS];
	void *stays;

	for (size_t i = 0; i < BLOCKS; i++) {
		blocks[i] = calloc(1, BLOCK);
		ck_assert_ptr_nonnull(blocks[i]);
		*(volatile char *)blocks[i] = 1;
	}
	stays = malloc(BLOCK);
	for (size_t i = 0; i < BLOCKS; i++)
		free(blocks[i]);
	return stays;
}

START_TEST(what_is_free_is_given_back_when_connections_stay_away)
{
	struct memory_trim trim = {0};
	long most, half;
	void *stays;

	if (IS_SANITIZED)
		return;
	stays = come_and_go();
	most = resident_kib();
	ck_assert_int_gt(most, BLOCKS * (BLOCK / 1000) / 2);
	half = most - BLOCKS * (BLOCK / 1000) / 2;
	ticks(&trim, 10, 5000);
	ticks(&trim, 10, 2000); /* still many */
	ticks(&trim, 4, 10);
	ticks(&trim, 1, 2000); /* they come back */
	ticks(&trim, 4, 10);
	ck_assert_int_gt(resident_kib(), half);
	ticks(&trim, 1, 10);
	ck_assert_int_lt(resident_kib(), half);
	free(stays);
}
END_TEST

START_TEST(few_connections_are_not_worth_it)
{
	struct memory_trim trim = {0};
	long before;
	void *stays;

	if (IS_SANITIZED)
		return;
	stays = come_and_go();
	before = resident_kib();

	ticks(&trim, 10, 900);
	ticks(&trim, 20, 0);
	ck_assert_int_ge(resident_kib(), before);
	free(stays);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("memorytrim");
	TCase *tests = tcase_create("memorytrim");

	tcase_add_test(tests, what_is_free_is_given_back_when_connections_stay_away);
	tcase_add_test(tests, few_connections_are_not_worth_it);
	suite_add_tcase(suite, tests);
	return suite;
}
