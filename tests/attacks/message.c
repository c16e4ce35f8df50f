/* Messages, built and read. */
#include "message.h"

#include <stdbool.h>
#include <string.h>

#define MAXRU_LEAST 256ul
#define MAXRU_MOST 1048576ul
#define CRITICAL 0x8000u

static void put16(uint8_t *at, unsigned long value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

void message_begin(struct message *message, int type, unsigned long maxru)
{
	memset(message, 0, sizeof(*message));
	memcpy(message->bytes, "CCIP", 4);
	message->bytes[4] = 1;
	message->bytes[5] = (uint8_t)type;
	message->bytes[6] = 1;
	put16(message->bytes + 12, maxru >> 16);
	put16(message->bytes + 14, maxru & 0xffff);
	message->size = MESSAGE_HEADER;
	put16(message->bytes + 8, message->size);
}

void message_add(struct message *message, unsigned id, const void *value, size_t size)
{
	if (message->size + 4 + size > sizeof(message->bytes))
		return;
	put16(message->bytes + message->size, id);
	put16(message->bytes + message->size + 2, size);
	if (size > 0)
		memcpy(message->bytes + message->size + 4, value, size);
	message->size += 4 + size;
	put16(message->bytes + 8, message->size);
}

void message_offer(struct message *message, int security, const char *sysid, const char *target)
{
	const uint8_t value = (uint8_t)security;

	message_begin(message, OFFER, 4096);
	message_add(message, P_SECURITY, &value, 1);
	message_add(message, P_SYSID, sysid, strlen(sysid));
	if (target != NULL)
		message_add(message, P_TARGET, target, strlen(target));
}

void message_accept(struct message *message, int security, unsigned long maxru)
{
	const uint8_t value = (uint8_t)security;

	message_begin(message, ACCEPT, maxru);
	message_add(message, P_SECURITY, &value, 1);
	message_add(message, P_SYSID, "HOSTILE", 7);
}

void message_refuse(struct message *message, int reason, const char *text)
{
	message_begin(message, REFUSE, 0);
	put16(message->bytes + 10, (unsigned long)reason);
	if (text != NULL)
		message_add(message, P_TEXT, text, strlen(text));
}

size_t message_length(const uint8_t *header)
{
	return get16(header + 8);
}

/* --- read --- */

/* No control characters: in UTF-8 (where two bytes make the upper ones), in EBCDIC. */
static bool printable(const uint8_t *value, size_t size, int cpu)
{
	for (size_t i = 0; i < size; i++)
		if (cpu == 2 ? value[i] < 0x40 || value[i] == 0xff
		             : value[i] < 0x20 || value[i] == 0x7f ||
		                   (value[i] == 0xc2 && i + 1 < size && value[i + 1] >= 0x80 && value[i + 1] < 0xa0))
			return false;
	return true;
}

static const char *take_text(char *to, size_t most, const uint8_t *value, size_t size, int cpu)
{
	if (size < 1 || size >= most)
		return "a text of a size that is not allowed";
	if (!printable(value, size, cpu))
		return "a text that is not printable";
	memcpy(to, value, size);
	to[size] = '\0';
	return NULL;
}

/* A CCI name, or *PING; in EBCDIC it was looked at as a text. */
static bool is_name(const char *text, int cpu, bool may_ping)
{
	if (cpu == 2 || (may_ping && strcmp(text, "*PING") == 0))
		return true;
	return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@#$._-") == strlen(text);
}

static const char *take_name(char *to, const uint8_t *value, size_t size, int cpu, bool may_ping)
{
	const char *wrong = take_text(to, 65, value, size, cpu);

	if (wrong == NULL && (strlen(to) != size || !is_name(to, cpu, may_ping)))
		return "a name that is none";
	return wrong;
}

static const char *take(struct reading *reading, unsigned id, const uint8_t *value, size_t size)
{
	static const unsigned allowed[] = {
	    [OFFER] = 1u << P_SECURITY | 1u << P_SYSID | 1u << P_TARGET | 1u << P_AGENT | 1u << P_TLS | 1u << P_CONNECTION |
	              1u << P_HOPS,
	    [ACCEPT] = 1u << P_SECURITY | 1u << P_SYSID | 1u << P_AGENT | 1u << P_CONNECTION,
	    [REFUSE] = 1u << P_TEXT,
	    [CONFIRM] = 1u << P_VERIFIER,
	};
	static const size_t sizes[] = {
	    [P_SECURITY] = 1, [P_VERIFIER] = VERIFIER_SIZE, [P_TLS] = 4, [P_CONNECTION] = 16, [P_HOPS] = 1};
	char agent[65];

	if (id > P_HOPS && id < CRITICAL)
		return NULL;
	if (id < P_SECURITY || id > P_HOPS)
		return "a parameter that there is not";
	if ((allowed[reading->type] & 1u << id) == 0)
		return "a parameter in a message that it does not belong to";
	if (id < sizeof(sizes) / sizeof(sizes[0]) && sizes[id] != 0 && sizes[id] != size)
		return "a parameter of the wrong size";
	switch (id) {
	case P_SECURITY:
		reading->security = value[0];
		return value[0] > (reading->type == OFFER ? INSIDE : INSIDE_TLS) ? "a security value that there is not" : NULL;
	case P_SYSID:
		return take_name(reading->sysid, value, size, reading->cpu, false);
	case P_TARGET:
		return take_name(reading->target, value, size, reading->cpu, true);
	case P_AGENT:
		return take_text(agent, sizeof(agent), value, size, reading->cpu);
	case P_TEXT:
		return take_text(reading->text, sizeof(reading->text), value, size, reading->cpu);
	case P_VERIFIER:
		memcpy(reading->verifier, value, VERIFIER_SIZE);
		return NULL;
	case P_TLS:
		reading->highest = (unsigned)value[2] << 8 | value[3];
		return NULL;
	case P_HOPS:
		reading->hops = value[0];
		return NULL;
	default:
		return NULL;
	}
}

static const char *read_header(const struct message *message, struct reading *reading)
{
	const uint8_t *bytes = message->bytes;

	if (message->size < MESSAGE_HEADER || memcmp(bytes, "CCIP", 4) != 0)
		return "no message at all";
	if (bytes[4] != 1)
		return "a version other than 1";
	reading->type = bytes[5];
	reading->cpu = bytes[6];
	reading->reason = (int)get16(bytes + 10);
	reading->maxru = (unsigned long)get16(bytes + 12) << 16 | get16(bytes + 14);
	if (reading->type < OFFER || reading->type > CONFIRM)
		return "a type that there is not";
	if (reading->cpu != 1 && reading->cpu != 2)
		return "a cpu that there is not";
	if (bytes[7] != 0)
		return "flags that are not 0";
	if (message_length(bytes) != message->size)
		return "a length that is not the message's";
	if (reading->type == REFUSE ? reading->reason < 1 || reading->reason > REASON_LAST : reading->reason != 0)
		return "a reason that does not fit";
	if (reading->type >= REFUSE ? reading->maxru != 0 : reading->maxru < MAXRU_LEAST || reading->maxru > MAXRU_MOST)
		return "a maxru that does not fit";
	return NULL;
}

const char *message_read(const struct message *message, struct reading *reading)
{
	const char *wrong;
	unsigned there = 0;
	size_t at = MESSAGE_HEADER, size;

	memset(reading, 0, sizeof(*reading));
	reading->security = -1;
	wrong = read_header(message, reading);
	for (; wrong == NULL && at < message->size; at += 4 + size) {
		unsigned id = message->size - at >= 4 ? get16(message->bytes + at) : 0;

		size = message->size - at >= 4 ? get16(message->bytes + at + 2) : MESSAGE_MOST;
		if (size > message->size - at - 4)
			return "a parameter that runs past the message";
		wrong = take(reading, id, message->bytes + at + 4, size);
		if (wrong == NULL && id <= P_HOPS && (there & 1u << id) != 0)
			return "a parameter twice";
		there |= id <= P_HOPS ? 1u << id : 0;
	}
	if (wrong != NULL)
		return wrong;
	if (reading->type <= ACCEPT && (there & (1u << P_SECURITY | 1u << P_SYSID)) != (1u << P_SECURITY | 1u << P_SYSID))
		return "a message without security or sysid";
	return reading->type == CONFIRM && there == 0 ? "a CONFIRM without a verifier" : NULL;
}
