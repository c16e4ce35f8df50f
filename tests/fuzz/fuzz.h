/* What fuzzers share: a promise that is broken ends the process with words, and libFuzzer keeps the input. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *count, char ***arguments);

#define FUZZ_CHECK(holds, ...)                                                                                        \
	do {                                                                                                              \
		if (!(holds)) {                                                                                               \
			(void)fprintf(stderr, "%s:%d: broken: ", __FILE__, __LINE__);                                              \
			(void)fprintf(stderr, __VA_ARGS__);                                                                       \
			(void)fputc('\n', stderr);                                                                                \
			abort();                                                                                                  \
		}                                                                                                             \
	} while (0)

#endif
