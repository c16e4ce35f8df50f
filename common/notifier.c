/* The notifiers of a snapshot: opened, checked, called one after the other. */
#include "notifier.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "complaint.h"
#include "log.h"
#include "notifier_answers.h"

#define CONNECTION_SIZE sizeof(((struct cci_event *)NULL)->connection)

/* One open notifier. Snapshots share it for as long as its section says the same. */
struct instance {
	const struct cci_notifier_kind *kind;
	struct config_notifier settings; /* its texts are owned */
	void *state;
	uint32_t wants;
	atomic_uint owners;
	struct complaint complaint;
	atomic_ullong taken, failed;
	struct instance *next; /* in `unused` */
};

struct member {
	struct instance *instance;
	int on_error;
};

struct notifiers {
	uint32_t wants;
	bool waits; /* one of them may have connections wait for its answer */
	size_t count;
	struct member at[];
};

/* Instances without an owner, until the main thread closes them. */
static struct instance *unused;
static pthread_mutex_t unused_lock = PTHREAD_MUTEX_INITIALIZER;

static const struct cci_notifier_kind *find_kind(const struct cci_notifier_kind *const *kinds, const char *kind)
{
	for (; *kinds != NULL; kinds++)
		if (strcmp((*kinds)->kind, kind) == 0)
			return *kinds;
	return NULL;
}

static int unknown_kind(const struct config_notifier *section, const struct cci_notifier_kind *const *kinds,
                        struct error *error)
{
	char buffer[256];
	struct text text;

	text_init(&text, buffer, sizeof(buffer));
	for (; *kinds != NULL; kinds++)
		text_printf(&text, " %s", (*kinds)->kind);
	return error_set(error, "[notifier %s] kind = %s is not known; there is:%s", section->place.name, section->kind,
	                 buffer);
}

static unsigned kind_line(const struct config *config, const struct config_notifier *section)
{
	unsigned line = config_line_of(config, "notifier", section->place.name, "kind");

	return line != 0 ? line : section->place.line;
}

static bool text_equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* on_error is not the instance's. */
static bool is_for(const struct instance *instance, const struct config_notifier *section)
{
	const struct config_notifier *settings = &instance->settings;

	return text_equal(settings->place.name, section->place.name) && text_equal(settings->kind, section->kind) &&
	       text_equal(settings->path, section->path) && text_equal(settings->argument, section->argument) &&
	       settings->queue_bytes == section->queue_bytes && settings->mode == section->mode &&
	       settings->chain == section->chain && settings->sync == section->sync &&
	       settings->interval_ms == section->interval_ms && settings->mark_secured == section->mark_secured &&
	       settings->mark_clear == section->mark_clear;
}

static struct instance *find_instance(const struct notifiers *before, const struct config_notifier *section)
{
	for (size_t i = 0; before != NULL && i < before->count; i++)
		if (is_for(before->at[i].instance, section))
			return before->at[i].instance;
	return NULL;
}

static void free_instance(struct instance *instance)
{
	free(instance->settings.place.name);
	free(instance->settings.kind);
	free(instance->settings.path);
	free(instance->settings.argument);
	free(instance);
}

static int copy_text(char **to, const char *from)
{
	*to = from != NULL ? strdup(from) : NULL;
	return from == NULL || *to != NULL ? 0 : -1;
}

static struct instance *new_instance(const struct config_notifier *section)
{
	struct instance *instance = calloc(1, sizeof(*instance));
	struct config_notifier *settings;
	int result;

	if (instance == NULL)
		return NULL;
	settings = &instance->settings;
	*settings = *section;
	result = copy_text(&settings->place.name, section->place.name);
	result |= copy_text(&settings->kind, section->kind);
	result |= copy_text(&settings->path, section->path);
	result |= copy_text(&settings->argument, section->argument);
	if (result == 0)
		return instance;
	free_instance(instance);
	return NULL;
}

static int open_state(struct instance *instance, const struct config *config, char *words, size_t size)
{
	const struct config_notifier *section = &instance->settings;
	const struct cci_notifier_options options = {
	    .size = sizeof(options),
	    .version = CCI_NOTIFIER_VERSION,
	    .name = section->place.name,
	    .program = program_word(config->program),
	    .gateway = config->gateway.sysid,
	    .path = section->path,
	    .argument = section->argument,
	    .queue_bytes = section->queue_bytes,
	    .interval_ms = section->interval_ms,
	    .mode = section->mode,
	    .chain = section->chain == CHOICE_YES,
	    .mark_secured = (uint32_t)section->mark_secured,
	    .mark_clear = (uint32_t)section->mark_clear,
	    .sync = section->sync == CHOICE_YES,
	};

	return instance->kind->open(&options, &instance->state, words, size);
}

