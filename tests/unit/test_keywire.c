/* What may be signed: the texts of TLS handshakes, judged byte by byte. */
#include <stdio.h>
#include <string.h>

#include "keywire.h"
#include "suite.h"
#include "transcript.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static size_t fill(uint8_t *bytes, const char *kind)
{
	memset(bytes, ' ', 256);
	if (strcmp(kind, "server") == 0 || strcmp(kind, "client") == 0) {
		(void)snprintf((char *)bytes + 64, 64, "TLS 1.3, %s CertificateVerify", kind);
		return 64 + 34 + 32;
	}
	memcpy(bytes + 64, (const uint8_t[]){3, 0, 29, 32}, 4);
	return 64 + 4 + 32;
}

START_TEST(only_handshakes_are_signed)
{
	uint8_t bytes[256];
	size_t size = fill(bytes, "server");

	ck_assert(keywire_is_handshake(bytes, size) && keywire_is_handshake(bytes, size + 16));
	ck_assert(!keywire_is_handshake(bytes, size - 1) && !keywire_is_handshake(bytes, size + 1));
	bytes[63] = 'x';
	ck_assert(!keywire_is_handshake(bytes, size));
	size = fill(bytes, "client");
	ck_assert(keywire_is_handshake(bytes, size));
	bytes[64 + 33] = 1;
	ck_assert(!keywire_is_handshake(bytes, size));
	size = fill(bytes, "share");
	ck_assert(keywire_is_handshake(bytes, size));
	ck_assert(!keywire_is_handshake(bytes, size + 1) && !keywire_is_handshake(bytes, size - 1));
	bytes[66] = 23;
	ck_assert(!keywire_is_handshake(bytes, size));
	/* Both coordinates of a point, said by its first byte. */
	bytes[67] = 65;
	ck_assert(!keywire_is_handshake(bytes, 64 + 4 + 65));
	bytes[68] = 4;
	ck_assert(keywire_is_handshake(bytes, 64 + 4 + 65) && !keywire_is_of_client(bytes, 64 + 4 + 65));
	ck_assert(!keywire_is_handshake((const uint8_t *)"\x30\x82\x01\x00 a certificate to be", 24));
	ck_assert(keywire_is_of_client(bytes, fill(bytes, "client")) &&
	          !keywire_is_of_client(bytes, fill(bytes, "server")));
}
END_TEST

/* Messages of a right length are not enough: a document could stand in them. */
START_TEST(a_document_is_no_transcript)
{
	static const uint8_t document[] = "\1\0\0\034ARBITRARY DOCUMENT, 28 BYTES";
	struct transcript good, bad;

	ck_assert(!keywire_is_handshake(document, 4 + 28));
	for (int status = 0; status < 2; status++) {
		transcript_fill(&good, status);
		ck_assert(keywire_is_handshake(good.at, good.size) && keywire_is_of_client(good.at, good.size));
		for (size_t i = 0; i < good.size; i++)
			ck_assert(!keywire_is_handshake(good.at, i) && !keywire_is_handshake(good.at + i + 1, good.size - i - 1));
		ck_assert(!keywire_is_handshake(good.at, good.size + 1));
	}
	/* Each message of another type, twice, and left out. */
	for (size_t i = 0; i < good.count; i++) {
		size_t from = good.starts[i], next = i + 1 < good.count ? good.starts[i + 1] : good.size;

		bad = good;
		bad.at[from] = 15;
		ck_assert(!keywire_is_handshake(bad.at, bad.size));
		memcpy(bad.at + next, good.at + from, good.size - from);
		bad.at[from] = good.at[from];
		ck_assert(!keywire_is_handshake(bad.at, good.size + next - from));
		memcpy(bad.at + from, good.at + next, good.size - next);
		/* Two may lack: the answer of OCSP, and the key exchange. */
		ck_assert(keywire_is_handshake(bad.at, good.size - (next - from)) ==
		          (good.at[from] == 22 || good.at[from] == 12));
	}
}
END_TEST

