/* A channel in the clear: exact reads, kept writes, ends, resets, events. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>

#include "suite.h"
#include "watched.h"

/* More than the kernel keeps between two ends. */
#define MUCH 3000000

static void open_pair(struct watched *watched)
{
	int ends[2];

	test_pair(ends);
	watched_open(watched, ends);
}

/* Over TCP, where a reset exists. */
static void open_tcp(struct watched *watched)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int ends[2], listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(listening, (struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(listen(listening, 1), 0);
	ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&address, &size), 0);
	ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(ends[0], (struct sockaddr *)&address, size), 0);
	ends[1] = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
	ck_assert_int_ge(ends[1], 0);
	ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	close(listening);
	watched_open(watched, ends);
}

static void say(struct watched *watched, const char *text)
{
	ck_assert_int_eq((int)send(watched->far, text, strlen(text), MSG_NOSIGNAL), (int)strlen(text));
}

static void reset_by_peer(struct watched *watched)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	ck_assert_int_eq(setsockopt(watched->far, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(watched->far);
	watched->far = -1;
}

static uint8_t *pattern(size_t size)
{
	uint8_t *bytes = malloc(size);

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	return bytes;
}

/* Take what comes out at our end until `size` bytes are there, the loop turning between. */
static void expect_far(struct watched *watched, const uint8_t *expected, size_t size)
{
	uint8_t bytes[8192];
	size_t received = 0;

	for (int idle = 0; received < size && idle < 20000; idle++) {
		ssize_t came = recv(watched->far, bytes, sizeof(bytes), MSG_DONTWAIT);

		test_loop_turns(&watched->test, 1);
		if (came <= 0)
			continue;
		ck_assert_uint_le(received + (size_t)came, size);
		ck_assert_mem_eq(bytes, expected + received, (size_t)came);
		received += (size_t)came;
		idle = 0;
	}
	ck_assert_uint_eq(received, size);
}

START_TEST(reads_what_is_asked_and_never_more)
{
	struct watched watched;
	struct channel_count count;
	char bytes[32] = "";
	size_t got;

	open_pair(&watched);
	say(&watched, "0123456789");
	watched_await(&watched);
	ck_assert_int_eq(watched_read(&watched, bytes, 3, &got), CHANNEL_OK);
	ck_assert_uint_eq(got, 3);
	ck_assert_str_eq(bytes, "012");
	ck_assert(channel_more(watched.channel));
	/* The rest still is in the kernel. */
	ck_assert_int_eq((int)recv(channel_fd(watched.channel), bytes, sizeof(bytes), MSG_PEEK), 7);
	memset(bytes, 0, sizeof(bytes));
	ck_assert_int_eq(watched_read(&watched, bytes, sizeof(bytes), &got), CHANNEL_OK);
	ck_assert_str_eq(bytes, "3456789");
	ck_assert(!channel_more(watched.channel));
	channel_counts(watched.channel, &count);
	ck_assert_uint_eq(count.clear_in, 10);
	ck_assert_uint_eq(count.tls_in, 0);
	watched_close(&watched);
}
END_TEST

START_TEST(nothing_there_is_again_until_the_event)
{
	struct watched watched;
	char bytes[8];
	size_t got;

	open_pair(&watched);
	channel_want_read(watched.channel, true);
	test_loop_turns(&watched.test, 5);
	ck_assert_uint_eq(watched.readable, 0);
	ck_assert_int_eq(watched_read(&watched, bytes, sizeof(bytes), &got), CHANNEL_AGAIN);
	say(&watched, "late");
	watched_await(&watched);
	ck_assert_int_eq(watched_read(&watched, bytes, sizeof(bytes), &got), CHANNEL_OK);
	ck_assert_mem_eq(bytes, "late", 4);
	ck_assert_uint_eq(got, 4);
	watched_close(&watched);
}
END_TEST

START_TEST(looks_without_taking)
{
	struct watched watched;
	struct channel_count count;
	char bytes[8] = "";
	size_t got = 99;

	open_pair(&watched);
	ck_assert_int_eq(channel_peek(watched.channel, bytes, 4, &got), CHANNEL_AGAIN);
	ck_assert_uint_eq(got, 0);
	say(&watched, "abcdef");
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(channel_peek(watched.channel, bytes, 4, &got), CHANNEL_OK);
		ck_assert_uint_eq(got, 4);
		ck_assert_str_eq(bytes, "abcd");
	}
	channel_counts(watched.channel, &count);
	ck_assert_uint_eq(count.clear_in, 0);
	ck_assert_int_eq(watched_read(&watched, bytes, 6, &got), CHANNEL_OK);
	ck_assert_mem_eq(bytes, "abcdef", 6);
	shutdown(watched.far, SHUT_WR);
	ck_assert_int_eq(channel_peek(watched.channel, bytes, 4, &got), CHANNEL_EOF);
	watched_close(&watched);
}
END_TEST

