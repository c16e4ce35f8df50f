/* Listening sockets from outside: passed by a service manager, or inherited from the process before. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "listener_inherit.h"
#include "listeners.h"
#include "suite.h"

#define FIRST 3 /* as sd_listen_fds(3) has it */

static int listening(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

static void set_environment(int count, const char *names)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", getpid());
	(void)setenv("LISTEN_PID", text, 1);
	(void)snprintf(text, sizeof(text), "%d", count);
	(void)setenv("LISTEN_FDS", text, 1);
	(void)setenv("LISTEN_FDNAMES", names, 1);
}

/* Take `count` descriptors as a service manager passes them. Check has its own at these numbers: they are out of the way
 * meanwhile, and nothing may be checked. */
static int take(struct listener_set *passed, const int *fds, int count, const char *names)
{
	int saved[4], result;

	for (int i = 0; i < count; i++) {
		saved[i] = fcntl(FIRST + i, F_DUPFD_CLOEXEC, 20);
		(void)dup2(fds[i], FIRST + i);
	}
	if (count > 0)
		set_environment(count, names);
	result = listener_take_passed(passed, &error);
	for (size_t i = 0; i < passed->count; i++)
		passed->at[i].fds[0] = fcntl(passed->at[i].fds[0], F_DUPFD_CLOEXEC, 30);
	for (int i = 0; i < count; i++) {
		(void)dup2(saved[i], FIRST + i);
		close(saved[i]);
		close(fds[i]);
	}
	return result;
}