/* Lengths, versions and fixed bytes within the messages: one more and one less of each is none. */
START_TEST(what_is_in_messages_has_a_form)
{
	static const struct {
		size_t message, at;
	} fixed[] = {
	    {0, 0},  {0, 1},  {0, 34}, {0, 35}, {0, 36}, {0, 39}, {0, 40}, {0, 41}, {0, 42},
	    {0, 45}, {0, 46},                                                                /* ClientHello */
	    {1, 0},  {1, 1},  {1, 34}, {1, 37}, {1, 38}, {1, 39}, {1, 42}, {1, 43},          /* ServerHello */
	    {2, 1},  {2, 2},  {2, 4},  {2, 5},  {2, 6},  {2, 7},                             /* Certificate */
	    {3, 0},  {3, 2},  {3, 3},  {3, 4},  {3, 5},                                      /* CertificateStatus */
	    {4, 1},  {4, 2},  {4, 3},  {4, 38}, {4, 39},                                     /* ServerKeyExchange */
	    {5, 0},  {5, 2},  {5, 3},  {5, 6},  {5, 7},  {5, 8},  {5, 9},  {5, 10}, {5, 11}, /* CertificateRequest */
	    {7, 1},  {7, 2},  {7, 4},  {7, 5},  {7, 6},  {7, 7},                             /* Certificate */
	    {8, 0},                                                                          /* ClientKeyExchange */
	};
	struct transcript good, bad;

	transcript_fill(&good, 1);
	for (int i = 0; i < COUNT(fixed); i++)
		for (int more = -1; more < 2; more += 2) {
			size_t at = good.starts[fixed[i].message] + 4 + fixed[i].at;

			bad = good;
			bad.at[at] = (uint8_t)(bad.at[at] + more);
			ck_assert_msg(!keywire_is_handshake(bad.at, bad.size), "message %zu byte %zu %d", fixed[i].message,
			              fixed[i].at, more);
		}
}
END_TEST

/* Twice the same extension is no hello; and a hello is not as large as a document. */
START_TEST(extensions_are_bounded)
{
	static uint8_t bytes[32 * 1024];
	struct transcript good;

	transcript_fill(&good, 0);
	for (size_t more = 5; more <= 16 * 1024; more += more < 16 * 1024 - 58 ? 16 * 1024 - 49 - 5 : 1) {
		size_t body = 49 + more, extensions = 6 + more;

		memset(bytes, 0, sizeof(bytes));
		memcpy(bytes, good.at, 4 + 49);
		bytes[2] = (uint8_t)(body >> 8);
		bytes[3] = (uint8_t)body;
		bytes[4 + 41] = (uint8_t)(extensions >> 8);
		bytes[4 + 42] = (uint8_t)extensions;
		memcpy(bytes + 4 + 49, (const uint8_t[]){0, 16, (uint8_t)((more - 4) >> 8), (uint8_t)(more - 4)}, 4);
		memcpy(bytes + 4 + body, good.at + good.starts[1], good.size - good.starts[1]);
		ck_assert_msg(keywire_is_handshake(bytes, good.size + more) == (body <= 16 * 1024), "%zu", body);
		bytes[4 + 50] = 10;
		ck_assert(!keywire_is_handshake(bytes, good.size + more));
	}
}
END_TEST

START_TEST(weak_digests_have_no_number)
{
	ck_assert_int_eq(keywire_digest_named("SHA1"), -1);
	ck_assert_int_eq(keywire_digest_named("SHA-1"), -1);
	ck_assert_int_eq(keywire_digest_named("MD5"), -1);
	ck_assert_int_eq(keywire_digest_named("MD5-SHA1"), -1);
	ck_assert_int_eq(keywire_digest_named("SHA2-256"), KEYWIRE_SHA256);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("keywire");
	TCase *one = tcase_create("texts");

	tcase_set_timeout(one, 60);
	tcase_add_test(one, only_handshakes_are_signed);
	tcase_add_test(one, a_document_is_no_transcript);
	tcase_add_test(one, what_is_in_messages_has_a_form);
	tcase_add_test(one, extensions_are_bounded);
	tcase_add_test(one, weak_digests_have_no_number);
	suite_add_tcase(suite, one);
	return suite;
}