static uint32_t wanted_by(const struct cci_notifier_kind *kind, void *state)
{
	uint32_t wants = kind->instance_wants != NULL ? kind->instance_wants(state) : kind->wants;

	return wants != 0 ? wants : CCI_WANTS_EVENTS;
}

static int open_one(struct member *member, const struct config *config, const struct config_notifier *section,
                    const struct cci_notifier_kind *const *kinds, struct error *error)
{
	const struct cci_notifier_kind *kind = find_kind(kinds, section->kind);
	struct instance *instance;
	char words[sizeof(error->text)] = "";

	if (kind == NULL) {
		(void)unknown_kind(section, kinds, error);
		return error_prefix(error, "%s:%u", config->file, kind_line(config, section));
	}
	instance = new_instance(section);
	if (instance == NULL)
		return error_set(error, "not enough memory for the notifiers");
	instance->kind = kind;
	if (open_state(instance, config, words, sizeof(words)) != 0) {
		free_instance(instance);
		return error_set(error, "%s:%u: [notifier %s] cannot be opened: %s", config->file, section->place.line,
		                 section->place.name, words);
	}
	instance->wants = wanted_by(kind, instance->state);
	atomic_init(&instance->owners, 1);
	member->instance = instance;
	return 0;
}

int notifiers_check(const struct config *config, const struct cci_notifier_kind *const *kinds, config_report *report,
                    void *context)
{
	struct error error;
	int result = 0;

	for (size_t i = 0; i < config->notifier_count; i++) {
		const struct config_notifier *section = &config->notifiers[i];

		if (find_kind(kinds, section->kind) != NULL)
			continue;
		result = unknown_kind(section, kinds, &error);
		report(context, true, config->file, kind_line(config, section), error.text);
	}
	return result;
}

/* Nothing depends on the answer of one with on_error = continue. */
static bool waits(const struct member *member)
{
	return member->on_error == ON_ERROR_REFUSE && member->instance->settings.sync == CHOICE_YES;
}

static int add_one(struct notifiers *notifiers, const struct config *config, const struct config_notifier *section,
                   const struct notifier_source *source, struct error *error)
{
	struct member *member = &notifiers->at[notifiers->count];

	member->on_error = section->on_error;
	member->instance = find_instance(source->before, section);
	if (member->instance != NULL)
		(void)atomic_fetch_add(&member->instance->owners, 1);
	else if (open_one(member, config, section, source->kinds, error) != 0)
		return -1;
	if (member->instance != NULL)
		notifiers->wants |= member->instance->wants;
	notifiers->waits |= waits(member);
	notifiers->count++;
	return 0;
}

struct notifiers *notifiers_new(const struct config *config, const struct notifier_source *source, struct error *error)
{
	struct notifiers *notifiers = calloc(1, sizeof(*notifiers) + config->notifier_count * sizeof(struct member));

	if (notifiers == NULL) {
		error_set(error, "not enough memory for the notifiers");
		return NULL;
	}
	for (size_t i = 0; i < config->notifier_count; i++)
		if (add_one(notifiers, config, &config->notifiers[i], source, error) != 0) {
			notifiers_free(notifiers);
			return NULL;
		}
	return notifiers;
}

static void leave_instance(struct instance *instance)
{
	if (atomic_fetch_sub(&instance->owners, 1) != 1)
		return;
	(void)pthread_mutex_lock(&unused_lock);
	instance->next = unused;
	unused = instance;
	(void)pthread_mutex_unlock(&unused_lock);
}

void notifiers_free(struct notifiers *notifiers)
{
	if (notifiers == NULL)
		return;
	for (size_t i = 0; i < notifiers->count; i++)
		leave_instance(notifiers->at[i].instance);
	free(notifiers);
}

void notifiers_reap(void)
{
	struct instance *first, *next;

	(void)pthread_mutex_lock(&unused_lock);
	first = unused;
	unused = NULL;
	(void)pthread_mutex_unlock(&unused_lock);
	for (struct instance *instance = first; instance != NULL; instance = next) {
		next = instance->next;
		instance->kind->close(instance->state);
		free_instance(instance);
	}
}

