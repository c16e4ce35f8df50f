/* What time it is. Any thread. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* UTC, microseconds since 1970: for people. It may be set back. */
uint64_t clock_utc_us(void);

/* Milliseconds of a clock that is never set: for waits and deadlines. */
uint64_t clock_monotonic_ms(void);

#endif
