/*
 * Connects to the first address of a list that can be reached: in order, in turn, or the one with the fewest
 * connections; leaving out for `retry` what failed, so that the primary is taken again by itself, and what health found
 * down. A name is looked up at each attempt, without blocking; where it has several addresses, attempts at them are
 * staggered (RFC 8305; connector.h), all within the one deadline of the configured address. Knows no protocol. One
 * thread only.
 */
#ifndef TARGET_H
#define TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "channel.h"
#include "compiler.h"
#include "reason.h"
#include "target_memory.h"

struct target_options {
	const struct address_list *addresses; /* borrowed, must outlive the target */
	struct target_memory *memory;         /* borrowed, the same; NULL: remember nothing */
	int balance;                          /* enum balance; BALANCE_ORDER at first */
	uint64_t retry_ms;                    /* how long an address that failed is left out */
	uint64_t connect_ms;                  /* deadline for each address, the look-up included */
	size_t first;                         /* BALANCE_ORDER: number of the address to begin with; 0 at first */
	bool alone;                           /* `first` is the only one to try, whatever is remembered of it */
	uint64_t never;                       /* bit N: address number N is not tried at all */
};

struct target;

/* REASON_NONE: connected; `channel` belongs to the owner now, `address` is the number in the list (channel is NULL for
 * ADDRESS_ECHO: the owner echoes itself); an owner that wants the connection counted takes a target_place for it.
 * Otherwise REASON_CONNECT_TIMEOUT, _CONNECT_REFUSED, _NAME_NOT_FOUND, or _NO_MEMORY of the last address tried, or
 * REASON_PEER_DOWN without an attempt where health found all addresses down; `detail` in words, never NULL. */
typedef void target_done(void *owner, enum reason reason, struct channel *channel, size_t address, const char *detail);

/* Start. Calls `done` exactly once, never before the return, unless cancelled; the target is gone then. An address
 * that failed is skipped until `retry_ms` later; when all are, all are tried (target_memory_order). Logs
 * MESSAGE_PEER_SWITCHED and MESSAGE_PEER_RETURNED on changes only. NULL without memory. */
struct target *target_start(struct iocontext *io, const struct target_options *options, target_done *done,
                            void *owner) MUST_CHECK;

/* `done` will not be called; everything it opened is closed. NULL does nothing. */
void target_cancel(struct target *target);

#endif
