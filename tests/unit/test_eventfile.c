/* Files of lines: half lines, full disks, renamed, emptied and shared files; and the chain through all of it. */
#include "eventfile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "eventfolder.h"
#include "suite.h"
#include "verify.h"

static struct error error;

/* The disk: how often it was asked for, and whether it fails. */
static unsigned synced, folders_synced;
static bool disk_fails;

int fdatasync(int fd)
{
	synced += fd >= 0;
	errno = EIO;
	return disk_fails ? -1 : 0;
}

int fsync(int fd)
{
	struct stat status;

	ck_assert(fstat(fd, &status) == 0 && S_ISDIR(status.st_mode));
	folders_synced++;
	return disk_fails ? -1 : 0;
}

static struct eventfile *open_file(bool chain)
{
	struct eventfile *file = eventfile_open(path, 0640, chain, &error);

	ck_assert_msg(file != NULL, "%s", error.text);
	return file;
}

static void put(struct eventfile *file, const char *object)
{
	ck_assert_msg(eventfile_write(file, object, strlen(object), &error) == 0, "%s", error.text);
}

static void set_contents(const char *name, const char *words)
{
	FILE *stream = fopen(name, "w");

	ck_assert_ptr_nonnull(stream);
	(void)fputs(words, stream);
	ck_assert_int_eq(fclose(stream), 0);
}

static void take_file(struct verify *verify, const char *name)
{
	struct verify_place at = {.file = name, .line = 1};

	(void)contents(name);
	for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1, at.line++)
		(void)verify_line(verify, &at, line, (size_t)(end - line));
}

/* `first` may be NULL. */
static void is_whole(const char *first, const char *second, uint64_t lines)
{
	struct verify verify = {0};

	if (first != NULL)
		take_file(&verify, first);
	take_file(&verify, second);
	verify_end(&verify);
	ck_assert_msg(verify.kind == NULL, "line %llu: %s", (unsigned long long)verify.at.line, verify.words.text);
	ck_assert_uint_eq(verify.lines, lines);
	ck_assert_uint_eq(verify.chain.seq, lines);
}

START_TEST(lines_are_appended)
{
	struct eventfile *file;
	struct stat status;

	make_folder();
	file = open_file(false);
	ck_assert(eventfile_is_new(file));
	put(file, "{\"a\":1}");
	eventfile_close(file);
	file = open_file(false);
	ck_assert(!eventfile_is_new(file));
	put(file, "{\"a\":2}");
	eventfile_close(file);
	ck_assert_str_eq(contents(path), "{\"a\":1}\n{\"a\":2}\n");
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0640);
	eventfile_close(NULL);
	remove_folder();
}
END_TEST

START_TEST(a_chain_goes_on_after_a_restart)
{
	struct eventfile *file;

	make_folder();
	for (int i = 0; i < 3; i++) {
		file = open_file(true);
		put(file, "{\"a\":1}");
		put(file, "{\"a\":2}");
		eventfile_close(file);
	}
	is_whole(NULL, path, 6);
	remove_folder();
}
END_TEST

START_TEST(half_a_line_is_moved_into_a_whole_one)
{
	struct eventfile *file;

	make_folder();
	set_contents(path, "{\"a\":1}\n{\"b\":\"x\xff");
	file = open_file(false);
	put(file, "{\"c\":3}");
	eventfile_close(file);
	ck_assert_int_eq(strncmp(contents(path), "{\"a\":1}\n{\"event\":\"torn\",\"time\":", 31), 0);
	ck_assert_ptr_nonnull(strstr(text, "\"bytes\":8,"));
	ck_assert_ptr_nonnull(strstr(text, "\"text\":\"{\\\"b\\\":\\\"x\\\\xff\"}\n{\"c\":3}\n"));
	remove_folder();
}
END_TEST

START_TEST(half_a_line_does_not_end_a_chain)
{
	struct eventfile *file;

	make_folder();
	file = open_file(true);
	put(file, "{\"a\":1}");
	put(file, "{\"a\":2}");
	eventfile_close(file);
	ck_assert_int_eq(truncate(path, (off_t)strlen(contents(path)) - 3), 0);
	file = open_file(true);
	put(file, "{\"a\":3}");
	eventfile_close(file);
	is_whole(NULL, path, 3);
	ck_assert_ptr_nonnull(strstr(contents(path), "\"event\":\"torn\""));
	remove_folder();
}
END_TEST

START_TEST(a_full_disk_leaves_no_half_line)
{
	struct rlimit limit, small = {100, 0};
	struct eventfile *file;

	make_folder();
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small.rlim_max = limit.rlim_max;
	file = open_file(true);
	put(file, "{\"a\":1}");
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	ck_assert_int_eq(eventfile_write(file, "{\"a\":2}", 7, &error), -1);
	ck_assert_ptr_nonnull(strstr(error.text, path));
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	is_whole(NULL, path, 1);
	put(file, "{\"a\":2}");
	eventfile_close(file);
	is_whole(NULL, path, 2);
	remove_folder();
}
END_TEST

