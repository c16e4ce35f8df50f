/* Bytes of a link, in the clear or in TLS. */
#include "link_io.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "peer.h"

#define SESSIONS 256
#define CERTIFICATES 8 /* are told apart */

/* Of upgrades; the newest leaves first. A lane has one context, so one pool does. */
static struct {
	SSL_SESSION *at[SESSIONS];
	size_t count;
} pool;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	const struct link *link = SSL_get_app_data(ssl);

	if (link == NULL || link->kind == KIND_DIRECT || pool.count == SESSIONS)
		return 0;
	pool.at[pool.count++] = session;
	return 1;
}

SSL_CTX *link_context(const char *ca)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (context == NULL || SSL_CTX_load_verify_file(context, ca) != 1) {
		(void)fprintf(stderr, "soak: %s cannot be loaded\n", ca);
		SSL_CTX_free(context);
		return NULL;
	}
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, keep_session);
	return context;
}

bool link_put(struct link *link, const void *bytes, size_t size)
{
	if (!buffer_make(&link->work->out, size))
		return false;
	memcpy(link->work->out.bytes, bytes, size);
	return true;
}

bool link_expect(struct link *link, size_t size)
{
	if (!buffer_make(&link->work->in, size < LINK_MESSAGE_MOST ? LINK_MESSAGE_MOST : size))
		return false;
	link->work->in.size = size;
	return true;
}

/* Bytes that went or came, 0 at the end of the stream, -1 for later, -2 for an error. */
static ssize_t result_of(struct link *link, ssize_t count)
{
	if (count > 0)
		return count;
	if (link->ssl == NULL)
		return count == 0 ? 0 : errno == EAGAIN || errno == EINTR ? -1 : -2;
	switch (SSL_get_error(link->ssl, (int)count)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return -2;
	}
}

static ssize_t read_some(struct link *link, uint8_t *bytes, size_t size)
{
	return result_of(link, link->ssl != NULL ? SSL_read(link->ssl, bytes, (int)size) : recv(link->fd, bytes, size, 0));
}

enum outcome link_send(struct link *link)
{
	struct buffer *out = &link->work->out;

	while (out->bytes != NULL && out->at < out->size) {
		const uint8_t *at = out->bytes + out->at;
		size_t size = out->size - out->at;
		ssize_t went = result_of(link, link->ssl != NULL ? SSL_write(link->ssl, at, (int)size)
		                                                 : send(link->fd, at, size, MSG_NOSIGNAL));

		if (went <= 0)
			return went == -1 ? OUTCOME_LATER : OUTCOME_FAILED;
		out->at += (size_t)went;
	}
	buffer_free(out);
	return OUTCOME_DONE;
}

enum outcome link_receive(struct link *link)
{
	struct buffer *in = &link->work->in;

	while (in->at < in->size) {
		ssize_t came = read_some(link, in->bytes + in->at, in->size - in->at);

		if (came <= 0)
			return came == -1 ? OUTCOME_LATER : OUTCOME_FAILED;
		in->at += (size_t)came;
	}
	return OUTCOME_DONE;
}

static bool begin_tls(struct link *link)
{
	static const uint8_t upgrade[] = "\x0d"
	                                 "cci-upgrade/1",
	                     direct[] = "\x05"
	                                "cci/1";
	bool is_direct = link->kind == KIND_DIRECT;

	link->ssl = SSL_new(link->host->context);
	if (link->ssl == NULL || SSL_set_fd(link->ssl, link->fd) != 1 || SSL_set1_host(link->ssl, "host1.example") != 1 ||
	    SSL_set_alpn_protos(link->ssl, is_direct ? direct : upgrade,
	                        (unsigned)(is_direct ? sizeof(direct) - 1 : sizeof(upgrade) - 1)) != 0)
		return false;
	SSL_set_app_data(link->ssl, link);
	if (link->kind == KIND_UPGRADE_12 && SSL_set_max_proto_version(link->ssl, TLS1_2_VERSION) != 1)
		return false;
	if (link->kind == KIND_RESUMED && pool.count > 0) {
		SSL_SESSION *session = pool.at[--pool.count];

		link->work->offers_session = SSL_set_session(link->ssl, session) == 1;
		SSL_SESSION_free(session);
	}
	SSL_set_connect_state(link->ssl);
	return true;
}

/* A renewed certificate is another one; for a moment both may be shown. */
static void note_certificate(struct link *link)
{
	static ASN1_INTEGER *seen[CERTIFICATES];
	X509 *shown = SSL_get0_peer_certificate(link->ssl);
	uint64_t *count = &link->host->counts->certificates;

	/* A resumed session shows the certificate that it began with. */
	if (shown == NULL || SSL_session_reused(link->ssl) == 1)
		return;
	for (uint64_t i = 0; i < *count; i++)
		if (ASN1_INTEGER_cmp(seen[i], X509_get0_serialNumber(shown)) == 0)
			return;
	if (*count < CERTIFICATES)
		seen[(*count)++] = ASN1_INTEGER_dup(X509_get0_serialNumber(shown));
}

enum outcome link_handshake(struct link *link)
{
	ssize_t done;

	if (link->ssl == NULL && !begin_tls(link))
		return OUTCOME_FAILED;
	done = result_of(link, SSL_do_handshake(link->ssl));
	if (done <= 0)
		return done == -1 ? OUTCOME_LATER : OUTCOME_FAILED;
	note_certificate(link);
	return OUTCOME_DONE;
}

static struct peer_clear clear_of(const struct link_work *work)
{
	return (struct peer_clear){work->offer, work->offer_size, work->accept, work->accept_size};
}

bool link_put_confirm(struct link *link)
{
	struct peer_clear clear = clear_of(link->work);
	uint8_t bytes[64];

	return link_put(link, bytes, peer_confirm(bytes, link->ssl, "client", &clear));
}

bool link_confirmed(struct link *link)
{
	struct peer_clear clear = clear_of(link->work);
	const struct buffer *in = &link->work->in;
	uint8_t expected[64];
	size_t size = peer_confirm(expected, link->ssl, "server", &clear);

	return peer_type(in->bytes) == 4 && in->size == size && memcmp(expected + 16, in->bytes + 16, size - 16) == 0;
}

enum outcome link_take_end(struct link *link)
{
	uint8_t bytes[4096];
	ssize_t came = read_some(link, bytes, sizeof(bytes));

	if (came > 0)
		return link->kind == KIND_NOISE ? OUTCOME_DONE : OUTCOME_WRONG;
	return came == -1 ? OUTCOME_LATER : came == 0 ? OUTCOME_DONE : OUTCOME_FAILED;
}

bool link_rests_well(struct link *link)
{
	uint8_t byte;

	ERR_clear_error();
	return read_some(link, &byte, 1) == -1;
}
