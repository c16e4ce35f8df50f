/* The words of a gateway and its key process, and the judgement of what may be signed. */
#include "keywire.h"

#include <string.h>
#include <strings.h>

#define TLS13_SPACES 64
#define TLS12_RANDOMS 64
#define HASH_LEAST 32
#define HASH_MOST 48
#define NAMED_CURVE 3
#define CLIENT_HELLO 1

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
    [KEYWIRE_SHA1] = {{"SHA1", "SHA-1", NULL}},
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

/* 64 blanks, the words of one side, a zero, the hash of the handshake so far. */
static bool is_tls13(const uint8_t *bytes, size_t size)
{
	static const char server[] = "TLS 1.3, server CertificateVerify", client[] = "TLS 1.3, client CertificateVerify";
	size_t words = sizeof(server); /* both are as long, and end in the zero */

	static_assert(sizeof(server) == sizeof(client), "of one length");
	if (size != TLS13_SPACES + words + HASH_LEAST && size != TLS13_SPACES + words + HASH_MOST)
		return false;
	for (size_t i = 0; i < TLS13_SPACES; i++)
		if (bytes[i] != ' ')
			return false;
	return memcmp(bytes + TLS13_SPACES, server, words) == 0 || memcmp(bytes + TLS13_SPACES, client, words) == 0;
}

/* Both randoms, and the server's share on a named curve. */
static bool is_tls12_server(const uint8_t *bytes, size_t size)
{
	static const struct {
		uint8_t curve, size;
	} shares[] = {{22, 65}, {23, 65}, {24, 97}, {25, 133}, {26, 65}, {27, 97}, {28, 129}, {29, 32}, {30, 56}};
	const uint8_t *share = bytes + TLS12_RANDOMS;

	if (size < TLS12_RANDOMS + 4 || share[0] != NAMED_CURVE || share[1] != 0)
		return false;
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
		if (share[2] == shares[i].curve && share[3] == shares[i].size)
			return size == TLS12_RANDOMS + 4u + share[3];
	return false;
}

static size_t length_of(const uint8_t *bytes)
{
	return (size_t)bytes[0] << 16 | (size_t)bytes[1] << 8 | bytes[2];
}

/* Handshake messages without a gap, the first of which is a ClientHello. */
static bool is_tls12_client(const uint8_t *bytes, size_t size)
{
	size_t at = 0;

	if (size < 4 || bytes[0] != CLIENT_HELLO)
		return false;
	while (size - at >= 4 && length_of(bytes + at + 1) <= size - at - 4)
		at += 4 + length_of(bytes + at + 1);
	return at == size;
}

bool keywire_is_handshake(const uint8_t *bytes, size_t size)
{
	return is_tls13(bytes, size) || is_tls12_server(bytes, size) || is_tls12_client(bytes, size);
}
