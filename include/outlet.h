/*
 * What lets notifiers write without making a worker wait: a bounded queue of lines or records, and one thread that
 * takes them to where they go. Nothing that was taken is reordered; what has no room is refused at once and counted.
 * Knows no format.
 */
#ifndef OUTLET_H
#define OUTLET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cci/notifier.h"
#include "compiler.h"
#include "text.h"

struct outlet;

struct outlet_options {
	const char *name;      /* of the thread, at most 15 characters; borrowed until outlet_new returns */
	uint64_t limit_bytes;  /* how much may wait */
	void *owner;
	/* The next three calls are made by the outlet's thread alone. Write `size` bytes, one item as it was put. 0; or -1
	 * with words in `error`: the item is kept and tried again after a second, and until then outlet_put refuses. */
	int (*write)(void *owner, const char *bytes, size_t size, struct error *error);
	/* At least once a second, and after outlet_wake. NULL: nothing is to be done. */
	void (*turn)(void *owner);
	/* What waited at one moment is written: let it reach its end now (also called where nothing waited, about once a
	 * second). 0; or -1 with words in `error`: the owner keeps it and is called again after a second, and until then
	 * outlet_put refuses. NULL: nothing is to be done. */
	int (*flush)(void *owner, struct error *error);
};

/* Starts the thread (without signals and without capabilities). NULL with `error`. */
struct outlet *outlet_new(const struct outlet_options *options, struct error *error) MUST_CHECK;

/* Take a copy of one item. 0, or -1: there is no room, or what it goes to is failing. Any thread; never waits for a
 * disk. `pending`, where it is not NULL and the item was taken, is answered from the outlet's thread: CCI_NOTIFIED
 * when the item was written and flushed, CCI_FAILED when that failed (what was taken is still tried again), or when it
 * was dropped at the end. */
int outlet_put(struct outlet *outlet, const char *bytes, size_t size, struct cci_pending *pending) MUST_CHECK;

/* Let `turn` be called soon. Any thread. */
void outlet_wake(struct outlet *outlet);

/* Fill in failing, queued_bytes, queue_bytes, written, dropped and error of a status. Any thread. */
void outlet_status(struct outlet *outlet, struct cci_notifier_status *status);

/* What waits is still written, for at most `wait_ms`, or 200 ms where writing fails already; the rest is dropped. Ends
 * the thread. Returns how many items were dropped in all. NULL does nothing. */
uint64_t outlet_free(struct outlet *outlet, uint64_t wait_ms);

#endif
