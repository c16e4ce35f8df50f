/*
 * The codec of the parameter exchange: every byte on the wire, in one file, pure (protocol, section 1). A site that
 * knows another dialect changes this module and nothing else. Knows no socket, no policy.
 */
#ifndef PARAMS_H
#define PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "text.h"

#define PARAMS_HEADER_SIZE 16
#define PARAMS_MESSAGE_SIZE 4096 /* the longest message */
#define PARAMS_MAXRU_LEAST 256
#define PARAMS_MAXRU_MOST 1048576
#define PARAMS_CONNECTION_SIZE 16
#define PARAMS_VERIFIER_SIZE 32
#define PARAMS_HOPS_START 7 /* offered onward where none came (parameter 9) */
#define PARAMS_PING "*PING"

enum params_type { PARAMS_OFFER = 1, PARAMS_ACCEPT = 2, PARAMS_REFUSE = 3, PARAMS_CONFIRM = 4 };

enum params_cpu { PARAMS_UTF8 = 1, PARAMS_EBCDIC = 2 };

/* Parameter 1 in an OFFER (section 2). */
enum params_security { SECURITY_NONE, SECURITY_OFF, SECURITY_ON, SECURITY_REQUIRED, SECURITY_INSIDE };

/* Parameter 1 in an ACCEPT (section 3). */
enum params_answer { ANSWER_CLEAR, ANSWER_TLS, ANSWER_INSIDE };

/* A message, decoded. Text is UTF-8, terminated; an empty string is an absent parameter. */
struct params {
	enum params_type type;
	enum params_cpu cpu;
	uint16_t reason;  /* REFUSE only: 1 to 65535 */
	uint32_t maxru;   /* bytes; 0 in REFUSE and CONFIRM */
	uint8_t security; /* enum params_security in an OFFER, enum params_answer in an ACCEPT */
	bool has_tls, has_connection, has_hops;
	uint16_t tls_lowest, tls_highest; /* 0x0303, 0x0304 */
	uint8_t hops;
	uint8_t connection[PARAMS_CONNECTION_SIZE];
	uint8_t verifier[PARAMS_VERIFIER_SIZE];
	char sysid[NAME_MAX_CHARS + 1];
	char target[NAME_MAX_CHARS + 1];
	char agent[4 * 64 + 1];
	char text[4 * 255 + 1];
};

enum params_result {
	PARAMS_OK,
	PARAMS_MORE,        /* so far nothing is wrong, and more bytes are needed */
	PARAMS_BAD,         /* answered with REFUSE 1 */
	PARAMS_BAD_VERSION, /* answered with REFUSE 2 */
	PARAMS_NOT_CCI,     /* wrong magic: closed without an answer */
};

/* Look at the first `have` (1 to 16) bytes of a message, so that a stranger is recognised at the first byte that
 * differs. PARAMS_OK once all 16 are there and right; *length is then the length of the whole message, 16 to 4096.
 * `what` (not NULL) is set to a static text that names the fault. */
enum params_result params_header(const uint8_t *bytes, size_t have, size_t *length, const char **what) MUST_CHECK;

/* Decode one whole message of exactly `size` bytes. PARAMS_OK and *params filled; or the fault, with `what`. The
 * cpu field of *params is set where the header was readable, so that a REFUSE can answer in kind. */
enum params_result params_decode(const uint8_t *bytes, size_t size, struct params *params, const char **what)
    MUST_CHECK;

/* Encode into `bytes` of PARAMS_MESSAGE_SIZE. Returns the length, or 0 when *params breaks the protocol (a
 * programming error, except for texts that come from a user: check these with name_valid first). A text parameter
 * (5) that is too long is cut. What code page 1047 does not have becomes '?'. */
size_t params_encode(const struct params *params, uint8_t *bytes) MUST_CHECK;

/* "OFFER" ...; never NULL. */
const char *params_type_word(enum params_type type);
/* "none", "off", "on", "required", "inside"; never NULL. */
const char *params_security_word(enum params_security security);
/* "clear", "tls", "inside"; never NULL. */
const char *params_answer_word(enum params_answer answer);

#endif