START_TEST(a_chain_goes_through_rotated_files)
{
	struct eventfile *file;

	make_folder();
	file = open_file(true);
	put(file, "{\"a\":1}");
	ck_assert_int_eq(rename(path, other), 0);
	put(file, "{\"a\":2}");
	ck_assert_int_eq(eventfile_reopen(file, &error), 0);
	put(file, "{\"a\":3}");
	ck_assert_int_eq(eventfile_reopen(file, &error), 0);
	put(file, "{\"a\":4}");
	eventfile_close(file);
	is_whole(other, path, 5);
	ck_assert_ptr_null(strstr(contents(path), "\"a\":2"));
	ck_assert_ptr_nonnull(strstr(text, "\"event\":\"rotated\""));
	remove_folder();
}
END_TEST

/* copytruncate */
START_TEST(a_chain_goes_on_in_an_emptied_file)
{
	struct eventfile *file;

	make_folder();
	file = open_file(true);
	put(file, "{\"a\":1}");
	put(file, "{\"a\":2}");
	set_contents(other, contents(path));
	ck_assert_int_eq(truncate(path, 0), 0);
	put(file, "{\"a\":3}");
	eventfile_close(file);
	is_whole(other, path, 3);
	remove_folder();
}
END_TEST

/* Lines that were cut off do not become unseen by what is written afterwards. */
START_TEST(what_is_cut_off_while_it_runs_is_seen)
{
	struct verify verify = {0};
	struct eventfile *file;

	make_folder();
	file = open_file(true);
	put(file, "{\"a\":1}");
	put(file, "{\"a\":2}");
	ck_assert_int_eq(truncate(path, (off_t)(strchr(contents(path), '\n') + 1 - text)), 0);
	put(file, "{\"a\":3}");
	eventfile_close(file);
	take_file(&verify, path);
	verify_end(&verify);
	ck_assert_str_eq(verify.kind, "missing");
	remove_folder();
}
END_TEST

/* While one process hands over to another, both write; only one of them hears of the rotation. */
START_TEST(two_that_write_make_one_chain)
{
	struct eventfile *old, *new;

	make_folder();
	old = open_file(true);
	new = open_file(true);
	put(old, "{\"a\":1}");
	put(new, "{\"a\":2}");
	put(new, "{\"a\":3}");
	put(old, "{\"a\":4}");
	ck_assert_int_eq(rename(path, other), 0);
	put(old, "{\"a\":5}");
	ck_assert_int_eq(eventfile_reopen(new, &error), 0);
	put(old, "{\"a\":6}");
	put(new, "{\"a\":7}");
	put(old, "{\"a\":8}");
	eventfile_close(old);
	eventfile_close(new);
	is_whole(other, path, 9);
	remove_folder();
}
END_TEST

static void write_many(void)
{
	struct eventfile *file = eventfile_open(path, 0600, true, &error);
	bool good = file != NULL;

	for (int i = 0; i < 200 && good; i++)
		good = eventfile_write(file, "{\"event\":\"x\"}", 13, &error) == 0;
	eventfile_close(file);
	_exit(good ? 0 : 1);
}

