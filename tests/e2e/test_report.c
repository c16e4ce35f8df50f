/* Scenarios of the report: the command over files that are whole, broken, hostile, or not there. */
#include <check.h>
#include <signal.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define RECORD(sysid, asked, rest)                                                                                    \
	"{\"event\":\"record\",\"listener\":\"hosts\",\"started\":\"2025-11-24T16:05:00.000001Z\",\"from\":\"10.1.7.9:1\"," \
	"\"sysid\":\"" sysid "\",\"asked\":\"" asked "\"," rest "}\n"
#define CLEAR "\"outcome\":\"clear\",\"never_outcome\":\"refuse\",\"relayed\":true"
#define SECURED "\"outcome\":\"tls\",\"never_outcome\":\"tls\",\"relayed\":true,\"secured\":true,\"tls_version\":\"1.3\""

static const char *const programs[] = {"ccissl", "ccisslgw"};

static char folder[64], out[65536], err[4096];

static void make_folder(void)
{
	(void)strcpy(folder, "/tmp/cci-report-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
	char line[96];

	(void)snprintf(line, sizeof(line), "rm -r %s", folder);
	ck_assert_int_eq(system(line), 0);
}

static const char *path_of(const char *name)
{
	static char path[160];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void write_file(const char *name, const char *bytes, size_t size)
{
	FILE *stream = fopen(path_of(name), "w");

	ck_assert_ptr_nonnull(stream);
	ck_assert_uint_eq(fwrite(bytes, 1, size, stream), size);
	ck_assert_int_eq(fclose(stream), 0);
}

static void read_back(const char *name, char *text, size_t size)
{
	FILE *stream = fopen(path_of(name), "r");
	size_t got;

	ck_assert_ptr_nonnull(stream);
	got = fread(text, 1, size - 1, stream);
	text[got] = '\0';
	(void)fclose(stream);
}

/* `before` PROGRAM `verb` WORDS, in the folder: its exit status; `out` and `err` have what it said. */
static int tool(const char *program, const char *verb, const char *before, const char *words)
{
	char line[PATH_MAX + 512], build[PATH_MAX];
	int status;

	ck_assert_ptr_nonnull(realpath(gateway_build(), build));
	(void)snprintf(line, sizeof(line), "cd %s && %s >out 2>err %s/%s %s %s", folder, before, build, program, verb,
	               words);
	status = system(line);
	ck_assert(WIFEXITED(status));
	read_back("out", out, sizeof(out));
	read_back("err", err, sizeof(err));
	ck_assert_ptr_null(strstr(err, "Sanitizer"));
	return WEXITSTATUS(status);
}

static int command(const char *program, const char *before, const char *words)
{
	return tool(program, "report", before, words);
}

static void expect(const char *text, const char *words)
{
	ck_assert_msg(strstr(text, words) != NULL, "%s is not in: %s", words, text);
}

START_TEST(files_are_summed_up)
{
	static const char one[] = RECORD("BR1", "none", CLEAR) RECORD("BR2", "on", SECURED);
	static const char two[] = "{\"event\":\"closed\"}\n" RECORD("br1", "none", CLEAR) RECORD("@BR3", "off", SECURED);
	const char *program = programs[_i];

	make_folder();
	write_file("one", one, sizeof(one) - 1);
	write_file("two", two, sizeof(two) - 1);
	ck_assert_int_eq(command(program, "", "one two"), 0);
	ck_assert_str_eq(err, "");
	ck_assert_int_eq(strncmp(out, "3 names: 2 secured, 1 clear that cannot; never would refuse 1 today\n", 67), 0);
	expect(out, "\nNAME");
	expect(out, "10.1.7.0/24");
	ck_assert_int_eq(command(program, "", "--csv one two"), 0);
	expect(out, "listener,sysid,network,");
	expect(out, "\r\n\"hosts\",\"'@BR3\",\"10.1.7.0/24\",\"secured\",,\"off\",\"tls\",");
	ck_assert_int_eq(command(program, "cat one two |", "--json -"), 0);
	expect(out, "\"text\": \"3 names: 2 secured,");
	ck_assert_int_eq(command(program, "", "--json one - <two"), 0);
	expect(out, "\"sessions\": 4");
	remove_folder();
}
END_TEST

START_TEST(broken_lines_are_named_and_the_rest_is_reported)
{
	static const char some[] = RECORD("BR1", "none", CLEAR) "oops\n" RECORD("BR2", "on", SECURED) "\n{\"event\":\"rec";
	static char longest[1024 * 1024];

	make_folder();
	write_file("some", some, sizeof(some) - 1);
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\n';
	write_file("long", longest, sizeof(longest));
	ck_assert_int_eq(command("ccissl", "", "some"), 1);
	ck_assert_str_eq(err, "ccissl report: some:2: not a JSON object; 3 lines passed over\n");
	expect(out, "2 names: 1 secured, 1 clear that cannot;");
	ck_assert_int_eq(command("ccissl", "", "long some"), 1);
	ck_assert_str_eq(err, "ccissl report: long:1: longer than any record; 4 lines passed over\n");
	expect(out, "2 names: 1 secured, 1 clear that cannot;");
	remove_folder();
}
END_TEST

START_TEST(files_that_cannot_be_read_are_named_and_the_rest_is_reported)
{
	static const char one[] = RECORD("BR1", "none", CLEAR);

	make_folder();
	write_file("one", one, sizeof(one) - 1);
	ck_assert_int_eq(command("ccisslgw", "", "none . one"), 1);
	ck_assert_str_eq(err, "ccisslgw report: none cannot be read: No such file or directory\n"
	                      "ccisslgw report: . cannot be read: Is a directory\n");
	expect(out, "1 name: 1 clear that cannot;");
	ck_assert_int_eq(command("ccissl", "", "one >/dev/full"), 1);
	remove_folder();
}
END_TEST

/* A line without an end costs no more memory than a short one. */
START_TEST(memory_is_bounded)
{
	struct rusage usage;

	make_folder();
	ck_assert_int_eq(command("ccissl", "head -c 400000000 /dev/zero |", "-"), 1);
	expect(err, "(standard input):1: longer than any record; 1 line passed over");
	ck_assert_int_eq(getrusage(RUSAGE_CHILDREN, &usage), 0);
	ck_assert_int_lt(usage.ru_maxrss, 200000);
	remove_folder();
}
END_TEST

/* --- what a gateway writes --- */

#define CERTS "build/test-certs/"

static const char recording[] =
    "[gateway]\nsysid = HEAD\nworkers = 1\n"
    "[listener hosts]\naddress = 127.0.0.1:0\nunsecured_connections = allow\naudit_policy = never\nratchet = yes\n"
    "[service ECHO]\naddress = builtin:echo\n"
    "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\n"
    "[notifier records]\nkind = file\npath = %s/events\n"
    "[control]\nsocket = %s/control\n";

/* One connection from `source`, to its end. */
static void session(int port, const char *source, const char *sysid, int security, const char *target)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, security, sysid, target);
	int fd = peer_connect_from(source, port), got = peer_exchange(fd, NULL, offer, size, answer);
	SSL *ssl = NULL;
	char back[5];

	ck_assert_int_gt(got, 0);
	if (peer_type(answer) == 2 && peer_answer(answer, got) == 1) {
		ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci-upgrade/1", .ca = CERTS "ca.pem"});
		ck_assert(ssl != NULL && peer_confirm_both(ssl, offer, size, answer, (size_t)got));
	}
	if (peer_type(answer) == 2)
		ck_assert(peer_write(fd, ssl, "hello", 5) && peer_read(fd, ssl, back, 5));
	peer_free(fd, ssl);
}

