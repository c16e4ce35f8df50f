/* What channel.c (the socket, what waits for it, events) and channel_tls.c (TLS on it) share. Nobody else includes it.
 */
#ifndef CHANNEL_PARTS_H
#define CHANNEL_PARTS_H

#include "bio.h"
#include "channel.h"

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
	bool resting;        /* TLS: the last operation has had its share of this turn */
	bool slow;           /* TLS: the same, when it ended last: the next share is small */
	size_t answers;      /* of what is pending, the bytes that OpenSSL has written of its own while it read */
	size_t idle_bytes;   /* TLS bytes read since application data went or came last */
	uint64_t idle_ms;    /* loop time of the first of them */
	uint64_t flushed_ms; /* when pending bytes went out last */
	int write_error;     /* errno of a send that failed */
	struct channel_count count;
	const char *error;
};

/* So much of OpenSSL's own answers (to KeyUpdates, say) may be pending before TLS is read no more. */
#define ANSWERS_MOST ((size_t)16 * 1024)

static inline bool channel_answers_wait(const struct channel *channel)
{
	return channel->answers >= ANSWERS_MOST;
}

/* Send what an operation has left to be sent; `status` is how that operation went. */
enum channel_status channel_flushed(struct channel *channel, enum channel_status status) MUST_CHECK;

/* The connection is broken by this errno. */
enum channel_status channel_broken(struct channel *channel, int error) MUST_CHECK;

/* As channel_read, channel_write and channel_end, of a channel that has turned to TLS. */
enum channel_status channel_tls_read(struct channel *channel, uint8_t *bytes, size_t size, size_t *got) MUST_CHECK;
enum channel_status channel_tls_write(struct channel *channel, const void *bytes, size_t size) MUST_CHECK;
enum channel_status channel_tls_end(struct channel *channel) MUST_CHECK;

#endif
