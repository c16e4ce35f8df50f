/* Scenarios of the command `ctl`: each verb with the real programs, as a table and as JSON. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "controlling.h"

static struct gateway gateway;

static void start(void)
{
	control_make_folder();
	gateway_start(&gateway, "ccissl", CONTROL_CONFIG, "", control_path);
}

static void stop(void)
{
	gateway_stop(&gateway);
	control_remove_folder();
}

START_TEST(each_verb_answers_as_a_table_and_as_json)
{
	static const struct {
		const char *verb, *table, *json;
	} verbs[] = {
	    {"status", "ccissl 0.1.0 as HOST1",
	     "{\"program\":\"ccissl\",\"version\":\"0.1.0\",\"sysid\":\"HOST1\",\"pid\":"},
	    {"connections", "LISTENER", "\"sysid\":\"R1\""},
	    {"rules", "narrow (line ", "\"matches\":{\"sysid\":\"R*\"}"},
	    {"peers", "builtin:echo", "\"kind\":\"service\",\"name\":\"s\""},
	    {"certificates", "CN=host1.example", "\"subject\":\"CN=host1.example\""},
	    {"ratchet", "SECRET1", "{\"kind\":\"client\",\"name\":\"SECRET1\""},
	    {"ratchet list", "SECRET1", "{\"kind\":\"client\",\"name\":\"SECRET1\""},
	    {"report", "GONE1", "\"summary\":{"},
	    {"notifiers", "continue", "\"kind\":\"log\""},
	    {"reopen", "opened", "{\"text\":"},
	    {"log-level info", "log level is info", "{\"text\":"},
	    {"help", "connections", "{\"verb\":\"status\""},
	};
	struct control_client one, two, gone;
	char words[64];

	start();
	one = control_client(&gateway, "R1", NULL, false);
	two = control_client(&gateway, "SECRET1", NULL, true);
	gone = control_client(&gateway, "GONE1", NULL, false);
	control_part(&gone);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3000I", "sysid=GONE1", NULL), 1);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		control_expect(&gateway, verbs[i].verb, 0, verbs[i].table, "");
		ck_assert_str_eq(control_err, "");
		control_check_printable(control_out);
		(void)snprintf(words, sizeof(words), "--json %s", verbs[i].verb);
		control_expect(&gateway, words, 0, verbs[i].json, NULL);
		control_check_printable(control_out);
		ck_assert_ptr_eq(strchr(control_out, '\n'), control_out + strlen(control_out) - 1);
	}
	control_part(&one);
	control_part(&two);
	stop();
}
END_TEST

START_TEST(warnings_are_not_the_commands_to_say)
{
	control_make_folder();
	gateway_start(&gateway, "ccissl", CONTROL_CONFIG, "[rule idle]\nsysid = X\naction = refuse\nservice = s\n", control_path);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1009W", "says nothing beside", NULL), 1);
	control_expect(&gateway, "status", 0, "HOST1", NULL);
	ck_assert_str_eq(control_err, "");
	control_expect(&gateway, "reload", 0, "says nothing beside", NULL);
	ck_assert_str_eq(control_err, "");
	stop();
}
END_TEST

START_TEST(forms_of_the_report_go_with_no_other_verb)
{
	start();
	control_expect(&gateway, "report --csv", 0, "listener,sysid,", "");
	control_expect(&gateway, "--csv status", 2, "", "--names and --csv go with the verb report alone");
	control_expect(&gateway, "report --names --json", 2, "", "only one of --names, --json and --csv");
	stop();
}
END_TEST

START_TEST(connections_say_how_they_are_secured)
{
	struct control_client clear, secured;

	start();
	clear = control_client(&gateway, "R1", "office/2.0", false);
	secured = control_client(&gateway, "SECRET1", NULL, true);
	control_expect(&gateway, "--json connections sysid=R1", 0, "\"agent\":\"office/2.0\"", NULL);
	ck_assert_ptr_nonnull(strstr(control_out, "\"secured\":false"));
	ck_assert_ptr_nonnull(strstr(control_out, "\"rule\":\"narrow\""));
	ck_assert_ptr_nonnull(strstr(control_out, "\"stage\":\"relay\""));
	ck_assert_ptr_nonnull(strstr(control_out, "\"up\":4,\"down\":4"));
	ck_assert_ptr_null(strstr(control_out, "SECRET1"));
	control_expect(&gateway, "--json connections secured=yes", 0, "\"tls_version\":\"1.3\",\"tls_suite\":\"TLS_", NULL);
	ck_assert_ptr_nonnull(
	    strstr(control_out, "\"tls_alpn\":\"cci-upgrade/1\",\"tls_start\":\"upgrade\",\"confirmed\":true"));
	ck_assert_ptr_nonnull(strstr(control_out, "\"secured_at\":\"20"));
	ck_assert_ptr_null(strstr(control_out, "\"R1\""));
	control_expect(&gateway, "--json connections secured=no source=127.0.0.0/8 listener=l rule=narrow to=s most=1", 0,
	               "\"R1\"", NULL);
	control_expect(&gateway, "--json connections source=10.0.0.0/8", 0, "[]\n", NULL);
	control_expect(&gateway, "--json connections most=1", 0, NULL, NULL);
	ck_assert_ptr_null(strstr(control_out, "},{"));
	control_expect(&gateway, "connections colour=red", 1, NULL, "colour=red is not known: id=, sysid=");
	control_expect(&gateway, "connections source=somewhere", 1, NULL, "somewhere");
	control_expect(&gateway, "connections most=0", 1, NULL, "most: ");
	control_expect(&gateway, "rules", 0, "1 connection", NULL);
	control_part(&clear);
	control_part(&secured);
	stop();
}
END_TEST

START_TEST(what_peers_say_is_escaped)
{
	static const char *const agents[] = {"<b>caf\xc3\xa9</b>", "\xe2\x80\xaereversed", "quote\"back\\slash"};
	struct control_client clients[3];

	start();
	for (size_t i = 0; i < 3; i++)
		clients[i] = control_client(&gateway, "R1", agents[i], false);
	ck_assert_int_eq(control_run(&gateway, "connections"), 0);
	control_check_printable(control_out);
	ck_assert_int_eq(control_run(&gateway, "connections --json"), 0);
	control_check_printable(control_out);
	ck_assert_ptr_nonnull(strstr(control_out, "\\u202Ereversed"));
	ck_assert_ptr_nonnull(strstr(control_out, "caf\\u00E9"));
	for (size_t i = 0; i < 3; i++)
		control_part(&clients[i]);
	ck_assert_int_eq(gateway_lines(&gateway, 3, "sysid=R1", "id=CCI3000I", NULL), 3);
	control_expect(&gateway, "report", 0, "R1", NULL);
	control_check_printable(control_out);
	stop();
}
END_TEST

START_TEST(a_reload_answers_what_is_wrong)
{
	start();
	control_expect(&gateway, "reload", 0, "in force", NULL);
	gateway_rewrite(&gateway, CONTROL_CONFIG "[limits]\nbogus = 1\n", "", control_path);
	/* The command reads the file too: by the socket's path it needs none. */
	{
		char words[256];

		(void)snprintf(words, sizeof(words), "--socket %s reload", control_path);
		ck_assert_int_eq(control_command_line("ccissl", "", words), 1);
		ck_assert_ptr_nonnull(strstr(control_err, "config.ini:"));
		ck_assert_ptr_nonnull(strstr(control_err, "bogus"));
		ck_assert_ptr_nonnull(strstr(control_err, "ccissl ctl: "));
		ck_assert_ptr_nonnull(strstr(control_err, "has errors"));
		(void)snprintf(words, sizeof(words), "--socket %s status", control_path);
		ck_assert_int_eq(control_command_line("ccissl", "", words), 0);
		ck_assert_ptr_nonnull(strstr(control_out, "the last one failed"));
	}
	/* What waits for a restart is said as well. */
	gateway_rewrite(&gateway, CONTROL_CONFIG, "maxru = 4096\nratchet_days = 5\n", control_path);
	control_expect(&gateway, "reload", 0, "in force", NULL);
	gateway_rewrite(&gateway,
	                "[gateway]\nsysid = HOST1\nworkers = 3\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
	                "unsecured_connections = only\n[service s]\naddress = builtin:echo\n[control]\nsocket = %s\n",
	                control_path);
	control_expect(&gateway, "reload", 0, "[gateway] workers: a changed setting takes effect only after a restart",
	               NULL);
	control_expect(&gateway, "reload --json", 0, "\"findings\":[\"[gateway] workers", NULL);
	ck_assert_int_ge(gateway_lines(&gateway, 5, "id=CCI1080I", "request=reload", "uid="), 5);
	stop();
}
END_TEST

