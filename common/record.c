/* What is known of a connection, as notifier events and as the one closing record. */
#include "record.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "event_tls.h"
#include "log.h"

void leg_init(struct leg *leg, enum cci_role role, const char *gateway, const uint8_t *connection)
{
	memset(leg, 0, sizeof(*leg));
	leg->role = role;
	leg->gateway = gateway;
	leg->connection = connection;
}

void leg_attach(struct leg *leg, struct channel *channel, const union socket_address *remote)
{
	socklen_t size = sizeof(leg->remote);

	leg->channel = channel;
	if (remote != NULL)
		leg->remote = *remote;
	else
		(void)getpeername(channel_fd(channel), &leg->remote.any, &size);
	size = sizeof(leg->local);
	(void)getsockname(channel_fd(channel), &leg->local.any, &size);
}

enum reason leg_learn(struct leg *leg, const struct params *message)
{
	(void)snprintf(leg->sysid, sizeof(leg->sysid), "%s", message->sysid);
	if (message->type == PARAMS_OFFER)
		(void)snprintf(leg->target, sizeof(leg->target), "%s", message->target);
	leg->has_peer_connection = message->has_connection;
	memcpy(leg->peer_connection, message->connection, sizeof(leg->peer_connection));
	free(leg->agent);
	leg->agent = NULL;
	if (message->agent[0] == '\0')
		return REASON_NONE;
	leg->agent = strdup(message->agent);
	return leg->agent != NULL ? REASON_NONE : REASON_NO_MEMORY;
}

void leg_close(struct leg *leg)
{
	free(leg->agent);
	leg->agent = NULL;
	free(leg->via);
	leg->via = NULL;
}

static void fill_tls(struct cci_event *event, const struct tls_facts *facts)
{
	event->tls_version = facts->version;
	event->tls_suite = facts->suite;
	event->tls_group = facts->group;
	event->tls_alpn = facts->alpn;
	event->tls_resumed = facts->resumed;
	event->peer_subject = facts->subject;
	event->peer_names = facts->names;
	event->peer_serial = facts->serial;
	event->peer_not_after = facts->not_after;
	event->verify = facts->verify;
}

void leg_clear_bytes(const struct leg *leg, uint64_t *in, uint64_t *out)
{
	struct channel_count count;

	*in = *out = 0;
	if (leg->channel == NULL)
		return;
	channel_counts(leg->channel, &count);
	*in = count.clear_in;
	*out = count.clear_out;
}

/* Since version 2 of the interface. */
static void fill_more(struct cci_event *event, const struct leg *leg, struct event_certificate *texts)
{
	SSL *ssl = leg->channel != NULL ? channel_ssl(leg->channel) : NULL;
	bool is_over = event->type == CCI_CLOSED || event->type == CCI_REFUSED || event->type == CCI_HANDSHAKE_FAILED;

	event->started_us = leg->started_us;
	event->secured_us = leg->secured_at_us;
	event->peer_connection = leg->has_peer_connection ? leg->peer_connection : NULL;
	event->tls_start = ssl == NULL ? NULL : leg->direct ? "direct" : "upgrade";
	/* A record says all by itself. */
	if (ssl != NULL && leg->secured && event->type != CCI_RECORD)
		event_tls_fill(event, ssl, texts);
	if (is_over)
		event_tcp_fill(event);
}

static void fill_end(struct cci_event *event, const struct leg *leg, const struct leg_news *news)
{
	event->reason = news->reason != REASON_NONE ? reason_word(news->reason) : "";
	event->detail = news->detail;
	event->bytes_in = news->bytes_in;
	event->bytes_out = news->bytes_out;
	event->duration_us = news->duration_us;
	event->truncated = news->truncated;
	event->secured = leg->secured;
	event->tls_confirmed = leg->confirmed;
	event->record = news->record;
}

enum trace_side leg_side(const struct leg *leg)
{
	return leg->role == CCI_ACCEPTING ? TRACE_FRONT : TRACE_BACK;
}

static void trace_facts(const struct leg *leg, const struct tls_facts *facts)
{
	trace_say(leg->trace, leg_side(leg), "handshake done", "TLS %s %s group=%s alpn=%s %s certificate: %s%s%s",
	          facts->version, facts->suite, facts->group, facts->alpn[0] != '\0' ? facts->alpn : "none",
	          facts->resumed ? "resumed" : "full", facts->has_peer ? facts->subject : "none shown",
	          facts->has_peer ? ", verified: " : "", facts->has_peer ? facts->verify : "");
}

