/* Unix sockets to listen on: their files, from birth to removal. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "binding.h"
#include "listener_unix.h"
#include "listeners.h"
#include "suite.h"

static char folder[64], path[96];

static void make_folder(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/cci-unix-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/l.sock", folder);
}

static void remove_folder(void)
{
	(void)unlink(path);
	ck_assert_int_eq(rmdir(folder), 0);
}

/* With further lines of the listener. */
static struct config *config_of(const char *more)
{
	char text[512];

	(void)snprintf(text, sizeof(text), SERVICE LISTENER("a", "unix:%s") "%s", path, more);
	return load(text);
}

static mode_t mode_of(const char *file)
{
	struct stat found;

	ck_assert_int_eq(lstat(file, &found), 0);
	return found.st_mode;
}

START_TEST(one_socket_serves_all_workers_and_its_file_goes_with_it)
{
	struct config *config = config_of("");
	struct listener_set set;

	(void)umask(027);
	open_set(&set, config, NULL, 3);
	ck_assert_uint_eq(set.at[0].sockets, 1);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(listener_serves(&set.at[0], i, 3, 0));
	ck_assert(listener_is_shared(&set.at[0], 3));
	ck_assert_uint_eq(mode_of(path), S_IFSOCK | 0660);
	ck_assert(answers(&set.at[0]));
	listener_remove_files(&set, &set);
	ck_assert(answers(&set.at[0]));
	listener_remove_files(&set, NULL);
	ck_assert_int_eq(access(path, F_OK), -1);
	listener_close(&set);
	config_free(config);
}
END_TEST

static mode_t mode_at_bind;

static int look_and_bind(int fd, const struct sockaddr *address, socklen_t size)
{
	struct stat found;

	ck_assert_int_eq(fstat(fd, &found), 0);
	mode_at_bind = found.st_mode & 0777;
	return bind(fd, address, size);
}

/* The file gets the mode of the socket as it is bound: nobody's, until it is known whose. */
START_TEST(no_moment_is_for_all)
{
	static const struct binding looking = {.bind = look_and_bind, .listen = listen};
	struct config *config = config_of("unix_mode = 0602\n");
	struct listener_set set;

	mode_at_bind = 0777;
	binding_use(&looking);
	open_set(&set, config, NULL, 1);
	binding_use(NULL);
	ck_assert_uint_eq(mode_at_bind, 0);
	ck_assert_uint_eq(mode_of(path), S_IFSOCK | 0602);
	listener_remove_files(&set, NULL);
	listener_close(&set);
	config_free(config);
}
END_TEST

START_TEST(mode_and_owner_are_as_written)
{
	struct config *config = config_of("unix_mode = 0602\nunix_owner = 4711\nunix_group = 4712\n");
	struct listener_set set;
	struct stat found;

	if (getuid() != 0) {
		ck_assert_int_eq(listener_open(&set, config, NULL, NULL, 1, &error), -1);
		ck_assert_msg(strstr(error.text, "only root can give") != NULL, "%s", error.text);
		ck_assert_int_eq(access(path, F_OK), -1);
	} else {
		open_set(&set, config, NULL, 1);
		ck_assert_int_eq(lstat(path, &found), 0);
		ck_assert_uint_eq(found.st_mode, S_IFSOCK | 0602);
		ck_assert_uint_eq(found.st_uid, 4711);
		ck_assert_uint_eq(found.st_gid, 4712);
		listener_remove_files(&set, NULL);
		listener_close(&set);
	}
	config_free(config);
}
END_TEST

/* A process that ends without a word leaves its file. */
static void leave_socket(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct listener_set set;

		open_set(&set, config_of(""), NULL, 1);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(access(path, F_OK), 0);
}

START_TEST(what_a_dead_process_left_is_replaced)
{
	struct config *config = config_of("");
	struct listener_set set;

	leave_socket();
	open_set(&set, config, NULL, 1);
	ck_assert(answers(&set.at[0]));
	listener_remove_files(&set, NULL);
	listener_close(&set);
	config_free(config);
}
END_TEST

START_TEST(what_is_in_use_is_an_error_and_goes_on)
{
	struct config *config = config_of("");
	struct listener_set first, second;

	open_set(&first, config, NULL, 1);
	ck_assert_int_eq(listener_open(&second, config, NULL, NULL, 1, &error), -1);
	ck_assert_msg(strstr(error.text, "is in use by another program") != NULL, "%s", error.text);
	ck_assert_msg(strstr(error.text, "test.ini:5: [listener a]") != NULL, "%s", error.text);
	ck_assert(answers(&first.at[0]));
	listener_remove_files(&first, NULL);
	listener_close(&first);
	config_free(config);
}
END_TEST