START_TEST(end_of_the_peer_comes_after_its_bytes)
{
	struct watched watched;
	char bytes[8];
	size_t got;

	open_pair(&watched);
	say(&watched, "last");
	shutdown(watched.far, SHUT_WR);
	watched_await(&watched);
	ck_assert_int_eq(watched_read(&watched, bytes, sizeof(bytes), &got), CHANNEL_OK);
	ck_assert_uint_eq(got, 4);
	watched_await(&watched);
	ck_assert_int_eq(watched_read(&watched, bytes, sizeof(bytes), &got), CHANNEL_EOF);
	/* The other direction still is open. */
	ck_assert_int_eq(watched_write(&watched, "answer", 6), CHANNEL_OK);
	expect_far(&watched, (const uint8_t *)"answer", 6);
	watched_close(&watched);
}
END_TEST

START_TEST(what_the_kernel_does_not_take_is_kept_and_flushed)
{
	struct watched watched;
	struct channel_count count;
	uint8_t *bytes = pattern(MUCH + 5000), scratch[8192];
	size_t taken = 0;
	ssize_t came;

	open_pair(&watched);
	ck_assert_int_eq(watched_write(&watched, bytes, 0), CHANNEL_OK);
	ck_assert_int_eq(watched_write(&watched, bytes, MUCH), CHANNEL_OK);
	ck_assert_uint_gt(channel_pending(watched.channel), MUCH / 2);
	ck_assert_uint_lt(channel_pending(watched.channel), MUCH);
	test_loop_turns(&watched.test, 5);
	ck_assert_uint_eq(watched.writable, 0);
	/* What is written after it must not pass it, although the kernel has room again. */
	while (taken < MUCH && (came = recv(watched.far, scratch, sizeof(scratch), MSG_DONTWAIT)) > 0)
		taken += (size_t)came;
	ck_assert_uint_gt(taken, 5000);
	ck_assert_int_eq(watched_write(&watched, bytes + MUCH, 5000), CHANNEL_OK);
	expect_far(&watched, bytes + taken, MUCH + 5000 - taken);
	test_loop_until(&watched.test, &watched.is_writable);
	ck_assert_uint_eq(channel_pending(watched.channel), 0);
	test_loop_turns(&watched.test, 5);
	ck_assert_uint_eq(watched.writable, 1);
	channel_counts(watched.channel, &count);
	ck_assert_uint_eq(count.clear_out, MUCH + 5000);
	watched_close(&watched);
	free(bytes);
}
END_TEST

START_TEST(end_waits_for_what_is_pending)
{
	struct watched watched;
	size_t size = _i == 0 ? 100 : MUCH;
	uint8_t *bytes = pattern(size), byte;

	open_pair(&watched);
	ck_assert_int_eq(watched_write(&watched, bytes, size), CHANNEL_OK);
	ck_assert_int_eq(channel_end(watched.channel), CHANNEL_OK);
	expect_far(&watched, bytes, size);
	test_loop_turns(&watched.test, 5);
	ck_assert_int_eq((int)recv(watched.far, &byte, 1, MSG_DONTWAIT), 0);
	/* Only this direction has ended. */
	say(&watched, "x");
	watched_await(&watched);
	watched_close(&watched);
	free(bytes);
}
END_TEST

