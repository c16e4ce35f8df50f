/* What an operator and the machine do to the sessions of a run. */
#ifndef FUZZ_OPERATE_H
#define FUZZ_OPERATE_H

#include <stdint.h>

#include "site.h"

/* The operator drains, ends, disconnects. Sessions that are there are disturbed by it. */
void operate(const struct site *site, uint8_t what);

/* The machine: the order of events, descriptors, buffers, limits, traces, health of what is connected to. */
void operate_machine(const struct site *site, uint8_t what, uint8_t how);

/* All is as at first, but for what site_begin does. */
void operate_over(const struct site *site);

#endif
