/* Whom a session is connected to, and the connection there. */
#include <stdio.h>
#include <string.h>

#include "session_stages.h"

/* Before the answer a REFUSE can be sent; afterwards only the end. The client is told that nobody is reached, whatever
 * it was between us and the peer: "timed out" or "altered" would be said of the client's own exchange. */
static void not_reached(struct session *session, enum reason reason, const char *detail)
{
	uint16_t code = reason_code(REASON_TARGET_UNREACHABLE);

	if (reason == REASON_NO_MEMORY)
		code = reason_code(reason);
	if (session->decision.outcome == OUTCOME_TLS || session->raw)
		session_end(session, reason, detail);
	else
		session_refuse_as(session, code, reason, detail);
}

static struct target_memory *service_memory(const struct session *session)
{
	return session->snapshot->services[session->service - session->snapshot->config->services];
}

static struct target_memory *peer_memory(const struct session *session)
{
	return session->snapshot->peers[session->peer - session->snapshot->config->peers];
}

static void on_target(void *owner, enum reason reason, struct channel *channel, size_t address, const char *detail)
{
	struct session *session = owner;

	session->target = NULL;
	if (reason != REASON_NONE) {
		session->record.reason_at_back = true;
		not_reached(session, reason, detail);
		return;
	}
	session->back = channel;
	TRACE(&session->trace, TRACE_BACK, "connected", "to the service, address %zu", address);
	target_place_take(&session->place, service_memory(session), address);
	session->record.back.listener = session->service->place.name;
	if (channel != NULL)
		leg_attach(&session->record.back, channel, NULL);
	session_target_there(session);
}

/* Once a session, though several addresses may have been tried. */
static void count_handshake(const struct session *session, const struct dial_result *result)
{
	struct metrics_part *metrics = session->host->metrics;

	if (result->facts != NULL)
		metrics_handshake(metrics, METRICS_CONNECTING, result->facts->version, result->facts->suite,
		                  result->facts->resumed);
	else if (session->record.back.handshake_us != 0 || result->reason == REASON_HANDSHAKE_TIMEOUT)
		metrics_handshake_failed(metrics, METRICS_CONNECTING, result->reason);
	if (session->record.back.confirmed)
		metrics_confirmed(metrics, METRICS_CONNECTING);
}

static void on_dial(void *owner, const struct dial_result *result)
{
	struct session *session = owner;
	struct record *record = &session->record;

	session->dial = NULL;
	count_handshake(session, result);
	if (result->reason != REASON_NONE) {
		record->reason_at_back = true;
		record->peer_text = result->refuse_text;
		not_reached(session, result->reason, result->detail);
		return;
	}
	session->back = result->channel;
	target_place_take(&session->place, peer_memory(session), result->address);
	session_target_there(session);
}

static void connect_service(struct session *session)
{
	const struct config_service *service = session->service;
	struct target_options options = {
	    .addresses = &service->address,
	    .memory = service_memory(session),
	    .balance = service->balance,
	    .retry_ms = service->retry_ms,
	    .connect_ms = session_timeouts(session).connect_ms,
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
	struct config_timeouts timeouts = session_timeouts(session);
	struct dial_options options = {
	    .io = session->host->io,
	    .peer = peer,
	    .peer_number = number,
	    .tls = session_part(session)->tls,
	    .memory = peer_memory(session),
	    .notifiers = session->snapshot->notifiers,
	    .ratchet = session->host->peer_ratchet,
	    .timeouts = &timeouts,
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

void session_connect_onward(struct session *session)
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
		session_target_there(session);
}

enum reason session_choose_target(struct session *session)
{
	struct record *record = &session->record;
	struct route_question question = {.config = session->snapshot->config,
	                                  .listener = session->listener,
	                                  .service = session->decision.service,
	                                  .wanted = session->offer != NULL ? session->offer->target : "",
	                                  .offer = session->offer};
	struct route route;
	enum reason reason = route_choose(&question, &route);

	session->destination = route.destination;
	session->service = route.service;
	session->peer = route.peer;
	record->service_kind = destination_word(route.destination);
	session_trace_target(session, reason);
	if (route.destination == TO_SERVICE)
		record->service = route.service->place.name;
	if (route.destination != TO_PEER)
		return reason;
	record->service = route.peer->place.name;
	if (question.wanted[0] == '\0')
		(void)snprintf(record->front.target, sizeof(record->front.target), "%s", route.target);
	return reason;
}

size_t session_end_peer(struct session_host *host, const struct target_memory *memory)
{
	size_t count = 0;

	for (struct session *next, *session = host->first; session != NULL; session = next) {
		next = session->next;
		if (session->ended || session->destination != TO_PEER || (session->dial == NULL && session->back == NULL) ||
		    peer_memory(session) != memory)
			continue;
		count++;
		session->record.reason_at_back = true;
		/* An ACCEPT has gone, or is going. */
		if (session->agreed || session->stage == STAGE_ANSWER || session->stage == STAGE_NOTIFY)
			session_end(session, REASON_DISCONNECTED, "");
		else
			not_reached(session, REASON_DISCONNECTED, "");
	}
	return count;
}
