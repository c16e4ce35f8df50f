/* All who are to hear of it when a session ends: the record, the notifiers, and those who count. */
#include <stdlib.h>

#include "record_json.h"
#include "session_stages.h"

static bool is_truncated(enum reason reason)
{
	return reason == REASON_TRUNCATED;
}

/* Tell the notifiers how a leg ended; nothing depends on their answer any more. */
static void tell_end(struct session *session, const struct leg *leg, uint64_t in, uint64_t out)
{
	struct record *record = &session->record;
	struct leg_news news = {
	    .facts = leg->facts, .reason = record->reason, .detail = record->detail, .bytes_in = in, .bytes_out = out};
	enum cci_event_type type = session->agreed ? CCI_CLOSED : CCI_REFUSED;
	enum reason ignored;

	if (leg->listener == NULL || !notifiers_want(session->snapshot->notifiers, type))
		return;
	news.duration_us = record->duration_us;
	news.truncated = is_truncated(record->reason) && record->reason_at_back == (leg == &record->back);
	ignored = leg_tell(leg, session->snapshot->notifiers, type, &news, NULL);
	(void)ignored;
}

/* All there is to say, to those who keep records. */
static void tell_record(struct session *session)
{
	struct notifiers *notifiers = session->snapshot->notifiers;
	struct leg_news news = {.reason = session->record.reason};
	enum reason ignored;
	char *line;

	if (!notifiers_want(notifiers, CCI_RECORD))
		return;
	line = record_json(&session->record, NULL);
	if (line == NULL)
		return;
	news.record = line;
	ignored = leg_tell(&session->record.front, notifiers, CCI_RECORD, &news, NULL);
	(void)ignored;
	free(line);
}

/* The stage in which a session ends took time too. */
static void note_last_stage(struct session *session)
{
	struct record *record = &session->record;
	uint64_t took_us = session_stage_us(session);

	if ((session->stage == STAGE_OFFER || session->stage == STAGE_INSIDE_OFFER) && record->front.exchange_us == 0)
		record->front.exchange_us = took_us;
	else if (session->stage == STAGE_HANDSHAKE && record->front.handshake_us == 0)
		record->front.handshake_us = took_us;
	else if (session->stage == STAGE_CONNECT && record->connect_us == 0)
		record->connect_us = took_us;
}

void session_answered(struct session *session, enum metrics_answer answer, uint16_t code)
{
	/* What asked for nothing was no offer; a REFUSE inside TLS follows an ACCEPT. */
	if (session->answered || session->record.asked == NULL)
		return;
	session->answered = true;
	metrics_answer(session->host->metrics, session->record.asked, answer, code);
}

void session_is(struct session *session, enum metrics_security security)
{
	if (session->security != security)
		metrics_change(session->host->metrics, session->security, security);
	session->security = security;
}

void session_is_linked(struct session *session)
{
	const struct record *record = &session->record;
	bool secured = session->destination == TO_PEER ? record->back.secured : record->front.secured;

	session->link = secured ? METRICS_SECURED : METRICS_CLEAR;
	metrics_link(session->host->metrics, session->link, true);
}

static bool is_noise(enum reason reason)
{
	return reason == REASON_NOT_CCI || reason == REASON_PROXY_MISSING;
}

static void count(const struct session *session)
{
	const struct record *record = &session->record;
	struct metrics_end end = {.was = session->security,
	                          .reason = record->reason,
	                          .agreed = session->agreed,
	                          .noise = is_noise(record->reason),
	                          .up = record->up,
	                          .down = record->down,
	                          .exchange_us = record->front.exchange_us,
	                          .handshake_us = record->front.handshake_us,
	                          .connect_us = record->connect_us,
	                          .duration_us = record->duration_us};
	struct channel_count channel;

	if (record->front.channel != NULL) {
		channel_counts(record->front.channel, &channel);
		end.clear_in = channel.clear_in;
		end.clear_out = channel.clear_out;
	}
	metrics_end(session->host->metrics, &end);
	if (session->link != METRICS_UNDECIDED)
		metrics_link(session->host->metrics, session->link, false);
}

/* All that is still to be filled in. */
static void complete(struct session *session)
{
	struct record *record = &session->record;
	struct relay_count relayed;

	note_last_stage(session);
	if (session->relay != NULL) {
		relay_counts(session->relay, &relayed);
		record->up = relayed.up;
		record->down = relayed.down;
	}
	record->duration_us = (uv_hrtime() - session->began_ns) / 1000;
	record->relayed = session->agreed;
	record->ratcheted = session->decision.ratchet && ratchet_holds(session->host->ratchet, record->front.sysid);
}

/* Asked of the connection at its end, so that an idle one holds no copy; and once for all who are told. */
static void learn_facts(struct leg *leg, struct tls_facts *facts)
{
	SSL *ssl = leg->secured && leg->channel != NULL ? channel_ssl(leg->channel) : NULL;

	if (ssl == NULL)
		return;
	tls_facts_of(ssl, facts);
	leg->facts = facts;
}

void session_account(struct session *session)
{
	struct record *record = &session->record;
	struct tls_facts front, back;

	complete(session);
	learn_facts(&record->front, &front);
	learn_facts(&record->back, &back);
	record_write(record);
	session_report(session, session->agreed ? REPORT_ENDED : REPORT_WHOLE);
	count(session);
	if (is_noise(record->reason))
		noise_count(session->host->noise, &record->front.remote, record->reason,
		            uv_now(iocontext_loop(session->host->io)));
	/* What is no CCI inside of TLS was told of as secured before. */
	if (!is_noise(record->reason) || record->front.secured)
		tell_end(session, &record->front, record->up, record->down);
	/* One that was agreed on and is not used yet, too: whoever was told of it is told of its end. */
	if (session->destination == TO_PEER && (session->back != NULL || (session->dial != NULL && record->back.secured)))
		tell_end(session, &record->back, record->down, record->up);
	if (!is_noise(record->reason))
		tell_record(session);
	session_trace_end(session);
	record->front.facts = record->back.facts = NULL;
}
