/* The table of end reasons, looked up. */
#include "reason.h"

#include <stddef.h>

static const struct row {
	const char *word;
	uint16_t code;
	enum message message;
} table[] = {
#define REASON(name, word, code, message) {word, code, MESSAGE_##message},
    REASON_TABLE(REASON)
#undef REASON
};

/* Codes 1 to 14 of the protocol, section 5. */
#define CODES 14

const char *reason_word(enum reason reason)
{
	return table[reason].word;
}

uint16_t reason_code(enum reason reason)
{
	return table[reason].code;
}

enum reason reason_from_code(uint16_t code)
{
	/* Several reasons are said by code 6; the first row of a code is the one that it means. */
	for (size_t i = 0; code >= 1 && code <= CODES && i < REASON_COUNT; i++)
		if (table[i].code == code)
			return (enum reason)i;
	return REASON_PEER_REFUSED;
}

enum message reason_message(enum reason reason)
{
	return table[reason].message;
}

const char *reason_text(enum reason reason)
{
	const char *text = message_text(table[reason].message);

	/* The message says "refused: why"; in a REFUSE the first half is said already. */
	for (const char *at = text; *at != '\0' && *at != ' '; at++)
		if (at[0] == ':' && at[1] == ' ')
			return at + 2;
	return text;
}
