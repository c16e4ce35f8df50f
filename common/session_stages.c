/* The stages of a session in their order: exchange, policy, notifier, TLS, CONFIRM, target, relay. */
#include "session_stages.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "confirm.h"
#include "version.h"

/* --- the answer --- */

static enum reason send_accept(struct session *session, enum params_answer answer)
{
	const struct config *config = session->snapshot->config;
	struct params accept = {.type = PARAMS_ACCEPT, .cpu = session->offer->cpu, .security = (uint8_t)answer};

	accept.maxru = (uint32_t)config->gateway.maxru;
	if (session->offer->maxru < accept.maxru)
		accept.maxru = session->offer->maxru;
	accept.has_connection = true;
	memcpy(accept.connection, session->record.connection, sizeof(accept.connection));
	(void)snprintf(accept.sysid, sizeof(accept.sysid), "%s", config->gateway.sysid);
	(void)snprintf(accept.agent, sizeof(accept.agent), "%s",
	               config->program == PROGRAM_CCISSL ? "ccissl/" GATEWAY_VERSION : "ccisslgw/" GATEWAY_VERSION);
	session_answered(session, (enum metrics_answer)answer, 0);
	return exchange_send(session->exchange, &accept);
}

void session_target_there(struct session *session)
{
	enum outcome outcome = session->decision.outcome;
	enum reason reason;

	session->record.connect_us = (uv_hrtime() - session->connect_began_ns) / 1000;
	if (session->raw) {
		session_answered(session, METRICS_ANSWER_CLEAR, 0);
		session_agree(session);
		return;
	}
	if (outcome == OUTCOME_CLEAR && exchange_has_leftover(session->exchange)) {
		session_refuse(session, REASON_DATA_BEFORE_ANSWER, "");
		return;
	}
	if (outcome != OUTCOME_TLS) {
		reason = send_accept(session, outcome == OUTCOME_CLEAR ? ANSWER_CLEAR : ANSWER_INSIDE);
		if (reason != REASON_NONE) {
			session_end(session, reason, channel_error(session->front));
			return;
		}
	}
	session_agree(session);
}

/* --- the decision --- */

static struct policy_question question_of(const struct session *session)
{
	return (struct policy_question){
	    .config = session->snapshot->config,
	    .listener = session->listener,
	    .source = &session->record.front.remote,
	    .offer = session->offer,
	    .secured_before = session->offer != NULL && ratchet_holds(session->host->ratchet, session->offer->sysid),
	    .inside = session->record.front.direct,
	};
}

/* Where the identity is still to come, what is decided then is what counts. */
static void count_decision(const struct session *session)
{
	const struct decision *decision = &session->decision;

	if (decision->identity_due)
		return;
	metrics_policy(session->host->metrics, decision->policy, decision->outcome);
	if (decision->audit != UNSECURED_INHERIT)
		metrics_audit(session->host->metrics, decision->audit, decision->audit_outcome);
}

static void note_decision(struct session *session)
{
	const struct decision *decision = &session->decision;
	struct record *record = &session->record;
	bool has_audit;

	record->outcome = outcome_word(decision->outcome);
	record->front.policy = unsecured_word(decision->policy);
	record->front.rule = decision->rule != NULL ? decision->rule->place.name : NULL;
	record->rule_line = decision->rule != NULL ? decision->rule->place.line : 0;
	record->never = outcome_word(decision->never_outcome);
	record->never_reason = decision->never_reason;
	/* An identity may have led to a rule without one. */
	has_audit = decision->audit != UNSECURED_INHERIT;
	record->audit = has_audit ? unsecured_word(decision->audit) : NULL;
	record->audit_outcome = has_audit ? outcome_word(decision->audit_outcome) : NULL;
	record->audit_reason = has_audit ? decision->audit_reason : REASON_NONE;
	count_decision(session);
	session_trace_decision(session);
}

/* --- CONFIRM (protocol, section 4) --- */

static void secured(struct session *session)
{
	/* The rule that decided inside TLS may name another service. */
	if (session->identity_due)
		session->postponed = session_enter_rule(session) ? session_choose_target(session) : REASON_BUSY;
	if (session->decision.ratchet)
		(void)ratchet_add(session->host->ratchet, session->offer->sysid);
	session_connect_onward(session);
}

