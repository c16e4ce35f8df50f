/*
 * What the clients and the back end of the soak test say to each other inside a connection, any number of times:
 *
 *     request   "SOAK", flags 4, up 4, down 4, seed 8; `up` bytes; 32 bytes: their SHA-256
 *     answer    `down` bytes; 32 bytes: SHA-256 over the digest of the request's bytes and these
 *
 * Numbers are big-endian. The back end begins to answer as soon as it has the head, so that both directions are full at
 * once; its digest proves that every byte of both arrived, in order and of this connection.
 */
#ifndef SOAK_FRAME_H
#define SOAK_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD 24
#define FRAME_DIGEST 32
#define FRAME_MOST 65536       /* bytes of payload each way */
#define FRAME_CLOSE 1u         /* flag: the back end closes behind its answer */

struct frame {
	uint32_t flags, up, down;
	uint64_t seed;
};

/* A buffer that is filled or emptied bit by bit. */
struct buffer {
	uint8_t *bytes; /* owned; NULL: none */
	size_t at, size;
};

/* Memory for `size` bytes, none of them done yet; false without memory. What was there is freed. */
bool buffer_make(struct buffer *buffer, size_t size);
void buffer_free(struct buffer *buffer);

/* The whole request into `request` (made here). `digest`: of its payload, FRAME_DIGEST bytes. */
bool frame_request(const struct frame *frame, struct buffer *request, uint8_t *digest);

/* The head of a request; false where it is none, or asks for too much. */
bool frame_head(const uint8_t *bytes, struct frame *frame);

/* The answer to it but for its digest, into `answer` (made here, with room for the digest). */
bool frame_answer(const struct frame *frame, struct buffer *answer);

/* The answer's digest: `request` is the digest of the request's payload. */
void frame_seal(const uint8_t *request, const uint8_t *payload, size_t size, uint8_t *digest);

#endif
