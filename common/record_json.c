/* The closing record as JSON: the members of the log line (record.c), under the same names. */
#include "record_json.h"

#include <string.h>

#include "event_tls.h"
#include "jsontext.h"
#include "tlsverdict.h"

/* Keys of the two legs differ in their prefix alone. */
static const char *key_of(const char *prefix, const char *key, char buffer[48])
{
	(void)snprintf(buffer, 48, "%s%s", prefix, key);
	return buffer;
}

static void put_tls(json_t *object, const struct leg *leg, const char *prefix)
{
	const X509 *own = event_tls_own(channel_ssl(leg->channel));
	const struct tls_facts *facts = leg->facts;
	char key[48], serial[sizeof(facts->serial)];

	if (own != NULL) {
		tls_serial_of(own, serial);
		json_put_said(object, key_of(prefix, "own_serial", key), serial);
	}
	json_put_utc(object, key_of(prefix, "secured_at", key), leg->secured_at_us);
	json_put_said(object, key_of(prefix, "tls_version", key), facts->version);
	json_put_said(object, key_of(prefix, "tls_suite", key), facts->suite);
	json_put_said(object, key_of(prefix, "tls_group", key), facts->group);
	json_put_said(object, key_of(prefix, "tls_alpn", key), facts->alpn);
	json_put_said(object, key_of(prefix, "tls_start", key), leg->direct ? "direct" : "upgrade");
	json_put_bool(object, key_of(prefix, "tls_resumed", key), facts->resumed);
	json_put_bool(object, key_of(prefix, "confirmed", key), leg->confirmed);
	json_put_said(object, key_of(prefix, "verify", key), facts->verify);
	if (!facts->has_peer)
		return;
	json_put_said(object, key_of(prefix, "peer_subject", key), facts->subject);
	json_put_said(object, key_of(prefix, "peer_names", key), facts->names);
	json_put_said(object, key_of(prefix, "peer_serial", key), facts->serial);
	json_put_said(object, key_of(prefix, "peer_not_after", key), facts->not_after);
}

static void put_security(json_t *object, const struct leg *leg, const char *prefix)
{
	char key[48];

	json_put_utc(object, key_of(prefix, "handshake_at", key), leg->handshake_at_us);
	json_put_bool(object, key_of(prefix, "secured", key), leg->secured);
	if (leg->facts != NULL)
		put_tls(object, leg, prefix);
}

static void put_decision(json_t *object, const struct record *record)
{
	const struct leg *leg = &record->front;
	char rule[96];

	json_put_said(object, "asked", record->asked);
	json_put_said(object, "outcome", record->outcome);
	if (leg->rule != NULL) {
		(void)snprintf(rule, sizeof(rule), "%s:%u", leg->rule, record->rule_line);
		json_put_said(object, "rule", rule);
	}
	json_put_said(object, "policy", leg->policy);
	json_put_said(object, "audit_policy", record->audit);
	json_put_said(object, "audit_outcome", record->audit_outcome);
	if (record->audit_reason != REASON_NONE)
		json_put_said(object, "audit_reason", reason_word(record->audit_reason));
	json_put_said(object, "never_outcome", record->never);
	if (record->never_reason != REASON_NONE)
		json_put_said(object, "never_reason", reason_word(record->never_reason));
}

static void put_front(json_t *object, const struct record *record)
{
	const struct leg *leg = &record->front;

	if (leg->has_peer_connection)
		json_put_hex(object, "client_conn", leg->peer_connection, sizeof(leg->peer_connection));
	if (leg->remote.any.sa_family != 0)
		json_put_address(object, "from", &leg->remote.any);
	if (leg->via != NULL)
		json_put_address(object, "via", &leg->via->any);
	json_put_said(object, "listener", leg->listener);
	put_decision(object, record);
	json_put_said(object, "sysid", leg->sysid);
	json_put_said(object, "target", leg->target);
	json_put_said(object, "agent", leg->agent);
	json_put_bool(object, "relayed", record->relayed);
	json_put_bool(object, "ratcheted", record->ratcheted);
	put_security(object, leg, "");
}

static void put_stages(json_t *object, const struct leg *leg, const char *prefix)
{
	uint64_t clear_in, clear_out;
	char key[48];

	leg_clear_bytes(leg, &clear_in, &clear_out);
	json_put_number(object, key_of(prefix, "clear_in", key), clear_in);
	json_put_number(object, key_of(prefix, "clear_out", key), clear_out);
	json_put_number(object, key_of(prefix, "exchange_us", key), leg->exchange_us);
	json_put_number(object, key_of(prefix, "handshake_us", key), leg->handshake_us);
}

static void put_back(json_t *object, const struct record *record)
{
	const struct leg *leg = &record->back;

	json_put_said(object, "to_kind", record->service_kind);
	json_put_said(object, "to_name", record->service);
	if (leg->channel == NULL)
		return;
	if (leg->remote.any.sa_family != 0)
		json_put_address(object, "to", &leg->remote.any);
	if (record->service_kind == NULL || strcmp(record->service_kind, "peer") != 0)
		return;
	json_put_said(object, "to_sysid", leg->sysid);
	json_put_said(object, "to_agent", leg->agent);
	if (leg->has_peer_connection)
		json_put_hex(object, "to_conn", leg->peer_connection, sizeof(leg->peer_connection));
	put_security(object, leg, "to_");
	put_stages(object, leg, "to_");
}

static void put_numbers(json_t *object, const struct record *record)
{
	put_stages(object, &record->front, "");
	json_put_number(object, "up", record->up);
	json_put_number(object, "down", record->down);
	json_put_utc(object, "started", record->started_us);
	json_put_number(object, "connect_us", record->connect_us);
	json_put_number(object, "duration_us", record->duration_us);
}

static void put_end(json_t *object, const struct record *record)
{
	if (record->refuse_code != 0)
		json_put_number(object, "refuse", record->refuse_code);
	if (record->reason != REASON_ENDED)
		json_put_said(object, "at", record->reason_at_back ? "back" : "front");
	json_put_bool(object, "truncated", record->reason == REASON_TRUNCATED);
	json_put_said(object, "detail", record->detail);
	json_put_said(object, record->back.secured ? "peer_text" : "peer_text_unauthenticated", record->peer_text);
}

char *record_json(const struct record *record, size_t *size)
{
	json_t *object = json_object();
	char conn[CONNECTION_TEXT_SIZE];

	json_put_text(object, "event", "record");
	json_put_utc(object, "time", record->started_us + record->duration_us);
	json_put_text(object, "conn", connection_text(record->connection, conn));
	json_put_said(object, "gateway", record->front.gateway);
	json_put_text(object, "reason", reason_word(record->reason));
	put_front(object, record);
	put_back(object, record);
	put_numbers(object, record);
	put_end(object, record);
	return json_line(object, size);
}
