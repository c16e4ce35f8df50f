/* One non-blocking stream socket, clear or TLS: reads, writes that keep what the kernel does not take, and events. */
#include "channel.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bio.h"

struct channel {
	struct bio_socket socket;
	struct iocontext *io;
	struct watch watch;
	SSL *ssl;
	channel_event *event;
	void *owner;
	struct ready again;
	uint8_t *pending; /* from the pool, only while something is kept */
	size_t pending_at, pending_end, pending_capacity;
	enum channel_status ending; /* found behind bytes already handed out; OK: none */
	bool want_read, want_write, end_due, filled, closing;
	uint64_t flushed_ms; /* when pending bytes went out last */
	int write_error; /* errno of a send that failed */
	struct channel_count count;
	const char *error;
};

/* Registered once, for edges: no call of the kernel when what is wanted changes. */
#define WATCHED (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

/* TLS bytes that were read ahead and did not fit the reader's buffer. */
static bool holds_bytes(const struct channel *channel)
{
	return channel->ssl != NULL && channel->filled && SSL_has_pending(channel->ssl) == 1;
}

static void run_again(struct ready *ready)
{
	struct channel *channel = OWNER_OF(ready, struct channel, again);

	if (channel->want_read && channel->event != NULL)
		channel->event(channel->owner, CHANNEL_READABLE);
}

static void drop_pending(struct channel *channel)
{
	if (channel->pending != NULL)
		iocontext_give(channel->io, channel->pending, channel->pending_capacity);
	channel->pending = NULL;
	channel->pending_at = channel->pending_end = channel->pending_capacity = 0;
}

/* Send as much as the kernel takes; what follows a broken connection is dropped, and the next write says so. */
static size_t send_some(struct channel *channel, const uint8_t *bytes, size_t size)
{
	size_t sent = 0;

	while (sent < size && channel->write_error == 0) {
		ssize_t went = send(channel->socket.fd, bytes + sent, size - sent, MSG_NOSIGNAL);

		if (went >= 0)
			sent += (size_t)went;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return sent;
		else if (errno != EINTR)
			channel->write_error = errno;
	}
	return size;
}

static bool keep(struct channel *channel, const uint8_t *bytes, size_t size)
{
	size_t held = channel->pending_end - channel->pending_at;

	if (channel->pending_end + size > channel->pending_capacity) {
		size_t capacity;
		uint8_t *buffer = iocontext_take(channel->io, held + size, &capacity);

		if (buffer == NULL)
			return false;
		if (held > 0)
			memcpy(buffer, channel->pending + channel->pending_at, held);
		drop_pending(channel);
		channel->pending = buffer;
		channel->pending_capacity = capacity;
		channel->pending_end = held;
	}
	memcpy(channel->pending + channel->pending_end, bytes, size);
	channel->pending_end += size;
	return true;
}

static bool send_or_keep(struct channel *channel, const uint8_t *bytes, size_t size)
{
	size_t sent = channel->pending_end > 0 ? 0 : send_some(channel, bytes, size);

	if (sent == size || keep(channel, bytes + sent, size - sent))
		return true;
	channel->write_error = ENOMEM;
	return false;
}

static bool flush_gather(struct channel *channel)
{
	struct gather *gather = iocontext_gather(channel->io);
	size_t used = gather->used;

	gather->used = 0;
	return used == 0 || send_or_keep(channel, gather->bytes, used);
}

/* The BIO's writes: collected until the operation of the channel ends, or the buffer is full. */
static bool take_written(struct bio_socket *socket, const uint8_t *bytes, size_t size)
{
	struct channel *channel = OWNER_OF(socket, struct channel, socket);
	struct gather *gather = iocontext_gather(channel->io);

	if (gather->used + size > IO_GATHER_SIZE && !flush_gather(channel))
		return false;
	if (size > IO_GATHER_SIZE)
		return send_or_keep(channel, bytes, size);
	memcpy(gather->bytes + gather->used, bytes, size);
	gather->used += size;
	return true;
}

/* The kernel refuses to end what a reset has ended: bytes that it still had are lost then. */
static void end_socket(struct channel *channel)
{
	if (shutdown(channel->socket.fd, SHUT_WR) != 0 && channel->write_error == 0)
		channel->write_error = errno == ENOTCONN ? ECONNRESET : errno;
}

static void flush_pending(struct channel *channel)
{
	size_t sent =
	    send_some(channel, channel->pending + channel->pending_at, channel->pending_end - channel->pending_at);

	channel->pending_at += sent;
	if (sent > 0)
		channel->flushed_ms = uv_now(iocontext_loop(channel->io));
	if (channel->pending_at < channel->pending_end)
		return;
	drop_pending(channel);
	if (channel->end_due)
		end_socket(channel);
}

