/* Those who listen at a unix socket: one queue for all of them. */
#include "subscribers_parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "thread.h"

/* --- from any thread --- */

static void wake(struct subscribers *subscribers)
{
	const uint64_t one = 1;

	(void)!write(subscribers->wake, &one, sizeof(one));
}

/* It waited already when it was passed by: then it holds nothing back any more. */
static bool is_too_slow(const struct subscribers *subscribers, const struct subscriber *subscriber,
                        const struct line *line)
{
	uint64_t waiting = subscribers->end - subscriber->taken;

	return waiting > line->size && waiting > subscribers->limit_bytes;
}

static enum put_result append(struct subscribers *subscribers, struct line *line)
{
	enum put_result result = PUT_DONE;

	subscribers->end += line->size;
	subscribers->number++;
	line->end = subscribers->end;
	line->number = subscribers->number;
	line->next = NULL;
	if (subscribers->last != NULL)
		subscribers->last->next = line;
	else
		subscribers->first = line;
	subscribers->last = line_share(line);
	for (size_t i = 0; i < SUBSCRIBERS_MOST; i++) {
		struct subscriber *subscriber = &subscribers->at[i];

		if (!subscriber->used || subscriber->slow)
			continue;
		if (subscriber->next == NULL)
			subscriber->next = line;
		if (!is_too_slow(subscribers, subscriber, line))
			continue;
		subscriber->slow = true;
		subscriber->missed = subscribers->number - subscriber->taken_number;
		result = PUT_FULL;
	}
	return result;
}

enum put_result subscribers_put(struct subscribers *subscribers, const struct line_key *key, struct line *line,
                                enum line_effect effect)
{
	enum put_result result = PUT_DONE;
	bool anybody, must_wake = false;

	subscribers_lock(subscribers);
	anybody = atomic_load_explicit(&subscribers->count, memory_order_relaxed) > 0;
	if (anybody && line == NULL) {
		subscribers_unlock(subscribers);
		return PUT_NO_LINE;
	}
	if (effect == LINE_KEEPS)
		linetable_keep(subscribers->kept, line);
	else if (effect == LINE_ENDS)
		linetable_drop(subscribers->kept, key);
	if (anybody) {
		result = append(subscribers, line);
		must_wake = !subscribers->woken;
		subscribers->woken = true;
	}
	subscribers_unlock(subscribers);
	if (must_wake)
		wake(subscribers);
	return result;
}

void subscribers_forget(struct subscribers *subscribers, const struct line_key *key)
{
	subscribers_lock(subscribers);
	linetable_drop(subscribers->kept, key);
	subscribers_unlock(subscribers);
}

bool subscribers_any(const struct subscribers *subscribers)
{
	return atomic_load_explicit(&subscribers->count, memory_order_relaxed) > 0;
}

void subscribers_set(struct subscribers *subscribers, const char *name, uint64_t limit_bytes)
{
	subscribers_lock(subscribers);
	(void)snprintf(subscribers->name, sizeof(subscribers->name), "%s", name);
	subscribers->limit_bytes = limit_bytes;
	subscribers_unlock(subscribers);
}

void subscribers_status(struct subscribers *subscribers, struct cci_notifier_status *status)
{
	subscribers_lock(subscribers);
	status->subscribers = atomic_load_explicit(&subscribers->count, memory_order_relaxed);
	status->queue_bytes = subscribers->limit_bytes;
	status->written = subscribers->written;
	status->dropped = subscribers->dropped;
	(void)snprintf(status->error, sizeof(status->error), "%s", subscribers->error);
	for (size_t i = 0; i < SUBSCRIBERS_MOST; i++) {
		const struct subscriber *subscriber = &subscribers->at[i];

		if (subscriber->used && !subscriber->slow && subscribers->end - subscriber->taken > status->queued_bytes)
			status->queued_bytes = subscribers->end - subscriber->taken;
	}
	subscribers_unlock(subscribers);
}

void subscribers_farewell(struct subscribers *subscribers, pid_t successor)
{
	static const struct line_key none;
	char note[SUBSCRIBERS_NOTE_SIZE];
	struct line *line = line_new(&none, note, subscribers_farewell_note(note, successor) - 1);

	subscribers_lock(subscribers);
	subscribers->successor = successor;
	if (line != NULL && atomic_load_explicit(&subscribers->count, memory_order_relaxed) > 0)
		(void)append(subscribers, line);
	subscribers_unlock(subscribers);
	line_leave(line);
	wake(subscribers);
}

/* The thread asks by number, and is to ask again: it waits at what had the number. */
int subscribers_move(struct subscribers *subscribers, int fd)
{
	if (dup3(fd, subscribers->fd, O_CLOEXEC) < 0)
		return -1;
	close(fd);
	wake(subscribers);
	return 0;
}

