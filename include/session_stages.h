/*
 * What session.c (life and end of a session) and session_stages.c (its stages in their order) share. Nobody else
 * includes it.
 */
#ifndef SESSION_STAGES_H
#define SESSION_STAGES_H

#include <uv.h>

#include "dial.h"
#include "exchange.h"
#include "handshake.h"
#include "linger.h"
#include "policy.h"
#include "proxyin.h"
#include "record.h"
#include "relay.h"
#include "route.h"
#include "session.h"

enum stage {
	STAGE_PROXY,        /* waiting for the PROXY header of a balancer */
	STAGE_OFFER,        /* waiting for the OFFER, or for a ClientHello */
	STAGE_NOTIFY,       /* a notifier has not answered yet (sync = yes) */
	STAGE_HANDSHAKE,
	STAGE_INSIDE_OFFER, /* the OFFER of a direct TLS start */
	STAGE_CONFIRM,
	STAGE_CONNECT,      /* target or dial; they keep their own deadlines */
	STAGE_ANSWER,       /* connected; the rest of ACCEPT waits for the client to take it */
	STAGE_RELAY,
	STAGE_LINGER,       /* ended and recorded; last bytes on their way */
};

struct session {
	struct session_host *host;
	struct session *next, *previous;
	uint64_t serial; /* rises with each session of the worker */
	struct snapshot *snapshot;               /* one reference */
	const struct config_listener *listener;  /* borrowed from the snapshot, as the next three */
	const struct config_service *service;
	const struct config_peer *peer;
	size_t listener_number;
	enum quota_verdict quota;
	struct source_key source;
	enum stage stage;
	bool ended, agreed, raw;
	bool answered; /* the offer; it was counted */
	enum metrics_security security; /* what it is counted as */
	enum metrics_security link;     /* what it is between hosts; UNDECIDED: not agreed */
	bool identity_due; /* the decision was taken again inside TLS */
	uv_timer_t timer;
	struct channel *front, *back; /* owned */
	void (*told)(struct session *session); /* what follows STAGE_NOTIFY */
	/* At most one of these runs at a time. */
	struct notifier_wait notified;
	struct proxyin *proxyin;
	struct exchange *exchange;
	struct handshake *handshake;
	struct target *target;
	struct dial *dial;
	struct relay *relay;
	struct target_place place; /* where `back` counts */
	struct lingering *linger;
	struct params *offer; /* owned; until the relay starts */
	struct decision decision;
	struct rulelimit
	    *rule_limit; /* of the rule that decided, where it has one and counts us; borrowed from the snapshot */
	enum destination destination;
	uint8_t expected[PARAMS_VERIFIER_SIZE]; /* the client's CONFIRM */
	enum reason postponed; /* a refusal that cannot be said before TLS: ends the session after CONFIRM */
	struct verdict verdict;
	struct session_queue {
		uint64_t unsent;   /* bytes that its receiver had not acknowledged when this was looked at last */
		uint64_t moved_ms; /* loop time at which that number was seen to have changed */
	} queues[2];           /* session_deadlines.c: towards the back, and towards the front */
	uint64_t stage_began_ns, began_ns, connect_began_ns;
	struct trace_subject trace;
	struct trace_held held; /* of `trace` */
	struct record record;
};

/* session_proxy.c: a connection was accepted: session_first_stage, after a PROXY header where one is due. Then the
 * client's address, its place in the limits and the address it came to are those of the header. */
void session_begin(struct session *session);

/* session_proxy.c: the deadline of STAGE_PROXY has passed. */
void session_proxy_late(struct session *session);

/* session_proxy.c: the connection is agreed and nothing was sent to the service yet: send the header that it wants, if
 * any. False: that failed, and the session has ended. */
bool session_send_proxy(struct session *session) MUST_CHECK;

/* session_stages.c: the first stage of a connection whose client's address is known. */
void session_first_stage(struct session *session);

/* session_stages.c: the target is connected (or none is needed): say ACCEPT where it is still due, and relay. */
void session_target_there(struct session *session);

