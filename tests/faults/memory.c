/*
 * Allocations that fail when the board says so, of the program and of every library in it; and how many there are. glibc calls
 * its own malloc by name, so that what getaddrinfo, fopen or strdup allocate comes by here too. What pthread_create maps
 * does not: it fails as a whole (calls.c).
 */
#include <errno.h>
#include <execinfo.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board.h"

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *at);

/* Where live allocations come from, for whoever looks for a leak: a table that loses what does not fit. */
#define NOTES 65536
#define DEPTH 14

struct note {
	_Atomic(void *) at;
	void *from[DEPTH];
	int depth;
};

static struct note notes[NOTES];
static _Thread_local int inside;

/* backtrace allocates the first time. */
__attribute__((constructor(102))) static void warm(void)
{
	void *from[2];

	if (faults_board != NULL)
		(void)backtrace(from, 2);
}

static void say(void *const *from, int depth, const char *what)
{
	(void)!write(STDERR_FILENO, what, strlen(what));
	backtrace_symbols_fd(from, depth, STDERR_FILENO);
}

static void say_failed(void)
{
	void *from[DEPTH];

	inside = 1;
	say(from, backtrace(from, DEPTH), "faults: an allocation fails\n");
	inside = 0;
}

static void take_note(void *at)
{
	size_t slot = ((uintptr_t)at >> 4) * 2654435761u % NOTES;

	if (at == NULL || inside)
		return;
	inside = 1;
	for (int i = 0; i < 64; i++, slot = (slot + 1) % NOTES) {
		void *none = NULL;

		if (!atomic_compare_exchange_strong(&notes[slot].at, &none, at))
			continue;
		notes[slot].depth = backtrace(notes[slot].from, DEPTH);
		break;
	}
	inside = 0;
}

static void drop_note(const void *at)
{
	size_t slot = ((uintptr_t)at >> 4) * 2654435761u % NOTES;

	for (int i = 0; i < 64; i++, slot = (slot + 1) % NOTES) {
		if (atomic_load(&notes[slot].at) != at)
			continue;
		atomic_store(&notes[slot].at, NULL);
		return;
	}
}

static void tell_notes(void)
{
	inside = 1;
	for (size_t i = 0; i < NOTES; i++)
		if (atomic_load(&notes[i].at) != NULL)
			say(notes[i].from, notes[i].depth, "faults: still there\n");
	inside = 0;
}

static unsigned tracing(void)
{
	return inside ? 0 : atomic_load_explicit(&faults_board->trace, memory_order_relaxed);
}

static int fails(void)
{
	if (!fault_due(FAULT_MEMORY))
		return 0;
	if (faults_board != NULL && tracing() > 0)
		say_failed();
	errno = ENOMEM;
	return 1;
}

static void *count(void *at)
{
	unsigned trace;

	if (faults_board == NULL || at == NULL)
		return at;
	(void)atomic_fetch_add(&faults_board->live, 1);
	trace = tracing();
	if (trace == 2)
		take_note(at);
	if (trace == 3 && atomic_compare_exchange_strong(&faults_board->trace, &trace, 0))
		tell_notes();
	return at;
}

static void count_free(const void *at)
{
	if (faults_board == NULL || at == NULL)
		return;
	(void)atomic_fetch_sub(&faults_board->live, 1);
	if (tracing() == 2)
		drop_note(at);
}

void *malloc(size_t size)
{
	return fails() ? NULL : count(__libc_malloc(size));
}

void *calloc(size_t members, size_t size)
{
	return fails() ? NULL : count(__libc_calloc(members, size));
}

void *realloc(void *old, size_t size)
{
	void *at;

	if (fails())
		return NULL;
	at = __libc_realloc(old, size);
	/* realloc(old, 0) frees. */
	if (at != NULL || size == 0)
		count_free(old);
	return count(at);
}

void free(void *at)
{
	count_free(at);
	__libc_free(at);
}

void *memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size)
{
	return fails() ? NULL : count(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **at, size_t alignment, size_t size)
{
	void *result = memalign(alignment, size);

	if (result == NULL)
		return ENOMEM;
	*at = result;
	return 0;
}
