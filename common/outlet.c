/* A bounded queue, and the thread that empties it. */
#include "outlet.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "log.h"
#include "thread.h"

#define SECOND_MS 1000
#define FAILING_END_MS 200

struct item {
	struct item *next;
	struct cci_pending *pending; /* who waits for it; NULL: nobody (any more) */
	size_t size;
	char bytes[];
};

struct outlet {
	struct outlet_options options;
	char name[16];
	pthread_t thread;
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t changed;
	struct item *first, **last;
	uint64_t queued_bytes, written, dropped;
	bool failing, woken, ending;
	uint64_t until_ms; /* when ending: nothing is tried any more */
	struct error error;
};

/* Under the lock: until something changes, or `most_ms` have passed. */
static void wait_for_change(struct outlet *outlet, uint64_t most_ms)
{
	uint64_t until_ms = clock_monotonic_ms() + most_ms;
	struct timespec until = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};

	(void)pthread_cond_timedwait(&outlet->changed, &outlet->lock, &until);
}

/* --- the thread --- */

/* What waited at this moment. */
static struct item *take(struct outlet *outlet)
{
	struct item *items = outlet->first;

	outlet->first = NULL;
	outlet->last = &outlet->first;
	return items;
}

/* What was not written stands before what came meanwhile. */
static void put_back(struct outlet *outlet, struct item *items)
{
	struct item **end = &items;

	if (items == NULL)
		return;
	while (*end != NULL)
		end = &(*end)->next;
	*end = outlet->first;
	if (outlet->first == NULL)
		outlet->last = end;
	outlet->first = items;
}

/* Those who wait for these hear it. */
static void answer(struct item *items, int result)
{
	for (struct item *item = items; item != NULL; item = item->next) {
		struct cci_pending *pending = item->pending;

		item->pending = NULL;
		if (pending != NULL)
			pending->answer(pending, result);
	}
}

static void free_items(struct item *items)
{
	for (struct item *next; items != NULL; items = next) {
		next = items->next;
		free(items);
	}
}

/* What was written, or why not. */
static void count_item(struct outlet *outlet, const struct item *item, int result, const struct error *error)
{
	(void)pthread_mutex_lock(&outlet->lock);
	outlet->failing = result != 0;
	if (result != 0)
		outlet->error = *error;
	if (result == 0) {
		outlet->queued_bytes -= item->size;
		outlet->written++;
	}
	(void)pthread_mutex_unlock(&outlet->lock);
}

/* What was written reaches its end, or that fails; `written` says whether all of it was. */
static int flush(struct outlet *outlet, int written)
{
	struct error error = {.text = ""};
	int result = outlet->options.flush != NULL ? outlet->options.flush(outlet->options.owner, &error) : 0;

	(void)pthread_mutex_lock(&outlet->lock);
	outlet->failing = result != 0 || written != 0;
	if (result != 0)
		outlet->error = error;
	(void)pthread_mutex_unlock(&outlet->lock);
	return result;
}

/* Without the lock, which guards the counts. What could not be written is left. */
static struct item *write_items(struct outlet *outlet, struct item *items)
{
	struct item *awaited = NULL, **end = &awaited;
	struct error error = {.text = ""};
	int result = 0;

	while (items != NULL && result == 0) {
		struct item *item = items;

		result = outlet->options.write(outlet->options.owner, item->bytes, item->size, &error);
		count_item(outlet, item, result, &error);
		if (result != 0)
			break;
		items = item->next;
		if (item->pending == NULL) {
			free(item);
			continue;
		}
		item->next = NULL;
		*end = item;
		end = &item->next;
	}
	answer(awaited, flush(outlet, result) == 0 ? CCI_NOTIFIED : CCI_FAILED);
	free_items(awaited);
	return items;
}

/* Whoever waits is not to wait until it works again. What waits is written then all the same. */
static void answer_failing(struct outlet *outlet)
{
	if (outlet->failing)
		answer(outlet->first, CCI_FAILED);
}

static bool is_over(const struct outlet *outlet)
{
	return outlet->ending && (outlet->first == NULL || clock_monotonic_ms() >= outlet->until_ms);
}

