/*
 * Why a session ended: one table of reasons with the stable word that records carry, the code that a REFUSE of it
 * carries, the message under which the closing record is logged. Code, documents and tests walk this table.
 */
#ifndef REASON_H
#define REASON_H

#include <stdint.h>

#include "messages.h"

/* REASON(name, word, code of the REFUSE or 0 where none can be said, message of the closing record) */
#define REASON_TABLE(REASON)                                                                                          \
	REASON(NONE, "none", 0, ENDED)                                                                                    \
	REASON(ENDED, "ended", 0, ENDED)                                                                                  \
	REASON(BAD_MESSAGE, "bad-message", 1, END_BAD_MESSAGE)                                                            \
	REASON(BAD_VERSION, "bad-version", 2, END_BAD_VERSION)                                                            \
	REASON(SECURITY_REQUIRED, "security-required", 3, END_SECURITY_REQUIRED)                                          \
	REASON(SECURITY_NOT_OFFERED, "security-not-offered", 4, END_SECURITY_NOT_OFFERED)                                 \
	REASON(TARGET_UNKNOWN, "target-unknown", 5, END_TARGET_UNKNOWN)                                                   \
	REASON(TARGET_UNREACHABLE, "target-unreachable", 6, END_TARGET_UNREACHABLE)                                       \
	REASON(NOT_PERMITTED, "not-permitted", 7, END_NOT_PERMITTED)                                                      \
	REASON(BUSY, "busy", 8, END_BUSY)                                                                                 \
	REASON(SHUTTING_DOWN, "shutting-down", 9, END_SHUTTING_DOWN)                                                      \
	REASON(DATA_BEFORE_ANSWER, "data-before-answer", 10, END_DATA_BEFORE_ANSWER)                                      \
	REASON(EXCHANGE_TIMEOUT, "exchange-timeout", 11, END_EXCHANGE_TIMEOUT)                                            \
	REASON(RATCHETED, "ratcheted", 12, END_RATCHETED)                                                                 \
	REASON(ALTERED, "altered", 13, END_ALTERED)                                                                       \
	REASON(NO_TLS_VERSION, "no-tls-version", 14, END_NO_TLS_VERSION)                                                  \
	REASON(NOT_CCI, "not-cci", 0, END_NOT_CCI)                                                                        \
	REASON(CLOSED_EARLY, "closed-early", 0, END_CLOSED_EARLY)                                                         \
	REASON(DIRECT_NOT_PERMITTED, "direct-not-permitted", 0, END_DIRECT_NOT_PERMITTED)                                 \
	REASON(HANDSHAKE_TIMEOUT, "handshake-timeout", 0, END_HANDSHAKE_TIMEOUT)                                          \
	REASON(HANDSHAKE_FAILED, "handshake-failed", 0, END_HANDSHAKE_FAILED)                                             \
	REASON(ALPN_MISMATCH, "alpn-mismatch", 0, END_ALPN_MISMATCH)                                                      \
	REASON(PEER_CERTIFICATE_MISSING, "peer-certificate-missing", 0, END_PEER_CERTIFICATE_MISSING)                     \
	REASON(PEER_CERTIFICATE_UNTRUSTED, "peer-certificate-untrusted", 0, END_PEER_CERTIFICATE_UNTRUSTED)               \
	REASON(PEER_NAME_MISMATCH, "peer-name-mismatch", 0, END_PEER_NAME_MISMATCH)                                       \
	REASON(CONFIRM_TIMEOUT, "confirm-timeout", 0, END_CONFIRM_TIMEOUT)                                                \
	REASON(CONFIRM_MISSING, "confirm-missing", 0, END_CONFIRM_MISSING)                                                \
	REASON(NOTIFIER_REFUSED, "notifier-refused", 0, END_NOTIFIER_REFUSED)                                             \
	REASON(CONNECT_TIMEOUT, "connect-timeout", 6, END_CONNECT_TIMEOUT)                                                \
	REASON(CONNECT_REFUSED, "connect-refused", 6, END_CONNECT_REFUSED)                                                \
	REASON(NAME_NOT_FOUND, "name-not-found", 6, END_NAME_NOT_FOUND)                                                   \
	REASON(PEER_REFUSED, "peer-refused", 6, END_PEER_REFUSED)                                                         \
	REASON(PEER_BROKE_OFFER, "peer-broke-offer", 6, END_PEER_BROKE_OFFER)                                             \
	REASON(PEER_RATCHETED, "peer-ratcheted", 6, END_PEER_RATCHETED)                                                   \
	REASON(HOPS_EXHAUSTED, "hops-exhausted", 6, END_HOPS_EXHAUSTED)                                                   \
	REASON(TRUNCATED, "truncated", 0, END_TRUNCATED)                                                                  \
	REASON(RESET, "reset", 0, END_RESET)                                                                              \
	REASON(TLS_ERROR, "tls-error", 0, END_TLS_ERROR)                                                                  \
	REASON(IDLE, "idle", 0, END_IDLE)                                                                                 \
	REASON(IDLE_UP, "idle-up", 0, END_IDLE_UP)                                                                        \
	REASON(IDLE_DOWN, "idle-down", 0, END_IDLE_DOWN)                                                                  \
	REASON(LIFETIME, "lifetime", 0, END_LIFETIME)                                                                     \
	REASON(DRAIN_EXPIRED, "drain-expired", 0, END_DRAIN_EXPIRED)                                                      \
	REASON(NO_MEMORY, "no-memory", 8, END_NO_MEMORY)                                                                  \
	REASON(OPERATOR, "operator", 0, END_OPERATOR)                                                                     \
	REASON(PROXY_HEADER, "proxy-header", 0, END_PROXY_HEADER)                                                         \
	REASON(PROXY_MISSING, "proxy-missing", 0, END_PROXY_MISSING)                                                      \
	REASON(DISCONNECTED, "disconnected", 6, END_DISCONNECTED)                                                         \
	REASON(PEER_DOWN, "peer-down", 6, END_PEER_DOWN)                                                                  \
	REASON(INTERNAL, "internal", 0, END_INTERNAL)

enum reason {
#define REASON(name, word, code, message) REASON_##name,
	REASON_TABLE(REASON)
#undef REASON
	    REASON_COUNT
};

/* The stable word of a reason, for records and scripts. Never NULL. */
const char *reason_word(enum reason reason);

/* The code that a REFUSE for this reason carries (protocol, section 5); 0: no REFUSE is sent for it. */
uint16_t reason_code(enum reason reason);

/* The reason that a REFUSE with this code names; REASON_PEER_REFUSED for a code this version does not know. */
enum reason reason_from_code(uint16_t code);

/* The message under which the closing record of a session that ended so is logged. */
enum message reason_message(enum reason reason);

/* The words for a human: what happened, in one clause. Never NULL. */
const char *reason_text(enum reason reason);

#endif
