/* The table of secured names and its file, kept alike: restarts, lifts, two processes, damage, a full disk. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ratchet.h"
#include "ratchet_file.h"
#include "ratchet_keeper.h"
#include "ratchets.h"
#include "saying.h"
#include "suite.h"

struct pair {
	char folder[32], path[64];
	struct ratchet *clients, *peers;
	struct ratchet_keeper *keeper;
};

static void open_pair(struct pair *pair)
{
	struct ratchet_keeper_options options = {.path = pair->path};
	struct error error;

	pair->clients = options.tables[RATCHET_CLIENT] = new_table(RATCHET_NAMES);
	pair->peers = options.tables[RATCHET_PEER] = new_table(RATCHET_NAMES);
	pair->keeper = ratchet_keeper_new(&options, &error);
	ck_assert_msg(pair->keeper != NULL, "%s", error.text);
}

static void make_pair(struct pair *pair)
{
	(void)strcpy(pair->folder, "/tmp/cci-ratchet-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(pair->folder));
	(void)snprintf(pair->path, sizeof(pair->path), "%s/names", pair->folder);
	open_pair(pair);
}

static void close_pair(struct pair *pair)
{
	ratchet_keeper_free(pair->keeper);
	ratchet_free(pair->clients);
	ratchet_free(pair->peers);
}

static void remove_pair(struct pair *pair)
{
	char path[80];

	close_pair(pair);
	(void)unlink(pair->path);
	(void)snprintf(path, sizeof(path), "%s.damaged", pair->path);
	(void)unlink(path);
	ck_assert_int_eq(rmdir(pair->folder), 0);
}

static size_t names_in(const char *path)
{
	struct ratchet_reading reading;
	struct error error;

	ck_assert_int_eq(ratchet_file_read(path, &reading, NULL, &error), RATCHET_READ_OK);
	free(reading.entries.at);
	return reading.entries.count;
}

START_TEST(names_outlive_a_restart)
{
	struct pair pair;
	struct stat found;

	make_pair(&pair);
	ck_assert_uint_eq(names_in(pair.path), 0);
	ck_assert_int_eq(stat(pair.path, &found), 0);
	ck_assert_uint_eq(found.st_mode & 07777, 0600);
	(void)ratchet_add(pair.clients, "BR01");
	(void)ratchet_add(pair.peers, "BR01");
	(void)ratchet_add(pair.peers, "HOST2");
	ratchet_keeper_turn(pair.keeper, 1000);
	ck_assert_uint_eq(names_in(pair.path), 3);
	(void)ratchet_add(pair.clients, "BR02"); /* written at the end */
	close_pair(&pair);
	open_pair(&pair);
	ck_assert(ratchet_holds(pair.clients, "BR01") && ratchet_holds(pair.clients, "BR02"));
	ck_assert(!ratchet_holds(pair.clients, "HOST2") && ratchet_holds(pair.peers, "HOST2"));
	/* What is too old leaves the file too. */
	ratchet_set_days(pair.clients, 1);
	now_s += 2 * DAY_S;
	ratchet_keeper_turn(pair.keeper, 2000);
	ck_assert_uint_eq(names_in(pair.path), 2);
	remove_pair(&pair);
}
END_TEST

/* As the command does it: read, leave one out, write, under the lock. */
static void lift(const char *path, const char *name)
{
	struct ratchet_reading reading;
	struct ratchet_entries *entries = &reading.entries;
	struct error error;
	size_t kept = 0;

	ck_assert_int_eq(ratchet_file_read(path, &reading, NULL, &error), RATCHET_READ_OK);
	for (size_t i = 0; i < entries->count; i++)
		if (strcmp(entries->at[i].name, name) != 0)
			entries->at[kept++] = entries->at[i];
	entries->count = kept;
	ck_assert_int_eq(ratchet_file_write(path, entries, &error), 0);
	free(entries->at);
}

