/* Names that are being looked up, who waits for them, and the threads that do it. */
#include "lookup.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "thread.h"

#define LINGER_MS 3000 /* a thread with nothing to do: the next connection may well want the same name */

struct lookup {
	struct lookup *next; /* of those without an answer */
	struct lookup_waiter *waiters;
	bool running, answered;
	int status, system_error; /* of getaddrinfo; errno where that is EAI_SYSTEM */
	struct addrinfo *found;
	char host[];
};

/* For the whole process: it outlives workers, and the threads outlive main. */
static struct {
	pthread_mutex_t lock; /* of all that follows, and of all waiters */
	pthread_cond_t wanted;
	struct lookup *first; /* without an answer, the oldest first */
	unsigned queued, idle, threads;
} lookups = {.lock = PTHREAD_MUTEX_INITIALIZER, .wanted = PTHREAD_COND_INITIALIZER};

static void free_lookup(struct lookup *lookup)
{
	if (lookup == NULL)
		return;
	if (lookup->found != NULL)
		freeaddrinfo(lookup->found);
	free(lookup);
}

/* The link that leads to the look-up of this name; to NULL at the end: there is none. */
static struct lookup **find(const char *host)
{
	struct lookup **at = &lookups.first;

	while (*at != NULL && strcmp((*at)->host, host) != 0)
		at = &(*at)->next;
	return at;
}

static void unlink_lookup(const struct lookup *lookup)
{
	*find(lookup->host) = lookup->next;
}

/* --- the threads --- */

static struct lookup *take_queued(void)
{
	struct lookup *lookup = lookups.first;

	while (lookup != NULL && lookup->running)
		lookup = lookup->next;
	if (lookup != NULL) {
		lookup->running = true;
		lookups.queued--;
	}
	return lookup;
}

/* NULL: nothing was wanted for long enough. */
static struct lookup *wait_for_one(void)
{
	uint64_t until_ms = clock_monotonic_ms() + LINGER_MS;
	struct timespec until = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};
	struct lookup *lookup;
	int result = 0;

	lookups.idle++;
	while ((lookup = take_queued()) == NULL && result == 0)
		result = pthread_cond_clockwait(&lookups.wanted, &lookups.lock, CLOCK_MONOTONIC, &until);
	lookups.idle--;
	return lookup;
}

/* Without the lock: nobody else touches what is written here until the look-up is answered. */
static void ask_system(struct lookup *lookup)
{
	static const struct addrinfo hints = {
	    .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};

	lookup->status = getaddrinfo(lookup->host, NULL, &hints, &lookup->found);
	lookup->system_error = errno;
	if (lookup->status != 0)
		lookup->found = NULL;
}

/* Who asks for the name from now on begins anew. What nobody waits for is returned, to be freed. */
static struct lookup *answer(struct lookup *lookup)
{
	unlink_lookup(lookup);
	lookup->answered = true;
	for (struct lookup_waiter *waiter = lookup->waiters; waiter != NULL; waiter = waiter->next)
		waiter->answered(waiter);
	return lookup->waiters == NULL ? lookup : NULL;
}

static void *run(void *unused)
{
	struct lookup *lookup;

	(void)unused;
	(void)pthread_mutex_lock(&lookups.lock);
	while ((lookup = wait_for_one()) != NULL) {
		(void)pthread_mutex_unlock(&lookups.lock);
		ask_system(lookup);
		(void)pthread_mutex_lock(&lookups.lock);
		lookup = answer(lookup);
		(void)pthread_mutex_unlock(&lookups.lock);
		free_lookup(lookup);
		(void)pthread_mutex_lock(&lookups.lock);
	}
	lookups.threads--;
	(void)pthread_mutex_unlock(&lookups.lock);
	return NULL;
}

/* Each idle thread takes one that is queued; is there one for another? */
static int start_thread_if_needed(struct error *error)
{
	pthread_t thread;

	if (lookups.queued < lookups.idle || lookups.threads == LOOKUP_THREADS)
		return 0;
	if (thread_start(&thread, "look-up", run, NULL, error) != 0)
		return -1;
	(void)pthread_detach(thread);
	lookups.threads++;
	return 0;
}

/* --- who waits --- */

static struct lookup *add(const char *host, struct error *error)
{
	size_t size = strlen(host) + 1;
	struct lookup *lookup = calloc(1, sizeof(*lookup) + size);

	if (lookup == NULL) {
		error_set(error, "not enough memory");
		return NULL;
	}
	if (start_thread_if_needed(error) != 0) {
		free(lookup);
		return NULL;
	}
	memcpy(lookup->host, host, size);
	*find(host) = lookup;
	lookups.queued++;
	(void)pthread_cond_signal(&lookups.wanted);
	return lookup;
}

static void attach(struct lookup_waiter *waiter, struct lookup *lookup)
{
	waiter->lookup = lookup;
	waiter->previous = NULL;
	waiter->next = lookup->waiters;
	if (waiter->next != NULL)
		waiter->next->previous = waiter;
	lookup->waiters = waiter;
}

/* What nobody needs any more is returned, to be freed. */
static struct lookup *detach(struct lookup_waiter *waiter)
{
	struct lookup *lookup = waiter->lookup;

	if (waiter->next != NULL)
		waiter->next->previous = waiter->previous;
	if (waiter->previous != NULL)
		waiter->previous->next = waiter->next;
	else
		lookup->waiters = waiter->next;
	if (lookup->waiters != NULL || (lookup->running && !lookup->answered))
		return NULL;
	if (!lookup->running) {
		unlink_lookup(lookup);
		lookups.queued--;
	}
	return lookup;
}

int lookup_join(struct lookup_waiter *waiter, const char *host, struct error *error)
{
	struct lookup *lookup;

	(void)pthread_mutex_lock(&lookups.lock);
	lookup = *find(host);
	if (lookup == NULL)
		lookup = add(host, error);
	if (lookup != NULL)
		attach(waiter, lookup);
	(void)pthread_mutex_unlock(&lookups.lock);
	return lookup != NULL ? 0 : -1;
}

const struct addrinfo *lookup_answer(const struct lookup_waiter *waiter, const char **error)
{
	const struct lookup *lookup = waiter->lookup;

	/* Whatever else wakes its owner up: the lock makes sure that this thread sees what the other has written. */
	(void)pthread_mutex_lock(&lookups.lock);
	if (lookup->status == EAI_SYSTEM)
		*error = strerrordesc_np(lookup->system_error);
	else
		*error = lookup->status != 0 ? gai_strerror(lookup->status) : "the name has no address";
	(void)pthread_mutex_unlock(&lookups.lock);
	return lookup->found;
}

void lookup_leave(struct lookup_waiter *waiter)
{
	struct lookup *unneeded;

	if (waiter->lookup == NULL)
		return;
	(void)pthread_mutex_lock(&lookups.lock);
	unneeded = detach(waiter);
	(void)pthread_mutex_unlock(&lookups.lock);
	waiter->lookup = NULL;
	free_lookup(unneeded);
}
