/* The decision of the accepting side: the table of the protocol, the rules, the ratchet. */
#include "policy.h"

#include <stdio.h>

#define TLS_HIGHEST 0x0304 /* the highest version that this side speaks */

enum outcome policy_cell(enum unsecured policy, enum params_security offered, enum reason *reason)
{
	*reason = REASON_NONE;
	if (offered == SECURITY_INSIDE)
		return OUTCOME_INSIDE;
	switch (policy) {
	case UNSECURED_ONLY:
		if (offered != SECURITY_REQUIRED)
			return OUTCOME_CLEAR;
		*reason = REASON_SECURITY_NOT_OFFERED;
		return OUTCOME_REFUSE;
	case UNSECURED_ALLOW:
		return offered == SECURITY_NONE || offered == SECURITY_OFF ? OUTCOME_CLEAR : OUTCOME_TLS;
	case UNSECURED_NONSSL:
		return offered == SECURITY_NONE ? OUTCOME_CLEAR : OUTCOME_TLS;
	default:
		if (offered != SECURITY_NONE)
			return OUTCOME_TLS;
		*reason = REASON_SECURITY_REQUIRED;
		return OUTCOME_REFUSE;
	}
}

static bool matches_any(const struct text_list *patterns, const char *name)
{
	for (size_t i = 0; i < patterns->count; i++)
		if (name_match(patterns->at[i], name))
			return true;
	return patterns->count == 0;
}

static bool source_matches(const struct network_list *networks, const union socket_address *source)
{
	return networks->count == 0 || network_list_contains(networks, source);
}

/* A client that names no target, or (exchange = none) not itself, is matched by no pattern of one. */
static bool said_matches(const struct text_list *patterns, const char *said)
{
	return patterns->count == 0 || (said[0] != '\0' && matches_any(patterns, said));
}

static bool place_matches(const struct config_rule *rule, const struct config_listener *listener,
                          const union socket_address *source)
{
	return source_matches(&rule->source, source) && matches_any(&rule->listener, listener->place.name);
}

static bool identity_is_there(const struct config_rule *rule, const struct identity *identity)
{
	for (size_t i = 0; i < rule->identity.count; i++)
		if (identity_matches(identity, rule->identity.at[i]))
			return true;
	return rule->identity.count == 0;
}

/* What the rules say: the one that decides, and what is still open of those before it. */
struct search {
	const struct config_rule *rule; /* NULL: none */
	bool identity_due;
	bool ratchet_due; /* one of those that wait for an identity has a ratchet */
	bool unknown;     /* a rule asks for a name that may be among those of a partial identity */
};

static void search_rules(const struct policy_question *question, struct search *search)
{
	const struct params *offer = question->offer;

	*search = (struct search){.rule = NULL};
	for (size_t i = 0; i < question->config->rule_count; i++) {
		const struct config_rule *rule = &question->config->rules[i];

		if (!place_matches(rule, question->listener, question->source) || !said_matches(&rule->sysid, offer->sysid) ||
		    !said_matches(&rule->target, offer->target))
			continue;
		if (identity_is_there(rule, question->identity)) {
			search->rule = rule;
			return;
		}
		if (question->identity != NULL && question->identity->verified && question->identity->partial) {
			search->rule = rule;
			search->unknown = true;
			return;
		}
		if (question->identity != NULL)
			continue;
		search->identity_due = true;
		search->ratchet_due = search->ratchet_due || rule->ratchet == CHOICE_YES;
	}
}

static void refuse(struct decision *decision, enum reason reason)
{
	decision->outcome = OUTCOME_REFUSE;
	decision->reason = reason;
}

static bool no_version(const struct policy_question *question)
{
	const struct params *offer = question->offer;

	return offer->has_tls &&
	       (offer->tls_lowest > TLS_HIGHEST || offer->tls_highest < question->config->tls.min_version);
}

/* The rule's settings, and the listener's where it has none. */
static void take_settings(struct decision *decision, const struct config_listener *listener,
                          const struct config_rule *rule)
{
	decision->rule = rule;
	decision->policy = (enum unsecured)listener->unsecured;
	decision->audit = (enum unsecured)listener->audit;
	decision->client_auth = listener->client_auth;
	decision->ratchet = listener->ratchet == CHOICE_YES;
	decision->service = NULL;
	if (rule == NULL)
		return;
	if (rule->unsecured != UNSECURED_INHERIT)
		decision->policy = (enum unsecured)rule->unsecured;
	if (rule->audit != UNSECURED_INHERIT)
		decision->audit = (enum unsecured)rule->audit;
	if (rule->client_auth != CLIENT_AUTH_INHERIT)
		decision->client_auth = rule->client_auth;
	if (rule->identity.count > 0 && decision->client_auth == CLIENT_AUTH_NO)
		decision->client_auth = CLIENT_AUTH_REQUEST;
	if (rule->ratchet != CHOICE_INHERIT)
		decision->ratchet = rule->ratchet == CHOICE_YES;
	decision->service = rule->service;
}

