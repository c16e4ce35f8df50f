/*
 * Files that somebody else wrote. Even first byte: lines of a stream, as line_read gives them, are those that are there. Odd: keys of session
 * tickets: they are taken, or refused with one line of words that holds nothing of a key; what one policy of them seals it opens, and
 * another policy does not.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"
#include "linereader.h"
#include "tlstickets.h"

#define DIGITS "0123456789abcdefABCDEF"

/* --- lines --- */

static void read_lines(const uint8_t *bytes, size_t size)
{
	static char buffer[LINE_MOST];
	FILE *stream = fmemopen((void *)(uintptr_t)bytes, size, "r");
	size_t at = 0, got;

	FUZZ_CHECK(stream != NULL, "no stream");
	while (line_read(stream, buffer, &got)) {
		const uint8_t *end = memchr(bytes + at, '\n', size - at);
		size_t wanted = end != NULL ? (size_t)(end - bytes) - at : size - at;

		FUZZ_CHECK(got == wanted && memcmp(buffer, bytes + at, got) == 0, "a line of %zu bytes comes with %zu", wanted, got);
		at += wanted + (end != NULL);
		FUZZ_CHECK(at <= size && (wanted > 0 || end != NULL), "a line that is not there");
	}
	FUZZ_CHECK(at == size, "%zu bytes are left", size - at);
	(void)fclose(stream);
}

/* --- ticket keys --- */

/* By docs/certificates.md: how many keys the text has; -1: it is no file of keys. */
static int count_keys(const char *text, size_t size)
{
	int count = 0;

	for (size_t at = 0; at < size;) {
		const char *end = memchr(text + at, '\n', size - at);
		size_t next = end != NULL ? (size_t)(end - text) + 1 : size, last = end != NULL ? next - 1 : next, digits;

		while (at < last && strchr(" \t\r", text[at]) != NULL && text[at] != '\0')
			at++;
		while (last > at && strchr(" \t\r", text[last - 1]) != NULL && text[last - 1] != '\0')
			last--;
		for (digits = 0; at + digits < last && text[at + digits] != '\0' && strchr(DIGITS, text[at + digits]) != NULL; digits++)
			;
		if (at < last && text[at] != '#' && text[at] != ';') {
			if (at + digits != last || digits < 64 || digits > 512 || digits % 2 != 0)
				return -1;
			count++;
		}
		at = next;
	}
	return count >= 1 && count <= TLS_TICKET_KEYS ? count : -1;
}

/* A ticket under one policy: 1 sealed or opened, 2 opened and to be renewed, 0 not opened. */
static int answer(struct tls_ticket_policy *policy, unsigned char name[16], unsigned char *iv, int seal)
{
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	struct tls_ticket_request request = {.name = name, .iv = iv, .cipher = EVP_CIPHER_CTX_new(), .mac = EVP_MAC_CTX_new(hmac), .seal = seal};
	int result = tls_ticket_answer(policy, &request);

	EVP_CIPHER_CTX_free(request.cipher);
	EVP_MAC_CTX_free(request.mac);
	EVP_MAC_free(hmac);
	return result;
}

static void check_seal(struct tls_tickets *tickets)
{
	struct tls_ticket_policy *one = tls_ticket_policy_new(tickets, (const uint8_t[32]){1}),
	                         *other = tls_ticket_policy_new(tickets, (const uint8_t[32]){2});
	unsigned char name[16] = {0}, iv[EVP_MAX_IV_LENGTH];

	FUZZ_CHECK(one != NULL && other != NULL, "no memory");
	FUZZ_CHECK(answer(one, name, iv, 1) == 1, "nothing is sealed");
	FUZZ_CHECK(answer(one, name, iv, 0) == 1, "what was sealed is not opened");
	FUZZ_CHECK(answer(other, name, iv, 0) == 0, "another policy's is opened");
	tls_ticket_policy_free(one);
	tls_ticket_policy_free(other);
}

/* No sixteen digits of it: file names have none, and positions are short. */
static void check_words(const char *words)
{
	size_t digits = 0;

	for (const char *at = words; *at != '\0'; at++) {
		digits = strchr(DIGITS, *at) != NULL ? digits + 1 : 0;
		FUZZ_CHECK(digits < 16, "a key is told: %s", words);
		FUZZ_CHECK(*at >= ' ' && *at <= '~', "byte %02x in an error", (unsigned)(unsigned char)*at);
	}
}

/* Lines of keys out of a few bytes, and anything. */
static size_t make_keys(struct input *input, char *text, size_t most)
{
	size_t used = 0;

	while (input->size > 0 && used + 600 < most) {
		uint8_t form = input_byte(input), digits = input_byte(input);

		if (form < 0x80) {
			size_t count = form < 0x40 ? 64 : digits * 2u + form % 2;

			for (size_t i = 0; i < count; i++)
				text[used++] = DIGITS[(digits + i * i) % 22];
		} else {
			size_t size = form % 16 < input->size ? form % 16 : input->size;

			input_bytes(input, text + used, size);
			used += size;
		}
		if (form % 8 != 7)
			text[used++] = '\n';
	}
	return used;
}

static void read_keys(struct input *input)
{
	char text[16384], path[32];
	size_t size = make_keys(input, text, sizeof(text));
	int fd = memfd_create("keys", MFD_CLOEXEC), keys = count_keys(text, size);
	struct error error = {.text = ""};
	struct tls_tickets *tickets;

	FUZZ_CHECK(fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, text, size) == (ssize_t)size, "no file");
	(void)snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	tickets = tls_tickets_new(NULL, path, &error);
	FUZZ_CHECK((tickets != NULL) == (keys > 0), "%d keys are there, and it says: %s", keys, error.text);
	FUZZ_CHECK((tickets == NULL) == (error.text[0] != '\0'), "taken or refused? %s", error.text);
	check_words(error.text);
	if (tickets != NULL)
		check_seal(tickets);
	tls_tickets_free(tickets);
	(void)close(fd);
	ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input input;

	input_open(&input, bytes, size);
	if (input_byte(&input) % 2 == 1)
		read_keys(&input);
	else if (input.size > 0)
		read_lines(input.at, input.size);
	input_close(&input);
	return 0;
}
