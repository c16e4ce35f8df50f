/* Keys by handle, and requests that may be anything: nothing is signed but what belongs to a handshake. */
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "keytable.h"
#include "suite.h"
#include "transcript.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define SIGNED (64 + 34 + 32)

static struct keytable *table;

struct sent {
	struct keywire_request head;
	uint8_t text[KEYWIRE_SIGNED_MOST + 1];
};
static struct sent sent;

static void begin(void)
{
	table = keytable_new();
	ck_assert_ptr_nonnull(table);
}

static void end(void)
{
	keytable_free(table);
}

/* What a TLS 1.3 server signs. Its size with the head. */
static size_t fill(uint64_t handle, enum keywire_padding padding, enum keywire_digest digest)
{
	memset(&sent, 0, sizeof(sent));
	sent.head = (struct keywire_request){.kind = KEYWIRE_SIGN, .sequence = 9, .handle = handle, .padding = (uint8_t)padding,
	                                     .digest = (uint8_t)digest};
	memset(sent.text, ' ', 64);
	memcpy(sent.text + 64, "TLS 1.3, server CertificateVerify", 34);
	return sizeof(sent.head) + SIGNED;
}

static uint8_t signature[KEYWIRE_SIGNATURE_MOST];
static size_t signature_size;

static enum keywire_result answer(size_t size)
{
	struct keywire_answer got;

	keytable_answer(table, (const uint8_t *)&sent, size, &got, signature, &signature_size);
	ck_assert(got.result == KEYWIRE_DONE || signature_size == 0);
	ck_assert_uint_eq(got.handle, 0);
	return (enum keywire_result)got.result;
}

static uint64_t add_as(const char *type, const char *curve, bool as_client)
{
	EVP_PKEY *key = strcmp(type, "RSA") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
	                : curve != NULL          ? EVP_PKEY_Q_keygen(NULL, NULL, type, curve)
	                                         : EVP_PKEY_Q_keygen(NULL, NULL, type);
	uint64_t handle = keytable_add(table, NULL, key, as_client);

	ck_assert_uint_ne(handle, 0);
	return handle;
}

static uint64_t add(const char *type, const char *curve)
{
	return add_as(type, curve, false);
}

START_TEST(each_scheme_is_signed)
{
	uint64_t rsa, ec, edwards;

	begin();
	rsa = add("RSA", NULL);
	ec = add("EC", "P-256");
	edwards = add("ED25519", NULL);
	ck_assert_int_eq(answer(fill(rsa, KEYWIRE_PSS, KEYWIRE_SHA256)), KEYWIRE_DONE);
	ck_assert_uint_eq(signature_size, 256);
	ck_assert_int_eq(answer(fill(rsa, KEYWIRE_PKCS1, KEYWIRE_SHA512)), KEYWIRE_DONE);
	ck_assert_int_eq(answer(fill(ec, KEYWIRE_PLAIN, KEYWIRE_SHA256)), KEYWIRE_DONE);
	ck_assert_int_eq(answer(fill(edwards, KEYWIRE_PLAIN, KEYWIRE_NONE)), KEYWIRE_DONE);
	ck_assert_uint_eq(signature_size, 64);
	/* What does not belong together fails, and no more. */
	ck_assert_int_eq(answer(fill(edwards, KEYWIRE_PSS, KEYWIRE_NONE)), KEYWIRE_FAILED);
	ck_assert_int_eq(answer(fill(edwards, KEYWIRE_PLAIN, KEYWIRE_SHA256)), KEYWIRE_FAILED);
	ck_assert_int_eq(answer(fill(ec, KEYWIRE_PKCS1, KEYWIRE_SHA256)), KEYWIRE_FAILED);
	end();
}
END_TEST