START_TEST(close_drops_what_is_pending)
{
	struct watched watched;
	uint8_t *bytes = pattern(MUCH), byte[8192];
	size_t received = 0;
	ssize_t came;

	open_pair(&watched);
	ck_assert_int_eq(watched_write(&watched, bytes, MUCH), CHANNEL_OK);
	channel_close(watched.channel);
	channel_close(NULL);
	test_loop_turns(&watched.test, 5);
	while ((came = recv(watched.far, byte, sizeof(byte), MSG_DONTWAIT)) > 0)
		received += (size_t)came;
	ck_assert_int_eq((int)came, 0);
	ck_assert_uint_lt(received, MUCH);
	ck_assert_uint_eq(watched.readable + watched.writable, 0);
	watched.channel = NULL;
	watched_close(&watched);
	free(bytes);
}
END_TEST

START_TEST(a_reset_is_seen_with_words)
{
	struct watched watched;
	char bytes[8];
	size_t got;
	enum channel_status status = CHANNEL_OK;

	open_tcp(&watched);
	ck_assert_str_eq(channel_error(watched.channel), "");
	reset_by_peer(&watched);
	watched_await(&watched);
	if (_i == 0)
		status = watched_read(&watched, bytes, sizeof(bytes), &got);
	if (_i == 1)
		status = channel_peek(watched.channel, bytes, sizeof(bytes), &got);
	/* A write meets the same end, whether or not a read has found it first. */
	if (_i == 2)
		status = watched_write(&watched, "x", 1);
	ck_assert_int_eq(status, CHANNEL_RESET);
	/* What a write hears is the kernel's choice: a reset, or a broken pipe. */
	ck_assert_msg(strstr(channel_error(watched.channel), "reset") != NULL ||
	                  (_i == 2 && strstr(channel_error(watched.channel), "pipe") != NULL),
	              "%s", channel_error(watched.channel));
	watched_close(&watched);
}
END_TEST

START_TEST(a_reset_ends_what_is_pending)
{
	struct watched watched;
	uint8_t *bytes = pattern(2 * MUCH);

	open_tcp(&watched);
	ck_assert_int_eq(watched_write(&watched, bytes, 2 * MUCH), CHANNEL_OK);
	ck_assert_uint_gt(channel_pending(watched.channel), 0);
	reset_by_peer(&watched);
	test_loop_until(&watched.test, &watched.is_writable);
	ck_assert_uint_eq(channel_pending(watched.channel), 0);
	ck_assert_int_eq(watched_write(&watched, bytes, 1), CHANNEL_RESET);
	ck_assert_uint_eq(channel_pending(watched.channel), 0);
	watched_close(&watched);
	free(bytes);
}
END_TEST

START_TEST(abort_resets_and_close_does_not)
{
	struct watched watched;
	uint8_t byte;
	int came;

	open_tcp(&watched);
	if (_i == 0)
		channel_abort(watched.channel);
	else
		channel_close(watched.channel);
	watched.channel = NULL;
	test_loop_turns(&watched.test, 5);
	came = (int)recv(watched.far, &byte, 1, MSG_DONTWAIT);
	ck_assert_int_eq(came, _i == 0 ? -1 : 0);
	if (_i == 0)
		ck_assert_int_eq(errno, ECONNRESET);
	channel_abort(NULL);
	watched_close(&watched);
}
END_TEST

START_TEST(again_comes_in_the_next_turn_without_the_kernel)
{
	struct watched watched;

	open_pair(&watched);
	channel_again(watched.channel);
	ck_assert_uint_eq(watched.readable, 0);
	(void)iocontext_turn(watched.test.io, 0);
	ck_assert_uint_eq(watched.readable, 1);
	test_loop_turns(&watched.test, 3);
	ck_assert_uint_eq(watched.readable, 1);
	/* Nobody hears what was queued for an owner that has gone. */
	channel_again(watched.channel);
	channel_watch(watched.channel, NULL, NULL);
	test_loop_turns(&watched.test, 3);
	ck_assert_uint_eq(watched.readable, 1);
	watched_close(&watched);
}
END_TEST

