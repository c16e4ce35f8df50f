/* The stages of a session in their order: exchange, policy, notifier, TLS, CONFIRM, target, relay. */
#include "session_stages.h"

#include <stdlib.h>
#include <string.h>

#include "confirm.h"
#include "version.h"

static const struct config_timeouts *timeouts(const struct session *session)
{
	return &session->snapshot->config->timeouts;
}

static struct snapshot_part *part(const struct session *session)
{
	return &session->snapshot->parts[session->host->number];
}

/* Bounds of *PING (protocol, section 8). */
#define PING_BYTES 4096

/* --- relay --- */

static void on_relay(void *owner, enum reason reason, bool at_front, const char *detail)
{
	struct session *session = owner;

	session->record.reason_at_back = !at_front;
	session_end(session, reason, detail);
}

static void start_relay(struct session *session)
{
	uint64_t limit = session->destination == TO_PING ? PING_BYTES : 0;

	session->agreed = true;
	exchange_free(session->exchange);
	session->exchange = NULL;
	free(session->offer);
	session->offer = NULL;
	session_enter(session, STAGE_RELAY, timeouts(session)->idle_ms);
	session->relay = relay_start(session->front, session->back, limit, &session->verdict, on_relay, session);
	if (session->relay == NULL)
		session_end(session, REASON_NO_MEMORY, "no memory for the relay");
}

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
	return exchange_send(session->exchange, &accept);
}

static bool tell(struct session *session, enum cci_event_type type, const struct leg_news *news)
{
	static const struct leg_news none;
	enum reason reason =
	    leg_tell(&session->record.front, session->snapshot->notifiers, type, news != NULL ? news : &none);

	if (reason == REASON_NONE)
		return true;
	session_end(session, reason, "");
	return false;
}