static void on_event(struct watch *watch, uint32_t events)
{
	struct channel *channel = OWNER_OF(watch, struct channel, watch);
	unsigned report = 0;

	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		channel->socket.last = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		channel->socket.drained = false;
		report |= channel->want_read ? CHANNEL_READABLE : 0;
	}
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
		bool awaited = channel->want_write || channel->pending_end > 0;

		if (channel->pending_end > 0)
			flush_pending(channel);
		if (awaited && channel->pending_end == 0) {
			channel->want_write = false;
			report |= CHANNEL_WRITABLE;
		}
	}
	if (report != 0 && channel->event != NULL)
		channel->event(channel->owner, report);
}

static void free_channel(struct watch *watch)
{
	free(OWNER_OF(watch, struct channel, watch));
}

struct channel *channel_new(struct iocontext *io, int fd)
{
	struct channel *channel = calloc(1, sizeof(*channel));

	if (channel == NULL)
		return NULL;
	channel->watch.event = on_event;
	if (poller_add(iocontext_poller(io), &channel->watch, fd, WATCHED) != 0) {
		free(channel);
		return NULL;
	}
	channel->io = io;
	channel->socket.fd = fd;
	channel->socket.take = take_written;
	channel->socket.drained = true; /* the first event says what is there */
	channel->again.run = run_again;
	channel->error = "";
	return channel;
}

void channel_close(struct channel *channel)
{
	if (channel == NULL || channel->closing)
		return;
	channel->closing = true;
	iocontext_unready(&channel->again);
	drop_pending(channel);
	SSL_free(channel->ssl);
	channel->ssl = NULL;
	poller_retire(iocontext_poller(channel->io), &channel->watch, free_channel);
	close(channel->socket.fd);
}

void channel_abort(struct channel *channel)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	if (channel == NULL || channel->closing)
		return;
	(void)setsockopt(channel->socket.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	channel_close(channel);
}

void channel_watch(struct channel *channel, channel_event *event, void *owner)
{
	channel->event = event;
	channel->owner = owner;
	if (event == NULL)
		channel->want_read = false;
}

void channel_want_read(struct channel *channel, bool on)
{
	channel->want_read = on;
	/* An edge that has passed does not come again. */
	if (on && (!channel->socket.drained || holds_bytes(channel)))
		iocontext_ready(channel->io, &channel->again);
}

void channel_again(struct channel *channel)
{
	channel->want_read = true;
	iocontext_ready(channel->io, &channel->again);
}

void channel_want_connect(struct channel *channel)
{
	channel->want_write = true;
}

int channel_connect_error(struct channel *channel)
{
	int error = 0;

	return getsockopt(channel->socket.fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof(int)}) == 0 ? error : errno;
}

static enum channel_status broken(struct channel *channel, int error)
{
	const char *words = strerrordesc_np(error);

	channel->error = words != NULL ? words : "unknown system error";
	return error == ENOMEM ? CHANNEL_NO_MEMORY : CHANNEL_RESET;
}

enum channel_status channel_sent(struct channel *channel)
{
	return channel->write_error != 0 ? broken(channel, channel->write_error) : CHANNEL_OK;
}

/* Send what an operation has left to be sent; `status` is how that operation went. */
static enum channel_status flushed(struct channel *channel, enum channel_status status)
{
	return flush_gather(channel) ? status : broken(channel, channel->write_error);
}

static enum channel_status clear_read(struct channel *channel, void *bytes, size_t size, int flags, size_t *got)
{
	ssize_t came;

	do
		came = recv(channel->socket.fd, bytes, size, flags);
	while (came < 0 && errno == EINTR);
	*got = came > 0 ? (size_t)came : 0;
	if (came > 0)
		return CHANNEL_OK;
	if (came == 0)
		return CHANNEL_EOF;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return CHANNEL_AGAIN;
	return broken(channel, errno);
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
		return broken(channel, channel->socket.error != 0 ? channel->socket.error : channel->write_error);
	code = ERR_peek_error();
	words = ERR_reason_error_string(code);
	channel->error = words != NULL ? words : "the TLS stream is broken";
	if (lacked_memory())
		return CHANNEL_NO_MEMORY;
	if (!channel->socket.eof || (code != 0 && (ERR_GET_LIB(code) != ERR_LIB_SSL ||
	                                           ERR_GET_REASON(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING)))
		return CHANNEL_FAILED;
	return CHANNEL_TRUNCATED;
}

static enum channel_status tls_read(struct channel *channel, uint8_t *bytes, size_t size, size_t *got)
{
	enum channel_status status = channel->ending;
	size_t total = 0;