/* session_relay.c: all is said and connected: relay. Not before all of the ACCEPT is with the kernel: what a client was
 * not told is not agreed. */
void session_agree(struct session *session);

/* session_target.c: whom the client wants (protocol, section 7), into destination, service or peer. REASON_NONE, or why
 * nobody. */
enum reason session_choose_target(struct session *session) MUST_CHECK;

/* session_target.c: connect there; then session_target_there, or the end. A refusal that was put off until TLS ends the
 * session here. */
void session_connect_onward(struct session *session);

/* session_limits.c: the connection counts for the source that is in it now; as admission_enter. */
enum quota_verdict session_enter_limits(struct session *session) MUST_CHECK;

/* session_limits.c: may its handshake start? */
bool session_may_handshake(struct session *session) MUST_CHECK;

/* session_limits.c: the rule that has decided counts the session from now on, in place of one that had decided before.
 * False: the rule's limit is reached, and none counts it. session_leave_rule: none does. */
bool session_enter_rule(struct session *session) MUST_CHECK;
void session_leave_rule(struct session *session);

/* session_stages.c: the deadline of the running stage has passed. */
void session_late(struct session *session);

/* session_deadlines.c: the relay runs: keep its bounds (silence, lifetime), now and whenever their timer has run out.
 */
void session_watch_relay(struct session *session);

/* session_deadlines.c: let the kernel watch the connections that there are (keepalive, user_timeout), by the waits in
 * force. */
void session_keep_alive(struct session *session);

/* session_notify.c: tell the notifiers; then `next`, before this returns or, where one answers later, once it has; or
 * the end, where one refuses. */
void session_tell(struct session *session, enum cci_event_type type, const struct leg_news *news,
                  void (*next)(struct session *session));

/* session_account.c: the client was given this answer (`code`: that of a REFUSE), or the session is `security` now:
 * count it. */
void session_answered(struct session *session, enum metrics_answer answer, uint16_t code);
void session_is(struct session *session, enum metrics_security security);

/* session_account.c: it is agreed: from now on it counts as what it is between hosts. */
void session_is_linked(struct session *session);

/* session_trace.c: traces learn what has happened: accepted or PROXY header read; decided; target chosen; agreed. */
void session_trace_accepted(struct session *session);
void session_trace_decision(const struct session *session);
void session_trace_target(const struct session *session, enum reason reason);
void session_trace_relay(const struct session *session);

/* session_trace.c: both counts, and the last line. */
void session_trace_end(const struct session *session);

/* session_account.c: the session has ended, and its channels and stages are still there: write the record, tell the
 * notifiers, count. Once a session. */
void session_account(struct session *session);

/* session_report.c: tell the report of the session as it stands, while its channels are open: when it is agreed, and
 * (the record being complete) when it has ended. */
void session_report(const struct session *session, enum report_moment moment);

/* session.c: the one end. The first reason wins; writes the record, tells the notifiers, closes in the way that the
 * reason asks for, and frees when all is closed. */
void session_end(struct session *session, enum reason reason, const char *detail);

/* session.c: say REFUSE where the reason has a code and the exchange is still open for one, then end. */
void session_refuse(struct session *session, enum reason reason, const char *detail);

/* session.c: the same with this code, where the reason's own is none or speaks of the client's own exchange. */
void session_refuse_as(struct session *session, uint16_t code, enum reason reason, const char *detail);

/* session.c: enter a stage with its deadline in milliseconds from now; 0: none. */
void session_enter(struct session *session, enum stage stage, uint64_t deadline_ms);

/* session.c: microseconds since session_enter. */
uint64_t session_stage_us(const struct session *session);

/* The waits in force: the listener's until a rule has decided. */
static inline struct config_timeouts session_timeouts(const struct session *session)
{
	return config_timeouts_of(session->listener, session->decision.rule);
}

static inline struct snapshot_part *session_part(const struct session *session)
{
	return &session->snapshot->parts[session->host->number];
}

#endif
