/* A channel turned to TLS in place, against plain OpenSSL at the other end. */
#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>

#include "secured.h"
#include "suite.h"

#define MUCH 1000000

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static void far_says(struct secured *secured, const char *text)
{
	ck_assert_int_eq(SSL_write(secured->far, text, (int)strlen(text)), (int)strlen(text));
}

START_TEST(handshake_in_place_then_bytes_both_ways)
{
	struct secured secured;
	struct watched *watched = &secured.watched;
	struct channel_count count;
	char bytes[16] = "";
	size_t got;

	open_secured(&secured, versions[_i]);
	far_says(&secured, "hello");
	watched_await(watched);
	ck_assert_int_eq(watched_read(watched, bytes, sizeof(bytes), &got), CHANNEL_OK);
	ck_assert_str_eq(bytes, "hello");
	ck_assert_int_eq(watched_read(watched, bytes, sizeof(bytes), &got), CHANNEL_AGAIN);
	ck_assert_int_eq(watched_write(watched, "world!", 6), CHANNEL_OK);
	ck_assert_int_eq(SSL_read(secured.far, bytes, sizeof(bytes)), 6);
	ck_assert_mem_eq(bytes, "world!", 6);
	channel_counts(watched->channel, &count);
	ck_assert_uint_eq(count.tls_in, 5);
	ck_assert_uint_eq(count.tls_out, 6);
	ck_assert_uint_eq(count.clear_in + count.clear_out, 0);
	close_secured(&secured);
}
END_TEST

START_TEST(several_records_come_in_one_read)
{
	struct secured secured;
	struct watched *watched = &secured.watched;
	char bytes[64] = "";
	size_t got;

	open_secured(&secured, versions[_i]);
	far_says(&secured, "one ");
	far_says(&secured, "two ");
	far_says(&secured, "three");
	watched_await(watched);
	ck_assert_int_eq(watched_read(watched, bytes, 6, &got), CHANNEL_OK);
	ck_assert_uint_eq(got, 6);
	ck_assert(channel_more(watched->channel));
	/* What is inside makes no event of the kernel; channel_again does. */
	watched->readable = 0;
	channel_again(watched->channel);
	test_loop_turns(&watched->test, 2);
	ck_assert_uint_ge(watched->readable, 1);
	ck_assert_int_eq(watched_read(watched, bytes + 6, sizeof(bytes) - 6, &got), CHANNEL_OK);
	ck_assert_str_eq(bytes, "one two three");
	ck_assert_int_eq(watched_read(watched, bytes, sizeof(bytes), &got), CHANNEL_AGAIN);
	ck_assert(!channel_more(watched->channel));
	close_secured(&secured);
}
END_TEST

START_TEST(close_notify_is_an_end_after_the_bytes)
{
	struct secured secured;
	struct watched *watched = &secured.watched;
	char bytes[16];
	size_t got;

	open_secured(&secured, versions[_i]);
	far_says(&secured, "last");
	ck_assert_int_eq(SSL_shutdown(secured.far), 0);
	close(watched->far);
	watched->far = -1;
	watched_await(watched);
	ck_assert_int_eq(watched_read(watched, bytes, sizeof(bytes), &got), CHANNEL_OK);
	ck_assert_uint_eq(got, 4);
	/* Found behind the bytes: no event of the kernel is needed to hear it. */
	ck_assert(channel_more(watched->channel));
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(watched_read(watched, bytes, sizeof(bytes), &got), CHANNEL_EOF);
	close_secured(&secured);
}
END_TEST

/* A FIN alone, behind a record, behind half of one. */
START_TEST(missing_close_notify_is_truncated)
{
	struct secured secured;
	struct watched *watched = &secured.watched;
	static const uint8_t half[] = {0x17, 3, 3, 0, 100, 1, 2, 3};
	char bytes[16];
	size_t got;

	open_secured(&secured, versions[_i % 2]);
	if (_i / 2 == 1)
		far_says(&secured, "data");
	if (_i / 2 == 2)
		ck_assert_int_eq((int)send(watched->far, half, sizeof(half), MSG_NOSIGNAL), (int)sizeof(half));
	shutdown(watched->far, SHUT_WR);
	watched_await(watched);
	if (_i / 2 == 1) {
		ck_assert_int_eq(watched_read(watched, bytes, sizeof(bytes), &got), CHANNEL_OK);
		ck_assert_uint_eq(got, 4);
	}
	/* The event comes again for the end. */
	if (_i / 2 == 1)
		watched_await(watched);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(watched_read(watched, bytes, sizeof(bytes), &got), CHANNEL_TRUNCATED);
	ck_assert_str_ne(channel_error(watched->channel), "");
	close_secured(&secured);
}
END_TEST

