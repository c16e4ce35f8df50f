/* Scenarios of the control socket: its life through reloads, upgrades, other users and full tables. */
#include <check.h>
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "controlling.h"

static struct gateway gateway;

static void start(void)
{
	control_make_folder();
	gateway_start(&gateway, "ccissl", CONTROL_BARE, "socket = ", control_path, "");
}

static void stop(void)
{
	gateway_stop(&gateway);
	control_remove_folder();
}

/* --- reloads --- */

static void reload(const char *line, const char *path, const char *more)
{
	gateway_rewrite(&gateway, CONTROL_BARE, line, path, more);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
}

static void check_mode(const char *path, mode_t mode)
{
	struct stat found;

	ck_assert_int_eq(lstat(path, &found), 0);
	ck_assert_msg(found.st_mode == (S_IFSOCK | mode), "%o", found.st_mode);
}

START_TEST(a_reload_moves_the_socket)
{
	char other[96], first[96];

	start();
	(void)snprintf(first, sizeof(first), "%s", control_path);
	(void)snprintf(other, sizeof(other), "%.60s/other", control_folder);
	check_mode(first, 0600);
	reload("socket = ", first, "mode = 0660");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	check_mode(first, 0660);
	control_say("status\n", "\"ok\":true");
	/* A place where none can be: all stays as it is. */
	reload("socket = ", "/proc/nowhere/s", "mode = 0600");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1007E", "config.ini:", "[control] socket"), 1);
	check_mode(first, 0660);
	control_say("status\n", "\"ok\":true");
	/* Something else stands there: it stays as it is. Nothing does: the socket is made anew. */
	ck_assert_int_eq(unlink(first), 0);
	ck_assert_int_eq(mkdir(first, 0755), 0);
	reload("socket = ", first, "");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1007E", "[control] socket", "is no socket"), 1);
	ck_assert_int_eq(rmdir(first), 0);
	reload("socket = ", first, "");
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1006I", NULL, NULL), 2);
	check_mode(first, 0600);
	control_say("status\n", "\"ok\":true");
	reload("socket = ", other, "");
	ck_assert_int_eq(gateway_lines(&gateway, 3, "id=CCI1006I", NULL, NULL), 3);
	ck_assert_int_lt(access(first, F_OK), 0);
	check_mode(other, 0600);
	(void)snprintf(control_path, sizeof(control_path), "%s", other);
	control_say("status\n", "\"ok\":true");
	reload("", "", "");
	ck_assert_int_eq(gateway_lines(&gateway, 4, "id=CCI1006I", NULL, NULL), 4);
	ck_assert_int_lt(access(other, F_OK), 0);
	reload("socket = ", other, "");
	ck_assert_int_eq(gateway_lines(&gateway, 5, "id=CCI1006I", NULL, NULL), 5);
	control_say("status\n", "\"ok\":true");
	/* The answer still comes where the request itself takes the socket away. */
	gateway_rewrite(&gateway, CONTROL_BARE, "", "", "");
	control_say("reload\n", "\"ok\":true");
	ck_assert_int_lt(access(other, F_OK), 0);
	stop();
}
END_TEST

START_TEST(what_a_dead_process_left_is_replaced_and_nothing_else)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct gateway second;
	char line[256];
	int fd;

	control_make_folder();
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", control_path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	gateway_start(&gateway, "ccissl", CONTROL_BARE, "socket = ", control_path, "");
	control_say("status\n", "\"ok\":true");
	/* A second gateway there does not start, and takes nothing away. */
	memset(&second, 0, sizeof(second));
	(void)snprintf(line, sizeof(line), "timeout 10 %s/ccissl -c %s 2>%s/err; test $? = 1", gateway_build(),
	               gateway.config, control_folder);
	ck_assert_int_eq(system(line), 0);
	(void)snprintf(line, sizeof(line), "grep 'config.ini:.*\\[control\\] socket.*is in use' %s/err >&2 && rm %s/err",
	               control_folder, control_folder);
	ck_assert_int_eq(system(line), 0);
	control_say("status\n", "\"ok\":true");
	gateway_stop(&gateway);
	ck_assert_int_lt(access(control_path, F_OK), 0);
	control_remove_folder();
}
END_TEST

/* --- upgrades --- */

static pid_t asked_pid(void)
{
	control_say("status\n", "\"pid\":");
	return atoi(strstr(control_out, "\"pid\":") + 6);
}

