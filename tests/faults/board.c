/* The board, mapped before anything else happens, and whose turn it is. */
#include "board.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct faults_board *faults_board;

/* A process that was forked and becomes no program counts for itself. */
static void forget_board(void)
{
	faults_board = NULL;
}

/* By system calls alone: nothing that is interposed may be called yet. */
__attribute__((constructor(101))) static void map_board(void)
{
	const char *path = getenv("CCI_FAULTS");
	int fd = path != NULL ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof(*faults_board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)syscall(SYS_close, fd);
	if (at == MAP_FAILED)
		return;
	faults_board = at;
	(void)pthread_atfork(NULL, NULL, forget_board);
}

static bool is_mine(const struct fault *fault)
{
	int thread = atomic_load_explicit(&fault->thread, memory_order_relaxed);

	return thread == 0 || thread == (int)syscall(SYS_gettid);
}

int fault_due(enum fault_kind kind)
{
	struct fault *fault;
	unsigned long long number, first, every;

	if (faults_board == NULL)
		return 0;
	fault = &faults_board->faults[kind];
	if (!is_mine(fault))
		return 0;
	number = atomic_fetch_add(&fault->calls, 1) + 1;
	first = atomic_load(&fault->first);
	every = atomic_load(&fault->every);
	if (first == 0 || number < first || (number > first && (every == 0 || (number - first) % every != 0)))
		return 0;
	if (atomic_fetch_add(&fault->failed, 1) >= atomic_load(&fault->most)) {
		(void)atomic_fetch_sub(&fault->failed, 1);
		return 0;
	}
	if (atomic_load(&fault->delay_ms) != 0) {
		unsigned long delay_ms = atomic_load(&fault->delay_ms);
		struct timespec delay = {(time_t)(delay_ms / 1000), (long)(delay_ms % 1000) * 1000000};

		(void)nanosleep(&delay, NULL);
	}
	return atomic_load(&fault->error) != 0;
}
