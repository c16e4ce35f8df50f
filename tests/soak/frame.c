/* Requests and answers of the soak test: made, and sealed with digests. */
#include "frame.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

static void put(uint8_t *bytes, uint64_t number, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(number >> 8 * (size - 1 - i));
}

static uint64_t get(const uint8_t *bytes, size_t size)
{
	uint64_t number = 0;

	for (size_t i = 0; i < size; i++)
		number = number << 8 | bytes[i];
	return number;
}

/* xorshift64: no two payloads are alike, and none can be compressed. */
static void fill(uint8_t *bytes, size_t size, uint64_t seed)
{
	uint64_t state = seed * 0x9e3779b97f4a7c15u | 1;

	for (size_t at = 0; at < size; at += sizeof(state)) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		memcpy(bytes + at, &state, size - at < sizeof(state) ? size - at : sizeof(state));
	}
}

bool buffer_make(struct buffer *buffer, size_t size)
{
	free(buffer->bytes);
	*buffer = (struct buffer){.bytes = malloc(size + 1), .size = size};
	return buffer->bytes != NULL;
}

void buffer_free(struct buffer *buffer)
{
	free(buffer->bytes);
	*buffer = (struct buffer){.bytes = NULL};
}

bool frame_request(const struct frame *frame, struct buffer *request, uint8_t *digest)
{
	uint8_t *bytes;

	if (!buffer_make(request, FRAME_HEAD + frame->up + FRAME_DIGEST))
		return false;
	bytes = request->bytes;
	memcpy(bytes, "SOAK", 4);
	put(bytes + 4, frame->flags, 4);
	put(bytes + 8, frame->up, 4);
	put(bytes + 12, frame->down, 4);
	put(bytes + 16, frame->seed, 8);
	fill(bytes + FRAME_HEAD, frame->up, frame->seed);
	SHA256(bytes + FRAME_HEAD, frame->up, digest);
	memcpy(bytes + FRAME_HEAD + frame->up, digest, FRAME_DIGEST);
	return true;
}

bool frame_head(const uint8_t *bytes, struct frame *frame)
{
	frame->flags = (uint32_t)get(bytes + 4, 4);
	frame->up = (uint32_t)get(bytes + 8, 4);
	frame->down = (uint32_t)get(bytes + 12, 4);
	frame->seed = get(bytes + 16, 8);
	return memcmp(bytes, "SOAK", 4) == 0 && frame->up <= FRAME_MOST && frame->down <= FRAME_MOST;
}

bool frame_answer(const struct frame *frame, struct buffer *answer)
{
	if (!buffer_make(answer, frame->down + FRAME_DIGEST))
		return false;
	fill(answer->bytes, frame->down, ~frame->seed);
	answer->size = frame->down;
	return true;
}

void frame_seal(const uint8_t *request, const uint8_t *payload, size_t size, uint8_t *digest)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	memset(digest, 0, FRAME_DIGEST);
	if (context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(context, request, FRAME_DIGEST) == 1 && EVP_DigestUpdate(context, payload, size) == 1)
		(void)EVP_DigestFinal_ex(context, digest, NULL);
	EVP_MD_CTX_free(context);
}
