/*
 * The load of the soak test: what a lane is (one process that drives one gateway), what it counts, and its connections.
 *
 * A connection (link) is made in one of several ways, carries one request and its answer (frame.h), and ends in order;
 * or it is broken off on purpose. Idle ones stay, and carry a small request now and then. Everything that should not be
 * is a loss, said on standard error and counted: the test fails with the first.
 */
#ifndef SOAK_H
#define SOAK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "histogram.h"

/* KIND(name, word): what a connection is; the word stands in the ledger and in the figures. */
#define KIND_TABLE(KIND)                                                                                              \
	KIND(UPGRADE, "upgrade")             /* OFFER, TLS 1.3, CONFIRM */                                                \
	KIND(UPGRADE_12, "upgrade-1.2")      /* the same by TLS 1.2 */                                                    \
	KIND(RESUMED, "resumed")             /* the same, offering a session */                                           \
	KIND(DIRECT, "direct")               /* TLS from the first byte */                                                \
	KIND(CLEAR, "clear")                 /* a name that may come in the clear */                                      \
	KIND(REFUSED, "refused")             /* one that may not */                                                       \
	KIND(LEFT_AFTER_ACCEPT, "left-after-accept")                                                                      \
	KIND(LEFT_AFTER_HELLO, "left-after-hello")                                                                        \
	KIND(LEFT_UNCONFIRMED, "left-unconfirmed")                                                                        \
	KIND(LEFT_IN_TRANSFER, "left-in-transfer")                                                                        \
	KIND(LEFT_IN_OFFER, "left-in-offer") /* no id was said: it is counted only */                                     \
	KIND(NOISE, "noise")                 /* a scanner; the same */

enum kind {
#define KIND(name, word) KIND_##name,
	KIND_TABLE(KIND)
#undef KIND
	    KIND_COUNT
};

/* The word of a kind. Never NULL. */
const char *kind_word(enum kind kind);

/* Did its whole OFFER reach the gateway, so that the record has its id? */
bool kind_has_id(enum kind kind);

enum phase { PHASE_RAMP, PHASE_RAMPED, PHASE_STEADY, PHASE_LAST, PHASE_CLOSING, PHASE_OVER };

/* Shared with the process that started the lanes; written by the lane alone, but for `go`. */
struct lane_counts {
	volatile enum phase phase;
	volatile bool go;            /* by the parent: every lane has ramped */
	uint64_t idle;               /* open now */
	uint64_t connected;          /* TCP connections that came about */
	uint64_t kinds[KIND_COUNT];  /* over, as they should */
	uint64_t due, late;          /* new ones whose time came in the steady phase, and that were never begun */
	uint64_t pings, lost, resumed, resumption_denied, certificates;
	struct histogram agreed, answered, pinged;
};

struct lane_settings {
	int port;                 /* of the gateway, on 127.0.0.1 */
	unsigned number;          /* sources are 127.(number + 1).0.x */
	uint64_t idle;            /* connections to hold */
	double rate;              /* new ones a second; 0: a fixed number at work at any time, `steady` in all */
	unsigned ramp_s, steady, ping_s; /* most for the ramp; seconds of the steady phase; each idle one is pinged so often */
	uint64_t certificates;    /* that have to be seen before the end */
	uint32_t run;             /* stands in every connection id */
	const char *ca;
	const char *ledger;       /* written at the end: a line for each connection with an id */
};

/* Run the whole lane; the exit status. */
int lane_run(const struct lane_settings *settings, struct lane_counts *counts);

/* --- connections --- */

struct link;

/* What the links of a lane have in common. */
struct link_host {
	struct lane_counts *counts;
	SSL_CTX *context;   /* verifies, keeps sessions */
	int poll;           /* an epoll descriptor; its data is the link */
	int port;
	unsigned number;
	uint32_t run;
	void (*over)(struct link_host *host, struct link *link); /* the link is done or lost; it is freed after the return */
	void (*rests)(struct link_host *host, struct link *link); /* an idle one is agreed, or was answered */
	void *owner;
};

struct link {
	struct link_host *host;
	struct link *before, *after; /* of those at work, the oldest first: the lane's */
	uint64_t due_us, begun_us;   /* monotonic; when it should have begun, and did */
	uint64_t sequence;
	enum kind kind;
	bool idle, lost, said;       /* to be held; gone wrong; its OFFER was sent whole */
	uint32_t up, down;           /* bytes carried, as the gateway counts them */
	struct link_work *work;      /* what is only needed while it does something */
	SSL *ssl;
	int fd;
};

uint64_t soak_now_us(void);

/* The context of a lane, with a pool of sessions that the links share; NULL after a line on standard error. */
SSL_CTX *link_context(const char *ca);

/* Begin a connection, for `frame`; idle ones rest afterwards. NULL where not even a socket can be made. */
struct link *link_open(struct link_host *host, enum kind kind, bool idle, uint64_t sequence, uint64_t due_us,
                       const struct frame *frame);

/* Go on as far as the socket lets it. The link may be gone afterwards. */
void link_work(struct link *link);

/* A resting link: another request, or its end in order. */
void link_ping(struct link *link, const struct frame *frame);
void link_close(struct link *link);

/* Give up, with a line on standard error that says why. The link is gone afterwards. */
void link_lose(struct link *link, const char *why);

#endif