static void wait_for_records(const char *name, int records)
{
	char *text = malloc(65536);
	int found = 0;

	for (int i = 0; i < 1000 && found < records; i++) {
		usleep(10000);
		read_back(name, text, 65536);
		found = 0;
		for (const char *at = text; (at = strstr(at, "\"event\":\"record\"")) != NULL; at++)
			found++;
	}
	free(text);
	ck_assert_int_eq(found, records);
}

/* What the gateway has in memory is what its files say. */
static void compare_with_memory(const char *program)
{
	static const char script[] =
	    "ctl --socket control --json report >memory.json && jq -S . memory.json >memory.1 &&"
	    "P report --json events.1 events >files.json && jq -S . files.json >files.1 && diff memory.1 files.1 >&2 &&"
	    "for form in '' --names --csv; do P ctl --socket control report $form >memory.2 &&"
	    "P report $form events.1 events >files.2 && test -s files.2 && diff memory.2 files.2 >&2 || exit 1; done";
	char line[2 * PATH_MAX], build[PATH_MAX];

	ck_assert_ptr_nonnull(realpath(gateway_build(), build));
	(void)snprintf(line, sizeof(line), "P() { '%s/%s' \"$@\"; }; cd %s && P %s", build, program, folder, script);
	ck_assert_int_eq(system(line), 0);
}

