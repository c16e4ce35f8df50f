/* Staggered attempts at several socket addresses, and names that have several (with a resolver of the test's own). */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "../e2e/peer.h"
#include "connector.h"
#include "descriptors.h"
#include "loop.h"
#include "resolver.h"
#include "suite.h"
#include "target.h"

#define MOST 5

static union socket_address found[MOST];
static size_t found_count;

/* --- in place of resolver.c --- */

struct resolver {
	struct ready ready;
	resolver_done *done;
	void *owner;
};

static unsigned lookups, lookups_cancelled;
static bool lookups_hang;

static void answer(struct ready *ready)
{
	struct resolver *resolver = OWNER_OF(ready, struct resolver, ready);

	resolver->done(resolver->owner, NULL, found, found_count);
	free(resolver);
}

struct resolver *resolver_start(struct iocontext *io, const char *host, uint16_t port, resolver_done *done, void *owner)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	(void)host;
	(void)port;
	lookups++;
	*resolver = (struct resolver){.ready.run = answer, .done = done, .owner = owner};
	if (!lookups_hang)
		iocontext_ready(io, &resolver->ready);
	return resolver;
}

void resolver_cancel(struct resolver *resolver)
{
	if (resolver == NULL)
		return;
	lookups_cancelled++;
	iocontext_unready(&resolver->ready);
	free(resolver);
}

/* --- addresses --- */

struct trial {
	struct test_loop test;
	int listening[MOST];
	struct connector *connector;
	bool started, done;
	struct channel *channel;
	char error[80];
	uint64_t began_ns;
};

/* A backlog of one that is full: the kernel answers no further SYN. */
static void fill_backlog(int listening, const union socket_address *address)
{
	ck_assert_int_eq(listen(listening, 0), 0);
	for (int i = 0; i < 4; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		(void)connect(fd, &address->any, socket_length(address));
	}
	usleep(10000);
}

/* L listens, D does not, S is silent, X cannot even be tried (an address family that is not there). */
static void make_addresses(struct trial *trial, const char *states)
{
	found_count = strlen(states);
	for (size_t i = 0; i < found_count; i++) {
		int port, fd = peer_listen(&port);

		memset(&found[i], 0, sizeof(found[i]));
		found[i].v4.sin_family = AF_INET;
		found[i].v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		found[i].v4.sin_port = htons((uint16_t)port);
		if (states[i] == 'S')
			fill_backlog(fd, &found[i]);
		if (states[i] == 'X')
			found[i].any.sa_family = AF_MAX;
		if (states[i] == 'D' || states[i] == 'X') {
			close(fd);
			fd = -1;
		}
		trial->listening[i] = fd;
	}
}

static void open_trial(struct trial *trial, const char *states)
{
	memset(trial, 0, sizeof(*trial));
	test_loop_open(&trial->test);
	make_addresses(trial, states);
	lookups = lookups_cancelled = 0;
	lookups_hang = false;
}

static void close_trial(struct trial *trial)
{
	channel_close(trial->channel);
	test_loop_close(&trial->test);
	for (size_t i = 0; i < found_count; i++)
		if (trial->listening[i] >= 0)
			close(trial->listening[i]);
}

static void on_connector(void *owner, struct channel *channel, const char *error)
{
	struct trial *trial = owner;

	ck_assert(trial->started && !trial->done);
	trial->done = true;
	trial->channel = channel;
	(void)snprintf(trial->error, sizeof(trial->error), "%s", error);
}

static uint64_t ms_since(uint64_t began_ns)
{
	return (uv_hrtime() - began_ns) / 1000000;
}

static int port_reached(const struct channel *channel)
{
	struct sockaddr_in remote;
	socklen_t size = sizeof(remote);

	ck_assert_int_eq(getpeername(channel_fd(channel), (struct sockaddr *)&remote, &size), 0);
	return ntohs(remote.sin_port);
}

struct row {
	const char *states;
	int winner; /* number of the address; -1: none */
	uint64_t least_ms, most_ms;
};

