/* What a link needs to take a step: its buffers, its socket in the clear or in TLS, its sessions. Only link.c uses it. */
#ifndef SOAK_LINK_IO_H
#define SOAK_LINK_IO_H

#include "soak.h"

#define LINK_MESSAGE_MOST 512 /* no answer here is longer */

enum step { STEP_CONNECT, STEP_OFFER, STEP_ANSWER, STEP_TLS, STEP_CONFIRM, STEP_TRANSFER, STEP_CLOSE, STEP_END };

enum outcome {
	OUTCOME_DONE,   /* go on with the step that stands in `work` */
	OUTCOME_LATER,  /* wait for the socket */
	OUTCOME_FAILED, /* the connection is not what it should be */
	OUTCOME_WRONG,  /* what came is not what was sent */
	OUTCOME_GONE    /* the link has left: it is freed, or rests */
};

struct link_work {
	enum step step;
	struct frame frame;
	uint8_t digest[FRAME_DIGEST]; /* of the request */
	struct buffer out, in;
	uint64_t pinged_us;           /* 0: it is the first request */
	bool offers_session;
	uint8_t offer[160], accept[LINK_MESSAGE_MOST];
	size_t offer_size, accept_size;
};

/* Copy what is to be sent next; make room for what is to come: `size` bytes, more where it is a message. */
bool link_put(struct link *link, const void *bytes, size_t size);
bool link_expect(struct link *link, size_t size);

/* Send the rest of `out`; receive up to the size of `in`. */
enum outcome link_send(struct link *link);
enum outcome link_receive(struct link *link);

/* TLS on the socket, begun where it has not: with a session where the kind wants one and there is one. */
enum outcome link_handshake(struct link *link);

/* Our CONFIRM as what is to be sent; whether the message in `in` is the right CONFIRM of the server. */
bool link_put_confirm(struct link *link);
bool link_confirmed(struct link *link);

/* DONE: the stream has ended in order. FAILED: otherwise, or with bytes before its end. */
enum outcome link_take_end(struct link *link);

/* Nothing but session tickets came to a link that rests. */
bool link_rests_well(struct link *link);

#endif
