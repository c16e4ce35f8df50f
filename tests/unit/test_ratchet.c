/* Names that were secured: their age and order, and the lines of the file that keeps them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ratchet.h"
#include "ratchet_file.h"
#include "ratchets.h"
#include "suite.h"

/* --- the table --- */

START_TEST(a_name_holds_for_its_days)
{
	struct ratchet *ratchet = new_table(10);

	ck_assert(ratchet_add(ratchet, "OLD"));
	now_s += 2 * DAY_S;
	ck_assert(ratchet_add(ratchet, "NEW"));
	now_s += 2 * DAY_S;
	ck_assert(ratchet_holds(ratchet, "old"));
	ratchet_set_days(ratchet, 3);
	ck_assert(!ratchet_holds(ratchet, "OLD") && ratchet_holds(ratchet, "NEW"));
	/* Secured again: it is new, and said to be so. */
	ck_assert(ratchet_add(ratchet, "OLD"));
	ck_assert(ratchet_holds(ratchet, "OLD"));
	now_s += DAY_S + 1;
	ck_assert_uint_eq(ratchet_expire(ratchet), 1);
	ck_assert_uint_eq(ratchet_count(ratchet), 1);
	/* A clock that was set back lets nobody in. */
	now_s -= 500 * DAY_S;
	ck_assert_uint_eq(ratchet_expire(ratchet), 0);
	ck_assert(ratchet_holds(ratchet, "OLD"));
	ratchet_free(ratchet);
}
END_TEST

static void nothing_lifted(const struct ratchet_entry *entry)
{
	ck_abort_msg("%s was lifted", entry->name);
}

static char lifted[256];

static void note_lifted(const struct ratchet_entry *entry)
{
	(void)strcat(strcat(lifted, entry->name), " ");
}

START_TEST(a_merge_lifts_only_what_was_on_disk)
{
	struct ratchet *ratchet = new_table(10);
	struct ratchet_entries entries = {NULL, 0};
	struct ratchet_changes changes;
	struct ratchet_entry file[2] = {{RATCHET_CLIENT, "KEPT", 5, 6}, {RATCHET_PEER, "ADDED", 7, 8}};
	struct ratchet_news news = {.at = file, .count = 2, .lifted = note_lifted};

	(void)ratchet_add(ratchet, "KEPT");
	(void)ratchet_add(ratchet, "GONE");
	ck_assert_int_eq(ratchet_list(ratchet, RATCHET_CLIENT, &entries, &changes), 0);
	(void)ratchet_add(ratchet, "ADDED");
	ratchet_saved(ratchet, &changes);
	lifted[0] = '\0';
	ck_assert_int_eq(ratchet_merge(ratchet, &news), 0);
	ck_assert_str_eq(lifted, "GONE ");
	ck_assert(ratchet_holds(ratchet, "KEPT") && ratchet_holds(ratchet, "ADDED") && !ratchet_holds(ratchet, "GONE"));
	/* The same without the right to lift: after damage. */
	news.count = 0;
	news.lifted = NULL;
	ck_assert_int_eq(ratchet_merge(ratchet, &news), 0);
	ck_assert_uint_eq(ratchet_count(ratchet), 2);
	free(entries.at);
	ratchet_free(ratchet);
}
END_TEST

START_TEST(a_merge_keeps_the_order_and_the_bound)
{
	struct ratchet *ratchet = new_table(1000);
	struct ratchet_entry file[1500];
	struct ratchet_news news = {.at = file, .count = 1500, .lifted = nothing_lifted};
	struct ratchet_entries entries = {NULL, 0};
	struct ratchet_changes changes;

	for (unsigned i = 0; i < 1500; i++) {
		file[i] = (struct ratchet_entry){.first_s = 1, .last_s = i * 7919 % 1500 + 10};
		(void)snprintf(file[i].name, sizeof(file[i].name), "N%u", i);
	}
	now_s = 1;
	(void)ratchet_add(ratchet, "OLDEST");
	ck_assert_int_eq(ratchet_merge(ratchet, &news), 0);
	ck_assert_uint_eq(ratchet_count(ratchet), 1000);
	ck_assert(!ratchet_holds(ratchet, "OLDEST"));
	ck_assert_int_eq(ratchet_list(ratchet, RATCHET_CLIENT, &entries, &changes), 0);
	ck_assert_uint_eq(entries.count, 1000);
	for (unsigned i = 0; i < 1000; i++) {
		ck_assert_uint_eq(entries.at[i].last_s, i + 510);
		ck_assert(ratchet_holds(ratchet, entries.at[i].name));
	}
	free(entries.at);
	ratchet_free(ratchet);
}
END_TEST

