/* The command line that both programs share, and what a reload keeps. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "configtext.h"
#include "daemon.h"
#include "kerneltls.h"
#include "reload.h"
#include "rows.h"
#include "suite.h"

/* --- command line --- */

#define CLEAR                                                                                                \
	"[gateway]\nsysid = H\n[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = only\n" \
	"[service s]\naddress = builtin:echo\n"

static const char good[] = "good.ini", bad[] = "bad.ini", keyless[] = "keyless.ini";

static void write_file(const char *name, const char *text)
{
	FILE *stream = fopen(name, "w");

	ck_assert_ptr_nonnull(stream);
	(void)fputs(text, stream);
	ck_assert_int_eq(fclose(stream), 0);
}

static char folder[] = "/tmp/cci-daemon-XXXXXX";

static void make_folder(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chdir(folder), 0);
	write_file(good, CLEAR);
	write_file(bad, CLEAR "[limits]\nconnections = many\nnonsense = 1\n");
	write_file(keyless, "[gateway]\nsysid = H\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
	                    "[service s]\naddress = builtin:echo\n[tls]\ncertificate = no.pem\nprivate_key = no.key\n");
}

static void remove_folder(void)
{
	static const char *const names[] = {"good.ini", "bad.ini", "keyless.ini", "out", "err"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unlink(names[i]);
	(void)rmdir(folder);
}

static void read_file(const char *name, char *text, size_t size)
{
	FILE *stream = fopen(name, "r");

	ck_assert_ptr_nonnull(stream);
	text[fread(text, 1, size - 1, stream)] = '\0';
	(void)fclose(stream);
}

struct output {
	int status;
	char out[32768], err[4096];
};

/* Run daemon_main in a process of its own, its output in files. */
static void run(enum program program, const char *const *arguments, struct output *output)
{
	char *argv[8] = {(char *)(uintptr_t) "program"};
	int argc = 1, status;
	pid_t child;

	for (; arguments[argc - 1] != NULL; argc++)
		argv[argc] = (char *)(uintptr_t)arguments[argc - 1];
	(void)fflush(NULL);
	child = fork();
	if (child == 0) {
		if (freopen("out", "w", stdout) == NULL || freopen("err", "w", stderr) == NULL)
			_exit(99);
		exit(daemon_main(program, "the usage\n", argc, argv));
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	output->status = WEXITSTATUS(status);
	read_file("out", output->out, sizeof(output->out));
	read_file("err", output->err, sizeof(output->err));
}

static const struct {
	const char *arguments[6];
	int status;
	const char *out, *err; /* parts of what is printed; "": nothing is */
} lines[] = {
    {{NULL}, 2, "", "ccissl: no configuration: name its file, such as ccissl -c /etc/ccissl.ini; see ccissl --help\n"},
    {{"--check"}, 2, "", "no configuration"},
    {{"-c"}, 2, "", "ccissl: -c needs a file"},
    {{"--config"}, 2, "", "ccissl: --config needs a file"},
    {{"--nonsense"}, 2, "", "ccissl: there is no option --nonsense; see ccissl --help\n"},
    {{"-x"}, 2, "", "there is no option -x"},
    {{"-hx"}, 2, "", "there is no option -x"},
    {{"--check=3", "-c", "good.ini"}, 2, "", "--check=3 takes no value"},
    {{"-c", "good.ini", "-c", "good.ini"}, 2, "", "-c stands twice"},
    {{"-c", "good.ini", "--check", "--dump"}, 2, "", "only one of"},
    {{"--version", "--help"}, 2, "", "only one of"},
    {{"-c", "good.ini", "more"}, 2, "", "more is not expected here"},
    {{"--version"}, 0, "ccissl " GATEWAY_VERSION "\nOpenSSL 3.", ""},
    {{"--version"}, 0, "in this kernel", ""},
    {{"--help"}, 0, "the usage\n", ""},
    {{"-h"}, 0, "the usage\n", ""},
    {{"-c", "good.ini", "--check"}, 0, "good.ini: ok\n", ""},
    {{"--check", "--config=good.ini"}, 0, "good.ini: ok\n", ""},
    {{"-c", "bad.ini", "--check"}, 1, "", "bad.ini:10: "},
    {{"-c", "bad.ini", "--check"}, 1, "", "bad.ini:11: "},
    {{"-c", "keyless.ini", "--check"}, 1, "", "no.pem"},
    {{"-c", "missing.ini", "--check"}, 1, "", "missing.ini: cannot be opened"},
    {{"-c", "good.ini", "--dump"}, 0, "sysid = H\n", ""},
    {{"-c", "bad.ini", "--dump"}, 1, "", "bad.ini:10: "},
    {{"-c", "bad.ini"}, 1, "", "at=bad.ini:10 "},
    {{"-c", "bad.ini"}, 1, "", "id=CCI1010E"},
    {{"-c", "keyless.ini"}, 1, "", "id=CCI1010E"},
    {{"-c", "missing.ini"}, 1, "", "id=CCI1010E"},
};

static void holds(const char *text, const char *part)
{
	if (part[0] == '\0')
		ck_assert_str_eq(text, "");
	else
		ck_assert_msg(strstr(text, part) != NULL, "'%s' is not in: %s", part, text);
}

START_TEST(each_command_line_has_its_answer)
{
	struct output output;

	run(PROGRAM_CCISSL, lines[_i].arguments, &output);
	holds(output.err, lines[_i].err);
	holds(output.out, lines[_i].out);
	ck_assert_int_eq(output.status, lines[_i].status);
}
END_TEST

START_TEST(bad_usage_is_one_line_and_names_the_program)
{
	struct output output;

	run(PROGRAM_CCISSLGW, (const char *const[]){"--nonsense", NULL}, &output);
	ck_assert_str_eq(output.err, "ccisslgw: there is no option --nonsense; see ccisslgw --help\n");
}
END_TEST

START_TEST(what_is_dumped_is_taken_again)
{
	struct output first, second;

	run(PROGRAM_CCISSL, (const char *const[]){"--dump", "-c", good, NULL}, &first);
	write_file(good, first.out);
	run(PROGRAM_CCISSL, (const char *const[]){"--dump", "-c", good, NULL}, &second);
	ck_assert_str_eq(first.out, second.out);
}
END_TEST

/* --- reload --- */

#define REST                                                                                                  \
	"[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = only\n[service s]\naddress = " \
	"builtin:echo\n"

START_TEST(a_reload_keeps_what_needs_a_restart_and_says_so)
{
	static const struct {
		const char *text;
		int lines;
	} cases[] = {
	    {"[gateway]\nsysid = OLD\nworkers = 3\nmaxru = 512\n" REST, 0},
	    {"[gateway]\nsysid = NEW\nworkers = 3\nmaxru = 512\n" REST, 1},
	    {"[gateway]\nsysid = OLD\nworkers = 4\nmaxru = 512\n" REST, 1},
	    {"[gateway]\nsysid = NEW\nmaxru = 512\n" REST, 2},
	};
	struct config *old = config_from(PROGRAM_CCISSL, "[gateway]\nsysid = OLD\nworkers = 3\nmaxru = 1024\n" REST);
	struct config *config = config_from(PROGRAM_CCISSL, cases[_i].text);
	char text[4096];
	int count = 0;

	ck_assert_ptr_nonnull(freopen("err", "w", stderr));
	ck_assert_int_eq(reload_keep(config, old, NULL, NULL), 0);
	log_flush();
	read_file("err", text, sizeof(text));
	for (const char *at = text; (at = strstr(at, "id=CCI1011W")) != NULL; at++)
		count++;
	ck_assert_int_eq(count, cases[_i].lines);
	ck_assert_str_eq(config->gateway.sysid, "OLD");
	ck_assert_ptr_ne(config->gateway.sysid, old->gateway.sysid);
	ck_assert_uint_eq(config->gateway.workers, 3);
	ck_assert_uint_eq(config->gateway.maxru, 512);
	config_free(config);
	config_free(old);
}
END_TEST

START_TEST(the_table_holds_nothing_that_cannot_be_kept)
{
	for (size_t i = 0; i < row_count; i++) {
		if (rows[i].reloadable)
			continue;
		ck_assert_msg(!row_section_find(rows[i].section)->named, "[%s] %s", rows[i].section, rows[i].key);
		ck_assert_msg(rows[i].type <= ROW_WORD, "[%s] %s", rows[i].section, rows[i].key);
	}
}
END_TEST

/* The kernel's own list, where a module that the probe has loaded stands too. */
START_TEST(kernel_tls_is_what_the_kernel_says)
{
	char list[256] = "";
	FILE *stream = fopen("/proc/sys/net/ipv4/tcp_available_ulp", "re");

	ck_assert_str_eq(kerneltls_words(), kerneltls_there() ? "in this kernel, not used" : "not in this kernel");
	if (stream == NULL)
		return;
	(void)!fgets(list, sizeof(list), stream);
	(void)fclose(stream);
	ck_assert_int_eq(kerneltls_there(), strstr(list, "tls") != NULL);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("daemon");
	TCase *tests = tcase_create("daemon");

	tcase_set_timeout(tests, 30);
	tcase_add_checked_fixture(tests, make_folder, remove_folder);
	tcase_add_loop_test(tests, each_command_line_has_its_answer, 0, sizeof(lines) / sizeof(lines[0]));
	tcase_add_test(tests, bad_usage_is_one_line_and_names_the_program);
	tcase_add_test(tests, what_is_dumped_is_taken_again);
	tcase_add_loop_test(tests, a_reload_keeps_what_needs_a_restart_and_says_so, 0, 4);
	tcase_add_test(tests, the_table_holds_nothing_that_cannot_be_kept);
	tcase_add_test(tests, kernel_tls_is_what_the_kernel_says);
	suite_add_tcase(suite, tests);
	return suite;
}
