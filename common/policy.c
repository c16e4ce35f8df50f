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
	for (size_t i = 0; i < networks->count; i++)
		if (network_contains(&networks->at[i], source))
			return true;
	return networks->count == 0;
}

static const struct config_rule *find_rule(const struct policy_question *question)
{
	for (size_t i = 0; i < question->config->rule_count; i++) {
		const struct config_rule *rule = &question->config->rules[i];

		if (source_matches(&rule->source, question->source) && matches_any(&rule->sysid, question->offer->sysid) &&
		    matches_any(&rule->listener, question->listener->place.name))
			return rule;
	}
	return NULL;
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

void policy_decide(const struct policy_question *question, struct decision *decision)
{
	const struct config_rule *rule = find_rule(question);
	enum params_security offered = (enum params_security)question->offer->security;

	decision->rule = rule;
	decision->policy = (enum unsecured)question->listener->unsecured;
	decision->ratchet = question->listener->ratchet == CHOICE_YES;
	if (rule != NULL && rule->unsecured != UNSECURED_INHERIT)
		decision->policy = (enum unsecured)rule->unsecured;
	if (rule != NULL && rule->ratchet != CHOICE_INHERIT)
		decision->ratchet = rule->ratchet == CHOICE_YES;
	decision->outcome = policy_cell(decision->policy, offered, &decision->reason);
	if ((offered == SECURITY_INSIDE) != question->inside)
		refuse(decision, REASON_BAD_MESSAGE);
	else if (rule != NULL && rule->action == ACTION_REFUSE)
		refuse(decision, REASON_NOT_PERMITTED);
	else if (decision->outcome == OUTCOME_CLEAR && decision->ratchet && question->secured_before)
		refuse(decision, REASON_RATCHETED);
	else if (decision->outcome == OUTCOME_TLS && no_version(question))
		refuse(decision, REASON_NO_TLS_VERSION);
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
