/* Messages of the exchange over a channel: exact reads, and a transcript of what was sent and received. */
#include "exchange.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "confirm.h"

#define TLS_HANDSHAKE_RECORD 0x16 /* the first byte of a ClientHello (RFC 8446, section 5.1) */

struct piece {
	uint8_t *bytes;
	size_t size;
};

struct exchange {
	struct channel *channel;
	exchange_done *done;
	void *owner;
	bool receiving, detect_tls, is_tls;
	const struct trace_subject *subject; /* borrowed; NULL: nobody */
	enum trace_side side;
	size_t used, length;
	const char *detail;
	struct piece offer, accept;
	struct params message;
	uint8_t buffer[PARAMS_MESSAGE_SIZE];
};

static enum reason reason_of(enum channel_status status)
{
	switch (status) {
	case CHANNEL_EOF:
		return REASON_CLOSED_EARLY;
	case CHANNEL_TRUNCATED:
		return REASON_TRUNCATED;
	case CHANNEL_RESET:
		return REASON_RESET;
	case CHANNEL_NO_MEMORY:
		return REASON_NO_MEMORY;
	default:
		return REASON_TLS_ERROR;
	}
}

static enum reason reason_of_result(enum params_result result)
{
	switch (result) {
	case PARAMS_OK:
	case PARAMS_MORE:
		return REASON_NONE;
	case PARAMS_BAD_VERSION:
		return REASON_BAD_VERSION;
	case PARAMS_NOT_CCI:
		return REASON_NOT_CCI;
	default:
		return REASON_BAD_MESSAGE;
	}
}

static void finish(struct exchange *exchange, enum reason reason)
{
	exchange->receiving = false;
	channel_watch(exchange->channel, NULL, NULL);
	exchange->done(exchange->owner, reason);
}

static void finish_on(struct exchange *exchange, enum channel_status status)
{
	exchange->detail =
	    status == CHANNEL_EOF ? "the peer closed in the middle of the exchange" : channel_error(exchange->channel);
	finish(exchange, reason_of(status));
}

/* Keep the bytes of an OFFER or ACCEPT for the digest. */
static bool remember(struct exchange *exchange, enum params_type type, const uint8_t *bytes, size_t size)
{
	struct piece *piece = type == PARAMS_OFFER ? &exchange->offer : &exchange->accept;

	if (type != PARAMS_OFFER && type != PARAMS_ACCEPT)
		return true;
	free(piece->bytes);
	piece->size = size;
	piece->bytes = malloc(size);
	if (piece->bytes != NULL)
		memcpy(piece->bytes, bytes, size);
	return piece->bytes != NULL;
}

static void show(const struct exchange *exchange, const struct trace_message *message)
{
	trace_message(exchange->subject, exchange->side, message);
}

/* What came, `known` where it could be decoded. */
static void show_received(const struct exchange *exchange, bool known)
{
	struct trace_message message = {.bytes = exchange->buffer, .size = exchange->used, .fault = exchange->detail};

	if (!trace_any())
		return;
	message.message = known ? &exchange->message : NULL;
	show(exchange, &message);
}

static void whole_message(struct exchange *exchange)
{
	enum params_result result =
	    params_decode(exchange->buffer, exchange->length, &exchange->message, &exchange->detail);

	show_received(exchange, result == PARAMS_OK);
	if (result != PARAMS_OK) {
		finish(exchange, reason_of_result(result));
		return;
	}
	if (!remember(exchange, exchange->message.type, exchange->buffer, exchange->length)) {
		exchange->detail = "not enough memory";
		finish(exchange, REASON_NO_MEMORY);
		return;
	}
	finish(exchange, REASON_NONE);
}

/* Take what belongs to the message and no more. False: wait, or finished. */
static bool take_bytes(struct exchange *exchange)
{
	size_t wanted = exchange->length > 0 ? exchange->length : PARAMS_HEADER_SIZE;
	enum params_result result;
	enum channel_status status;
	size_t got;

	status = channel_read(exchange->channel, exchange->buffer + exchange->used, wanted - exchange->used, &got);
	if (status == CHANNEL_AGAIN) {
		channel_want_read(exchange->channel, true);
		return false;
	}
	if (status != CHANNEL_OK) {
		finish_on(exchange, status);
		return false;
	}
	exchange->used += got;
	if (exchange->length == 0) {
		result = params_header(exchange->buffer, exchange->used, &exchange->length, &exchange->detail);
		if (result == PARAMS_OK || result == PARAMS_MORE)
			exchange->length = result == PARAMS_OK ? exchange->length : 0;
		else {
			if (exchange->used > 6)
				exchange->message.cpu = exchange->buffer[6] == PARAMS_EBCDIC ? PARAMS_EBCDIC : PARAMS_UTF8;
			show_received(exchange, false);
			finish(exchange, reason_of_result(result));
			return false;
		}
	}
	if (exchange->length == 0 || exchange->used < exchange->length)
		return true;
	whole_message(exchange);
	return false;
}

