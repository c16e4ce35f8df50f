/* The PROXY header at the beginning of a connection: exact, a byte at a time, cut, and what is none. */
#include <signal.h>
#include <string.h>

#include "proxyin.h"
#include "suite.h"
#include "watched.h"

#define V1 "PROXY TCP4 192.0.2.1 198.51.100.2 1024 1202\r\n"
#define V2 "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x04\x00\x04\xb2"

static const struct {
	const char *bytes;
	size_t size;
} headers[] = {{V1, sizeof(V1) - 1}, {V2, sizeof(V2) - 1}};

struct door {
	struct watched watched;
	struct proxyin *proxyin;
	bool started, done;
	enum reason reason;
	char source[ADDRESS_TEXT_SIZE];
};

static void on_done(void *owner, enum reason reason, const struct proxy_header *header, const char *detail)
{
	struct door *door = owner;

	ck_assert(door->started && !door->done);
	ck_assert_ptr_nonnull(detail);
	ck_assert_int_eq(header != NULL, reason == REASON_NONE);
	door->done = true;
	door->reason = reason;
	if (header != NULL)
		(void)socket_format(&header->source, door->source);
}

static void open_door(struct door *door)
{
	int ends[2];

	memset(door, 0, sizeof(*door));
	test_pair(ends);
	watched_open(&door->watched, ends);
	door->proxyin = proxyin_start(door->watched.channel, on_done, door);
	ck_assert_ptr_nonnull(door->proxyin);
	door->started = true;
}

static void say(struct door *door, const void *bytes, size_t size)
{
	ck_assert_int_eq((int)send(door->watched.far, bytes, size, MSG_NOSIGNAL), (int)size);
}

static void ends_with(struct door *door, enum reason reason)
{
	test_loop_until(&door->watched.test, &door->done);
	ck_assert_int_eq(door->reason, reason);
}

START_TEST(takes_the_header_and_no_byte_more)
{
	struct door door;
	char rest[16] = "";

	open_door(&door);
	say(&door, headers[_i].bytes, headers[_i].size);
	say(&door, "\r\nCCIP", 6);
	ends_with(&door, REASON_NONE);
	ck_assert_str_eq(door.source, "192.0.2.1:1024");
	ck_assert_int_eq((int)recv(channel_fd(door.watched.channel), rest, sizeof(rest), 0), 6);
	ck_assert_str_eq(rest, "\r\nCCIP");
	watched_close(&door.watched);
}
END_TEST

/* Between two bytes nothing spins: the loop has nothing to do. */
START_TEST(a_byte_at_a_time)
{
	struct door door;

	open_door(&door);
	for (size_t i = 0; i < headers[_i].size; i++) {
		ck_assert(!door.done);
		say(&door, headers[_i].bytes + i, 1);
		test_loop_turns(&door.watched.test, 3);
	}
	ends_with(&door, REASON_NONE);
	ck_assert_str_eq(door.source, "192.0.2.1:1024");
	watched_close(&door.watched);
}
END_TEST

START_TEST(split_at_every_byte)
{
	for (size_t first = 1; first < headers[_i].size; first++) {
		struct door door;

		open_door(&door);
		say(&door, headers[_i].bytes, first);
		test_loop_turns(&door.watched.test, 3);
		ck_assert(!door.done && proxyin_has_bytes(door.proxyin));
		say(&door, headers[_i].bytes + first, headers[_i].size - first);
		ends_with(&door, REASON_NONE);
		watched_close(&door.watched);
	}
}
END_TEST

START_TEST(an_end_in_the_middle)
{
	for (size_t size = 0; size < headers[_i].size; size++) {
		struct door door;

		open_door(&door);
		if (size > 0)
			say(&door, headers[_i].bytes, size);
		if (size % 2 == 0)
			test_loop_turns(&door.watched.test, 3);
		ck_assert_int_eq(shutdown(door.watched.far, SHUT_WR), 0);
		ends_with(&door, size == 0 ? REASON_PROXY_MISSING : REASON_PROXY_HEADER);
		watched_close(&door.watched);
	}
}
END_TEST

static const struct {
	const char *bytes;
	enum reason reason;
} others[] = {
    {"CCIP\x01\x01\x01", REASON_PROXY_MISSING},   {"\x16\x03\x01", REASON_PROXY_MISSING},
    {"GET / HTTP/1.0\r\n", REASON_PROXY_MISSING}, {"PROXY TCP4 1.2.3.4\r\n", REASON_PROXY_HEADER},
    {"PROXY UDP", REASON_PROXY_HEADER},
};

START_TEST(what_is_none_ends_it)
{
	struct door door;

	open_door(&door);
	say(&door, others[_i].bytes, strlen(others[_i].bytes));
	ends_with(&door, others[_i].reason);
	watched_close(&door.watched);
}
END_TEST

START_TEST(cancel_means_never)
{
	struct door door;

	open_door(&door);
	say(&door, headers[0].bytes, 10);
	if (_i == 1)
		test_loop_turns(&door.watched.test, 3);
	proxyin_cancel(door.proxyin);
	proxyin_cancel(NULL);
	say(&door, headers[0].bytes + 10, headers[0].size - 10);
	test_loop_turns(&door.watched.test, 5);
	ck_assert(!door.done);
	watched_close(&door.watched);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("proxyin");
	TCase *tests = tcase_create("proxyin");

	(void)signal(SIGPIPE, SIG_IGN);
	tcase_add_loop_test(tests, takes_the_header_and_no_byte_more, 0, 2);
	tcase_add_loop_test(tests, a_byte_at_a_time, 0, 2);
	tcase_add_loop_test(tests, split_at_every_byte, 0, 2);
	tcase_add_loop_test(tests, an_end_in_the_middle, 0, 2);
	tcase_add_loop_test(tests, what_is_none_ends_it, 0, (int)(sizeof(others) / sizeof(others[0])));
	tcase_add_loop_test(tests, cancel_means_never, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
