/*
 * The key process against a worker that somebody else has: requests for signatures over a table of keys (EC, RSA, Ed25519), from
 * bytes alone or nearly right. It signs only what the handshake of TLS signs, judged here a second time, and under a handle that is in use; a
 * signature fits, and verifies; nothing comes with a refusal; an answer has the sequence of its request. And the texts of a load.
 */
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "input.h"
#include "keytable.h"
#include "../unit/transcript.h"

#define KEYS 3

static EVP_PKEY *keys[KEYS];

static EVP_PKEY *new_key(unsigned which)
{
	EVP_PKEY *key = which == 0 ? EVP_EC_gen("P-256") : which == 1 ? EVP_RSA_gen(2048) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	FUZZ_CHECK(key != NULL, "no key");
	return key;
}

/* --- what TLS signs, by RFC 8446 section 4.4.3, RFC 5246 sections 7.4.3 and 7.4.8, RFC 8422 section 5.4 --- */

static bool is_verify_13(const uint8_t *text, size_t size)
{
	char wanted[2][99];

	memset(wanted, ' ', sizeof(wanted));
	memcpy(wanted[0] + 64, "TLS 1.3, server CertificateVerify", 34);
	memcpy(wanted[1] + 64, "TLS 1.3, client CertificateVerify", 34);
	return (size == 98 + 32 || size == 98 + 48) && (memcmp(text, wanted[0], 98) == 0 || memcmp(text, wanted[1], 98) == 0);
}

/* Curves 22 to 28 have a point with both coordinates, 29 and 30 have one. */
static size_t point_size(const uint8_t *share)
{
	static const uint8_t sizes[] = {65, 65, 97, 133, 65, 97, 129, 32, 56};
	size_t size = share[0] == 3 && share[1] == 0 && share[2] >= 22 && share[2] <= 30 ? sizes[share[2] - 22] : 0;

	return size == share[3] && (share[2] > 28 || share[4] == 4) ? size : 0;
}

/* Two randoms, then ECParameters of a named curve, and a point that ends the text. */
static bool is_exchange_12(const uint8_t *text, size_t size)
{
	return size > 68 && point_size(text + 64) > 0 && size == 68 + point_size(text + 64);
}

static size_t number_at(const uint8_t *text, unsigned width)
{
	return width == 0 ? 0 : number_at(text, width - 1) << 8 | text[width - 1];
}

/* From the length of a hello's session to its end: it is `end` where all extensions fit. */
static bool is_hello_12(const uint8_t *at, const uint8_t *end, bool is_client)
{
	const uint8_t *list;

	if (end - at < 38 || memcmp(at, "\3\3", 2) != 0 || at[34] > 32 || end - at < 38 + at[34])
		return false;
	at += 35 + at[34];
	if (is_client) {
		size_t suites = number_at(at, 2);

		if (suites == 0 || suites % 2 != 0 || (size_t)(end - at) < suites + 6 || memcmp(at + 2 + suites, "\1", 2) != 0)
			return false;
		at += suites + 4;
	} else if (at[2] != 0) {
		return false;
	} else {
		at += 3;
		if (at == end)
			return true;
	}
	if (end - at < 2 || number_at(at, 2) != (size_t)(end - at - 2))
		return false;
	for (list = at += 2; at < end; at += 4 + number_at(at + 2, 2)) {
		if (end - at < 4 || (size_t)(end - at) < 4 + number_at(at + 2, 2))
			return false;
		for (const uint8_t *before = list; before < at; before += 4 + number_at(before + 2, 2))
			if (memcmp(before, at, 2) == 0)
				return false;
	}
	return true;
}

/* Texts of this fuzzer are short: a DER length takes one byte or two. */
static bool is_der(const uint8_t *at, size_t size)
{
	if (size < 2 || at[0] != 0x30)
		return false;
	if (at[1] < 0x80)
		return size == 2u + at[1];
	return at[1] > 0x80 && at[1] < 0x84 && size >= 2u + (at[1] & 3u) &&
	       size == 2u + (at[1] & 3u) + number_at(at + 2, at[1] & 3);
}

