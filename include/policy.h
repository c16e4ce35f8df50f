/* What the accepting side decides (protocol, section 3; rules). Pure: reads the configuration, touches nothing. */
#ifndef POLICY_H
#define POLICY_H

#include <stdbool.h>

#include "address.h"
#include "config.h"
#include "params.h"
#include "reason.h"

enum outcome { OUTCOME_REFUSE, OUTCOME_CLEAR, OUTCOME_TLS, OUTCOME_INSIDE };

struct decision {
	enum outcome outcome;
	enum reason reason;              /* where refused; REASON_NONE otherwise */
	enum unsecured policy;           /* the policy that decided */
	const struct config_rule *rule;  /* the rule that matched, borrowed from the configuration; NULL: the listener */
	bool ratchet;                    /* once secured, remember the name */
};

struct policy_question {
	const struct config *config;
	const struct config_listener *listener;
	const union socket_address *source;
	const struct params *offer;
	bool secured_before;  /* the ratchet holds the offer's sysid */
	bool inside;          /* the message really came through TLS (section 6) */
};

/* One cell of the table of section 3, rules and ratchet apart. *reason says why a REFUSE. */
enum outcome policy_cell(enum unsecured policy, enum params_security offered, enum reason *reason);

/* Decide. The first rule whose source, sysid and listener match decides; then the ratchet; then parameter 7. An
 * OFFER that says `inside` in the clear, or anything else inside TLS, is a bad message. */
void policy_decide(const struct policy_question *question, struct decision *decision);

/* "refuse", "clear", "tls", "inside". */
const char *outcome_word(enum outcome outcome);

/* "rule NAME line 12" or "listener NAME line 3", into `buffer` of `size` bytes; returns it. */
const char *decision_place(const struct decision *decision, const struct config_listener *listener, char *buffer,
                           size_t size);

#endif
