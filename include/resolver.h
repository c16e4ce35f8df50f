/*
 * Host names to socket addresses without blocking the loop: by the threads of lookup.h, which all workers share, so
 * that one name that hangs holds up no other, and no loop's end. One thread only.
 */
#ifndef RESOLVER_H
#define RESOLVER_H

#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "compiler.h"
#include "iocontext.h"

#define RESOLVER_ADDRESSES 16 /* the most that one name gives */

struct resolver;

/* `error` NULL: found; `list` has 1 to RESOLVER_ADDRESSES addresses in the order of RFC 6724 with families interleaved
 * (RFC 8305, section 4). Otherwise `error` is the system's word for the fault. Both are borrowed until the return. */
typedef void resolver_done(void *owner, const char *error, const union socket_address *list, size_t count);

/* Look up `host` for TCP `port`; an address in numeric form is not looked up at all. Calls `done` exactly once, on the
 * thread of `io`, never before the return, unless cancelled; with an `error` soon where no thread can be had, and else
 * whenever the system answers: deadlines are the caller's. NULL without memory. The resolver is gone after `done`. */
struct resolver *resolver_start(struct iocontext *io, const char *host, uint16_t port, resolver_done *done,
                                void *owner) MUST_CHECK;

/* `done` will not be called. The memory goes with the next turn of the loop, whether the look-up has come back or not.
 * NULL does nothing. */
void resolver_cancel(struct resolver *resolver);

#endif
