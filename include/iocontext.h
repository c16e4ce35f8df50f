/*
 * What the channels of one worker share: the loop, the scratch buffer that reads go to, the gather buffer that TLS
 * records are collected in, the pools of pending buffers and pipes, and the ready queue: work that has to be done
 * before the loop may sleep. One thread only.
 */
#ifndef IOCONTEXT_H
#define IOCONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "compiler.h"
#include "iobudget.h"
#include "poller.h"
#include "text.h"

#define IO_SCRATCH_SIZE (256 * 1024)
#define IO_GATHER_SIZE (IO_SCRATCH_SIZE + 8 * 1024)

struct iocontext;

/* On `loop` (borrowed; must outlive). NULL with `error`. */
struct iocontext *iocontext_new(uv_loop_t *loop, struct error *error) MUST_CHECK;

/* No channel may be open and nothing queued any more. NULL does nothing. */
void iocontext_free(struct iocontext *io);

/* One turn, in place of uv_run: wait for events (at most `most_ms` milliseconds, -1: without end; not at all while work
 * is queued) and call them, libuv's too, then run what is queued. False: nothing is left that could ever happen. */
bool iocontext_turn(struct iocontext *io, int most_ms);

uv_loop_t *iocontext_loop(struct iocontext *io);
struct poller *iocontext_poller(struct iocontext *io);

/* The worker's scratch buffer of IO_SCRATCH_SIZE bytes; valid until the callback returns. */
uint8_t *iocontext_scratch(struct iocontext *io);

/* A unit of work for the ready queue, embedded in its owner, zeroed at first. */
struct ready {
	void (*run)(struct ready *ready); /* called once for each iocontext_ready, never from inside it */
	struct ready *next, *previous;    /* NULL where not queued */
};

/* Queue `ready` (nothing happens where it is queued already): it runs before the loop sleeps, at the latest in the
 * next turn. Runs in the order of queueing; work queued while the queue runs waits for the next turn. */
void iocontext_ready(struct iocontext *io, struct ready *ready);

/* Take it out again; nothing happens where it is not queued. */
void iocontext_unready(struct ready *ready);

/* Count buffers and pipes that are taken in `budget` (borrowed; NULL: nowhere). Before the first is taken. */
void iocontext_use_budget(struct iocontext *io, struct iobudget *budget);

/* How much may be read at once, up to IO_SCRATCH_SIZE, so that what a sink does not take finds room; 0: there is none.
 */
size_t iocontext_room(const struct iocontext *io);

/* Bytes have to wait for room: count it, say it. */
void iocontext_room_met(struct iocontext *io);

/* A buffer of at least `size` bytes from the pool (size classes); *capacity is its true size. NULL without memory.
 * iocontext_give returns it. */
uint8_t *iocontext_take(struct iocontext *io, size_t size, size_t *capacity) MUST_CHECK;
void iocontext_give(struct iocontext *io, uint8_t *buffer, size_t capacity);

/* A pipe for splice, non-blocking: ends[0] to read. 0 or -1. `give` returns an EMPTY one to the pool, `drop` closes one
 * that holds bytes. */
int iocontext_take_pipe(struct iocontext *io, int ends[2]) MUST_CHECK;
void iocontext_give_pipe(struct iocontext *io, int ends[2]);
void iocontext_drop_pipe(struct iocontext *io, int ends[2]);

/* The gather buffer, for channel.c alone. */
struct gather {
	uint8_t *bytes; /* IO_GATHER_SIZE */
	size_t used;
	void *owner;
};
struct gather *iocontext_gather(struct iocontext *io);

#endif
