/* Whose the path of a socket for subscribers is: after a crash, a reload, an upgrade. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "subscribing.h"
#include "suite.h"

static mode_t mode_of(void)
{
	struct stat found;

	return lstat(path, &found) == 0 ? found.st_mode : 0;
}

START_TEST(the_path_is_made_replaced_and_removed)
{
	void *state = NULL;
	pid_t pid;
	int fd;

	make_folder();
	/* What a dead process left. */
	pid = fork();
	if (pid == 0) {
		(void)open_it(4096);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_uint_ne(mode_of(), 0);
	ck_assert_int_eq(try_open(4096, 0640, &state), 0);
	ck_assert_uint_eq(mode_of(), S_IFSOCK | 0640);
	close_it(state);
	ck_assert_uint_eq(mode_of(), 0);
	/* What somebody else put in its place meanwhile stays. */
	state = open_it(4096);
	ck_assert_int_eq(unlink(path), 0);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	close_it(state);
	ck_assert_uint_eq(mode_of(), S_IFREG | 0600);
	/* A file that is no socket is left alone. */
	ck_assert_int_eq(try_open(4096, 0600, &state), -1);
	ck_assert_ptr_nonnull(strstr(words, "is there and is no socket"));
	close(fd);
	ck_assert_int_eq(unlink(path), 0);
	remove_folder();
}
END_TEST

static int findings;

static void note_finding(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	(void)context;
	(void)snprintf(words, sizeof(words), "%s %s:%u: %s", is_error ? "error" : "warning", file, line, text);
	findings++;
}

START_TEST(the_check_says_what_is_wrong_with_a_path)
{
	char missing[96], longer[200];
	struct config_notifier section = {
	    .place = {(char *)(uintptr_t) "n", 3}, .kind = (char *)(uintptr_t) "socket", .path = path};
	struct config config = {.file = (char *)(uintptr_t) "f", .notifiers = &section, .notifier_count = 1};
	void *state;
	int fd;

	make_folder();
	ck_assert_int_eq(notifier_socket_check(&config, note_finding, NULL), 0);
	state = open_it(4096);
	ck_assert_int_eq(notifier_socket_check(&config, note_finding, NULL), 0);
	close_it(state);
	ck_assert_int_eq(findings, 0);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(notifier_socket_check(&config, note_finding, NULL), -1);
	ck_assert_ptr_nonnull(strstr(words, "error f:0: [notifier n] path: "));
	ck_assert_ptr_nonnull(strstr(words, "is there and is no socket: it is left alone; choose another path"));
	close(fd);
	ck_assert_int_eq(unlink(path), 0);
	(void)snprintf(missing, sizeof(missing), "%s/no/s.sock", folder);
	section.path = missing;
	ck_assert_int_eq(notifier_socket_check(&config, note_finding, NULL), 0);
	ck_assert_ptr_nonnull(strstr(words, "warning f:0: [notifier n] path: "));
	ck_assert_ptr_nonnull(strstr(words, "its directory is missing"));
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	section.path = longer;
	ck_assert_int_eq(notifier_socket_check(&config, note_finding, NULL), -1);
	ck_assert_ptr_nonnull(strstr(words, "is too long for a unix socket: at most 107 characters"));
	ck_assert_int_eq(findings, 3);
	remove_folder();
}
END_TEST

/* A process that is not our parent has it. */
START_TEST(a_path_in_use_is_an_error)
{
	void *state = NULL;
	char byte;
	int ends[2];
	pid_t pid;

	make_folder();
	ck_assert_int_eq(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		state = open_it(4096);
		(void)!write(ends[1], "r", 1);
		pause();
	}
	ck_assert_int_eq(read(ends[0], &byte, 1), 1);
	ck_assert_int_eq(try_open(4096, 0600, &state), -1);
	ck_assert_ptr_nonnull(strstr(words, "s.sock is in use by another program: stop it, or listen elsewhere"));
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	state = open_it(4096);
	close_it(state);
	remove_folder();
}
END_TEST

START_TEST(other_settings_are_the_same_socket)
{
	struct listener listener;
	void *old, *other = NULL;

	make_folder();
	old = open_it(1 << 20);
	ck_assert_int_eq(tell(old, CCI_UNSECURED, 1), CCI_NOTIFIED);
	ck_assert(subscribe(&listener));
	expect(&listener, "open");
	expect(&listener, "now");
	ck_assert_int_eq(try_open(8192, 0660, &other), 0);
	ck_assert_uint_eq(mode_of(), S_IFSOCK | 0660);
	ck_assert_uint_eq(status_of(old).queue_bytes, 8192);
	/* Those of both are told of to all. */
	ck_assert_int_eq(tell(other, CCI_UNSECURED, 2), CCI_NOTIFIED);
	ck_assert_int_eq(tell(old, CCI_CLOSED, 1), CCI_NOTIFIED);
	expect(&listener, "unsecured");
	expect(&listener, "closed");
	/* A reload that comes to nothing, and one that does not. */
	close_it(other);
	ck_assert_uint_eq(mode_of(), S_IFSOCK | 0600);
	ck_assert_uint_eq(status_of(old).queue_bytes, 1 << 20);
	ck_assert_int_eq(try_open(8192, 0660, &other), 0);
	close_it(old);
	ck_assert_uint_eq(mode_of(), S_IFSOCK | 0660);
	ck_assert_uint_eq(status_of(other).queue_bytes, 8192);
	ck_assert_int_eq(tell(other, CCI_CLOSED, 2), CCI_NOTIFIED);
	expect(&listener, "closed");
	close_it(other);
	ck_assert_uint_eq(mode_of(), 0);
	leave(&listener);
	remove_folder();
}
END_TEST

