/*
 * What the load generator and the back end of the benchmarks agree on: a request of 9 bytes, an operation and a number
 * in the machine's own order.
 *
 *     'P'         one byte comes back; the connection stays
 *     'E' size    messages of `size` bytes are sent back until the connection ends
 *     'U' length  `length` bytes follow; 32 bytes come back: their SHA-256
 *     'D' length  `length` bytes come back, and 32 bytes: their SHA-256
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#define REQUEST_SIZE 9
#define DIGEST_SIZE 32
#define CHUNK_SIZE (64 * 1024)

static inline void request_put(uint8_t *bytes, char operation, uint64_t number)
{
	bytes[0] = (uint8_t)operation;
	memcpy(bytes + 1, &number, sizeof(number));
}

static inline uint64_t request_number(const uint8_t *bytes)
{
	uint64_t number;

	memcpy(&number, bytes + 1, sizeof(number));
	return number;
}

/* Bytes that no compression and no stuck buffer could fake: a block of `size` for the offset `at`. */
void payload_fill(uint8_t *bytes, size_t size, uint64_t at);

/* CPU time, user and system, in nanoseconds of `pid` and of all processes below it, ended threads included. */
uint64_t tree_cpu_ns(pid_t pid);

/* Proportional set size in KiB of `pid` and of all processes below it. */
uint64_t tree_pss_kib(pid_t pid);

/* Nanoseconds of CPU that a fixed loop on registers takes on this core now: what a CPU second is worth. */
uint64_t loop_ns(void);

#endif
