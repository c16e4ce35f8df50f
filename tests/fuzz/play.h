/* One fuzzed session as it may be: what the gateway does is held against it, and what breaks it ends the process. */
#ifndef FUZZ_PLAY_H
#define FUZZ_PLAY_H

#include "cci/notifier.h"
#include "session_stages.h"
#include "side.h"
#include "site.h"

#define PLAYS 3
#define TIME_STEP_MS 1000 /* the most that the clock moves between two turns */
#define BACKS 16

struct play {
	const struct site *site;
	const struct config_listener *listener;
	size_t listener_number;
	struct session *session; /* NULL: it is gone */
	uint8_t connection[PARAMS_CONNECTION_SIZE];
	struct side front;
	struct side *back; /* the last one that it has connected to; NULL: none */
	const struct config_peer *peer;       /* what that was, or NULL */
	const struct config_service *service;
	bool disturbed;    /* the operator, the network or the machine got in the way */
	uint64_t begun_ms, stage_ms;
	enum stage stage;
	unsigned records, told_records; /* written, and told to the notifiers */
	unsigned ends;                  /* CCI_CLOSED and CCI_REFUSED of the front */
	unsigned notifier_fails;        /* bits 1 << type: events that the notifier does not take */
	enum reason reason;             /* of the record, as the next three */
	bool relayed, secured, peer_secured;
	unsigned begun, over;           /* in which order (held.c); 0: it is not over */
	uint64_t up, down;
};

extern struct play plays[PLAYS];
extern size_t play_count;

/* The notifier that all configurations have. */
extern const struct cci_notifier_kind play_notifier;

/* Forget all of the run before. */
void play_reset(void);

/* Start a session on the listener; the client is `play->front`, still without manners. NULL: there are enough. */
struct play *play_start(const struct site *site, size_t listener, enum side_kind kind);

/* A place for the other end of a connection that the gateway makes. NULL: there are enough. */
struct side *play_new_back(enum side_kind kind, struct wire *wire);
size_t play_back_count(void);
struct side *play_back(size_t number);

/* May anything cross to, or from, the client? NULL, or why not (gate.c). */
const char *gate_front(const struct play *play);
/* And the service or peer? */
const char *gate_back(const struct play *play);
/* May the gateway connect onward? */
const char *gate_connect(const struct play *play);
/* Would the session, left alone, come to a relay and end in order? */
bool gate_all_well(const struct play *play);
/* The message that the gateway has got in the clear, and its length; 0: none that is whole. */
size_t gate_delivered(const struct side *side, const uint8_t **bytes);
/* The ACCEPT with this security is one that the policy gives. NULL, or why not. */
const char *gate_answer(const struct play *play, int security);
/* The bytes of a PROXY header at the beginning; 0: it is not whole. */
size_t gate_proxy_header(const uint8_t *bytes, size_t size);

/* The gateway has sent: before anybody can change it (watch.c). */
void watch_sent(struct side *side, const uint8_t *bytes, size_t size);

/* After each turn: stages keep their deadlines. */
void play_check_time(void);

/* When all is over: each session was recorded and told of, once, and truly. */
void play_check_end(const struct play *play);

#endif
