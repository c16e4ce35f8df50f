/* What a TLS 1.2 client signs, as short as it can be. */
#ifndef TRANSCRIPT_H
#define TRANSCRIPT_H

#include <stdint.h>
#include <string.h>

#define TRANSCRIPT_MOST 512

struct transcript {
	uint8_t at[TRANSCRIPT_MOST];
	size_t size, starts[16], count; /* of the messages */
};

static inline void transcript_add(struct transcript *transcript, uint8_t type, const void *body, size_t size)
{
	uint8_t *at = transcript->at + transcript->size;

	transcript->starts[transcript->count++] = transcript->size;
	at[0] = type;
	at[1] = at[2] = 0;
	at[3] = (uint8_t)size;
	memcpy(at + 4, body, size);
	transcript->size += 4 + size;
}

/* `status`: with an answer of OCSP, which is not always there. */
static inline void transcript_fill(struct transcript *transcript, int status)
{
	static const uint8_t certificate[] = {0, 0, 5, 0, 0, 2, 0x30, 0}, answer[] = {1, 0, 0, 2, 0x30, 0};
	static const uint8_t request[] = {1, 64, 0, 2, 4, 3, 0, 4, 0, 2, 0x30, 0};
	uint8_t client[50] = {3, 3}, server[50] = {3, 3}, exchange[44] = {3, 0, 29, 32}, share[33] = {32};

	memset(transcript, 0, sizeof(*transcript));
	memcpy(client + 35, (const uint8_t[]){0, 2, 0xc0, 0x2f, 1, 0, 0, 6, 0, 10, 0, 2, 0, 29}, 14);
	memcpy(server + 35, (const uint8_t[]){0xc0, 0x2f, 0, 0, 4, 0, 23, 0, 0}, 9);
	memcpy(exchange + 36, (const uint8_t[]){4, 3, 0, 4, 1, 2, 3, 4}, 8);
	transcript_add(transcript, 1, client, 49);
	transcript_add(transcript, 2, server, 44);
	transcript_add(transcript, 11, certificate, sizeof(certificate));
	if (status)
		transcript_add(transcript, 22, answer, sizeof(answer));
	transcript_add(transcript, 12, exchange, sizeof(exchange));
	transcript_add(transcript, 13, request, sizeof(request));
	transcript_add(transcript, 14, "", 0);
	transcript_add(transcript, 11, certificate, sizeof(certificate));
	transcript_add(transcript, 16, share, sizeof(share));
}

#endif
