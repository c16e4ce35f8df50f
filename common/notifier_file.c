/* JSON Lines in a file. */
#include "notifier_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "chain.h"
#include "event_json.h"
#include "log.h"
#include "notifier.h"
#include "outlet.h"

#define CLOSE_MS 5000
#define TAIL_MOST (512 * 1024) /* more than two lines */

struct file {
	struct outlet *outlet;
	char *path;
	mode_t mode;
	int fd;
	atomic_bool reopen; /* it was renamed */
	bool chained;
	struct chain chain; /* where it has come to, */
	off_t end;          /* at this size of the file; another: somebody else has written */
	bool said;          /* that there is no other */
	bool torn;          /* a line was written in part, and could not be taken back */
};

static int open_path(const char *path, mode_t mode, struct error *error)
{
	/* Whoever opens a FIFO would wait. */
	const int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	struct stat status;
	int fd = open(path, flags);

	if (fd < 0 && errno == ENOENT) {
		fd = open(path, flags | O_CREAT, mode);
		if (fd >= 0)
			(void)fchmod(fd, mode);
	}
	if (fd < 0)
		return error_set(error, "%s: %s", path, strerrordesc_np(errno));
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		return fd;
	(void)close(fd);
	return error_set(error, "%s is not a regular file", path);
}

/* --- the outlet's thread --- */

/* The old file stays in use until there is another. */
static int follow(struct file *file, struct error *error)
{
	int fd;

	if (!atomic_load(&file->reopen))
		return 0;
	fd = open_path(file->path, file->mode, error);
	if (fd < 0)
		return -1;
	atomic_store(&file->reopen, false);
	(void)close(file->fd);
	file->fd = fd;
	file->torn = false;
	file->end = -1;
	return 0;
}

static void turn(void *owner)
{
	struct file *file = owner;
	struct error error;

	if (follow(file, &error) == 0) {
		file->said = false;
	} else if (!file->said) {
		file->said = true;
		log_say(MESSAGE_NOTIFIER_ERROR, "the renamed file stays in use: %s", error.text);
	}
}

/* A line is there whole or not at all: what a full disk has taken of it is taken back. */
static int append(struct file *file, const char *bytes, size_t size, struct error *error)
{
	char end[] = "\n";
	struct iovec parts[3] = {{end, file->torn ? 1 : 0}, {(void *)(uintptr_t)bytes, size}, {end, 1}};
	size_t wanted = parts[0].iov_len + size + 1;
	ssize_t done = writev(file->fd, parts, 3);
	int why = done < 0 ? errno : ENOSPC;
	off_t length;

	if (done == (ssize_t)wanted) {
		file->torn = false;
		return 0;
	}
	length = lseek(file->fd, 0, SEEK_END);
	if (done > 0 && (length < done || ftruncate(file->fd, length - done) != 0))
		file->torn = true;
	return error_set(error, "%s: %s", file->path, strerrordesc_np(why));
}

/* The last line of `text`; *length is how long it is. What no line feed ends is no line: *torn. */
static const char *last_line(const char *text, size_t size, size_t *length, bool *torn)
{
	const char *end = memrchr(text, '\n', size), *before;

	*torn = size > 0 && text[size - 1] != '\n';
	*length = 0;
	if (end == NULL)
		return NULL;
	before = memrchr(text, '\n', (size_t)(end - text));
	*length = (size_t)(end - (before != NULL ? before + 1 : text));
	return before != NULL ? before + 1 : text;
}

/* Where the chain has come to in the file, which others write too: a process that takes over from one. A new file goes on with
 * the chain of the one before. */
static int find_chain(struct file *file, off_t size, struct error *error)
{
	size_t most = size < TAIL_MOST ? (size_t)size : TAIL_MOST, length;
	char *text = malloc(most + 1);
	const char *line;
	struct chain found;
	ssize_t got = text != NULL ? pread(file->fd, text, most, size - (off_t)most) : -1;

	if (got != (ssize_t)most) {
		free(text);
		return error_set(error, "%s: its end cannot be read", file->path);
	}
	line = last_line(text, most, &length, &file->torn);
	if (line != NULL && chain_read(line, length, &found) == 0)
		file->chain = found;
	free(text);
	return 0;
}

static int append_linked(struct file *file, const char *bytes, size_t size, struct error *error)
{
	off_t before = lseek(file->fd, 0, SEEK_END);
	struct chain next;
	size_t linked_size;
	char *linked;
	int result;

	if (before != file->end && before > 0 && find_chain(file, before, error) != 0)
		return -1;
	if (chain_link(&file->chain, bytes, size, &linked, &linked_size, &next) != 0)
		return error_set(error, "not enough memory");
	result = append(file, linked, linked_size, error);
	free(linked);
	file->end = lseek(file->fd, 0, SEEK_END);
	if (result == 0)
		file->chain = next;
	return result;
}

static int write_line(void *owner, const char *bytes, size_t size, struct error *error)
{
	struct file *file = owner;
	int result;

	if (!file->chained)
		return append(file, bytes, size, error);
	/* Another process that writes holds it for the time of a line. */
	if (flock(file->fd, LOCK_EX) != 0)
		return error_set(error, "%s cannot be locked: %s", file->path, strerrordesc_np(errno));
	result = append_linked(file, bytes, size, error);
	(void)flock(file->fd, LOCK_UN);
	return result;
}

/* --- the kind --- */

static void free_file(struct file *file)
{
	if (file == NULL)
		return;
	if (file->fd >= 0)
		(void)close(file->fd);
	free(file->path);
	free(file);
}

static int open_file(const struct cci_notifier_options *options, void **state, char *error, size_t error_size)
{
	struct file *file = calloc(1, sizeof(*file));
	struct outlet_options outlet = {.name = "notifier-file", .limit_bytes = options->queue_bytes, .owner = file,
	                                .write = write_line, .turn = turn};
	struct error why = {.text = "not enough memory"};

	if (file != NULL) {
		file->fd = -1;
		file->chained = options->chain != 0;
		file->end = -1;
		file->mode = (mode_t)options->mode;
		file->path = strdup(options->path);
	}
	if (file != NULL && file->path != NULL && (file->fd = open_path(file->path, file->mode, &why)) >= 0)
		file->outlet = outlet_new(&outlet, &why);
	if (file != NULL && file->outlet != NULL) {
		*state = file;
		return 0;
	}
	(void)snprintf(error, error_size, "%s", why.text);
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
	free(line);
	return result;
}

static void close_file(void *state)
{
	struct file *file = state;

	(void)outlet_free(file->outlet, CLOSE_MS);
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
