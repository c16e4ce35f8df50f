/* One non-blocking stream socket, clear or TLS: reads, writes that keep what the kernel does not take, and events. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel_parts.h"

/* Registered once, for edges: no call of the kernel when what is wanted changes. */
#define WATCHED (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET)

/* TLS bytes that were read ahead and did not fit the reader's buffer. */
static bool holds_bytes(const struct channel *channel)
{
	return channel->ssl != NULL && channel->filled && SSL_has_pending(channel->ssl) == 1;
}

static void run_again(struct ready *ready)
{
	struct channel *channel = OWNER_OF(ready, struct channel, again);

	channel->resting = false;
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

/* What grows does so by an eighth at least: many small pieces would otherwise be copied each time. */
static bool keep(struct channel *channel, const uint8_t *bytes, size_t size)
{
	size_t held = channel->pending_end - channel->pending_at;

	if (channel->pending_end + size > channel->pending_capacity) {
		size_t capacity;
		uint8_t *buffer = iocontext_take(channel->io, held + size + held / 8, &capacity);

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
	channel->answers = 0;
	if (channel->end_due)
		end_socket(channel);
}

static void on_event(struct watch *watch, uint32_t events)
{
	struct channel *channel = OWNER_OF(watch, struct channel, watch);
	bool stopped = channel_answers_wait(channel);
	unsigned report = 0;

	channel->resting = false;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		channel->socket.unsure = true;
	/* Each recv stops short at an urgent byte, whatever is behind it. */
	if (events & EPOLLPRI)
		channel->socket.unsure = true;
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
		if (stopped && !channel_answers_wait(channel) && channel->want_read)
			report |= CHANNEL_READABLE;
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
	if (on && !channel_answers_wait(channel) && (!channel->socket.drained || holds_bytes(channel)))
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

enum channel_status channel_broken(struct channel *channel, int error)
{
	const char *words = strerrordesc_np(error);

	channel->error = words != NULL ? words : "unknown system error";
	return error == ENOMEM ? CHANNEL_NO_MEMORY : CHANNEL_RESET;
}

enum channel_status channel_sent(struct channel *channel)
{
	return channel->write_error != 0 ? channel_broken(channel, channel->write_error) : CHANNEL_OK;
}

enum channel_status channel_flushed(struct channel *channel, enum channel_status status)
{
	return flush_gather(channel) ? status : channel_broken(channel, channel->write_error);
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
	return channel_broken(channel, errno);
}

enum channel_status channel_read(struct channel *channel, void *bytes, size_t size, size_t *got)
{
	enum channel_status status = CHANNEL_AGAIN;

	*got = 0;
	if (channel->ssl != NULL) {
		status = channel_tls_read(channel, bytes, size, got);
		channel->filled = *got == size;
		return status;
	}
	if (channel->socket.drained)
		return status;
	status = clear_read(channel, bytes, size, 0, got);
	channel->socket.drained =
	    status == CHANNEL_AGAIN || (status == CHANNEL_OK && *got < size && !channel->socket.unsure);
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

enum channel_status channel_write(struct channel *channel, const void *bytes, size_t size)
{
	enum channel_status status = CHANNEL_OK;

	if (size > 0 && channel->write_error == 0 && channel->ssl != NULL)
		status = channel_tls_write(channel, bytes, size);
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
	if (channel->ssl != NULL)
		return channel_tls_end(channel);
	channel->end_due = true;
	if (channel->pending_end == 0)
		end_socket(channel);
	return channel_sent(channel);
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
