/* What every tests/unit/test_NAME.c gives: the suite of its module. */
#ifndef SUITE_H
#define SUITE_H

#include <check.h>

Suite *module_suite(void);

/* Adds a check to a case, for each number from `from` to before `to`; where CCI_ONLY is set, only what it names. */
void suite_add(TCase *tcase, const TTest *test, int from, int to);

#undef tcase_add_test
#undef tcase_add_loop_test
#define tcase_add_test(tcase, test) suite_add(tcase, test, 0, 1)
#define tcase_add_loop_test(tcase, test, from, to) suite_add(tcase, test, (int)(from), (int)(to))

#endif
