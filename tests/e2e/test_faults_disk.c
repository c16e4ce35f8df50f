/* A disk that is full or broken, and writes that come short: events, SMF records, names, the key log and the log itself. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "eventlines.h"
#include "faulting.h"
#include "gateway.h"
#include "peer.h"
#include "smfdump.h"

#define HALF (-1) /* of what was to be written is written */

static const char config[] = "[gateway]\nsysid = HOST1\nworkers = 1\n%s[listener l]\naddress = 127.0.0.1:0\n"
                             "service = s\nunsecured_connections = allow\n%s[service s]\naddress = builtin:echo\n" EVENT_TLS
                             "%s";

static const int errors[] = {ENOSPC, EIO, EDQUOT, HALF};

#define ERRORS ((int)(sizeof(errors) / sizeof(errors[0])))

static struct gateway gateway;
static struct faults_board *board;
static struct footprint whole; /* while the disk was in order */

static void start(const char *of_gateway, const char *of_listener, const char *of_tls)
{
	board = faulting_next("calls");
	gateway_start(&gateway, "ccissl", config, of_gateway, of_listener, of_tls);
	faulting_started();
}

/* Words there and back over TLS, after an exchange; or in the clear. */
static bool serves(const char *sysid, bool secured)
{
	int fd = peer_connect(gateway.ports[0]);
	SSL *ssl;
	bool fine = peer_open(fd, secured ? 3 : 0, sysid, &ssl) && (ssl != NULL) == secured && peer_echoes(fd, ssl);

	peer_free(fd, ssl);
	return fine;
}

/* From now on each of these calls fails; `thread` NULL: whoever makes it. */
static void break_disk(enum fault_kind kind, int error, const char *thread)
{
	int number = thread != NULL ? faulting_thread(gateway.pid, thread) : 0;

	ck_assert(thread == NULL || number > 0);
	/* Both ways have been gone before: what stays after the first time is no leak. */
	ck_assert(serves("BR0", false));
	footprint_calm(gateway.pid, NULL, &whole);
	faulting_arm(board, &(struct faulting){.kind = kind, .error = error, .first = 1, .every = 1, .most = 1000000, .thread = number});
}

static void await_fault(enum fault_kind kind)
{
	for (int i = 0; i < 1500 && atomic_load(&board->faults[kind].failed) == 0; i++)
		usleep(10000);
	ck_assert_uint_gt(atomic_load(&board->faults[kind].failed), 0);
}

/* With on_error = refuse somebody is refused before long; otherwise nobody is. */
static void expect_policy(bool refuses)
{
	bool refused = false;

	for (int i = 0; i < (refuses ? 1000 : 10) && !refused; i++) {
		refused = !serves("BR2", i % 2 == 0);
		usleep(10000);
	}
	ck_assert_int_eq(refused, refuses);
	if (refuses) /* in the clear, too */
		ck_assert(!serves("BR2", false) && !serves("BR2", true));
	ck_assert_int_ge(gateway_lines(&gateway, refuses, "notifier-refused", NULL, NULL), refuses);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1019W", NULL, NULL), 1);
}

static void expect_recovery(void)
{
	bool served = false;

	for (int i = 0; i < 1000 && !served; i++) {
		served = serves("BR3", true);
		usleep(10000);
	}
	ck_assert(served && serves("BR3", false));
	footprint_same(gateway.pid, NULL, &whole, 0, "a disk that failed");
}

/* Of all combinations make test takes each third: each error, each policy. */
static int sample(void)
{
	return faulting_full() ? 1 : 3;
}

/* --- events --- */

