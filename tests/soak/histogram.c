/* Durations in buckets that grow with them. */
#include "histogram.h"

/* Below HISTOGRAM_STEPS each value has a bucket of its own; above, the highest bits choose. */
static unsigned bucket_of(uint64_t us)
{
	unsigned shift = 0;

	while (us >> shift >= 2 * HISTOGRAM_STEPS)
		shift++;
	if (shift >= HISTOGRAM_BUCKETS / HISTOGRAM_STEPS - 1)
		return HISTOGRAM_BUCKETS - 1;
	return shift * HISTOGRAM_STEPS + (unsigned)(us >> shift);
}

static uint64_t upper_bound(unsigned bucket)
{
	unsigned shift = bucket < 2 * HISTOGRAM_STEPS ? 0 : bucket / HISTOGRAM_STEPS - 1;
	uint64_t lead = bucket - shift * HISTOGRAM_STEPS;

	return ((lead + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t us)
{
	histogram->buckets[bucket_of(us)]++;
	histogram->count++;
	if (us > histogram->most)
		histogram->most = us;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
	into->count += from->count;
	if (from->most > into->most)
		into->most = from->most;
}

uint64_t histogram_at(const struct histogram *histogram, double share)
{
	uint64_t wanted = (uint64_t)(share * (double)histogram->count), sum = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		sum += histogram->buckets[i];
		if (sum > 0 && sum >= wanted)
			return upper_bound(i) < histogram->most ? upper_bound(i) : histogram->most;
	}
	return 0;
}
