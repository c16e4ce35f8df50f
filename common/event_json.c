/* Events as lines of JSON. */
#include "event_json.h"

#include <string.h>

#include "jsontext.h"

const char *event_word(int type)
{
	static const char *const words[] = {[CCI_HANDSHAKE_STARTING] = "handshake-starting",
	                                    [CCI_HANDSHAKE_DONE] = "handshake-done",
	                                    [CCI_HANDSHAKE_FAILED] = "handshake-failed",
	                                    [CCI_UNSECURED] = "unsecured",
	                                    [CCI_REFUSED] = "refused",
	                                    [CCI_CLOSED] = "closed",
	                                    [CCI_RECORD] = "record"};

	return type >= CCI_HANDSHAKE_STARTING && type <= CCI_RECORD ? words[type] : "unknown";
}

static void put_peer(json_t *object, const struct cci_event *event)
{
	json_put_address(object, "remote", event->remote);
	json_put_address(object, "local", event->local);
	json_put_said(object, "gateway", event->gateway);
	json_put_said(object, "listener", event->listener);
	json_put_said(object, "rule", event->rule);
	json_put_said(object, "policy", event->policy);
	json_put_said(object, "sysid", event->sysid);
	json_put_said(object, "target", event->target);
	json_put_said(object, "agent", event->agent);
	json_put_number(object, "clear_in", event->clear_in);
	json_put_number(object, "clear_out", event->clear_out);
}

/* What stands beside the members that events had before. */
static void put_certificates(json_t *object, const struct cci_event *event)
{
	if (event->own_certificate != NULL) {
		json_put_said(object, "own_subject", event->own_certificate->subject);
		json_put_said(object, "own_serial", event->own_certificate->serial);
		json_put_said(object, "own_not_after", event->own_certificate->not_after);
	}
	if (event->peer_certificate != NULL)
		json_put_said(object, "peer_issuer", event->peer_certificate->issuer);
}

static void put_tls(json_t *object, const struct cci_event *event)
{
	if (event->tls_version == NULL)
		return;
	json_put_utc(object, "secured_at", event->secured_us);
	json_put_said(object, "tls_version", event->tls_version);
	json_put_said(object, "tls_suite", event->tls_suite);
	json_put_said(object, "tls_group", event->tls_group);
	json_put_said(object, "tls_alpn", event->tls_alpn);
	json_put_said(object, "tls_start", event->tls_start);
	json_put_bool(object, "tls_resumed", event->tls_resumed != 0);
	json_put_said(object, "verify", event->verify);
	put_certificates(object, event);
	json_put_said(object, "peer_subject", event->peer_subject);
	json_put_said(object, "peer_names", event->peer_names);
	json_put_said(object, "peer_serial", event->peer_serial);
	json_put_said(object, "peer_not_after", event->peer_not_after);
}

static void put_end(json_t *object, const struct cci_event *event)
{
	json_put_said(object, "reason", event->reason);
	json_put_said(object, "detail", event->detail);
	if (event->type != CCI_CLOSED)
		return;
	json_put_bool(object, "secured", event->secured != 0);
	json_put_bool(object, "confirmed", event->tls_confirmed != 0);
	json_put_number(object, "bytes_in", event->bytes_in);
	json_put_number(object, "bytes_out", event->bytes_out);
	json_put_number(object, "duration_us", event->duration_us);
	if (event->segments_in != 0 || event->segments_out != 0) {
		json_put_number(object, "segments_in", event->segments_in);
		json_put_number(object, "segments_out", event->segments_out);
	}
	json_put_bool(object, "truncated", event->truncated != 0);
}

char *event_json(const struct cci_event *event, size_t *size)
{
	json_t *object;

	if (event->type == CCI_RECORD && event->record != NULL) {
		if (size != NULL)
			*size = strlen(event->record);
		return strdup(event->record);
	}
	object = json_object();
	json_put_text(object, "event", event_word(event->type));
	json_put_utc(object, "time", event->time_us);
	json_put_hex(object, "conn", event->connection, sizeof(event->connection));
	if (event->peer_connection != NULL)
		json_put_hex(object, "peer_conn", event->peer_connection, sizeof(event->connection));
	json_put_text(object, "role", event->role == CCI_ACCEPTING ? "accepting" : "connecting");
	json_put_utc(object, "started", event->started_us);
	put_peer(object, event);
	put_tls(object, event);
	put_end(object, event);
	return json_line(object, size);
}
