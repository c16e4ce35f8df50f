/* The epoll instance around libuv's loop. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "poller.h"
#include "suite.h"

struct seen {
	struct watch watch;
	struct poller *poller;
	struct seen *other; /* retired by the event of this one */
	uint32_t events;
	int calls, released;
};

/* From here on the memory may be anything. */
static void on_release(struct watch *watch)
{
	watch->retired = false;
	OWNER_OF(watch, struct seen, watch)->released++;
}

static void on_event(struct watch *watch, uint32_t events)
{
	struct seen *seen = OWNER_OF(watch, struct seen, watch);

	seen->calls++;
	seen->events = events;
	if (seen->other != NULL && !seen->other->watch.retired)
		poller_retire(seen->poller, &seen->other->watch, on_release);
}

struct fixture {
	uv_loop_t loop;
	struct poller *poller;
	struct seen seen[2];
	int ends[2][2];
};

static void open_fixture(struct fixture *fixture, uint32_t events)
{
	memset(fixture, 0, sizeof(*fixture));
	ck_assert_int_eq(uv_loop_init(&fixture->loop), 0);
	fixture->poller = poller_new(&fixture->loop);
	ck_assert_ptr_nonnull(fixture->poller);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fixture->ends[i]), 0);
		fixture->seen[i].watch.event = on_event;
		fixture->seen[i].poller = fixture->poller;
		ck_assert_int_eq(poller_add(fixture->poller, &fixture->seen[i].watch, fixture->ends[i][0], events), 0);
	}
}

static void close_fixture(struct fixture *fixture)
{
	for (int i = 0; i < 2; i++) {
		if (!fixture->seen[i].watch.retired && fixture->seen[i].released == 0)
			poller_retire(fixture->poller, &fixture->seen[i].watch, on_release);
		close(fixture->ends[i][0]);
		close(fixture->ends[i][1]);
	}
	while (poller_alive(fixture->poller))
		poller_turn(fixture->poller, -1);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(fixture->seen[i].released, 1);
	poller_free(fixture->poller);
	ck_assert_int_eq(uv_loop_close(&fixture->loop), 0);
}

static void say(const struct fixture *fixture, int which)
{
	ck_assert_int_eq((int)send(fixture->ends[which][1], "x", 1, MSG_NOSIGNAL), 1);
}

/* _i 0: as long as it lasts; 1: once, when it begins. */
START_TEST(levels_and_edges)
{
	struct fixture fixture;

	open_fixture(&fixture, EPOLLIN | (_i == 1 ? EPOLLET : 0));
	say(&fixture, 0);
	for (int i = 0; i < 3; i++)
		poller_turn(fixture.poller, 0);
	ck_assert_int_eq(fixture.seen[0].calls, _i == 1 ? 1 : 3);
	ck_assert_int_eq(fixture.seen[1].calls, 0);
	ck_assert_uint_eq(fixture.seen[0].events, EPOLLIN);
	say(&fixture, 0);
	poller_turn(fixture.poller, -1);
	ck_assert_int_eq(fixture.seen[0].calls, _i == 1 ? 2 : 4);
	close_fixture(&fixture);
}
END_TEST

START_TEST(nothing_is_heard_of_the_retired)
{
	struct fixture fixture;

	/* Both are in one batch, and each would retire the other: one alone is called, whichever comes first. */
	open_fixture(&fixture, EPOLLIN);
	fixture.seen[0].other = &fixture.seen[1];
	fixture.seen[1].other = &fixture.seen[0];
	say(&fixture, 0);
	say(&fixture, 1);
	poller_turn(fixture.poller, -1);
	ck_assert_int_eq(fixture.seen[0].calls + fixture.seen[1].calls, 1);
	ck_assert_int_eq(fixture.seen[0].released + fixture.seen[1].released, 1);
	close_fixture(&fixture);
}
END_TEST

