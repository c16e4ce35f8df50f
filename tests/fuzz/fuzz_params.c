/* The codec of the exchange: a message is taken or refused, a prefix of it never promises more, and what was taken can be said
 * again. */
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
		if (params_decode(bytes, length, &params, &what) == PARAMS_OK)
			check_round_trip(&params);
		return 0;
	}
	if (size <= PARAMS_MESSAGE_SIZE)
		FUZZ_CHECK(params_decode(bytes, size, &params, &what) != PARAMS_OK, "a bad header, and a message that is taken");
	return 0;
}
