/* Subscribers of a unix socket: the list, then events; the slow, the many, and the gone. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "notifier.h"
#include "subscribers.h"
#include "subscribing.h"
#include "suite.h"

/* --- the list, and what follows --- */

START_TEST(the_list_comes_first_and_then_what_happens)
{
	struct listener one, other;
	unsigned secured = 0;
	void *state;

	make_folder();
	state = open_it(1 << 20);
	for (uint64_t i = 0; i < 5; i++) {
		ck_assert_int_eq(tell(state, CCI_HANDSHAKE_STARTING, i), CCI_NOTIFIED);
		ck_assert_int_eq(tell(state, i < 3 ? CCI_HANDSHAKE_DONE : CCI_UNSECURED, i), CCI_NOTIFIED);
	}
	ck_assert_int_eq(tell(state, CCI_CLOSED, 0), CCI_NOTIFIED);
	ck_assert_int_eq(tell(state, CCI_REFUSED, 77), CCI_NOTIFIED);
	ck_assert(subscribe(&one));
	for (int i = 0; i < 4; i++) {
		expect(&one, "open");
		ck_assert_uint_ne(connection_of(&one), 0);
		ck_assert_int_eq(json_is_true(json_object_get(one.json, "secured")), connection_of(&one) < 3);
		ck_assert_str_eq(json_string_value(json_object_get(one.json, "sysid")), "PC1");
		secured += json_is_true(json_object_get(one.json, "secured"));
	}
	ck_assert_uint_eq(secured, 2);
	expect(&one, "now");
	ck_assert_int_eq(number(&one, "open"), 4);
	ck_assert_int_eq(tell(state, CCI_CLOSED, 1), CCI_NOTIFIED);
	ck_assert(subscribe(&other));
	for (int i = 0; i < 3; i++)
		expect(&other, "open");
	expect(&other, "now");
	ck_assert_int_eq(tell(state, CCI_HANDSHAKE_STARTING, 9), CCI_NOTIFIED);
	ck_assert_int_eq(tell(state, CCI_HANDSHAKE_FAILED, 9), CCI_NOTIFIED);
	expect(&one, "closed");
	expect(&one, "handshake-starting");
	expect(&one, "handshake-failed");
	expect(&other, "handshake-starting");
	expect(&other, "handshake-failed");
	ck_assert_uint_eq(status_of(state).subscribers, 2);
	ck_assert_uint_eq(status_of(state).written, 5);
	close_it(state);
	ck_assert_ptr_null(next(&one));
	ck_assert_ptr_null(next(&other));
	leave(&one);
	leave(&other);
	remove_folder();
}
END_TEST

/* --- at the same time --- */

#define TELLERS 4
#define EACH 3000
#define LISTENERS 8
#define STAY 10 /* each tenth is not closed */

static atomic_int told; /* tellers that are done */

struct teller {
	pthread_t thread;
	void *state;
	unsigned number;
};

static void *tell_many(void *argument)
{
	const struct teller *teller = argument;

	for (unsigned i = 0; i < EACH; i++) {
		uint64_t connection = teller->number * EACH + i;

		ck_assert_int_eq(tell(teller->state, i % 2 ? CCI_UNSECURED : CCI_HANDSHAKE_DONE, connection), CCI_NOTIFIED);
		if (i % STAY != 0)
			ck_assert_int_eq(tell(teller->state, CCI_CLOSED, connection), CCI_NOTIFIED);
	}
	(void)atomic_fetch_add(&told, 1);
	return NULL;
}

struct watcher {
	pthread_t thread;
	unsigned delay_us;
	bool open[TELLERS * EACH];
};

