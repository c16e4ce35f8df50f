/*
 * Sends and receives the messages of the exchange over a channel, clear or TLS: exact reads, never one byte past a
 * message; leftover bytes are looked for before an answer. Both sides. Knows the codec, not the policy; has no timer:
 * its owner keeps the deadline, which a drip of bytes does not move. One thread only.
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel.h"
#include "compiler.h"
#include "params.h"
#include "reason.h"
#include "trace.h"

struct exchange;

/* A receive ended. REASON_NONE: exchange_received has the message. REASON_BAD_MESSAGE, _BAD_VERSION, _NOT_CCI,
 * _CLOSED_EARLY, _RESET, _TRUNCATED, _TLS_ERROR otherwise, with exchange_detail. */
typedef void exchange_done(void *owner, enum reason reason);

/* On `channel` (borrowed; its watcher while a receive runs). NULL without memory. */
struct exchange *exchange_new(struct channel *channel, exchange_done *done, void *owner) MUST_CHECK;

/* Messages are shown to those who trace `subject` (borrowed; may be NULL). Without this call to nobody. */
void exchange_trace(struct exchange *exchange, const struct trace_subject *subject, enum trace_side side);

/* Cancels what runs; wipes. NULL does nothing. */
void exchange_free(struct exchange *exchange);

/* Who hears of the next receive (the owner stays). */
void exchange_expect(struct exchange *exchange, exchange_done *done);

/* Receive one message. Where `detect_tls`, a first byte 0x16 ends it with REASON_NONE, exchange_is_tls true, and not
 * one byte taken (protocol, section 6). `done` is called exactly once, never before the return. */
void exchange_receive(struct exchange *exchange, bool detect_tls);

bool exchange_is_tls(const struct exchange *exchange);
const struct params *exchange_received(const struct exchange *exchange);
const char *exchange_detail(const struct exchange *exchange); /* never NULL */

/* Has anything at all been received (to tell a silent peer from a slow one)? */
bool exchange_has_bytes(const struct exchange *exchange);

/* Clear only: has the peer sent a byte more than the message received (also in the kernel)? (protocol, section 2) */
bool exchange_has_leftover(struct exchange *exchange);

/* Encode and write one message. REASON_NONE, or _RESET, _TLS_ERROR, _INTERNAL. */
enum reason exchange_send(struct exchange *exchange, const struct params *message) MUST_CHECK;

/* SHA-256(OFFER || ACCEPT) as sent and received so far (section 4), into 32 bytes. 0 or -1. */
int exchange_digest(const struct exchange *exchange, uint8_t *digest) MUST_CHECK;

#endif
