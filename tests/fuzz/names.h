/* Names of hosts in a fuzzed session: the linker puts this in the place of the resolver (fuzz.mk). A look-up waits
 * until somebody answers it. */
#ifndef FUZZ_NAMES_H
#define FUZZ_NAMES_H

#include <stddef.h>
#include <stdint.h>

/* Answer all that wait: by 1 + (how & 3) addresses, or (how & 4) by a fault. */
void names_answer(uint8_t how);

/* How many wait. */
size_t names_waiting(void);

#endif