START_TEST(what_is_no_socket_is_never_removed)
{
	struct config *config = config_of("");
	struct listener_set set;
	bool link = _i == 1;

	if (link)
		ck_assert_int_eq(symlink("/dev/null", path), 0);
	else
		close(open(path, O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(listener_open(&set, config, NULL, NULL, 1, &error), -1);
	ck_assert_msg(strstr(error.text, "is no socket: it is left alone") != NULL, "%s", error.text);
	ck_assert_uint_eq(mode_of(path) & S_IFMT, link ? S_IFLNK : S_IFREG);
	config_free(config);
}
END_TEST

/* Ours is gone, and another program has made its own: that is left alone. */
START_TEST(the_file_of_another_is_not_removed)
{
	struct config *config = config_of("");
	struct listener_set first, second;

	open_set(&first, config, NULL, 1);
	/* The name kept, its inode cannot be given to the next. */
	char kept[112];
	(void)snprintf(kept, sizeof(kept), "%s.old", path);
	ck_assert_int_eq(rename(path, kept), 0);
	open_set(&second, config, NULL, 1);
	listener_remove_files(&first, NULL);
	ck_assert_int_eq(access(path, F_OK), 0);
	listener_remove_files(&second, NULL);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(unlink(kept), 0);
	listener_close(&first);
	listener_close(&second);
	config_free(config);
}
END_TEST

START_TEST(a_reload_keeps_it_and_changes_its_mode)
{
	struct config *before = config_of(""), *after = config_of("unix_mode = 0600\n");
	struct listener_set old, new;
	int waiting = socket(AF_UNIX, SOCK_STREAM, 0);

	open_set(&old, before, NULL, 2);
	ck_assert_int_eq(connect(waiting, &old.at[0].bound.any, sizeof(old.at[0].bound.local)), 0);
	open_set(&new, after, &old, 2);
	listener_remove_files(&old, &new);
	listener_close(&old);
	listener_permit(&new, after);
	ck_assert_uint_eq(mode_of(path), S_IFSOCK | 0600);
	ck_assert_int_ge(accept(new.at[0].fds[0], NULL, NULL), 0);
	listener_remove_files(&new, NULL);
	ck_assert_int_eq(access(path, F_OK), -1);
	listener_close(&new);
	config_free(before);
	config_free(after);
	close(waiting);
}
END_TEST

/* Whoever may write in its folder shall not have a reload change what they could not change themselves. */
START_TEST(what_took_its_place_is_left_alone)
{
	struct config *before = config_of(""), *after = config_of("unix_mode = 0622\n");
	struct listener_set set;
	char victim[112], kept[112];

	open_set(&set, before, NULL, 1);
	(void)snprintf(victim, sizeof(victim), "%s.victim", path);
	(void)snprintf(kept, sizeof(kept), "%s.old", path);
	ck_assert_int_eq(mkdir(victim, 0700), 0);
	ck_assert_int_eq(rename(path, kept), 0);
	ck_assert(!listener_unix_is_there(&set.at[0]));
	ck_assert_int_eq(listener_unix_permit(&set.at[0], &after->listeners[0], &error), -1);
	ck_assert_msg(strstr(error.text, "was removed") != NULL, "%s", error.text);
	ck_assert_int_eq(_i == 0 ? symlink(victim, path) : rename(victim, path), 0);
	ck_assert(!listener_unix_is_there(&set.at[0]));
	ck_assert_int_eq(listener_unix_permit(&set.at[0], &after->listeners[0], &error), -1);
	ck_assert_msg(strstr(error.text, "is not the socket any more") != NULL, "%s", error.text);
	ck_assert_uint_eq(mode_of(_i == 0 ? victim : path), S_IFDIR | 0700);
	ck_assert_int_eq(remove(path), 0);
	(void)remove(victim);
	ck_assert_int_eq(rename(kept, path), 0);
	ck_assert(listener_unix_is_there(&set.at[0]));
	ck_assert_int_eq(listener_unix_permit(&set.at[0], &after->listeners[0], &error), 0);
	ck_assert_uint_eq(mode_of(path), S_IFSOCK | 0622);
	listener_remove_files(&set, NULL);
	listener_close(&set);
	config_free(before);
	config_free(after);
}
END_TEST

/* An error after it was made: nothing stays. */
START_TEST(a_failure_leaves_no_file)
{
	char text[512];
	struct config *config;
	struct listener_set set;
	int before;

	(void)snprintf(text, sizeof(text), SERVICE LISTENER("a", "unix:%s, unix:%s/no/where"), path, folder);
	config = load(text);
	before = open_descriptors();
	ck_assert_int_eq(listener_open(&set, config, NULL, NULL, 1, &error), -1);
	ck_assert_msg(strstr(error.text, "its directory is missing") != NULL, "%s", error.text);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(open_descriptors(), before);
	config_free(config);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("listener_unix");
	TCase *tests = tcase_create("unix");

	tcase_add_checked_fixture(tests, make_folder, remove_folder);
	tcase_add_test(tests, one_socket_serves_all_workers_and_its_file_goes_with_it);
	tcase_add_test(tests, no_moment_is_for_all);
	tcase_add_test(tests, mode_and_owner_are_as_written);
	tcase_add_test(tests, what_a_dead_process_left_is_replaced);
	tcase_add_test(tests, what_is_in_use_is_an_error_and_goes_on);
	tcase_add_loop_test(tests, what_is_no_socket_is_never_removed, 0, 2);
	tcase_add_test(tests, the_file_of_another_is_not_removed);
	tcase_add_test(tests, a_reload_keeps_it_and_changes_its_mode);
	tcase_add_loop_test(tests, what_took_its_place_is_left_alone, 0, 2);
	tcase_add_test(tests, a_failure_leaves_no_file);
	suite_add_tcase(suite, tests);
	return suite;
}
