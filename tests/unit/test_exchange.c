/* Messages over a channel: exact, a byte at a time, cut at each byte, leftovers, strangers. */
#include <signal.h>

#include "exchange.h"
#include "suite.h"
#include "watched.h"

/* The exchange of docs/protocol.md in hex. */
static const uint8_t offer[] = "CCIP\x01\x01\x01\x00\x00\x1c\x00\x00\x00\x00\x10\x00"
                               "\x00\x01\x00\x01\x02\x00\x02\x00\x03PC1";
#define OFFER_SIZE 28

struct talk {
	struct watched watched;
	struct exchange *exchange;
	bool started, done;
	enum reason reason;
};

static void on_done(void *owner, enum reason reason)
{
	struct talk *talk = owner;

	ck_assert(talk->started && !talk->done);
	talk->done = true;
	talk->reason = reason;
	ck_assert_ptr_nonnull(exchange_detail(talk->exchange));
}

static void receive(struct talk *talk, bool detect_tls)
{
	talk->started = talk->done = false;
	exchange_receive(talk->exchange, detect_tls);
	talk->started = true;
}

static void open_talk(struct talk *talk, bool detect_tls)
{
	int ends[2];

	test_pair(ends);
	watched_open(&talk->watched, ends);
	talk->exchange = exchange_new(talk->watched.channel, on_done, talk);
	ck_assert_ptr_nonnull(talk->exchange);
	receive(talk, detect_tls);
}

static void close_talk(struct talk *talk)
{
	exchange_free(talk->exchange);
	exchange_free(NULL);
	watched_close(&talk->watched);
}

static void say(struct talk *talk, const void *bytes, size_t size)
{
	ck_assert_int_eq((int)send(talk->watched.far, bytes, size, MSG_NOSIGNAL), (int)size);
}

START_TEST(takes_one_message_and_no_byte_more)
{
	struct talk talk;
	char rest[8] = "";

	open_talk(&talk, _i == 1);
	ck_assert(!exchange_has_bytes(talk.exchange));
	say(&talk, offer, OFFER_SIZE);
	say(&talk, "more", 4);
	test_loop_until(&talk.watched.test, &talk.done);
	ck_assert_int_eq(talk.reason, REASON_NONE);
	ck_assert_str_eq(exchange_received(talk.exchange)->sysid, "PC1");
	ck_assert_uint_eq(exchange_received(talk.exchange)->maxru, 4096);
	ck_assert(exchange_has_leftover(talk.exchange) && !exchange_is_tls(talk.exchange));
	ck_assert_int_eq((int)recv(channel_fd(talk.watched.channel), rest, sizeof(rest), 0), 4);
	ck_assert_str_eq(rest, "more");
	ck_assert(!exchange_has_leftover(talk.exchange));
	close_talk(&talk);
}
END_TEST

START_TEST(a_byte_at_a_time)
{
	struct talk talk;

	open_talk(&talk, _i == 1);
	for (size_t i = 0; i < OFFER_SIZE; i++) {
		ck_assert(!talk.done);
		say(&talk, offer + i, 1);
		test_loop_turns(&talk.watched.test, 3);
		ck_assert(exchange_has_bytes(talk.exchange));
	}
	test_loop_until(&talk.watched.test, &talk.done);
	ck_assert_int_eq(talk.reason, REASON_NONE);
	ck_assert_str_eq(exchange_received(talk.exchange)->sysid, "PC1");
	close_talk(&talk);
}
END_TEST

START_TEST(closed_at_each_byte)
{
	struct talk talk;

	open_talk(&talk, _i % 2 == 1);
	if (_i > 0)
		say(&talk, offer, (size_t)_i);
	shutdown(talk.watched.far, SHUT_WR);
	test_loop_until(&talk.watched.test, &talk.done);
	ck_assert_int_eq(talk.reason, REASON_CLOSED_EARLY);
	ck_assert_int_eq(exchange_has_bytes(talk.exchange), _i > 0);
	ck_assert_str_ne(exchange_detail(talk.exchange), "");
	close_talk(&talk);
}
END_TEST

/* One byte of the header made wrong. A stranger is recognised by it, before the next has come. */
static const struct {
	size_t at;
	uint8_t byte;
	enum reason reason;
} wrong[] = {
    {0, 'G', REASON_NOT_CCI},   {3, 'Q', REASON_NOT_CCI},      {4, 2, REASON_BAD_VERSION},  {5, 9, REASON_BAD_MESSAGE},
    {6, 3, REASON_BAD_MESSAGE}, {8, 0x10, REASON_BAD_MESSAGE}, {9, 15, REASON_BAD_MESSAGE},
};

