/* Peers that send what makes work and gives no data: KeyUpdates (RFC 8446, section 4.6.3) to be answered, above all. */
#include <signal.h>
#include <sys/ioctl.h>

#include "secured.h"
#include "suite.h"

#define SHARE (64 * 1024)      /* more than one read may take of them */
#define BUFFERED (1024 * 1024) /* by the kernel */
#define PENDING (64 * 1024)    /* more than may wait of answers */

/* What the far end writes goes to memory first, so that it can be sent at once. */
static BIO *hold(struct secured *secured, int buffered)
{
	BIO *memory = BIO_new(BIO_s_mem());

	ck_assert_ptr_nonnull(memory);
	SSL_set0_wbio(secured->far, memory);
	(void)setsockopt(secured->watched.far, SOL_SOCKET, SO_SNDBUF, &buffered, sizeof(buffered));
	return memory;
}

static void update_keys(struct secured *secured, int times, int how)
{
	for (int i = 0; i < times; i++) {
		ck_assert_int_eq(SSL_key_update(secured->far, how), 1);
		ck_assert_int_eq(SSL_do_handshake(secured->far), 1);
	}
}

/* Send as much of it as goes. */
static void release(struct secured *secured, BIO *memory, size_t *sent)
{
	char *bytes;
	size_t size = (size_t)BIO_get_mem_data(memory, &bytes);

	while (*sent < size) {
		ssize_t went = send(secured->watched.far, bytes + *sent, size - *sent, MSG_NOSIGNAL);

		if (went <= 0)
			return;
		*sent += (size_t)went;
	}
}

static void release_all(struct secured *secured, BIO *memory)
{
	size_t sent = 0;

	release(secured, memory, &sent);
	ck_assert_uint_eq(sent, (size_t)BIO_pending(memory));
	(void)BIO_reset(memory);
}

static int unread(const struct watched *watched)
{
	int bytes = 0;

	ck_assert_int_eq(ioctl(channel_fd(watched->channel), FIONREAD, &bytes), 0);
	return bytes;
}

START_TEST(a_read_takes_its_share_and_the_rest_of_the_turn_is_for_others)
{
	struct secured secured;
	struct watched *watched = &secured.watched;
	char byte;
	size_t got;
	int left;

	open_secured(&secured, TLS1_3_VERSION);
	BIO *memory = hold(&secured, BUFFERED);
	update_keys(&secured, 2 * SHARE / 20, SSL_KEY_UPDATE_NOT_REQUESTED);
	ck_assert_uint_gt((size_t)BIO_pending(memory), 2 * SHARE);
	release_all(&secured, memory);
	watched_await(watched);
	left = unread(watched);
	ck_assert_int_eq(watched_read(watched, &byte, 1, &got), CHANNEL_AGAIN);
	ck_assert_int_ge(unread(watched), left - SHARE);
	left = unread(watched);
	ck_assert_int_gt(left, 0);
	/* Not another share in the same turn, but one in the next, without a word of the kernel. */
	ck_assert_int_eq(watched_read(watched, &byte, 1, &got), CHANNEL_AGAIN);
	ck_assert_int_eq(unread(watched), left);
	watched_await(watched);
	(void)watched_read(watched, &byte, 1, &got);
	ck_assert_int_lt(unread(watched), left);
	close_secured(&secured);
}
END_TEST

START_TEST(updates_without_data_are_too_many_at_last)
{
	struct secured secured;
	struct watched *watched = &secured.watched;
	enum channel_status status = CHANNEL_AGAIN;
	size_t got, sent = 0, most = 0;
	char byte;

	open_secured(&secured, TLS1_3_VERSION);
	BIO *memory = hold(&secured, BUFFERED / 8);
	update_keys(&secured, 20000, SSL_KEY_UPDATE_REQUESTED);
	for (int i = 0; i < 10000 && status == CHANNEL_AGAIN; i++) {
		release(&secured, memory, &sent);
		channel_want_read(watched->channel, true);
		test_loop_turns(&watched->test, 1);
		/* Half of them are read by who has sent them. */
		if (_i == 1)
			ck_assert_int_eq(SSL_read(secured.far, &byte, 1), -1);
		status = watched_read(watched, &byte, 1, &got);
		most = channel_pending(watched->channel) > most ? channel_pending(watched->channel) : most;
		ck_assert_uint_le(most, PENDING);
		if (_i == 0 && i > 100 && most > 0 && status == CHANNEL_AGAIN)
			break; /* it waits, and takes no more */
	}
	if (_i == 1) {
		ck_assert_int_eq(status, CHANNEL_FAILED);
		ck_assert_str_eq(channel_error(watched->channel), "too many TLS records without application data");
		ck_assert_int_eq(watched_read(watched, &byte, 1, &got), CHANNEL_FAILED);
	}
	ck_assert_uint_lt(sent, (size_t)BIO_pending(memory));
	close_secured(&secured);
}
END_TEST

