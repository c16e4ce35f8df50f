/* What the report is told of a session: the same that its closing record says. */
#include <string.h>

#include "session_stages.h"

static void take_security(const struct leg *leg, const struct tls_facts *facts, struct report_session *said)
{
	said->secured = true;
	said->confirmed = leg->confirmed;
	said->resumed = facts->resumed;
	said->tls_version = facts->version;
	said->tls_suite = facts->suite;
	said->tls_start = leg->direct ? "direct" : "upgrade";
	if (facts->has_peer && strcmp(facts->verify, "ok") == 0)
		said->peer_subject = facts->subject;
}

void session_report(const struct session *session, enum report_moment moment)
{
	const struct record *record = &session->record;
	const struct leg *leg = &record->front;
	struct tls_facts facts;
	struct report_session said = {
	    .listener = leg->listener,
	    .sysid = leg->sysid,
	    .agent = leg->agent,
	    .source = &leg->remote,
	    .asked = record->asked,
	    .outcome = record->outcome,
	    .policy = leg->policy,
	    .rule = leg->rule,
	    .audit_policy = record->audit,
	    .audit_outcome = record->audit_outcome,
	    .never_outcome = record->never,
	    .reason = reason_word(record->reason),
	    .relayed = session->agreed,
	    .ratcheted = moment == REPORT_AGREED
	                     ? session->decision.ratchet && ratchet_holds(session->host->ratchet, leg->sysid)
	                     : record->ratcheted,
	    .ping = strcmp(leg->target, PARAMS_PING) == 0,
	    .bytes_up = record->up,
	    .bytes_down = record->down,
	    .started_us = record->started_us,
	    .moment = moment,
	};

	if (session->host->report == NULL)
		return;
	if (leg->facts != NULL) {
		take_security(leg, leg->facts, &said);
	} else if (leg->secured && leg->channel != NULL && channel_ssl(leg->channel) != NULL) {
		tls_facts_of(channel_ssl(leg->channel), &facts);
		take_security(leg, &facts, &said);
	}
	report_add(session->host->report, &said);
}
