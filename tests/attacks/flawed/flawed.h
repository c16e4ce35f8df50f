/*
 * A small gateway that holds, and with --flaw NAME one that does not: what cci-attack must find, each by itself. One
 * thread a connection, loopback only. Its messages and its TLS are those of the attacks, with nothing of the programs.
 */
#ifndef FLAWED_H
#define FLAWED_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "../message.h"

#define DEADLINE_MS 1500 /* each phase; run with --wait 2 */

enum flaw {
	FLAW_NONE,
	/* of the accepting side */
	FLAW_BUFFERED,
	FLAW_RESETS,
	FLAW_CLEAR_FOR_TLS,
	FLAW_TAKES_DATA,
	FLAW_STRIPS,
	FLAW_BELIEVES_INSIDE,
	FLAW_ANY_ALPN,
	FLAW_EITHER_ALPN,
	FLAW_UNCONFIRMED,
	FLAW_RESUMES_UNCONFIRMED,
	FLAW_EARLY_DATA,
	FLAW_ANY_CERTIFICATE,
	FLAW_DIES,
	FLAW_ECHOES_TEXT,
	FLAW_LOOSE_NAMES,
	FLAW_PATIENT,
	FLAW_DRIP,
	FLAW_HOARDS,
	FLAW_SLOPPY,
	FLAW_ENDLESS_PING,
	FLAW_CUTS_REST,
	FLAW_OLD_TLS,
	FLAW_RENEGOTIATES,
	/* of the connecting one */
	FLAW_BUFFERED_ANSWER,
	FLAW_TAKES_PEER_DATA,
	FLAW_YIELDS,
	FLAW_BELIEVES_ANSWER,
	FLAW_PASSES_TEXT,
	FLAW_PEER_UNCONFIRMED,
	FLAW_ANY_SERVER,
	FLAW_WAITS_FOR_EVER,
	FLAW_TELLS_NOBODY,
};

/* What all connections share. */
struct site {
	enum flaw flaw;
	SSL_CTX *server, *client; /* client: NULL where there is no peer */
	uint16_t peer;            /* port; 0: the accepting side */
};

/* One side of a connection. */
struct end {
	int fd;
	SSL *ssl;
	int64_t until_ms;    /* the phase's deadline */
	bool renewed;        /* by each byte, which is a flaw */
	uint8_t early[4096]; /* read, and not asked for */
	size_t early_size;
};

int64_t end_now(void);

/* The next phase begins. */
void end_phase(struct end *end, const struct site *site);

/* At most `size` bytes before the deadline; 0: the end, in order; -1: otherwise. */
long end_read(struct end *end, void *bytes, size_t size);
bool end_read_all(struct end *end, void *bytes, size_t size);
bool end_write(struct end *end, const void *bytes, size_t size);

/* The next byte, without taking it; -1: none comes. */
int end_peek(struct end *end);

/* Has the other side ended its direction, with nothing left to read? */
bool end_is_over(struct end *end);

/* The handshake, as far as the deadline allows. */
bool end_handshake(struct end *end);

/* A message; `buffered`: as much as there is, the rest goes to `early`. NULL, or what is wrong with it. `reason`: to
 * refuse with; 0: it is no message. */
const char *end_message(struct end *end, struct message *message, struct reading *reading, bool buffered, int *reason);

/* The verifier of `role` for these messages. */
void end_verifier(struct end *end, const char *role, const struct message *offer, const struct message *answer,
                  struct message *confirm);

/* Send ours and take the other's. `lenient`: any will do. `data`: what comes in place of it is data, and kept. */
bool end_confirm(struct end *end, bool is_server, const struct message *offer, const struct message *answer,
                 bool lenient, bool data);

/* End of writing, then read and drop for a second; or close at once. */
void end_close(struct end *end, bool lingering);

/* One connection of a client: to its target *PING, or to the peer. */
void serve_ping(const struct site *site, int fd);
void serve_onward(const struct site *site, int fd);

#endif
