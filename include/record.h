/*
 * What is known of a connection, filled in by the stages as they pass: a leg for each descriptor, and the record that
 * a session writes once, at its end. Turns a leg into notifier events. Decides nothing.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "cci/notifier.h"
#include "channel.h"
#include "compiler.h"
#include "notifier.h"
#include "params.h"
#include "reason.h"
#include "tlsverdict.h"
#include "trace.h"

#define CONNECTION_TEXT_SIZE (2 * PARAMS_CONNECTION_SIZE + 1)

/* One descriptor of a session. Borrowed pointers live as long as the snapshot of the session. */
struct leg {
	enum cci_role role;
	struct channel *channel;            /* borrowed; NULL before and after */
	union socket_address remote, local; /* or what a PROXY header said that they are */
	union socket_address *via;          /* owned: the balancer that sent the header; NULL: none */
	const char *gateway;                /* our CCI name; borrowed */
	const char *listener;               /* or the name of the peer; borrowed; never NULL once set up */
	const char *rule;                   /* borrowed; NULL: the listener's own setting */
	const char *policy;                 /* borrowed word; the policy, or (connecting) the security offered */
	const uint8_t *connection;          /* PARAMS_CONNECTION_SIZE bytes, the session's id; borrowed */
	char sysid[NAME_MAX_CHARS + 1];     /* the peer's */
	char target[NAME_MAX_CHARS + 1];
	char *agent; /* owned; NULL: not said */
	bool secured, direct, confirmed;
	bool has_peer_connection;
	uint8_t peer_connection[PARAMS_CONNECTION_SIZE]; /* the id that the peer records it under */
	uint64_t started_us;                             /* of the session; UTC since 1970 */
	uint64_t exchange_us, handshake_us;              /* how long these stages took */
	uint64_t handshake_at_us;                        /* when the handshake started; UTC since 1970; 0: never */
	uint64_t secured_at_us;                          /* when it was done; the same */
	const struct tls_facts *facts; /* borrowed, of a secured leg, while its end is told; NULL at any other time */
	const struct trace_subject *trace; /* borrowed, for traces of the session; NULL: nobody can trace it */
};

/* Which side of the session it is. */
enum trace_side leg_side(const struct leg *leg);

/* Zero and set what every leg has. */
void leg_init(struct leg *leg, enum cci_role role, const char *gateway, const uint8_t *connection);

/* Take the descriptor's addresses from the kernel; `remote` where it is known already, or NULL. */
void leg_attach(struct leg *leg, struct channel *channel, const union socket_address *remote);

/* Note what the peer said of itself: sysid, target, agent, connection id. REASON_NONE or _NO_MEMORY. */
enum reason leg_learn(struct leg *leg, const struct params *message) MUST_CHECK;

/* Release what the leg owns. */
void leg_close(struct leg *leg);

/* All that went in the clear on this leg; the counts stand still once it is TLS. */
void leg_clear_bytes(const struct leg *leg, uint64_t *in, uint64_t *out);

/* What an event may carry beside the leg; zeroed where it does not apply. */
struct leg_news {
	const struct tls_facts *facts;
	enum reason reason;
	const char *detail;
	uint64_t bytes_in, bytes_out, duration_us;
	bool truncated;
	const char *record; /* CCI_RECORD: the line of record_json.h */
};

/* Tell the notifiers. REASON_NONE, _NOTIFIER_REFUSED or _NO_MEMORY; with `wait`, as notifiers_tell says. */
enum reason leg_tell(const struct leg *leg, struct notifiers *notifiers, enum cci_event_type type,
                     const struct leg_news *news, struct notifier_wait *wait) MUST_CHECK;

struct record {
	struct leg front; /* who connected to us */
	struct leg back;  /* service or peer; back.listener NULL: none was connected */
	uint8_t connection[PARAMS_CONNECTION_SIZE];
	const char *asked;         /* borrowed word: the security offered; "raw" without an exchange, "tls" before one */
	const char *outcome;       /* borrowed word: clear, tls, inside, refuse; NULL: never decided */
	const char *audit;         /* borrowed word: the policy on trial; NULL: none */
	const char *audit_outcome; /* borrowed word: what it would have done */
	enum reason audit_reason;  /* why it would have refused */
	const char *never;         /* borrowed word: what the policy `never` would have done; NULL: never decided */
	enum reason never_reason;  /* why it would have refused */
	bool relayed;              /* both sides had agreed: it came to a relay */
	bool ratcheted;            /* the name is held now: it may not come back in the clear */
	const char *service;       /* borrowed: the name of the service or peer; NULL: none */
	const char *service_kind;  /* "service", "peer", "ping" */
	unsigned rule_line;
	enum reason reason; /* the first reason to end */
	bool reason_at_back;
	uint16_t refuse_code;  /* sent, or (connecting) received */
	const char *detail;    /* words to the reason; borrowed until the record is written; NULL: none */
	const char *peer_text; /* the same of a REFUSE from onward: unauthenticated unless back.secured */
	uint64_t up, down;     /* bytes relayed */
	uint64_t started_us;   /* UTC since 1970 */
	uint64_t duration_us, connect_us;
};

/* Write the closing record: one log line under the message of its reason. Call exactly once a session, before its
 * channels are closed. */
void record_write(const struct record *record);

/* The id as text; `text` has CONNECTION_TEXT_SIZE bytes. Returns it. */
const char *connection_text(const uint8_t *connection, char *text);

#endif
