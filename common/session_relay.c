/* The last steps before a session relays: the ACCEPT has left, notifiers are told, the relay starts. */
#include <stdlib.h>

#include "session_stages.h"

/* Bounds of *PING (protocol, section 8). */
#define PING_BYTES 4096

static void on_relay(void *owner, enum reason reason, bool at_front, const char *detail)
{
	struct session *session = owner;

	session->record.reason_at_back = !at_front;
	session_end(session, reason, detail);
}

static void start_relay(struct session *session)
{
	uint64_t limit = session->destination == TO_PING ? PING_BYTES : 0;

	if (!session_send_proxy(session))
		return;
	session->agreed = true;
	session_report(session, REPORT_AGREED);
	if (!session->record.front.secured)
		session_is(session, METRICS_CLEAR);
	session_is_linked(session);
	exchange_free(session->exchange);
	session->exchange = NULL;
	free(session->offer);
	session->offer = NULL;
	session_enter(session, STAGE_RELAY, 0);
	session_keep_alive(session);
	session_trace_relay(session);
	session->relay = relay_start(session->front, session->back, limit, &session->verdict, on_relay, session);
	if (session->relay == NULL)
		session_end(session, REASON_NO_MEMORY, "no memory for the relay");
	else {
		relay_trace(session->relay, &session->trace);
		session_watch_relay(session);
	}
}

static void agree(struct session *session)
{
	bool is_clear = session->raw || session->decision.outcome == OUTCOME_CLEAR;

	if (is_clear)
		session_tell(session, CCI_UNSECURED, NULL, start_relay);
	else
		start_relay(session);
}

static void on_sent(void *owner, unsigned events)
{
	struct session *session = owner;
	enum channel_status status;

	if (!(events & CHANNEL_WRITABLE))
		return;
	channel_watch(session->front, NULL, NULL);
	status = channel_sent(session->front);
	if (status == CHANNEL_OK)
		agree(session);
	else
		session_end(session, status == CHANNEL_NO_MEMORY ? REASON_NO_MEMORY : REASON_RESET,
		            channel_error(session->front));
}

void session_agree(struct session *session)
{
	if (channel_pending(session->front) == 0) {
		agree(session);
		return;
	}
	session_enter(session, STAGE_ANSWER, session_timeouts(session).exchange_ms);
	channel_watch(session->front, on_sent, session);
}