/* Whoever has another: we, or a process that was forked. */
START_TEST(nothing_is_heard_while_another_descriptor_is_open)
{
	struct fixture fixture;
	int copy;

	open_fixture(&fixture, EPOLLIN);
	copy = fcntl(fixture.ends[0][0], F_DUPFD_CLOEXEC, 0);
	poller_retire(fixture.poller, &fixture.seen[0].watch, on_release);
	close(fixture.ends[0][0]);
	poller_turn(fixture.poller, 0);
	say(&fixture, 0);
	poller_turn(fixture.poller, 0);
	ck_assert_int_eq(fixture.seen[0].calls, 0);
	ck_assert_int_eq(fixture.seen[0].released, 1);
	fixture.ends[0][0] = copy; /* closed with the others */
	close_fixture(&fixture);
}
END_TEST

START_TEST(what_is_watched_can_change)
{
	struct fixture fixture;

	open_fixture(&fixture, 0);
	say(&fixture, 0);
	poller_turn(fixture.poller, 0);
	ck_assert_int_eq(fixture.seen[0].calls, 0);
	(void)poller_change(fixture.poller, &fixture.seen[0].watch, EPOLLIN);
	poller_turn(fixture.poller, 0);
	ck_assert_int_eq(fixture.seen[0].calls, 1);
	(void)poller_change(fixture.poller, &fixture.seen[0].watch, 0);
	poller_turn(fixture.poller, 0);
	ck_assert_int_eq(fixture.seen[0].calls, 1);
	close_fixture(&fixture);
}
END_TEST

static void count_timer(uv_timer_t *timer)
{
	++*(int *)timer->data;
	uv_close((uv_handle_t *)timer, NULL);
}

static void count_async(uv_async_t *async)
{
	++*(int *)async->data;
	uv_close((uv_handle_t *)async, NULL);
}

/* Started before the first turn (_i 0) or between turns. */
START_TEST(libuv_lives_inside)
{
	struct fixture fixture;
	uv_timer_t timer;
	uv_async_t async;
	int rung = 0, woken = 0;
	uint64_t until_ns = uv_hrtime() + UINT64_C(3000000000);

	open_fixture(&fixture, EPOLLIN | EPOLLET);
	for (int i = 0; i < _i; i++)
		poller_turn(fixture.poller, 0);
	ck_assert_int_eq(uv_timer_init(&fixture.loop, &timer), 0);
	ck_assert_int_eq(uv_async_init(&fixture.loop, &async, count_async), 0);
	timer.data = &rung;
	async.data = &woken;
	ck_assert_int_eq(uv_timer_start(&timer, count_timer, 20, 0), 0);
	ck_assert_int_eq(uv_async_send(&async), 0);
	while ((rung == 0 || woken == 0) && uv_hrtime() < until_ns)
		poller_turn(fixture.poller, -1);
	ck_assert_int_eq(rung, 1);
	ck_assert_int_eq(woken, 1);
	close_fixture(&fixture);
}
END_TEST

START_TEST(refuses_what_cannot_be_watched)
{
	struct fixture fixture;
	struct seen seen = {.watch.event = on_event};

	open_fixture(&fixture, EPOLLIN);
	ck_assert_int_eq(poller_add(fixture.poller, &seen.watch, -1, EPOLLIN), -1);
	close_fixture(&fixture);
	poller_free(NULL);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("poller");
	TCase *tests = tcase_create("poller");

	tcase_add_loop_test(tests, levels_and_edges, 0, 2);
	tcase_add_test(tests, nothing_is_heard_of_the_retired);
	tcase_add_test(tests, nothing_is_heard_while_another_descriptor_is_open);
	tcase_add_test(tests, what_is_watched_can_change);
	tcase_add_loop_test(tests, libuv_lives_inside, 0, 3);
	tcase_add_test(tests, refuses_what_cannot_be_watched);
	suite_add_tcase(suite, tests);
	return suite;
}
