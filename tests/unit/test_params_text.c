/* Unit tests: messages in words, and their bytes without what is secret. */
#include "params_text.h"

#include <stdlib.h>
#include <string.h>

#include "suite.h"

static char words[8192];

static const char *said(const struct params *params)
{
	struct text text;

	text_init(&text, words, sizeof(words));
	params_text(params, &text);
	return words;
}

static const char *bytes_said(const uint8_t *bytes, size_t size, size_t most)
{
	struct text text;

	text_init(&text, words, sizeof(words));
	params_text_bytes(bytes, size, most, &text);
	return words;
}

START_TEST(all_of_an_offer)
{
	struct params offer = {.type = PARAMS_OFFER, .cpu = PARAMS_UTF8, .maxru = 4096, .security = SECURITY_REQUIRED};

	ck_assert_str_eq(said(&offer), "OFFER cpu=utf-8 maxru=4096 security=required(3)");
	offer.cpu = PARAMS_EBCDIC;
	(void)strcpy(offer.sysid, "BRANCH1");
	(void)strcpy(offer.target, "HOST1");
	(void)strcpy(offer.agent, "an agent/1.0");
	offer.has_tls = offer.has_connection = offer.has_hops = true;
	offer.tls_lowest = 0x0303;
	offer.tls_highest = 0x0304;
	offer.hops = 0;
	memset(offer.connection, 0xa5, sizeof(offer.connection));
	ck_assert_str_eq(said(&offer),
	                 "OFFER cpu=ebcdic maxru=4096 security=required(3) sysid=\"BRANCH1\" target=\"HOST1\" "
	                 "agent=\"an agent/1.0\" tls=1.2-1.3 connection=a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5 hops=0");
	offer.tls_highest = 0x0305;
	ck_assert_ptr_nonnull(strstr(said(&offer), " tls=1.2-unknown "));
}
END_TEST

START_TEST(the_other_types)
{
	struct params accept = {.type = PARAMS_ACCEPT, .cpu = PARAMS_UTF8, .maxru = 512, .security = ANSWER_TLS};
	struct params refuse = {.type = PARAMS_REFUSE, .cpu = PARAMS_UTF8, .reason = 5, .text = "no such target"};
	struct params confirm = {.type = PARAMS_CONFIRM, .cpu = PARAMS_UTF8};

	ck_assert_str_eq(said(&accept), "ACCEPT cpu=utf-8 maxru=512 security=tls(1)");
	ck_assert_str_eq(said(&refuse), "REFUSE cpu=utf-8 reason=5(target-unknown) text=\"no such target\"");
	refuse.reason = 65535;
	ck_assert_ptr_nonnull(strstr(said(&refuse), " reason=65535("));
	memset(confirm.verifier, 0xe7, sizeof(confirm.verifier));
	ck_assert_str_eq(said(&confirm), "CONFIRM cpu=utf-8 verifier=(32 bytes, not shown)");
}
END_TEST

/* Whatever a stranger says: one line of printable ASCII, and no quote that ends a value early. */
START_TEST(what_strangers_say_is_escaped)
{
	struct params offer = {.type = PARAMS_OFFER, .cpu = PARAMS_UTF8, .agent = "\033[2J\r\nx\" sysid=\"ADMIN\\\xc3\xa9"};

	ck_assert_ptr_nonnull(strstr(said(&offer), " agent=\"\\x1b[2J\\x0d\\x0ax\\\" sysid=\\\"ADMIN\\\\\\xc3\\xa9\""));
	memset(offer.agent, '\033', sizeof(offer.agent) - 1);
	memset(offer.text, '\377', sizeof(offer.text) - 1);
	(void)said(&offer);
	ck_assert_uint_gt(strlen(words), 4 * (sizeof(offer.agent) + sizeof(offer.text) - 2));
	for (const char *at = words; *at != '\0'; at++)
		ck_assert_int_eq(*at >= 0x20 && *at <= 0x7e, 1);
}
END_TEST

START_TEST(bytes_are_bounded)
{
	static const uint8_t some[] = {0x43, 0x43, 0x49, 0x50, 0x01, 0x01, 0x00};

	ck_assert_str_eq(bytes_said(some, 0, 16), "");
	ck_assert_str_eq(bytes_said(some, 7, 7), "43434950010100");
	ck_assert_str_eq(bytes_said(some, 7, 6), "434349500101... 1 more");
	ck_assert_str_eq(bytes_said(some, 7, 0), "... 7 more");
}
END_TEST

/* Cut off, too long, or not to be decoded: nothing behind the header of a CONFIRM is shown. */
START_TEST(verifiers_are_never_shown)
{
	struct params confirm = {.type = PARAMS_CONFIRM, .cpu = PARAMS_UTF8};
	uint8_t bytes[PARAMS_MESSAGE_SIZE];
	size_t size;

	memset(confirm.verifier, 0xe7, sizeof(confirm.verifier));
	size = params_encode(&confirm, bytes);
	ck_assert_uint_gt(size, PARAMS_HEADER_SIZE + PARAMS_VERIFIER_SIZE);
	for (size_t shown = 0; shown <= size; shown++) {
		(void)bytes_said(bytes, shown, 4096);
		ck_assert_ptr_null(strstr(words, "e7"));
		ck_assert_int_eq(strstr(words, "... verifier not shown") != NULL, shown > PARAMS_HEADER_SIZE);
	}
	ck_assert_uint_eq(strlen(bytes_said(bytes, size, 4096)), 2 * PARAMS_HEADER_SIZE + strlen("... verifier not shown"));
	ck_assert_ptr_nonnull(strstr(bytes_said(bytes, size, 4), "43434950... verifier not shown"));
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("params_text");
	TCase *tests = tcase_create("params_text");

	tcase_add_test(tests, all_of_an_offer);
	tcase_add_test(tests, the_other_types);
	tcase_add_test(tests, what_strangers_say_is_escaped);
	tcase_add_test(tests, bytes_are_bounded);
	tcase_add_test(tests, verifiers_are_never_shown);
	suite_add_tcase(suite, tests);
	return suite;
}