/* --- the file --- */

static const struct ratchet_entry three[] = {
    {RATCHET_CLIENT, "BR01", 1732439000, 1732439100}, {RATCHET_PEER, "host#2", 0, 9}, {RATCHET_CLIENT, "a@$._-", 3, 4}};

static size_t print(char *bytes, size_t size)
{
	struct ratchet_entries entries = {(struct ratchet_entry *)(uintptr_t)three, 3};
	FILE *stream = fmemopen(bytes, size, "w");
	long length;

	ck_assert_ptr_nonnull(stream);
	ck_assert_int_eq(ratchet_file_print(stream, &entries), 0);
	length = ftell(stream);
	(void)fclose(stream);
	return (size_t)length;
}

static enum ratchet_read parse(const char *bytes, size_t length, struct ratchet_reading *reading)
{
	FILE *stream = length > 0 ? fmemopen((void *)(uintptr_t)bytes, length, "r") : fopen("/dev/null", "r");
	enum ratchet_read result;
	struct error error;

	ck_assert_ptr_nonnull(stream);
	result = ratchet_file_parse(stream, reading, &error);
	(void)fclose(stream);
	return result;
}

static bool has(const struct ratchet_reading *reading, const struct ratchet_entry *entry)
{
	for (size_t i = 0; i < reading->entries.count; i++)
		if (memcmp(&reading->entries.at[i], entry, sizeof(*entry)) == 0)
			return true;
	return false;
}

START_TEST(what_is_written_is_read_back)
{
	struct ratchet_reading reading;
	char bytes[1024];
	size_t length = print(bytes, sizeof(bytes));

	ck_assert_int_eq(parse(bytes, length, &reading), RATCHET_READ_OK);
	ck_assert_uint_eq(reading.entries.count, 3);
	ck_assert_mem_eq(reading.entries.at, three, sizeof(three));
	free(reading.entries.at);
}
END_TEST

/* In place of the C library's. */
static bool sync_fails;
static int syncs;

