/* TLS on a channel's socket: each operation takes a bounded share of a turn, whatever the peer sends. */
#include <openssl/err.h>

#include "channel_parts.h"

/* TLS bytes that one operation may take from the socket beyond the application data that it has given, before the rest
 * waits for the next turn: more than a record, so that data never does. KeyUpdates and their like give none, and each
 * costs as much as a record of data. After such an operation the next share is small. */
#define SHARE_BYTES ((size_t)24 * 1024)
#define SMALL_SHARE_BYTES ((size_t)4 * 1024)

/* TLS bytes within IDLE_MS without application data either way, beyond which the peer is taken for hostile: thousands
 * of KeyUpdates, hundreds of tickets. */
#define IDLE_BYTES ((size_t)64 * 1024)
#define IDLE_MS 60000

static void begin(struct channel *channel)
{
	channel->socket.given = 0;
	channel->socket.refused = false;
	channel->socket.allowed = channel->slow ? SMALL_SHARE_BYTES : SHARE_BYTES;
	channel->socket.piece = channel->slow ? SMALL_SHARE_BYTES : SIZE_MAX;
}

/* Where the share was too small, the rest of the turn is for others. */
static void rest(struct channel *channel)
{
	channel->slow = channel->resting = channel->socket.refused;
}

static bool lacked_memory(void)
{
	return ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE ||
	       ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE;
}

/* What a failed call of OpenSSL means here. The error queue is left for who judges a handshake. */
static enum channel_status tls_status(struct channel *channel, int result)
{
	unsigned long code;
	const char *words;

	switch (SSL_get_error(channel->ssl, result)) {
	case SSL_ERROR_ZERO_RETURN:
		return CHANNEL_EOF;
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return CHANNEL_AGAIN;
	default:
		break;
	}
	if (channel->socket.error != 0 || channel->write_error != 0)
		return channel_broken(channel, channel->socket.error != 0 ? channel->socket.error : channel->write_error);
	code = ERR_peek_error();
	words = ERR_reason_error_string(code);
	channel->error = words != NULL ? words : "the TLS stream is broken";
	if (lacked_memory())
		return CHANNEL_NO_MEMORY;
	if (!channel->socket.eof ||
	    (code != 0 && (ERR_GET_LIB(code) != ERR_LIB_SSL || ERR_GET_REASON(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING)))
		return CHANNEL_FAILED;
	return CHANNEL_TRUNCATED;
}

/* A read has given nothing, though `given` bytes came: is that still as it should be? */
static enum channel_status without_data(struct channel *channel, size_t given, enum channel_status status)
{
	uint64_t now_ms = uv_now(iocontext_loop(channel->io));

	if (channel->idle_bytes == 0 || now_ms - channel->idle_ms > IDLE_MS) {
		channel->idle_bytes = 0;
		channel->idle_ms = now_ms;
	}
	channel->idle_bytes += given;
	if (status != CHANNEL_AGAIN || channel->idle_bytes <= IDLE_BYTES)
		return status;
	channel->error = "too many TLS records without application data";
	return CHANNEL_FAILED;
}

/* A KeyUpdate or an alert may have been answered. */
static enum channel_status send_answers(struct channel *channel, enum channel_status status)
{
	size_t answers = iocontext_gather(channel->io)->used;

	status = channel_flushed(channel, status);
	if (channel_pending(channel) > 0)
		channel->answers += answers;
	return status;
}

enum channel_status channel_tls_read(struct channel *channel, uint8_t *bytes, size_t size, size_t *got)
{
	enum channel_status status = channel->ending;
	size_t total = 0;

	if (status != CHANNEL_OK)
		return status;
	if (channel->resting || channel_answers_wait(channel))
		return CHANNEL_AGAIN;
	begin(channel);
	do {
		size_t came = 0;
		int result;

		ERR_clear_error();
		result = SSL_read_ex(channel->ssl, bytes + total, size - total, &came);
		if (result != 1) {
			status = tls_status(channel, result);
			break;
		}
		total += came;
		channel->socket.allowed += came;
	} while (total < size && SSL_has_pending(channel->ssl));
	rest(channel);
	status = send_answers(channel, status);
	if (total > 0)
		channel->idle_bytes = 0;
	else if (channel->socket.given > 0)
		status = without_data(channel, channel->socket.given, status);
	if (status != CHANNEL_OK && status != CHANNEL_AGAIN)
		channel->ending = status;
	if (total == 0)
		return status;
	channel->count.tls_in += total;
	*got = total;
	return CHANNEL_OK;
}

enum channel_status channel_tls_write(struct channel *channel, const void *bytes, size_t size)
{
	enum channel_status status;
	size_t went = 0;
	int result;

	ERR_clear_error();
	result = SSL_write_ex(channel->ssl, bytes, size, &went);
	status = channel_flushed(channel, result == 1 ? CHANNEL_OK : tls_status(channel, result));
	channel->count.tls_out += went;
	if (went > 0)
		channel->idle_bytes = 0;
	/* The BIO takes everything, so there is nothing that a write could wait for. */
	return status == CHANNEL_AGAIN || status == CHANNEL_EOF ? CHANNEL_FAILED : status;
}

enum channel_status channel_tls_end(struct channel *channel)
{
	enum channel_status status;
	int result;

	ERR_clear_error();
	result = SSL_shutdown(channel->ssl);
	status = channel_flushed(channel, result >= 0 ? CHANNEL_OK : tls_status(channel, result));
	if (channel->write_error != 0)
		return channel_broken(channel, channel->write_error);
	/* A close_notify that was not sent: the peer would wait for it. As in channel_tls_write, here is nothing to wait
	 * for. */
	return status == CHANNEL_AGAIN || status == CHANNEL_EOF ? CHANNEL_FAILED : status;
}

enum channel_status channel_upgrade(struct channel *channel, SSL *ssl)
{
	BIO *bio = bio_new(&channel->socket);

	if (bio == NULL) {
		SSL_free(ssl);
		channel->error = "not enough memory";
		return CHANNEL_FAILED;
	}
	SSL_set_bio(ssl, bio, bio);
	channel->ssl = ssl;
	return CHANNEL_OK;
}

enum channel_status channel_handshake(struct channel *channel)
{
	enum channel_status status;
	int result;

	if (channel->resting)
		return CHANNEL_AGAIN;
	begin(channel);
	ERR_clear_error();
	result = SSL_do_handshake(channel->ssl);
	rest(channel);
	status = channel_flushed(channel, result == 1 ? CHANNEL_OK : tls_status(channel, result));
	return status == CHANNEL_EOF ? CHANNEL_FAILED : status;
}