/* Each connection opens once and closes once, as far as this one can know. */
static void *watch(void *argument)
{
	struct watcher *watcher = argument;
	struct listener *listener = calloc(1, sizeof(*listener));
	bool listed = false;

	usleep(watcher->delay_us);
	ck_assert(subscribe(listener));
	for (const char *word; (word = next(listener)) != NULL;) {
		bool closes = strcmp(word, "closed") == 0;

		if (strcmp(word, "now") == 0) {
			listed = true;
			continue;
		}
		ck_assert_msg(listed != (strcmp(word, "open") == 0), "%s", listener->line);
		ck_assert_msg(watcher->open[connection_of(listener)] == closes, "%s: %s", closes ? "a gap" : "a duplicate",
		              listener->line);
		watcher->open[connection_of(listener)] = !closes;
	}
	ck_assert(listed);
	leave(listener);
	free(listener);
	return NULL;
}

START_TEST(no_gap_and_no_duplicate_between_list_and_events)
{
	static struct watcher watchers[LISTENERS];
	struct teller tellers[TELLERS];
	void *state;

	make_folder();
	state = open_it(UINT64_C(1) << 32);
	for (unsigned i = 0; i < TELLERS; i++) {
		tellers[i] = (struct teller){.state = state, .number = i};
		ck_assert_int_eq(pthread_create(&tellers[i].thread, NULL, tell_many, &tellers[i]), 0);
	}
	for (unsigned i = 0; i < LISTENERS; i++) {
		watchers[i].delay_us = i * 3000;
		ck_assert_int_eq(pthread_create(&watchers[i].thread, NULL, watch, &watchers[i]), 0);
	}
	for (unsigned i = 0; i < TELLERS; i++)
		ck_assert_int_eq(pthread_join(tellers[i].thread, NULL), 0);
	wait_for_subscribers(state, LISTENERS);
	for (int i = 0; i < 10000 && status_of(state).queued_bytes > 0; i++)
		usleep(1000);
	close_it(state);
	for (unsigned i = 0; i < LISTENERS; i++) {
		ck_assert_int_eq(pthread_join(watchers[i].thread, NULL), 0);
		for (unsigned j = 0; j < TELLERS * EACH; j++)
			ck_assert_msg(watchers[i].open[j] == (j % EACH % STAY == 0), "%u of %u", j, i);
	}
	remove_folder();
}
END_TEST

/* --- the slow --- */

/* Events of connection 0 and up until one has no room; how many that were, that one included. */
static uint64_t tell_until_full(void *state)
{
	for (uint64_t i = 0; i < 1000000; i++)
		if (tell(state, CCI_HANDSHAKE_STARTING, i) != CCI_NOTIFIED)
			return i + 1;
	ck_abort_msg("it never was too slow");
	return 0;
}

START_TEST(who_is_too_slow_is_told_so_at_last)
{
	struct listener slow, fast;
	uint64_t full, got = 0;
	const char *word;
	void *state;

	make_folder();
	state = open_it(64 * 1024);
	ck_assert(subscribe(&slow));
	expect(&slow, "now");
	full = tell_until_full(state);
	/* What it may have waiting, and what the kernel and the thread have taken for it. */
	ck_assert_uint_gt(full, 64 * 1024 / 200);
	ck_assert(subscribe(&fast));
	expect(&fast, "now");
	/* Nobody else loses anything, and nothing is wrong any more. */
	for (uint64_t i = 0; i < 100; i++) {
		ck_assert_int_eq(tell(state, CCI_HANDSHAKE_STARTING, i), CCI_NOTIFIED);
		expect(&fast, "handshake-starting");
		ck_assert_uint_eq(connection_of(&fast), i);
	}
	wait_for_subscribers(state, 1);
	for (; (word = next(&slow)) != NULL && strcmp(word, "handshake-starting") == 0; got++)
		ck_assert_uint_eq(connection_of(&slow), got);
	ck_assert_str_eq(word != NULL ? word : "the end", "dropped-subscriber");
	ck_assert_str_eq(json_string_value(json_object_get(slow.json, "reason")), "too slow");
	ck_assert_uint_eq((uint64_t)number(&slow, "missed") + got, full);
	ck_assert_int_eq(number(&slow, "unlisted"), 0);
	ck_assert_uint_eq(status_of(state).dropped, full - got);
	ck_assert_ptr_null(next(&slow));
	leave(&slow);
	leave(&fast);
	close_it(state);
	remove_folder();
}
END_TEST