START_TEST(events_are_whole_or_missing_and_said)
{
	int combination = _i * sample();
	bool chained = combination & 1, refuses = combination & 2;
	char section[512], command[512];
	json_t *all;

	make_folder();
	(void)snprintf(section, sizeof(section), EVENT_NOTIFIER "chain = %s\non_error = %s\n", path, chained ? "yes" : "no",
	               refuses ? "refuse" : "continue");
	start("", "", section);
	ck_assert(serves("BR1", true));
	json_decref(events(path, "record", 1));
	break_disk(FAULT_WRITE, errors[combination / 4], "notifier-file");
	expect_policy(refuses);
	ck_assert_uint_gt(faulting_disarm(board, FAULT_WRITE), 0);
	/* Each line is whole: this reads them all. */
	all = events(path, "dropped", 1);
	ck_assert_int_gt(number(json_array_get(all, 0), "count"), 0);
	json_decref(all);
	expect_recovery();
	json_decref(events(path, "record", 2));
	gateway_stop(&gateway);
	(void)snprintf(command, sizeof(command), "%s/ccissl verify %s >/dev/null", gateway_build(), path);
	ck_assert(!chained || system(command) == 0);
	remove_folder();
}
END_TEST

/* --- on the disk before it counts --- */

static const char *const sync_sections[] = {
    EVENT_NOTIFIER "chain = yes\nsync = yes\non_error = %s\n",
    "[notifier z]\nkind = smf\npath = %s\nsync = yes\non_error = %s\n",
};

static const char *const sync_threads[] = {"notifier-file", "smf"};

static void start_sync(int kind, const char *on_error)
{
	char section[256];

	make_folder();
	(void)snprintf(section, sizeof(section), sync_sections[kind], kind == 0 ? path : "records", on_error);
	start("", "", section);
}

/* What was written is in order. */
static void clean_sync(int kind)
{
	char command[512];

	if (kind == 1) {
		smf_stop(&gateway, NULL);
	} else {
		gateway_stop(&gateway);
		(void)snprintf(command, sizeof(command), "%s/ccissl verify %s >/dev/null", gateway_build(), path);
		ck_assert_int_eq(system(command), 0);
	}
	remove_folder();
}

static unsigned long long elapsed_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000;
}

#define SLOW_MS 400ul

/* The disk takes its time: a handshake that follows clear bytes does not start before (and nothing is relayed before its end
 * is on the disk), nor does anything go on in the clear. With on_error = continue nobody waits. */
START_TEST(a_handshake_waits_for_the_disk)
{
	bool refuses = _i / 2 == 1;
	unsigned long long began, took;

	start_sync(_i % 2, refuses ? "refuse" : "continue");
	ck_assert(serves("BR1", true));
	usleep(100000);
	faulting_arm(board, &(struct faulting){.kind = FAULT_SYNC, .first = 1, .every = 1, .most = 1000000, .delay_ms = SLOW_MS,
	                                       .thread = faulting_thread(gateway.pid, sync_threads[_i % 2])});
	began = elapsed_ms();
	ck_assert(serves("BR2", true));
	took = elapsed_ms() - began;
	if (refuses) {
		ck_assert_uint_ge(took, 2 * SLOW_MS); /* handshake-starting, and handshake-done */
		ck_assert_uint_ge(atomic_load(&board->faults[FAULT_SYNC].calls), 2);
	} else {
		ck_assert_uint_lt(took, SLOW_MS);
	}
	began = elapsed_ms();
	ck_assert(serves("BR2", false));
	/* SMF writes nothing of a clear connection before ten seconds, or its end. */
	if (refuses && _i % 2 == 0)
		ck_assert_uint_ge(elapsed_ms() - began, SLOW_MS);
	(void)faulting_disarm(board, FAULT_SYNC);
	clean_sync(_i % 2);
}
END_TEST

/* The disk fails: who waits is refused, and what may be lost is written once more, in its place. */
START_TEST(a_disk_that_loses_what_it_had_is_a_failure)
{
	bool refuses = _i / 2 == 1;

	start_sync(_i % 2, refuses ? "refuse" : "continue");
	ck_assert(serves("BR1", true));
	usleep(100000);
	break_disk(FAULT_SYNC, EIO, sync_threads[_i % 2]);
	/* The very first one is. */
	ck_assert_int_eq(serves("BR2", true), !refuses);
	await_fault(FAULT_SYNC);
	expect_policy(refuses);
	ck_assert_uint_gt(faulting_disarm(board, FAULT_SYNC), 0);
	expect_recovery();
	clean_sync(_i % 2);
}
END_TEST

