/*
 * A look at the sessions of one worker while they run: copies of what is known of them, a slice at a time, so that a
 * worker with very many is never held up. For the worker's own thread.
 */
#ifndef SESSION_VIEW_H
#define SESSION_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "compiler.h"
#include "params.h"
#include "reason.h"
#include "session.h"
#include "text.h"

/* What is known of one. Texts are terminated; "" where they are not known. Words are static; NULL where not known. What
 * a peer said is hostile. */
struct session_view {
	uint64_t serial; /* rises with each session of a worker */
	uint8_t id[PARAMS_CONNECTION_SIZE];
	union socket_address from;
	char listener[NAME_MAX_CHARS + 1], rule[NAME_MAX_CHARS + 1];
	unsigned rule_line;
	char sysid[NAME_MAX_CHARS + 1], target[NAME_MAX_CHARS + 1], agent[4 * NAME_MAX_CHARS + 1];
	const char *stage; /* proxy, offer, handshake, inside-offer, confirm, connect, relay */
	const char *asked, *outcome, *policy;
	bool secured, direct, confirmed;
	uint64_t secured_us; /* UTC since 1970 */
	char tls_version[8], tls_suite[48], tls_alpn[24];
	const char *to_kind; /* service, peer, ping */
	char to[NAME_MAX_CHARS + 1];
	bool to_connected, to_secured;
	union socket_address to_address;
	uint64_t up, down;   /* bytes relayed so far */
	uint64_t started_us; /* UTC since 1970 */
};

/* The sessions whose serial is lower than `before` (UINT64_MAX at first), newest first, at most `most`. Those that have
 * ended and only linger are left out. Returns how many; the next slice begins before the serial of the last one. */
size_t session_view_slice(struct session_host *host, uint64_t before, struct session_view *views,
                          size_t most) MUST_CHECK;

/* End the session with this id for `reason`. False: there is none. */
bool session_view_end(struct session_host *host, const uint8_t *id, enum reason reason, const char *detail) MUST_CHECK;

#endif