void notifiers_reopen(const struct notifiers *notifiers)
{
	for (size_t i = 0; notifiers != NULL && i < notifiers->count; i++)
		if (notifiers->at[i].instance->kind->reopen != NULL)
			notifiers->at[i].instance->kind->reopen(notifiers->at[i].instance->state);
}

size_t notifiers_count(const struct notifiers *notifiers)
{
	return notifiers != NULL ? notifiers->count : 0;
}

void notifiers_state(const struct notifiers *notifiers, size_t number, struct notifier_state *state)
{
	const struct member *member = &notifiers->at[number];
	struct instance *instance = member->instance;

	*state = (struct notifier_state){.name = instance->settings.place.name,
	                                 .kind = instance->kind->kind,
	                                 .path = instance->settings.path,
	                                 .on_error = member->on_error,
	                                 .taken = atomic_load_explicit(&instance->taken, memory_order_relaxed),
	                                 .failed = atomic_load_explicit(&instance->failed, memory_order_relaxed),
	                                 .status = {.size = sizeof(state->status)}};
	if (instance->kind->status != NULL)
		instance->kind->status(instance->state, &state->status);
}

static struct notifiers_tap *tap;

void notifiers_set_tap(struct notifiers_tap *new_tap)
{
	tap = new_tap;
}

static bool tap_wants(unsigned type)
{
	return tap != NULL && (CCI_WANTS_EVENTS & CCI_WANTS(type)) != 0 &&
	       atomic_load_explicit(&tap->listening, memory_order_relaxed);
}

bool notifiers_want(const struct notifiers *notifiers, enum cci_event_type type)
{
	return notifiers != NULL && ((notifiers->wants & CCI_WANTS((unsigned)type)) != 0 || tap_wants((unsigned)type));
}

/* One that cannot take anything would say so for every connection: a line a minute, with the count. */
static void say_failed(struct instance *instance, int on_error, const uint8_t *connection, int result)
{
	uint64_t count = complaint_due(&instance->complaint, clock_monotonic_ms());
	struct cci_notifier_status status = {.size = sizeof(status)};
	char conn[2 * CONNECTION_SIZE + 1];
	struct logline line;
	struct text text;

	if (count == 0)
		return;
	text_init(&text, conn, sizeof(conn));
	text_put_hex(&text, connection, CONNECTION_SIZE);
	log_begin(&line, MESSAGE_NOTIFIER_ERROR, conn);
	log_text(&line, "notifier", instance->settings.place.name);
	log_text(&line, "kind", instance->kind->kind);
	log_text(&line, "detail", notifier_result_text(result));
	if (instance->kind->status != NULL)
		instance->kind->status(instance->state, &status);
	if (status.error[0] != '\0')
		log_text(&line, "error", status.error);
	log_text(&line, "on_error", on_error == ON_ERROR_REFUSE ? "refuse" : "continue");
	log_number(&line, "count", count);
	log_end(&line);
}

/* Count the answer of one. REASON_NONE, or what becomes of the connection. */
static enum reason settle(const struct member *member, const uint8_t *connection, int result)
{
	struct instance *instance = member->instance;

	(void)atomic_fetch_add_explicit(result == CCI_NOTIFIED ? &instance->taken : &instance->failed, 1,
	                                memory_order_relaxed);
	if (result == CCI_NOTIFIED)
		return REASON_NONE;
	say_failed(instance, member->on_error, connection, result);
	return member->on_error == ON_ERROR_REFUSE ? REASON_NOTIFIER_REFUSED : REASON_NONE;
}

/* What it says at once, or CCI_PENDING. */
static int tell_one(const struct member *member, size_t number, struct cci_event *event,
                    struct notifier_answers *answers)
{
	struct instance *instance = member->instance;
	int result;

	event->pending = answers != NULL && waits(member) ? notifier_answers_expect(answers, number) : NULL;
	result = instance->kind->notify(instance->state, event);
	if (event->pending != NULL && result != CCI_PENDING)
		event->pending->answer(event->pending, result);
	if (event->pending != NULL)
		result = CCI_PENDING;
	else if (result == CCI_PENDING)
		result = CCI_FAILED;
	event->pending = NULL;
	return result;
}

