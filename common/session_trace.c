/* What traces learn of a session's own stages; of the others the stages say it themselves. */
#include "session_stages.h"

void session_trace_accepted(struct session *session)
{
	const struct leg *front = &session->record.front;
	char from[ADDRESS_TEXT_SIZE], via[ADDRESS_TEXT_SIZE];

	if (!trace_any())
		return;
	/* Whose the connection is, a balancer has to say yet. */
	if (front->via == NULL && network_list_contains(&session->listener->proxy_from, &front->remote))
		session->held.unknown |= TRACE_UNKNOWN_SOURCE;
	if (front->via == NULL)
		trace_say(&session->trace, TRACE_FRONT, "accepted", "from %s on listener %s",
		          socket_format(&front->remote, from), front->listener);
	else
		trace_say(&session->trace, TRACE_FRONT, "PROXY header", "from %s by way of %s",
		          socket_format(&front->remote, from), socket_format(front->via, via));
}

void session_trace_decision(const struct session *session)
{
	const struct decision *decision = &session->decision;
	char place[128];

	if (!trace_any())
		return;
	trace_say(&session->trace, TRACE_FRONT, "decided", "%s by %s, policy %s%s%s%s", outcome_word(decision->outcome),
	          decision_place(decision, session->listener, place, sizeof(place)), unsecured_word(decision->policy),
	          decision->reason != REASON_NONE ? ": " : "",
	          decision->reason != REASON_NONE ? reason_text(decision->reason) : "",
	          decision->identity_due ? "; once more when the certificate is known" : "");
}

void session_trace_target(const struct session *session, enum reason reason)
{
	const char *name = "";

	if (!trace_any())
		return;
	if (session->destination == TO_SERVICE && session->service != NULL)
		name = session->service->place.name;
	else if (session->destination == TO_PEER && session->peer != NULL)
		name = session->peer->place.name;
	if (reason != REASON_NONE)
		trace_say(&session->trace, TRACE_BACK, "no target", "%s", reason_text(reason));
	else
		trace_say(&session->trace, TRACE_BACK, "target chosen", "%s %s", destination_word(session->destination), name);
}

void session_trace_relay(const struct session *session)
{
	const struct record *record = &session->record;
	const char *onward = record->back.secured ? "secured" : "clear";

	TRACE(&session->trace, TRACE_FRONT, "relay starts", "%s to the client, %s",
	      record->front.secured ? "secured" : "clear", session->back == NULL ? "back to it" : onward);
}

void session_trace_end(const struct session *session)
{
	const struct record *record = &session->record;

	if (!trace_any())
		return;
	trace_say(&session->trace, TRACE_FRONT, "counts", "%llu bytes from the client, %llu to it",
	          (unsigned long long)record->up, (unsigned long long)record->down);
	trace_end(&session->trace, reason_word(record->reason),
	          record->detail != NULL && record->detail[0] != '\0' ? record->detail : reason_text(record->reason));
}
