/* The life of a session: start, deadlines, and the one place where it ends. */
#include "session.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "session_stages.h"

static void unlink_session(struct session *session)
{
	struct session_host *host = session->host;

	if (session->previous != NULL)
		session->previous->next = session->next;
	else
		host->first = session->next;
	if (session->next != NULL)
		session->next->previous = session->previous;
	if (host->next_viewed == session)
		host->next_viewed = session->next;
	host->count--;
}

static void link_session(struct session *session)
{
	struct session_host *host = session->host;

	session->serial = ++host->serial;
	session->next = host->first;
	if (host->first != NULL)
		host->first->previous = session;
	host->first = session;
	host->count++;
}

static void timer_closed(uv_handle_t *timer)
{
	struct session *session = timer->data;
	struct session_host *host = session->host;

	unlink_session(session);
	trace_held_drop(&session->held);
	leg_close(&session->record.front);
	leg_close(&session->record.back);
	snapshot_leave(session->snapshot, host->number);
	free(session->offer);
	free(session);
	if (host->count == 0 && host->emptied != NULL)
		host->emptied(host);
}

static void on_timer(uv_timer_t *timer)
{
	session_late(timer->data);
}

void session_enter(struct session *session, enum stage stage, uint64_t deadline_ms)
{
	session->stage = stage;
	session->stage_began_ns = uv_hrtime();
	if (deadline_ms == 0)
		(void)uv_timer_stop(&session->timer);
	else
		(void)uv_timer_start(&session->timer, on_timer, deadline_ms, 0);
}

uint64_t session_stage_us(const struct session *session)
{
	return (uv_hrtime() - session->stage_began_ns) / 1000;
}

static void cancel_stages(struct session *session)
{
	notifier_wait_cancel(&session->notified);
	proxyin_cancel(session->proxyin);
	exchange_free(session->exchange);
	handshake_cancel(session->handshake);
	target_cancel(session->target);
	dial_cancel(session->dial);
	relay_free(session->relay);
	session->proxyin = NULL;
	session->exchange = NULL;
	session->handshake = NULL;
	session->target = NULL;
	session->dial = NULL;
	session->relay = NULL;
}

static void free_session(struct session *session)
{
	session_leave_rule(session);
	if (session->quota != QUOTA_CLOSE)
		quota_leave(session->host->admission.quota, &session->source, session->quota);
	session->quota = QUOTA_CLOSE;
	uv_close((uv_handle_t *)&session->timer, timer_closed);
}

static void lingered(void *owner)
{
	struct session *session = owner;

	session->linger = NULL;
	free_session(session);
}

/* An end that nobody asked for is never presented as an orderly one: without close_notify in TLS, by a reset in the
 * clear. */
static void break_off(struct channel *channel)
{
	if (channel == NULL)
		return;
	if (channel_ssl(channel) != NULL)
		channel_close(channel);
	else
		channel_abort(channel);
}

static void close_channels(struct session *session, bool said)
{
	struct channel *front = session->front;
	bool orderly = session->record.reason == REASON_ENDED;
	enum linger_way way = orderly || said ? LINGER_DROP : LINGER_RESET;

	session->front = NULL;
	if (orderly)
		channel_close(session->back);
	else
		break_off(session->back);
	session->back = NULL;
	if (orderly && session->destination != TO_PING && session->record.back.listener != NULL) {
		channel_close(front);
	} else if (front != NULL && (said || orderly || (channel_ssl(front) == NULL && session->record.down > 0))) {
		session_enter(session, STAGE_LINGER, 0);
		session->linger = linger_start(front, way, lingered, session);
		if (session->linger != NULL)
			return;
	} else {
		break_off(front);
	}
	free_session(session);
}

static void end(struct session *session, enum reason reason, const char *detail, bool said)
{
	struct record *record = &session->record;

	if (session->ended)
		return;
	session->ended = true;
	(void)uv_timer_stop(&session->timer);
	record->reason = reason;
	record->detail = detail;
	session_account(session);
	cancel_stages(session);
	target_place_leave(&session->place);
	record->front.channel = record->back.channel = NULL;
	close_channels(session, said);
}

