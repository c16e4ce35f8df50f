/* What may cross, by docs/protocol.md alone: a second opinion, made by other code than the gateway's. */
#include "fuzz.h"
#include "held.h"
#include "play.h"

enum answer { ANSWERS_REFUSE = -1, ANSWERS_CLEAR, ANSWERS_TLS };

size_t gate_proxy_header(const uint8_t *bytes, size_t size)
{
	static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";
	const uint8_t *end;

	if (size >= 16 && memcmp(bytes, signature, sizeof(signature)) == 0) {
		size_t length = 16 + ((size_t)bytes[14] << 8 | bytes[15]);

		return length <= size ? length : 0;
	}
	if (size < 8 || memcmp(bytes, "PROXY ", 6) != 0)
		return 0;
	end = memmem(bytes, size, "\r\n", 2);
	return end != NULL ? (size_t)(end - bytes) + 2 : 0;
}

size_t gate_delivered(const struct side *side, const uint8_t **bytes)
{
	size_t have = stream_size(&side->delivered), length;

	if (have <= side->prologue)
		return 0;
	*bytes = stream_at(&side->delivered) + side->prologue;
	length = letter_length(*bytes, have - side->prologue);
	return length <= have - side->prologue ? length : 0;
}

/* --- the policy (section 3) --- */

static void name_of(const uint8_t *bytes, size_t size, char name[65])
{
	size_t length = 0;
	const uint8_t *value = letter_find(bytes, size, ID_SYSID, &length);

	name[0] = '\0';
	if (value == NULL || length > 64)
		return;
	memcpy(name, value, length);
	name[length] = '\0';
}

static enum answer table(int policy, int offered)
{
	/* none, off, on, required */
	static const int never[] = {-1, 1, 1, 1}, nonssl[] = {0, 1, 1, 1}, allow[] = {0, 0, 1, 1}, only[] = {0, 0, 0, -1};

	if (offered < 0 || offered > 3)
		return ANSWERS_REFUSE;
	switch (policy) {
	case UNSECURED_NONSSL:
		return (enum answer)nonssl[offered];
	case UNSECURED_ALLOW:
		return (enum answer)allow[offered];
	case UNSECURED_ONLY:
		return (enum answer)only[offered];
	default:
		return (enum answer)never[offered];
	}
}

static bool begins(const char *name, const char *with)
{
	return strncasecmp(name, with, strlen(with)) == 0;
}

/* What the OFFER deserves, whatever it wants to be connected to. `deciding`: now, and not a while ago, when other names were
 * held. Names in EBCDIC are not read here. */
static enum answer deserved(const struct play *play, bool deciding)
{
	const uint8_t *bytes;
	size_t size = gate_delivered(&play->front, &bytes);
	char name[65];
	enum answer answer;

	if (size == 0 || bytes[5] != LETTER_OFFER)
		return ANSWERS_REFUSE;
	name_of(bytes, size, name);
	answer = table(begins(name, "NEVER") ? UNSECURED_NEVER : play->listener->unsecured, letter_security(bytes, size));
	if (bytes[6] == 1 && begins(name, "REFUSE"))
		return ANSWERS_REFUSE;
	if (answer == ANSWERS_CLEAR && bytes[6] == 1 && play->listener->ratchet == CHOICE_YES &&
	    (held_name(play) || (deciding && ratchet_holds(site_host.ratchet, name))))
		return ANSWERS_REFUSE;
	return answer;
}

const char *gate_answer(const struct play *play, int security)
{
	enum answer answer = deserved(play, false);

	if (answer == ANSWERS_REFUSE)
		return "an offer was accepted that the policy refuses";
	if (held_place(play))
		return "an offer was accepted beyond the limit of its rule";
	return (int)answer == security ? NULL : "an offer was accepted in another way than the policy's";
}

/* --- the client --- */

static bool same(const struct stream *stream, const uint8_t *bytes, size_t size)
{
	return stream_size(stream) == size && memcmp(stream_at(stream), bytes, size) == 0;
}

static bool has_certificate(const struct side *side)
{
	return side->manners.cert != CERT_NONE && side->manners.cert != CERT_UNTRUSTED;
}

/* The side has said all of its part of the handshake. */
static bool is_shaken(const struct side *side)
{
	uint8_t bytes[64];

	return side->ssl != NULL && SSL_get_finished(side->ssl, bytes, sizeof(bytes)) > 0;
}

/* Neither message was changed on its way, by the eyes of both ends. */
static bool is_unaltered(const struct side *side, bool is_client)
{
	const uint8_t *bytes;
	size_t size = gate_delivered(side, &bytes);

	if (size != side->own.size || memcmp(bytes, side->own.bytes, size) != 0)
		return false;
	(void)is_client;
	return same(&side->answer, stream_at(&side->said), stream_size(&side->said));
}

