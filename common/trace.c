/* Who traces what, and the lines they get. */
#include "trace.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "jsontext.h"
#include "log.h"
#include "params_text.h"

#define RING_BYTES (256 * 1024)
#define TEXT_SIZE 6144  /* a message in words, every byte escaped */
#define HEX_BYTES 512   /* of a message, shown */

struct trace {
	struct trace_target target;
	struct eventring *ring; /* NULL: to the log */
	void (*woken)(void *owner); /* of the ring; also when it is over */
	void *owner;
	uint64_t lines;
	bool over;
};

atomic_uint trace_count;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct trace *traces[TRACES_MOST];

/* --- lines --- */

static const char *side_word(enum trace_side side)
{
	return side == TRACE_FRONT ? "front" : "back";
}

static uint64_t age_us(const struct trace_subject *subject)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec - subject->began_ns) / 1000;
}

static bool is_of(const struct trace *trace, const struct trace_subject *subject)
{
	const struct trace_target *target = &trace->target;

	if (trace->over)
		return false;
	if (target->kind == TRACE_ID)
		return memcmp(target->id, subject->connection, sizeof(target->id)) == 0;
	if (target->kind == TRACE_SOURCE)
		return network_contains(&target->source, subject->source);
	return subject->sysid[0] != '\0' && name_match(target->words + strlen("sysid="), subject->sysid);
}

/* Lines that were held are for those who could not have had them before. */
struct lateness {
	const struct trace_subject *subject;
	const union socket_address *before; /* the source as it was; NULL: the name has become known */
};

static bool is_late_for(const struct trace *trace, const struct lateness *late)
{
	if (late->before == NULL)
		return trace->target.kind == TRACE_SYSID;
	return trace->target.kind == TRACE_SOURCE && !network_contains(&trace->target.source, late->before);
}

/* Might the line be its, once more is known? */
static bool waits(const struct trace *trace, const struct trace_subject *subject)
{
	unsigned unknown = subject->held != NULL ? subject->held->unknown : 0;

	return (trace->target.kind == TRACE_SYSID && (unknown & TRACE_UNKNOWN_NAME) != 0) ||
	       (trace->target.kind == TRACE_SOURCE && (unknown & TRACE_UNKNOWN_SOURCE) != 0);
}

static char *json_of(const struct trace_subject *subject, const struct trace_line *line, size_t *size)
{
	json_t *object = json_object();

	json_put_number(object, "us", line->us);
	json_put_hex(object, "connection", subject->connection, PARAMS_CONNECTION_SIZE);
	json_put_text(object, "side", side_word(line->side));
	json_put_text(object, "stage", line->stage);
	json_put_text(object, "detail", line->text);
	json_put_text(object, "hex", line->hex);
	return json_line(object, size);
}

static void to_log(const struct trace_subject *subject, const struct trace_line *line)
{
	char id[2 * PARAMS_CONNECTION_SIZE + 1];
	struct logline log;
	struct text text;

	text_init(&text, id, sizeof(id));
	text_put_hex(&text, subject->connection, PARAMS_CONNECTION_SIZE);
	log_begin(&log, MESSAGE_TRACE, id);
	log_number(&log, "us", line->us);
	log_text(&log, "side", side_word(line->side));
	log_text(&log, "stage", line->stage);
	log_text(&log, "detail", line->text);
	log_text(&log, "hex", line->hex);
	log_end(&log);
}

/* To all who asked for it (`late` NULL), or to those of them it was held for; made once. The log takes one line,
 * however many match. True: somebody may want it once more is known. */
static bool give(const struct trace_subject *subject, const struct trace_line *line, const struct lateness *late)
{
	char *json = NULL;
	size_t size = 0;
	bool logged = false, wanted = false;

	(void)pthread_mutex_lock(&lock);
	for (size_t i = 0; i < TRACES_MOST; i++) {
		struct trace *trace = traces[i];

		if (trace == NULL)
			continue;
		wanted = wanted || waits(trace, subject);
		if (!is_of(trace, subject) || (late != NULL && !is_late_for(trace, late)))
			continue;
		trace->lines++;
		if (trace->ring == NULL) {
			logged = true;
			continue;
		}
		if (json == NULL)
			json = json_of(subject, line, &size);
		if (json != NULL)
			eventring_add(trace->ring, json, size);
	}
	(void)pthread_mutex_unlock(&lock);
	if (logged)
		to_log(subject, line);
	free(json);
	return wanted;
}

static void tell(const struct trace_subject *subject, struct trace_line *line)
{
	line->us = age_us(subject);
	if (give(subject, line, NULL))
		trace_held_add(subject->held, line);
}

static void give_late(void *context, const struct trace_line *line)
{
	const struct lateness *late = context;

	/* Whether it has to wait on is known already. */
	(void)give(late->subject, line, late);
}

void trace_known(const struct trace_subject *subject, const union socket_address *before)
{
	struct trace_held *held = subject->held;

	held->unknown &= before != NULL ? ~(unsigned)TRACE_UNKNOWN_SOURCE : 0;
	if (trace_any())
		trace_held_each(held, give_late, &(struct lateness){.subject = subject, .before = before});
	if (held->unknown == 0)
		trace_held_drop(held);
}

void trace_say(const struct trace_subject *subject, enum trace_side side, const char *stage, const char *format, ...)
{
	struct trace_line line = {.side = side, .stage = stage};
	char words[1024];
	va_list arguments;

	if (subject == NULL)
		return;
	va_start(arguments, format);
	(void)vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
	line.text = words;
	tell(subject, &line);
}

