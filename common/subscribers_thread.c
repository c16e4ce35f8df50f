/* Those who listen at a unix socket: the thread that lets them in, and takes lines to them. */
#include "subscribers_parts.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define SECOND_MS 1000
#define LAST_MS 5000 /* for one that is dropped to take its last line, where the kernel has no room for it */
#define ROUNDS 16    /* batches for one subscriber before the next has its turn */

/* --- lines of our own --- */

/* {"event":"EVENT","time":"...", and the rest from a format that begins with a comma. */
PRINTF_LIKE(3, 4) static size_t make_note(char *buffer, const char *event, const char *format, ...)
{
	char rest[SUBSCRIBERS_NOTE_SIZE];
	struct text text;
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(rest, sizeof(rest), format, arguments);
	va_end(arguments);
	text_init(&text, buffer, SUBSCRIBERS_NOTE_SIZE);
	text_printf(&text, "{\"event\":\"%s\",\"time\":\"", event);
	text_put_utc(&text, clock_utc_us());
	text_printf(&text, "\"%s}\n", rest);
	return text.used;
}

size_t subscribers_farewell_note(char *note, pid_t successor)
{
	return make_note(note, "handed-over", ",\"pid\":%ld", (long)successor);
}

static void say(struct subscribers *subscribers, enum message message, const struct subscriber *subscriber,
                const char *detail)
{
	char name[sizeof(subscribers->name)];
	struct logline line;

	subscribers_lock(subscribers);
	memcpy(name, subscribers->name, sizeof(name));
	if (message == MESSAGE_SUBSCRIBER_DROPPED || message == MESSAGE_SUBSCRIBER_REFUSED)
		(void)snprintf(subscribers->error, sizeof(subscribers->error), "%s", detail);
	subscribers_unlock(subscribers);
	log_begin(&line, message, NULL);
	log_text(&line, "notifier", name);
	if (subscriber != NULL) {
		log_number(&line, "uid", subscriber->uid);
		log_number(&line, "pid", (uint64_t)subscriber->pid);
	}
	log_text(&line, "detail", detail);
	log_end(&line);
}

/* --- those who come --- */

static void refuse(struct subscribers *subscribers, int fd, const char *reason)
{
	struct subscriber subscriber = {.used = false};
	char note[SUBSCRIBERS_NOTE_SIZE];

	subscriber_open(&subscriber, fd);
	subscriber_take(&subscriber, note,
	                make_note(note, "refused-subscriber", ",\"reason\":\"%s\",\"most\":%d", reason, SUBSCRIBERS_MOST));
	subscriber_send(&subscriber);
	say(subscribers, MESSAGE_SUBSCRIBER_REFUSED, &subscriber, reason);
	subscriber_close(&subscriber);
}

static struct subscriber *find_free(struct subscribers *subscribers)
{
	for (size_t i = 0; i < SUBSCRIBERS_MOST; i++)
		if (!subscribers->at[i].used)
			return &subscribers->at[i];
	return NULL;
}

static void welcome(struct subscribers *subscribers, int fd)
{
	struct subscriber *subscriber = find_free(subscribers);

	if (subscriber == NULL) {
		refuse(subscribers, fd, "too many");
		return;
	}
	subscriber_open(subscriber, fd);
	if (subscribers_join(subscribers, subscriber) == 0) {
		say(subscribers, MESSAGE_SUBSCRIBED, subscriber, NULL);
		return;
	}
	say(subscribers, MESSAGE_SUBSCRIBER_REFUSED, subscriber, "not enough memory");
	subscribers_leave(subscribers, subscriber);
}

