/*
 * An accepting side for tests of the connecting one: a thread that follows a plan, on the independent peer of the
 * scenarios. It can break every rule of the protocol at every place.
 */
#ifndef TEST_ACCEPTOR_H
#define TEST_ACCEPTOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is done once the answer, or its first `cut` bytes, has been sent. */
enum plan_then { THEN_GO_ON, THEN_CLOSE, THEN_RESET, THEN_SILENT };

enum plan_certificate { CERTIFICATE_RIGHT, CERTIFICATE_WRONG_NAME, CERTIFICATE_UNTRUSTED };

enum plan_confirm {
	WITH_CONFIRM,
	WITH_WRONG_VERIFIER,
	WITH_ALTERED_ACCEPT, /* the digest is of another ACCEPT than the one that was sent */
	WITH_OWN_REFLECTED,  /* what was received is sent back */
	WITH_SILENCE,
	WITH_END,
	WITH_REFUSE_13,
	WITH_REFUSE_7,
	WITH_OFFER,
	WITH_GARBAGE,
	WITH_NOTHING, /* the payload starts at once */
};

struct plan {
	int type;          /* of the answer; 0: ACCEPT; -1: none is sent, `then` follows the OFFER */
	int answer;        /* its security */
	unsigned reason;   /* of a REFUSE */
	const char *text;  /* of a REFUSE */
	unsigned maxru;    /* 0: 4096 */
	unsigned drip_ms;  /* not 0: a byte each time */
	size_t cut;        /* send only so many bytes of the answer; 0: all */
	const char *raw;   /* instead of the answer */
	const char *extra; /* clear bytes right behind the answer */
	enum plan_then then;
	bool direct;         /* TLS from the first byte */
	bool mute_handshake; /* take the ClientHello and say nothing */
	enum plan_certificate certificate;
	const char *alpn; /* NULL: the right one; "": none */
	enum plan_confirm confirm;
};

struct acceptor {
	int port;
	const struct plan *plans; /* for the first, second, ... connection; the last one goes on */
	size_t plan_count;
	int listening;
	pthread_t thread;
	atomic_size_t connections;
	/* What the last connection brought; to be read after acceptor_stop. */
	uint8_t offer[4096];
	int offer_size;
	int seen_type, seen_reason; /* of the message after the peer's CONFIRM */
	bool seen_clear;            /* the byte after the answer was no TLS record */
};

/* Files made for one run of a test program. */
struct certificates {
	char folder[32];
	char ca[48]; /* right and wrong_name are in it, untrusted is not */
	char certificate[3][48], key[3][48];
};

void certificates_make(struct certificates *certificates);
void certificates_remove(struct certificates *certificates);

/* Listen on a free port of 127.0.0.1 and serve in a thread, one connection after the other. */
void acceptor_start(struct acceptor *acceptor, const struct certificates *certificates, const struct plan *plans,
                    size_t plan_count);
void acceptor_stop(struct acceptor *acceptor);

#endif