static void on_confirm(void *owner, enum reason reason)
{
	struct session *session = owner;
	const struct params *message = exchange_received(session->exchange);

	if (reason != REASON_NONE && reason != REASON_BAD_MESSAGE && reason != REASON_BAD_VERSION &&
	    reason != REASON_NOT_CCI) {
		session_end(session, reason, exchange_detail(session->exchange));
		return;
	}
	if (reason == REASON_NONE && message->type == PARAMS_REFUSE) {
		session->record.refuse_code = message->reason;
		session_end(session, message->reason == 13 ? REASON_ALTERED : REASON_PEER_REFUSED, "refused by the client");
		return;
	}
	if (reason != REASON_NONE || message->type != PARAMS_CONFIRM) {
		session_refuse(session, REASON_ALTERED, "something else came in place of CONFIRM");
		return;
	}
	if (!confirm_equal(session->expected, message->verifier)) {
		session_refuse(session, REASON_ALTERED, "the verifiers differ");
		return;
	}
	TRACE(&session->trace, TRACE_FRONT, "confirmed", "the clear exchange was not altered");
	session->record.front.confirmed = true;
	metrics_confirmed(session->host->metrics, METRICS_ACCEPTING);
	secured(session);
}

static void start_confirm(struct session *session)
{
	struct params confirm = {.type = PARAMS_CONFIRM, .cpu = session->offer->cpu};
	uint8_t digest[CONFIRM_DIGEST_SIZE];
	struct confirm_verifiers verifiers;
	struct exchange *exchange = session->exchange;
	enum reason reason = REASON_NO_MEMORY;

	if (exchange_digest(exchange, digest) == 0 &&
	    confirm_verifiers(channel_ssl(session->front), digest, &verifiers) == 0) {
		memcpy(confirm.verifier, verifiers.server, sizeof(confirm.verifier));
		memcpy(session->expected, verifiers.client, sizeof(session->expected));
		reason = exchange_send(exchange, &confirm);
	}
	if (reason != REASON_NONE) {
		session_end(session, reason, channel_error(session->front));
		return;
	}
	session_enter(session, STAGE_CONFIRM, session_timeouts(session).confirm_ms);
	exchange_expect(exchange, on_confirm);
	exchange_receive(exchange, false);
}

/* --- TLS --- */

static void on_offer(void *owner, enum reason reason);

static void start_inside_offer(struct session *session)
{
	session->exchange = exchange_new(session->front, on_offer, session);
	if (session->exchange == NULL) {
		session_end(session, REASON_NO_MEMORY, "no memory for the exchange");
		return;
	}
	exchange_trace(session->exchange, &session->trace, TRACE_FRONT);
	session_enter(session, STAGE_INSIDE_OFFER, session_timeouts(session).exchange_ms);
	exchange_receive(session->exchange, false);
}

static void handshake_failed(struct session *session, enum reason reason, const char *detail)
{
	struct leg_news news = {.reason = reason, .detail = detail};
	enum reason ignored; /* the session ends already, and the first reason wins */

	metrics_handshake_failed(session->host->metrics, METRICS_ACCEPTING, reason);
	ignored = leg_tell(&session->record.front, session->snapshot->notifiers, CCI_HANDSHAKE_FAILED, &news, NULL);
	(void)ignored;
	session_end(session, reason, detail);
}

static void handshake_told(struct session *session)
{
	if (session->record.front.direct)
		start_inside_offer(session);
	else if (session->verdict.confirm)
		start_confirm(session);
	else
		secured(session);
}

static void on_handshake(void *owner, const struct verdict *verdict, const struct tls_facts *facts)
{
	struct session *session = owner;
	struct leg *leg = &session->record.front;
	struct leg_news news = {.facts = facts};

	session->handshake = NULL;
	leg->handshake_us = session_stage_us(session);
	session->verdict = *verdict;
	if (session->identity_due)
		note_decision(session);
	if (verdict->reason != REASON_NONE) {
		handshake_failed(session, verdict->reason, verdict->detail);
		return;
	}
	leg->secured = true;
	leg->secured_at_us = clock_utc_us();
	session_is(session, METRICS_SECURED);
	metrics_handshake(session->host->metrics, METRICS_ACCEPTING, facts->version, facts->suite, facts->resumed);
	session_tell(session, CCI_HANDSHAKE_DONE, &news, handshake_told);
}

