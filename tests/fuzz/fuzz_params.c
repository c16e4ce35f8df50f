/* The codec of the exchange: a message is taken or refused, a prefix of it never promises more, and what was taken can be said
 * again: in its own code, and in EBCDIC, where it means the same but for characters that code page 1047 does not have. */
#include "fuzz.h"
#include "params.h"

static void check_round_trip(const struct params *first)
{
	uint8_t bytes[PARAMS_MESSAGE_SIZE];
	struct params second;
	const char *what;
	size_t size;

	size = params_encode(first, bytes);
	FUZZ_CHECK(size >= PARAMS_HEADER_SIZE && size <= sizeof(bytes), "what was decoded cannot be encoded");
	memset(&second, 0, sizeof(second));
	FUZZ_CHECK(params_decode(bytes, size, &second, &what) == PARAMS_OK, "what was encoded cannot be decoded");
	FUZZ_CHECK(memcmp(first, &second, sizeof(second)) == 0, "a message came back as another");
}

/* As code page 1047 can say it, which has the characters of Latin-1: anything else is a question mark. */
static void to_latin(char *text)
{
	unsigned char *at = (unsigned char *)text;
	char *to = text;

	while (*at != 0) {
		size_t size = *at < 0x80 ? 1 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;

		if (size == 1 || (size == 2 && *at <= 0xc3)) {
			memmove(to, at, size);
			to += size;
		} else {
			*to++ = '?';
		}
		at += size;
	}
	*to = '\0';
}

static void check_ebcdic(const struct params *first)
{
	struct params wanted = *first, second;
	uint8_t bytes[PARAMS_MESSAGE_SIZE];
	const char *what = "";
	size_t size;

	/* The other way a character may take two bytes for one, and the text be cut. */
	if (first->cpu != PARAMS_UTF8)
		return;
	wanted.cpu = PARAMS_EBCDIC;
	size = params_encode(&wanted, bytes);
	FUZZ_CHECK(size >= PARAMS_HEADER_SIZE && size <= sizeof(bytes), "it cannot be said in EBCDIC");
	memset(&second, 0, sizeof(second));
	FUZZ_CHECK(params_decode(bytes, size, &second, &what) == PARAMS_OK, "said in EBCDIC it is refused: %s", what);
	to_latin(wanted.agent);
	to_latin(wanted.text);
	FUZZ_CHECK(strcmp(wanted.sysid, second.sysid) == 0 && strcmp(wanted.target, second.target) == 0, "in EBCDIC it is another name");
	FUZZ_CHECK(strcmp(wanted.agent, second.agent) == 0 && strcmp(wanted.text, second.text) == 0, "in EBCDIC it is another text");
	memset(wanted.agent, 0, sizeof(wanted.agent));
	memset(second.agent, 0, sizeof(second.agent));
	memset(wanted.text, 0, sizeof(wanted.text));
	memset(second.text, 0, sizeof(second.text));
	FUZZ_CHECK(memcmp(&wanted, &second, offsetof(struct params, sysid)) == 0, "in EBCDIC it is another message");
}

/* The header alone, from its first byte on: it is refused once, or taken, and never both. */
static size_t look_at_header(const uint8_t *bytes, size_t size, enum params_result *result)
{
	size_t length = 0;
	const char *what;

	*result = PARAMS_MORE;
	for (size_t have = 1; have <= size && have <= PARAMS_HEADER_SIZE; have++) {
		*result = params_header(bytes, have, &length, &what);
		if (*result != PARAMS_MORE)
			return length;
		FUZZ_CHECK(have < PARAMS_HEADER_SIZE, "a whole header asks for more");
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	enum params_result result;
	size_t length = look_at_header(bytes, size, &result);
	struct params params;
	const char *what = NULL;

	if (size == 0)
		return 0;
	memset(&params, 0, sizeof(params));
	if (result == PARAMS_OK) {
		FUZZ_CHECK(length >= PARAMS_HEADER_SIZE && length <= PARAMS_MESSAGE_SIZE, "a length out of bounds");
		if (length > size)
			return 0;
		if (params_decode(bytes, length, &params, &what) == PARAMS_OK) {
			check_round_trip(&params);
			check_ebcdic(&params);
		}
		return 0;
	}
	if (size <= PARAMS_MESSAGE_SIZE)
		FUZZ_CHECK(params_decode(bytes, size, &params, &what) != PARAMS_OK, "a bad header, and a message that is taken");
	return 0;
}