START_TEST(a_lift_is_taken_and_nothing_else_is_lost)
{
	struct pair pair;
	bool busy;
	int lock;
	struct error error;

	make_pair(&pair);
	(void)ratchet_add(pair.clients, "A");
	(void)ratchet_add(pair.clients, "B");
	ratchet_keeper_turn(pair.keeper, 1000);
	(void)ratchet_add(pair.clients, "C");
	lock = ratchet_file_lock(pair.path, &busy, &error);
	ck_assert_int_ge(lock, 0);
	lift(pair.path, "A");
	/* While the command has the lock, the gateway neither reads nor writes. */
	ratchet_keeper_turn(pair.keeper, 3000);
	ck_assert_uint_eq(names_in(pair.path), 1);
	ck_assert(ratchet_holds(pair.clients, "A"));
	ratchet_file_unlock(lock);
	ratchet_keeper_turn(pair.keeper, 4000);
	ck_assert(!ratchet_holds(pair.clients, "A") && ratchet_holds(pair.clients, "B") && ratchet_holds(pair.clients, "C"));
	ck_assert_uint_eq(names_in(pair.path), 2);
	remove_pair(&pair);
}
END_TEST

/* Two gateways with one file, as while a new one takes over: each keeps what the other adds. */
START_TEST(two_processes_lose_no_name)
{
	struct pair old, new;

	make_pair(&old);
	new = old;
	open_pair(&new);
	(void)ratchet_add(old.clients, "OLD");
	(void)ratchet_add(new.clients, "NEW");
	ratchet_keeper_turn(old.keeper, 1000);
	ratchet_keeper_turn(new.keeper, 1000);
	ratchet_keeper_turn(old.keeper, 3000);
	ck_assert(ratchet_holds(old.clients, "NEW") && ratchet_holds(new.clients, "OLD"));
	lift(old.path, "OLD");
	ratchet_keeper_turn(old.keeper, 5000);
	ratchet_keeper_turn(new.keeper, 5000);
	ck_assert(!ratchet_holds(old.clients, "OLD") && !ratchet_holds(new.clients, "OLD"));
	close_pair(&old);
	remove_pair(&new);
}
END_TEST

static void damage(const char *path)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "client A 1 2 00000000\n", 22), 22);
	close(fd);
}

START_TEST(a_damaged_or_missing_file_lifts_nobody)
{
	struct pair pair;
	char aside[80];

	make_pair(&pair);
	(void)snprintf(aside, sizeof(aside), "%s.damaged", pair.path);
	(void)ratchet_add(pair.clients, "A");
	ratchet_keeper_turn(pair.keeper, 1000);
	damage(pair.path);
	ratchet_keeper_turn(pair.keeper, 3000);
	ck_assert(ratchet_holds(pair.clients, "A"));
	ck_assert_uint_eq(names_in(pair.path), 1);
	ck_assert_int_eq(access(aside, F_OK), 0);
	ck_assert_int_eq(unlink(pair.path), 0);
	ratchet_keeper_turn(pair.keeper, 5000);
	ck_assert(ratchet_holds(pair.clients, "A"));
	ck_assert_uint_eq(names_in(pair.path), 1);
	/* At the start as well: the gateway goes on. */
	damage(pair.path);
	close_pair(&pair);
	open_pair(&pair);
	ck_assert_uint_eq(names_in(pair.path), 0);
	remove_pair(&pair);
}
END_TEST

START_TEST(a_full_disk_costs_no_name)
{
	struct rlimit limit = {64, RLIM_INFINITY};
	struct pair pair;

	make_pair(&pair);
	(void)ratchet_add(pair.clients, "A_NAME_THAT_DOES_NOT_FIT_ANY_MORE");
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ratchet_keeper_turn(pair.keeper, 1000);
	ck_assert_uint_eq(names_in(pair.path), 0); /* the old file, whole */
	ck_assert(ratchet_holds(pair.clients, "A_NAME_THAT_DOES_NOT_FIT_ANY_MORE"));
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ratchet_keeper_turn(pair.keeper, 2000); /* too soon */
	ck_assert_uint_eq(names_in(pair.path), 0);
	ratchet_keeper_turn(pair.keeper, 12000);
	ck_assert_uint_eq(names_in(pair.path), 1);
	remove_pair(&pair);
}
END_TEST