START_TEST(passed_sockets_are_found_by_their_name)
{
	struct config *config = load(SERVICE LISTENER("a", "systemd:web") LISTENER("b", "127.0.0.1:0"));
	struct listener_set passed, set;
	int number, fds[] = {listening(), listening(), listening()};

	ck_assert_int_eq(take(&passed, fds, 3, "web:other:web"), 0);
	ck_assert_ptr_null(getenv("LISTEN_FDS"));
	ck_assert_uint_eq(passed.count, 3);
	ck_assert_msg(listener_open(&set, config, NULL, &passed, 2, &error) == 0, "%s", error.text);
	/* Each of the name is a listener of its own, shared by all workers. */
	ck_assert_uint_eq(set.count, 3);
	ck_assert_uint_eq(set.owner[1], 0);
	ck_assert_uint_eq(set.owner[2], 1);
	ck_assert(listener_is_shared(&set.at[1], 2));
	/* Nobody can be blocked by them, whoever made them. */
	ck_assert_int_eq(accept(set.at[1].fds[0], NULL, NULL), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_uint_ne(set.at[1].bound.v4.sin_port, set.at[0].bound.v4.sin_port);
	ck_assert(answers(&set.at[1]));
	number = accept(set.at[1].fds[0], NULL, NULL);
	ck_assert_int_ge(number, 0);
	ck_assert_int_ne(fcntl(passed.at[0].fds[0], F_GETFD) & FD_CLOEXEC, 0);
	listener_close(&set);
	/* A reload finds them again. */
	ck_assert_int_eq(listener_open(&set, config, NULL, &passed, 2, &error), 0);
	listener_close(&set);
	listener_close(&passed);
	config_free(config);
}
END_TEST

static const struct {
	const char *asked, *names, *expected;
	int count;
} wrong[] = {
    {"systemd:web", "", "no socket was passed to this process", 0},
    {"systemd:web", "one:two", "no socket of this name was passed (FileDescriptorName=): there are one, two", 2},
    {"systemd:one", "one", "is no listening stream socket", 1},
};

START_TEST(a_name_that_is_not_there_is_an_error_that_lists_the_others)
{
	struct config *config;
	struct listener_set passed = {0}, set;
	char text[256];
	int fds[2];

	(void)snprintf(text, sizeof(text), SERVICE LISTENER("a", "%s"), wrong[_i].asked);
	config = load(text);
	for (int i = 0; i < wrong[_i].count; i++)
		fds[i] = wrong[_i].count == 1 ? socket(AF_INET, SOCK_DGRAM, 0) : listening();
	ck_assert_int_eq(take(&passed, fds, wrong[_i].count, wrong[_i].names), 0);
	ck_assert_int_eq(listener_open(&set, config, NULL, &passed, 1, &error), -1);
	ck_assert_msg(strstr(error.text, wrong[_i].expected) != NULL, "%s", error.text);
	listener_close(&passed);
	config_free(config);
}
END_TEST

/* What was passed to another process is not ours. */
START_TEST(descriptors_of_another_process_are_left_alone)
{
	struct listener_set passed;

	set_environment(1, "web");
	(void)setenv("LISTEN_PID", "1", 1);
	ck_assert_int_eq(listener_take_passed(&passed, &error), 0);
	ck_assert_uint_eq(passed.count, 0);
}
END_TEST

/* Pack what three workers listen on, and put the descriptors where the next process has them. */
static size_t hand_over(const struct listener_set *set, const struct listener_set *passed, char *words, int first)
{
	struct listener_parcel parcel;
	size_t count;

	ck_assert_int_eq(listener_pack(&parcel, set, passed), 0);
	(void)snprintf(words, 1024, "%s", parcel.words);
	for (size_t i = 0; i < parcel.count; i++)
		ck_assert_int_eq(dup2(parcel.fds[i], first + (int)i), first + (int)i);
	count = parcel.count;
	free(parcel.words);
	free(parcel.fds);
	return count;
}

/* With more and with fewer workers than before, every socket goes on being accepted from. */
START_TEST(the_next_process_has_them_whatever_its_number_of_workers)
{
	static const unsigned numbers[] = {1, 2, 3, 5};
	struct config *config = load(SERVICE LISTENER("a", "127.0.0.1:0, 127.0.0.1:0, systemd:web"));
	struct config *next = load(SERVICE LISTENER("b", "systemd:web, 127.0.0.1:0, 127.0.0.1:0"));
	struct listener_set passed, set, bound, passed_on, now;
	unsigned workers = numbers[_i];
	char words[1024];
	int fds[] = {listening()};

	ck_assert_int_eq(take(&passed, fds, 1, "web"), 0);
	ck_assert_int_eq(listener_open(&set, config, NULL, &passed, 3, &error), 0);
	ck_assert_uint_eq(hand_over(&set, &passed, words, 100), 7);
	ck_assert_msg(listener_inherit(&bound, &passed_on, words, 100, &error) == 0, "%s", error.text);
	ck_assert_uint_eq(bound.count, 2);
	ck_assert_uint_eq(passed_on.count, 1);
	ck_assert_msg(listener_open(&now, next, &bound, &passed_on, workers, &error) == 0, "%s", error.text);
	ck_assert_uint_eq(now.at[0].bound.v4.sin_port, set.at[2].bound.v4.sin_port);
	ck_assert_uint_eq(now.at[1].bound.v4.sin_port, set.at[0].bound.v4.sin_port);
	ck_assert_uint_eq(now.at[2].bound.v4.sin_port, set.at[1].bound.v4.sin_port);
	ck_assert_uint_eq(now.at[1].sockets, 3);
	for (unsigned i = 0; i < now.at[1].sockets; i++) {
		unsigned served = 0;

		for (unsigned j = 0; j < workers; j++)
			served += listener_serves(&now.at[1], j, workers, i);
		ck_assert_uint_ge(served, 1);
	}
	for (unsigned j = 0; j < workers; j++)
		ck_assert(listener_serves(&now.at[1], j, workers, 0) || listener_serves(&now.at[1], j, workers, 1) ||
		          listener_serves(&now.at[1], j, workers, 2));
	ck_assert_int_ne(fcntl(100, F_GETFD) & FD_CLOEXEC, 0);
	listener_close(&bound);
	listener_close(&passed_on);
	listener_close(&now);
	listener_close(&set);
	listener_close(&passed);
	config_free(config);
	config_free(next);
}
END_TEST

START_TEST(words_that_do_not_fit_are_refused)
{
	static const char *const bad[] = {"1 127.0.0.1:1",  "0 127.0.0.1:1\n", "1\n",      "x 127.0.0.1:1\n",
	                                  "1 nonsense::\n", "65537 [::1]:1\n", "1 unix:\n", "1 systemd:x\n"};
	struct listener_set bound, passed;

	ck_assert_int_eq(listener_inherit(&bound, &passed, bad[_i], 200, &error), -1);
	ck_assert_msg(strstr(error.text, "the process before") != NULL, "%s", error.text);
	ck_assert_uint_eq(bound.count + passed.count, 0);
}
END_TEST

/* Whatever the words say of it, a socket is what the kernel says that it is. */
START_TEST(a_socket_is_not_taken_for_another)
{
	static const char *const lies[] = {"127.0.0.1:1", "0.0.0.0:0", "[::1]:0", "control unix:/tmp/ctl", "127.0.0.2:0"};
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct listener_set bound, passed;
	char words[100];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	ck_assert_int_eq(dup2(fd, 200), 200);
	close(fd);
	(void)snprintf(words, sizeof(words), "1 %s\n", lies[_i]);
	ck_assert_int_eq(listener_inherit(&bound, &passed, words, 200, &error), -1);
	ck_assert_msg(strstr(error.text, "is not bound to") != NULL, "%s", error.text);
	ck_assert_uint_eq(bound.count + passed.count, 0);
	ck_assert_int_eq(dup2(0, 200), 200);
	close(200);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("listener_inherit");
	TCase *tests = tcase_create("inherit");

	tcase_add_test(tests, passed_sockets_are_found_by_their_name);
	tcase_add_loop_test(tests, a_name_that_is_not_there_is_an_error_that_lists_the_others, 0,
	                    sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(tests, descriptors_of_another_process_are_left_alone);
	tcase_add_loop_test(tests, the_next_process_has_them_whatever_its_number_of_workers, 0, 4);
	tcase_add_loop_test(tests, words_that_do_not_fit_are_refused, 0, 8);
	tcase_add_loop_test(tests, a_socket_is_not_taken_for_another, 0, 5);
	suite_add_tcase(suite, tests);
	return suite;
}