/* Certificates or names, each behind its length; `empty`: there may be none. */
static bool is_list(const uint8_t *at, const uint8_t *end, unsigned width, bool empty)
{
	if (end - at < (ptrdiff_t)width || number_at(at, width) != (size_t)(end - at) - width)
		return false;
	for (at += width; at < end; at += width + number_at(at, width), empty = true)
		if (end - at < (ptrdiff_t)width || (size_t)(end - at) - width < number_at(at, width) ||
		    !is_der(at + width, number_at(at, width)))
			return false;
	return empty;
}

/* Steps over a number of 1 to 2048 bytes behind its length. */
static bool is_past_number(const uint8_t **at, const uint8_t *end)
{
	size_t size = end - *at < 2 ? 0 : number_at(*at, 2);

	if (size == 0 || size > 2048 || (size_t)(end - *at) < 2 + size)
		return false;
	*at += 2 + size;
	return true;
}

static bool is_share_12(const uint8_t *at, const uint8_t *end)
{
	if (end - at >= 4 && at[0] == 3 && at[1] == 0) {
		if (end - at < 5 || point_size(at) == 0 || (size_t)(end - at) < 4 + point_size(at))
			return false;
		at += 4 + point_size(at);
	} else {
		for (int i = 0; i < 3; i++)
			if (!is_past_number(&at, end))
				return false;
	}
	if (end - at < 2)
		return false;
	at += 2;
	return is_past_number(&at, end) && at == end;
}

static bool is_request_12(const uint8_t *at, const uint8_t *end)
{
	size_t schemes;

	if (at == end || at[0] == 0 || end - at < 3 + at[0])
		return false;
	at += 1 + at[0];
	schemes = number_at(at, 2);
	return schemes > 0 && schemes % 2 == 0 && (size_t)(end - at) >= 2 + schemes && is_list(at + 2 + schemes, end, 2, true);
}

static bool is_message_12(uint8_t type, const uint8_t *at, const uint8_t *end)
{
	switch (type) {
	case 1:
	case 2:
		return is_hello_12(at, end, type == 1);
	case 11:
		return is_list(at, end, 3, false);
	case 22:
		return end - at > 4 && at[0] == 1 && number_at(at + 1, 3) == (size_t)(end - at) - 4 && is_der(at + 4, (size_t)(end - at) - 4);
	case 12:
		return is_share_12(at, end);
	case 13:
		return is_request_12(at, end);
	case 14:
		return at == end;
	default:
		return end - at > 1 && ((at[0] > 0 && at[0] <= 133 && end - at == 1 + at[0]) ||
		                        (end - at > 2 && number_at(at, 2) == (size_t)(end - at) - 2));
	}
}

/* The types that came, as a word, are one of four; each message is whole. */
static bool is_messages_12(const uint8_t *text, size_t size)
{
	static const char *const orders[] = {"\1\2\13\15\16\13\20", "\1\2\13\14\15\16\13\20", "\1\2\13\26\15\16\13\20", "\1\2\13\26\14\15\16\13\20"};
	const uint8_t *end = text + size;
	char types[10] = "";

	for (size_t count = 0; text < end; count++) {
		if (end - text < 4 || count == 9 || number_at(text + 1, 3) > (size_t)(end - text) - 4)
			return false;
		size = number_at(text + 1, 3);
		types[count] = (char)text[0];
		if (!is_message_12(text[0], text + 4, text + 4 + size))
			return false;
		text += 4 + size;
	}
	for (int i = 0; i < 4; i++)
		if (strcmp(types, orders[i]) == 0)
			return true;
	return false;
}

/* --- requests --- */