/* The upper bounds lie below what one more wait would take. */
static const struct row rows[] = {
    {"L", 0, 0, 240},       {"LL", 0, 0, 240},    {"DL", 1, 0, 240},   {"DDDL", 3, 0, 240}, {"XL", 1, 0, 240},
    {"SL", 1, 250, 490},    {"SDL", 2, 250, 490}, {"SSL", 2, 500, 740}, {"SXDL", 3, 250, 490}, {"D", -1, 0, 240},
    {"X", -1, 0, 240},      {"XX", -1, 0, 240},   {"DD", -1, 0, 240},
};

/* Returns how long it took, in milliseconds. */
static uint64_t run_row(const struct row *row)
{
	struct trial trial;
	uint64_t took_ms;

	open_trial(&trial, row->states);
	uv_update_time(&trial.test.loop);
	trial.began_ns = uv_hrtime();
	trial.connector = connector_start(trial.test.io, found, found_count, on_connector, &trial);
	ck_assert_ptr_nonnull(trial.connector);
	trial.started = true;
	test_loop_until(&trial.test, &trial.done);
	took_ms = ms_since(trial.began_ns);
	ck_assert_int_eq(trial.channel != NULL, row->winner >= 0);
	if (row->winner >= 0)
		ck_assert_int_eq(port_reached(trial.channel), ntohs(found[row->winner].v4.sin_port));
	else
		ck_assert_str_ne(trial.error, "");
	/* Loop time is in whole milliseconds. */
	ck_assert_msg(took_ms + 2 >= row->least_ms, "%s: after %d ms", row->states, (int)took_ms);
	close_trial(&trial);
	return took_ms;
}

/* A machine that is busy may be late; not each time. */
START_TEST(the_first_that_connects_wins)
{
	const struct row *row = &rows[_i];
	uint64_t took_ms = row->most_ms + 1;

	for (int i = 0; i < 5 && took_ms > row->most_ms; i++)
		took_ms = run_row(row);
	ck_assert_msg(took_ms <= row->most_ms, "%s: after %d ms", row->states, (int)took_ms);
}
END_TEST

/* One that was slow and answers while later ones are tried still wins. */
START_TEST(an_earlier_attempt_stays_in_the_race)
{
	struct trial trial;

	open_trial(&trial, "SSS");
	trial.connector = connector_start(trial.test.io, found, found_count, on_connector, &trial);
	trial.started = true;
	trial.began_ns = uv_hrtime();
	while (ms_since(trial.began_ns) < 300) {
		(void)iocontext_turn(trial.test.io, 0);
		usleep(1000);
	}
	ck_assert(!trial.done);
	/* Room in the first one's backlog: the kernel asks it again within a second or two. */
	ck_assert_int_eq(listen(trial.listening[0], 16), 0);
	close(accept(trial.listening[0], NULL, NULL));
	test_loop_until(&trial.test, &trial.done);
	ck_assert_ptr_nonnull(trial.channel);
	ck_assert_int_eq(port_reached(trial.channel), ntohs(found[0].v4.sin_port));
	close_trial(&trial);
}
END_TEST

/* Cancelled with one, two or three attempts pending. Every socket is closed. */
START_TEST(cancelled_with_attempts_pending)
{
	struct trial trial;
	int before;

	open_trial(&trial, "SSSS");
	test_loop_turns(&trial.test, 2);
	before = open_descriptors();
	trial.connector = connector_start(trial.test.io, found, found_count, on_connector, &trial);
	trial.began_ns = uv_hrtime();
	while (open_descriptors() < before + 1 + _i && ms_since(trial.began_ns) < 10000) {
		(void)iocontext_turn(trial.test.io, 0);
		usleep(1000);
	}
	ck_assert_int_eq(open_descriptors(), before + 1 + _i);
	connector_cancel(trial.connector);
	test_loop_turns(&trial.test, 3);
	ck_assert_int_eq(open_descriptors(), before);
	close_trial(&trial);
	connector_cancel(NULL);
}
END_TEST

/* --- a name with several addresses --- */

struct named {
	struct trial trial;
	struct address address[2];
	struct address_list list;
	struct target_options options;
	struct target *target;
	enum reason reason;
	size_t number;
};

