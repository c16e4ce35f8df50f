/*
 * Memory of connections that have gone, back to the kernel. The C library keeps what is freed below anything that is
 * still in use, so that a gateway would stay as large as its busiest hour. Main thread only.
 */
#ifndef MEMORYTRIM_H
#define MEMORYTRIM_H

#include <stdint.h>

struct memory_trim {
	uint64_t most;    /* connections at once since the last time */
	unsigned settled; /* ticks since there are few again */
};

/* Once a second: there are `count` connections. When three quarters of many (1000 at least) have gone, and not come
 * back for some seconds, what is free is given back; allocations of other threads may wait for some milliseconds then.
 */
void memory_trim_tick(struct memory_trim *trim, uint64_t count);

#endif