/* --- upgrade --- */

static void await(int fd)
{
	char byte;

	ck_assert_int_eq(read(fd, &byte, 1), 1);
}

/* The new process: `to` says what it has done, `from` that it may go on. It has no memory of the old one's. */
static void succeed(int from, int to)
{
	void *state;

	await(from);
	state = open_it(1 << 20);
	(void)tell(state, CCI_UNSECURED, 42);
	(void)!write(to, "o", 1);
	await(from);
	notifier_socket_take_over();
	(void)!write(to, "t", 1);
	await(from);
	notifier_socket_kind.reopen(state);
	(void)!write(to, "r", 1);
	await(from);
	close_it(state);
	_exit(0);
}

START_TEST(the_path_goes_to_the_new_process_when_it_serves)
{
	struct listener of_old, of_new, late;
	int down[2], up[2];
	void *state;
	pid_t pid;

	make_folder();
	ck_assert_int_eq(pipe(down), 0);
	ck_assert_int_eq(pipe(up), 0);
	pid = fork();
	if (pid == 0)
		succeed(down[0], up[1]);
	state = open_it(1 << 20);
	ck_assert_int_eq(write(down[1], "o", 1), 1);
	await(up[0]);
	/* It may still fail: all goes on as before. */
	ck_assert(subscribe(&of_old));
	expect(&of_old, "now");
	ck_assert_int_eq(number(&of_old, "open"), 0);
	ck_assert(subscribe(&late));
	ck_assert_int_eq(write(down[1], "t", 1), 1);
	await(up[0]);
	notifier_socket_hand_over(pid);
	expect(&of_old, "handed-over");
	ck_assert_int_eq(number(&of_old, "pid"), pid);
	expect(&late, "now");
	expect(&late, "handed-over");
	ck_assert(subscribe(&of_new));
	expect(&of_new, "open");
	ck_assert_uint_eq(connection_of(&of_new), 42);
	/* The old one's connections are still told of; its end leaves the path alone. */
	ck_assert_int_eq(tell(state, CCI_CLOSED, 1), CCI_NOTIFIED);
	expect(&of_old, "closed");
	close_it(state);
	ck_assert_uint_ne(mode_of(), 0);
	ck_assert_ptr_null(next(&of_old));
	ck_assert_int_eq(write(down[1], "re", 2), 2);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_uint_eq(mode_of(), 0);
	leave(&of_old);
	leave(&of_new);
	leave(&late);
	remove_folder();
}
END_TEST

START_TEST(what_cannot_be_taken_over_is_tried_again)
{
	struct listener listener;
	int down[2], up[2];
	void *state;
	pid_t pid;

	make_folder();
	ck_assert_int_eq(pipe(down), 0);
	ck_assert_int_eq(pipe(up), 0);
	pid = fork();
	if (pid == 0)
		succeed(down[0], up[1]);
	state = open_it(1 << 20);
	ck_assert_int_eq(write(down[1], "o", 1), 1);
	await(up[0]);
	/* Something is in its way. */
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(write(down[1], "t", 1), 1);
	await(up[0]);
	ck_assert_uint_eq(mode_of() & S_IFMT, S_IFDIR);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(write(down[1], "r", 1), 1);
	await(up[0]);
	ck_assert(subscribe(&listener));
	expect(&listener, "open");
	ck_assert_uint_eq(connection_of(&listener), 42);
	close_it(state);
	ck_assert_int_eq(write(down[1], "e", 1), 1);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	leave(&listener);
	remove_folder();
}
END_TEST

/* Who had waited to be let in meanwhile. */
START_TEST(who_comes_too_late_is_told_where_to_go)
{
	struct listener listener;
	void *state;

	make_folder();
	state = open_it(1 << 20);
	(void)tell(state, CCI_UNSECURED, 42);
	notifier_socket_hand_over(4711);
	ck_assert(subscribe(&listener));
	expect(&listener, "open");
	expect(&listener, "now");
	expect(&listener, "handed-over");
	ck_assert_int_eq(number(&listener, "pid"), 4711);
	(void)tell(state, CCI_CLOSED, 42);
	expect(&listener, "closed");
	leave(&listener);
	close_it(state);
	remove_folder();
}
END_TEST

START_TEST(the_path_stays_where_the_new_process_fails)
{
	struct listener listener;
	int down[2];
	void *state;
	pid_t pid;

	make_folder();
	ck_assert_int_eq(pipe(down), 0);
	pid = fork();
	if (pid == 0) {
		await(down[0]);
		close_it(open_it(1 << 20));
		_exit(0);
	}
	state = open_it(1 << 20);
	ck_assert_int_eq(write(down[1], "o", 1), 1);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert(subscribe(&listener));
	expect(&listener, "now");
	leave(&listener);
	close_it(state);
	remove_folder();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("notifier_socket_path");
	TCase *tests = tcase_create("notifier_socket_path");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, the_path_is_made_replaced_and_removed);
	tcase_add_test(tests, the_check_says_what_is_wrong_with_a_path);
	tcase_add_test(tests, a_path_in_use_is_an_error);
	tcase_add_test(tests, other_settings_are_the_same_socket);
	tcase_add_test(tests, the_path_goes_to_the_new_process_when_it_serves);
	tcase_add_test(tests, what_cannot_be_taken_over_is_tried_again);
	tcase_add_test(tests, who_comes_too_late_is_told_where_to_go);
	tcase_add_test(tests, the_path_stays_where_the_new_process_fails);
	suite_add_tcase(suite, tests);
	return suite;
}
