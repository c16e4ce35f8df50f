/* The file of records: what a crash left, what is no record, a full disk, a renamed file, two writers. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "smf_file.h"
#include "suite.h"

static char folder[64], path[96], other[96];
static struct error error;
static uint64_t cut_bytes;

static void setup(void)
{
	(void)strcpy(folder, "/tmp/cci-smf-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/records", folder);
	(void)snprintf(other, sizeof(other), "%s/records.1", folder);
}

static void teardown(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	ck_assert_int_eq(system(command), 0);
}

/* A record of this length, of which no byte but those of its frame is what another one has. */
static const uint8_t *make(size_t size, uint8_t filling)
{
	static uint8_t record[70000];

	memset(record, filling, size);
	record[0] = (uint8_t)(size >> 8);
	record[1] = (uint8_t)size;
	record[2] = record[3] = 0;
	record[5] = 119;
	return record;
}

static void append(const void *bytes, size_t size)
{
	FILE *file = fopen(path, "ab");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
	(void)fclose(file);
}

/* The disk: how often it was asked for, and whether it fails. */
static unsigned synced, folders_synced;
static bool disk_fails;

int fdatasync(int fd)
{
	(void)fd;
	synced++;
	errno = EIO;
	return disk_fails ? -1 : 0;
}

int fsync(int fd)
{
	struct stat status;

	ck_assert(fstat(fd, &status) == 0 && S_ISDIR(status.st_mode));
	folders_synced++;
	return 0;
}

static bool never_shorter;

int ftruncate(int fd, off_t size)
{
	errno = EPERM;
	return never_shorter ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

static struct smf_file *open_file(void)
{
	return smf_file_open(path, 0640, &cut_bytes, &error);
}

static off_t size_of(const char *name)
{
	struct stat status;

	return stat(name, &status) == 0 ? status.st_size : -1;
}

/* How many records; fails where the frames do not fit. */
static int records(const char *name)
{
	FILE *file = fopen(name, "rb");
	uint8_t head[6];
	int count = 0;

	ck_assert_ptr_nonnull(file);
	while (fread(head, 1, sizeof(head), file) == sizeof(head)) {
		ck_assert_uint_eq(head[5], 119);
		ck_assert_int_eq(fseek(file, (head[0] << 8 | head[1]) - 6, SEEK_CUR), 0);
		count++;
	}
	ck_assert_int_eq((int)ftell(file), (int)size_of(name));
	(void)fclose(file);
	return count;
}

START_TEST(records_are_gathered_and_appended)
{
	struct smf_file *file = open_file();
	struct stat status;

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0640);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(smf_file_put(file, make(276, (uint8_t)i), 276, &error), 0);
	ck_assert_uint_gt(smf_file_waiting(file), 0);
	ck_assert_int_gt(size_of(path), 0);
	ck_assert_int_eq(size_of(path) % 276, 0);
	ck_assert_int_eq(smf_file_flush(file, &error), 0);
	ck_assert_int_eq(records(path), 1000);
	smf_file_close(file);
	file = open_file();
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(cut_bytes, 0);
	ck_assert_int_eq(smf_file_put(file, make(444, 1), 444, &error), 0);
	ck_assert_int_eq(smf_file_flush(file, &error), 0);
	smf_file_close(file);
	ck_assert_int_eq(records(path), 1001);
}
END_TEST

/* Every length that a crash could leave. */
START_TEST(half_a_record_is_cut_off)
{
	for (size_t left = 1; left < 276; left++) {
		struct smf_file *file;

		(void)unlink(path);
		append(make(276, 1), 276);
		append(make(444, 2), 444);
		append(make(276, 3), left);
		ck_assert_int_eq(smf_file_check(path, &error), 0);
		ck_assert_int_eq(size_of(path), (off_t)(720 + left));
		file = open_file();
		ck_assert_msg(file != NULL, "%zu: %s", left, error.text);
		ck_assert_uint_eq(cut_bytes, left);
		ck_assert_int_eq(smf_file_put(file, make(276, 4), 276, &error), 0);
		ck_assert_int_eq(smf_file_flush(file, &error), 0);
		smf_file_close(file);
		ck_assert_int_eq(records(path), 3);
	}
}
END_TEST