START_TEST(what_a_gateway_has_written_is_what_has_come)
{
	struct gateway gateway;
	char from[160], to[160];

	make_folder();
	gateway_start(&gateway, programs[_i], recording, folder, folder);
	session(gateway.ports[0], "127.1.1.9", "BR1", 0, "ECHO");
	session(gateway.ports[0], "127.1.2.9", "BR2", 2, "ECHO");
	session(gateway.ports[0], "127.1.2.9", "br2", 0, "ECHO"); /* held: refused */
	session(gateway.ports[0], "127.1.3.9", "HEALTH", 0, "*PING");
	close(peer_connect(gateway.ports[0]));
	wait_for_records("events", 4);
	(void)strcpy(from, path_of("events"));
	(void)strcpy(to, path_of("events.1"));
	ck_assert_int_eq(rename(from, to), 0);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	for (int i = 0; i < 500 && access(from, F_OK) != 0; i++)
		usleep(10000);
	session(gateway.ports[0], "127.1.4.9", "BR4", 1, "ECHO");
	wait_for_records("events", 1);
	compare_with_memory(programs[_i]);
	gateway_stop(&gateway);
	ck_assert_int_eq(command(programs[_i], "", "events events.1"), 0);
	ck_assert_int_eq(strncmp(out,
	                         "3 names: 1 clear that can do TLS, 1 clear that cannot, 1 back in the clear; never would "
	                         "refuse 1 today\n4 sessions from 20",
	                         114),
	                 0);
	ck_assert_int_eq(command(programs[_i], "", "--csv events events.1"), 0);
	expect(out, "\r\n\"hosts\",\"BR1\",\"127.1.1.0/24\",\"clear\",,\"none\",\"clear\",\"allow\",,\"never\",\"refuse\","
	            "\"refuse\",,,,1,5,5,0,0,no,");
	expect(out, "\"br2\",\"127.1.2.0/24\",\"refused\",\"ratcheted\",\"none\",\"refuse\",");
	expect(out, "\"BR2\",\"127.1.2.0/24\",\"secured\",,\"on\",\"tls\",\"allow\",,\"never\",\"tls\",\"tls\",\"1.3\",");
	remove_folder();
}
END_TEST

/* `verify` over what the gateway of the next test has chained, as it is and after somebody was there. */
START_TEST(what_is_altered_is_found)
{
	static const char *const edits[][2] = {
	    {"cat events", NULL},
	    {"sed 2s/BR1/BR9/ events", "edited:2: altered: seq 2 was altered"},
	    {"sed 2d events", "edited:2: missing: seq 3 follows on seq 1: 1 line is missing before it"},
	    {"(sed -n 1p events; sed -n 3p events; sed -n 2p events)", "edited:2: moved: seq 3 stands before seq 2"},
	    {"sed '2{p}' events", "edited:3: doubled: seq 2 stands here twice"},
	    {"(cat events; echo '{}')", "edited:6: broken: is no line of a chain"},
	};
	struct gateway gateway;
	char config[2048], line[PATH_MAX];

	make_folder();
	(void)snprintf(config, sizeof(config), "%s", recording);
	*strstr(config, "[control]") = '\0';
	(void)strcat(config, "chain = yes\n");
	gateway_start(&gateway, "ccissl", config, folder);
	session(gateway.ports[0], "127.1.1.9", "BR1", 0, "ECHO");
	wait_for_records("events", 1);
	gateway_stop(&gateway);
	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		(void)snprintf(line, sizeof(line), "cd %s && %s >edited", folder, edits[i][0]);
		ck_assert_int_eq(system(line), 0);
		ck_assert_int_eq(tool("ccissl", "verify", "", "edited"), edits[i][1] != NULL);
		expect(edits[i][1] != NULL ? err : out, edits[i][1] != NULL ? edits[i][1] : "whole: 5 lines, seq 1 to 5");
	}
	ck_assert_int_eq(tool("ccissl", "verify", "", "--json events"), 0);
	expect(out, "{\"whole\":true,\"lines\":5,");
	ck_assert_int_eq(tool("ccissl", "verify", "", "none"), 1);
	ck_assert_int_eq(tool("ccissl", "verify", "", ""), 2);
	ck_assert_int_eq(command("ccissl", "", "events"), 0);
	remove_folder();
}
END_TEST

static const struct {
	const char *words, *says;
} usages[] = {
    {"", "no FILE: name what a [notifier] of the kind file writes, or - for standard input"},
    {"--json --csv x", "only one of --names, --json and --csv at a time"},
    {"--xml x", "there is no option --xml"},
    {"-c x", "there is no option -c"},
};

START_TEST(bad_usage_says_what_is_meant)
{
	char wanted[256];

	make_folder();
	ck_assert_int_eq(command("ccissl", "", usages[_i].words), 2);
	(void)snprintf(wanted, sizeof(wanted), "ccissl report: %s; see ccissl report --help\n", usages[_i].says);
	ck_assert_str_eq(err, wanted);
	ck_assert_int_eq(command("ccissl", "", "--help"), 0);
	remove_folder();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("report");
	TCase *files = tcase_create("files");

	tcase_set_timeout(files, 60);
	tcase_add_loop_test(files, files_are_summed_up, 0, 2);
	tcase_add_loop_test(files, what_a_gateway_has_written_is_what_has_come, 0, 2);
	tcase_add_test(files, broken_lines_are_named_and_the_rest_is_reported);
	tcase_add_test(files, files_that_cannot_be_read_are_named_and_the_rest_is_reported);
	tcase_add_test(files, memory_is_bounded);
	tcase_add_test(files, what_is_altered_is_found);
	tcase_add_loop_test(files, bad_usage_says_what_is_meant, 0, (int)(sizeof(usages) / sizeof(usages[0])));
	suite_add_tcase(suite, files);
	return suite;
}