/* What the notifiers are about to be told, and what came of telling them. */
static void trace_told(const struct leg *leg, enum cci_event_type type, const struct leg_news *news, enum reason reason)
{
	static const char *const words[] = {
	    [CCI_HANDSHAKE_STARTING] = "handshake starts after clear bytes",
	    [CCI_HANDSHAKE_DONE] = "handshake done",
	    [CCI_HANDSHAKE_FAILED] = "handshake failed",
	    [CCI_UNSECURED] = "goes on unsecured",
	    [CCI_REFUSED] = "refused",
	    [CCI_CLOSED] = "closed",
	    [CCI_RECORD] = "the record",
	};

	if (type == CCI_HANDSHAKE_DONE && news->facts != NULL)
		trace_facts(leg, news->facts);
	if (type == CCI_HANDSHAKE_FAILED)
		trace_say(leg->trace, leg_side(leg), "handshake failed", "%s: %s", reason_word(news->reason),
		          news->detail != NULL ? news->detail : "");
	trace_say(leg->trace, leg_side(leg), "notifiers told", "%s%s", words[type],
	          reason != REASON_NONE ? "; one refused it" : "");
}

static enum reason tell_notifiers(const struct leg *leg, struct notifiers *notifiers, enum cci_event_type type,
                                  const struct leg_news *news, struct notifier_wait *wait)
{
	struct cci_event event = {.size = sizeof(event), .version = CCI_NOTIFIER_VERSION, .type = (int32_t)type};
	struct event_certificate texts;

	if (wait != NULL)
		wait->answers = NULL;
	if (!notifiers_want(notifiers, type))
		return REASON_NONE;
	event.role = (int32_t)leg->role;
	event.fd = leg->channel != NULL ? channel_fd(leg->channel) : -1;
	memcpy(event.connection, leg->connection, sizeof(event.connection));
	event.time_us = clock_utc_us();
	event.remote = leg->remote.any.sa_family != 0 ? &leg->remote.any : NULL;
	event.local = leg->local.any.sa_family != 0 ? &leg->local.any : NULL;
	event.gateway = leg->gateway;
	event.sysid = leg->sysid;
	event.target = leg->target;
	event.agent = leg->agent;
	event.listener = leg->listener;
	event.rule = leg->rule != NULL ? leg->rule : "";
	event.policy = leg->policy;
	leg_clear_bytes(leg, &event.clear_in, &event.clear_out);
	if (news->facts != NULL)
		fill_tls(&event, news->facts);
	fill_more(&event, leg, &texts);
	fill_end(&event, leg, news);
	return notifiers_tell(notifiers, &event, wait);
}

enum reason leg_tell(const struct leg *leg, struct notifiers *notifiers, enum cci_event_type type,
                     const struct leg_news *news, struct notifier_wait *wait)
{
	enum reason reason = tell_notifiers(leg, notifiers, type, news, wait);

	if (trace_any())
		trace_told(leg, type, news, reason);
	return reason;
}

const char *connection_text(const uint8_t *connection, char *buffer)
{
	struct text text;

	text_init(&text, buffer, CONNECTION_TEXT_SIZE);
	text_put_hex(&text, connection, PARAMS_CONNECTION_SIZE);
	return buffer;
}

static const char *yes_no(bool yes)
{
	return yes ? "yes" : "no";
}

/* Keys of the two legs differ in their prefix alone. */
static void put_key(struct logline *line, const char *prefix, const char *key, const char *value)
{
	char whole[48];

	if (prefix[0] == '\0') {
		log_text(line, key, value);
		return;
	}
	(void)snprintf(whole, sizeof(whole), "%s%s", prefix, key);
	log_text(line, whole, value);
}

static void put_utc(struct logline *line, const char *prefix, const char *key, uint64_t time_us)
{
	char buffer[40];
	struct text text;

	text_init(&text, buffer, sizeof(buffer));
	text_put_utc(&text, time_us);
	put_key(line, prefix, key, buffer);
}

static void put_security(struct logline *line, const struct leg *leg, const char *prefix)
{
	const struct tls_facts *facts = leg->facts;
	const X509 *own;
	char serial[sizeof(facts->serial)];

	if (leg->handshake_at_us != 0)
		put_utc(line, prefix, "handshake_at", leg->handshake_at_us);
	put_key(line, prefix, "secured", yes_no(leg->secured));
	if (facts == NULL)
		return;
	put_utc(line, prefix, "secured_at", leg->secured_at_us);
	own = event_tls_own(channel_ssl(leg->channel));
	if (own != NULL) {
		tls_serial_of(own, serial);
		put_key(line, prefix, "own_serial", serial);
	}
	put_key(line, prefix, "tls_version", facts->version);
	put_key(line, prefix, "tls_suite", facts->suite);
	put_key(line, prefix, "tls_group", facts->group);
	put_key(line, prefix, "tls_alpn", facts->alpn);
	put_key(line, prefix, "tls_start", leg->direct ? "direct" : "upgrade");
	put_key(line, prefix, "tls_resumed", yes_no(facts->resumed));
	put_key(line, prefix, "confirmed", yes_no(leg->confirmed));
	put_key(line, prefix, "verify", facts->verify);
	if (!facts->has_peer)
		return;
	put_key(line, prefix, "peer_subject", facts->subject);
	put_key(line, prefix, "peer_names", facts->names);
	put_key(line, prefix, "peer_serial", facts->serial);
	put_key(line, prefix, "peer_not_after", facts->not_after);
}

