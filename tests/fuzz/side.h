/*
 * The other end of one of the gateway's connections: a client, a service, or a peer gateway. It speaks the protocol, and TLS by an
 * OpenSSL object on memory; what it says lies in `outbox` until the fuzzer delivers it, whole or in part, and may be changed there.
 * Keeps what crossed, so that both ends of a session can be compared.
 */
#ifndef FUZZ_SIDE_H
#define FUZZ_SIDE_H

#include <openssl/ssl.h>

#include "certs.h"
#include "letter.h"
#include "world.h"

enum side_kind { SIDE_CLIENT, SIDE_DIRECT, SIDE_RAW, SIDE_SERVICE, SIDE_PEER, SIDE_PEER_DIRECT };

enum side_phase {
	PHASE_MESSAGE,   /* waiting for a message in the clear: the answer, or (a peer) the OFFER */
	PHASE_HANDSHAKE,
	PHASE_INSIDE,    /* waiting for a message inside TLS: CONFIRM, the answer, or the OFFER */
	PHASE_OPEN,      /* payload may flow */
	PHASE_OVER,      /* refused, broken */
};

enum side_confirm { CONFIRM_RIGHT, CONFIRM_WRONG, CONFIRM_OTHER, CONFIRM_REFUSE, CONFIRM_NONE, CONFIRM_CUT, CONFIRMS };
enum side_alpn { ALPN_RIGHT, ALPN_SWAPPED, ALPN_NONE, ALPN_STRANGE, ALPN_BOTH, ALPNS };

/* How it behaves. All zero: as it should. */
struct side_manners {
	enum cert cert;
	enum side_confirm confirm;
	enum side_alpn alpn;
	bool old_tls;       /* 1.2 at most */
	bool eager;         /* payload right behind its last message, and clear bytes behind the first */
	uint8_t answer;     /* a peer: 0: what was asked for; 1 to 3: ACCEPT 0 to 2; else REFUSE of this minus 3 */
};

struct side {
	enum side_kind kind;
	enum side_phase phase;
	struct side_manners manners;
	struct wire *wire;
	struct letter own;        /* the last one that it sent in the clear, before anybody changed it */
	struct stream outbox;      /* on its way to the gateway */
	bool end_due, end_gone;    /* its direction ends behind that; has ended */
	bool tampered;             /* what it said was changed, cut or added to */
	struct stream delivered;   /* all that the gateway could read */
	size_t prologue;           /* bytes of a PROXY header among them */
	struct stream heard;       /* the message that comes in */
	struct stream answer;      /* the message that came in the clear, as it came */
	/* TLS */
	SSL *ssl;
	SSL_SESSION *resume;       /* a client's; owned, may be NULL */
	BIO *from_gateway, *to_gateway; /* borrowed from ssl */
	bool finished;             /* the handshake */
	bool upgrade;              /* ALPN cci-upgrade/1 was agreed: CONFIRM is due */
	bool confirmed;            /* it has sent the right CONFIRM */
	bool confirm_met;          /* the gateway's was right */
	struct stream plain;       /* all that it wrote inside TLS */
	size_t plain_prologue;     /* bytes of messages among them */
	bool got_end;              /* the gateway ended its direction in order */
	/* What the gateway sent, byte for byte, before anybody changed it (watch.c). */
	struct stream said;        /* its message in the clear, and its PROXY header */
	bool message_whole;
	bool surplus;              /* bytes waited to be read when it began */
	bool records_only;         /* TLS has begun */
	uint8_t record[5];
	size_t record_have, record_left;
	uint64_t payload_got;      /* bytes of the other side's that arrived here */
	unsigned told[8];          /* events of notifiers, by type */
	void *play;                /* the session; NULL: not known yet */
};

/* Ready for `wire`; zeroes the rest. */
void side_open(struct side *side, enum side_kind kind, struct wire *wire);
void side_close(struct side *side);

/* A client begins: with `message` in the clear, or with its ClientHello, and `message` inside TLS. A direct peer waits for the
 * gateway's. */
void side_begin(struct side *side, const struct letter *message);

/* Bytes came from the gateway. */
void side_hear(struct side *side, const uint8_t *bytes, size_t size);
/* All of them have come, and the gateway ended (or has reset) its direction. */
void side_hear_end(struct side *side);

/* Send payload; end its direction in order. Nothing where it is not open. */
void side_send(struct side *side, size_t size);
void side_end(struct side *side);
/* TLS's own: an update of keys, or an alert. */
void side_disturb(struct side *side, bool update);

/* Deliver up to `size` bytes of the outbox, and the end behind them. */
void side_deliver(struct side *side, size_t size);

/* What the gateway may pass on from here: payload delivered in the clear, or written inside TLS. */
const uint8_t *side_payload(const struct side *side, size_t *size);

/* It has sent all, and its direction has ended in order, and the gateway could read it all. */
bool side_ended_cleanly(const struct side *side);

/* Payload arrived at `side` (play.c checks it). */
void play_payload(struct side *side, const uint8_t *bytes, size_t size);

#endif
