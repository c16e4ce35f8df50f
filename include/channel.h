/*
 * One non-blocking stream socket, clear or TLS, upgraded in place. OpenSSL works on the descriptor itself through a
 * small BIO whose writes are gathered into one send. Reads go wherever the caller says; a write takes everything and
 * keeps what the kernel would not take, so that the caller's one duty is to stop reading the other side while
 * channel_pending is not 0. Knows nothing of the protocol, and no deadlines. One thread only.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "compiler.h"
#include "iocontext.h"

struct channel;

enum channel_status {
	CHANNEL_OK,
	CHANNEL_AGAIN,     /* nothing for now: wait for the event */
	CHANNEL_EOF,       /* orderly end: FIN in the clear, close_notify in TLS */
	CHANNEL_TRUNCATED, /* TLS ended without close_notify */
	CHANNEL_RESET,     /* the peer or the network broke the connection */
	CHANNEL_FAILED,    /* TLS: bad record, alert... */
	CHANNEL_NO_MEMORY,
};

#define CHANNEL_READABLE 1u
#define CHANNEL_WRITABLE 2u /* all that was pending has gone out, or a connect has been answered */

/* Called with what became possible, CHANNEL_READABLE or'ed with CHANNEL_WRITABLE. Never from inside a channel_*
 * call. It may close the channel. */
typedef void channel_event(void *owner, unsigned events);

/* Own `fd`: a connected, connecting or accepted stream socket, non-blocking, with TCP_NODELAY where it is TCP. NULL
 * without memory; then fd still is the caller's. */
struct channel *channel_new(struct iocontext *io, int fd) MUST_CHECK;

/* Close: no event from now on; pending bytes are dropped unless they were flushed; the memory goes by itself, when
 * the turn of the loop ends. NULL does nothing. */
void channel_close(struct channel *channel);

/* The same with a reset: the peer sees an error, not an orderly end. */
void channel_abort(struct channel *channel);

/* Who gets the events. `event` NULL: nobody, and nothing is watched. */
void channel_watch(struct channel *channel, channel_event *event, void *owner);

/* Report CHANNEL_READABLE once something has come since the last read, or in the next turn where that read has left
 * something: ask again after each. channel_again makes the event come in the next turn whatever there is. Before
 * the first event a read says CHANNEL_AGAIN. */
void channel_want_read(struct channel *channel, bool on);
void channel_again(struct channel *channel);

/* Report CHANNEL_WRITABLE once the socket's connect was answered, or pending bytes have gone. (Pending bytes are
 * always flushed by the channel itself, and CHANNEL_WRITABLE reported when they are gone.) */
void channel_want_connect(struct channel *channel);

/* The result of a non-blocking connect: 0 or an errno. */
int channel_connect_error(struct channel *channel);

/* Read up to `size` bytes (exactly what is asked and never more, in the clear). *got is set with CHANNEL_OK, which
 * means at least one byte. Over TLS several records are taken while they are already in memory. Records without data
 * (KeyUpdates...) get a bounded share of a turn: then AGAIN until the next one, in which channel_want_read makes the
 * event come by itself. AGAIN also while too many answers to them are pending; FAILED when there is nothing else for
 * too long. */
enum channel_status channel_read(struct channel *channel, void *bytes, size_t size, size_t *got) MUST_CHECK;

/* Is more likely to be there without waiting (TLS bytes in memory, or the last read filled its buffer)? */
bool channel_more(const struct channel *channel);

/* Clear only: look at up to `size` bytes without taking them. */
enum channel_status channel_peek(struct channel *channel, void *bytes, size_t size, size_t *got) MUST_CHECK;

/* Write all of it; what the kernel does not take now is kept. OK, RESET or FAILED. */
enum channel_status channel_write(struct channel *channel, const void *bytes, size_t size) MUST_CHECK;

/* Bytes kept. Until it is 0 nothing more should be written. */
size_t channel_pending(const struct channel *channel);

/* Could all be sent that was written so far? What was kept is dropped where not. OK, RESET or NO_MEMORY. */
enum channel_status channel_sent(struct channel *channel) MUST_CHECK;

/* Loop time, in milliseconds, at which kept bytes went out last; 0: never. */
uint64_t channel_flushed_ms(const struct channel *channel);

/* End this direction in order, after what is pending: close_notify in TLS, FIN in the clear. Over TLS the FIN
 * follows only with channel_close, so that the peer's answer still can come. RESET: bytes before it were lost. */
enum channel_status channel_end(struct channel *channel) MUST_CHECK;

/* Turn to TLS on the same socket: own `ssl` (set to accept or connect state). From here on reads and writes are
 * TLS. Only after all clear bytes were read and sent. FAILED without memory (ssl is freed all the same). */
enum channel_status channel_upgrade(struct channel *channel, SSL *ssl) MUST_CHECK;

/* Drive the handshake: OK when done, AGAIN: call again on CHANNEL_READABLE. */
enum channel_status channel_handshake(struct channel *channel) MUST_CHECK;

SSL *channel_ssl(const struct channel *channel); /* NULL in the clear */
int channel_fd(const struct channel *channel);   /* borrowed */
struct iocontext *channel_io(const struct channel *channel);

/* Bytes of payload that were read and written in the clear and (by SSL_read, SSL_write) in TLS. */
struct channel_count {
	uint64_t clear_in, clear_out, tls_in, tls_out;
};
void channel_counts(const struct channel *channel, struct channel_count *count);
/* For the relay's splice, which moves bytes past channel_read and channel_write. */
void channel_count_add(struct channel *channel, uint64_t clear_in, uint64_t clear_out);

/* Why CHANNEL_RESET, CHANNEL_FAILED or CHANNEL_NO_MEMORY, in words; a static or channel-owned text, never NULL. */
const char *channel_error(const struct channel *channel);

#endif