/* Those that were to answer later have: what becomes of the connection. */
static enum reason settle_all(struct notifiers *notifiers, struct notifier_answers *answers, const uint8_t *connection)
{
	enum reason reason = REASON_NONE;
	size_t number;
	int result;

	for (size_t i = 0; notifier_answers_at(answers, i, &number, &result); i++) {
		enum reason of_one = settle(&notifiers->at[number], connection, result);

		if (of_one != REASON_NONE)
			reason = of_one;
	}
	return reason;
}

static void on_answered(void *owner, struct notifier_answers *answers)
{
	struct notifier_wait *wait = owner;
	enum reason reason = settle_all(wait->notifiers, answers, wait->connection);

	wait->answers = NULL;
	notifier_answers_free(answers);
	wait->done(wait->owner, reason);
}

/* All were told. Where an answer is missing the connection waits, unless it is refused already. */
static enum reason begin_waiting(struct notifiers *notifiers, struct notifier_wait *wait,
                                 struct notifier_answers *answers, const struct cci_event *event, enum reason reason)
{
	if (reason == REASON_NONE && notifier_answers_due(answers)) {
		wait->answers = answers;
		wait->notifiers = notifiers;
		memcpy(wait->connection, event->connection, sizeof(wait->connection));
		if (notifier_answers_wait(answers, wait->loop, on_answered, wait) == 0)
			return REASON_NONE;
		wait->answers = NULL;
		reason = REASON_NOTIFIER_REFUSED;
	} else if (reason == REASON_NONE) {
		reason = settle_all(notifiers, answers, event->connection);
	}
	notifier_answers_free(answers);
	return reason;
}

enum reason notifiers_tell(struct notifiers *notifiers, struct cci_event *event, struct notifier_wait *wait)
{
	size_t count = notifiers != NULL ? notifiers->count : 0;
	bool may_wait = wait != NULL && count > 0 && notifiers->waits;
	struct notifier_answers *answers = may_wait ? notifier_answers_new(count) : NULL;
	enum reason reason = may_wait && answers == NULL ? REASON_NO_MEMORY : REASON_NONE;

	if (wait != NULL)
		wait->answers = NULL;
	if (notifiers != NULL && tap_wants((unsigned)event->type))
		tap->tell(tap->owner, event);
	for (size_t i = 0; i < count; i++) {
		const struct member *member = &notifiers->at[i];
		int result;

		if ((member->instance->wants & CCI_WANTS((unsigned)event->type)) == 0)
			continue;
		result = tell_one(member, i, event, answers);
		if (result != CCI_PENDING && settle(member, event->connection, result) != REASON_NONE)
			reason = REASON_NOTIFIER_REFUSED;
	}
	return answers != NULL ? begin_waiting(notifiers, wait, answers, event, reason) : reason;
}

void notifier_wait_cancel(struct notifier_wait *wait)
{
	notifier_answers_free(wait->answers);
	wait->answers = NULL;
}

struct cci_pending *notifier_pending(const struct cci_event *event)
{
	return event->size >= sizeof(*event) ? event->pending : NULL;
}

int notifier_check(const struct cci_event *event)
{
	int type = 0;
	socklen_t size = sizeof(type);

	if (event->size < offsetof(struct cci_event, version) + sizeof(event->version))
		return CCI_TOO_SHORT;
	if (event->version != CCI_NOTIFIER_VERSION_1 && event->version != CCI_NOTIFIER_VERSION_2)
		return CCI_BAD_VERSION;
	if (event->size < (event->version == CCI_NOTIFIER_VERSION_1 ? CCI_EVENT_SIZE_1 : CCI_EVENT_SIZE_2))
		return CCI_TOO_SHORT;
	if (event->fd < 0)
		return CCI_NOTIFIED;
	if (getsockopt(event->fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM)
		return CCI_SOCKET_TYPE;
	return CCI_NOTIFIED;
}

const char *notifier_result_text(int result)
{
	switch (result) {
	case CCI_NOTIFIED:
		return "notified";
	case CCI_SOCKET_TYPE:
		return "the descriptor is not a stream socket";
	case CCI_BAD_VERSION:
		return "the version of the event is not supported";
	case CCI_TOO_SHORT:
		return "the event is shorter than its version says";
	case CCI_PENDING:
		return "the notifier has not answered yet";
	default:
		return "the notifier failed";
	}
}
