/*
 * The memory in which bytes wait for slow receivers, of all connections of the process: how much is taken, and how much
 * may be. Whoever reads asks first; nothing is ever refused here, so that the bound is kept to by reading less. Any
 * thread.
 */
#ifndef IOBUDGET_H
#define IOBUDGET_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "complaint.h"

/* All zero at first: no bound. */
struct iobudget {
	atomic_ullong limit_bytes, taken_bytes;
	atomic_ullong met; /* how often */
	struct complaint complaint;
};

/* The bound from now on, in bytes; 0: none. */
void iobudget_set(struct iobudget *budget, uint64_t limit_bytes);

/* So many bytes are taken, or given back. NULL does nothing. */
void iobudget_take(struct iobudget *budget, size_t bytes);
void iobudget_give(struct iobudget *budget, size_t bytes);

/* Bytes that are left; SIZE_MAX without a bound, or where `budget` is NULL. */
size_t iobudget_room(const struct iobudget *budget);

/* Somebody had to wait because there is too little room, at `now_ms`: a line a minute says so. */
void iobudget_met(struct iobudget *budget, uint64_t now_ms);

#endif
