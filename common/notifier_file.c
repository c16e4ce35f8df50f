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
	bool sync;
	struct {
		char *lines; /* that are written, and not known to be on the disk */
		size_t size, capacity;
		bool again;  /* the disk has failed: they are to be written once more, from `at` on */
		size_t at;
		bool failing;
	} unsynced;
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

/* Room for one line more, before it is written. */
static int reserve(struct file *file, size_t size, struct error *error)
{
	size_t needed = file->unsynced.size + size + 1, capacity = file->unsynced.capacity;
	char *lines;

	if (!file->sync || needed <= capacity)
		return 0;
	capacity = capacity * 2 > needed ? capacity * 2 : needed;
	lines = realloc(file->unsynced.lines, capacity);
	if (lines == NULL)
		return error_set(error, "not enough memory");
	file->unsynced.lines = lines;
	file->unsynced.capacity = capacity;
	return 0;
}

static void remember(struct file *file, const char *bytes, size_t size)
{
	if (!file->sync)
		return;
	memcpy(file->unsynced.lines + file->unsynced.size, bytes, size);
	file->unsynced.lines[file->unsynced.size + size] = '\n';
	file->unsynced.size += size + 1;
}

/* What a disk that has failed may have lost comes before anything else. */
static int write_again(struct file *file, struct error *error)
{
	while (file->unsynced.again && file->unsynced.at < file->unsynced.size) {
		const char *line = file->unsynced.lines + file->unsynced.at;
		size_t size = (size_t)((const char *)memchr(line, '\n', file->unsynced.size - file->unsynced.at) - line);

		if (eventfile_write(file->lines, line, size, error) != 0)
			return -1;
		file->unsynced.at += size + 1;
	}
	file->unsynced.again = false;
	return 0;
}

static int put_line(struct file *file, const char *bytes, size_t size, struct error *error)
{
	if (write_again(file, error) != 0 || reserve(file, size, error) != 0 ||
	    eventfile_write(file->lines, bytes, size, error) != 0)
		return -1;
	remember(file, bytes, size);
	return 0;
}

/* What the workers say of it, by connection, is that it fails; not why. */
static void note_result(const struct file *file, int result, bool *failing, const struct error *error)
{
	if (result != 0 && !*failing)
		log_say(MESSAGE_NOTIFIER_ERROR, "%s: events cannot be written: %s", file->name, error->text);
	*failing = result != 0;
}

static int write_line(void *owner, const char *bytes, size_t size, struct error *error)
{
	struct file *file = owner;
	int result = put_line(file, bytes, size, error);

	note_result(file, result, &file->failing, error);
	return result;
}

/* Behind what was taken before stands how much was not. */
static void say_dropped(struct file *file)
{
	uint64_t dropped = atomic_load(&file->dropped);
	struct error ignored;
	size_t size;
	char *line;

	if (dropped == file->dropped_said || file->failing || file->unsynced.failing)
		return;
	line = own_line(file, "dropped", "no room, or the file could not be written", dropped - file->dropped_said, &size);
	if (line != NULL && put_line(file, line, size, &ignored) == 0)
		file->dropped_said = dropped;
	free(line);
}

/* Where it fails, nobody knows what the disk has, and the kernel says so once: all of it is written anew. */
static int bring_to_disk(struct file *file, struct error *error)
{
	bool undone;

	if (!file->sync)
		return 0;
	if (write_again(file, error) != 0)
		return -1;
	if (eventfile_sync(file->lines, &undone, error) == 0) {
		file->unsynced.size = 0;
		return 0;
	}
	file->unsynced.again = true;
	file->unsynced.at = 0;
	return -1;
}

static int flush_lines(void *owner, struct error *error)
{
	struct file *file = owner;
	int result;

	say_dropped(file);
	result = bring_to_disk(file, error);
	note_result(file, result, &file->unsynced.failing, error);
	return result;
}

/* --- the kind --- */

static void free_file(struct file *file)
{
	if (file == NULL)
		return;
	eventfile_close(file->lines);
	free(file->unsynced.lines);
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
	result = line != NULL ? outlet_put(file->outlet, line, size, NULL) : -1;
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
	                                .flush = flush_lines};

	file->chained = options->chain != 0;
	file->sync = options->sync != 0;
	file->name = strdup(options->name);
	(void)snprintf(file->program, sizeof(file->program), "%s", options->program != NULL ? options->program : "");
	if (file->name == NULL)
		return error_set(error, "not enough memory");
	file->lines = eventfile_open(options->path, (mode_t)options->mode, file->chained, error);
	if (file->lines == NULL || (file->sync && eventfile_keep(file->lines, error) != 0))
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
	struct cci_pending *pending = notifier_pending(event);
	int result = notifier_check(event);
	size_t size;
	char *line;

	if (result != CCI_NOTIFIED)
		return result;
	line = event_json(event, &size);
	if (line == NULL || outlet_put(file->outlet, line, size, pending) != 0) {
		result = CCI_FAILED;
		atomic_fetch_add(&file->dropped, 1);
	} else if (pending != NULL) {
		result = CCI_PENDING;
	}
	free(line);
	return result;
}

/* The thread is gone. */
static void say_end(struct file *file)
{
	struct error error = {.text = "not enough memory"};
	size_t size;
	char *line;

	file->failing = file->unsynced.failing = false;
	say_dropped(file);
	line = file->chained ? own_line(file, "chain-end", "closed", 0, &size) : NULL;
	if (file->chained && (line == NULL || put_line(file, line, size, &error) != 0))
		log_say(MESSAGE_NOTIFIER_ERROR, "%s: no last line of the chain: %s", file->name, error.text);
	free(line);
	if (bring_to_disk(file, &error) != 0)
		log_say(MESSAGE_NOTIFIER_ERROR, "%s: the last events may not be on the disk: %s", file->name, error.text);
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
