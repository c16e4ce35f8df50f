/* Runs the one suite that a test program has, and lets Check say how it went. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

/* CCI_ONLY: the name of a check, and where it is one of a loop perhaps `.number`. */
void suite_add(TCase *tcase, const TTest *test, int from, int to)
{
	const char *only = getenv("CCI_ONLY");
	size_t length = only != NULL ? strcspn(only, ".") : 0;

	if (length > 0 && (strncmp(only, test->name, length) != 0 || test->name[length] != '\0'))
		return;
	if (length > 0 && only[length] == '.') {
		from = atoi(only + length + 1);
		to = from + 1;
	}
	_tcase_add_test(tcase, test, 0, 0, from, to);
}

int main(void)
{
	SRunner *runner = srunner_create(module_suite());

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
