/* What the accepting side decides (protocol, section 3; rules). Pure: reads the configuration, touches nothing. */
#ifndef POLICY_H
#define POLICY_H

#include <stdbool.h>

#include "address.h"
#include "config.h"
#include "identity.h"
#include "params.h"
#include "reason.h"

enum outcome { OUTCOME_REFUSE, OUTCOME_CLEAR, OUTCOME_TLS, OUTCOME_INSIDE };

struct decision {
	enum outcome outcome;
	enum reason reason;              /* where refused; REASON_NONE otherwise */
	enum unsecured policy;           /* the policy that decided */
	const struct config_rule *rule;  /* the rule that matched, borrowed from the configuration; NULL: the listener */
	const char *service;             /* the rule's, where the client names no target; borrowed; NULL: the listener's */
	int client_auth;                 /* enum client_auth: what the handshake asks for, resolved */
	bool ratchet;                    /* once secured, remember the name */
	bool identity_due;               /* a rule that asks for an identity may match yet: decide again inside TLS */
	enum unsecured audit;            /* the policy on trial; INHERIT: none */
	enum outcome audit_outcome;      /* what it would have done */
	enum reason audit_reason;        /* and why, where it would have refused */
	enum outcome never_outcome;      /* what would have become of it, were the policy that decided `never` */
	enum reason never_reason;        /* and why, where it would have been refused */
};

struct policy_question {
	const struct config *config; /* NULL: no question */
	const struct config_listener *listener;
	const union socket_address *source;
	const struct params *offer;
	const struct identity *identity; /* what the client's certificate says, inside TLS; NULL: before TLS */
	bool secured_before;  /* the ratchet holds the offer's sysid */
	bool inside;          /* the message really came through TLS (section 6) */
};

/* One cell of the table of section 3, rules and ratchet apart. *reason says why a REFUSE. */
enum outcome policy_cell(enum unsecured policy, enum params_security offered, enum reason *reason);

/*
 * Decide. The first rule whose source, sysid, listener, target and identity all match decides; then the ratchet; then
 * parameter 7. An OFFER that says `inside` in the clear, or anything else inside TLS, is a bad message.
 *
 * Before TLS no identity is known. A rule that asks for one and matches else is passed over, but a refusal by a later
 * rule's action then waits for TLS where the client can do it (identity_due, OUTCOME_TLS, a certificate is asked for),
 * and its ratchet holds for a clear outcome. The same question with the identity is put again inside TLS; what it
 * decides can only refuse or accept what is secured already. Where client_auth is require, an identity that is not
 * verified is refused; and where a rule asks for a name that a partial identity does not show, so is that: the rule
 * might have refused it.
 */
void policy_decide(const struct policy_question *question, struct decision *decision);

/* The same for a client without an exchange (exchange = none), which says nothing: only rules on its source and
 * listener can match, and it is judged as one that cannot do TLS: clear or refused. offer and identity are not looked
 * at. */
void policy_decide_raw(const struct policy_question *question, struct decision *decision);

/* What the handshake of a direct start asks for: its OFFER comes later, so any rule for this source and listener
 * counts. NO or REQUIRE where all of them and the listener agree, REQUEST otherwise; policy_decide then sees to the
 * rest. */
int policy_direct_client_auth(const struct config *config, const struct config_listener *listener,
                              const union socket_address *source);

/* "refuse", "clear", "tls", "inside". */
const char *outcome_word(enum outcome outcome);

/* "rule NAME line 12" or "listener NAME line 3", into `buffer` of `size` bytes; returns it. */
const char *decision_place(const struct decision *decision, const struct config_listener *listener, char *buffer,
                           size_t size);

#endif
