/* Messages of the exchange. */
#include "letter.h"

#include <string.h>

static void put16(uint8_t *at, unsigned number)
{
	at[0] = (uint8_t)(number >> 8);
	at[1] = (uint8_t)number;
}

static unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

void letter_begin(struct letter *letter, uint8_t type, uint16_t reason, uint32_t maxru)
{
	uint8_t *header = letter->bytes;

	memset(header, 0, LETTER_HEADER);
	memcpy(header, "CCIP", 4);
	header[4] = 1;
	header[5] = type;
	header[6] = 1;
	put16(header + 8, LETTER_HEADER);
	put16(header + 10, reason);
	put16(header + 12, maxru >> 16);
	put16(header + 14, maxru & 0xffff);
	letter->size = LETTER_HEADER;
}

void letter_add(struct letter *letter, uint16_t id, const void *value, size_t size)
{
	uint8_t *at = letter->bytes + letter->size;

	if (letter->size + 4 + size > LETTER_MOST)
		return;
	put16(at, id);
	put16(at + 2, (unsigned)size);
	memcpy(at + 4, value, size);
	letter->size += 4 + size;
	put16(letter->bytes + 8, (unsigned)letter->size);
}

void letter_add_text(struct letter *letter, uint16_t id, const char *text)
{
	letter_add(letter, id, text, strlen(text));
}

size_t letter_length(const uint8_t *bytes, size_t have)
{
	unsigned length;

	if (have < LETTER_HEADER || memcmp(bytes, "CCIP", 4) != 0)
		return 0;
	length = get16(bytes + 8);
	return length >= LETTER_HEADER && length <= LETTER_MOST ? length : 0;
}

const uint8_t *letter_find(const uint8_t *bytes, size_t size, uint16_t id, size_t *length)
{
	size_t at = LETTER_HEADER;

	while (at + 4 <= size) {
		*length = get16(bytes + at + 2);
		if (at + 4 + *length > size)
			return NULL;
		if (get16(bytes + at) == id)
			return bytes + at + 4;
		at += 4 + *length;
	}
	return NULL;
}

int letter_security(const uint8_t *bytes, size_t size)
{
	size_t length;
	const uint8_t *value = letter_find(bytes, size, ID_SECURITY, &length);

	return value != NULL && length == 1 ? *value : -1;
}