/* What is logged while the keeper turns once a second, to the end of second `last`. */
static void turn(struct pair *pair, uint64_t *second, uint64_t last, char *said, size_t size)
{
	struct saying saying;

	saying_begin(&saying);
	for (; *second <= last; (*second)++)
		ratchet_keeper_turn(pair->keeper, 1000 * *second);
	(void)saying_end(&saying, said, size);
}

START_TEST(a_lock_that_is_never_given_back_is_said)
{
	uint64_t second = 1;
	struct error error;
	char said[1024];
	struct pair pair;
	bool busy;
	int lock;

	make_pair(&pair);
	(void)ratchet_add(pair.clients, "PC1");
	lock = ratchet_file_lock(pair.path, &busy, &error);
	ck_assert_int_ge(lock, 0);
	turn(&pair, &second, 30, said, sizeof(said));
	ck_assert_str_eq(said, "");
	turn(&pair, &second, 100, said, sizeof(said));
	ck_assert_msg(strstr(said, "id=CCI1032E") != NULL && strstr(said, "cannot be locked") != NULL, "%s", said);
	ck_assert_msg(strchr(said, '\n')[1] == '\0', "more than once: %s", said);
	ratchet_file_unlock(lock);
	ck_assert_uint_eq(names_in(pair.path), 0);
	turn(&pair, &second, 112, said, sizeof(said));
	ck_assert_uint_eq(names_in(pair.path), 1);
	remove_pair(&pair);
}
END_TEST

START_TEST(names_that_are_pushed_out_are_said)
{
	uint64_t second = 1;
	char said[1024], name[16];
	struct pair pair;

	make_pair(&pair);
	for (int i = 0; i < RATCHET_NAMES; i++) {
		(void)snprintf(name, sizeof(name), "N%d", i);
		(void)ratchet_add(pair.clients, name);
	}
	turn(&pair, &second, 1, said, sizeof(said));
	ck_assert_str_eq(said, "");
	for (int i = 0; i < 3; i++) {
		(void)snprintf(name, sizeof(name), "M%d", i);
		(void)ratchet_add(pair.clients, name);
	}
	ck_assert(!ratchet_holds(pair.clients, "N0") && ratchet_holds(pair.clients, "N3"));
	turn(&pair, &second, 2, said, sizeof(said));
	ck_assert_msg(strstr(said, "id=CCI1035W") != NULL && strstr(said, " clients=3 peers=0\n") != NULL, "%s", said);
	(void)ratchet_add(pair.clients, "M3");
	turn(&pair, &second, 3, said, sizeof(said));
	ck_assert_str_eq(said, "");
	second = 62;
	turn(&pair, &second, 62, said, sizeof(said));
	ck_assert_msg(strstr(said, " clients=1 peers=0\n") != NULL, "%s", said);
	remove_pair(&pair);
}
END_TEST

static const struct hopeless {
	const char *path, *words;
} hopeless[] = {
    {"/no-such-folder/names", "ratchet_file: the directory /no-such-folder: No such file or directory"},
    {"/proc/names", "ratchet_file: /proc/names cannot be written: "},
    {"/tmp", "ratchet_file: /tmp is not a regular file"},
};

/* Whoever owns the directory can put anything there under the name of the temporary file: another name of a file that is not
 * theirs, a link, a FIFO that nobody reads. */
