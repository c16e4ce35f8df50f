/* What every tests/unit/test_NAME.c gives: the suite of its module. */
#ifndef SUITE_H
#define SUITE_H

#include <check.h>

Suite *module_suite(void);

#endif
