/* The clock, random numbers, and where the log goes. */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuzz.h"
#include "world.h"
#include "world_calls.h"

#define START_NS UINT64_C(1000000000000)
#define BETWEEN_RUNS_MS (60 * 60 * 1000)

static uint64_t now_ns = START_NS;
static uint32_t random_state;
static size_t bad_log_bytes;

/* libuv's clock too, as the program's own symbols come first. What people read is the kernel's. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
	if (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE)
		return (int)syscall(SYS_clock_gettime, clock, now);
	now->tv_sec = (time_t)(now_ns / 1000000000);
	now->tv_nsec = (long)(now_ns % 1000000000);
	return 0;
}

void world_advance(uint64_t ms)
{
	now_ns += ms * 1000000;
}

uint64_t world_now_ms(void)
{
	return now_ns / 1000000;
}

void world_reset_all(uint32_t seed)
{
	world_clear_wires();
	world_advance(BETWEEN_RUNS_MS);
	random_state = seed | 1;
	bad_log_bytes = 0;
}

/* Ids of connections; what OpenSSL itself needs it takes elsewhere. */
int __wrap_RAND_bytes(unsigned char *bytes, int size)
{
	for (int i = 0; i < size; i++) {
		random_state ^= random_state << 13;
		random_state ^= random_state >> 17;
		random_state ^= random_state << 5;
		bytes[i] = (unsigned char)random_state;
	}
	return 1;
}

/* The log goes nowhere, save with FUZZ_LOG in the environment; its lines are printable ASCII whatever peers say. */
ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;

	if (fd != STDERR_FILENO)
		return __real_write(fd, bytes, size);
	for (size_t i = 0; i < size; i++)
		bad_log_bytes += (at[i] < ' ' && at[i] != '\n') || at[i] > '~';
	return getenv("FUZZ_LOG") != NULL ? __real_write(fd, bytes, size) : (ssize_t)size;
}

size_t world_bad_log_bytes(void)
{
	return bad_log_bytes;
}
