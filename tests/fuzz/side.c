/* The other end of a connection. */
#include "side.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "fuzz.h"

#define PAYLOAD_MOST (1024 * 1024) /* of one side */

static const uint8_t alpn_upgrade[] = "\x0d"
                                      "cci-upgrade/1";
static const uint8_t alpn_direct[] = "\x05"
                                     "cci/1";
static const uint8_t alpn_strange[] = "\x08"
                                      "http/1.1";
static const uint8_t alpn_both[] = "\x0d"
                                   "cci-upgrade/1"
                                   "\x05"
                                   "cci/1";

void side_open(struct side *side, enum side_kind kind, struct wire *wire)
{
	memset(side, 0, sizeof(*side));
	side->kind = kind;
	side->wire = wire;
	wire->actor = side;
}

void side_close(struct side *side)
{
	stream_free(&side->outbox);
	stream_free(&side->delivered);
	stream_free(&side->heard);
	stream_free(&side->answer);
	stream_free(&side->plain);
	stream_free(&side->said);
	SSL_free(side->ssl);
	SSL_SESSION_free(side->resume);
	side->ssl = NULL;
	side->resume = NULL;
}

static bool is_client(const struct side *side)
{
	return side->kind == SIDE_CLIENT || side->kind == SIDE_DIRECT;
}

static bool is_direct(const struct side *side)
{
	return side->kind == SIDE_DIRECT || side->kind == SIDE_PEER_DIRECT;
}

static void say(struct side *side, const void *bytes, size_t size)
{
	stream_put(&side->outbox, bytes, size);
}

/* --- TLS --- */

static void flush_tls(struct side *side)
{
	uint8_t bytes[4096];
	int got;

	while ((got = BIO_read(side->to_gateway, bytes, sizeof(bytes))) > 0)
		say(side, bytes, (size_t)got);
}