START_TEST(names_are_lifted_with_and_without_a_file)
{
	struct control_client client;
	char names[128], option[160];

	control_make_folder();
	(void)snprintf(names, sizeof(names), "%s/names", control_folder);
	(void)snprintf(option, sizeof(option), _i == 1 ? "ratchet_file = %s\n" : "", names);
	gateway_start(&gateway, "ccissl", CONTROL_CONFIG, option, control_path);
	client = control_client(&gateway, "SECRET1", NULL, true);
	control_part(&client);
	control_expect(&gateway, "ratchet list", 0, "SECRET1", NULL);
	control_expect(&gateway, "ratchet lift secret1 --peer", 1, NULL, "no peer secret1 is held");
	control_expect(&gateway, "ratchet lift OTHER", 1, NULL, "no client OTHER is held");
	control_expect(&gateway, "ratchet lift 'a%b'", 1, NULL, "is not a CCI name");
	control_expect(&gateway, "ratchet drop SECRET1", 1, NULL, "ratchet takes other words");
	control_expect(&gateway, "ratchet lift secret1", 0, "client secret1 is lifted", NULL);
	control_expect(&gateway, "--json ratchet list", 0, "[]\n", NULL);
	if (_i == 1) {
		/* At once, not when the file is written next. */
		(void)snprintf(option, sizeof(option), "! grep -q SECRET1 %s", names);
		ck_assert_int_eq(system(option), 0);
	}
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1034I", "name=secret1", NULL), 1);
	/* It may come back in the clear. */
	client = control_client(&gateway, "SECRET1", NULL, false);
	control_part(&client);
	gateway_stop(&gateway);
	if (_i == 1) {
		char line[160];

		(void)snprintf(line, sizeof(line), "! grep -q SECRET1 %s", names);
		ck_assert_int_eq(system(line), 0);
		ck_assert_int_eq(unlink(names), 0);
	}
	control_remove_folder();
}
END_TEST

