/*
 * Faults in running gateways: the preloaded libraries of tests/faults, and what a process has and holds before and after. The
 * board is mapped before the gateway's first line, so that its sandbox, which is on as ever, has nothing to say to it.
 */
#ifndef FAULTING_H
#define FAULTING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "../faults/board.h"
#include "gateway.h"

/* Start gateways from now on with these libraries, "memory" or "calls" or "memory,calls", and its board, which stays
 * mapped until the test ends. */
struct faults_board *faulting_next(const char *libraries);

/* It has started: what comes after starts as usual. */
void faulting_started(void);

/* Does this build take the preloaded libraries? A sanitizer has an allocator of its own. */
bool faulting_possible(void);

/* make faults: the whole range, not the sample of make test. */
bool faulting_full(void);

/* The step with which `count` places are sampled so that at most `most` are tried; in full 1, or the number of slices of which
 * one is run (CCI_FAULTS_SLICE=3/8: the third of eight). At least 1. */
unsigned long long faulting_step(unsigned long long count, unsigned long long most);

/* The first place, counted from 1: the number of the slice; 1 without slices. */
unsigned long long faulting_first(void);

/* From now on this call fails: the `first`-th, then each `every`-th (0: no other), of thread `thread` (0: any). */
struct faulting {
	enum fault_kind kind;
	int error; /* errno */
	unsigned long long first, every, most; /* most 0: one */
	int thread;
	unsigned long delay_ms;
};
void faulting_arm(struct faults_board *board, const struct faulting *faulting);

/* No fault any more. How many calls have failed since it was armed. */
unsigned long long faulting_disarm(struct faults_board *board, enum fault_kind kind);

/* The number of the thread with this name; 0: none. */
int faulting_thread(pid_t pid, const char *name);

/* What a process has. */
struct footprint {
	int sockets, pipes, epolls, eventfds, files, others, threads;
	long long live; /* allocations; 0 without a board */
	long rss_kib;
};
void footprint_take(pid_t pid, struct faults_board *board, struct footprint *footprint);

/* The same, once nothing is under way any more: two looks in a row see the same. */
void footprint_calm(pid_t pid, struct faults_board *board, struct footprint *footprint);

/* Wait up to 10 s until the process has again what it had, at most `slack` allocations more, and fail the test otherwise,
 * saying after what. */
void footprint_same(pid_t pid, struct faults_board *board, const struct footprint *before, long long slack,
                    const char *after);

#endif
