/* Messages of the exchange as docs/protocol.md has them, made and read by other code than the gateway's. */
#ifndef FUZZ_LETTER_H
#define FUZZ_LETTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LETTER_HEADER 16
#define LETTER_MOST 4096

enum { LETTER_OFFER = 1, LETTER_ACCEPT, LETTER_REFUSE, LETTER_CONFIRM };
enum { ID_SECURITY = 1, ID_SYSID, ID_TARGET, ID_AGENT, ID_TEXT, ID_VERIFIER, ID_TLS, ID_CONNECTION, ID_HOPS };

struct letter {
	size_t size;
	uint8_t bytes[LETTER_MOST];
};

void letter_begin(struct letter *letter, uint8_t type, uint16_t reason, uint32_t maxru);
void letter_add(struct letter *letter, uint16_t id, const void *value, size_t size);
void letter_add_text(struct letter *letter, uint16_t id, const char *text);

/* The length that a header of at least 16 bytes says; 0: not one of ours. */
size_t letter_length(const uint8_t *bytes, size_t have);

/* A parameter of a whole message; NULL: not there. */
const uint8_t *letter_find(const uint8_t *bytes, size_t size, uint16_t id, size_t *length);

/* Parameter 1; -1: not there. */
int letter_security(const uint8_t *bytes, size_t size);

#endif