/* It may have ended while its parent was there to see it. */
static void is_gone(pid_t pid)
{
	int i = 0;

	for (; i < 1500 && waitpid(pid, NULL, WNOHANG) != pid && (kill(pid, 0) == 0 || errno != ESRCH); i++)
		usleep(10000);
	ck_assert_int_lt(i, 1500);
}

START_TEST(the_new_process_of_an_upgrade_serves_the_socket)
{
	struct control_client client;
	pid_t old[2];
	int status;

	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	start();
	client = control_client(&gateway, "OLD1", NULL, false);
	ck_assert_int_eq(asked_pid(), gateway.pid);
	for (int number = 1; number <= 2; number++) {
		old[number - 1] = gateway.pid;
		ck_assert_int_eq(kill(gateway.pid, SIGUSR2), 0);
		/* Somebody answers all the time. */
		while (gateway_lines(&gateway, 0, "id=CCI1061I", NULL, NULL) < number)
			control_say("help\n", "\"ok\":true");
		gateway.pid = gateway_successor(&gateway);
		ck_assert_int_eq(asked_pid(), gateway.pid);
		check_mode(control_path, 0600);
	}
	/* The first lives on with its connection, and leaves the file alone when it ends. */
	ck_assert_int_eq(waitpid(old[0], &status, WNOHANG), 0);
	control_part(&client);
	gateway_ends(old[0]);
	is_gone(old[1]);
	ck_assert_int_eq(asked_pid(), gateway.pid);
	stop();
}
END_TEST

START_TEST(an_upgrade_that_fails_leaves_the_socket_to_the_old_process)
{
	start();
	gateway_rewrite(&gateway, CONTROL_BARE "[limits]\nbogus = 1\n", "socket = ", control_path, "");
	ck_assert_int_eq(kill(gateway.pid, SIGUSR2), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1062E", NULL, NULL), 1);
	ck_assert_int_eq(asked_pid(), gateway.pid);
	check_mode(control_path, 0600);
	stop();
}
END_TEST

/* --- users --- */

START_TEST(the_socket_is_the_user_s_whom_the_process_becomes)
{
	const struct passwd *nobody = getpwnam("nobody");
	char words[256];
	struct stat found;

	if (geteuid() != 0 || nobody == NULL)
		return;
	control_make_folder();
	ck_assert_int_eq(chown(control_folder, nobody->pw_uid, nobody->pw_gid), 0);
	gateway_start(&gateway, "ccissl", "[gateway]\nuser = nobody\n" CONTROL_REST, "socket = ", control_path, "");
	check_mode(control_path, 0600);
	ck_assert_int_eq(lstat(control_path, &found), 0);
	ck_assert_uint_eq(found.st_uid, nobody->pw_uid);
	/* Root may, and so may he. */
	control_say("status\n", "\"ok\":true");
	(void)snprintf(words, sizeof(words), "--socket %s log-level debug", control_path);
	ck_assert_int_eq(control_command_line("ccissl", "setpriv --reuid nobody --clear-groups", words), 0);
	(void)snprintf(words, sizeof(words), "uid=%u", nobody->pw_uid);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1080I", words, "request=\"log-level debug\""), 1);
	/* The user removes it at the end. */
	gateway_stop(&gateway);
	ck_assert_int_lt(access(control_path, F_OK), 0);
	control_remove_folder();
}
END_TEST

/* --- a full table of descriptors --- */

START_TEST(it_answers_when_all_descriptors_are_used)
{
	int fds[200];

	gateway_descriptors = 128;
	start();
	gateway_descriptors = 0;
	for (int i = 0; i < 200; i++)
		fds[i] = peer_connect(gateway.ports[0]);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1013E", NULL, NULL), 1);
	for (int i = 0; i < 3; i++) {
		control_say("status\n", "\"ok\":true");
		/* The reserve is there again after a second. */
		usleep(1200000);
	}
	control_say("connections most=10\n", "\"stage\":\"offer\"");
	for (int i = 0; i < 200; i++)
		close(fds[i]);
	for (int i = 0; i < 30; i++)
		control_say("status\n", "\"ok\":true");
	stop();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("control_life");
	TCase *tests = tcase_create("socket");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_reload_moves_the_socket);
	tcase_add_test(tests, what_a_dead_process_left_is_replaced_and_nothing_else);
	tcase_add_test(tests, the_new_process_of_an_upgrade_serves_the_socket);
	tcase_add_test(tests, an_upgrade_that_fails_leaves_the_socket_to_the_old_process);
	tcase_add_test(tests, the_socket_is_the_user_s_whom_the_process_becomes);
	tcase_add_test(tests, it_answers_when_all_descriptors_are_used);
	suite_add_tcase(suite, tests);
	return suite;
}
