/*
 * One kind of trouble that may come very often: a line a minute says how often it came. Knows no log.
 */
#ifndef COMPLAINT_H
#define COMPLAINT_H

#include <stdatomic.h>
#include <stdint.h>

#include "compiler.h"

#define COMPLAINT_MS 60000

/* All zero at first. */
struct complaint {
	atomic_ullong said_ms; /* 0: never */
	atomic_ullong count;   /* since then */
};

/* It came once more, at `now_ms`. How often it came since the last line, where a line is due now; or else 0. Any
 * thread. */
uint64_t complaint_due(struct complaint *complaint, uint64_t now_ms) MUST_CHECK;

#endif
