/* What subscribers.c (the queue, from any thread) and subscribers_thread.c (what goes to whom) share. */
#ifndef SUBSCRIBERS_PARTS_H
#define SUBSCRIBERS_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "complaint.h"
#include "subscriber.h"
#include "subscribers.h"
#include "text.h"

#define SUBSCRIBERS_NOTE_SIZE 256 /* of a line of our own */

struct subscribers {
	int fd, wake;
	pthread_t thread;
	char *(*opened)(const char *bytes, size_t size, size_t *opened_size);
	atomic_uint count; /* of subscribers; changes under the lock */
	pthread_mutex_t lock;
	/* Under the lock. */
	char name[NAME_MAX_CHARS + 1];
	uint64_t limit_bytes;
	struct linetable *kept;
	struct line *first, *last; /* what waits for the slowest, and all behind it */
	uint64_t end, number;      /* bytes and lines put so far */
	uint64_t written, dropped;
	bool woken, ending;
	pid_t successor; /* 0: none */
	char error[128];
	struct subscriber at[SUBSCRIBERS_MOST]; /* as far as it is not the thread's */
	/* The thread's. */
	struct complaint complaint;
	uint64_t accept_after_ms; /* there was no descriptor for another one */
};

static inline void subscribers_lock(struct subscribers *subscribers)
{
	(void)pthread_mutex_lock(&subscribers->lock);
}

static inline void subscribers_unlock(struct subscribers *subscribers)
{
	(void)pthread_mutex_unlock(&subscribers->lock);
}

/* Let it have what is kept at this moment, and from now on all that is put. -1 without memory. Thread. */
int subscribers_join(struct subscribers *subscribers, struct subscriber *subscriber) MUST_CHECK;

/* It is one no more: closed and freed. Thread. */
void subscribers_leave(struct subscribers *subscribers, struct subscriber *subscriber);

/* Append what waits for it, as long as it has room. Thread. */
void subscribers_take(struct subscribers *subscribers, struct subscriber *subscriber);

/* Free the lines that nobody waits for any more. Thread. */
void subscribers_trim(struct subscribers *subscribers);

/* The line that says who serves now, into `note` (SUBSCRIBERS_NOTE_SIZE); its length. */
size_t subscribers_farewell_note(char *note, pid_t successor);

/* The thread, with its `struct subscribers`. */
void *subscribers_run(void *subscribers);

#endif