static void start_tls(struct session *session, enum tls_start start)
{
	struct tls_expectation expectation = {.start = start, .is_server = true};
	struct tls_worker *tls = session_part(session)->tls;
	SSL *ssl;

	if (start == TLS_START_DIRECT)
		expectation.client_auth = policy_direct_client_auth(session->snapshot->config, session->listener,
		                                                    &session->record.front.remote);
	else
		expectation.client_auth = session->decision.client_auth;
	ssl = tls != NULL ? tls_server_new(tls, &(struct tls_server_options){.listener = session->listener_number,
	                                                                     .start = start,
	                                                                     .client_auth = expectation.client_auth})
	                  : NULL;
	if (session->decision.identity_due) {
		session->identity_due = true;
		expectation.question = question_of(session);
		expectation.decision = &session->decision;
	}
	expectation.confirm = session->snapshot->config->tls.confirm;
	if (ssl == NULL) {
		session_end(session, tls != NULL ? REASON_NO_MEMORY : REASON_DIRECT_NOT_PERMITTED, "no TLS here");
		return;
	}
	TRACE(&session->trace, TRACE_FRONT, "handshake starts", "%s",
	      start == TLS_START_DIRECT ? "TLS from the first byte" : "after a clear exchange");
	session_enter(session, STAGE_HANDSHAKE, session_timeouts(session).handshake_ms);
	session->record.front.handshake_at_us = clock_utc_us();
	session->handshake = handshake_start(session->front, ssl, &expectation, on_handshake, session);
	if (session->handshake == NULL)
		session_end(session, REASON_NO_MEMORY, "no memory for the handshake");
}

static void start_upgrade(struct session *session)
{
	start_tls(session, TLS_START_UPGRADE);
}

/* Answer and notify in the same turn as the look for bytes behind the OFFER; nothing else happens before the
 * handshake. */
static void answer_tls(struct session *session)
{
	enum reason reason;

	if (!session_may_handshake(session)) {
		session_refuse(session, REASON_BUSY, "handshake_rate of [limits]");
		return;
	}
	reason = send_accept(session, ANSWER_TLS);
	if (reason != REASON_NONE) {
		session_end(session, reason, channel_error(session->front));
		return;
	}
	session_tell(session, CCI_HANDSHAKE_STARTING, NULL, start_upgrade);
}

/* --- the OFFER --- */

/* An OFFER inside TLS is judged with what the certificate says; one in the clear before that is known. */
static void decide(struct session *session)
{
	struct policy_question question = question_of(session);

	if (question.inside)
		tls_verdict_decide(channel_ssl(session->front), &question, &session->decision, &session->verdict);
	else
		policy_decide(&question, &session->decision);
	note_decision(session);
}

static void obey(struct session *session)
{
	enum reason reason;

	decide(session);
	/* Whatever was decided, and before anything comes of it: who sends more cannot have read the answer. */
	if (!session->record.front.direct && exchange_has_leftover(session->exchange)) {
		session_refuse(session, REASON_DATA_BEFORE_ANSWER, "");
		return;
	}
	if (session->decision.outcome == OUTCOME_REFUSE) {
		session_refuse(session, session->decision.reason, "");
		return;
	}
	/* Where the identity is still to come, the rule that decides then is the one that counts. */
	if (!session->decision.identity_due && !session_enter_rule(session)) {
		session_refuse(session, REASON_BUSY, "the limit of the rule");
		return;
	}
	reason = session_choose_target(session);
	if (session->decision.outcome == OUTCOME_TLS) {
		session->postponed = reason;
		answer_tls(session);
		return;
	}
	/* As after an upgrade: it is secured, whatever becomes of its target. */
	if (session->decision.outcome == OUTCOME_INSIDE && session->decision.ratchet)
		(void)ratchet_add(session->host->ratchet, session->offer->sysid);
	if (reason != REASON_NONE)
		session_refuse(session, reason, "");
	else
		session_connect_onward(session);
}

static enum reason learn_offer(struct session *session)
{
	const struct params *message = exchange_received(session->exchange);
	enum reason reason;

	session->record.asked = params_security_word((enum params_security)message->security);
	session->record.front.exchange_us = session_stage_us(session);
	session->offer = malloc(sizeof(*session->offer));
	if (session->offer == NULL)
		return REASON_NO_MEMORY;
	*session->offer = *message;
	reason = leg_learn(&session->record.front, message);
	trace_known(&session->trace, NULL);
	return reason;
}