static int choose_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_size, const uint8_t *in, unsigned in_size, void *context)
{
	struct side *side = SSL_get_app_data(ssl);
	const uint8_t *name = is_direct(side) ? alpn_direct : alpn_upgrade;
	uint8_t *chosen;

	(void)context;
	if (side->manners.alpn == ALPN_NONE)
		return SSL_TLSEXT_ERR_NOACK;
	if (side->manners.alpn == ALPN_SWAPPED)
		name = is_direct(side) ? alpn_upgrade : alpn_direct;
	else if (side->manners.alpn == ALPN_STRANGE)
		name = alpn_strange;
	/* What was not offered may not be chosen by OpenSSL's helper: take it all the same. */
	if (SSL_select_next_proto(&chosen, out_size, name, name[0] + 1u, in, in_size) != OPENSSL_NPN_NEGOTIATED) {
		*out = name + 1;
		*out_size = name[0];
		return SSL_TLSEXT_ERR_OK;
	}
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static void offer_alpn(struct side *side)
{
	const uint8_t *name = is_direct(side) ? alpn_direct : alpn_upgrade;

	if (side->manners.alpn == ALPN_SWAPPED)
		name = is_direct(side) ? alpn_upgrade : alpn_direct;
	else if (side->manners.alpn == ALPN_STRANGE)
		name = alpn_strange;
	if (side->manners.alpn == ALPN_BOTH)
		(void)SSL_set_alpn_protos(side->ssl, alpn_both, sizeof(alpn_both) - 1);
	else if (side->manners.alpn != ALPN_NONE)
		(void)SSL_set_alpn_protos(side->ssl, name, name[0] + 1u);
}

static void start_tls(struct side *side, bool is_server)
{
	SSL_CTX *context = certs_context(side->manners.cert, is_server);

	side->ssl = SSL_new(context);
	side->from_gateway = BIO_new(BIO_s_mem());
	side->to_gateway = BIO_new(BIO_s_mem());
	FUZZ_CHECK(side->ssl != NULL && side->from_gateway != NULL && side->to_gateway != NULL, "no memory");
	(void)BIO_set_mem_eof_return(side->from_gateway, -1);
	SSL_set_bio(side->ssl, side->from_gateway, side->to_gateway);
	SSL_set_app_data(side->ssl, side);
	if (side->manners.old_tls)
		(void)SSL_set_max_proto_version(side->ssl, TLS1_2_VERSION);
	side->phase = PHASE_HANDSHAKE;
	if (is_server) {
		SSL_CTX_set_alpn_select_cb(context, choose_alpn, NULL);
		SSL_set_accept_state(side->ssl);
		return;
	}
	offer_alpn(side);
	if (side->resume != NULL)
		(void)SSL_set_session(side->ssl, side->resume);
	SSL_set_connect_state(side->ssl);
	(void)SSL_do_handshake(side->ssl);
	flush_tls(side);
}

/* Inside TLS. `is_payload`: the gateway may pass it on. */
static void say_inside(struct side *side, const void *bytes, size_t size, bool is_payload)
{
	if (SSL_write(side->ssl, bytes, (int)size) == (int)size) {
		stream_put(&side->plain, bytes, size);
		if (!is_payload)
			side->plain_prologue = stream_size(&side->plain);
	}
	flush_tls(side);
}

/* --- CONFIRM (protocol.md, section 4) --- */

static void verifier(struct side *side, const char *role, uint8_t out[32])
{
	bool server = !is_client(side);
	const struct stream *answer = &side->answer;
	uint8_t key[32], digest[6 + 32];
	unsigned size;
	SHA256_CTX sha;

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"
	(void)SHA256_Init(&sha);
	if (server)
		(void)SHA256_Update(&sha, stream_at(answer), stream_size(answer));
	(void)SHA256_Update(&sha, side->own.bytes, side->own.size);
	if (!server)
		(void)SHA256_Update(&sha, stream_at(answer), stream_size(answer));
	(void)SHA256_Final(digest + 6, &sha);
#pragma clang diagnostic pop
	memcpy(digest, role, 6);
	(void)SSL_export_keying_material(side->ssl, key, sizeof(key), "EXPORTER-CCI-Confirm", 20, NULL, 0, 0);
	(void)HMAC(EVP_sha256(), key, sizeof(key), digest, sizeof(digest), out, &size);
}

static void send_confirm(struct side *side)
{
	struct letter message;
	uint8_t bytes[32];

	verifier(side, is_client(side) ? "client" : "server", bytes);
	letter_begin(&message, LETTER_CONFIRM, 0, 0);
	if (side->manners.confirm == CONFIRM_NONE)
		return;
	if (side->manners.confirm == CONFIRM_REFUSE)
		letter_begin(&message, LETTER_REFUSE, 13, 0);
	else if (side->manners.confirm == CONFIRM_OTHER)
		message = side->own;
	else
		letter_add(&message, ID_VERIFIER, bytes, sizeof(bytes));
	if (side->manners.confirm == CONFIRM_WRONG)
		message.bytes[message.size - 1] ^= 1;
	if (side->manners.confirm == CONFIRM_CUT)
		message.size -= 1;
	side->confirmed = side->manners.confirm == CONFIRM_RIGHT;
	say_inside(side, message.bytes, message.size, false);
}

static void open_up(struct side *side)
{
	side->phase = PHASE_OPEN;
	if (side->manners.eager)
		side_send(side, 100);
}

static void handshake_done(struct side *side)
{
	const uint8_t *name;
	unsigned size;

	side->finished = true;
	SSL_get0_alpn_selected(side->ssl, &name, &size);
	side->upgrade = !is_direct(side) && size == 13 && memcmp(name, alpn_upgrade + 1, 13) == 0;
	if (side->upgrade) {
		side->phase = PHASE_INSIDE;
		send_confirm(side);
		if (side->manners.eager && side->manners.confirm != CONFIRM_CUT)
			side_send(side, 50);
	} else if (side->kind == SIDE_DIRECT) {
		side->phase = PHASE_INSIDE;
		say_inside(side, side->own.bytes, side->own.size, false);
		if (side->manners.eager)
			side_send(side, 50);
	} else if (side->kind == SIDE_PEER_DIRECT) {
		side->phase = PHASE_INSIDE;
	} else {
		open_up(side);
	}
}

/* --- messages --- */

static void fill_answer(const struct side *side, struct letter *message)
{
	const uint8_t *offer = stream_at(&side->heard);
	int asked = letter_security(offer, stream_size(&side->heard));
	uint8_t security = asked >= 4 ? 2 : asked >= 2 ? 1 : 0;
	uint8_t wish = side->manners.answer;

	if (wish > 3) {
		letter_begin(message, LETTER_REFUSE, (uint16_t)(wish - 3), 0);
		letter_add_text(message, ID_TEXT, "no\tthanks");
		message->bytes[LETTER_HEADER + 6] = ' ';
		return;
	}
	if (wish > 0)
		security = wish - 1;
	letter_begin(message, LETTER_ACCEPT, 0, 4096);
	/* No more than was offered. */
	memcpy(message->bytes + 12, offer + 12, 4);
	letter_add(message, ID_SECURITY, &security, 1);
	letter_add_text(message, ID_SYSID, "PEER");
}

/* A peer answers the OFFER that it has heard. */
static void answer_offer(struct side *side)
{
	int security;

	fill_answer(side, &side->own);
	security = side->own.bytes[5] == LETTER_ACCEPT ? letter_security(side->own.bytes, side->own.size) : -1;
	if (side->ssl != NULL) {
		say_inside(side, side->own.bytes, side->own.size, false);
		side->phase = security >= 0 ? PHASE_OPEN : PHASE_OVER;
		return;
	}
	say(side, side->own.bytes, side->own.size);
	if (security == 1)
		start_tls(side, true);
	else
		side->phase = security == 0 ? PHASE_OPEN : PHASE_OVER;
	if (side->manners.eager && security >= 0)
		say(side, "clear bytes behind the answer", 29);
}

static void hear_answer(struct side *side)
{
	const uint8_t *bytes = stream_at(&side->heard);
	size_t size = stream_size(&side->heard);
	int security = bytes[5] == LETTER_ACCEPT ? letter_security(bytes, size) : -1;

	if (side->ssl == NULL)
		stream_put(&side->answer, bytes, size);
	if (side->ssl != NULL)
		side->phase = security >= 0 ? PHASE_OPEN : PHASE_OVER;
	else if (security == 1)
		start_tls(side, false);
	else
		side->phase = security == 0 ? PHASE_OPEN : PHASE_OVER;
}

static void hear_confirm(struct side *side)
{
	uint8_t expected[32];
	const uint8_t *bytes = stream_at(&side->heard), *value;
	size_t length = 0;

	value = letter_find(bytes, stream_size(&side->heard), ID_VERIFIER, &length);
	verifier(side, is_client(side) ? "server" : "client", expected);
	side->confirm_met = bytes[5] == LETTER_CONFIRM && value != NULL && length == 32 && memcmp(value, expected, 32) == 0;
	FUZZ_CHECK(side->confirm_met || side->tampered || bytes[5] == LETTER_REFUSE, "the gateway's CONFIRM is wrong");
	/* The byte that is cut off would be the right one, once in 256 times. */
	if (side->confirm_met && side->manners.confirm != CONFIRM_CUT)
		open_up(side);
	else
		side->phase = PHASE_OVER;
}

static void whole_message(struct side *side)
{
	if (side->upgrade)
		hear_confirm(side);
	else if (is_client(side))
		hear_answer(side);
	else {
		if (side->ssl == NULL)
			stream_put(&side->answer, stream_at(&side->heard), stream_size(&side->heard));
		answer_offer(side);
	}
	stream_clear(&side->heard);
}

/* Take a message's bytes, and no more; how many. */
static size_t hear_message(struct side *side, const uint8_t *bytes, size_t size)
{
	size_t taken = 0, length = 0;

	while (taken < size) {
		stream_put(&side->heard, bytes + taken++, 1);
		if (stream_size(&side->heard) < LETTER_HEADER)
			continue;
		length = letter_length(stream_at(&side->heard), stream_size(&side->heard));
		if (length == 0) {
			side->phase = PHASE_OVER;
			return size;
		}
		if (stream_size(&side->heard) == length) {
			whole_message(side);
			break;
		}
	}
	return taken;
}

/* --- hearing --- */

/* Behind a CONFIRM of the gateway's that was right: this side's, or what came before it, was not. */
static bool is_late_refusal(const struct side *side, const uint8_t *bytes, size_t size)
{
	return side->upgrade && side->payload_got == 0 && (side->tampered || !side->confirmed) && size >= LETTER_HEADER &&
	       memcmp(bytes, "CCIP\1\3", 6) == 0;
}

static void hear_inside(struct side *side, const uint8_t *bytes, size_t size)
{
	while (size > 0 && side->phase == PHASE_INSIDE) {
		size_t taken = hear_message(side, bytes, size);

		bytes += taken;
		size -= taken;
	}
	if (size == 0 || side->phase != PHASE_OPEN)
		return;
	if (is_late_refusal(side, bytes, size))
		side->phase = PHASE_OVER;
	else
		play_payload(side, bytes, size);
}

static void run_tls(struct side *side)
{
	uint8_t bytes[8192];
	int got;

	if (side->phase == PHASE_OVER && !side->finished)
		return;
	if (!side->finished) {
		int result = SSL_do_handshake(side->ssl);

		flush_tls(side);
		if (result != 1) {
			if (SSL_get_error(side->ssl, result) != SSL_ERROR_WANT_READ)
				side->phase = PHASE_OVER;
			return;
		}
		handshake_done(side);
	}
	while ((got = SSL_read(side->ssl, bytes, sizeof(bytes))) > 0)
		hear_inside(side, bytes, (size_t)got);
	if (SSL_get_shutdown(side->ssl) & SSL_RECEIVED_SHUTDOWN)
		side->got_end = true;
	else if (SSL_get_error(side->ssl, got) != SSL_ERROR_WANT_READ)
		side->phase = PHASE_OVER;
	flush_tls(side);
}

void side_hear(struct side *side, const uint8_t *bytes, size_t size)
{
	while (size > 0 && side->phase == PHASE_MESSAGE) {
		size_t taken = hear_message(side, bytes, size);

		bytes += taken;
		size -= taken;
	}
	if (size == 0 || side->ssl == NULL)
		return;
	(void)BIO_write(side->from_gateway, bytes, (int)size);
	run_tls(side);
}

void side_hear_end(struct side *side)
{
	if (side->ssl == NULL && !side->wire->out_reset)
		side->got_end = true;
}

/* --- saying --- */

void side_begin(struct side *side, const struct letter *message)
{
	side->own = *message;
	if (side->kind == SIDE_DIRECT) {
		start_tls(side, false);
		return;
	}
	if (side->kind == SIDE_PEER_DIRECT) {
		start_tls(side, true);
		return;
	}
	say(side, message->bytes, message->size);
	if (side->manners.eager)
		say(side, "clear bytes behind the offer", 28);
}

void side_send(struct side *side, size_t size)
{
	static uint8_t bytes[PAYLOAD_MOST];
	bool inside = side->ssl != NULL && side->finished;
	size_t have;

	if (side->end_due || (side->phase != PHASE_OPEN && !(side->phase == PHASE_INSIDE && side->manners.eager)))
		return;
	have = inside ? stream_size(&side->plain) : stream_size(&side->delivered) + stream_size(&side->outbox);
	if (size == 0 || have + size > PAYLOAD_MOST)
		return;
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)((have + i) * 167 + ((have + i) >> 8) * 31 + (uintptr_t)world_fd(side->wire) * 59);
	if (inside)
		say_inside(side, bytes, size, true);
	else
		say(side, bytes, size);
}

