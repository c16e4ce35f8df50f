/* The notifiers of a snapshot: opened, checked, called one after the other. */
#include "notifier.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

struct instance {
	const struct cci_notifier_kind *kind;
	const char *name; /* borrowed from the configuration */
	void *state;
	int on_error;
};

struct notifiers {
	size_t count;
	struct instance at[];
};

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
	return error_set(error, "[notifier %s] kind = %s is not known; there is:%s", section->place.name, section->kind, buffer);
}

static unsigned kind_line(const struct config *config, const struct config_notifier *section)
{
	unsigned line = config_line_of(config, "notifier", section->place.name, "kind");

	return line != 0 ? line : section->place.line;
}

static int open_one(struct instance *instance, const struct config *config, const struct config_notifier *section,
                    const struct cci_notifier_kind *const *kinds, struct error *error)
{
	const struct cci_notifier_kind *kind = find_kind(kinds, section->kind);
	char words[256] = "";

	if (kind == NULL) {
		(void)unknown_kind(section, kinds, error);
		return error_prefix(error, "%s:%u", config->file, kind_line(config, section));
	}
	if (kind->open(section->place.name, &instance->state, words, sizeof(words)) != 0)
		return error_set(error, "%s:%u: [notifier %s] cannot be opened: %s", config->file, section->place.line,
		                 section->place.name, words);
	instance->kind = kind;
	instance->name = section->place.name;
	instance->on_error = section->on_error;
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

struct notifiers *notifiers_new(const struct config *config, const struct cci_notifier_kind *const *kinds,
                                struct error *error)
{
	struct notifiers *notifiers =
	    calloc(1, sizeof(*notifiers) + config->notifier_count * sizeof(struct instance));

	if (notifiers == NULL) {
		error_set(error, "not enough memory for the notifiers");
		return NULL;
	}
	for (size_t i = 0; i < config->notifier_count; i++) {
		if (open_one(&notifiers->at[i], config, &config->notifiers[i], kinds, error) != 0) {
			notifiers_free(notifiers);
			return NULL;
		}
		notifiers->count++;
	}
	return notifiers;
}

void notifiers_free(struct notifiers *notifiers)
{
	if (notifiers == NULL)
		return;
	for (size_t i = 0; i < notifiers->count; i++)
		notifiers->at[i].kind->close(notifiers->at[i].state);
	free(notifiers);
}

int notifiers_empty(const struct notifiers *notifiers)
{
	return notifiers == NULL || notifiers->count == 0;
}

static void say_failed(const struct instance *instance, const struct cci_event *event, int result)
{
	struct logline line;
	char conn[2 * sizeof(event->connection) + 1];
	struct text text;

	text_init(&text, conn, sizeof(conn));
	text_put_hex(&text, event->connection, sizeof(event->connection));
	log_begin(&line, MESSAGE_NOTIFIER_ERROR, conn);
	log_text(&line, "notifier", instance->name);
	log_text(&line, "kind", instance->kind->kind);
	log_text(&line, "detail", notifier_result_text(result));
	log_text(&line, "on_error", instance->on_error == ON_ERROR_REFUSE ? "refuse" : "continue");
	log_end(&line);
}

enum reason notifiers_tell(struct notifiers *notifiers, const struct cci_event *event)
{
	enum reason reason = REASON_NONE;

	for (size_t i = 0; notifiers != NULL && i < notifiers->count; i++) {
		const struct instance *instance = &notifiers->at[i];
		int result = instance->kind->notify(instance->state, event);

		if (result == CCI_NOTIFIED)
			continue;
		say_failed(instance, event, result);
		if (instance->on_error == ON_ERROR_REFUSE)
			reason = REASON_NOTIFIER_REFUSED;
	}
	return reason;
}

int notifier_check(const struct cci_event *event)
{
	int type = 0;
	socklen_t size = sizeof(type);

	if (event->size < offsetof(struct cci_event, version) + sizeof(event->version))
		return CCI_TOO_SHORT;
	if (event->version != CCI_NOTIFIER_VERSION_1)
		return CCI_BAD_VERSION;
	if (event->size < CCI_EVENT_SIZE_1)
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
	default:
		return "the notifier failed";
	}
}