START_TEST(nobody_watching_is_no_loss)
{
	struct watched watched;
	char bytes[8];
	size_t got;

	open_pair(&watched);
	channel_want_read(watched.channel, true);
	channel_watch(watched.channel, NULL, NULL);
	say(&watched, "kept");
	test_loop_turns(&watched.test, 5);
	ck_assert_uint_eq(watched.readable, 0);
	channel_watch(watched.channel, watched_event, &watched);
	channel_again(watched.channel);
	channel_watch(watched.channel, NULL, NULL);
	channel_watch(watched.channel, watched_event, &watched);
	/* The new owner has not asked yet. */
	test_loop_turns(&watched.test, 5);
	ck_assert_uint_eq(watched.readable, 0);
	watched_await(&watched);
	ck_assert_int_eq(watched_read(&watched, bytes, sizeof(bytes), &got), CHANNEL_OK);
	ck_assert_uint_eq(got, 4);
	watched_close(&watched);
}
END_TEST

static void close_inside(void *owner, unsigned events)
{
	struct watched *watched = owner;

	ck_assert_uint_ne(events & CHANNEL_READABLE, 0);
	watched->is_readable = true;
	channel_close(watched->channel);
	watched->channel = NULL;
}

START_TEST(may_be_closed_by_its_own_event)
{
	struct watched watched;

	open_pair(&watched);
	channel_watch(watched.channel, close_inside, &watched);
	channel_want_read(watched.channel, true);
	if (_i == 0)
		say(&watched, "x");
	else
		channel_again(watched.channel);
	test_loop_until(&watched.test, &watched.is_readable);
	test_loop_turns(&watched.test, 3);
	watched_close(&watched);
}
END_TEST

/* An answered connect is WRITABLE; its result says how it was answered. */
START_TEST(a_connect_is_answered)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int ends[2] = {-1, socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
	struct watched watched;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(ends[0], (struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(getsockname(ends[0], (struct sockaddr *)&address, &size), 0);
	if (_i == 0)
		ck_assert_int_eq(listen(ends[0], 1), 0);
	(void)connect(ends[1], (struct sockaddr *)&address, size);
	watched_open(&watched, ends);
	channel_want_connect(watched.channel);
	test_loop_until(&watched.test, &watched.is_writable);
	ck_assert_int_eq(channel_connect_error(watched.channel), _i == 0 ? 0 : ECONNREFUSED);
	test_loop_turns(&watched.test, 3);
	ck_assert_uint_eq(watched.writable, 1);
	watched_close(&watched);
}
END_TEST

START_TEST(counts_what_the_relay_moved)
{
	struct watched watched;
	struct channel_count count;

	open_pair(&watched);
	ck_assert_int_eq(watched_write(&watched, "abc", 3), CHANNEL_OK);
	channel_count_add(watched.channel, 1000, 20);
	channel_counts(watched.channel, &count);
	ck_assert_uint_eq(count.clear_in, 1000);
	ck_assert_uint_eq(count.clear_out, 23);
	ck_assert_ptr_null(channel_ssl(watched.channel));
	ck_assert_ptr_eq(channel_io(watched.channel), watched.test.io);
	watched_close(&watched);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("channel");
	TCase *tests = tcase_create("clear");

	(void)signal(SIGPIPE, SIG_IGN);
	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, reads_what_is_asked_and_never_more);
	tcase_add_test(tests, nothing_there_is_again_until_the_event);
	tcase_add_test(tests, looks_without_taking);
	tcase_add_test(tests, end_of_the_peer_comes_after_its_bytes);
	tcase_add_test(tests, what_the_kernel_does_not_take_is_kept_and_flushed);
	tcase_add_loop_test(tests, end_waits_for_what_is_pending, 0, 2);
	tcase_add_test(tests, close_drops_what_is_pending);
	tcase_add_loop_test(tests, a_reset_is_seen_with_words, 0, 3);
	tcase_add_test(tests, a_reset_ends_what_is_pending);
	tcase_add_loop_test(tests, abort_resets_and_close_does_not, 0, 2);
	tcase_add_test(tests, again_comes_in_the_next_turn_without_the_kernel);
	tcase_add_test(tests, nobody_watching_is_no_loss);
	tcase_add_loop_test(tests, may_be_closed_by_its_own_event, 0, 2);
	tcase_add_loop_test(tests, a_connect_is_answered, 0, 2);
	tcase_add_test(tests, counts_what_the_relay_moved);
	suite_add_tcase(suite, tests);
	return suite;
}