/* --- the thread's --- */

/* What is kept, as it is at the moment from which on it gets all else. */
int subscribers_join(struct subscribers *subscribers, struct subscriber *subscriber)
{
	size_t room;

	subscribers_lock(subscribers);
	while (room = linetable_count(subscribers->kept), room > subscriber->list_count) {
		subscribers_unlock(subscribers);
		free(subscriber->list);
		subscriber->list_count = room + room / 8;
		subscriber->list = calloc(subscriber->list_count, sizeof(struct line *));
		if (subscriber->list == NULL) {
			subscriber->list_count = 0;
			return -1;
		}
		subscribers_lock(subscribers);
	}
	linetable_copy(subscribers->kept, subscriber->list);
	subscriber->list_count = room;
	subscriber->taken = subscribers->end;
	subscriber->taken_number = subscribers->number;
	subscriber->late = subscribers->successor != 0;
	subscriber->used = true;
	(void)atomic_fetch_add_explicit(&subscribers->count, 1, memory_order_relaxed);
	subscribers_unlock(subscribers);
	return 0;
}

void subscribers_leave(struct subscribers *subscribers, struct subscriber *subscriber)
{
	subscribers_lock(subscribers);
	if (subscriber->used)
		(void)atomic_fetch_sub_explicit(&subscribers->count, 1, memory_order_relaxed);
	if (subscriber->slow && subscriber->stage != SUBSCRIBER_LAST)
		subscribers->dropped += subscriber->missed;
	subscriber_close(subscriber);
	subscribers_unlock(subscribers);
}

void subscribers_take(struct subscribers *subscribers, struct subscriber *subscriber)
{
	subscribers_lock(subscribers);
	while (subscriber->next != NULL && !subscriber->slow && subscriber_has_room(subscriber)) {
		struct line *line = subscriber->next;

		subscriber_take(subscriber, line->bytes, line->size);
		subscriber->taken = line->end;
		subscriber->taken_number = line->number;
		subscriber->next = line->next;
		subscribers->written++;
	}
	subscribers_unlock(subscribers);
}

/* Lines that nobody waits for any more. */
void subscribers_trim(struct subscribers *subscribers)
{
	struct line *done = NULL, **tail = &done;
	uint64_t least;

	subscribers_lock(subscribers);
	least = subscribers->end;
	for (size_t i = 0; i < SUBSCRIBERS_MOST; i++)
		if (subscribers->at[i].used && !subscribers->at[i].slow && subscribers->at[i].taken < least)
			least = subscribers->at[i].taken;
	if (subscribers->first != NULL && subscribers->first->end <= least)
		done = subscribers->first;
	while (subscribers->first != NULL && subscribers->first->end <= least) {
		tail = &subscribers->first->next;
		subscribers->first = *tail;
	}
	*tail = NULL;
	if (subscribers->first == NULL)
		subscribers->last = NULL;
	subscribers_unlock(subscribers);
	for (struct line *next; done != NULL; done = next) {
		next = done->next;
		line_leave(done);
	}
}

/* --- life --- */

struct subscribers *subscribers_new(const struct subscribers_options *options, struct error *error)
{
	struct subscribers *subscribers = calloc(1, sizeof(*subscribers));

	if (subscribers == NULL || (subscribers->kept = linetable_new()) == NULL) {
		free(subscribers);
		(void)error_set(error, "not enough memory");
		return NULL;
	}
	(void)pthread_mutex_init(&subscribers->lock, NULL);
	subscribers->fd = options->fd;
	subscribers->opened = options->opened;
	subscribers_set(subscribers, options->name, options->limit_bytes);
	subscribers->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (subscribers->wake < 0)
		(void)error_set(error, "no descriptor: raise the limit of open files (LimitNOFILE=, ulimit -n)");
	else if (thread_start(&subscribers->thread, "subscribers", subscribers_run, subscribers, error) == 0)
		return subscribers;
	if (subscribers->wake >= 0)
		close(subscribers->wake);
	linetable_free(subscribers->kept);
	(void)pthread_mutex_destroy(&subscribers->lock);
	free(subscribers);
	return NULL;
}

void subscribers_free(struct subscribers *subscribers)
{
	if (subscribers == NULL)
		return;
	subscribers_lock(subscribers);
	subscribers->ending = true;
	subscribers_unlock(subscribers);
	wake(subscribers);
	(void)pthread_join(subscribers->thread, NULL);
	for (size_t i = 0; i < SUBSCRIBERS_MOST; i++)
		if (subscribers->at[i].used)
			subscribers_leave(subscribers, &subscribers->at[i]);
	subscribers_trim(subscribers);
	close(subscribers->fd);
	close(subscribers->wake);
	linetable_free(subscribers->kept);
	(void)pthread_mutex_destroy(&subscribers->lock);
	free(subscribers);
}