START_TEST(broken_record_fails_and_stays_failed)
{
	static const char *const records[] = {("\x17\x03\x03\x00\x18"
	                                       "this was never encrypted"),
	                                      "GET / HTTP/1.0\r\n\r\n", "\x15\x03\x03\x00\x02\x01\x00"};
	static const int sizes[] = {29, 18, 7};
	struct secured secured;
	struct watched *watched = &secured.watched;
	char bytes[16];
	size_t got;

	open_secured(&secured, versions[_i % 2]);
	ck_assert_int_eq((int)send(watched->far, records[_i / 2], (size_t)sizes[_i / 2], MSG_NOSIGNAL), sizes[_i / 2]);
	/* An end behind it makes it no better: a close_notify in the clear is none. */
	shutdown(watched->far, SHUT_WR);
	watched_await(watched);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(watched_read(watched, bytes, sizeof(bytes), &got), CHANNEL_FAILED);
	ck_assert_str_ne(channel_error(watched->channel), "");
	close_secured(&secured);
}
END_TEST

START_TEST(much_is_kept_and_arrives_before_the_end)
{
	struct secured secured;
	struct watched *watched = &secured.watched;
	uint8_t *bytes = malloc(MUCH), got[20000];
	size_t received = 0;
	int came = -1, idle = 0;

	for (size_t i = 0; i < MUCH; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	open_secured(&secured, versions[_i]);
	ck_assert_int_eq(watched_write(watched, bytes, MUCH), CHANNEL_OK);
	ck_assert_uint_gt(channel_pending(watched->channel), MUCH / 2);
	ck_assert_int_eq(channel_end(watched->channel), CHANNEL_OK);
	for (; idle < 20000; idle++) {
		test_loop_turns(&watched->test, 1);
		ERR_clear_error();
		came = SSL_read(secured.far, got, sizeof(got));
		if (came <= 0 && SSL_get_error(secured.far, came) == SSL_ERROR_WANT_READ)
			continue;
		if (came <= 0)
			break;
		ck_assert_uint_le(received + (size_t)came, MUCH);
		ck_assert_mem_eq(got, bytes + received, (size_t)came);
		received += (size_t)came;
		idle = 0;
	}
	ck_assert_uint_eq(received, MUCH);
	ck_assert_int_eq(SSL_get_error(secured.far, came), SSL_ERROR_ZERO_RETURN);
	ck_assert_uint_eq(channel_pending(watched->channel), 0);
	ck_assert_uint_eq(watched->writable, 1);
	close_secured(&secured);
	free(bytes);
}
END_TEST

START_TEST(after_its_end_the_answer_still_comes)
{
	struct secured secured;
	struct watched *watched = &secured.watched;
	char bytes[16];
	size_t got;

	open_secured(&secured, versions[_i]);
	ck_assert_int_eq(channel_end(watched->channel), CHANNEL_OK);
	ck_assert_int_eq(SSL_read(secured.far, bytes, sizeof(bytes)), 0);
	ck_assert_int_eq(SSL_get_error(secured.far, 0), SSL_ERROR_ZERO_RETURN);
	/* No FIN yet. */
	ck_assert_int_eq((int)recv(watched->far, bytes, 1, MSG_DONTWAIT), -1);
	far_says(&secured, "answer");
	watched_await(watched);
	ck_assert_int_eq(watched_read(watched, bytes, sizeof(bytes), &got), CHANNEL_OK);
	ck_assert_uint_eq(got, 6);
	close_secured(&secured);
}
END_TEST

START_TEST(handshake_that_is_broken_off_never_is_done)
{
	struct secured secured;
	struct watched *watched = &secured.watched;
	static const char garbage[] = "GET / HTTP/1.0\r\n\r\n";
	enum channel_status expected = CHANNEL_TRUNCATED;

	open_clear(&secured, TLS1_3_VERSION);
	ck_assert_int_eq(channel_handshake(watched->channel), CHANNEL_AGAIN);
	if (_i == 1)
		ck_assert_int_eq(SSL_do_handshake(secured.far), -1);
	if (_i == 2) {
		ck_assert_int_gt((int)send(watched->far, garbage, sizeof(garbage), MSG_NOSIGNAL), 0);
		expected = CHANNEL_FAILED;
	}
	if (_i == 3) {
		/* A warning alert close_notify, in the clear as it may be now. */
		ck_assert_int_eq((int)send(watched->far, "\x15\x03\x03\x00\x02\x01\x00", 7, MSG_NOSIGNAL), 7);
		expected = CHANNEL_FAILED;
	}
	shutdown(watched->far, SHUT_WR);
	for (int i = 0; i < 3; i++) {
		enum channel_status status;

		channel_want_read(watched->channel, true);
		test_loop_turns(&watched->test, 3);
		status = channel_handshake(watched->channel);
		ck_assert_int_ne(status, CHANNEL_OK);
		if (status != CHANNEL_AGAIN) {
			ck_assert_int_eq(status, expected);
			break;
		}
		ck_assert_int_lt(i, 2);
	}
	close_secured(&secured);
}
END_TEST

/* Client and server a byte at a time: the BIO has to say WANT_READ between any two. */
START_TEST(handshake_and_record_a_byte_at_a_time)
{
	struct secured secured;
	struct watched *watched = &secured.watched;
	enum channel_status status = CHANNEL_AGAIN;
	BIO *out = BIO_new(BIO_s_mem());
	char byte, bytes[16] = "";
	size_t got = 0;

	open_clear(&secured, versions[_i]);
	SSL_set0_wbio(secured.far, out);
	for (int i = 0; i < 20000 && got == 0; i++) {
		ERR_clear_error();
		if (SSL_do_handshake(secured.far) == 1 && BIO_pending(out) == 0 && status == CHANNEL_OK)
			far_says(&secured, "drop");
		if (BIO_read(out, &byte, 1) == 1)
			ck_assert_int_eq((int)send(watched->far, &byte, 1, MSG_NOSIGNAL), 1);
		channel_want_read(watched->channel, true);
		test_loop_turns(&watched->test, 2);
		if (status == CHANNEL_AGAIN)
			status = channel_handshake(watched->channel);
		else
			ck_assert_int_le(watched_read(watched, bytes, sizeof(bytes), &got), CHANNEL_AGAIN);
	}
	ck_assert_uint_eq(got, 4);
	ck_assert_str_eq(bytes, "drop");
	close_secured(&secured);
}
END_TEST

START_TEST(a_reset_below_tls_is_a_reset)
{
	struct secured secured;
	struct watched *watched = &secured.watched;
	char bytes[16];
	size_t got;
	enum channel_status status = CHANNEL_OK;

	open_secured(&secured, versions[_i]);
	/* Unread bytes make a reset of a unix socket's close. */
	ck_assert_int_eq(watched_write(watched, "unread", 6), CHANNEL_OK);
	close(watched->far);
	watched->far = -1;
	watched_await(watched);
	status = watched_read(watched, bytes, sizeof(bytes), &got);
	ck_assert_int_eq(status, CHANNEL_RESET);
	ck_assert_str_ne(channel_error(watched->channel), "");
	ck_assert_int_ne(watched_write(watched, "more", 4), CHANNEL_OK);
	close_secured(&secured);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("channel_tls");
	TCase *tests = tcase_create("tls");

	(void)signal(SIGPIPE, SIG_IGN);
	tcase_set_timeout(tests, 30);
	tcase_add_unchecked_fixture(tests, make_contexts, free_contexts);
	tcase_add_loop_test(tests, handshake_in_place_then_bytes_both_ways, 0, 2);
	tcase_add_loop_test(tests, several_records_come_in_one_read, 0, 2);
	tcase_add_loop_test(tests, close_notify_is_an_end_after_the_bytes, 0, 2);
	tcase_add_loop_test(tests, missing_close_notify_is_truncated, 0, 6);
	tcase_add_loop_test(tests, broken_record_fails_and_stays_failed, 0, 6);
	tcase_add_loop_test(tests, much_is_kept_and_arrives_before_the_end, 0, 2);
	tcase_add_loop_test(tests, after_its_end_the_answer_still_comes, 0, 2);
	tcase_add_loop_test(tests, handshake_that_is_broken_off_never_is_done, 0, 4);
	tcase_add_loop_test(tests, handshake_and_record_a_byte_at_a_time, 0, 2);
	tcase_add_loop_test(tests, a_reset_below_tls_is_a_reset, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
