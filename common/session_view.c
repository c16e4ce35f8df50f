/* Copies of what is known of sessions that run. */
#include "session_view.h"

#include <stdio.h>
#include <string.h>

#include "session_stages.h"

static const char *const stages[] = {
    [STAGE_PROXY] = "proxy",         [STAGE_OFFER] = "offer",
    [STAGE_HANDSHAKE] = "handshake", [STAGE_INSIDE_OFFER] = "inside-offer",
    [STAGE_CONFIRM] = "confirm",     [STAGE_CONNECT] = "connect",
    [STAGE_ANSWER] = "answer",       [STAGE_RELAY] = "relay",
    [STAGE_LINGER] = "linger",       [STAGE_NOTIFY] = "notify",
};

static void copy(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from != NULL ? from : "");
}

/* Cheap facts only: nothing is decoded, no certificate is looked at. */
static void view_tls(const SSL *ssl, struct session_view *view)
{
	const unsigned char *alpn = NULL;
	unsigned size = 0;
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	const char *version = SSL_get_version(ssl);

	copy(view->tls_version, sizeof(view->tls_version), strncmp(version, "TLSv", 4) == 0 ? version + 4 : version);
	copy(view->tls_suite, sizeof(view->tls_suite), cipher != NULL ? SSL_CIPHER_standard_name(cipher) : NULL);
	SSL_get0_alpn_selected(ssl, &alpn, &size);
	(void)snprintf(view->tls_alpn, sizeof(view->tls_alpn), "%.*s", (int)size, size > 0 ? (const char *)alpn : "");
}

static void view_front(const struct session *session, struct session_view *view)
{
	const struct leg *leg = &session->record.front;

	view->from = leg->remote;
	copy(view->listener, sizeof(view->listener), leg->listener);
	copy(view->rule, sizeof(view->rule), leg->rule);
	view->rule_line = session->record.rule_line;
	copy(view->sysid, sizeof(view->sysid), leg->sysid);
	copy(view->target, sizeof(view->target), leg->target);
	copy(view->agent, sizeof(view->agent), leg->agent);
	view->asked = session->record.asked;
	view->outcome = session->record.outcome;
	view->policy = leg->policy;
	view->secured = leg->secured;
	view->direct = leg->direct;
	view->confirmed = leg->confirmed;
	view->secured_us = leg->secured_at_us;
	if (leg->secured && session->front != NULL && channel_ssl(session->front) != NULL)
		view_tls(channel_ssl(session->front), view);
}

static void view_back(const struct session *session, struct session_view *view)
{
	const struct record *record = &session->record;
	struct relay_count count;

	view->to_kind = record->service_kind;
	copy(view->to, sizeof(view->to), record->service);
	view->to_connected = session->back != NULL && record->back.channel != NULL;
	view->to_secured = record->back.secured;
	if (view->to_connected)
		view->to_address = record->back.remote;
	if (session->relay == NULL)
		return;
	relay_counts(session->relay, &count);
	view->up = count.up;
	view->down = count.down;
}

static void view_one(const struct session *session, struct session_view *view)
{
	memset(view, 0, sizeof(*view));
	view->serial = session->serial;
	memcpy(view->id, session->record.connection, sizeof(view->id));
	view->stage = stages[session->stage];
	view->started_us = session->record.started_us;
	view_front(session, view);
	view_back(session, view);
}

/* Where the slice before has ended this one begins, or a walk over very many would pass the first of them again and
 * again. */
size_t session_view_slice(struct session_host *host, uint64_t before, struct session_view *views, size_t most)
{
	struct session *session = before == host->viewed ? host->next_viewed : host->first;
	size_t count = 0;

	for (; session != NULL && count < most; session = session->next)
		if (session->serial < before && !session->ended)
			view_one(session, &views[count++]);
	if (count > 0) {
		host->viewed = views[count - 1].serial;
		host->next_viewed = session;
	}
	return count;
}

bool session_view_end(struct session_host *host, const uint8_t *id, enum reason reason, const char *detail)
{
	for (struct session *session = host->first; session != NULL; session = session->next) {
		if (session->ended || memcmp(session->record.connection, id, PARAMS_CONNECTION_SIZE) != 0)
			continue;
		session_end(session, reason, detail);
		return true;
	}
	return false;
}