START_TEST(refused_for_its_reason)
{
	uint8_t bytes[OFFER_SIZE];
	struct talk talk;

	memcpy(bytes, offer, OFFER_SIZE);
	bytes[wrong[_i].at] = wrong[_i].byte;
	open_talk(&talk, false);
	say(&talk, bytes, wrong[_i].at < 4 ? wrong[_i].at + 1 : PARAMS_HEADER_SIZE);
	test_loop_until(&talk.watched.test, &talk.done);
	ck_assert_msg(talk.reason == wrong[_i].reason, "%d: %s", _i, reason_word(talk.reason));
	ck_assert_str_ne(exchange_detail(talk.exchange), "");
	close_talk(&talk);
}
END_TEST

START_TEST(tls_is_seen_and_not_taken)
{
	struct talk talk;
	uint8_t byte;

	open_talk(&talk, _i == 0);
	say(&talk, "\x16\x03\x01", 3);
	test_loop_until(&talk.watched.test, &talk.done);
	ck_assert_int_eq(talk.reason, _i == 0 ? REASON_NONE : REASON_NOT_CCI);
	ck_assert_int_eq(exchange_is_tls(talk.exchange), _i == 0);
	if (_i == 0) {
		ck_assert_int_eq((int)recv(channel_fd(talk.watched.channel), &byte, 1, MSG_PEEK), 1);
		ck_assert_uint_eq(byte, 0x16);
	}
	close_talk(&talk);
}
END_TEST

START_TEST(sends_and_digests_both)
{
	struct params answer = {
	    .type = PARAMS_ACCEPT, .cpu = PARAMS_UTF8, .maxru = 4096, .security = ANSWER_TLS, .sysid = "HOST1"};
	uint8_t bytes[64], digest[32], again[32];
	struct talk talk;

	open_talk(&talk, false);
	ck_assert_int_eq(exchange_digest(talk.exchange, digest), -1);
	say(&talk, offer, OFFER_SIZE);
	test_loop_until(&talk.watched.test, &talk.done);
	ck_assert_int_eq(exchange_digest(talk.exchange, digest), -1);
	ck_assert_int_eq(exchange_send(talk.exchange, &answer), REASON_NONE);
	ck_assert_int_eq((int)recv(talk.watched.far, bytes, sizeof(bytes), 0), 30);
	ck_assert_mem_eq(bytes + 16, "\x00\x01\x00\x01\x01\x00\x02\x00\x05HOST1", 14);
	ck_assert_int_eq(exchange_digest(talk.exchange, digest), 0);
	answer.sysid[0] = 'X';
	ck_assert_int_eq(exchange_send(talk.exchange, &answer), REASON_NONE);
	ck_assert_int_eq(exchange_digest(talk.exchange, again), 0);
	ck_assert_int_ne(memcmp(digest, again, sizeof(digest)), 0);
	answer.maxru = 1;
	ck_assert_int_eq(exchange_send(talk.exchange, &answer), REASON_INTERNAL);
	close_talk(&talk);
}
END_TEST

/* Freed at any byte, it is never heard of again. */
START_TEST(freed_while_it_receives)
{
	struct talk talk;

	open_talk(&talk, false);
	say(&talk, offer, (size_t)_i + 1);
	test_loop_turns(&talk.watched.test, 3);
	exchange_free(talk.exchange);
	talk.exchange = NULL;
	talk.started = talk.done;
	if (_i + 1 < OFFER_SIZE)
		say(&talk, offer + _i + 1, OFFER_SIZE - (size_t)_i - 1);
	test_loop_turns(&talk.watched.test, 3);
	ck_assert_int_eq(talk.done, _i + 1 == OFFER_SIZE);
	close_talk(&talk);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("exchange");
	TCase *tests = tcase_create("exchange");

	(void)signal(SIGPIPE, SIG_IGN);
	tcase_set_timeout(tests, 30);
	tcase_add_loop_test(tests, takes_one_message_and_no_byte_more, 0, 2);
	tcase_add_loop_test(tests, a_byte_at_a_time, 0, 2);
	tcase_add_loop_test(tests, closed_at_each_byte, 0, OFFER_SIZE);
	tcase_add_loop_test(tests, refused_for_its_reason, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
	tcase_add_loop_test(tests, tls_is_seen_and_not_taken, 0, 2);
	tcase_add_test(tests, sends_and_digests_both);
	tcase_add_loop_test(tests, freed_while_it_receives, 0, OFFER_SIZE);
	suite_add_tcase(suite, tests);
	return suite;
}
