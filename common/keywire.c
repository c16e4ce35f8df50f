/* The words of a gateway and its key process, and the judgement of what may be signed. */
#include "keywire.h"

#include <string.h>
#include <strings.h>

#define TLS13_SPACES 64
#define TLS12_RANDOMS 64
#define HASH_LEAST 32
#define HASH_MOST 48
#define NAMED_CURVE 3
#define UNCOMPRESSED 4

/* What real handshakes stay below; certificates and lists of authorities are those that libssl takes. */
#define EXTENSIONS_MOST 64
#define HELLO_MOST (16u * 1024)
#define MESSAGE_MOST (100u * 1024)
#define EXCHANGE_MOST (8u * 1024)
#define NUMBER_MOST 2048u
#define SHARE_MOST 133u

const char *keywire_words(enum keywire_result result)
{
	static const char *const words[KEYWIRE_RESULTS] = {
	    [KEYWIRE_DONE] = "done",
	    [KEYWIRE_FAILED] = "the key process could not sign",
	    [KEYWIRE_REFUSED] = "the key process refuses to sign this",
	    [KEYWIRE_SILENT] = "the key process does not answer",
	    [KEYWIRE_GONE] = "the key process has ended",
	};

	return words[result];
}

static const struct {
	const char *names[3]; /* OpenSSL's own first */
} digests[KEYWIRE_DIGESTS] = {
    [KEYWIRE_NONE] = {{NULL, "", "UNDEF"}},
    [KEYWIRE_SHA224] = {{"SHA224", "SHA2-224", "SHA-224"}},
    [KEYWIRE_SHA256] = {{"SHA256", "SHA2-256", "SHA-256"}},
    [KEYWIRE_SHA384] = {{"SHA384", "SHA2-384", "SHA-384"}},
    [KEYWIRE_SHA512] = {{"SHA512", "SHA2-512", "SHA-512"}},
};

const char *keywire_digest_name(enum keywire_digest digest)
{
	return digests[digest].names[0];
}

int keywire_digest_named(const char *name)
{
	if (name == NULL)
		return KEYWIRE_NONE;
	for (int i = 0; i < KEYWIRE_DIGESTS; i++)
		for (int j = 0; j < 3; j++)
			if (digests[i].names[j] != NULL && strcasecmp(digests[i].names[j], name) == 0)
				return i;
	return -1;
}

bool keywire_split(const char *bytes, size_t size, const char *texts[KEYWIRE_TEXTS])
{
	for (int i = 0; i < KEYWIRE_TEXTS; i++) {
		const char *end = size > 0 ? memchr(bytes, '\0', size) : NULL;

		if (end == NULL)
			return false;
		texts[i] = bytes;
		size -= (size_t)(end + 1 - bytes);
		bytes = end + 1;
	}
	return size == 0;
}

static const char server_words[] = "TLS 1.3, server CertificateVerify";
static const char client_words[] = "TLS 1.3, client CertificateVerify";

/* 64 blanks, the words of one side, a zero, the hash of the handshake so far. */
static bool is_tls13_of(const char *words, const uint8_t *bytes, size_t size)
{
	size_t length = sizeof(server_words); /* both are as long, and end in the zero */

	static_assert(sizeof(server_words) == sizeof(client_words), "of one length");
	if (size != TLS13_SPACES + length + HASH_LEAST && size != TLS13_SPACES + length + HASH_MOST)
		return false;
	for (size_t i = 0; i < TLS13_SPACES; i++)
		if (bytes[i] != ' ')
			return false;
	return memcmp(bytes + TLS13_SPACES, words, length) == 0;
}

static bool is_tls13(const uint8_t *bytes, size_t size)
{
	return is_tls13_of(server_words, bytes, size) || is_tls13_of(client_words, bytes, size);
}

/* The second byte of a curve's number, the size of its share, and the share. That the point lies on the curve is not
 * looked at. */