START_TEST(the_level_of_the_log_changes_until_a_reload)
{
	int fd;

	start();
	control_expect(&gateway, "log-level debug", 0, "log level is debug", NULL);
	fd = peer_connect(gateway.ports[0]);
	ck_assert(peer_write(fd, NULL, "GET / HTTP/1.0\r\n\r\n", 18));
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3015I", NULL, NULL), 1);
	close(fd);
	control_expect(&gateway, "log-level loud", 1, NULL, "loud is no level: error, warning, info or debug");
	control_expect(&gateway, "log-level", 2, NULL, "log-level takes other words");
	control_expect(&gateway, "log-level error", 0, NULL, NULL);
	control_expect(&gateway, "reload", 0, NULL, NULL);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "id=CCI1006I", NULL, NULL), 1);
	stop();
}
END_TEST

/* The program ends by itself with its last connection. */
START_TEST(a_drain_ends_the_gateway)
{
	struct control_client client;
	int status = -1;

	start();
	client = control_client(&gateway, "R1", NULL, false);
	control_expect(&gateway, "drain", 0, "no new connections", NULL);
	control_expect(&gateway, "drain", 1, NULL, "stopping already");
	control_expect(&gateway, "status", 0, "draining", NULL);
	control_expect(&gateway, "reload", 1, NULL, "about to end");
	control_expect(&gateway, "connections", 0, "R1", NULL);
	ck_assert_int_lt(peer_connect(gateway.ports[0]), 0);
	ck_assert_int_eq(waitpid(gateway.pid, &status, WNOHANG), 0);
	control_part(&client);
	for (int i = 0; i < 500 && waitpid(gateway.pid, &status, WNOHANG) == 0; i++)
		usleep(10000);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
	ck_assert_int_lt(access(control_path, F_OK), 0);
	control_remove_folder();
}
END_TEST

