/* Listening sockets: ports, conflicts, reloads, all or nothing. */
#include <check.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "listener.h"
#include "listeners.h"
#include "suite.h"

static unsigned port_of(const struct listener *listener)
{
	return ntohs(listener->bound.v4.sin_port);
}

static bool has_ipv6(void)
{
	struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool result = fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof(loopback)) == 0;

	if (fd >= 0)
		close(fd);
	return result;
}

START_TEST(each_worker_has_a_socket_on_the_port_that_was_found)
{
	struct config *config = load(has_ipv6() ? SERVICE LISTENER("a", "127.0.0.1:0, [::1]:0")
	                                        : SERVICE LISTENER("a", "127.0.0.1:0, 127.0.0.2:0"));
	struct listener_set set;

	open_set(&set, config, NULL, 3);
	ck_assert_uint_eq(set.count, 2);
	for (size_t i = 0; i < set.count; i++) {
		ck_assert_uint_ne(port_of(&set.at[i]), 0);
		for (unsigned j = 0; j < 3; j++) {
			union socket_address own;
			socklen_t size = sizeof(own), int_size = sizeof(int);
			int no_delay = 0;

			/* What is accepted from it inherits that. */
			ck_assert_int_eq(getsockopt(set.at[i].fds[j], IPPROTO_TCP, TCP_NODELAY, &no_delay, &int_size), 0);
			ck_assert_int_ne(no_delay, 0);
			ck_assert_int_eq(getsockname(set.at[i].fds[j], &own.any, &size), 0);
			ck_assert_uint_eq(own.v4.sin_port, set.at[i].bound.v4.sin_port);
		}
		ck_assert(answers(&set.at[i]));
	}
	listener_close(&set);
	ck_assert_uint_eq(set.count, 0);
	config_free(config);
}
END_TEST

/* Every connection is in the backlog of one worker's socket; over many, each has some. */
START_TEST(the_kernel_spreads_connections_over_the_workers)
{
	struct config *config = load(SERVICE LISTENER("a", "127.0.0.1:0"));
	struct listener_set set;
	int accepted[2] = {0, 0};

	open_set(&set, config, NULL, 2);
	for (int i = 0; i < 64; i++)
		ck_assert(answers(&set.at[0]));
	for (int i = 0; i < 2; i++)
		for (int fd; (fd = accept(set.at[0].fds[i], NULL, NULL)) >= 0; close(fd))
			accepted[i]++;
	ck_assert_int_eq(accepted[0] + accepted[1], 64);
	ck_assert_int_gt(accepted[0], 0);
	ck_assert_int_gt(accepted[1], 0);
	listener_close(&set);
	config_free(config);
}
END_TEST

START_TEST(an_address_in_use_is_an_error_that_names_it)
{
	static const char *const others[] = {"127.0.0.1", "0.0.0.0"};
	struct config *config = load(SERVICE LISTENER("a", "127.0.0.1:0"));
	struct listener_set first, second;
	char text[512], expected[64];
	int before;

	/* The first one has SO_REUSEPORT itself: without a look it would be shared in silence. */
	open_set(&first, config, NULL, 2);
	config_free(config);
	(void)snprintf(text, sizeof(text), SERVICE LISTENER("fine", "127.0.0.1:0") LISTENER("b", "%s:%u"), others[_i],
	               port_of(&first.at[0]));
	config = load(text);
	before = open_descriptors();
	ck_assert_int_eq(listener_open(&second, config, NULL, NULL, 2, &error), -1);
	(void)snprintf(expected, sizeof(expected), "%s:%u is in use", others[_i], port_of(&first.at[0]));
	ck_assert_msg(strstr(error.text, expected) != NULL, "%s", error.text);
	ck_assert_msg(strstr(error.text, "test.ini:9: [listener b]") != NULL, "%s", error.text);
	ck_assert_int_eq(open_descriptors(), before);
	ck_assert_uint_eq(second.count, 0);
	ck_assert_ptr_null(second.at);
	listener_close(&first);
	config_free(config);
}
END_TEST