/* Look at the first byte without taking it. True: go on reading a message. */
static bool is_message(struct exchange *exchange)
{
	uint8_t bytes[PARAMS_HEADER_SIZE];
	size_t got;
	enum channel_status status;

	if (!exchange->detect_tls)
		return true;
	status = channel_peek(exchange->channel, bytes, sizeof(bytes), &got);
	if (status == CHANNEL_AGAIN) {
		channel_want_read(exchange->channel, true);
		return false;
	}
	exchange->detect_tls = false;
	if (status != CHANNEL_OK) {
		finish_on(exchange, status);
		return false;
	}
	if (bytes[0] != TLS_HANDSHAKE_RECORD) {
		/* The header in sight, the whole message is read at once. */
		if (params_header(bytes, got, &exchange->length, &exchange->detail) != PARAMS_OK)
			exchange->length = 0;
		return true;
	}
	exchange->is_tls = true;
	finish(exchange, REASON_NONE);
	return false;
}

static void channel_ready(void *owner, unsigned events)
{
	struct exchange *exchange = owner;

	if (!(events & CHANNEL_READABLE) || !is_message(exchange))
		return;
	while (take_bytes(exchange))
		;
}

struct exchange *exchange_new(struct channel *channel, exchange_done *done, void *owner)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));

	if (exchange == NULL)
		return NULL;
	exchange->channel = channel;
	exchange->done = done;
	exchange->owner = owner;
	exchange->detail = "";
	exchange->message.cpu = PARAMS_UTF8;
	return exchange;
}

void exchange_free(struct exchange *exchange)
{
	if (exchange == NULL)
		return;
	if (exchange->receiving)
		channel_watch(exchange->channel, NULL, NULL);
	free(exchange->offer.bytes);
	free(exchange->accept.bytes);
	OPENSSL_cleanse(exchange, sizeof(*exchange));
	free(exchange);
}

void exchange_trace(struct exchange *exchange, const struct trace_subject *subject, enum trace_side side)
{
	exchange->subject = subject;
	exchange->side = side;
}

void exchange_expect(struct exchange *exchange, exchange_done *done)
{
	exchange->done = done;
}

void exchange_receive(struct exchange *exchange, bool detect_tls)
{
	exchange->receiving = true;
	exchange->detect_tls = detect_tls;
	exchange->used = exchange->length = 0;
	channel_watch(exchange->channel, channel_ready, exchange);
	channel_want_read(exchange->channel, true);
	/* What OpenSSL has read ahead makes no event. */
	if (channel_ssl(exchange->channel) != NULL)
		channel_again(exchange->channel);
}

bool exchange_is_tls(const struct exchange *exchange)
{
	return exchange->is_tls;
}

const struct params *exchange_received(const struct exchange *exchange)
{
	return &exchange->message;
}

const char *exchange_detail(const struct exchange *exchange)
{
	return exchange->detail != NULL ? exchange->detail : "";
}

bool exchange_has_bytes(const struct exchange *exchange)
{
	return exchange->used > 0;
}

bool exchange_has_leftover(struct exchange *exchange)
{
	uint8_t byte;
	size_t got;

	return channel_peek(exchange->channel, &byte, 1, &got) == CHANNEL_OK;
}

enum reason exchange_send(struct exchange *exchange, const struct params *message)
{
	uint8_t bytes[PARAMS_MESSAGE_SIZE];
	size_t size = params_encode(message, bytes);
	enum channel_status status;

	if (size == 0)
		return REASON_INTERNAL;
	if (!remember(exchange, message->type, bytes, size))
		return REASON_NO_MEMORY;
	if (trace_any())
		show(exchange, &(struct trace_message){.sent = true, .bytes = bytes, .size = size, .message = message});
	status = channel_write(exchange->channel, bytes, size);
	return status == CHANNEL_OK ? REASON_NONE : reason_of(status);
}

int exchange_digest(const struct exchange *exchange, uint8_t *digest)
{
	if (exchange->offer.bytes == NULL || exchange->accept.bytes == NULL)
		return -1;
	return confirm_digest(exchange->offer.bytes, exchange->offer.size, exchange->accept.bytes, exchange->accept.size,
	                      digest);
}
