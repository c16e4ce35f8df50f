/* Look-ups that are answered here: numeric hosts, the local host, names that cannot be. */
#include <arpa/inet.h>
#include <string.h>

#include "loop.h"
#include "resolver.h"
#include "suite.h"

struct lookup {
	bool started, done;
	size_t count;
	char error[120];
	union socket_address list[RESOLVER_ADDRESSES];
};

static void on_found(void *owner, const char *error, const union socket_address *list, size_t count)
{
	struct lookup *lookup = owner;

	ck_assert(lookup->started && !lookup->done);
	ck_assert_uint_le(count, RESOLVER_ADDRESSES);
	lookup->done = true;
	lookup->count = count;
	(void)snprintf(lookup->error, sizeof(lookup->error), "%s", error != NULL ? error : "");
	if (count > 0)
		memcpy(lookup->list, list, count * sizeof(*list));
}

static const struct row {
	const char *host;
	bool found;
	int family; /* AF_UNSPEC: either */
} rows[] = {
    {"127.0.0.1", true, AF_INET},           {"::1", true, AF_INET6},
    {"localhost", true, AF_UNSPEC},         {"no-such.invalid", false, AF_UNSPEC},
    {"bad name.invalid", false, AF_UNSPEC},
};

START_TEST(answers_once_and_later)
{
	struct test_loop test;
	struct lookup lookup = {0};
	struct resolver *resolver;

	test_loop_open(&test);
	resolver = resolver_start(test.io, rows[_i].host, 1202, on_found, &lookup);
	ck_assert_ptr_nonnull(resolver);
	lookup.started = true;
	test_loop_until(&test, &lookup.done);
	ck_assert_int_eq(lookup.count > 0, rows[_i].found);
	ck_assert_int_eq(lookup.error[0] == '\0', rows[_i].found);
	for (size_t i = 0; i < lookup.count; i++) {
		int family = lookup.list[i].any.sa_family;

		ck_assert(rows[_i].family == AF_UNSPEC || family == rows[_i].family);
		ck_assert_uint_eq(ntohs(family == AF_INET ? lookup.list[i].v4.sin_port : lookup.list[i].v6.sin6_port), 1202);
		ck_assert(socket_is_local(&lookup.list[i]));
	}
	test_loop_close(&test);
}
END_TEST

/* Many at once, so that some wait in the queue and some run when they are cancelled: nobody is called, and what comes
 * back later is dropped. */
START_TEST(cancelled_while_pending)
{
	struct test_loop test;
	struct lookup lookup = {0};
	struct resolver *resolvers[32];

	test_loop_open(&test);
	for (int i = 0; i < 32; i++) {
		resolvers[i] = resolver_start(test.io, i % 2 == 0 ? "localhost" : "no-such.invalid", 1, on_found, &lookup);
		ck_assert_ptr_nonnull(resolvers[i]);
	}
	usleep((useconds_t)_i * 300);
	for (int i = 0; i < 32; i++)
		resolver_cancel(resolvers[i]);
	resolver_cancel(NULL);
	test_loop_close(&test);
	ck_assert(!lookup.done);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("resolver");
	TCase *tests = tcase_create("resolver");

	tcase_set_timeout(tests, 30);
	tcase_add_loop_test(tests, answers_once_and_later, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_loop_test(tests, cancelled_while_pending, 0, 4);
	suite_add_tcase(suite, tests);
	return suite;
}