/* A disk that answers never: the deadline of the handshake holds. */
START_TEST(a_disk_that_hangs_does_not_hang_the_connection)
{
	unsigned long long began;

	board = faulting_next("calls");
	gateway_start(&gateway, "ccissl", "[timeouts]\nhandshake = 1s\n[gateway]\nsysid = HOST1\nworkers = 1\nsandbox = no\n[listener l]\n"
	                                  "address = 127.0.0.1:0\nservice = s\nunsecured_connections = allow\n[service s]\n"
	                                  "address = builtin:echo\n" EVENT_TLS
	                                  "[notifier f]\nkind = file\npath = records\nsync = yes\non_error = refuse\n");
	faulting_started();
	ck_assert(serves("BR1", true));
	usleep(100000);
	faulting_arm(board, &(struct faulting){.kind = FAULT_SYNC, .first = 1, .every = 1, .most = 1, .delay_ms = 4000,
	                                       .thread = faulting_thread(gateway.pid, "notifier-file")});
	began = elapsed_ms();
	ck_assert(!serves("BR2", true));
	ck_assert_uint_lt(elapsed_ms() - began, 3000);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "notifier-refused", "no answer in time", NULL), 1);
	(void)faulting_disarm(board, FAULT_SYNC);
	gateway_stop(&gateway);
}
END_TEST

/* --- SMF --- */

START_TEST(smf_records_are_whole_or_missing)
{
	int combination = _i * sample();
	bool refuses = combination % 2 == 1;
	char section[128];

	(void)snprintf(section, sizeof(section), "[notifier z]\nkind = smf\npath = records\ninterval = 15m\non_error = %s\n",
	               refuses ? "refuse" : "continue");
	start("", "", section);
	ck_assert(serves("BR1", true));
	smf_expect(&gateway, 1, "event=termination");
	break_disk(FAULT_WRITE, errors[combination / 2], "smf");
	expect_policy(refuses);
	ck_assert_uint_gt(faulting_disarm(board, FAULT_WRITE), 0);
	expect_recovery();
	/* It is tried again each second. */
	for (int i = 0; i < 200 && (smf_dump(&gateway, "records", smf_records, sizeof(smf_records)) != 0 ||
	                            smf_count("event=termination") < 2);
	     i++) {
		ck_assert(serves("BR3", true));
		usleep(20000);
	}
	/* The whole file is in order: the reader stops at anything that is not. */
	smf_stop(&gateway, NULL);
	ck_assert_int_ge(smf_count("event=termination"), 2);
	/* Whatever was lost meanwhile: what began has ended, once, and what turned to TLS has turned. */
	ck_assert_int_eq(smf_count("event=initiation"), smf_count("event=termination"));
	ck_assert_int_eq(smf_count("event=change"), smf_count("event=termination"));
}
END_TEST

/* --- names that were secured --- */

static int files_in(const char *where)
{
	DIR *opened = opendir(where);
	int count = 0;

	ck_assert_ptr_nonnull(opened);
	for (const struct dirent *entry; (entry = readdir(opened)) != NULL;)
		count += entry->d_name[0] != '.';
	(void)closedir(opened);
	return count;
}