START_TEST(who_does_not_take_the_list_is_told_how_much_it_lacks)
{
	struct listener slow;
	long long got = 0;
	const char *word;
	void *state;

	make_folder();
	state = open_it(4096);
	for (uint64_t i = 0; i < 5000; i++)
		ck_assert_int_eq(tell(state, CCI_UNSECURED, i), CCI_NOTIFIED);
	ck_assert(subscribe(&slow));
	wait_for_subscribers(state, 1);
	/* The list has begun: on a slow machine it could be full before. */
	ck_assert_int_eq(poll(&(struct pollfd){.fd = fileno(slow.stream), .events = POLLIN}, 1, 20000), 1);
	(void)tell_until_full(state);
	wait_for_subscribers(state, 0);
	for (; (word = next(&slow)) != NULL && strcmp(word, "open") == 0; got++)
		continue;
	ck_assert_str_eq(word != NULL ? word : "the end", "dropped-subscriber");
	ck_assert_int_gt(got, 0);
	ck_assert_int_eq(number(&slow, "unlisted") + got, 5000);
	ck_assert_int_gt(number(&slow, "missed"), 0);
	leave(&slow);
	close_it(state);
	remove_folder();
}
END_TEST

/* The same through what the gateway calls: taken without subscribers, refused where one had no room. */
START_TEST(with_refuse_what_a_subscriber_was_not_told_of_does_not_start)
{
	static const struct cci_notifier_kind *const kinds[] = {&notifier_socket_kind, NULL};
	struct config_notifier section = {.place = {(char *)(uintptr_t) "n", 3},
	                                  .kind = (char *)(uintptr_t) "socket",
	                                  .path = path,
	                                  .queue_bytes = 4096,
	                                  .mode = 0600,
	                                  .on_error = ON_ERROR_REFUSE};
	struct config config = {.file = (char *)(uintptr_t) "f", .notifiers = &section, .notifier_count = 1};
	struct cci_event event = {
	    .size = sizeof(event), .version = CCI_NOTIFIER_VERSION, .type = CCI_HANDSHAKE_STARTING, .fd = -1};
	struct notifiers *notifiers;
	struct notifier_state state;
	struct listener slow;
	struct error error;
	int tries = 0;

	make_folder();
	notifiers = notifiers_new(&config, &(const struct notifier_source){.kinds = kinds}, &error);
	ck_assert_ptr_nonnull(notifiers);
	ck_assert(!notifiers_want(notifiers, CCI_RECORD));
	for (int i = 0; i < 10000; i++)
		ck_assert_int_eq(notifiers_tell(notifiers, &event, NULL), REASON_NONE);
	ck_assert(subscribe(&slow));
	expect(&slow, "now");
	while (notifiers_tell(notifiers, &event, NULL) == REASON_NONE)
		ck_assert_int_lt(tries++, 1000000);
	ck_assert_int_eq(notifiers_tell(notifiers, &event, NULL), REASON_NONE);
	notifiers_state(notifiers, 0, &state);
	ck_assert_uint_eq(state.failed, 1);
	leave(&slow);
	notifiers_free(notifiers);
	notifiers_reap();
	remove_folder();
}
END_TEST

/* --- the many and the gone --- */

