/* The notifier kind `mark`: which event sets what on a socket, and what is said where it is not permitted. */
#include "notifier_mark.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

static const struct cci_notifier_options options = {
    .size = sizeof(options), .version = CCI_NOTIFIER_VERSION, .mark_secured = 7, .mark_clear = 8};

static bool is_permitted(void)
{
	if (notifier_mark_try() == 0)
		return true;
	(void)printf("not permitted to set marks: not tried\n");
	return false;
}

static struct cci_event event_of(int type, int fd)
{
	return (struct cci_event){.size = sizeof(struct cci_event), .version = CCI_NOTIFIER_VERSION, .type = type, .fd = fd};
}

static uint32_t mark_of(int fd)
{
	uint32_t mark = 99;
	socklen_t size = sizeof(mark);

	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &size), 0);
	return mark;
}

static const struct {
	int type;
	uint32_t mark;
} types[] = {
    {CCI_HANDSHAKE_STARTING, 0}, {CCI_HANDSHAKE_DONE, 7}, {CCI_HANDSHAKE_FAILED, 0}, {CCI_UNSECURED, 8},
    {CCI_REFUSED, 0},            {CCI_CLOSED, 0},
};

START_TEST(each_event_has_its_mark)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct cci_event event = event_of(types[_i].type, fd);
	char error[512] = "";
	void *state;

	if (is_permitted()) {
		ck_assert_msg(notifier_mark_kind.open(&options, &state, error, sizeof(error)) == 0, "%s", error);
		ck_assert_int_eq(notifier_mark_kind.notify(state, &event), CCI_NOTIFIED);
		ck_assert_uint_eq(mark_of(fd), types[_i].mark);
		notifier_mark_kind.close(state);
	}
	close(fd);
}
END_TEST

START_TEST(what_is_no_stream_socket_or_not_there_is_refused)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct cci_event datagram = event_of(CCI_UNSECURED, fd), gone = event_of(CCI_UNSECURED, -1);
	struct cci_notifier_status status = {.size = sizeof(status)};
	char error[512] = "";
	void *state;

	if (is_permitted()) {
		ck_assert_int_eq(notifier_mark_kind.open(&options, &state, error, sizeof(error)), 0);
		ck_assert_int_eq(notifier_mark_kind.notify(state, &datagram), CCI_SOCKET_TYPE);
		ck_assert_int_eq(notifier_mark_kind.notify(state, &gone), CCI_FAILED);
		notifier_mark_kind.status(state, &status);
		ck_assert_uint_eq(status.failing, 1);
		ck_assert_uint_eq(status.dropped, 1);
		notifier_mark_kind.close(state);
	}
	close(fd);
}
END_TEST

/* What the child finds once it is somebody without capabilities: 0, or the number of what was wrong. */
static int without(void *state, int fd)
{
	struct cci_event event = event_of(CCI_HANDSHAKE_DONE, fd);
	struct cci_notifier_status status = {.size = sizeof(status)};
	char error[512] = "";
	void *other;

	if (setresuid(65534, 65534, 65534) != 0 || notifier_mark_try() != EPERM)
		return 1;
	if (notifier_mark_kind.notify(state, &event) != CCI_FAILED || mark_of(fd) != 0)
		return 2;
	notifier_mark_kind.status(state, &status);
	if (status.failing != 1 || strstr(status.error, "not permitted") == NULL)
		return 3;
	if (notifier_mark_kind.open(&options, &other, error, sizeof(error)) != -1)
		return 4;
	return strstr(error, "AmbientCapabilities=") != NULL && strstr(error, "restart") != NULL ? 0 : 5;
}

START_TEST(without_the_capability_it_fails_with_words)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), status;
	char error[512] = "";
	void *state;
	pid_t child;

	if (is_permitted() && geteuid() == 0) {
		ck_assert_int_eq(notifier_mark_kind.open(&options, &state, error, sizeof(error)), 0);
		child = fork();
		if (child == 0)
			_exit(without(state, fd));
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
		notifier_mark_kind.close(state);
	}
	close(fd);
}
END_TEST

static const char *const both = "[gateway]\nsysid = H\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
                                "unsecured_connections = only\n[service s]\naddress = builtin:echo\n"
                                "[notifier a]\nkind = mark\n[notifier b]\nkind = mark\n";

static void note(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	(void)file;
	if (is_error)
		(void)snprintf(context, 600, "%u: %s", line, text);
}

START_TEST(two_of_them_are_an_error)
{
	char said[600] = "";
	FILE *stream = fmemopen((void *)(uintptr_t)both, strlen(both), "r");

	ck_assert_ptr_null(config_load_stream(stream, "test.ini", PROGRAM_CCISSL, note, said));
	(void)fclose(stream);
	ck_assert_msg(strstr(said, "12: [notifier b] kind = mark is that of [notifier a] already") == said, "%s", said);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("notifier mark");
	TCase *tests = tcase_create("mark");

	tcase_add_loop_test(tests, each_event_has_its_mark, 0, (int)(sizeof(types) / sizeof(types[0])));
	tcase_add_test(tests, what_is_no_stream_socket_or_not_there_is_refused);
	tcase_add_test(tests, without_the_capability_it_fails_with_words);
	tcase_add_test(tests, two_of_them_are_an_error);
	suite_add_tcase(suite, tests);
	return suite;
}
