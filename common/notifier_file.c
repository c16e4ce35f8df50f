/* JSON Lines in a file. */
#include "notifier_file.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event_json.h"
#include "eventfile.h"
#include "jsontext.h"
#include "log.h"
#include "notifier.h"
#include "outlet.h"

#define CLOSE_MS 5000

struct file {
	struct outlet *outlet;
	struct eventfile *lines; /* of the outlet's thread, while there is one */
	char *name;              /* of the notifier */
	char program[16];
	atomic_bool reopen; /* it was renamed */
	bool said;          /* that there is no other */
	bool chained, failing;
	_Atomic uint64_t dropped;
	uint64_t dropped_said;
};

/* What the kind itself has to say, as a line; to be freed. */
static char *own_line(const struct file *file, const char *event, const char *reason, uint64_t count, size_t *size)
{
	json_t *object = json_object();

	json_put_text(object, "event", event);
	json_put_now(object, "time");
	json_put_text(object, "notifier", file->name);
	json_put_text(object, "program", file->program);
	json_put_number(object, "pid", (uint64_t)getpid());
	json_put_text(object, "reason", reason);
	if (count > 0)
		json_put_number(object, "count", count);
	return json_line(object, size);
}

/* --- the outlet's thread --- */

/* The old file stays in use until there is another. */
static void turn(void *owner)
{
	struct file *file = owner;
	struct error error;

	if (!atomic_load(&file->reopen))
		return;
	if (eventfile_reopen(file->lines, &error) == 0) {
		file->said = false;
		atomic_store(&file->reopen, false);
	} else if (!file->said) {
		file->said = true;
		log_say(MESSAGE_NOTIFIER_ERROR, "the renamed file stays in use: %s", error.text);
	}
}

static int write_line(void *owner, const char *bytes, size_t size, struct error *error)
{
	struct file *file = owner;
	bool failed_before = file->failing;

	file->failing = eventfile_write(file->lines, bytes, size, error) != 0;
	/* What the workers say of it, by connection, is that it fails; not why. */
	if (file->failing && !failed_before)
		log_say(MESSAGE_NOTIFIER_ERROR, "%s: events cannot be written: %s", file->name, error->text);
	return file->failing ? -1 : 0;
}

/* Behind what was taken before stands how much was not. */
static void say_dropped(void *owner)
{
	struct file *file = owner;
	uint64_t dropped = atomic_load(&file->dropped);
	struct error ignored;
	size_t size;
	char *line;

	if (dropped == file->dropped_said || file->failing)
		return;
	line = own_line(file, "dropped", "no room, or the file could not be written", dropped - file->dropped_said, &size);
	if (line != NULL && eventfile_write(file->lines, line, size, &ignored) == 0)
		file->dropped_said = dropped;
	free(line);
}

/* --- the kind --- */

static void free_file(struct file *file)
{
	if (file == NULL)
		return;
	eventfile_close(file->lines);
	free(file->name);
	free(file);
}

/* Where a chain goes on, and who goes on with it. */
static int greet(struct file *file)
{
	size_t size;
	char *line;
	int result;

	if (!file->chained)
		return 0;
	line = own_line(file, "chain-start", eventfile_is_new(file->lines) ? "new file" : "continued", 0, &size);
	result = line != NULL ? outlet_put(file->outlet, line, size) : -1;
	free(line);
	return result;
}

static int start(struct file *file, const struct cci_notifier_options *options, struct error *error)
{
	struct outlet_options outlet = {.name = "notifier-file",
	                                .limit_bytes = options->queue_bytes,
	                                .owner = file,
	                                .write = write_line,
	                                .turn = turn,
	                                .flush = say_dropped};

	file->chained = options->chain != 0;
	file->name = strdup(options->name);
	(void)snprintf(file->program, sizeof(file->program), "%s", options->program != NULL ? options->program : "");
	if (file->name == NULL)
		return error_set(error, "not enough memory");
	file->lines = eventfile_open(options->path, (mode_t)options->mode, file->chained, error);
	if (file->lines == NULL)
		return -1;
	file->outlet = outlet_new(&outlet, error);
	if (file->outlet == NULL)
		return -1;
	return greet(file) == 0 ? 0 : error_set(error, "not enough memory");
}

static int open_file(const struct cci_notifier_options *options, void **state, char *error, size_t error_size)
{
	struct file *file = calloc(1, sizeof(*file));
	struct error why = {.text = "not enough memory"};

	if (file != NULL && start(file, options, &why) == 0) {
		*state = file;
		return 0;
	}
	(void)snprintf(error, error_size, "%s", why.text);
	if (file != NULL)
		(void)outlet_free(file->outlet, 0);
	free_file(file);
	return -1;
}

static int notify_file(void *state, const struct cci_event *event)
{
	struct file *file = state;
	int result = notifier_check(event);
	size_t size;
	char *line;

	if (result != CCI_NOTIFIED)
		return result;
	line = event_json(event, &size);
	result = line != NULL && outlet_put(file->outlet, line, size) == 0 ? CCI_NOTIFIED : CCI_FAILED;
	if (result != CCI_NOTIFIED)
		atomic_fetch_add(&file->dropped, 1);
	free(line);
	return result;
}

/* The thread is gone. */
static void say_end(struct file *file)
{
	struct error error = {.text = "not enough memory"};
	size_t size;
	char *line;

	file->failing = false;
	say_dropped(file);
	if (!file->chained)
		return;
	line = own_line(file, "chain-end", "closed", 0, &size);
	if (line == NULL || eventfile_write(file->lines, line, size, &error) != 0)
		log_say(MESSAGE_NOTIFIER_ERROR, "%s: no last line of the chain: %s", file->name, error.text);
	free(line);
}

static void close_file(void *state)
{
	struct file *file = state;
	uint64_t dropped = outlet_free(file->outlet, CLOSE_MS);

	if (dropped > atomic_load(&file->dropped))
		atomic_store(&file->dropped, dropped);
	say_end(file);
	if (file->dropped_said < atomic_load(&file->dropped))
		log_say(MESSAGE_NOTIFIER_ERROR, "%s: %llu events could not be written", file->name,
		        (unsigned long long)(atomic_load(&file->dropped) - file->dropped_said));
	free_file(file);
}

static void reopen_file(void *state)
{
	struct file *file = state;

	atomic_store(&file->reopen, true);
	outlet_wake(file->outlet);
}

static void status_of_file(void *state, struct cci_notifier_status *status)
{
	struct file *file = state;

	outlet_status(file->outlet, status);
}

const struct cci_notifier_kind notifier_file_kind = {
    .size = sizeof(struct cci_notifier_kind),
    .version = CCI_NOTIFIER_VERSION,
    .kind = "file",
    .wants = CCI_WANTS_ALL,
    .open = open_file,
    .notify = notify_file,
    .close = close_file,
    .reopen = reopen_file,
    .status = status_of_file,
};

int notifier_file_check(const struct config *config, config_report *report, void *context)
{
	struct error error;
	int result = 0;

	for (size_t i = 0; i < config->notifier_count; i++) {
		const struct config_notifier *section = &config->notifiers[i];

		/* Without a path there is another error already. */
		if (section->kind == NULL || strcmp(section->kind, "file") != 0 || section->path == NULL ||
		    eventfile_check(section->path, section->chain == CHOICE_YES, &error) == 0)
			continue;
		(void)error_prefix(&error, "[notifier %s] path", section->place.name);
		report(context, true, config->file, config_line_of(config, "notifier", section->place.name, "path"),
		       error.text);
		result = -1;
	}
	return result;
}