static void on_target(void *owner, enum reason reason, struct channel *channel, size_t address, const char *detail)
{
	struct named *named = owner;

	(void)detail;
	ck_assert(named->trial.started && !named->trial.done);
	named->trial.done = true;
	named->trial.channel = channel;
	named->reason = reason;
	named->number = address;
}

static void open_named(struct named *named, const char *states, uint64_t connect_ms)
{
	struct error error;

	memset(named, 0, sizeof(*named));
	open_trial(&named->trial, states);
	named->list = (struct address_list){named->address, 1};
	ck_assert_int_eq(address_parse("several.example:1202", 0, &named->address[0], &error), 0);
	named->options = (struct target_options){.addresses = &named->list, .retry_ms = 60000, .connect_ms = connect_ms};
	named->options.memory = target_memory_new("PAYROLL", &named->list);
}

static void start_named(struct named *named)
{
	named->trial.started = named->trial.done = false;
	uv_update_time(&named->trial.test.loop);
	named->trial.began_ns = uv_hrtime();
	named->target = target_start(named->trial.test.io, &named->options, on_target, named);
	ck_assert_ptr_nonnull(named->target);
	named->trial.started = true;
}

static void close_named(struct named *named)
{
	target_memory_free(named->options.memory);
	close_trial(&named->trial);
}

START_TEST(a_name_with_several_addresses)
{
	struct named named;

	open_named(&named, "SDL", 5000);
	for (unsigned i = 1; i <= 2; i++) {
		start_named(&named);
		test_loop_until(&named.trial.test, &named.trial.done);
		ck_assert_int_eq(named.reason, REASON_NONE);
		ck_assert_int_eq(port_reached(named.trial.channel), ntohs(found[2].v4.sin_port));
		/* Looked up at each attempt. */
		ck_assert_uint_eq(lookups, i);
		channel_close(named.trial.channel);
		named.trial.channel = NULL;
	}
	close_named(&named);
}
END_TEST

/* All attempts together have the one deadline. */
START_TEST(the_deadline_is_for_all_of_them)
{
	struct named named;

	open_named(&named, "SSSSS", 400);
	start_named(&named);
	test_loop_until(&named.trial.test, &named.trial.done);
	ck_assert_int_eq(named.reason, REASON_CONNECT_TIMEOUT);
	ck_assert_uint_ge(ms_since(named.trial.began_ns) + 2, 400);
	ck_assert_uint_lt(ms_since(named.trial.began_ns), 1500);
	close_named(&named);
}
END_TEST

/* Cancelled while the look-up hangs, and with attempts pending; nothing counts any more. */
START_TEST(cancelled_with_a_name_pending)
{
	struct named named;
	struct target_state state;
	int before;

	open_named(&named, "SSS", 5000);
	before = open_descriptors();
	lookups_hang = _i == 0;
	start_named(&named);
	while (ms_since(named.trial.began_ns) < 300) {
		(void)iocontext_turn(named.trial.test.io, 0);
		usleep(1000);
	}
	target_memory_state(named.options.memory, 0, &state);
	ck_assert_uint_eq(state.connections, 1);
	target_cancel(named.target);
	test_loop_turns(&named.trial.test, 3);
	ck_assert_uint_eq(lookups_cancelled, _i == 0 ? 1 : 0);
	ck_assert_int_eq(open_descriptors(), before);
	target_memory_state(named.options.memory, 0, &state);
	ck_assert_uint_eq(state.connections, 0);
	close_named(&named);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("connector");
	TCase *tests = tcase_create("connector");

	(void)signal(SIGPIPE, SIG_IGN);
	tcase_set_timeout(tests, 30);
	tcase_add_loop_test(tests, the_first_that_connects_wins, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(tests, an_earlier_attempt_stays_in_the_race);
	tcase_add_loop_test(tests, cancelled_with_attempts_pending, 0, 3);
	tcase_add_test(tests, a_name_with_several_addresses);
	tcase_add_test(tests, the_deadline_is_for_all_of_them);
	tcase_add_loop_test(tests, cancelled_with_a_name_pending, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