START_TEST(more_than_there_is_room_for_are_told_so)
{
	struct listener *listeners = calloc(SUBSCRIBERS_MOST + 1, sizeof(*listeners));
	void *state;

	make_folder();
	state = open_it(1 << 20);
	for (int i = 0; i < SUBSCRIBERS_MOST; i++) {
		ck_assert(subscribe(&listeners[i]));
		expect(&listeners[i], "now");
	}
	ck_assert(subscribe(&listeners[SUBSCRIBERS_MOST]));
	expect(&listeners[SUBSCRIBERS_MOST], "refused-subscriber");
	ck_assert_str_eq(json_string_value(json_object_get(listeners[SUBSCRIBERS_MOST].json, "reason")), "too many");
	ck_assert_ptr_null(next(&listeners[SUBSCRIBERS_MOST]));
	leave(&listeners[SUBSCRIBERS_MOST]);
	/* One that goes makes room. */
	leave(&listeners[3]);
	wait_for_subscribers(state, SUBSCRIBERS_MOST - 1);
	ck_assert(subscribe(&listeners[3]));
	expect(&listeners[3], "now");
	ck_assert_int_eq(tell(state, CCI_UNSECURED, 1), CCI_NOTIFIED);
	for (int i = 0; i < SUBSCRIBERS_MOST; i++) {
		expect(&listeners[i], "unsecured");
		leave(&listeners[i]);
	}
	wait_for_subscribers(state, 0);
	close_it(state);
	free(listeners);
	remove_folder();
}
END_TEST

START_TEST(without_descriptors_one_waits)
{
	struct rlimit limit, before;
	struct listener listener;
	int next_fd;
	void *state;

	make_folder();
	state = open_it(1 << 20);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	next_fd = dup(0);
	close(next_fd);
	/* The subscriber's own is the last that there is. */
	limit = (struct rlimit){(rlim_t)next_fd + 1, before.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert(subscribe(&listener));
	for (int i = 0; i < 5000 && status_of(state).error[0] == '\0'; i++)
		usleep(1000);
	ck_assert_str_eq(status_of(state).error, "Too many open files");
	ck_assert_int_eq(tell(state, CCI_UNSECURED, 1), CCI_NOTIFIED);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	expect(&listener, "open");
	expect(&listener, "now");
	leave(&listener);
	close_it(state);
	remove_folder();
}
END_TEST

START_TEST(who_says_something_or_no_more_still_hears)
{
	struct listener listener;
	void *state;

	make_folder();
	state = open_it(1 << 20);
	ck_assert(subscribe(&listener));
	expect(&listener, "now");
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(send(fileno(listener.stream), "hello\n", 6, MSG_NOSIGNAL), 6);
	ck_assert_int_eq(shutdown(fileno(listener.stream), SHUT_WR), 0);
	usleep(50000);
	ck_assert_int_eq(tell(state, CCI_UNSECURED, 1), CCI_NOTIFIED);
	expect(&listener, "unsecured");
	leave(&listener);
	wait_for_subscribers(state, 0);
	close_it(state);
	remove_folder();
}
END_TEST

START_TEST(what_waits_at_the_end_is_still_heard)
{
	struct listener listener;
	void *state;

	make_folder();
	state = open_it(1 << 20);
	ck_assert(subscribe(&listener));
	expect(&listener, "now");
	for (uint64_t i = 0; i < 100; i++)
		ck_assert_int_eq(tell(state, CCI_UNSECURED, i), CCI_NOTIFIED);
	close_it(state);
	for (uint64_t i = 0; i < 100; i++)
		expect(&listener, "unsecured");
	ck_assert_ptr_null(next(&listener));
	leave(&listener);
	remove_folder();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("notifier_socket");
	TCase *tests = tcase_create("notifier_socket");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, the_list_comes_first_and_then_what_happens);
	tcase_add_test(tests, no_gap_and_no_duplicate_between_list_and_events);
	tcase_add_test(tests, who_is_too_slow_is_told_so_at_last);
	tcase_add_test(tests, who_does_not_take_the_list_is_told_how_much_it_lacks);
	tcase_add_test(tests, with_refuse_what_a_subscriber_was_not_told_of_does_not_start);
	tcase_add_test(tests, more_than_there_is_room_for_are_told_so);
	tcase_add_test(tests, without_descriptors_one_waits);
	tcase_add_test(tests, who_says_something_or_no_more_still_hears);
	tcase_add_test(tests, what_waits_at_the_end_is_still_heard);
	suite_add_tcase(suite, tests);
	return suite;
}
