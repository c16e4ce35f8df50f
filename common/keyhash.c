/* SipHash-2-4 (Aumasson, Bernstein: SipHash: a fast short-input PRF). */
#include "keyhash.h"

#include <endian.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

void keyhash_key(uint8_t *key)
{
	struct timespec now;

	if (getrandom(key, KEYHASH_KEY_SIZE, GRND_NONBLOCK) == KEYHASH_KEY_SIZE)
		return;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	memcpy(key, &now, sizeof(now) < KEYHASH_KEY_SIZE ? sizeof(now) : KEYHASH_KEY_SIZE);
}

/* Up to 8 bytes, the first being the lowest. */
static uint64_t load(const uint8_t *bytes, size_t size)
{
	uint64_t word = 0;

	memcpy(&word, bytes, size);
	return le64toh(word);
}

static uint64_t rotate(uint64_t word, unsigned bits)
{
	return word << bits | word >> (64 - bits);
}

static void rounds(uint64_t *v, unsigned count)
{
	while (count-- > 0) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] = rotate(v[2], 32);
	}
}

static void take(uint64_t *v, uint64_t word)
{
	v[3] ^= word;
	rounds(v, 2);
	v[0] ^= word;
}

uint64_t keyhash(const uint8_t *key, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint64_t low = load(key, 8), high = load(key + 8, 8);
	uint64_t v[4] = {low ^ 0x736f6d6570736575u, high ^ 0x646f72616e646f6du, low ^ 0x6c7967656e657261u,
	                 high ^ 0x7465646279746573u};
	size_t left = size;

	for (; left >= 8; left -= 8, at += 8)
		take(v, load(at, 8));
	take(v, load(at, left) | (uint64_t)size << 56);
	v[2] ^= 0xff;
	rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