static bool is_share(const uint8_t *share, size_t size)
{
	static const struct {
		uint8_t curve, size;
		bool is_point; /* with both coordinates */
	} shares[] = {{22, 65, true}, {23, 65, true},  {24, 97, true},  {25, 133, true}, {26, 65, true},
	              {27, 97, true}, {28, 129, true}, {29, 32, false}, {30, 56, false}};

	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
		if (size >= 3 && share[0] == shares[i].curve && share[1] == shares[i].size)
			return size >= 2u + share[1] && (!shares[i].is_point || share[2] == UNCOMPRESSED);
	return false;
}

/* Both randoms, and the server's share on a named curve. */
static bool is_tls12_server(const uint8_t *bytes, size_t size)
{
	const uint8_t *share = bytes + TLS12_RANDOMS;

	if (size < TLS12_RANDOMS + 4 || share[0] != NAMED_CURVE || share[1] != 0)
		return false;
	return is_share(share + 2, size - TLS12_RANDOMS - 2) && size == TLS12_RANDOMS + 4u + share[3];
}

/* --- the transcript of a TLS 1.2 client --- */

struct rest {
	const uint8_t *at;
	size_t left;
};

static bool skip(struct rest *rest, size_t size)
{
	if (rest->left < size)
		return false;
	rest->at += size;
	rest->left -= size;
	return true;
}

/* A vector of at least one byte, after its length in `width` bytes: into `part`. */
static bool cut(struct rest *rest, unsigned width, size_t most, struct rest *part)
{
	size_t length = 0;

	if (rest->left < width)
		return false;
	for (unsigned i = 0; i < width; i++)
		length = length << 8 | rest->at[i];
	*part = (struct rest){rest->at + width, length};
	return length > 0 && length <= most && skip(rest, width + length);
}

/* They end the message, and none comes twice. */
static bool are_extensions(struct rest *rest)
{
	struct rest all, one;
	uint16_t types[EXTENSIONS_MOST];
	size_t count = 0;

	if (rest->left == 2 && rest->at[0] == 0 && rest->at[1] == 0)
		return true;
	if (!cut(rest, 2, UINT16_MAX, &all) || rest->left > 0)
		return false;
	while (all.left > 0) {
		if (all.left < 4 || count == EXTENSIONS_MOST)
			return false;
		types[count] = (uint16_t)(all.at[0] << 8 | all.at[1]);
		for (size_t i = 0; i < count; i++)
			if (types[i] == types[count])
				return false;
		count++;
		if (all.at[2] == 0 && all.at[3] == 0 ? !skip(&all, 4) : !skip(&all, 2) || !cut(&all, 2, UINT16_MAX, &one))
			return false;
	}
	return true;
}

/* Version, random, identifier of a session. */
static bool skip_hello(struct rest *rest)
{
	return rest->left > 34 && rest->at[0] == 3 && rest->at[1] == 3 && rest->at[34] <= 32 &&
	       skip(rest, 35u + rest->at[34]);
}

/* Of compressions there is none. */
static bool is_client_hello(struct rest *rest)
{
	struct rest part;

	return skip_hello(rest) && cut(rest, 2, UINT16_MAX, &part) && part.left % 2 == 0 && cut(rest, 1, 1, &part) &&
	       part.at[0] == 0 && are_extensions(rest);
}

static bool is_server_hello(struct rest *rest)
{
	return skip_hello(rest) && rest->left >= 3 && rest->at[2] == 0 && skip(rest, 3) &&
	       (rest->left == 0 || are_extensions(rest));
}

/* One SEQUENCE in DER from the first byte to the last. */
static bool is_der(const struct rest *part)
{
	size_t width = part->left >= 2 && part->at[1] > 0x80 ? part->at[1] - 0x80u : 0, length = 0;

	if (part->left < 2 || part->at[0] != 0x30 || part->at[1] == 0x80 || width > 3 || part->left < 2 + width)
		return false;
	for (size_t i = 0; i < width; i++)
		length = length << 8 | part->at[2 + i];
	return part->left == 2 + width + (width > 0 ? length : part->at[1]);
}