START_TEST(processes_at_once_make_one_chain)
{
	make_folder();
	for (int i = 0; i < 4; i++)
		if (fork() == 0)
			write_many();
	for (int i = 0; i < 4; i++) {
		int status = -1;

		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	is_whole(NULL, path, 800);
	remove_folder();
}
END_TEST

static void is_refused(bool chain, const char *words)
{
	ck_assert_ptr_null(eventfile_open(path, 0600, chain, &error));
	ck_assert_msg(strstr(error.text, words) != NULL, "%s", error.text);
	if (!chain) {
		ck_assert_int_eq(eventfile_check(path, false, &error), -1);
		ck_assert_msg(strstr(error.text, words) != NULL, "%s", error.text);
	}
}

START_TEST(what_cannot_be_opened_is_said)
{
	make_folder();
	set_contents(path, "{\"a\":1}\n");
	is_refused(true, "move the file away");
	(void)unlink(path);
	ck_assert_int_eq(symlink("/tmp/x", path), 0);
	is_refused(false, "symbolic link");
	(void)unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	is_refused(false, "not a regular file");
	(void)unlink(path);
	ck_assert_int_eq(eventfile_check(path, false, &error), 0);
	ck_assert_int_lt(access(path, F_OK), 0);
	set_contents(path, "; not ours\n[gateway]");
	is_refused(false, "something else than JSON Lines");
	ck_assert_ptr_null(eventfile_open(path, 0600, true, &error));
	ck_assert_str_eq(contents(path), "; not ours\n[gateway]");
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/none/events", folder);
	is_refused(false, "make the folder");
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

/* Longer than any line of ours, and never ended: it stays, and what follows begins a line. */
START_TEST(a_long_half_line_is_ended)
{
	struct eventfile *file;
	size_t size = 300000;
	char *long_text = malloc(size + 1);
	struct stat status;

	make_folder();
	memset(long_text, '{', size);
	long_text[size] = '\0';
	set_contents(path, long_text);
	free(long_text);
	file = open_file(false);
	eventfile_close(file);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_gt(status.st_size, (off_t)size);
	remove_folder();
}
END_TEST

static void sync_file(struct eventfile *file, int result, bool undone)
{
	bool was_undone;

	ck_assert_int_eq(eventfile_sync(file, &was_undone, &error), result);
	ck_assert_int_eq(was_undone, undone);
}

START_TEST(what_is_written_is_brought_to_the_disk_once)
{
	struct eventfile *file;
	unsigned before;

	make_folder();
	synced = folders_synced = 0;
	disk_fails = false;
	file = open_file(_i == 1);
	ck_assert_int_eq(eventfile_keep(file, &error), 0);
	ck_assert_uint_eq(folders_synced, 1);
	before = synced;
	sync_file(file, 0, false);
	ck_assert_uint_eq(synced, before);
	put(file, "{\"a\":1}");
	put(file, "{\"a\":2}");
	sync_file(file, 0, false);
	sync_file(file, 0, false);
	ck_assert_uint_eq(synced, before + 1);
	ck_assert_uint_eq(folders_synced, 1);
	/* What is renamed goes before the new name is used, which is new to the folder. */
	put(file, "{\"a\":3}");
	ck_assert_int_eq(rename(path, other), 0);
	ck_assert_int_eq(eventfile_reopen(file, &error), 0);
	ck_assert_uint_eq(synced, before + 2);
	sync_file(file, 0, false);
	ck_assert_uint_eq(folders_synced, 2);
	eventfile_close(file);
	remove_folder();
}
END_TEST

/* The kernel says once that it may have lost something: it is out of the file, and written anew as it was. */
START_TEST(what_the_disk_may_have_lost_is_taken_out)
{
	char before[512], whole[512];
	struct eventfile *file;

	make_folder();
	disk_fails = false;
	file = open_file(_i == 1);
	ck_assert_int_eq(eventfile_keep(file, &error), 0);
	put(file, "{\"a\":1}");
	sync_file(file, 0, false);
	(void)snprintf(before, sizeof(before), "%s", contents(path));
	put(file, "{\"a\":2}");
	put(file, "{\"a\":3}");
	(void)snprintf(whole, sizeof(whole), "%s", contents(path));
	disk_fails = true;
	sync_file(file, -1, true);
	ck_assert_ptr_nonnull(strstr(error.text, "Input/output error"));
	ck_assert_str_eq(contents(path), before);
	disk_fails = false;
	put(file, "{\"a\":2}");
	put(file, "{\"a\":3}");
	sync_file(file, 0, false);
	ck_assert_str_eq(contents(path), whole);
	eventfile_close(file);
	remove_folder();
}
END_TEST

/* Another process has written behind it: nothing is taken away from that one. */
START_TEST(what_others_have_written_behind_stays)
{
	struct eventfile *file, *theirs;

	make_folder();
	disk_fails = false;
	file = open_file(_i == 1);
	theirs = open_file(_i == 1);
	ck_assert_int_eq(eventfile_keep(file, &error), 0);
	put(file, "{\"a\":1}");
	put(theirs, "{\"b\":1}");
	disk_fails = true;
	sync_file(file, -1, false);
	disk_fails = false;
	ck_assert_ptr_nonnull(strstr(contents(path), "\"a\":1"));
	ck_assert_ptr_nonnull(strstr(contents(path), "\"b\":1"));
	/* Between two of ours, too. */
	put(file, "{\"a\":2}");
	put(theirs, "{\"b\":2}");
	put(file, "{\"a\":3}");
	disk_fails = true;
	sync_file(file, -1, false);
	disk_fails = false;
	ck_assert_ptr_nonnull(strstr(contents(path), "\"b\":2"));
	eventfile_close(file);
	eventfile_close(theirs);
	remove_folder();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("eventfile");
	TCase *tests = tcase_create("eventfile");

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, lines_are_appended);
	tcase_add_test(tests, a_chain_goes_on_after_a_restart);
	tcase_add_test(tests, half_a_line_is_moved_into_a_whole_one);
	tcase_add_test(tests, half_a_line_does_not_end_a_chain);
	tcase_add_test(tests, a_full_disk_leaves_no_half_line);
	tcase_add_test(tests, a_chain_goes_through_rotated_files);
	tcase_add_test(tests, a_chain_goes_on_in_an_emptied_file);
	tcase_add_test(tests, what_is_cut_off_while_it_runs_is_seen);
	tcase_add_test(tests, two_that_write_make_one_chain);
	tcase_add_test(tests, processes_at_once_make_one_chain);
	tcase_add_test(tests, what_cannot_be_opened_is_said);
	tcase_add_test(tests, a_long_half_line_is_ended);
	suite_add_tcase(suite, tests);
	tcase_add_loop_test(tests, what_is_written_is_brought_to_the_disk_once, 0, 2);
	tcase_add_loop_test(tests, what_the_disk_may_have_lost_is_taken_out, 0, 2);
	tcase_add_loop_test(tests, what_others_have_written_behind_stays, 0, 2);
	return suite;
}