START_TEST(an_address_that_is_not_ours_is_an_error_with_a_remedy)
{
	struct config *config = load(SERVICE LISTENER("a", "192.0.2.1:1202"));
	struct listener_set set;

	ck_assert_int_eq(listener_open(&set, config, NULL, NULL, 1, &error), -1);
	ck_assert_msg(strstr(error.text, "192.0.2.1:1202 is no address of this machine") != NULL, "%s", error.text);
	config_free(config);
}
END_TEST

START_TEST(a_reload_shares_what_stays_and_opens_what_is_new)
{
	struct config *before = load(SERVICE LISTENER("a", "127.0.0.1:0, 127.0.0.2:0") LISTENER("b", "127.0.0.1:0"));
	struct config *after = load(SERVICE LISTENER("b", "127.0.0.1:0, 127.0.0.1:0") LISTENER("c", "127.0.0.3:0"));
	struct listener_set old, new;
	int waiting;

	open_set(&old, before, NULL, 2);
	waiting = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(waiting, &old.at[0].bound.any, sizeof(old.at[0].bound.v4)), 0);
	open_set(&new, after, &old, 2);
	ck_assert_uint_eq(port_of(&new.at[0]), port_of(&old.at[0]));
	ck_assert_uint_eq(port_of(&new.at[1]), port_of(&old.at[2]));
	ck_assert_uint_eq(new.owner[1], 0);
	ck_assert_uint_eq(new.owner[2], 1);
	listener_close(&old);
	/* It waited in the backlog before, and is there still. */
	ck_assert(accept(new.at[0].fds[0], NULL, NULL) >= 0 || accept(new.at[0].fds[1], NULL, NULL) >= 0);
	for (size_t i = 0; i < new.count; i++)
		ck_assert(answers(&new.at[i]));
	close(waiting);
	listener_close(&new);
	config_free(before);
	config_free(after);
}
END_TEST

/* Leave room for exactly `count` more descriptors. */
static void leave_descriptors(int count)
{
	struct rlimit limit;
	int fd = 0;

	for (int found = 0; found < count; fd++)
		found += fcntl(fd, F_GETFD) < 0;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = count > 0 ? (rlim_t)fd : 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void restore_descriptors(void)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Two addresses for three workers are six sockets: any five descriptors are too few. */
START_TEST(without_descriptors_nothing_is_left_open)
{
	struct config *config = load(SERVICE LISTENER("a", "127.0.0.1:0, 127.0.0.2:0"));
	struct listener_set set, again;
	int before = open_descriptors();

	leave_descriptors(_i);
	ck_assert_int_eq(listener_open(&set, config, NULL, NULL, 3, &error), -1);
	ck_assert_msg(strstr(error.text, "limit of open files") != NULL, "%s", error.text);
	restore_descriptors();
	ck_assert_int_eq(open_descriptors(), before);
	open_set(&set, config, NULL, 3);
	before = open_descriptors();
	leave_descriptors(_i);
	ck_assert_int_eq(listener_open(&again, config, &set, NULL, 3, &error), -1);
	restore_descriptors();
	ck_assert_int_eq(open_descriptors(), before);
	ck_assert(answers(&set.at[0]) && answers(&set.at[1]));
	listener_close(&set);
	config_free(config);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("listener");
	TCase *tests = tcase_create("listener");

	tcase_add_test(tests, each_worker_has_a_socket_on_the_port_that_was_found);
	tcase_add_test(tests, the_kernel_spreads_connections_over_the_workers);
	tcase_add_loop_test(tests, an_address_in_use_is_an_error_that_names_it, 0, 2);
	tcase_add_test(tests, an_address_that_is_not_ours_is_an_error_with_a_remedy);
	tcase_add_test(tests, a_reload_shares_what_stays_and_opens_what_is_new);
	tcase_add_loop_test(tests, without_descriptors_nothing_is_left_open, 0, 6);
	suite_add_tcase(suite, tests);
	return suite;
}
