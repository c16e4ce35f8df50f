/*
 * The messages of docs/protocol.md, written down once more for an attacker: built by hand, so that each rule can be
 * broken, and read strictly, so that an answer that breaks one is seen. Shares no code with the programs.
 */
#ifndef ATTACKS_MESSAGE_H
#define ATTACKS_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#define MESSAGE_HEADER 16u
#define MESSAGE_MOST 4096u
#define VERIFIER_SIZE 32u

enum { OFFER = 1, ACCEPT = 2, REFUSE = 3, CONFIRM = 4 };
enum { NONE = 0, OFF = 1, ON = 2, REQUIRED = 3, INSIDE = 4 };
enum { CLEAR = 0, TLS_FOLLOWS = 1, INSIDE_TLS = 2 };
enum { P_SECURITY = 1, P_SYSID, P_TARGET, P_AGENT, P_TEXT, P_VERIFIER, P_TLS, P_CONNECTION, P_HOPS };
enum {
	REASON_BAD = 1,
	REASON_VERSION,
	REASON_NEEDED,
	REASON_NOT_HERE,
	REASON_TARGET,
	REASON_UNREACHABLE,
	REASON_FORBIDDEN,
	REASON_BUSY,
	REASON_STOPPING,
	REASON_EARLY_DATA,
	REASON_LATE,
	REASON_RATCHET,
	REASON_ALTERED,
	REASON_TLS_VERSION,
	REASON_LAST = REASON_TLS_VERSION
};

struct message {
	uint8_t bytes[MESSAGE_MOST + 64]; /* somewhat more than is allowed */
	size_t size;
};

struct reading {
	int type, cpu, reason, security; /* security: -1 where there is none */
	unsigned long maxru;
	char sysid[65], target[65], text[256]; /* "" where there is none */
	uint8_t verifier[VERIFIER_SIZE];
	unsigned highest; /* version of TLS; 0: not said */
	uint8_t hops;
};

/* An empty message of this type, in UTF-8. */
void message_begin(struct message *message, int type, unsigned long maxru);

/* Append a parameter, whatever its size, and correct the length in the header. What does not fit any more is left out.
 */
void message_add(struct message *message, unsigned id, const void *value, size_t size);

/* An OFFER; target NULL: none. */
void message_offer(struct message *message, int security, const char *sysid, const char *target);

/* An ACCEPT. */
void message_accept(struct message *message, int security, unsigned long maxru);

/* A REFUSE; text NULL: none. */
void message_refuse(struct message *message, int reason, const char *text);

/* The length that the header says. */
size_t message_length(const uint8_t *header);

/* Read one by all rules of the protocol, as a peer of the sender has to; names and texts in EBCDIC are left as they
 * are. NULL: there is nothing wrong; otherwise what is. */
const char *message_read(const struct message *message, struct reading *reading);

#endif
