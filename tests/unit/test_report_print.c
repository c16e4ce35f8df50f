/* The report as people and spreadsheets get it: nothing of a stranger's does more than stand there. */
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "suite.h"

static struct report_session clear(const char *sysid)
{
	return (struct report_session){.listener = "hosts",
	                               .sysid = sysid,
	                               .asked = "none",
	                               .outcome = "clear",
	                               .policy = "allow",
	                               .never_outcome = "refuse",
	                               .relayed = true,
	                               .started_us = 1764000000000000u};
}

static char *printed(struct report *report, int (*print)(const json_t *, FILE *))
{
	json_t *json = report_json(report);
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(json);
	ck_assert_int_eq(print(json, stream), 0);
	(void)fclose(stream);
	json_decref(json);
	ck_assert_uint_eq(strlen(text), size);
	return text;
}

START_TEST(no_byte_of_a_stranger_reaches_the_terminal)
{
	struct report *report = report_new(10);
	struct report_session session = clear("A");
	char *text;

	session.agent = "\033[2J\xc2\x9b" "31m\r\nowned \"x\"";
	session.peer_subject = "CN=\xff";
	report_add(report, &session);
	text = printed(report, report_print);
	for (const char *at = text; *at != '\0'; at++)
		ck_assert((*at >= 0x20 && *at <= 0x7e) || *at == '\n');
	ck_assert_ptr_nonnull(strstr(text, "\\x1b[2J"));
	ck_assert_ptr_nonnull(strstr(text, "1 name: 1 clear that cannot; never would refuse 1 today\n"));
	free(text);
	text = printed(report, report_print_csv);
	for (const char *at = text; *at != '\0'; at++)
		ck_assert((*at >= 0x20 && *at <= 0x7e) || (at[0] == '\r' && at[1] == '\n') || (at[0] == '\n' && at[-1] == '\r'));
	ck_assert_ptr_nonnull(strstr(text, "\\x0d\\x0aowned \"\"x\"\"\""));
	free(text);
	report_free(report);
}
END_TEST

static const char *const formulas[] = {"@SUM(1+1)", "-2", "=1", "+1"};

/* A name may begin with @ or -, an agent with anything. */
START_TEST(no_cell_of_the_csv_is_a_formula)
{
	struct report *report = report_new(10);
	struct report_session session = clear(_i < 2 ? _i == 0 ? "@SUM" : "-2" : "A");
	char wanted[64], *text;

	session.agent = formulas[_i];
	report_add(report, &session);
	text = printed(report, report_print_csv);
	(void)snprintf(wanted, sizeof(wanted), ",\"'%s\",\r\n", formulas[_i]);
	ck_assert_msg(strstr(text, wanted) != NULL, "%s is not in %s", wanted, text);
	ck_assert_int_eq(strncmp(strstr(text, "\r\n") + 2, "\"hosts\",\"'", 10) == 0, _i < 2);
	free(text);
	report_free(report);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("report_print");
	TCase *print = tcase_create("print");

	tcase_add_test(print, no_byte_of_a_stranger_reaches_the_terminal);
	tcase_add_loop_test(print, no_cell_of_the_csv_is_a_formula, 0, 4);
	suite_add_tcase(suite, print);
	return suite;
}