static void *run(void *argument)
{
	struct outlet *outlet = argument;
	struct item *items;

	(void)pthread_mutex_lock(&outlet->lock);
	while (!is_over(outlet)) {
		/* After a failure a second passes, whatever comes. */
		if (!outlet->woken && !outlet->ending && (outlet->first == NULL || outlet->failing))
			wait_for_change(outlet, SECOND_MS);
		outlet->woken = false;
		items = take(outlet);
		(void)pthread_mutex_unlock(&outlet->lock);
		if (outlet->options.turn != NULL)
			outlet->options.turn(outlet->options.owner);
		items = write_items(outlet, items);
		/* What the owner has said: lines are gathered by thread, and nobody else has this one's. */
		log_flush();
		(void)pthread_mutex_lock(&outlet->lock);
		put_back(outlet, items);
		answer_failing(outlet);
		if (outlet->ending && outlet->failing && !is_over(outlet))
			wait_for_change(outlet, FAILING_END_MS);
	}
	(void)pthread_mutex_unlock(&outlet->lock);
	return NULL;
}

/* --- the others --- */

struct outlet *outlet_new(const struct outlet_options *options, struct error *error)
{
	struct outlet *outlet = calloc(1, sizeof(*outlet));
	pthread_condattr_t monotonic;

	if (outlet == NULL) {
		(void)error_set(error, "not enough memory");
		return NULL;
	}
	outlet->options = *options;
	(void)snprintf(outlet->name, sizeof(outlet->name), "%s", options->name);
	outlet->options.name = outlet->name;
	outlet->last = &outlet->first;
	(void)pthread_mutex_init(&outlet->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&outlet->changed, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	if (thread_start(&outlet->thread, outlet->name, run, outlet, error) == 0)
		return outlet;
	(void)pthread_cond_destroy(&outlet->changed);
	(void)pthread_mutex_destroy(&outlet->lock);
	free(outlet);
	return NULL;
}

int outlet_put(struct outlet *outlet, const char *bytes, size_t size, struct cci_pending *pending)
{
	struct item *item = malloc(sizeof(*item) + size);
	bool fits = false;

	if (item != NULL) {
		item->next = NULL;
		item->pending = pending;
		item->size = size;
		memcpy(item->bytes, bytes, size);
	}
	(void)pthread_mutex_lock(&outlet->lock);
	fits = item != NULL && !outlet->failing && !outlet->ending &&
	       outlet->queued_bytes + size <= outlet->options.limit_bytes;
	if (fits) {
		*outlet->last = item;
		outlet->last = &item->next;
		outlet->queued_bytes += size;
		(void)pthread_cond_signal(&outlet->changed);
	} else {
		outlet->dropped++;
	}
	(void)pthread_mutex_unlock(&outlet->lock);
	if (!fits)
		free(item);
	return fits ? 0 : -1;
}

void outlet_wake(struct outlet *outlet)
{
	(void)pthread_mutex_lock(&outlet->lock);
	outlet->woken = true;
	(void)pthread_cond_signal(&outlet->changed);
	(void)pthread_mutex_unlock(&outlet->lock);
}

void outlet_status(struct outlet *outlet, struct cci_notifier_status *status)
{
	(void)pthread_mutex_lock(&outlet->lock);
	status->failing = outlet->failing;
	status->queued_bytes = outlet->queued_bytes;
	status->queue_bytes = outlet->options.limit_bytes;
	status->written = outlet->written;
	status->dropped = outlet->dropped;
	(void)snprintf(status->error, sizeof(status->error), "%.255s", outlet->error.text);
	(void)pthread_mutex_unlock(&outlet->lock);
}

uint64_t outlet_free(struct outlet *outlet, uint64_t wait_ms)
{
	uint64_t dropped;

	if (outlet == NULL)
		return 0;
	(void)pthread_mutex_lock(&outlet->lock);
	outlet->ending = true;
	/* Whoever waits has more to do, and perhaps more of these: what has failed so far is tried once more. */
	if (outlet->failing && wait_ms > FAILING_END_MS)
		wait_ms = FAILING_END_MS;
	outlet->until_ms = clock_monotonic_ms() + wait_ms;
	(void)pthread_cond_signal(&outlet->changed);
	(void)pthread_mutex_unlock(&outlet->lock);
	(void)pthread_join(outlet->thread, NULL);
	answer(outlet->first, CCI_FAILED);
	for (const struct item *item = outlet->first; item != NULL; item = item->next)
		outlet->dropped++;
	free_items(outlet->first);
	dropped = outlet->dropped;
	(void)pthread_cond_destroy(&outlet->changed);
	(void)pthread_mutex_destroy(&outlet->lock);
	free(outlet);
	return dropped;
}
