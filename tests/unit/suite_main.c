/* Runs the one suite that a test program has, and lets Check say how it went. */
#include <check.h>
#include <stdlib.h>

#include "suite.h"

int main(void)
{
	SRunner *runner = srunner_create(module_suite());

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