static const struct {
	const char *bytes;
	size_t size;
} strangers[] = {
    {"hello, this is a text\n", 22}, {"a", 1}, {"\0\0\0\0\0\0", 6}, {"\x01\x14\0\0\0\x50 of another type", 20},
    {"\x01\x14\0\x01\0\x77 of another segment", 26},
    {"\0\x17\0\0\0\x77 too short to be one    ", 28},
};

START_TEST(what_is_no_record_is_left_alone)
{
	append(strangers[_i].bytes, strangers[_i].size);
	ck_assert_int_eq(smf_file_check(path, &error), -1);
	ck_assert_ptr_nonnull(strstr(error.text, "byte 0 is no SMF record: move the file away"));
	ck_assert_ptr_null(open_file());
	ck_assert_ptr_nonnull(strstr(error.text, "byte 0 is no SMF record: move the file away"));
	ck_assert_int_eq(size_of(path), (off_t)strangers[_i].size);
	(void)unlink(path);
	append(make(276, 1), 276);
	append("hello, this is a text\n", 22);
	ck_assert_ptr_null(open_file());
	ck_assert_ptr_nonnull(strstr(error.text, "byte 276 is no SMF record"));
	ck_assert_int_eq(size_of(path), 298);
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_ptr_null(open_file());
	ck_assert_ptr_nonnull(strstr(error.text, "is not a regular file"));
	ck_assert_int_eq(smf_file_check(path, &error), -1);
	ck_assert_ptr_nonnull(strstr(error.text, "is not a regular file"));
	(void)unlink(path);
	ck_assert_int_eq(symlink("/dev/null", path), 0);
	ck_assert_ptr_null(open_file());
	ck_assert_ptr_nonnull(strstr(error.text, "is a symbolic link: name the file itself"));
	(void)unlink(path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_ptr_null(open_file());
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(smf_file_check(path, &error), 0);
	(void)strcat(path, "/none/there");
	ck_assert_ptr_null(open_file());
	ck_assert_int_eq(smf_file_check(path, &error), -1);
	ck_assert_ptr_nonnull(strstr(error.text, "/none: No such file or directory"));
}
END_TEST

/* A limit of the file's size stands for a disk that is full in the middle of a record. Check's own notes would meet it too:
 * nothing is asserted meanwhile. */
START_TEST(a_full_disk_leaves_whole_records)
{
	struct smf_file *file = open_file();
	struct rlimit limit, full = {1000, RLIM_INFINITY};
	int results[8] = {0};
	off_t sizes[2];

	ck_assert_ptr_nonnull(file);
	ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	full.rlim_max = limit.rlim_max;
	results[0] = setrlimit(RLIMIT_FSIZE, &full);
	for (int i = 0; i < 3; i++)
		results[1] += smf_file_put(file, make(276, 1), 276, &error);
	results[2] = smf_file_flush(file, &error);
	results[3] = smf_file_put(file, make(276, 2), 276, &error);
	for (int i = 0; i < 3; i++)
		results[4] += smf_file_flush(file, &error);
	sizes[0] = size_of(path);
	/* What is larger than what is gathered is not taken at all. */
	results[5] = smf_file_put(file, make(66000, 2), 66000, &error);
	sizes[1] = size_of(path);
	results[6] = setrlimit(RLIMIT_FSIZE, &limit);
	results[7] = smf_file_flush(file, &error);
	ck_assert_mem_eq(results, ((const int[]){0, 0, 0, 0, -3, -1, 0, 0}), sizeof(results));
	ck_assert_int_eq(sizes[0], 3 * 276);
	ck_assert_int_eq(sizes[1], 3 * 276);
	ck_assert_int_eq(records(path), 4);
	smf_file_close(file);
}
END_TEST

START_TEST(a_renamed_file_is_followed_by_a_new_one)
{
	struct smf_file *file = open_file();
	char old[128];

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(smf_file_put(file, make(276, 1), 276, &error), 0);
	(void)snprintf(old, sizeof(old), "%s.1", path);
	ck_assert_int_eq(rename(path, old), 0);
	ck_assert_int_eq(smf_file_put(file, make(276, 1), 276, &error), 0);
	ck_assert_int_eq(smf_file_reopen(file, &cut_bytes, &error), 0);
	ck_assert_int_eq(smf_file_put(file, make(444, 1), 444, &error), 0);
	ck_assert_int_eq(smf_file_flush(file, &error), 0);
	ck_assert_int_eq(records(old), 2);
	ck_assert_int_eq(records(path), 1);
	/* Something else is there now: the old one stays in use. */
	ck_assert_int_eq(unlink(path), 0);
	append("text text text", 14);
	ck_assert_int_eq(smf_file_reopen(file, &cut_bytes, &error), -1);
	ck_assert_int_eq(smf_file_put(file, make(444, 1), 444, &error), 0);
	ck_assert_int_eq(smf_file_flush(file, &error), 0);
	ck_assert_int_eq(size_of(path), 14);
	smf_file_close(file);
}
END_TEST

/* An upgrade has two processes at one file; one of them dies in the middle of a write, or somebody empties it. */
START_TEST(two_writers_do_not_harm_each_other)
{
	struct smf_file *a = open_file(), *b = open_file();

	ck_assert(a != NULL && b != NULL);
	for (int i = 0; i < 10; i++) {
		struct smf_file *file = i % 2 ? a : b;

		ck_assert_int_eq(smf_file_put(file, make(276, 1), 276, &error), 0);
		ck_assert_int_eq(smf_file_flush(file, &error), 0);
	}
	ck_assert_int_eq(records(path), 10);
	append(make(444, 3), 100);
	ck_assert_int_eq(smf_file_put(a, make(276, 1), 276, &error), 0);
	ck_assert_int_eq(smf_file_flush(a, &error), 0);
	ck_assert_int_eq(records(path), 11);
	ck_assert_int_eq(truncate(path, 0), 0);
	ck_assert_int_eq(smf_file_put(b, make(276, 1), 276, &error), 0);
	ck_assert_int_eq(smf_file_flush(b, &error), 0);
	ck_assert_int_eq(records(path), 1);
	append(make(444, 3), 100);
	ck_assert_int_eq(smf_file_put(b, make(276, 1), 276, &error), 0);
	ck_assert_int_eq(smf_file_flush(b, &error), 0);
	ck_assert_int_eq(records(path), 2);
	smf_file_close(a);
	smf_file_close(b);
}
END_TEST

static void write_for_ever(void)
{
	struct smf_file *file = open_file();

	while (file != NULL && smf_file_put(file, make(444, 7), 444, &error) == 0 && size_of(path) < 200000000)
		;
	_exit(1);
}

START_TEST(killed_at_any_moment)
{
	for (int i = 0; i < 8; i++) {
		struct smf_file *file;
		pid_t child = fork();

		if (child == 0)
			write_for_ever();
		for (int tries = 0; tries < 1000 && size_of(path) <= 0; tries++)
			usleep(1000);
		usleep((useconds_t)(500 * i));
		ck_assert_int_eq(kill(child, SIGKILL), 0);
		ck_assert_int_eq(waitpid(child, NULL, 0), child);
		file = open_file();
		ck_assert_msg(file != NULL, "%s", error.text);
		ck_assert_int_eq(smf_file_put(file, make(276, 1), 276, &error), 0);
		ck_assert_int_eq(smf_file_flush(file, &error), 0);
		smf_file_close(file);
		ck_assert_int_gt(records(path), 0);
		ck_assert_int_eq(unlink(path), 0);
	}
}
END_TEST

START_TEST(what_is_flushed_is_on_the_disk)
{
	struct smf_file *file = open_file();

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(smf_file_put(file, make(276, 1), 276, &error), 0);
	ck_assert_int_eq(smf_file_flush(file, &error), 0);
	ck_assert_uint_eq(synced, 0);
	ck_assert_int_eq(smf_file_keep(file, &error), 0);
	ck_assert_uint_eq(synced, 1);
	ck_assert_uint_eq(folders_synced, 1);
	ck_assert_int_eq(smf_file_flush(file, &error), 0);
	ck_assert_uint_eq(synced, 1);
	ck_assert_int_eq(smf_file_put(file, make(276, 2), 276, &error), 0);
	ck_assert_int_eq(smf_file_flush(file, &error), 0);
	ck_assert_uint_eq(synced, 2);
	/* The new name is known to the disk with its first record. */
	ck_assert_int_eq(rename(path, other), 0);
	ck_assert_int_eq(smf_file_reopen(file, &cut_bytes, &error), 0);
	ck_assert_int_eq(smf_file_put(file, make(276, 3), 276, &error), 0);
	ck_assert_int_eq(smf_file_flush(file, &error), 0);
	ck_assert_uint_eq(folders_synced, 2);
	smf_file_close(file);
	ck_assert_int_eq(records(path), 1);
	ck_assert_int_eq(records(other), 2);
}
END_TEST

/* What may be lost is out of the file, and written anew; what another process has written behind it stays. */
START_TEST(a_disk_that_fails_leaves_what_it_had)
{
	struct smf_file *file = open_file();

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(smf_file_keep(file, &error), 0);
	ck_assert_int_eq(smf_file_put(file, make(276, 1), 276, &error), 0);
	ck_assert_int_eq(smf_file_flush(file, &error), 0);
	disk_fails = true;
	ck_assert_int_eq(smf_file_put(file, make(276, 2), 276, &error), 0);
	ck_assert_int_eq(smf_file_flush(file, &error), -1);
	ck_assert_ptr_nonnull(strstr(error.text, "fdatasync"));
	ck_assert_int_eq(records(path), 1);
	ck_assert_uint_eq(smf_file_waiting(file), 276);
	disk_fails = false;
	ck_assert_int_eq(smf_file_flush(file, &error), 0);
	ck_assert_int_eq(records(path), 2);
	smf_file_close(file);
}
END_TEST

static void limit(rlim_t bytes)
{
	const struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};

	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The disk takes two records and a half, and the file cannot be made shorter: each record is there once in the end. Alone, by the
 * other half; where another process has cut the half off and gone on, behind that one. */
START_TEST(half_a_block_is_gone_on_with)
{
	struct smf_file *file = open_file(), *theirs = open_file();
	uint8_t all[7 * 276];
	FILE *stream;
	int count[8] = {0};

	ck_assert(file != NULL && theirs != NULL);
	for (uint8_t i = 1; i <= 5; i++)
		ck_assert_int_eq(smf_file_put(file, make(276, i), 276, &error), 0);
	limit(2 * 276 + 100);
	never_shorter = true;
	ck_assert_int_eq(smf_file_flush(file, &error), -1);
	ck_assert_int_eq(size_of(path), 2 * 276 + 100);
	ck_assert_int_eq(smf_file_flush(file, &error), -1);
	limit(RLIM_INFINITY);
	never_shorter = _i == 0;
	if (_i == 1) {
		ck_assert_int_eq(smf_file_put(theirs, make(276, 6), 276, &error), 0);
		ck_assert_int_eq(smf_file_flush(theirs, &error), 0);
	}
	ck_assert_int_eq(smf_file_put(file, make(276, 7), 276, &error), 0);
	ck_assert_msg(smf_file_flush(file, &error) == 0, "%s", error.text);
	ck_assert_uint_eq(smf_file_waiting(file), 0);
	ck_assert_int_eq(records(path), 6 + _i);
	stream = fopen(path, "rb");
	ck_assert_ptr_nonnull(stream);
	ck_assert_uint_eq(fread(all, 276, sizeof(all) / 276, stream), 6 + (size_t)_i);
	(void)fclose(stream);
	for (int i = 0; i < 6 + _i; i++)
		count[all[i * 276 + 100]]++;
	for (int i = 1; i <= 7; i++)
		ck_assert_int_eq(count[i], i != 6 || _i == 1);
	smf_file_close(file);
	smf_file_close(theirs);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("smf_file");
	TCase *tests = tcase_create("smf_file");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, records_are_gathered_and_appended);
	tcase_add_test(tests, half_a_record_is_cut_off);
	tcase_add_loop_test(tests, what_is_no_record_is_left_alone, 0, sizeof(strangers) / sizeof(strangers[0]));
	tcase_add_test(tests, what_is_no_file_is_refused);
	tcase_add_test(tests, a_full_disk_leaves_whole_records);
	tcase_add_test(tests, a_renamed_file_is_followed_by_a_new_one);
	tcase_add_test(tests, two_writers_do_not_harm_each_other);
	tcase_add_test(tests, killed_at_any_moment);
	tcase_add_loop_test(tests, half_a_block_is_gone_on_with, 0, 2);
	tcase_add_test(tests, what_is_flushed_is_on_the_disk);
	tcase_add_test(tests, a_disk_that_fails_leaves_what_it_had);
	suite_add_tcase(suite, tests);
	return suite;
}