/* The policy on trial judges the same offer; it enforces nothing. */
static void audit(struct decision *decision, enum params_security offered)
{
	decision->audit_reason = REASON_NONE;
	if (decision->audit != UNSECURED_INHERIT)
		decision->audit_outcome = policy_cell(decision->audit, offered, &decision->audit_reason);
}

static bool is_refusal(const struct config_rule *rule)
{
	return rule != NULL && rule->action == ACTION_REFUSE;
}

/* Before TLS, or of an OFFER inside it. */
static void decide_offer(const struct policy_question *question, const struct search *search, struct decision *decision)
{
	enum params_security offered = (enum params_security)question->offer->security;
	bool may_wait = search->identity_due && decision->outcome == OUTCOME_TLS;

	decision->identity_due = search->identity_due && decision->outcome == OUTCOME_TLS;
	if (decision->identity_due && decision->client_auth == CLIENT_AUTH_NO)
		decision->client_auth = CLIENT_AUTH_REQUEST;
	if ((offered == SECURITY_INSIDE) != question->inside)
		refuse(decision, REASON_BAD_MESSAGE);
	else if (is_refusal(search->rule) && !may_wait)
		refuse(decision, REASON_NOT_PERMITTED);
	else if (decision->outcome == OUTCOME_CLEAR && (decision->ratchet || search->ratchet_due) &&
	         question->secured_before)
		refuse(decision, REASON_RATCHETED);
	else if (decision->outcome == OUTCOME_TLS && no_version(question))
		refuse(decision, REASON_NO_TLS_VERSION);
	if (decision->outcome != OUTCOME_TLS)
		decision->identity_due = false;
}

/* Inside TLS, with what the certificate says: of a policy for unsecured connections nothing is left to decide. */
static void decide_identity(const struct policy_question *question, const struct search *search,
                            struct decision *decision)
{
	bool inside = question->offer->security == SECURITY_INSIDE;

	decision->outcome = inside ? OUTCOME_INSIDE : OUTCOME_TLS;
	decision->reason = REASON_NONE;
	if (inside != question->inside)
		refuse(decision, REASON_BAD_MESSAGE);
	else if (is_refusal(search->rule) || search->unknown)
		refuse(decision, REASON_NOT_PERMITTED);
	else if (decision->client_auth == CLIENT_AUTH_REQUIRE && !question->identity->verified)
		refuse(decision, REASON_PEER_CERTIFICATE_MISSING);
}

/* The settings are taken: what follows from them under `policy`. */
static void decide_under(const struct policy_question *question, const struct search *search, enum unsecured policy,
                         struct decision *decision)
{
	decision->outcome =
	    policy_cell(policy, (enum params_security)question->offer->security, &decision->reason);
	if (question->identity != NULL)
		decide_identity(question, search, decision);
	else
		decide_offer(question, search, decision);
}

void policy_decide(const struct policy_question *question, struct decision *decision)
{
	enum params_security offered = (enum params_security)question->offer->security;
	struct decision never;
	struct search search;

	search_rules(question, &search);
	*decision = (struct decision){.outcome = OUTCOME_REFUSE};
	take_settings(decision, question->listener, search.rule);
	audit(decision, offered);
	decide_under(question, &search, decision->policy, decision);
	never = *decision;
	if (decision->policy != UNSECURED_NEVER)
		decide_under(question, &search, UNSECURED_NEVER, &never);
	decision->never_outcome = never.outcome;
	decision->never_reason = never.reason;
}

void policy_decide_raw(const struct policy_question *question, struct decision *decision)
{
	static const struct params nothing = {.type = PARAMS_OFFER, .security = SECURITY_NONE};
	struct policy_question raw = *question;

	raw.offer = &nothing;
	raw.identity = NULL;
	raw.inside = raw.secured_before = false;
	policy_decide(&raw, decision);
	decision->ratchet = false;
}

int policy_direct_client_auth(const struct config *config, const struct config_listener *listener,
                              const union socket_address *source)
{
	int result = listener->client_auth;

	for (size_t i = 0; i < config->rule_count; i++) {
		const struct config_rule *rule = &config->rules[i];
		int asked = rule->identity.count > 0 ? CLIENT_AUTH_REQUEST : rule->client_auth;

		if (asked != CLIENT_AUTH_INHERIT && asked != result && place_matches(rule, listener, source))
			result = CLIENT_AUTH_REQUEST;
	}
	return result;
}

const char *outcome_word(enum outcome outcome)
{
	static const char *const words[] = {"refuse", "clear", "tls", "inside"};

	return words[outcome];
}

const char *decision_place(const struct decision *decision, const struct config_listener *listener, char *buffer,
                           size_t size)
{
	const struct config_place *place = decision->rule != NULL ? &decision->rule->place : &listener->place;

	(void)snprintf(buffer, size, "%s %s line %u", decision->rule != NULL ? "rule" : "listener", place->name,
	               place->line);
	return buffer;
}