static bool are_der(struct rest *list, unsigned width)
{
	struct rest one;

	while (list->left > 0)
		if (!cut(list, width, MESSAGE_MOST, &one) || !is_der(&one))
			return false;
	return true;
}

static bool is_certificate(struct rest *rest)
{
	struct rest list;

	return cut(rest, 3, MESSAGE_MOST, &list) && rest->left == 0 && are_der(&list, 3);
}

/* An answer of OCSP. */
static bool is_status(struct rest *rest)
{
	struct rest part;

	return rest->left > 0 && rest->at[0] == 1 && skip(rest, 1) && cut(rest, 3, MESSAGE_MOST, &part) &&
	       rest->left == 0 && is_der(&part);
}

static bool is_number(struct rest *rest)
{
	struct rest part;

	return cut(rest, 2, NUMBER_MOST, &part);
}

static bool are_numbers(struct rest *rest, unsigned count)
{
	bool are = true;

	while (are && count-- > 0)
		are = is_number(rest);
	return are;
}

/* A share on a named curve, or prime, generator and share; and the signature. */
static bool is_exchange(struct rest *rest)
{
	bool is_curve = rest->left >= 4 && rest->at[0] == NAMED_CURVE && rest->at[1] == 0;
	bool is_good = is_curve ? is_share(rest->at + 2, rest->left - 2) && skip(rest, 4u + rest->at[3])
	                        : are_numbers(rest, 3);

	return is_good && skip(rest, 2) && is_number(rest) && rest->left == 0;
}

/* Types of certificates, schemes, names of authorities. */
static bool is_request(struct rest *rest)
{
	struct rest part;

	if (!cut(rest, 1, UINT8_MAX, &part) || !cut(rest, 2, UINT16_MAX, &part) || part.left % 2 != 0)
		return false;
	if (rest->left == 2 && rest->at[0] == 0 && rest->at[1] == 0)
		return true;
	return cut(rest, 2, UINT16_MAX, &part) && rest->left == 0 && are_der(&part, 2);
}

static bool is_empty(struct rest *rest)
{
	return rest->left == 0;
}

static bool is_client_exchange(struct rest *rest)
{
	struct rest part;
	struct rest other = *rest;

	return (cut(rest, 1, SHARE_MOST, &part) && rest->left == 0) || (is_number(&other) && other.left == 0);
}

/* The messages that a client has sent and seen when it signs, in their order, each once. */
static const struct step {
	uint8_t type;
	bool may_lack;
	size_t most;
	bool (*is_good)(struct rest *rest);
} steps[] = {
    {1, false, HELLO_MOST, is_client_hello},
    {2, false, HELLO_MOST, is_server_hello},
    {11, false, MESSAGE_MOST, is_certificate},
    {22, true, MESSAGE_MOST, is_status},
    {12, true, EXCHANGE_MOST, is_exchange},
    {13, false, MESSAGE_MOST, is_request},
    {14, false, 0, is_empty},
    {11, false, MESSAGE_MOST, is_certificate},
    {16, false, EXCHANGE_MOST, is_client_exchange},
};

static bool take_message(struct rest *rest, const struct step *step)
{
	size_t length = rest->left >= 4 ? (size_t)rest->at[1] << 16 | (size_t)rest->at[2] << 8 | rest->at[3] : 0;
	struct rest body = {rest->at + 4, length};

	if (rest->left < 4 || rest->at[0] != step->type)
		return step->may_lack;
	return length <= step->most && skip(rest, 4 + length) && step->is_good(&body);
}

static bool is_tls12_client(const uint8_t *bytes, size_t size)
{
	struct rest rest = {bytes, size};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (!take_message(&rest, &steps[i]))
			return false;
	return rest.left == 0;
}

bool keywire_is_handshake(const uint8_t *bytes, size_t size)
{
	return is_tls13(bytes, size) || is_tls12_server(bytes, size) || is_tls12_client(bytes, size);
}

bool keywire_is_of_client(const uint8_t *bytes, size_t size)
{
	return is_tls13_of(client_words, bytes, size) || is_tls12_client(bytes, size);
}
