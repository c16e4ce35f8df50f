/* Measuring: the CPU and memory of a tree of processes, and what a CPU second is worth. */
#include "bench.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOP_TURNS 20000000

void payload_fill(uint8_t *bytes, size_t size, uint64_t at)
{
	uint64_t state = at * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i + sizeof(state) <= size; i += sizeof(state)) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		memcpy(bytes + i, &state, sizeof(state));
	}
}

static pid_t parent_of(pid_t pid)
{
	char path[64], line[512];
	const char *at;
	int parent = 0;
	FILE *stream;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	stream = fopen(path, "re");
	if (stream == NULL)
		return 0;
	if (fgets(line, sizeof(line), stream) != NULL && (at = strrchr(line, ')')) != NULL)
		(void)sscanf(at + 1, " %*c %d", &parent);
	(void)fclose(stream);
	return parent;
}

/* Add up `measure` over the tree. Depth is small: a master and its workers. */
static uint64_t tree_sum(pid_t pid, uint64_t (*measure)(pid_t pid))
{
	uint64_t sum = measure(pid);
	DIR *proc = opendir("/proc");
	const struct dirent *entry;

	while (proc != NULL && (entry = readdir(proc)) != NULL) {
		pid_t child = (pid_t)strtol(entry->d_name, NULL, 10);

		if (child > 0 && child != pid && parent_of(child) == pid)
			sum += tree_sum(child, measure);
	}
	if (proc != NULL)
		(void)closedir(proc);
	return sum;
}

static uint64_t cpu_ns(pid_t pid)
{
	struct timespec time;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
		return 0;
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t pss_kib(pid_t pid)
{
	char path[64], line[256];
	unsigned long long kib = 0;
	FILE *stream;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	stream = fopen(path, "re");
	while (stream != NULL && fgets(line, sizeof(line), stream) != NULL)
		if (sscanf(line, "Pss: %llu", &kib) == 1)
			break;
	if (stream != NULL)
		(void)fclose(stream);
	return kib;
}

uint64_t tree_cpu_ns(pid_t pid)
{
	return tree_sum(pid, cpu_ns);
}

uint64_t tree_pss_kib(pid_t pid)
{
	return tree_sum(pid, pss_kib);
}

uint64_t loop_ns(void)
{
	struct timespec from, to;
	uint64_t value = 1;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	for (int i = 0; i < LOOP_TURNS; i++) {
		value = value * 6364136223846793005u + 1442695040888963407u;
		__asm__ volatile("" : "+r"(value));
	}
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	return (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000u + (uint64_t)to.tv_nsec - (uint64_t)from.tv_nsec;
}