void session_end(struct session *session, enum reason reason, const char *detail)
{
	end(session, reason, detail, false);
}

void session_refuse_as(struct session *session, uint16_t code, enum reason reason, const char *detail)
{
	struct params refuse = {.type = PARAMS_REFUSE, .cpu = PARAMS_UTF8, .reason = code};
	bool said = false;

	if (session->ended)
		return;
	if (refuse.reason != 0 && session->exchange != NULL) {
		refuse.cpu = exchange_received(session->exchange)->cpu;
		(void)snprintf(refuse.text, sizeof(refuse.text), "%s", reason_text(reason));
		said = exchange_send(session->exchange, &refuse) == REASON_NONE &&
		       channel_end(session->front) == CHANNEL_OK;
		session->record.refuse_code = refuse.reason;
	}
	session->record.outcome = outcome_word(OUTCOME_REFUSE);
	session_answered(session, METRICS_ANSWER_REFUSE, session->record.refuse_code);
	end(session, reason, detail, said);
}

void session_refuse(struct session *session, enum reason reason, const char *detail)
{
	session_refuse_as(session, reason_code(reason), reason, detail);
}

static void init_record(struct session *session, const union socket_address *remote)
{
	struct record *record = &session->record;
	const struct config *config = session->snapshot->config;

	record->started_us = clock_utc_us();
	/* Only joins records of one connection: nothing secret depends on it. */
	if (RAND_bytes(record->connection, sizeof(record->connection)) != 1)
		memcpy(record->connection, &record->started_us, sizeof(record->started_us));
	leg_init(&record->front, CCI_ACCEPTING, config->gateway.sysid, record->connection);
	leg_init(&record->back, CCI_CONNECTING, config->gateway.sysid, record->connection);
	record->front.started_us = record->back.started_us = record->started_us;
	record->front.listener = session->listener->place.name;
	record->front.policy = unsecured_word((enum unsecured)session->listener->unsecured);
	leg_attach(&record->front, session->front, remote);
	session->trace = (struct trace_subject){.connection = record->connection,
	                                        .source = &record->front.remote,
	                                        .sysid = record->front.sysid,
	                                        .held = &session->held,
	                                        .began_ns = session->began_ns};
	session->held.unknown = session->listener->exchange != EXCHANGE_NONE ? TRACE_UNKNOWN_NAME : 0;
	record->front.trace = record->back.trace = &session->trace;
}

int session_start(struct session_host *host, struct snapshot *snapshot, size_t listener, int fd,
                  const union socket_address *remote, enum quota_verdict quota)
{
	struct session *session = calloc(1, sizeof(*session));

	if (session == NULL)
		return -1;
	session->front = channel_new(host->io, fd);
	if (session->front == NULL) {
		free(session);
		return -1;
	}
	session->host = host;
	session->snapshot = snapshot_use(snapshot, host->number);
	session->listener_number = listener;
	session->listener = &snapshot->config->listeners[listener];
	session->quota = quota;
	session->began_ns = session->stage_began_ns = uv_hrtime();
	session->timer.data = session;
	quota_key_of(&session->listener->proxy_from, remote, &session->source);
	(void)uv_timer_init(iocontext_loop(host->io), &session->timer);
	link_session(session);
	init_record(session, remote);
	metrics_begin(host->metrics);
	session_trace_accepted(session);
	session_begin(session);
	return 0;
}

void session_drain(struct session_host *host)
{
	host->draining = true;
}

void session_end_all(struct session_host *host, enum reason reason)
{
	struct session *next;

	for (struct session *session = host->first; session != NULL; session = next) {
		next = session->next;
		if (session->linger != NULL) {
			linger_stop(session->linger);
			session->linger = NULL;
			free_session(session);
		} else {
			session_end(session, reason, "");
		}
	}
}