static const char *gate_secured(const struct play *play, const struct side *side, bool is_client)
{
	if (!is_shaken(side))
		return "the handshake is not done";
	if (side->manners.alpn == ALPN_STRANGE || side->manners.alpn == ALPN_SWAPPED)
		return "the ALPN is another one";
	if (side->manners.alpn == ALPN_NONE)
		return play->site->config->tls.confirm == CONFIRM_REQUIRE ? "CONFIRM is required" : NULL;
	if (!side->finished || !side->upgrade)
		return side->tampered ? NULL : "CONFIRM is not agreed on";
	if (!side->confirmed)
		return "its CONFIRM was not right";
	return is_unaltered(side, is_client) ? NULL : "the clear exchange was altered";
}

static const char *gate_direct(const struct play *play)
{
	const struct side *side = &play->front;

	if (play->listener->direct != CHOICE_YES)
		return "direct TLS is not permitted";
	if (!side->finished || side->manners.alpn == ALPN_STRANGE || side->manners.alpn == ALPN_SWAPPED ||
	    side->manners.alpn == ALPN_NONE)
		return "the direct handshake is not done, or its ALPN is another one";
	if (side->plain_prologue == 0 || letter_security(side->own.bytes, side->own.size) != 4)
		return "the OFFER inside is missing, or says something else";
	if (play->listener->client_auth == CLIENT_AUTH_REQUIRE && !has_certificate(side))
		return "a certificate is required";
	return NULL;
}

const char *gate_connect(const struct play *play)
{
	const struct side *side = &play->front;
	enum answer answer;

	if (play->listener->exchange == EXCHANGE_NONE)
		return play->listener->unsecured == UNSECURED_NEVER ? "the policy is never" : NULL;
	if (side->ssl != NULL && side->kind == SIDE_DIRECT)
		return gate_direct(play);
	answer = deserved(play, true);
	if (answer == ANSWERS_REFUSE)
		return "the policy refuses it";
	if (answer == ANSWERS_CLEAR)
		return NULL;
	if (!side->message_whole || !side->records_only)
		return "the answer was not sent";
	if (play->listener->client_auth == CLIENT_AUTH_REQUIRE && !has_certificate(side))
		return "a certificate is required";
	return gate_secured(play, side, true);
}

const char *gate_front(const struct play *play)
{
	const struct side *side = &play->front;

	if (play->listener->exchange != EXCHANGE_NONE && side->kind != SIDE_DIRECT && !side->message_whole)
		return "the client has no answer";
	/* By now the name may be held, by a session that ran beside this one. */
	if (side->message_whole && !side->records_only)
		return letter_security(stream_at(&side->said), stream_size(&side->said)) == 0 ? NULL : "it was not accepted";
	return gate_connect(play);
}

/* --- the service or peer --- */

static const char *gate_peer_clear(const struct play *play, int answer)
{
	const struct config_peer *peer = play->peer;

	if (answer != 0)
		return "the peer did not accept in the clear";
	if (peer->security == PEER_REQUIRED || peer->security == PEER_DIRECT)
		return "TLS is required with this peer";
	if (held_peer(play))
		return "TLS was in use with this peer before";
	return NULL;
}

const char *gate_back(const struct play *play)
{
	const struct side *side = play->back;
	const uint8_t *bytes;
	size_t size;
	int answer;

	if (side == NULL)
		return NULL;
	if (side->kind == SIDE_SERVICE)
		return held_service(play);
	if (side->kind == SIDE_PEER_DIRECT) {
		if (!is_shaken(side) || side->manners.alpn == ALPN_STRANGE || side->manners.alpn == ALPN_SWAPPED ||
		    side->manners.alpn == ALPN_NONE)
			return "the direct handshake is not done, or its ALPN is another one";
		if (side->manners.cert != CERT_PEER)
			return "the peer's certificate is another one";
		return letter_security(side->own.bytes, side->own.size) == 2 ? NULL : "the peer did not accept";
	}
	size = gate_delivered(side, &bytes);
	answer = size > 0 && bytes[5] == LETTER_ACCEPT ? letter_security(bytes, size) : -1;
	if (!side->records_only)
		return gate_peer_clear(play, answer);
	if (answer != 1)
		return "TLS, and the peer did not say so";
	if (side->manners.cert != CERT_PEER)
		return "the peer's certificate is another one";
	return gate_secured(play, side, false);
}

/* --- left alone --- */

static bool behaves(const struct side *side)
{
	const struct side_manners *manners = &side->manners;

	return !side->tampered && !manners->eager && manners->confirm == CONFIRM_RIGHT && manners->alpn == ALPN_RIGHT &&
	       manners->answer == 0;
}

static bool is_limited(const struct side *side)
{
	char name[65];

	name_of(side->own.bytes, side->own.size, name);
	return begins(name, "LIMIT");
}

bool gate_all_well(const struct play *play)
{
	const struct side *front = &play->front, *back = play->back;

	if (play->disturbed || play->notifier_fails != 0 || !behaves(front) || front->phase != PHASE_OPEN)
		return false;
	if (back == NULL || !behaves(back))
		return false;
	/* One of this name at once. */
	if (play_count > 1 && is_limited(front))
		return false;
	return back->kind == SIDE_SERVICE ? back->wire->state != WIRE_FAILED : back->phase == PHASE_OPEN;
}
