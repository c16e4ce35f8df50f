/*
 * Connects to the first address of a list that can be reached: in order, leaving out for `retry` what failed, so that
 * the primary is taken again by itself. Knows no protocol. One thread only.
 */
#ifndef TARGET_H
#define TARGET_H

#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "channel.h"
#include "compiler.h"
#include "reason.h"

/* When each address of one list may be tried again; one for each service and peer and worker, kept by the worker. */
struct target_memory {
	uint64_t *until_ms; /* loop time; 0: in use; owned */
	size_t count;
};

/* For a list of `count` addresses. 0 or -1 without memory. */
int target_memory_init(struct target_memory *memory, size_t count) MUST_CHECK;
void target_memory_close(struct target_memory *memory);

struct target_options {
	const char *name;                     /* of the service or peer, for the log; borrowed */
	const struct address_list *addresses; /* borrowed, must outlive the target */
	struct target_memory *memory;         /* borrowed; NULL: remember nothing */
	uint64_t retry_ms;                    /* how long an address that failed is left out */
	uint64_t connect_ms;                  /* deadline for each attempt, the look-up included */
	size_t first;                         /* number of the address to begin with; 0 at first */
	uint64_t never;                       /* bit N: address number N is not tried at all */
};

struct target;

/* REASON_NONE: connected; `channel` belongs to the owner now, `address` is the number in the list (channel is NULL for
 * ADDRESS_ECHO: the owner echoes itself). Otherwise REASON_CONNECT_TIMEOUT, _CONNECT_REFUSED, _NAME_NOT_FOUND, or
 * _NO_MEMORY of the last address tried, `detail` in words. */
typedef void target_done(void *owner, enum reason reason, struct channel *channel, size_t address, const char *detail);

/* Start. Calls `done` exactly once, never before the return, unless cancelled; the target is gone then. An address
 * that failed is skipped until `retry_ms` later; when all are, all are tried. Logs MESSAGE_PEER_SWITCHED and
 * MESSAGE_PEER_RETURNED on changes only. NULL without memory. */
struct target *target_start(struct iocontext *io, const struct target_options *options, target_done *done,
                            void *owner) MUST_CHECK;

/* `done` will not be called; everything it opened is closed. NULL does nothing. */
void target_cancel(struct target *target);

/* Mark an address as failed (also from outside: a peer that connected and then did not answer), without a word. */
void target_memory_failed(struct target_memory *memory, size_t address, uint64_t now_ms, uint64_t retry_ms);

/* The same in the memory of `options`, and log MESSAGE_PEER_SWITCHED where it was in use before. */
void target_address_failed(const struct target_options *options, size_t address, uint64_t now_ms, const char *detail);

#endif