START_TEST(nothing_is_written_through_what_stands_there)
{
	struct ratchet_entry entry = {.kind = RATCHET_CLIENT, .name = "PC1", .first_s = 1, .last_s = 2};
	char folder[] = "/tmp/cci-ratchet-XXXXXX", path[64], temporary[64], other[64], text[8] = "";
	struct error error;
	FILE *stream;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/names", folder);
	(void)snprintf(temporary, sizeof(temporary), "%s/names.new", folder);
	(void)snprintf(other, sizeof(other), "%s/other", folder);
	stream = fopen(other, "w");
	ck_assert(stream != NULL && fputs("mine", stream) >= 0 && fclose(stream) == 0);
	ck_assert_int_eq(_i == 0   ? link(other, temporary)
	                 : _i == 1 ? symlink(other, temporary)
	                           : mkfifo(temporary, 0666),
	                 0);
	ck_assert_msg(ratchet_file_write(path, &(struct ratchet_entries){&entry, 1}, &error) == 0, "%s", error.text);
	stream = fopen(other, "r");
	ck_assert(stream != NULL && fgets(text, sizeof(text), stream) != NULL && fclose(stream) == 0);
	ck_assert_str_eq(text, "mine");
	ck_assert_int_ne(access(temporary, F_OK), 0);
	ck_assert(unlink(path) == 0 && unlink(other) == 0 && rmdir(folder) == 0);
}
END_TEST

START_TEST(a_file_that_cannot_be_kept_is_an_error_at_the_start)
{
	struct ratchet_keeper_options options = {.path = hopeless[_i].path};
	struct error error;

	options.tables[RATCHET_CLIENT] = new_table(1);
	options.tables[RATCHET_PEER] = new_table(1);
	ck_assert_ptr_null(ratchet_keeper_new(&options, &error));
	ck_assert_msg(strncmp(error.text, hopeless[_i].words, strlen(hopeless[_i].words)) == 0, "%s", error.text);
	ratchet_free(options.tables[RATCHET_CLIENT]);
	ratchet_free(options.tables[RATCHET_PEER]);
}
END_TEST

/* By the gateway itself: at once, from the table and from the file. */
START_TEST(a_name_is_lifted_here_and_in_the_file)
{
	struct pair pair, other;
	struct error error;

	make_pair(&pair);
	(void)ratchet_add(pair.clients, "BR01");
	(void)ratchet_add(pair.clients, "BR02");
	(void)ratchet_add(pair.peers, "BR03");
	ratchet_keeper_sync(pair.keeper);
	ck_assert_uint_eq(names_in(pair.path), 3);
	ck_assert_int_eq(ratchet_keeper_lift(pair.keeper, RATCHET_CLIENT, "br01", &error), 0);
	ck_assert(!ratchet_holds(pair.clients, "BR01"));
	ck_assert(ratchet_holds(pair.clients, "BR02"));
	ck_assert_uint_eq(names_in(pair.path), 2);
	ck_assert_int_eq(ratchet_keeper_lift(pair.keeper, RATCHET_CLIENT, "BR01", &error), -1);
	ck_assert_str_eq(error.text, "no client BR01 is held");
	ck_assert_int_eq(ratchet_keeper_lift(pair.keeper, RATCHET_CLIENT, "BR03", &error), -1);
	ck_assert_str_eq(error.text, "no client BR03 is held, but a peer of that name: --peer");
	ck_assert_int_eq(ratchet_keeper_lift(pair.keeper, RATCHET_PEER, "BR03", &error), 0);
	ck_assert_uint_eq(names_in(pair.path), 1);
	/* What another process has written is known, and does not come back with the next turn. */
	other = pair;
	open_pair(&other);
	(void)ratchet_add(other.clients, "BR04");
	ratchet_keeper_sync(other.keeper);
	ck_assert_int_eq(ratchet_keeper_lift(pair.keeper, RATCHET_CLIENT, "BR04", &error), 0);
	ratchet_keeper_turn(pair.keeper, 100000);
	ratchet_keeper_turn(other.keeper, 100000);
	ck_assert(!ratchet_holds(pair.clients, "BR04"));
	ck_assert(!ratchet_holds(other.clients, "BR04"));
	close_pair(&other);
	/* Secured anew, it is held anew. */
	ck_assert(ratchet_add(pair.clients, "BR04"));
	ck_assert(ratchet_holds(pair.clients, "BR04"));
	remove_pair(&pair);
}
END_TEST