START_TEST(a_handle_is_good_until_it_is_freed)
{
	uint64_t first, second;

	begin();
	first = add("EC", "P-256");
	ck_assert_int_eq(answer(fill(first, KEYWIRE_PLAIN, KEYWIRE_SHA256)), KEYWIRE_DONE);
	keytable_remove(table, first);
	keytable_remove(table, first);
	keytable_remove(table, 0);
	keytable_remove(table, UINT64_MAX);
	ck_assert_uint_eq(keytable_count(table), 0);
	second = add("EC", "P-256");
	ck_assert_uint_ne(first, second);
	ck_assert_int_eq(answer(fill(first, KEYWIRE_PLAIN, KEYWIRE_SHA256)), KEYWIRE_REFUSED);
	ck_assert_int_eq(answer(fill(second, KEYWIRE_PLAIN, KEYWIRE_SHA256)), KEYWIRE_DONE);
	for (int i = 0; i < 100; i++)
		(void)add("EC", "P-256");
	ck_assert_uint_eq(keytable_count(table), 101);
	ck_assert_int_eq(answer(fill(second, KEYWIRE_PLAIN, KEYWIRE_SHA256)), KEYWIRE_DONE);
	end();
}
END_TEST

/* What a client of TLS 1.2 signs may be long, but not for ever: two chains of certificates that fill it. */
static size_t fill_transcript(uint8_t *text, size_t size)
{
	struct transcript small;
	size_t at = 0, left = size, more, length;

	transcript_fill(&small, 0);
	left -= small.size;
	for (size_t i = 0; i < small.count; i++) {
		size_t next = i + 1 < small.count ? small.starts[i + 1] : small.size;

		length = next - small.starts[i];
		memcpy(text + at, small.at + small.starts[i], length);
		if (text[at] == 11) {
			more = i == 2 ? left / 2 : left;
			left -= more;
			memset(text + at + length, 0, more);
			for (int field = 0; field < 3; field++) { /* of the message, the list, the certificate */
				size_t value = length - 4 - (size_t)field * 3 + more;

				memcpy(text + at + 1 + 3 * field, (const uint8_t[]){(uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value}, 3);
			}
			memcpy(text + at + 10, (const uint8_t[]){0x30, 0x83, (uint8_t)((more - 3) >> 16), (uint8_t)((more - 3) >> 8), (uint8_t)(more - 3)}, 5);
			length += more;
		}
		at += length;
	}
	return at;
}

START_TEST(what_is_signed_has_a_bound)
{
	static uint8_t request[sizeof(struct keywire_request) + KEYWIRE_SIGNED_MOST + 1];
	struct keywire_request head = {.kind = KEYWIRE_SIGN, .digest = KEYWIRE_SHA256};
	struct keywire_answer got;

	begin();
	head.handle = add_as("EC", "P-256", true);
	memcpy(request, &head, sizeof(head));
	for (uint32_t more = 0; more < 2; more++) {
		size_t size = fill_transcript(request + sizeof(head), KEYWIRE_SIGNED_MOST + more);

		ck_assert_uint_eq(size, KEYWIRE_SIGNED_MOST + more);
		ck_assert(keywire_is_handshake(request + sizeof(head), size));
		keytable_answer(table, request, sizeof(head) + size, &got, signature, &signature_size);
		ck_assert_uint_eq(got.result, more == 0 ? KEYWIRE_DONE : KEYWIRE_REFUSED);
	}
	end();
}
END_TEST

/* Where there is no peer, nothing of a client's is signed, of whatever version. */
START_TEST(only_clients_sign_as_clients)
{
	struct transcript transcript;

	begin();
	transcript_fill(&transcript, 1);
	for (int as_client = 0; as_client < 2; as_client++) {
		uint64_t handle = add_as("EC", "P-256", as_client == 1);
		size_t size = fill(handle, KEYWIRE_PLAIN, KEYWIRE_SHA256);
		enum keywire_result expected = as_client == 1 ? KEYWIRE_DONE : KEYWIRE_REFUSED;

		ck_assert_int_eq(answer(size), KEYWIRE_DONE);
		memcpy(sent.text + 64, "TLS 1.3, client CertificateVerify", 34);
		ck_assert_int_eq(answer(size), expected);
		memcpy(sent.text, transcript.at, transcript.size);
		ck_assert_int_eq(answer(sizeof(sent.head) + transcript.size), expected);
	}
	end();
}
END_TEST

/* Each member of the head out of its bounds, each size, and texts that are no handshake's. */
START_TEST(hostile_requests_are_refused)
{
	uint64_t handle;
	size_t size;

	begin();
	handle = add("EC", "P-256");
	size = fill(handle, KEYWIRE_PLAIN, KEYWIRE_SHA256);
	for (size_t i = 0; i < size + 64; i++)
		ck_assert(answer(i) == (i == size || i == size + 16 ? KEYWIRE_DONE : KEYWIRE_REFUSED));
	for (uint64_t i = 0; i < 300; i++) {
		(void)fill(handle ^ (1ull << i % 64), KEYWIRE_PLAIN, KEYWIRE_SHA256);
		ck_assert_int_eq(answer(size), KEYWIRE_REFUSED);
		(void)fill(handle, KEYWIRE_PLAIN, KEYWIRE_SHA256);
		sent.head.kind = (uint32_t)i;
		ck_assert(i == KEYWIRE_SIGN || i == KEYWIRE_PING || answer(size) == KEYWIRE_REFUSED);
		sent.head.kind = KEYWIRE_SIGN;
		sent.head.reserved = (uint16_t)(i + 1);
		ck_assert_int_eq(answer(size), KEYWIRE_REFUSED);
	}
	for (int i = KEYWIRE_PADDINGS; i <= UINT8_MAX; i++) {
		(void)fill(handle, (enum keywire_padding)i, KEYWIRE_SHA256);
		ck_assert_int_eq(answer(size), KEYWIRE_REFUSED);
	}
	for (int i = KEYWIRE_DIGESTS; i <= UINT8_MAX; i++) {
		(void)fill(handle, KEYWIRE_PLAIN, (enum keywire_digest)i);
		ck_assert_int_eq(answer(size), KEYWIRE_REFUSED);
	}
	(void)fill(handle, KEYWIRE_PLAIN, KEYWIRE_SHA256);
	ck_assert_int_eq(answer(sizeof(sent)), KEYWIRE_REFUSED);
	memset(sent.text, 0x30, sizeof(sent.text));
	ck_assert_int_eq(answer(size), KEYWIRE_REFUSED);
	end();
}
END_TEST

/* Bytes at random: the table answers each, and still signs after all of them. */
START_TEST(noise_is_answered)
{
	uint64_t handle;

	begin();
	srand(7);
	handle = add("EC", "P-256");
	for (int i = 0; i < 200000; i++) {
		size_t size = fill(handle, KEYWIRE_PLAIN, KEYWIRE_SHA256);

		for (int changes = 1 + rand() % 6; changes > 0; changes--)
			((uint8_t *)&sent)[(size_t)rand() % (sizeof(sent.head) + 70)] = (uint8_t)rand();
		(void)answer((size_t)rand() % 8 == 0 ? (size_t)rand() % 300 : size);
	}
	ck_assert_int_eq(answer(fill(handle, KEYWIRE_PLAIN, KEYWIRE_SHA256)), KEYWIRE_DONE);
	end();
}
END_TEST

START_TEST(texts_are_counted)
{
	static const char good[] = "tls\0\0/a.key\0\0/a.pem";
	const char *texts[KEYWIRE_TEXTS];

	ck_assert(keywire_split(good, sizeof(good), texts));
	ck_assert_str_eq(texts[KEYWIRE_TEXT_KEY], "/a.key");
	ck_assert_str_eq(texts[KEYWIRE_TEXT_CERTIFICATE], "/a.pem");
	for (size_t i = 0; i < sizeof(good); i++)
		ck_assert(!keywire_split(good, i, texts));
	ck_assert(!keywire_split("a\0b\0c\0d\0e\0f", 12, texts));
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("keytable");
	TCase *one = tcase_create("requests");

	tcase_set_timeout(one, 60);
	tcase_add_test(one, each_scheme_is_signed);
	tcase_add_test(one, a_handle_is_good_until_it_is_freed);
	tcase_add_test(one, hostile_requests_are_refused);
	tcase_add_test(one, what_is_signed_has_a_bound);
	tcase_add_test(one, only_clients_sign_as_clients);
	tcase_add_test(one, noise_is_answered);
	tcase_add_test(one, texts_are_counted);
	suite_add_tcase(suite, one);
	return suite;
}