void side_end(struct side *side)
{
	if (side->ssl != NULL && side->finished) {
		if (side->phase == PHASE_OPEN)
			(void)SSL_shutdown(side->ssl);
		flush_tls(side);
		/* The TCP connection ends once the answer has come, or where nobody waits for one. */
		if (side->phase == PHASE_OPEN && !side->got_end)
			return;
	}
	side->end_due = true;
}

void side_disturb(struct side *side, bool update)
{
	if (side->ssl == NULL || !side->finished)
		return;
	if (update && SSL_version(side->ssl) == TLS1_3_VERSION)
		(void)SSL_key_update(side->ssl, SSL_KEY_UPDATE_REQUESTED);
	else if (SSL_version(side->ssl) == TLS1_2_VERSION)
		(void)SSL_renegotiate(side->ssl);
	(void)SSL_do_handshake(side->ssl);
	flush_tls(side);
}

void side_deliver(struct side *side, size_t size)
{
	size_t have = stream_size(&side->outbox);

	if (side->wire->state != WIRE_OPEN || side->end_gone)
		return;
	if (size > have)
		size = have;
	if (size > 0) {
		stream_put(&side->delivered, stream_at(&side->outbox), size);
		world_deliver(side->wire, stream_at(&side->outbox), size);
		stream_drop(&side->outbox, size);
	}
	if (side->end_due && stream_size(&side->outbox) == 0) {
		side->end_gone = true;
		world_deliver_end(side->wire);
	}
}