void trace_message(const struct trace_subject *subject, enum trace_side side, const struct trace_message *message)
{
	struct trace_line line = {.side = side, .stage = message->sent ? "sent" : "received"};
	char words[TEXT_SIZE], hex[2 * HEX_BYTES + 64];
	struct text text, bytes;

	if (subject == NULL)
		return;
	text_init(&text, words, sizeof(words));
	if (message->message != NULL)
		params_text(message->message, &text);
	else
		text_printf(&text, "%zu bytes that are no message: %s", message->size,
		            message->fault != NULL ? message->fault : "");
	text_init(&bytes, hex, sizeof(hex));
	params_text_bytes(message->bytes, message->size, HEX_BYTES, &bytes);
	line.text = words;
	line.hex = hex;
	tell(subject, &line);
}

/* --- who asks --- */

/* Under the lock. */
static int enter(struct trace *trace, struct error *error)
{
	for (size_t i = 0; i < TRACES_MOST; i++) {
		if (traces[i] != NULL)
			continue;
		traces[i] = trace;
		(void)atomic_fetch_add_explicit(&trace_count, 1, memory_order_relaxed);
		return 0;
	}
	return error_set(error, "there are %d traces already: end one of them", TRACES_MOST);
}

/* Under the lock. */
static void leave(const struct trace *trace)
{
	for (size_t i = 0; i < TRACES_MOST; i++) {
		if (traces[i] != trace)
			continue;
		traces[i] = NULL;
		(void)atomic_fetch_sub_explicit(&trace_count, 1, memory_order_relaxed);
	}
}

void trace_end(const struct trace_subject *subject, const char *reason, const char *detail)
{
	bool more = detail != NULL && detail[0] != '\0';

	if (subject == NULL)
		return;
	trace_say(subject, TRACE_FRONT, "ended", "%s%s%s", reason, more ? ": " : "", more ? detail : "");
	(void)pthread_mutex_lock(&lock);
	for (size_t i = 0; i < TRACES_MOST; i++) {
		struct trace *trace = traces[i];

		if (trace == NULL || trace->target.kind != TRACE_ID || !is_of(trace, subject))
			continue;
		trace->over = true;
		/* The reader may have taken the last line already. */
		if (trace->ring != NULL && trace->woken != NULL)
			trace->woken(trace->owner);
		if (trace->ring == NULL) {
			leave(trace);
			free(trace);
		}
	}
	(void)pthread_mutex_unlock(&lock);
}

static struct trace *make(const struct trace_target *target, struct error *error)
{
	struct trace *trace = calloc(1, sizeof(*trace));

	if (trace == NULL)
		(void)error_set(error, "not enough memory");
	else
		trace->target = *target;
	return trace;
}

struct trace *trace_open(const struct trace_target *target, void (*woken)(void *owner), void *owner,
                         struct error *error)
{
	struct trace *trace = make(target, error);
	int result = -1;

	if (trace == NULL)
		return NULL;
	trace->ring = eventring_new(RING_BYTES, woken, owner);
	trace->woken = woken;
	trace->owner = owner;
	(void)pthread_mutex_lock(&lock);
	if (trace->ring == NULL)
		(void)error_set(error, "not enough memory");
	else
		result = enter(trace, error);
	(void)pthread_mutex_unlock(&lock);
	if (result == 0)
		return trace;
	eventring_free(trace->ring);
	free(trace);
	return NULL;
}

void trace_close(struct trace *trace)
{
	if (trace == NULL)
		return;
	(void)pthread_mutex_lock(&lock);
	leave(trace);
	(void)pthread_mutex_unlock(&lock);
	eventring_free(trace->ring);
	free(trace);
}

struct eventring *trace_ring(struct trace *trace)
{
	return trace->ring;
}

bool trace_over(struct trace *trace)
{
	bool over;

	(void)pthread_mutex_lock(&lock);
	over = trace->over;
	(void)pthread_mutex_unlock(&lock);
	return over;
}

/* Under the lock. */
static struct trace *logged(const char *words)
{
	for (size_t i = 0; i < TRACES_MOST; i++)
		if (traces[i] != NULL && traces[i]->ring == NULL && strcmp(traces[i]->target.words, words) == 0)
			return traces[i];
	return NULL;
}

int trace_log_on(const struct trace_target *target, struct error *error)
{
	struct trace *trace = make(target, error);
	int result = 0;

	if (trace == NULL)
		return -1;
	(void)pthread_mutex_lock(&lock);
	if (logged(target->words) == NULL && (result = enter(trace, error)) == 0)
		trace = NULL;
	(void)pthread_mutex_unlock(&lock);
	free(trace);
	return result;
}

bool trace_log_off(const char *words)
{
	struct trace *trace;

	(void)pthread_mutex_lock(&lock);
	trace = logged(words);
	if (trace != NULL)
		leave(trace);
	(void)pthread_mutex_unlock(&lock);
	free(trace);
	return trace != NULL;
}

json_t *trace_list(void)
{
	json_t *list = json_array();

	(void)pthread_mutex_lock(&lock);
	for (size_t i = 0; i < TRACES_MOST; i++) {
		json_t *one;

		if (traces[i] == NULL)
			continue;
		one = json_object();
		json_put_text(one, "trace", traces[i]->target.words);
		json_put_text(one, "to", traces[i]->ring == NULL ? "log" : "reader");
		json_put_number(one, "lines", traces[i]->lines);
		(void)json_array_append_new(list, one);
	}
	(void)pthread_mutex_unlock(&lock);
	return list;
}
