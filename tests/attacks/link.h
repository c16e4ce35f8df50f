/*
 * A connection of the attacker: blocking, with an end to each wait, in the clear or over TLS. What was sent and
 * received as OFFER and answer is kept for CONFIRM. Nothing here gives up the program: each result is the attack's to
 * judge.
 */
#ifndef ATTACKS_LINK_H
#define ATTACKS_LINK_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "message.h"
#include "scene.h"

#define PATIENCE_MS 8000 /* for what an honest gateway does at once */
#define ALPN_UPGRADE "cci-upgrade/1"
#define ALPN_DIRECT "cci/1"

/* What comes instead of bytes or a message. */
enum { GOT_END = 0, GOT_CUT = -1, GOT_NOTHING = -2, GOT_RUBBISH = -3 };

struct link {
	int fd;
	SSL *ssl;
	struct message offer, answer;
	struct reading read; /* the answer */
	const char *wrong;   /* about a message that is GOT_RUBBISH */
};

/* How to start TLS. All zero: as an honest client does, with what the scene has. */
struct tls_wish {
	const char *alpn[3];    /* first NULL: what the way of starting wants; "" alone: none */
	int lowest, highest;    /* versions; 0: the library's */
	SSL_SESSION *session;   /* to resume; not owned */
	bool no_certificate;    /* although the scene has one */
	const char *cert, *key; /* another one */
	bool self_made;         /* one that nobody signed */
};

/* Connect to the gateway. False: it does not take connections. */
bool link_open(struct link *link, const struct scene *scene);

/* Take the next connection of `listening` within PATIENCE_MS. */
bool link_take(struct link *link, int listening);

/* All of it, or false. */
bool link_send(struct link *link, const void *bytes, size_t size);
bool link_send_message(struct link *link, const struct message *message);

/* What there is within `ms`: more than 0 bytes, GOT_END (in order), GOT_CUT (reset, TLS error, truncation) or
 * GOT_NOTHING. */
long link_receive(struct link *link, void *bytes, size_t size, int ms);

/* Exactly one message into `answer` and `read`, not a byte more: its type, or GOT_... */
int link_answer(struct link *link);

/* Send link->offer, and receive the answer. */
int link_exchange(struct link *link);

/* Read and drop until the end: GOT_END, GOT_CUT, or GOT_NOTHING after `ms` without one. `count` (may be NULL): bytes
 * dropped. */
int link_until_end(struct link *link, int ms, size_t *count);

/* TLS as the client (of the clear exchange or direct), or as the server with scene's certificate. False: the handshake
 * failed; link_alert() says how. */
bool link_tls(struct link *link, const struct scene *scene, bool direct, const struct tls_wish *wish);
bool link_tls_server(struct link *link, const struct scene *scene, const struct tls_wish *wish);

/* An honest ClientHello for an upgrade, at most `most` bytes of it: its size. */
size_t link_hello(uint8_t *bytes, size_t most);

/* The alert that the other side sent last on this thread, 0: none. */
int link_alert(void);

/* A CONFIRM for what this link has sent and received as `role` ("client", "server"). */
void link_verifier(struct link *link, const char *role, struct message *confirm);

/* Send ours and check the other's: NULL, or what is wrong. */
const char *link_confirm(struct link *link, const char *role);

/* Close; by a reset where `reset`. Once more does no harm. */
void link_close(struct link *link, bool reset);

/* A message, an end, ... in words. */
const char *got_words(const struct link *link, int got);

#endif
