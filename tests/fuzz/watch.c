/* Each byte that the gateway sends, as it sends it: one message in the clear, then payload, or records of TLS and nothing else. */
#include <openssl/ssl.h>

#include "fuzz.h"
#include "play.h"

/* --- TLS --- */

static void record_header(const struct side *side)
{
	const uint8_t *record = side->record;
	size_t length = (size_t)record[3] << 8 | record[4];

	FUZZ_CHECK(record[0] >= 20 && record[0] <= 23 && record[1] == 3 && record[2] <= 4 && length <= 16384 + 2048,
	           "clear bytes where only TLS may be: %02x %02x %02x", record[0], record[1], record[2]);
}

static void watch_records(struct side *side, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		size_t part = side->record_left < size ? side->record_left : size;

		if (part > 0) {
			side->record_left -= part;
			bytes += part;
			size -= part;
			continue;
		}
		side->record[side->record_have++] = *bytes++;
		size--;
		if (side->record_have < sizeof(side->record))
			continue;
		record_header(side);
		side->record_have = 0;
		side->record_left = (size_t)side->record[3] << 8 | side->record[4];
	}
}

static void begin_records(struct side *side, bool after_clear)
{
	unsigned told = side->told[CCI_HANDSHAKE_STARTING];

	side->records_only = true;
	FUZZ_CHECK(told == (after_clear ? 1u : 0u), "a handshake starts %s, and the notifiers were told %u times",
	           after_clear ? "after clear bytes" : "directly", told);
}

/* --- the client's side --- */

static bool is_connected(const struct session *session)
{
	return session->back != NULL || session->destination == TO_PING ||
	       (session->destination == TO_SERVICE && session->service->address.at[0].kind == ADDRESS_ECHO);
}

/* The message is whole: nothing of the client's may wait to be read, or it would be taken for what comes later. */
static void answer_said(struct play *play, struct side *side)
{
	const uint8_t *bytes = stream_at(&side->said);
	int security = letter_security(bytes, stream_size(&side->said));
	const char *why;

	side->message_whole = true;
	FUZZ_CHECK(bytes[5] == LETTER_ACCEPT || bytes[5] == LETTER_REFUSE, "an answer of type %u", bytes[5]);
	if (bytes[5] == LETTER_REFUSE)
		return;
	why = gate_answer(play, security);
	FUZZ_CHECK(why == NULL, "%s", why);
	FUZZ_CHECK(!side->surplus, "an offer was accepted with bytes behind it");
	if (security == 0)
		FUZZ_CHECK(is_connected(play->session), "accepted in the clear before anybody is connected");
	else
		side->records_only = true;
}

static bool says_message(struct side *side, const uint8_t **bytes, size_t *size)
{
	while (*size > 0) {
		size_t have;

		stream_put(&side->said, (*bytes)++, 1);
		(*size)--;
		have = stream_size(&side->said);
		if (have < LETTER_HEADER)
			continue;
		FUZZ_CHECK(letter_length(stream_at(&side->said), have) != 0, "no message where one is due");
		if (letter_length(stream_at(&side->said), have) == have)
			return true;
	}
	return false;
}

static void watch_front(struct play *play, struct side *side, const uint8_t *bytes, size_t size)
{
	const uint8_t *first = stream_at(&side->delivered) + side->prologue;
	bool is_tls = stream_size(&side->delivered) > side->prologue && first[0] == 0x16;

	if (play->listener->exchange == EXCHANGE_NONE) {
		play_payload(side, bytes, size);
		return;
	}
	if (!side->records_only && !side->message_whole && is_tls)
		begin_records(side, false);
	/* As the answer begins: once it is on its way, it cannot be taken back. */
	if (stream_size(&side->said) == 0)
		side->surplus = stream_size(&side->wire->in) > 0;
	if (!side->records_only && !side->message_whole && says_message(side, &bytes, &size))
		answer_said(play, side);
	if (size == 0)
		return;
	FUZZ_CHECK(side->records_only || (side->message_whole && stream_at(&side->said)[5] == LETTER_ACCEPT),
	           "bytes behind a REFUSE");
	if (!side->records_only) {
		play_payload(side, bytes, size);
		return;
	}
	if (side->record_have == 0 && side->record_left == 0 && side->message_whole)
		begin_records(side, true);
	watch_records(side, bytes, size);
}

/* --- the service's side --- */

static void watch_service(struct play *play, struct side *side, const uint8_t *bytes, size_t size)
{
	const struct config_service *service = play->service;

	while (service->send_proxy != SEND_PROXY_NO && !side->message_whole && size > 0) {
		stream_put(&side->said, bytes++, 1);
		size--;
		side->message_whole = gate_proxy_header(stream_at(&side->said), stream_size(&side->said)) > 0;
		FUZZ_CHECK(side->message_whole || stream_size(&side->said) < 2000, "no PROXY header where one is due");
		FUZZ_CHECK(gate_front(play) == NULL || gate_connect(play) == NULL, "a PROXY header too early");
	}
	if (size > 0)
		play_payload(side, bytes, size);
}

static void offer_said(const struct play *play, struct side *side)
{
	static const int offered[] = {
	    [PEER_NONE] = 0, [PEER_OFF] = 1, [PEER_ON] = 2, [PEER_REQUIRED] = 3, [PEER_DIRECT] = 4};
	const uint8_t *bytes = stream_at(&side->said);

	side->message_whole = true;
	FUZZ_CHECK(bytes[5] == LETTER_OFFER, "a message of type %u to a peer", bytes[5]);
	FUZZ_CHECK(letter_security(bytes, stream_size(&side->said)) == offered[play->peer->security],
	           "an offer that is not the configured one");
}

static void watch_peer(struct play *play, struct side *side, const uint8_t *bytes, size_t size)
{
	const uint8_t *answer;
	size_t length;

	if (side->kind == SIDE_PEER_DIRECT && !side->records_only)
		begin_records(side, false);
	if (!side->records_only && !side->message_whole && says_message(side, &bytes, &size))
		offer_said(play, side);
	if (size == 0)
		return;
	length = gate_delivered(side, &answer);
	FUZZ_CHECK(side->records_only || length > 0, "a peer gets bytes before it has answered");
	if (!side->records_only && answer[5] == LETTER_ACCEPT && letter_security(answer, length) == 1)
		begin_records(side, true);
	if (side->records_only)
		watch_records(side, bytes, size);
	else
		play_payload(side, bytes, size);
}

void watch_sent(struct side *side, const uint8_t *bytes, size_t size)
{
	struct play *play = side->play;

	FUZZ_CHECK(play != NULL, "bytes on a connection that no session has");
	if (side == &play->front)
		watch_front(play, side, bytes, size);
	else if (side->kind == SIDE_SERVICE)
		watch_service(play, side, bytes, size);
	else
		watch_peer(play, side, bytes, size);
}