/* The target is there: say ACCEPT where it is still due, and relay. */
static void target_is_there(struct session *session)
{
	enum outcome outcome = session->decision.outcome;
	enum reason reason;

	session->record.connect_us = (uv_hrtime() - session->connect_began_ns) / 1000;
	if (session->raw) {
		if (tell(session, CCI_UNSECURED, NULL))
			start_relay(session);
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
	if (outcome != OUTCOME_CLEAR || tell(session, CCI_UNSECURED, NULL))
		start_relay(session);
}

/* Before the answer a REFUSE can be sent; afterwards only the end. */
static void not_reached(struct session *session, enum reason reason, const char *detail)
{
	if (session->decision.outcome == OUTCOME_TLS || session->raw)
		session_end(session, reason, detail);
	else
		session_refuse(session, reason, detail);
}

/* --- connecting onward --- */

static void on_target(void *owner, enum reason reason, struct channel *channel, size_t address, const char *detail)
{
	struct session *session = owner;

	(void)address;
	session->target = NULL;
	if (reason != REASON_NONE) {
		session->record.reason_at_back = true;
		not_reached(session, reason, detail);
		return;
	}
	session->back = channel;
	session->record.back.listener = session->service->place.name;
	if (channel != NULL)
		leg_attach(&session->record.back, channel);
	target_is_there(session);
}

static void on_dial(void *owner, const struct dial_result *result)
{
	struct session *session = owner;
	struct record *record = &session->record;

	session->dial = NULL;
	if (result->reason != REASON_NONE) {
		record->reason_at_back = true;
		(void)snprintf(record->peer_text, sizeof(record->peer_text), "%s", result->refuse_text);
		not_reached(session, result->reason, result->detail);
		return;
	}
	session->back = result->channel;
	target_is_there(session);
}

static void connect_service(struct session *session)
{
	const struct config_service *service = session->service;
	size_t number = (size_t)(service - session->snapshot->config->services);
	struct target_options options = {
	    .name = service->place.name,
	    .addresses = &service->address,
	    .memory = &part(session)->services[number],
	    .retry_ms = service->retry_ms,
	    .connect_ms = timeouts(session)->connect_ms,
	};

	session->target = target_start(session->host->io, &options, on_target, session);
	if (session->target == NULL)
		not_reached(session, REASON_NO_MEMORY, "no memory to connect");
}

/* On the way onward the OFFER carries the sysid, maxru and connection id of the client (protocol, section 7). */
static void connect_peer(struct session *session)
{
	const struct config *config = session->snapshot->config;
	const struct config_peer *peer = session->peer;
	const struct params *offer = session->offer;
	size_t number = (size_t)(peer - config->peers);
	struct dial_options options = {
	    .io = session->host->io,
	    .peer = peer,
	    .peer_number = number,
	    .tls = part(session)->tls,
	    .memory = &part(session)->peers[number],
	    .notifiers = session->snapshot->notifiers,
	    .timeouts = timeouts(session),
	    .confirm = config->tls.confirm,
	    .min_version = config->tls.min_version,
	    .leg = &session->record.back,
	    .sysid = offer != NULL ? offer->sysid : config->gateway.sysid,
	    .target = session->record.front.target,
	    .maxru = offer != NULL ? offer->maxru : (uint32_t)config->gateway.maxru,
	    .hops = PARAMS_HOPS_START,
	};

	if (offer != NULL && offer->has_hops)
		options.hops = (uint8_t)(offer->hops - 1);
	memcpy(options.connection,
	       offer != NULL && offer->has_connection ? offer->connection : session->record.connection,
	       sizeof(options.connection));
	session->record.back.listener = peer->place.name;
	session->record.back.policy = peer_security_word((enum peer_security)peer->security);
	session->dial = dial_start(&options, on_dial, session);
	if (session->dial == NULL)
		not_reached(session, REASON_NO_MEMORY, "no memory to connect");
}

static void connect_onward(struct session *session)
{
	if (session->postponed != REASON_NONE) {
		session_end(session, session->postponed, "");
		return;
	}
	session->connect_began_ns = uv_hrtime();
	session_enter(session, STAGE_CONNECT, 0);
	if (session->destination == TO_SERVICE)
		connect_service(session);
	else if (session->destination == TO_PEER)
		connect_peer(session);
	else
		target_is_there(session);
}

/* Whom the client wants (protocol, section 7). REASON_NONE, or why nobody. */
static enum reason choose_target(struct session *session)
{
	const struct config *config = session->snapshot->config;
	const char *wanted = session->record.front.target;
	struct record *record = &session->record;

	if (strcmp(wanted, PARAMS_PING) == 0) {
		session->destination = TO_PING;
		record->service_kind = "ping";
		return REASON_NONE;
	}
	if (config->program == PROGRAM_CCISSLGW && wanted[0] == '\0' && session->listener->target != NULL)
		wanted = session->listener->target;
	if (config->program == PROGRAM_CCISSL && (wanted[0] == '\0' || name_equal(wanted, config->gateway.sysid)))
		wanted = session->listener->service != NULL ? session->listener->service : "";
	session->service = config_service_named(config, wanted);
	/* A gateway's own sysid means its own service: that of this name, or the only one there is. */
	if (session->service == NULL && config->program == PROGRAM_CCISSLGW &&
	    name_equal(wanted, config->gateway.sysid) && config->service_count > 0)
		session->service = &config->services[0];
	if (session->service != NULL) {
		session->destination = TO_SERVICE;
		record->service = session->service->place.name;
		record->service_kind = "service";
		return REASON_NONE;
	}
	session->peer = config->program == PROGRAM_CCISSLGW ? config_peer_for(config, wanted) : NULL;
	if (session->peer == NULL)
		return REASON_TARGET_UNKNOWN;
	if (record->front.target[0] == '\0')
		(void)snprintf(record->front.target, sizeof(record->front.target), "%s", wanted);
	session->destination = TO_PEER;
	record->service = session->peer->place.name;
	record->service_kind = "peer";
	if (session->offer != NULL && session->offer->has_hops && session->offer->hops == 0)
		return REASON_HOPS_EXHAUSTED;
	return REASON_NONE;
}

/* --- CONFIRM (protocol, section 4) --- */

static void secured(struct session *session)
{
	if (session->decision.ratchet)
		(void)ratchet_add(session->host->ratchet, session->offer->sysid);
	connect_onward(session);
}

static void on_confirm(void *owner, enum reason reason)
{
	struct session *session = owner;
	const struct params *message = exchange_received(session->exchange);
	uint8_t digest[CONFIRM_DIGEST_SIZE], expected[PARAMS_VERIFIER_SIZE];

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
	if (exchange_digest(session->exchange, digest) != 0 ||
	    confirm_verifier(channel_ssl(session->front), CONFIRM_CLIENT, digest, expected) != 0) {
		session_end(session, REASON_INTERNAL, "no verifier");
		return;
	}
	if (!confirm_equal(expected, message->verifier)) {
		session_refuse(session, REASON_ALTERED, "the verifiers differ");
		return;
	}
	session->record.front.confirmed = true;
	secured(session);
}

static void start_confirm(struct session *session)
{
	struct params confirm = {.type = PARAMS_CONFIRM, .cpu = session->offer->cpu};
	uint8_t digest[CONFIRM_DIGEST_SIZE];
	struct exchange *exchange = session->exchange;
	enum reason reason = REASON_INTERNAL;

	if (exchange_digest(exchange, digest) == 0 &&
	    confirm_verifier(channel_ssl(session->front), CONFIRM_SERVER, digest, confirm.verifier) == 0)
		reason = exchange_send(exchange, &confirm);
	if (reason != REASON_NONE) {
		session_end(session, reason, channel_error(session->front));
		return;
	}
	session_enter(session, STAGE_CONFIRM, timeouts(session)->confirm_ms);
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
	session_enter(session, STAGE_INSIDE_OFFER, timeouts(session)->exchange_ms);
	exchange_receive(session->exchange, false);
}

static void handshake_failed(struct session *session, enum reason reason, const char *detail)
{
	struct leg_news news = {.reason = reason, .detail = detail};
	enum reason ignored; /* the session ends already, and the first reason wins */

	ignored = leg_tell(&session->record.front, session->snapshot->notifiers, CCI_HANDSHAKE_FAILED, &news);
	(void)ignored;
	session_end(session, reason, detail);
}

static void on_handshake(void *owner, const struct verdict *verdict, const struct tls_facts *facts)
{
	struct session *session = owner;
	struct leg *leg = &session->record.front;
	struct leg_news news = {.facts = facts};

	session->handshake = NULL;
	leg->handshake_us = session_stage_us(session);
	session->verdict = *verdict;
	if (verdict->reason != REASON_NONE) {
		handshake_failed(session, verdict->reason, verdict->detail);
		return;
	}
	leg->secured = true;
	leg->secured_at_us = record_now_us();
	if (!tell(session, CCI_HANDSHAKE_DONE, &news))
		return;
	if (leg->direct)
		start_inside_offer(session);
	else if (verdict->confirm)
		start_confirm(session);
	else
		secured(session);
}

static void start_tls(struct session *session, enum tls_start start)
{
	struct tls_expectation expectation = {.start = start, .is_server = true};
	struct tls_worker *tls = part(session)->tls;
	SSL *ssl = tls != NULL ? tls_server_new(tls, session->listener_number, start) : NULL;

	expectation.client_auth = session->listener->client_auth;
	expectation.confirm = session->snapshot->config->tls.confirm;
	if (ssl == NULL) {
		session_end(session, tls != NULL ? REASON_NO_MEMORY : REASON_DIRECT_NOT_PERMITTED, "no TLS here");
		return;
	}
	session_enter(session, STAGE_HANDSHAKE, timeouts(session)->handshake_ms);
	session->handshake = handshake_start(session->front, ssl, &expectation, on_handshake, session);
	if (session->handshake == NULL)
		session_end(session, REASON_NO_MEMORY, "no memory for the handshake");
}

/* Answer, notify, and nothing else before the handshake (attacks: what came in the clear is never taken for TLS). */
static void answer_tls(struct session *session)
{
	struct channel_count count;
	enum reason reason;

	if (exchange_has_leftover(session->exchange)) {
		session_refuse(session, REASON_DATA_BEFORE_ANSWER, "");
		return;
	}
	reason = send_accept(session, ANSWER_TLS);
	if (reason != REASON_NONE) {
		session_end(session, reason, channel_error(session->front));
		return;
	}
	channel_counts(session->front, &count);
	session->record.front.clear_in = count.clear_in;
	session->record.front.clear_out = count.clear_out;
	if (tell(session, CCI_HANDSHAKE_STARTING, NULL))
		start_tls(session, TLS_START_UPGRADE);
}

/* --- the OFFER --- */

static void decide(struct session *session)
{
	struct policy_question question = {
	    .config = session->snapshot->config,
	    .listener = session->listener,
	    .source = &session->record.front.remote,
	    .offer = session->offer,
	    .secured_before = ratchet_holds(session->host->ratchet, session->offer->sysid),
	    .inside = session->record.front.direct,
	};
	struct decision *decision = &session->decision;

	policy_decide(&question, decision);
	session->record.outcome = outcome_word(decision->outcome);
	session->record.front.policy = unsecured_word(decision->policy);
	if (decision->rule != NULL) {
		session->record.front.rule = decision->rule->place.name;
		session->record.rule_line = decision->rule->place.line;
	}
}

static void obey(struct session *session)
{
	enum reason reason;

	decide(session);
	if (session->decision.outcome == OUTCOME_REFUSE) {
		session_refuse(session, session->decision.reason, "");
		return;
	}
	reason = choose_target(session);
	if (session->decision.outcome == OUTCOME_TLS) {
		session->postponed = reason;
		answer_tls(session);
		return;
	}
	if (reason != REASON_NONE) {
		session_refuse(session, reason, "");
		return;
	}
	if (session->decision.outcome == OUTCOME_INSIDE && session->decision.ratchet)
		(void)ratchet_add(session->host->ratchet, session->offer->sysid);
	connect_onward(session);
}

static enum reason learn_offer(struct session *session)
{
	const struct params *message = exchange_received(session->exchange);

	session->record.asked = params_security_word((enum params_security)message->security);
	session->record.front.exchange_us = session_stage_us(session);
	session->offer = malloc(sizeof(*session->offer));
	if (session->offer == NULL)
		return REASON_NO_MEMORY;
	*session->offer = *message;
	return leg_learn(&session->record.front, message);
}

static void start_direct(struct session *session)
{
	session->record.asked = "tls";
	session->record.front.direct = true;
	exchange_free(session->exchange);
	session->exchange = NULL;
	if (session->quota == QUOTA_OVER)
		session_end(session, REASON_BUSY, "");
	else if (session->host->draining)
		session_end(session, REASON_SHUTTING_DOWN, "");
	else if (session->listener->direct != CHOICE_YES)
		session_end(session, REASON_DIRECT_NOT_PERMITTED, "");
	else
		start_tls(session, TLS_START_DIRECT);
}

static void on_offer(void *owner, enum reason reason)
{
	struct session *session = owner;

	if (reason == REASON_NONE && exchange_is_tls(session->exchange)) {
		start_direct(session);
		return;
	}
	if (reason == REASON_CLOSED_EARLY && !exchange_has_bytes(session->exchange) && !session->record.front.direct)
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
	struct params nothing = {.type = PARAMS_OFFER, .security = SECURITY_NONE};
	const struct config_rule *rule;
	enum reason reason;

	session->raw = true;
	session->record.asked = "raw";
	session->offer = &nothing;
	decide(session);
	session->offer = NULL;
	rule = session->decision.rule;
	session->record.outcome = outcome_word(OUTCOME_CLEAR);
	session->decision.outcome = OUTCOME_CLEAR;
	session->decision.ratchet = false;
	if (rule != NULL && rule->action == ACTION_REFUSE)
		reason = REASON_NOT_PERMITTED;
	else if (session->quota == QUOTA_OVER)
		reason = REASON_BUSY;
	else if (session->host->draining)
		reason = REASON_SHUTTING_DOWN;
	else
		reason = choose_target(session);
	if (reason != REASON_NONE)
		session_refuse(session, reason, "");
	else
		connect_onward(session);
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
	session_enter(session, STAGE_OFFER, timeouts(session)->exchange_ms);
	exchange_receive(session->exchange, true);
}

static void check_idle(struct session *session)
{
	uint64_t idle_ms = timeouts(session)->idle_ms;
	uint64_t now_ms = uv_now(iocontext_loop(session->host->io));
	struct relay_count count;

	relay_counts(session->relay, &count);
	if (now_ms - count.activity_ms >= idle_ms)
		session_end(session, REASON_IDLE, "");
	else
		session_enter(session, STAGE_RELAY, count.activity_ms + idle_ms - now_ms);
}

void session_late(struct session *session)
{
	switch (session->stage) {
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
	case STAGE_RELAY:
		check_idle(session);
		break;
	default:
		break;
	}
}
