/* The client's real address: learnt from a balancer's PROXY header before the first stage, told to a service after the
 * last. */
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "session_stages.h"

/* --- from a balancer --- */

/* The client counts from here on, not the balancer. False: far over its limit. */
static bool change_source(struct session *session, const union socket_address *source)
{
	quota_leave(session->host->admission.quota, &session->source, session->quota);
	source_key_of(source, &session->source);
	session->quota = session_enter_limits(session);
	return session->quota != QUOTA_CLOSE;
}

/* The addresses of the header in place of the socket's. 0, or -1 without memory. */
static int change_addresses(struct session *session, const struct proxy_header *header)
{
	struct leg *leg = &session->record.front;

	leg->via = malloc(sizeof(*leg->via));
	if (leg->via == NULL)
		return -1;
	*leg->via = leg->remote;
	if (header->known) {
		leg->remote = header->source;
		leg->local = header->destination;
	}
	trace_known(&session->trace, leg->via);
	return 0;
}

static void on_header(void *owner, enum reason reason, const struct proxy_header *header, const char *detail)
{
	struct session *session = owner;

	session->proxyin = NULL;
	if (reason != REASON_NONE)
		session_end(session, reason, detail);
	else if (change_addresses(session, header) != 0)
		session_end(session, REASON_NO_MEMORY, "no memory for an address");
	else if (!change_source(session, &session->record.front.remote))
		session_end(session, REASON_BUSY, "");
	else {
		session_trace_accepted(session);
		session_first_stage(session);
	}
}

void session_begin(struct session *session)
{
	if (!network_list_contains(&session->listener->proxy_from, &session->record.front.remote)) {
		session_first_stage(session);
		return;
	}
	session->proxyin = proxyin_start(session->front, on_header, session);
	if (session->proxyin == NULL)
		session_end(session, REASON_NO_MEMORY, "no memory for the PROXY header");
	else
		session_enter(session, STAGE_PROXY, session_timeouts(session).exchange_ms);
}

void session_proxy_late(struct session *session)
{
	if (proxyin_has_bytes(session->proxyin))
		session_end(session, REASON_PROXY_HEADER, "the PROXY header was not complete in time");
	else
		session_end(session, REASON_PROXY_MISSING, "no PROXY header came in time");
}

/* --- to a service --- */

/* What the header says of the client's TLS; texts are of the connection, save the common name. */
struct client_tls {
	char alpn[256];
	char *common_name; /* OpenSSL's; owned */
};

/* NULL where there is none, or one that would be read as another. */
static char *common_name_of(X509 *certificate)
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	unsigned char *text = NULL;
	int size;

	if (at < 0)
		return NULL;
	size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	if (size >= 0 && strlen((const char *)text) == (size_t)size)
		return (char *)text;
	OPENSSL_free(text);
	return NULL;
}

static void add_certificate(SSL *ssl, struct proxy_facts *facts, struct client_tls *client)
{
	X509 *certificate = SSL_get0_peer_certificate(ssl);

	facts->verify = X509_V_ERR_UNSPECIFIED;
	if (certificate == NULL)
		return;
	facts->certificate = true;
	facts->certificate_here = !SSL_session_reused(ssl);
	facts->verify = (uint32_t)SSL_get_verify_result(ssl);
	facts->common_name = client->common_name = common_name_of(certificate);
}

static void add_tls(SSL *ssl, struct proxy_facts *facts, struct client_tls *client)
{
	const unsigned char *alpn;
	unsigned size;

	facts->tls = true;
	facts->tls_version = SSL_get_version(ssl);
	facts->cipher = SSL_get_cipher_name(ssl);
	facts->authority = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	SSL_get0_alpn_selected(ssl, &alpn, &size);
	(void)snprintf(client->alpn, sizeof(client->alpn), "%.*s", (int)size, size > 0 ? (const char *)alpn : "");
	facts->alpn = client->alpn;
	add_certificate(ssl, facts, client);
}

static size_t write_header(const struct session *session, uint8_t *bytes)
{
	const struct record *record = &session->record;
	SSL *ssl = channel_ssl(session->front);
	struct client_tls client = {.common_name = NULL};
	struct proxy_facts facts = {.source = &record->front.remote,
	                            .destination = &record->front.local,
	                            .unique_id = record->connection,
	                            .unique_id_size = sizeof(record->connection)};
	size_t size;

	if (session->service->send_proxy == SEND_PROXY_V1)
		return proxy_header_v1(&facts, bytes);
	if (ssl != NULL)
		add_tls(ssl, &facts, &client);
	size = proxy_header_v2(&facts, bytes);
	OPENSSL_free(client.common_name);
	return size;
}

bool session_send_proxy(struct session *session)
{
	uint8_t bytes[PROXY_HEADER_WRITE_SIZE];

	if (session->back == NULL || session->service == NULL || session->service->send_proxy == SEND_PROXY_NO)
		return true;
	if (channel_write(session->back, bytes, write_header(session, bytes)) == CHANNEL_OK)
		return true;
	session->record.reason_at_back = true;
	session_end(session, REASON_RESET, channel_error(session->back));
	return false;
}