int fsync(int fd)
{
	syncs++;
	if (sync_fails) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

/* The new file, before it takes the place of the old, and its folder behind. */
START_TEST(what_is_not_on_the_disk_is_not_written)
{
	const struct ratchet_entries entries = {(struct ratchet_entry *)(uintptr_t)three, 3};
	char folder[] = "/tmp/cci-ratchet-XXXXXX", path[64], new[64];
	struct ratchet_reading reading;
	struct error error;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/names", folder);
	(void)snprintf(new, sizeof(new), "%s/names.new", folder);
	syncs = 0;
	ck_assert_int_eq(ratchet_file_write(path, &entries, &error), 0);
	ck_assert_int_eq(syncs, 2);
	sync_fails = true;
	ck_assert_int_eq(ratchet_file_write(path, &(struct ratchet_entries){NULL, 0}, &error), -1);
	sync_fails = false;
	ck_assert_int_eq(access(new, F_OK), -1);
	ck_assert_int_eq(ratchet_file_read(path, &reading, NULL, &error), RATCHET_READ_OK);
	ck_assert_uint_eq(reading.entries.count, 3);
	free(reading.entries.at);
	(void)unlink(path);
	(void)rmdir(folder);
}
END_TEST

/* The line that each byte is in costs nothing but itself. */
static void check_damaged(const char *good, size_t at, const struct ratchet_reading *reading)
{
	const char *line = good;

	for (int i = -1; i < 3; i++) {
		const char *next = strchr(line, '\n') + 1;
		/* A newline that is damaged joins two lines. */
		bool hit = good + at >= line - 1 && good + at < next;

		if (i >= 0 && !hit)
			ck_assert_msg(has(reading, &three[i]), "%s is lost by damage at %zu", three[i].name, at);
		line = next;
	}
}

START_TEST(damage_costs_no_intact_line)
{
	char good[1024], bad[1024];
	size_t length = print(good, sizeof(good));
	static const char values[] = {0, '\n', ' ', '0', 'A', (char)0xff};

	good[length] = '\0';
	for (size_t at = 0; at < length; at++) {
		for (size_t i = 0; i < sizeof(values) + 8; i++) {
			struct ratchet_reading reading;

			memcpy(bad, good, length);
			bad[at] = (char)(i < sizeof(values) ? values[i] : bad[at] ^ (1 << (i - sizeof(values))));
			if (bad[at] == good[at])
				continue;
			ck_assert_int_eq(parse(bad, length, &reading), RATCHET_READ_DAMAGED);
			check_damaged(good, at, &reading);
			ck_assert_uint_le(reading.entries.count, 3);
			free(reading.entries.at);
		}
	}
}
END_TEST

START_TEST(truncation_and_growth_are_noticed)
{
	char good[1024];
	size_t length = print(good, sizeof(good));
	struct ratchet_reading reading;

	for (size_t cut = 0; cut < length; cut++) {
		ck_assert_int_eq(parse(good, cut, &reading), RATCHET_READ_DAMAGED);
		for (size_t i = 0, seen = 0; i < 3; i++) {
			seen = (size_t)(strchr(strstr(good, three[i].name), '\n') - good);
			if (cut >= seen)
				ck_assert(has(&reading, &three[i]));
		}
		free(reading.entries.at);
	}
	memcpy(good + length, good, length);
	ck_assert_int_eq(parse(good, 2 * length, &reading), RATCHET_READ_DAMAGED);
	free(reading.entries.at);
	memset(good, 'x', sizeof(good));
	ck_assert_int_eq(parse(good, sizeof(good), &reading), RATCHET_READ_DAMAGED);
	ck_assert_uint_eq(reading.damaged_lines, 1);
	free(reading.entries.at);
}
END_TEST

/* Lines with a right sum that say what none of ours says: name, words, numbers. And another version is no damage. */
static const struct strange {
	const char *bytes;
	enum ratchet_read result;
	const char *words;
} stranges[] = {
    {"ccissl-ratchet 2 c63faeab\n", RATCHET_READ_FAILED, "is of version 2, and this program knows 1"},
    {"ccissl-ratchet 1 5f36ff11\nclient A*B 1 2 04911e30\nend 0 b08af8e2\n", RATCHET_READ_DAMAGED, "1 line damaged, 0 names are intact"},
    {"ccissl-ratchet 1 5f36ff11\nend 1 c78dc874\n", RATCHET_READ_DAMAGED, "1 of 1 names are lost, 0 names are intact"},
    {"end 0 b08af8e2\n", RATCHET_READ_DAMAGED, "the first line is missing, 0 names are intact"},
};

START_TEST(strange_files_are_described)
{
	const struct strange *strange = &stranges[_i];
	FILE *stream = fmemopen((void *)(uintptr_t)strange->bytes, strlen(strange->bytes), "r");
	struct ratchet_reading reading;
	struct error error;
	struct text text;
	char words[256];

	text_init(&text, words, sizeof(words));
	ck_assert_int_eq(ratchet_file_parse(stream, &reading, &error), strange->result);
	if (strange->result == RATCHET_READ_DAMAGED)
		ratchet_file_describe(&reading, &text);
	ck_assert_str_eq(strange->result == RATCHET_READ_FAILED ? error.text : words, strange->words);
	free(reading.entries.at);
	(void)fclose(stream);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("ratchet");
	TCase *tests = tcase_create("ratchet");

	tcase_set_timeout(tests, 30);
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, a_name_holds_for_its_days);
	tcase_add_test(tests, a_merge_lifts_only_what_was_on_disk);
	tcase_add_test(tests, a_merge_keeps_the_order_and_the_bound);
	tcase_add_test(tests, what_is_written_is_read_back);
	tcase_add_test(tests, what_is_not_on_the_disk_is_not_written);
	tcase_add_test(tests, damage_costs_no_intact_line);
	tcase_add_test(tests, truncation_and_growth_are_noticed);
	tcase_add_loop_test(tests, strange_files_are_described, 0, 4);
	suite_add_tcase(suite, tests);
	return suite;
}
