/*
 * The connecting side: resolve and connect, offer, obey the answer, notify, handshake, verdict, confirm. Used by
 * ccisslgw for its peers, and by the commands connect and ping. One deadline timer of its own. One thread only.
 */
#ifndef DIAL_H
#define DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel.h"
#include "compiler.h"
#include "config.h"
#include "notifier.h"
#include "params.h"
#include "ratchet.h"
#include "reason.h"
#include "record.h"
#include "target.h"
#include "tlscontext.h"
#include "tlsverdict.h"

struct dial_options {
	struct iocontext *io;
	const struct config_peer *peer;         /* borrowed: addresses, security, retry */
	size_t peer_number;                     /* for tls_client_new */
	struct tls_worker *tls;                 /* borrowed; NULL: no TLS here, only PEER_NONE works */
	struct target_memory *memory;           /* borrowed; may be NULL */
	bool alone;                             /* only address number `address` of the peer is tried */
	size_t address;                         /* number of the address to begin with; 0 at first */
	struct notifiers *notifiers;            /* borrowed; may be NULL */
	struct ratchet *ratchet;                /* borrowed: peers that were secured; NULL: none is known */
	const struct config_timeouts *timeouts; /* borrowed until dial_start returns */
	int confirm;                            /* enum confirm_mode */
	int min_version;                        /* for parameter 7 */
	struct leg *leg;                        /* borrowed; leg_init was called; filled in as the stages pass */
	const char *sysid, *target;             /* of the OFFER; target NULL: none */
	uint32_t maxru;
	uint8_t hops;                           /* of the OFFER */
	uint8_t connection[PARAMS_CONNECTION_SIZE]; /* of the OFFER */
};

/* What came of it. On REASON_NONE `channel` belongs to the owner, and `verdict` is the one to start a relay with (one
 * that accepts also in the clear: the clear was what both sides agreed). */
struct dial_result {
	enum reason reason;
	const char *detail;       /* words, never NULL; borrowed until the return */
	uint16_t refuse_code;     /* with REASON_PEER_REFUSED and its like: the code received; 0: none */
	const char *refuse_text;  /* the peer's words, or ""; unauthenticated unless `secured` */
	struct channel *channel;
	bool secured;
	struct verdict verdict;
	const struct tls_facts *facts; /* NULL in the clear; borrowed until the return */
	uint32_t maxru;           /* agreed */
	size_t address;           /* number in the peer's list */
	uint64_t connect_us;
};

typedef void dial_done(void *owner, const struct dial_result *result);

struct dial;

/* Start. `options` is copied. `done` exactly once, never before the return, unless cancelled; the dial is gone then.
 * An address that cannot be connected, does not answer the OFFER, or answers REFUSE 8 or 9 is followed by the next; a
 * refusal for any other reason, and every fault of TLS, ends the dial. With the peer's `ratchet` an answer in the clear
 * from a peer that was secured before ends it too (REASON_PEER_RATCHETED), and one that is secured now is remembered.
 * NULL without memory. */
struct dial *dial_start(const struct dial_options *options, dial_done *done, void *owner) MUST_CHECK;

/* `done` will not be called; everything is closed. NULL does nothing. */
void dial_cancel(struct dial *dial);

#endif