/* Texts that are right, and one byte of which may be changed. */
static size_t make_text(struct input *input, uint8_t text[512])
{
	uint8_t form = input_byte(input) % 8, change = input_byte(input);
	size_t size = 0;

	memset(text, 0, 512);
	if (form < 3) {
		memset(text, ' ', 64);
		memcpy(text + 64, form == 0 ? "TLS 1.3, client CertificateVerify" : "TLS 1.3, server CertificateVerify", 34);
		size = 98 + (form == 1 ? 48 : 32);
	} else if (form < 5) {
		text[64] = 3;
		text[66] = form == 3 ? 23 : 29;
		text[67] = form == 3 ? 65 : 32;
		text[68] = 4;
		size = 68u + text[67];
	} else if (form == 5) {
		struct transcript transcript;

		transcript_fill(&transcript, change % 2);
		memcpy(text, transcript.at, size = transcript.size);
	} else {
		size = input_below(input, 512);
		if (size > input->size)
			size = input->size;
		input_bytes(input, text, size);
		return size;
	}
	if (change < 0x80)
		text[(form == 5 ? input_below(input, (unsigned)size) : change) % size] ^= input_byte(input);
	else if (change < 0x90)
		size += input_byte(input) % 3;
	return size;
}

static const EVP_MD *digest_of(unsigned digest)
{
	const EVP_MD *(*const all[])(void) = {NULL, EVP_sha224, EVP_sha256, EVP_sha384, EVP_sha512};

	return digest == 0 ? NULL : all[digest]();
}

static void check_signature(unsigned key, const struct keywire_request *head, const uint8_t *text, size_t size,
                            const uint8_t *signature, size_t signature_size)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *settings;

	FUZZ_CHECK(EVP_DigestVerifyInit(context, &settings, digest_of(head->digest), NULL, keys[key]) == 1, "what cannot be is signed");
	if (head->padding == KEYWIRE_PSS)
		FUZZ_CHECK(EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) > 0, "padding without RSA");
	FUZZ_CHECK(EVP_DigestVerify(context, signature, signature_size, text, size) == 1, "a signature that does not verify");
	EVP_MD_CTX_free(context);
}

static void check_answer(const struct keywire_request *head, size_t size, const struct keywire_answer *answer, size_t signature_size)
{
	FUZZ_CHECK(signature_size <= KEYWIRE_SIGNATURE_MOST, "%zu bytes of signature", signature_size);
	FUZZ_CHECK(answer->handle == 0 && answer->about == 0 && answer->notes == 0, "an answer says more");
	FUZZ_CHECK(answer->sequence == (size >= sizeof(*head) ? head->sequence : 0), "another request is answered");
	FUZZ_CHECK(answer->result == KEYWIRE_DONE || answer->result == KEYWIRE_FAILED || answer->result == KEYWIRE_REFUSED, "result %u",
	           answer->result);
	FUZZ_CHECK(answer->result == KEYWIRE_DONE || signature_size == 0, "a signature with a refusal");
}

