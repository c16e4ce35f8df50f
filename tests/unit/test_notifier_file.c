/* JSON Lines in a file: whole lines, whatever happens to the disk and to the name. */
#include "notifier_file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eventfolder.h"
#include "suite.h"
#include "verify.h"

static uint32_t chained;

static int try_open(void **state, uint64_t queue_bytes, char error[256])
{
	struct cci_notifier_options options = {.size = sizeof(options),
	                                       .version = CCI_NOTIFIER_VERSION,
	                                       .name = "n",
	                                       .path = path,
	                                       .queue_bytes = queue_bytes,
	                                       .chain = chained,
	                                       .mode = 0640};

	return notifier_file_kind.open(&options, state, error, 256);
}

static void *open_file(uint64_t queue_bytes)
{
	char error[256] = "";
	void *state = NULL;

	ck_assert_msg(try_open(&state, queue_bytes, error) == 0, "%s", error);
	return state;
}

static int tell(void *state, const char *record)
{
	struct cci_event event = {
	    .size = sizeof(event), .version = CCI_NOTIFIER_VERSION, .type = CCI_RECORD, .fd = -1, .record = record};

	return notifier_file_kind.notify(state, &event);
}

static void wait_for(const char *name, const char *wanted)
{
	for (int i = 0; i < 500 && strcmp(contents(name), wanted) != 0; i++)
		usleep(10000);
	ck_assert_str_eq(text, wanted);
}

START_TEST(records_are_lines_and_stay_after_a_restart)
{
	struct stat status;
	void *state;

	make_folder();
	state = open_file(1000);
	ck_assert_int_eq(tell(state, "{\"a\":1}"), CCI_NOTIFIED);
	ck_assert_int_eq(tell(state, "{\"a\":2}"), CCI_NOTIFIED);
	notifier_file_kind.close(state);
	ck_assert_str_eq(contents(path), "{\"a\":1}\n{\"a\":2}\n");
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0640);
	state = open_file(1000);
	ck_assert_int_eq(tell(state, "{\"a\":3}"), CCI_NOTIFIED);
	notifier_file_kind.close(state);
	ck_assert_str_eq(contents(path), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
	remove_folder();
}
END_TEST

START_TEST(events_are_lines_of_json)
{
	struct cci_event event = {.size = sizeof(event),
	                          .version = CCI_NOTIFIER_VERSION,
	                          .type = CCI_CLOSED,
	                          .fd = -1,
	                          .role = CCI_ACCEPTING,
	                          .sysid = "BR1",
	                          .agent = "x\"\n\xff",
	                          .reason = "ended",
	                          .time_us = 1764000000000000u};
	void *state;

	make_folder();
	state = open_file(4000);
	ck_assert_int_eq(notifier_file_kind.notify(state, &event), CCI_NOTIFIED);
	notifier_file_kind.close(state);
	ck_assert_int_eq(strncmp(contents(path), "{\"event\":\"closed\",\"time\":\"2025-11-24T16:00:00.000000Z\",", 54), 0);
	ck_assert_ptr_nonnull(strstr(text, "\"sysid\":\"BR1\",\"agent\":\"x\\\"\\n\\\\xff\""));
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
	remove_folder();
}
END_TEST

START_TEST(a_renamed_file_is_followed)
{
	void *state;

	make_folder();
	state = open_file(1000);
	ck_assert_int_eq(tell(state, "1"), CCI_NOTIFIED);
	wait_for(path, "1\n");
	ck_assert_int_eq(rename(path, other), 0);
	ck_assert_int_eq(tell(state, "2"), CCI_NOTIFIED);
	wait_for(other, "1\n2\n");
	notifier_file_kind.reopen(state);
	for (int i = 0; i < 500 && access(path, F_OK) != 0; i++)
		usleep(10000);
	ck_assert_int_eq(tell(state, "3"), CCI_NOTIFIED);
	wait_for(path, "3\n");
	ck_assert_str_eq(contents(other), "1\n2\n");
	notifier_file_kind.close(state);
	remove_folder();
}
END_TEST