START_TEST(names_are_kept_in_memory_and_written_later)
{
	static const struct {
		enum fault_kind kind;
		int error;
	} ways[] = {{FAULT_RENAME, ENOSPC}, {FAULT_SYNC, EIO}};
	char line[128];

	make_folder();
	(void)snprintf(line, sizeof(line), "ratchet_file = %s\n", path);
	start(line, "ratchet = yes\n", "");
	break_disk(ways[_i].kind, ways[_i].error, NULL);
	ck_assert(serves("BR1", true));
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1032E", NULL, NULL), 1);
	ck_assert(!serves("BR1", false));
	ck_assert_uint_gt(faulting_disarm(board, ways[_i].kind), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1033I", NULL, NULL), 1);
	ck_assert_int_eq(files_in(folder), 1);
	gateway_kill(&gateway);
	gateway_start(&gateway, "ccissl", config, line, "ratchet = yes\n", "");
	ck_assert(!serves("BR1", false));
	ck_assert(serves("BR1", true));
	gateway_stop(&gateway);
	remove_folder();
}
END_TEST

/* --- the key log --- */

static int whole_keys(const char *name)
{
	FILE *stream = fopen(name, "r");
	char line[1024], label[64], random[65 + 1], secret[129];
	int count = 0, end = 0;

	ck_assert_ptr_nonnull(stream);
	while (fgets(line, sizeof(line), stream) != NULL)
		count += sscanf(line, "%63[A-Z_0-9] %65[0-9a-f] %128[0-9a-f]\n%n", label, random, secret, &end) == 3 &&
		         strlen(random) == 64 && strlen(secret) >= 64 && end == (int)strlen(line);
	(void)fclose(stream);
	return count;
}

/* Of TLS 1.3 there are five lines, each useless when it is glued to the rest of another. */
START_TEST(the_key_log_costs_no_connection_and_goes_on)
{
	char line[128];
	int before;

	make_folder();
	(void)snprintf(line, sizeof(line), "insecure_key_log = %s\n", path);
	start("", "", line);
	ck_assert(serves("BR1", true));
	ck_assert_int_ge(whole_keys(path), 5);
	break_disk(FAULT_WRITE, errors[_i], "worker 0");
	ck_assert(serves("BR1", true));
	ck_assert_uint_gt(faulting_disarm(board, FAULT_WRITE), 0);
	before = whole_keys(path);
	ck_assert(serves("BR1", true));
	ck_assert_int_eq(whole_keys(path), before + 5);
	gateway_stop(&gateway);
	remove_folder();
}
END_TEST

/* --- the log --- */

START_TEST(the_log_says_what_it_has_lost)
{
	start("", "", "");
	ck_assert(serves("BR1", true));
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3", NULL, NULL), 1);
	break_disk(FAULT_LOG, errors[_i], NULL);
	for (int i = 0; i < 5; i++)
		ck_assert(serves("BR2", i % 2 == 0));
	await_fault(FAULT_LOG);
	ck_assert_uint_gt(faulting_disarm(board, FAULT_LOG), 0);
	ck_assert(serves("BR3", true));
	/* A line that came short is written on. */
	if (errors[_i] != HALF)
		ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1014W", " lines=", NULL), 1);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI3", "BR3", NULL), 1);
	gateway_stop(&gateway);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
	TCase *tests = tcase_create(name);

	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	return tests;
}

Suite *module_suite(void)
{
	Suite *suite = suite_create("disks that fail");

	if (!faulting_possible())
		return suite;
	tcase_add_loop_test(add_case(suite, "events"), events_are_whole_or_missing_and_said, 0, (4 * ERRORS + sample() - 1) / sample());
	tcase_add_loop_test(add_case(suite, "smf"), smf_records_are_whole_or_missing, 0, (2 * ERRORS + sample() - 1) / sample());
	/* It takes ten seconds until it is tried again. */
	tcase_add_loop_test(add_case(suite, "names"), names_are_kept_in_memory_and_written_later, 0, faulting_full() ? 2 : 1);
	tcase_add_loop_test(add_case(suite, "keys"), the_key_log_costs_no_connection_and_goes_on, 0, ERRORS);
	tcase_add_loop_test(add_case(suite, "log"), the_log_says_what_it_has_lost, 0, ERRORS);
	tcase_add_loop_test(add_case(suite, "sync slow"), a_handshake_waits_for_the_disk, 0, 4);
	tcase_add_loop_test(add_case(suite, "sync fails"), a_disk_that_loses_what_it_had_is_a_failure, 0, 4);
	tcase_add_test(add_case(suite, "sync hangs"), a_disk_that_hangs_does_not_hang_the_connection);
	return suite;
}