/* `handles` 0: removed. */
static void ask(struct input *input, struct keytable *table, const uint64_t *handles, const uint64_t *gone)
{
	uint8_t which = input_byte(input), form = input_byte(input), text[512], signature[KEYWIRE_SIGNATURE_MOST], *request;
	struct keywire_request head = {.kind = form < 0xe0 ? KEYWIRE_SIGN : form % 8, .sequence = (uint32_t)input_number(input)};
	size_t text_size, size, signature_size = 12345;
	unsigned key = which % KEYS;
	struct keywire_answer answer;
	bool is_handshake;

	head.handle = which < 0xc0 ? handles[key] : which < 0xe0 ? gone[key] : input_number(input);
	head.padding = input_byte(input) % (KEYWIRE_PADDINGS + 1);
	head.digest = input_byte(input) % (KEYWIRE_DIGESTS + 1);
	head.reserved = form % 32 == 31;
	text_size = make_text(input, text);
	size = sizeof(head) + text_size;
	if (form >= 0xf8)
		size = input_below(input, sizeof(head) + 1);
	request = malloc(size);
	FUZZ_CHECK(request != NULL || size == 0, "no memory");
	memcpy(request, &head, size < sizeof(head) ? size : sizeof(head));
	if (size > sizeof(head))
		memcpy(request + sizeof(head), text, text_size);
	keytable_answer(table, request, size, &answer, signature, &signature_size);
	free(request);
	check_answer(&head, size, &answer, signature_size);
	is_handshake = is_verify_13(text, text_size) || is_exchange_12(text, text_size) || is_messages_12(text, text_size);
	if (answer.result == KEYWIRE_DONE && signature_size > 0) {
		FUZZ_CHECK(size >= sizeof(head) && head.kind == KEYWIRE_SIGN, "a signature was not asked for");
		FUZZ_CHECK(is_handshake, "what no handshake signs is signed");
		for (key = 0; key < KEYS && (handles[key] == 0 || handles[key] != head.handle);)
			key++;
		FUZZ_CHECK(key < KEYS, "there is no such key");
		FUZZ_CHECK(key != 1 || is_exchange_12(text, text_size) || memcmp(text + 64, "TLS 1.3, server", 15) == 0, "signed as a client");
		check_signature(key, &head, text, text_size, signature, signature_size);
	} else {
		FUZZ_CHECK(answer.result != KEYWIRE_DONE || head.kind == KEYWIRE_PING, "done, without a signature");
	}
}

static void remove_or_add(struct input *input, struct keytable *table, uint64_t *handles, uint64_t *gone)
{
	unsigned key = input_below(input, KEYS);
	size_t before = keytable_count(table);

	if (handles[key] != 0) {
		keytable_remove(table, handles[key]);
		FUZZ_CHECK(keytable_count(table) == before - 1, "%zu keys", keytable_count(table));
		gone[key] = handles[key];
		handles[key] = 0;
		return;
	}
	FUZZ_CHECK(EVP_PKEY_up_ref(keys[key]) == 1, "no reference");
	handles[key] = keytable_add(table, NULL, keys[key], key != 1);
	FUZZ_CHECK(handles[key] != 0 && handles[key] != gone[key], "a handle of before is one of now");
}

static void split(struct input *input)
{
	char *bytes = malloc(input->size);
	const char *texts[KEYWIRE_TEXTS];
	size_t size = input->size, zeros = 0;
	bool good;

	FUZZ_CHECK(bytes != NULL || size == 0, "no memory");
	input_bytes(input, bytes, size);
	for (size_t i = 0; i < size; i++)
		zeros += bytes[i] == '\0';
	good = keywire_split(bytes, size, texts);
	FUZZ_CHECK(good == (zeros == KEYWIRE_TEXTS && bytes[size - 1] == '\0'), "%zu zeros: %d", zeros, good);
	for (int i = 0; good && i < KEYWIRE_TEXTS; i++)
		FUZZ_CHECK(texts[i] == (i == 0 ? bytes : texts[i - 1] + strlen(texts[i - 1]) + 1), "text %d is another", i);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint64_t handles[KEYS] = {0}, gone[KEYS] = {0};
	struct keytable *table = keytable_new();
	struct input input;

	FUZZ_CHECK(table != NULL, "no memory");
	for (unsigned i = 0; i < KEYS; i++)
		if (keys[i] == NULL)
			keys[i] = new_key(i);
	input_open(&input, bytes, size);
	if (input_byte(&input) % 8 == 0)
		split(&input);
	for (unsigned left = 12; input.size > 0 && left > 0; left--)
		if (input_byte(&input) % 4 == 0)
			remove_or_add(&input, table, handles, gone);
		else
			ask(&input, table, handles, gone);
	keytable_free(table);
	ERR_clear_error();
	return 0;
}