/* A line of which the disk took a part is taken back, and comes again when there is room. */
START_TEST(a_full_disk_leaves_no_half_line)
{
	struct cci_notifier_status status = {.size = sizeof(status)};
	struct rlimit limit, small;
	void *state;

	make_folder();
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = (struct rlimit){10, limit.rlim_max};
	state = open_file(1000);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	ck_assert_int_eq(tell(state, "1234"), CCI_NOTIFIED);
	ck_assert_int_eq(tell(state, "5678901234"), CCI_NOTIFIED);
	for (int i = 0; i < 500 && !status.failing; i++) {
		usleep(10000);
		notifier_file_kind.status(state, &status);
	}
	ck_assert_uint_eq(status.failing, 1);
	ck_assert_str_ne(status.error, "");
	ck_assert_str_eq(contents(path), "1234\n");
	ck_assert_int_eq(tell(state, "lost"), CCI_FAILED);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (int i = 0; i < 500 && strstr(contents(path), "\"count\":1}\n") == NULL; i++)
		usleep(10000);
	notifier_file_kind.close(state);
	ck_assert_int_eq(strncmp(contents(path), "1234\n5678901234\n{\"event\":\"dropped\",", 35), 0);
	ck_assert_ptr_eq(strstr(strstr(text, "dropped"), "\"count\":1}\n")[12] == '\0' ? text : NULL, text);
	remove_folder();
}
END_TEST

/* Takes the lines of `name`; how many. */
static int follow(const char *name, struct verify *verify)
{
	struct verify_place place = {.file = name, .line = 1};
	const char *at = contents(name);

	for (const char *end; (end = strchr(at, '\n')) != NULL; at = end + 1, place.line++)
		ck_assert_msg(verify_line(verify, &place, at, (size_t)(end - at)), "%llu: %s: %.200s",
		              (unsigned long long)place.line, verify->words.text, at);
	ck_assert_str_eq(at, "");
	return (int)place.line - 1;
}

/* Over a rename, a restart, and by two processes at once, as when one takes over from another. */
START_TEST(a_chain_goes_on)
{
	struct verify verify = {0};
	void *state, *second;

	make_folder();
	chained = 1;
	state = open_file(100000);
	ck_assert_int_eq(tell(state, "{\"a\":1}"), CCI_NOTIFIED);
	for (int i = 0; i < 500 && strstr(contents(path), "\"a\":1") == NULL; i++)
		usleep(10000);
	ck_assert_int_eq(rename(path, other), 0);
	notifier_file_kind.reopen(state);
	for (int i = 0; i < 500 && strstr(contents(path), "rotated") == NULL; i++)
		usleep(10000);
	second = open_file(100000);
	ck_assert_int_eq(tell(state, "{\"a\":2}"), CCI_NOTIFIED);
	for (int i = 0; i < 500 && strstr(contents(path), "\"a\":2") == NULL; i++)
		usleep(10000);
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(tell(state, "{\"b\":1}"), CCI_NOTIFIED);
		ck_assert_int_eq(tell(second, "{\"b\":2}"), CCI_NOTIFIED);
	}
	notifier_file_kind.close(state);
	notifier_file_kind.close(second);
	state = open_file(100000);
	ck_assert_int_eq(tell(state, "{\"a\":3}"), CCI_NOTIFIED);
	notifier_file_kind.close(state);
	/* Each that opens the file says so, and each that closes it. */
	ck_assert_int_eq(follow(other, &verify), 2);
	ck_assert_int_eq(follow(path, &verify), 102 + 6);
	verify_end(&verify);
	ck_assert_msg(verify.kind == NULL, "%s", verify.words.text);
	ck_assert_uint_eq(verify.starts, 3);
	ck_assert_uint_eq(verify.ends, 3);
	remove_folder();
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
	char error[256] = "";
	void *state;

	make_folder();
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(try_open(&state, 1000, error), -1);
	ck_assert_str_ne(error, "");
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s", folder);
	ck_assert_int_eq(try_open(&state, 1000, error), -1);
	(void)snprintf(path, sizeof(path), "%s/none/events", folder);
	ck_assert_int_eq(try_open(&state, 1000, error), -1);
	ck_assert_ptr_nonnull(strstr(error, "No such file or directory"));
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("notifier_file");
	TCase *tests = tcase_create("file");

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, records_are_lines_and_stay_after_a_restart);
	tcase_add_test(tests, events_are_lines_of_json);
	tcase_add_test(tests, a_renamed_file_is_followed);
	tcase_add_test(tests, a_full_disk_leaves_no_half_line);
	tcase_add_test(tests, a_chain_goes_on);
	tcase_add_test(tests, what_is_no_file_is_refused);
	suite_add_tcase(suite, tests);
	return suite;
}