/* 200 bytes, each behind 20 KeyUpdates. */
static void say_between_updates(struct secured *secured)
{
	for (int i = 0; i < 200; i++) {
		update_keys(secured, 20, SSL_KEY_UPDATE_REQUESTED);
		ck_assert_int_eq(SSL_write(secured->far, "x", 1), 1);
	}
}

START_TEST(answers_that_wait_stop_the_reading_and_it_goes_on_behind_them)
{
	struct secured secured;
	struct watched *watched = &secured.watched;
	size_t came = 0, got, sent = 0, stopped_at = 0;
	char bytes[64];
	int turns = 0;

	open_secured(&secured, TLS1_3_VERSION);
	BIO *memory = hold(&secured, BUFFERED);
	say_between_updates(&secured);
	for (; came < 200 && turns < 20000; turns++) {
		enum channel_status status;

		release(&secured, memory, &sent);
		channel_want_read(watched->channel, true);
		test_loop_turns(&watched->test, 1);
		status = watched_read(watched, bytes, sizeof(bytes), &got);
		ck_assert(status == CHANNEL_OK || status == CHANNEL_AGAIN);
		ck_assert_uint_le(channel_pending(watched->channel), PENDING);
		came += got;
		if (turns == 1000)
			stopped_at = came;
		if (turns > 1000)
			ck_assert_int_eq(SSL_read(secured.far, bytes, 1), -1);
	}
	ck_assert_uint_gt(stopped_at, 0);
	ck_assert_uint_lt(stopped_at, 200);
	ck_assert_uint_eq(came, 200);
	close_secured(&secured);
}
END_TEST

/* The rest of a record is in OpenSSL's memory alone: no event of the kernel says so when the answers have gone. */
START_TEST(who_waits_behind_answers_is_told_when_they_are_gone)
{
	struct secured secured;
	struct watched *watched = &secured.watched;
	char byte;
	size_t got;

	open_secured(&secured, TLS1_3_VERSION);
	BIO *memory = hold(&secured, BUFFERED);
	update_keys(&secured, 800, SSL_KEY_UPDATE_REQUESTED);
	ck_assert_int_eq(SSL_write(secured.far, "xy", 2), 2);
	release_all(&secured, memory);
	watched_await(watched);
	ck_assert_int_eq(watched_read(watched, &byte, 1, &got), CHANNEL_OK);
	ck_assert_int_eq(unread(watched), 0);
	ck_assert_int_eq(watched_read(watched, &byte, 1, &got), CHANNEL_AGAIN);
	watched->is_readable = false;
	channel_want_read(watched->channel, true);
	test_loop_turns(&watched->test, 10);
	ck_assert(!watched->is_readable);
	for (int i = 0; i < 1000 && !watched->is_readable; i++) {
		ck_assert_int_eq(SSL_read(secured.far, &byte, 1), -1);
		test_loop_turns(&watched->test, 1);
	}
	ck_assert(watched->is_readable);
	ck_assert_int_eq(watched_read(watched, &byte, 1, &got), CHANNEL_OK);
	ck_assert_int_eq(byte, 'y');
	close_secured(&secured);
}
END_TEST

START_TEST(data_in_the_other_direction_lets_a_receiver_update_its_keys)
{
	struct secured secured;
	struct watched *watched = &secured.watched;
	char byte;
	size_t got;

	open_secured(&secured, TLS1_3_VERSION);
	BIO *memory = hold(&secured, BUFFERED);
	for (int round = 0; round < 10; round++) {
		update_keys(&secured, 500, SSL_KEY_UPDATE_REQUESTED);
		release_all(&secured, memory);
		for (int i = 0; i < 50; i++) {
			channel_want_read(watched->channel, true);
			test_loop_turns(&watched->test, 1);
			ck_assert_int_eq(watched_read(watched, &byte, 1, &got), CHANNEL_AGAIN);
			(void)SSL_read(secured.far, &byte, 1);
		}
		ck_assert_int_eq(unread(watched), 0);
		ck_assert_int_eq(watched_write(watched, "y", 1), CHANNEL_OK);
		ck_assert_int_eq(SSL_read(secured.far, &byte, 1), 1);
	}
	close_secured(&secured);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("channel_flood");
	TCase *tests = tcase_create("flood");

	(void)signal(SIGPIPE, SIG_IGN);
	tcase_set_timeout(tests, 60);
	tcase_add_unchecked_fixture(tests, make_contexts, free_contexts);
	tcase_add_test(tests, a_read_takes_its_share_and_the_rest_of_the_turn_is_for_others);
	tcase_add_loop_test(tests, updates_without_data_are_too_many_at_last, 0, 2);
	tcase_add_test(tests, answers_that_wait_stop_the_reading_and_it_goes_on_behind_them);
	tcase_add_test(tests, who_waits_behind_answers_is_told_when_they_are_gone);
	tcase_add_test(tests, data_in_the_other_direction_lets_a_receiver_update_its_keys);
	suite_add_tcase(suite, tests);
	return suite;
}