/* No file of ours may be longer than this. */
static void limit_files(rlim_t bytes)
{
	struct rlimit limit = {bytes, RLIM_INFINITY};

	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(a_lift_that_cannot_be_written_says_so)
{
	struct ratchet_keeper_options options = {.path = NULL};
	struct error error;
	struct pair pair;
	bool busy;
	int lock;

	make_pair(&pair);
	(void)ratchet_add(pair.clients, "BR01");
	(void)ratchet_add(pair.clients, "BR02");
	ratchet_keeper_sync(pair.keeper);
	lock = ratchet_file_lock(pair.path, &busy, &error);
	ck_assert_int_ge(lock, 0);
	ck_assert_int_eq(ratchet_keeper_lift(pair.keeper, RATCHET_CLIENT, "BR01", &error), -1);
	ck_assert_ptr_nonnull(strstr(error.text, "another process holds its lock"));
	ck_assert(ratchet_holds(pair.clients, "BR01"));
	ratchet_file_unlock(lock);
	limit_files(1);
	ck_assert_int_eq(ratchet_keeper_lift(pair.keeper, RATCHET_CLIENT, "BR01", &error), -1);
	ck_assert_ptr_nonnull(strstr(error.text, "BR01 is lifted, but the file holds it still, and a restart will: "));
	ck_assert(!ratchet_holds(pair.clients, "BR01"));
	limit_files(RLIM_INFINITY);
	/* It is tried again. */
	ratchet_keeper_turn(pair.keeper, 100000);
	ck_assert_uint_eq(names_in(pair.path), 1);
	remove_pair(&pair);
	/* Without a file, memory is all there is. */
	options.tables[RATCHET_CLIENT] = pair.clients = new_table(4);
	options.tables[RATCHET_PEER] = pair.peers = new_table(4);
	pair.keeper = ratchet_keeper_new(&options, &error);
	(void)ratchet_add(pair.clients, "BR01");
	ck_assert_int_eq(ratchet_keeper_lift(pair.keeper, RATCHET_CLIENT, "BR01", &error), 0);
	ck_assert(!ratchet_holds(pair.clients, "BR01"));
	close_pair(&pair);
}
END_TEST

/* Root may do everything, so it becomes somebody else here. */
START_TEST(permission_is_checked_before_it_is_needed)
{
	char folder[] = "/tmp/cci-ratchet-XXXXXX", path[64], words[160];
	struct error error;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/names", folder);
	ck_assert_int_eq(ratchet_file_check(path, &error), 0);
	ck_assert_int_eq(chmod(folder, 0555), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_int_eq(ratchet_file_check(path, &error), -1);
	(void)snprintf(words, sizeof(words), "%s cannot be written: its directory: Permission denied", path);
	ck_assert_str_eq(error.text, words);
	ck_assert_int_eq(seteuid(getuid()), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("ratchet_keeper");
	TCase *tests = tcase_create("ratchet_keeper");

	tcase_set_timeout(tests, 30);
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, names_outlive_a_restart);
	tcase_add_test(tests, a_lift_is_taken_and_nothing_else_is_lost);
	tcase_add_test(tests, two_processes_lose_no_name);
	tcase_add_test(tests, a_damaged_or_missing_file_lifts_nobody);
	tcase_add_test(tests, a_full_disk_costs_no_name);
	tcase_add_test(tests, names_that_are_pushed_out_are_said);
	tcase_add_test(tests, a_lock_that_is_never_given_back_is_said);
	tcase_add_test(tests, a_name_is_lifted_here_and_in_the_file);
	tcase_add_test(tests, a_lift_that_cannot_be_written_says_so);
	tcase_add_test(tests, permission_is_checked_before_it_is_needed);
	tcase_add_loop_test(tests, nothing_is_written_through_what_stands_there, 0, 3);
	tcase_add_loop_test(tests, a_file_that_cannot_be_kept_is_an_error_at_the_start, 0, 3);
	suite_add_tcase(suite, tests);
	return suite;
}
