/*
 * The kernel of a fuzzed session: sockets in memory under the calls that common/ makes (the linker puts these in their place,
 * fuzz.mk), edges as epoll tells them, and a clock that moves only when it is told to. One thread.
 *
 * A socket of the gateway is a `wire`; at its other end is whoever fuzzes. What was delivered is in `in` until the gateway reads
 * it; what the gateway has sent is in `out` until it is taken.
 */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "address.h"

/* Bytes in their order. All zero at first. */
struct stream {
	uint8_t *bytes;
	size_t start, end, room;
};

void stream_put(struct stream *stream, const void *bytes, size_t size);
void stream_drop(struct stream *stream, size_t size); /* the first ones */
void stream_clear(struct stream *stream);
void stream_free(struct stream *stream);

static inline size_t stream_size(const struct stream *stream)
{
	return stream->end - stream->start;
}

static inline uint8_t *stream_at(const struct stream *stream)
{
	static uint8_t nothing;

	return stream->bytes != NULL ? stream->bytes + stream->start : &nothing;
}

enum wire_state { WIRE_FREE, WIRE_CONNECTING, WIRE_OPEN, WIRE_FAILED, WIRE_CLOSED };

struct wire {
	enum wire_state state;
	bool accepted; /* else the gateway has connected */
	union socket_address local, remote;
	struct stream in, out;
	bool in_end, in_reset;    /* the other end has ended its direction; has reset */
	bool out_end, out_reset;  /* the gateway has */
	bool reset_told;          /* to the gateway, by recv */
	int error;                /* of a connect, for SO_ERROR */
	size_t room;              /* bytes that `out` may hold */
	unsigned interrupts;      /* calls that fail with EINTR first */
	bool full_told, linger_none;
	bool watched, edge;       /* by epoll; something has happened since it was told */
	uint32_t mask;
	void *watch;
	void *actor;              /* at the other end */
};

/* --- told by the world, done by who fuzzes --- */

/* The gateway connects to `wire->remote`: 0: connected at once; EINPROGRESS: world_answer comes later; or another errno. */
int world_on_connect(struct wire *wire);
/* The gateway has sent these bytes. */
void world_on_sent(struct wire *wire, const uint8_t *bytes, size_t size);

/* --- the other end --- */

/* A connection that the gateway accepts; the descriptor is for session_start. */
struct wire *world_accept(const union socket_address *remote, const union socket_address *local);
int world_fd(const struct wire *wire);
struct wire *world_wire(int fd); /* NULL: not one of ours */

void world_answer(struct wire *wire, int error);
void world_deliver(struct wire *wire, const uint8_t *bytes, size_t size);
void world_deliver_end(struct wire *wire);
void world_reset(struct wire *wire);
/* Take up to `size` bytes that the gateway has sent; how many. */
size_t world_take(struct wire *wire, uint8_t *bytes, size_t size);
void world_set_room(struct wire *wire, size_t room);

/* --- the whole --- */

/* A new run: nothing is open, the clock has moved by an hour, random bytes come from `seed`. */
void world_reset_all(uint32_t seed);
size_t world_open_wires(void);   /* sockets that the gateway has not closed */
size_t world_dirty_pipes(void);  /* pipes that hold bytes */
void world_advance(uint64_t ms);
uint64_t world_now_ms(void);
/* Events are told in the opposite order from now on, or again in their own. */
void world_reverse(void);
/* The next `count` attempts at a socket or a pipe fail with EMFILE. */
void world_no_descriptors(unsigned count);
/* Bytes that the log wrote and that no log line may hold. */
size_t world_bad_log_bytes(void);

#endif