START_TEST(errors_name_the_remedy)
{
	char words[256];

	start();
	ck_assert_int_eq(control_command_line("ccissl", "", "status"), 2);
	ck_assert_ptr_nonnull(strstr(control_err, "-c /etc/ccissl.ini, or its --socket"));
	ck_assert_int_eq(control_command_line("ccisslgw", "", "--bogus"), 2);
	ck_assert_int_eq(control_command_line("ccissl", "", "-c"), 2);
	ck_assert_int_eq(control_run(&gateway, ""), 2);
	control_expect(&gateway, "bogus", 2, NULL, "bogus is not known");
	control_expect(&gateway, "close", 2, NULL, "close takes other words: close ID");
	control_expect(&gateway, "status now", 2, NULL, "status takes other words");
	control_expect(&gateway, "close ab", 1, NULL, "at least 4 digits");
	control_expect(&gateway, "close abcdef", 1, NULL, "it may have ended");
	control_expect(&gateway, "close 'ab cd'", 2, NULL, "blanks");
	(void)snprintf(words, sizeof(words), "--socket %s/nowhere status", control_folder);
	ck_assert_int_eq(control_command_line("ccissl", "", words), 1);
	ck_assert_ptr_nonnull(strstr(control_err, "nobody listens at"));
	ck_assert_ptr_nonnull(strstr(control_err, "start the gateway"));
	if (geteuid() == 0) {
		ck_assert_int_eq(chmod(control_folder, 0755), 0);
		(void)snprintf(words, sizeof(words), "--socket %s status", control_path);
		ck_assert_int_eq(control_command_line("ccissl", "setpriv --reuid 65534 --clear-groups", words), 1);
		ck_assert_ptr_nonnull(strstr(control_err, "ask as root, or as the user whom the gateway runs as"));
	}
	gateway_rewrite(&gateway,
	                "[gateway]\nsysid = HOST1\n[listener l]\naddress = 127.0.0.1:0\nunsecured_connections = only\n"
	                "service = s\n[service s]\naddress = builtin:echo\n");
	control_expect(&gateway, "status", 1, NULL, "no socket in [control] of the configuration: set one");
	stop();
}
END_TEST

START_TEST(a_pipe_that_is_closed_is_an_error)
{
	char words[512];

	start();
	/* The socket does not take the place of what is closed. */
	for (int i = 0; i < 4; i++) {
		(void)snprintf(words, sizeof(words), "%s/ccissl ctl --socket %s %s help >%s 2>%s/err", gateway_build(),
		               control_path, i % 2 == 0 ? "" : "--json", i < 2 ? "/dev/full" : "&-", control_folder);
		ck_assert_int_eq(WEXITSTATUS(system(words)), 1);
		(void)snprintf(words, sizeof(words), "grep -q 'standard output cannot be written' %s/err && rm %s/err",
		               control_folder, control_folder);
		ck_assert_int_eq(system(words), 0);
	}
	stop();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("control");
	TCase *tests = tcase_create("control");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, each_verb_answers_as_a_table_and_as_json);
	tcase_add_test(tests, connections_say_how_they_are_secured);
	tcase_add_test(tests, warnings_are_not_the_commands_to_say);
	tcase_add_test(tests, forms_of_the_report_go_with_no_other_verb);
	tcase_add_test(tests, what_peers_say_is_escaped);
	tcase_add_test(tests, a_reload_answers_what_is_wrong);
	tcase_add_loop_test(tests, names_are_lifted_with_and_without_a_file, 0, 2);
	tcase_add_test(tests, the_level_of_the_log_changes_until_a_reload);
	tcase_add_test(tests, a_drain_ends_the_gateway);
	tcase_add_test(tests, errors_name_the_remedy);
	tcase_add_test(tests, a_pipe_that_is_closed_is_an_error);
	suite_add_tcase(suite, tests);
	return suite;
}