	if (status != CHANNEL_OK)
		return status;
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
	} while (total < size && SSL_has_pending(channel->ssl));
	/* A KeyUpdate or an alert may have been answered. */
	status = flushed(channel, status);
	if (status != CHANNEL_OK && status != CHANNEL_AGAIN)
		channel->ending = status;
	if (total == 0)
		return status;
	channel->count.tls_in += total;
	*got = total;
	return CHANNEL_OK;
}

enum channel_status channel_read(struct channel *channel, void *bytes, size_t size, size_t *got)
{
	enum channel_status status = CHANNEL_AGAIN;

	*got = 0;
	if (channel->ssl != NULL) {
		status = tls_read(channel, bytes, size, got);
		channel->filled = *got == size;
		return status;
	}
	if (channel->socket.drained)
		return status;
	status = clear_read(channel, bytes, size, 0, got);
	channel->socket.drained = status == CHANNEL_AGAIN || (status == CHANNEL_OK && *got < size && !channel->socket.last);
	channel->count.clear_in += *got;
	return status;
}

bool channel_more(const struct channel *channel)
{
	if (channel->ssl == NULL || channel->ending != CHANNEL_OK)
		return channel->ending != CHANNEL_OK || !channel->socket.drained;
	return !channel->socket.drained || holds_bytes(channel);
}

enum channel_status channel_peek(struct channel *channel, void *bytes, size_t size, size_t *got)
{
	enum channel_status status = clear_read(channel, bytes, size, MSG_PEEK, got);

	channel->socket.drained = status == CHANNEL_AGAIN;
	return status;
}

static enum channel_status tls_write(struct channel *channel, const void *bytes, size_t size)
{
	enum channel_status status;
	size_t went = 0;
	int result;

	ERR_clear_error();
	result = SSL_write_ex(channel->ssl, bytes, size, &went);
	status = flushed(channel, result == 1 ? CHANNEL_OK : tls_status(channel, result));
	channel->count.tls_out += went;
	/* The BIO takes everything, so there is nothing that a write could wait for. */
	return status == CHANNEL_AGAIN || status == CHANNEL_EOF ? CHANNEL_FAILED : status;
}

enum channel_status channel_write(struct channel *channel, const void *bytes, size_t size)
{
	enum channel_status status = CHANNEL_OK;

	if (size > 0 && channel->write_error == 0 && channel->ssl != NULL)
		status = tls_write(channel, bytes, size);
	else if (size > 0 && channel->write_error == 0 && send_or_keep(channel, bytes, size))
		channel->count.clear_out += size;
	return channel->write_error != 0 ? channel_sent(channel) : status;
}

size_t channel_pending(const struct channel *channel)
{
	return channel->pending_end - channel->pending_at;
}

uint64_t channel_flushed_ms(const struct channel *channel)
{
	return channel->flushed_ms;
}

enum channel_status channel_end(struct channel *channel)
{
	enum channel_status status;
	int result;

	if (channel->ssl == NULL) {
		channel->end_due = true;
		if (channel->pending_end == 0)
			end_socket(channel);
		return channel_sent(channel);
	}
	ERR_clear_error();
	result = SSL_shutdown(channel->ssl);
	status = flushed(channel, result >= 0 ? CHANNEL_OK : tls_status(channel, result));
	if (channel->write_error != 0)
		return broken(channel, channel->write_error);
	/* A close_notify that was not sent: the peer would wait for it. As in tls_write, here is nothing to wait for. */
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

	ERR_clear_error();
	result = SSL_do_handshake(channel->ssl);
	status = flushed(channel, result == 1 ? CHANNEL_OK : tls_status(channel, result));
	return status == CHANNEL_EOF ? CHANNEL_FAILED : status;
}

SSL *channel_ssl(const struct channel *channel)
{
	return channel->ssl;
}

int channel_fd(const struct channel *channel)
{
	return channel->socket.fd;
}

struct iocontext *channel_io(const struct channel *channel)
{
	return channel->io;
}

void channel_counts(const struct channel *channel, struct channel_count *count)
{
	*count = channel->count;
}

void channel_count_add(struct channel *channel, uint64_t clear_in, uint64_t clear_out)
{
	channel->count.clear_in += clear_in;
	channel->count.clear_out += clear_out;
}

const char *channel_error(const struct channel *channel)
{
	return channel->error;
}