static void put_front(struct logline *line, const struct record *record)
{
	const struct leg *leg = &record->front;
	char text[ADDRESS_TEXT_SIZE];

	if (leg->has_peer_connection)
		log_hex(line, "client_conn", leg->peer_connection, sizeof(leg->peer_connection));
	log_text(line, "from", socket_format(&leg->remote, text));
	if (leg->via != NULL)
		log_text(line, "via", socket_format(leg->via, text));
	log_text(line, "listener", leg->listener);
	log_text(line, "asked", record->asked);
	log_text(line, "outcome", record->outcome);
	if (leg->rule != NULL)
		log_format(line, "rule", "%s:%u", leg->rule, record->rule_line);
	else
		log_text(line, "rule", "-");
	log_text(line, "policy", leg->policy);
	log_text(line, "audit_policy", record->audit);
	log_text(line, "audit_outcome", record->audit_outcome);
	if (record->audit_reason != REASON_NONE)
		log_text(line, "audit_reason", reason_word(record->audit_reason));
	log_text(line, "never_outcome", record->never);
	if (record->never_reason != REASON_NONE)
		log_text(line, "never_reason", reason_word(record->never_reason));
	log_text(line, "sysid", leg->sysid);
	log_text(line, "target", leg->target);
	log_text(line, "agent", leg->agent);
	log_text(line, "relayed", yes_no(record->relayed));
	log_text(line, "ratcheted", yes_no(record->ratcheted));
	put_security(line, leg, "");
}

static void put_number(struct logline *line, const char *prefix, const char *key, uint64_t number)
{
	char whole[48];

	(void)snprintf(whole, sizeof(whole), "%s%s", prefix, key);
	log_number(line, whole, number);
}

static void put_stages(struct logline *line, const struct leg *leg, const char *prefix)
{
	uint64_t clear_in, clear_out;

	leg_clear_bytes(leg, &clear_in, &clear_out);
	put_number(line, prefix, "clear_in", clear_in);
	put_number(line, prefix, "clear_out", clear_out);
	put_number(line, prefix, "exchange_us", leg->exchange_us);
	put_number(line, prefix, "handshake_us", leg->handshake_us);
}

static void put_back(struct logline *line, const struct record *record)
{
	const struct leg *leg = &record->back;
	char text[ADDRESS_TEXT_SIZE];

	log_text(line, "to_kind", record->service_kind);
	log_text(line, "to_name", record->service);
	if (leg->channel == NULL)
		return;
	log_text(line, "to", socket_format(&leg->remote, text));
	if (record->service_kind == NULL || strcmp(record->service_kind, "peer") != 0)
		return;
	log_text(line, "to_sysid", leg->sysid);
	log_text(line, "to_agent", leg->agent);
	if (leg->has_peer_connection)
		log_hex(line, "to_conn", leg->peer_connection, sizeof(leg->peer_connection));
	put_security(line, leg, "to_");
	put_stages(line, leg, "to_");
}

static void put_times(struct logline *line, const struct record *record)
{
	put_stages(line, &record->front, "");
	log_number(line, "up", record->up);
	log_number(line, "down", record->down);
	put_utc(line, "", "started", record->started_us);
	log_number(line, "connect_us", record->connect_us);
	log_number(line, "duration_us", record->duration_us);
}

void record_write(const struct record *record)
{
	struct logline line;
	char conn[CONNECTION_TEXT_SIZE];
	enum message message = reason_message(record->reason);

	if (!log_wanted(message))
		return;
	log_begin(&line, message, connection_text(record->connection, conn));
	log_text(&line, "reason", reason_word(record->reason));
	put_front(&line, record);
	put_back(&line, record);
	put_times(&line, record);
	if (record->refuse_code != 0)
		log_number(&line, "refuse", record->refuse_code);
	if (record->reason != REASON_ENDED)
		log_text(&line, "at", record->reason_at_back ? "back" : "front");
	log_text(&line, "truncated", yes_no(record->reason == REASON_TRUNCATED));
	log_text(&line, "detail", record->detail);
	log_text(&line, record->back.secured ? "peer_text" : "peer_text_unauthenticated", record->peer_text);
	log_end(&line);
}
