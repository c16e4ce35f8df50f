/* Counts of durations with a fixed relative error: 64 buckets for each power of two, so that a value read back is at
 * most 1.6 % off. One writer; readers in other processes see counts that are at most a moment old. */
#ifndef SOAK_HISTOGRAM_H
#define SOAK_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS 64
#define HISTOGRAM_BUCKETS (HISTOGRAM_STEPS * 36)

struct histogram {
	uint64_t count, most; /* microseconds */
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t us);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The duration in microseconds that `share` (0 to 1) of all do not pass; 0 where there are none. */
uint64_t histogram_at(const struct histogram *histogram, double share);

#endif