static void start_direct(struct session *session)
{
	session->record.asked = "tls";
	session->record.front.direct = true;
	metrics_direct(session->host->metrics);
	exchange_free(session->exchange);
	session->exchange = NULL;
	if (session->quota == QUOTA_OVER)
		session_end(session, REASON_BUSY, "");
	else if (session->host->draining)
		session_end(session, REASON_SHUTTING_DOWN, "");
	else if (session->listener->direct != CHOICE_YES)
		session_end(session, REASON_DIRECT_NOT_PERMITTED, "");
	else if (!session_may_handshake(session))
		session_end(session, REASON_BUSY, "handshake_rate of [limits]");
	else
		start_tls(session, TLS_START_DIRECT);
}

static void on_offer(void *owner, enum reason reason)
{
	struct session *session = owner;
	bool silent = !exchange_has_bytes(session->exchange) && !session->record.front.direct;

	if (reason == REASON_NONE && exchange_is_tls(session->exchange)) {
		start_direct(session);
		return;
	}
	/* Health checks of balancers end by a reset. */
	if (silent && (reason == REASON_CLOSED_EARLY || reason == REASON_RESET))
		session_end(session, REASON_NOT_CCI, "closed without a byte");
	else if (reason == REASON_NONE && exchange_received(session->exchange)->type != PARAMS_OFFER)
		session_refuse(session, REASON_BAD_MESSAGE, "not an OFFER");
	else if (reason != REASON_NONE)
		session_refuse(session, reason, exchange_detail(session->exchange));
	else if ((reason = learn_offer(session)) != REASON_NONE)
		session_refuse(session, reason, "");
	else if (session->quota == QUOTA_OVER)
		session_refuse(session, REASON_BUSY, "");
	else if (session->host->draining)
		session_refuse(session, REASON_SHUTTING_DOWN, "");
	else
		obey(session);
}

/* A raw TCP client says nothing: the listener's target is what it wants, and only rules on its source can match. */
static void start_raw(struct session *session)
{
	struct policy_question question = question_of(session);
	enum reason reason;

	session->raw = true;
	session->record.asked = "raw";
	policy_decide_raw(&question, &session->decision);
	note_decision(session);
	if (session->decision.outcome == OUTCOME_REFUSE)
		reason = session->decision.reason;
	else if (session->quota == QUOTA_OVER || !session_enter_rule(session))
		reason = REASON_BUSY;
	else if (session->host->draining)
		reason = REASON_SHUTTING_DOWN;
	else
		reason = session_choose_target(session);
	if (reason != REASON_NONE)
		session_refuse(session, reason, "");
	else
		session_connect_onward(session);
}

void session_first_stage(struct session *session)
{
	if (session->listener->exchange == EXCHANGE_NONE) {
		start_raw(session);
		return;
	}
	session->exchange = exchange_new(session->front, on_offer, session);
	if (session->exchange == NULL) {
		session_end(session, REASON_NO_MEMORY, "no memory for the exchange");
		return;
	}
	exchange_trace(session->exchange, &session->trace, TRACE_FRONT);
	session_enter(session, STAGE_OFFER, session_timeouts(session).exchange_ms);
	exchange_receive(session->exchange, true);
}

void session_late(struct session *session)
{
	switch (session->stage) {
	case STAGE_PROXY:
		session_proxy_late(session);
		break;
	case STAGE_OFFER:
	case STAGE_INSIDE_OFFER:
		session_refuse(session, REASON_EXCHANGE_TIMEOUT,
		               exchange_has_bytes(session->exchange) ? "the OFFER was not complete in time" : "no OFFER came");
		break;
	case STAGE_HANDSHAKE:
		handshake_failed(session, REASON_HANDSHAKE_TIMEOUT, "");
		break;
	case STAGE_CONFIRM:
		session_end(session, REASON_CONFIRM_TIMEOUT, "");
		break;
	case STAGE_NOTIFY:
		session_end(session, REASON_NOTIFIER_REFUSED, "no answer in time");
		break;
	case STAGE_ANSWER:
		session_end(session, REASON_EXCHANGE_TIMEOUT, "the ACCEPT could not be sent in time");
		break;
	case STAGE_RELAY:
		session_watch_relay(session);
		break;
	default:
		break;
	}
}