/* Without a descriptor for it, one waits in the backlog; it would wake us over and over. */
static void accept_all(struct subscribers *subscribers)
{
	int fd, number;

	while ((fd = accept4(subscribers->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		welcome(subscribers, fd);
	number = errno;
	if (number == EAGAIN || number == EINTR || number == ECONNABORTED)
		return;
	subscribers->accept_after_ms = clock_monotonic_ms() + SECOND_MS;
	if (complaint_due(&subscribers->complaint, clock_monotonic_ms()) > 0)
		say(subscribers, MESSAGE_SUBSCRIBER_REFUSED, NULL, strerrordesc_np(number));
}

static void go(struct subscribers *subscribers, struct subscriber *subscriber)
{
	if (subscriber->stage != SUBSCRIBER_LAST)
		say(subscribers, MESSAGE_UNSUBSCRIBED, subscriber, NULL);
	subscribers_leave(subscribers, subscriber);
}

/* --- what goes to one --- */

static void take_list(struct subscribers *subscribers, struct subscriber *subscriber)
{
	while (subscriber->listed < subscriber->list_count && subscriber_has_room(subscriber)) {
		struct line *line = subscriber->list[subscriber->listed++];
		size_t size = 0;
		char *opened = subscribers->opened(line->bytes, line->size - 1, &size);

		if (opened != NULL) {
			subscriber_take(subscriber, opened, size);
			subscriber_take(subscriber, "\n", 1);
		}
		free(opened);
		line_leave(line);
	}
	if (subscriber->listed == subscriber->list_count)
		subscriber->stage = SUBSCRIBER_NOW;
}

static void take_now(struct subscribers *subscribers, struct subscriber *subscriber)
{
	char note[SUBSCRIBERS_NOTE_SIZE];
	pid_t successor;

	subscribers_lock(subscribers);
	successor = subscribers->successor;
	subscribers_unlock(subscribers);
	subscriber_take(subscriber, note, make_note(note, "now", ",\"open\":%zu", subscriber->list_count));
	/* To the others it is among what waits. */
	if (subscriber->late)
		subscriber_take(subscriber, note, subscribers_farewell_note(note, successor));
	subscriber->stage = SUBSCRIBER_EVENTS;
}

/* Its last line; the line that was begun is ended before. */
static void drop(struct subscribers *subscribers, struct subscriber *subscriber)
{
	uint64_t cut = subscriber_cut(subscriber);
	uint64_t unlisted = subscriber->list_count - subscriber->listed;
	char note[SUBSCRIBERS_NOTE_SIZE];

	if (subscriber->carries == SUBSCRIBER_EVENTS)
		subscriber->missed += cut;
	else if (subscriber->carries == SUBSCRIBER_LISTING)
		unlisted += cut;
	subscriber_take(subscriber, note,
	                make_note(note, "dropped-subscriber", ",\"reason\":\"too slow\",\"missed\":%llu,\"unlisted\":%llu",
	                          (unsigned long long)subscriber->missed, (unsigned long long)unlisted));
	(void)snprintf(note, sizeof(note), "too slow: more than queue bytes waited for it, missed=%llu",
	               (unsigned long long)subscriber->missed);
	say(subscribers, MESSAGE_SUBSCRIBER_DROPPED, subscriber, note);
	subscribers_lock(subscribers);
	subscribers->dropped += subscriber->missed;
	subscribers_unlock(subscribers);
	subscriber_widen(subscriber);
	subscriber->stage = SUBSCRIBER_LAST;
	subscriber->deadline_ms = clock_monotonic_ms() + LAST_MS;
}

static bool is_slow(struct subscribers *subscribers, const struct subscriber *subscriber)
{
	bool slow;

	subscribers_lock(subscribers);
	slow = subscriber->slow;
	subscribers_unlock(subscribers);
	return slow;
}

static void take_more(struct subscribers *subscribers, struct subscriber *subscriber)
{
	subscriber->carries = subscriber->stage;
	if (subscriber->stage == SUBSCRIBER_LISTING)
		take_list(subscribers, subscriber);
	else if (subscriber->stage == SUBSCRIBER_NOW)
		take_now(subscribers, subscriber);
	else if (subscriber->stage == SUBSCRIBER_EVENTS)
		subscribers_take(subscribers, subscriber);
}

static void serve(struct subscribers *subscribers, struct subscriber *subscriber)
{
	if (subscriber->stage != SUBSCRIBER_LAST && is_slow(subscribers, subscriber))
		drop(subscribers, subscriber);
	for (int round = 0; round < ROUNDS; round++) {
		if (!subscriber_is_sending(subscriber))
			take_more(subscribers, subscriber);
		subscriber_send(subscriber);
		if (subscriber_is_sending(subscriber) || subscriber->failed)
			break;
	}
	if (subscriber->failed || (subscriber->stage == SUBSCRIBER_LAST &&
	                           (!subscriber_is_sending(subscriber) || clock_monotonic_ms() >= subscriber->deadline_ms)))
		go(subscribers, subscriber);
}

/* --- the thread --- */

/* Is there something for it, now that it takes more? */
static bool has_more(const struct subscriber *subscriber)
{
	return subscriber_is_sending(subscriber) || subscriber->stage == SUBSCRIBER_LISTING ||
	       subscriber->stage == SUBSCRIBER_NOW || (subscriber->next != NULL && !subscriber->slow);
}

/* What poll is asked for. */
struct wait {
	struct pollfd at[2 + SUBSCRIBERS_MOST];
	struct subscriber *whose[2 + SUBSCRIBERS_MOST];
	nfds_t count; /* poll takes no more than there may be descriptors */
	bool busy;    /* something is on its way to somebody */
};

/* Who does not read in the last second finds as much as possible later. */
static void widen_all(struct subscribers *subscribers)
{
	for (size_t i = 0; i < SUBSCRIBERS_MOST; i++)
		if (subscribers->at[i].used)
			subscriber_widen(&subscribers->at[i]);
}

static void fill(struct subscribers *subscribers, struct wait *wait)
{
	struct pollfd *polled = wait->at;

	polled[0] = (struct pollfd){.fd = subscribers->wake, .events = POLLIN};
	wait->count = 2;
	wait->busy = false;
	polled[1] = (struct pollfd){.fd = clock_monotonic_ms() >= subscribers->accept_after_ms ? subscribers->fd : -1,
	                            .events = POLLIN};
	subscribers_lock(subscribers);
	for (size_t i = 0; i < SUBSCRIBERS_MOST; i++) {
		struct subscriber *subscriber = &subscribers->at[i];
		short events = subscriber->deaf ? 0 : POLLIN;

		if (!subscriber->used)
			continue;
		if (has_more(subscriber))
			events = (short)(events | POLLOUT);
		wait->busy = wait->busy || (events & POLLOUT) != 0;
		wait->whose[wait->count] = subscriber;
		polled[wait->count++] = (struct pollfd){.fd = subscriber->fd, .events = events};
	}
	subscribers_unlock(subscribers);
}

static void turn(struct subscribers *subscribers, const struct wait *wait)
{
	const struct pollfd *polled = wait->at;
	uint64_t ignored;

	if (polled[0].revents != 0)
		(void)!read(subscribers->wake, &ignored, sizeof(ignored));
	subscribers_lock(subscribers);
	subscribers->woken = false;
	subscribers_unlock(subscribers);
	for (nfds_t i = 2; i < wait->count; i++) {
		if ((polled[i].revents & POLLIN) != 0)
			subscriber_listen(wait->whose[i]);
		if ((polled[i].revents & (POLLHUP | POLLERR)) != 0)
			wait->whose[i]->failed = true;
		serve(subscribers, wait->whose[i]);
	}
	if (polled[1].revents != 0)
		accept_all(subscribers);
	subscribers_trim(subscribers);
	log_flush();
}

void *subscribers_run(void *argument)
{
	struct subscribers *subscribers = argument;
	uint64_t deadline_ms = UINT64_MAX;
	struct wait wait;

	for (;;) {
		bool ending;

		fill(subscribers, &wait);
		subscribers_lock(subscribers);
		ending = subscribers->ending;
		subscribers_unlock(subscribers);
		if (ending && deadline_ms == UINT64_MAX) {
			widen_all(subscribers);
			deadline_ms = clock_monotonic_ms() + SECOND_MS;
		}
		if (ending && (!wait.busy || clock_monotonic_ms() >= deadline_ms))
			break;
		if (ending)
			wait.at[1].fd = -1;
		(void)poll(wait.at, wait.count, wait.busy || wait.at[1].fd < 0 ? SECOND_MS : -1);
		turn(subscribers, &wait);
	}
	return NULL;
}
