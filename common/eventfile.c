/* Appends lines, all or nothing, under a lock on the file. */
#include "eventfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "appendfile.h"
#include "chain.h"
#include "jsontext.h"

#define TAIL_MOST 262144    /* no line is that long */
#define TORN_TEXT_MOST 4096 /* of half a line, that is kept in words */
#define LOCK_TRIES 200      /* of 5 ms */

struct eventfile {
	char *path;
	mode_t mode;
	int fd;
	bool chained, was_empty;
	bool unsure;        /* what stands at the end: it was opened just now, or a write has failed */
	off_t end;          /* as we left it */
	struct chain chain; /* the last line */
	/* After eventfile_keep */
	bool kept;
	bool dirty;         /* something was written that is not known to be on the disk */
	bool fresh;         /* the name may not be there after a crash */
	bool lost;          /* and what the kernel had of it may be lost */
	bool is_mark;       /* the next two say what is on the disk, and only we have written since */
	off_t mark;
	struct chain mark_chain;
};

/* --- the lock: others hold it for the time of a write --- */

static int lock(struct eventfile *file, struct error *error)
{
	const struct timespec pause = {.tv_nsec = 5000000};

	for (int i = 0; i < LOCK_TRIES; i++) {
		/* Some network file systems have none: then there is one writer at a time, or no chain. */
		if (flock(file->fd, LOCK_EX | LOCK_NB) == 0 || (errno != EWOULDBLOCK && errno != EINTR))
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	return error_set(error, "%s is locked by another process", file->path);
}

static void unlock(struct eventfile *file)
{
	(void)flock(file->fd, LOCK_UN);
}

/* --- open --- */

/* What was named by mistake is not to be written into, or have its end cut. */
static int judge(int fd, const char *path, struct error *error)
{
	char first = '\0';

	if (pread(fd, &first, 1, 0) == 1 && first != '{')
		return error_set(
		    error, "%s holds something else than JSON Lines: it is left alone; name another file, or move it away",
		    path);
	return 0;
}

static int open_path(const char *path, mode_t mode, struct error *error)
{
	int fd = appendfile_open(path, mode, error);

	if (fd < 0)
		return -1;
	if (judge(fd, path, error) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

/* Another file has the name now. */
static bool is_replaced(const struct eventfile *file)
{
	struct stat named, opened;

	return stat(file->path, &named) == 0 && fstat(file->fd, &opened) == 0 &&
	       (named.st_dev != opened.st_dev || named.st_ino != opened.st_ino);
}

static bool is_gone(const struct eventfile *file)
{
	struct stat named;

	return stat(file->path, &named) != 0;
}

/* --- bytes --- */

/* What was written in part is taken back. */
static int append(struct eventfile *file, const char *bytes, size_t size, struct error *error)
{
	ssize_t done = write(file->fd, bytes, size);
	int why = done < 0 ? errno : ENOSPC;
	off_t length;

	if (done == (ssize_t)size)
		return 0;
	length = lseek(file->fd, 0, SEEK_END);
	if (done > 0 && (length < done || ftruncate(file->fd, length - done) != 0))
		file->unsure = true;
	return error_set(error, "%s: %s", file->path, strerrordesc_np(why));
}

/* One line at the end, and into the chain. */
static int append_object(struct eventfile *file, const char *object, size_t size, struct error *error)
{
	size_t length = size;
	char *line = file->chained ? chain_line(&file->chain, object, size, &length) : strndup(object, size);
	char *whole = line != NULL ? realloc(line, length + 1) : NULL;
	int result = -1;

	if (whole == NULL) {
		free(line);
		return error_set(error, "not enough memory for a line");
	}
	whole[length] = '\n';
	if (append(file, whole, length + 1, error) == 0)
		result = file->chained && chain_take(&file->chain, whole, length) != 0 ? error_set(error, "no SHA-256") : 0;
	free(whole);
	file->dirty = true;
	if (result == 0)
		file->end = lseek(file->fd, 0, SEEK_END);
	return result;
}

/* --- what stands at the end --- */

struct tail {
	char *bytes; /* owned */
	size_t size;
	size_t half; /* where a line without an end begins; size: there is none */
	off_t at;    /* of bytes[0] in the file */
};

static int read_tail(struct eventfile *file, struct tail *tail, struct error *error)
{
	off_t length = lseek(file->fd, 0, SEEK_END);
	ssize_t got;

	tail->at = length > TAIL_MOST ? length - TAIL_MOST : 0;
	tail->bytes = malloc(TAIL_MOST + 1);
	got = tail->bytes != NULL ? pread(file->fd, tail->bytes, TAIL_MOST, tail->at) : -1;
	if (got < 0)
		return error_set(error, "%s: %s", file->path, strerrordesc_np(errno));
	tail->size = tail->half = (size_t)got;
	while (tail->half > 0 && tail->bytes[tail->half - 1] != '\n')
		tail->half--;
	return 0;
}

/* Whoever can only append (chattr +a) ends it instead. */
static int mend(struct eventfile *file, struct tail *tail, struct error *error)
{
	size_t size = tail->size - tail->half, line_size;
	char digest_text[CHAIN_DIGEST_TEXT], *text = tail->bytes + tail->half, *line;
	uint8_t digest[CHAIN_DIGEST] = {0};
	bool cut = tail->half > 0 || tail->at == 0;
	json_t *note;
	int result;

	if (chain_digest(text, size, digest) != 0)
		return error_set(error, "no SHA-256");
	cut = cut && ftruncate(file->fd, tail->at + (off_t)tail->half) == 0;
	if (!cut && append(file, "\n", 1, error) != 0)
		return -1;
	note = json_object();
	json_put_text(note, "event", "torn");
	json_put_now(note, "time");
	json_put_number(note, "bytes", size);
	json_put_text(note, "digest", chain_digest_text(digest, digest_text));
	text[size < TORN_TEXT_MOST ? size : TORN_TEXT_MOST] = '\0';
	json_put_text(note, "text", text);
	line = json_line(note, &line_size);
	result = line != NULL ? append_object(file, line, line_size, error) : error_set(error, "not enough memory");
	free(line);
	return result;
}

/* The last whole line, where its place in the chain is behind ours: another process has written it. */
static int adopt(struct eventfile *file, const struct tail *tail, struct error *error)
{
	size_t end = tail->half, at = end > 0 ? end - 1 : 0;
	struct chain_link link;

	if (!file->chained || end == 0)
		return 0;
	while (at > 0 && tail->bytes[at - 1] != '\n')
		at--;
	if (chain_parse(tail->bytes + at, end - 1 - at, &link) == 0) {
		if (link.seq > file->chain.seq)
			return chain_take(&file->chain, tail->bytes + at, end - 1 - at);
		return 0;
	}
	/* Once we have written, it is for `verify` to find. */
	return file->chain.seq > 0
	           ? 0
	           : error_set(error, "%s: its last line is no part of a chain: move the file away, or leave out chain",
	                       file->path);
}

/* Under the lock, before anything is written. */
static int settle(struct eventfile *file, struct error *error)
{
	off_t length = lseek(file->fd, 0, SEEK_END);
	struct tail tail = {.bytes = NULL};
	int result;

	if (file->unsure || length != file->end)
		file->is_mark = false;
	if (!file->unsure && (!file->chained || length == file->end))
		return 0;
	result = read_tail(file, &tail, error);
	if (result == 0)
		result = adopt(file, &tail, error);
	if (result == 0 && tail.half < tail.size)
		result = mend(file, &tail, error);
	free(tail.bytes);
	if (result != 0)
		return -1;
	file->unsure = false;
	file->end = lseek(file->fd, 0, SEEK_END);
	return 0;
}

/* --- the whole --- */

struct eventfile *eventfile_open(const char *path, mode_t mode, bool chain, struct error *error)
{
	struct eventfile *file = calloc(1, sizeof(*file));
	int result = -1;

	if (file == NULL || (file->path = strdup(path)) == NULL) {
		free(file);
		(void)error_set(error, "not enough memory");
		return NULL;
	}
	file->mode = mode;
	file->chained = chain;
	file->unsure = true;
	file->fd = open_path(path, mode, error);
	if (file->fd >= 0 && lock(file, error) == 0) {
		file->was_empty = lseek(file->fd, 0, SEEK_END) == 0;
		result = settle(file, error);
		unlock(file);
	}
	if (result == 0)
		return file;
	eventfile_close(file);
	return NULL;
}

static int check_folder(const char *path, struct error *error)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash != NULL ? strndup(path, slash > path ? (size_t)(slash - path) : 1) : NULL;
	int result = folder == NULL || access(folder, F_OK) == 0 ? 0 : appendfile_fault(path, ENOENT, error);

	free(folder);
	return result;
}

/* Nothing is made, and nobody is kept from it. */
int eventfile_check(const char *path, bool chain, struct error *error)
{
	int fd = appendfile_look(path), result;
	struct eventfile file = {.path = (char *)(uintptr_t)path, .fd = fd, .chained = chain};
	struct tail tail = {.bytes = NULL};

	if (fd < 0 && errno == ENOENT)
		return check_folder(path, error);
	/* Whoever checks may be another than who will write. */
	if (fd < 0)
		return errno == EACCES ? 0 : appendfile_fault(path, errno, error);
	result = judge(fd, path, error);
	if (result == 0 && chain)
		result = read_tail(&file, &tail, error);
	if (result == 0 && chain)
		result = adopt(&file, &tail, error);
	free(tail.bytes);
	(void)close(fd);
	return result;
}

bool eventfile_is_new(const struct eventfile *file)
{
	return file->was_empty;
}

/* --- the disk --- */

/* A file that is made is there after a crash once its folder is written. */
static int sync_folder(const struct eventfile *file, struct error *error)
{
	const char *slash = strrchr(file->path, '/');
	char *folder =
	    slash != NULL ? strndup(file->path, slash > file->path ? (size_t)(slash - file->path) : 1) : strdup(".");
	int fd = folder != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int result = fd >= 0 ? fsync(fd) : -1;

	if (result != 0)
		(void)error_set(error, "the folder of %s cannot be brought to the disk: %s", file->path,
		                strerrordesc_np(errno));
	if (fd >= 0)
		(void)close(fd);
	free(folder);
	return result;
}

static int sync_data(struct eventfile *file, struct error *error)
{
	if (file->lost)
		return error_set(error, "%s: what was written before may be lost", file->path);
	if (fdatasync(file->fd) == 0)
		return 0;
	file->lost = true;
	return error_set(error, "%s: fdatasync: %s", file->path, strerrordesc_np(errno));
}

/* What stands in the file now is on the disk. */
static void set_mark(struct eventfile *file)
{
	file->dirty = file->lost = file->fresh = false;
	file->is_mark = !file->unsure;
	file->mark = file->end;
	file->mark_chain = file->chain;
}

/* Under the lock: whoever reads the file later is not to take for written what may not be. */
static bool undo(struct eventfile *file)
{
	if (!file->is_mark || lseek(file->fd, 0, SEEK_END) != file->end || ftruncate(file->fd, file->mark) != 0)
		return false;
	file->end = file->mark;
	file->chain = file->mark_chain;
	return true;
}

int eventfile_sync(struct eventfile *file, bool *undone, struct error *error)
{
	struct error ignored;

	*undone = false;
	if (!file->dirty && !file->fresh)
		return 0;
	if (sync_data(file, error) == 0 && (!file->fresh || sync_folder(file, error) == 0)) {
		set_mark(file);
		return 0;
	}
	/* Others have nothing to wait for while the disk is slow. */
	if (lock(file, &ignored) == 0) {
		*undone = undo(file);
		unlock(file);
	}
	/* It is written anew, and that is another matter. */
	file->lost = false;
	file->is_mark = file->is_mark && *undone;
	return -1;
}

int eventfile_keep(struct eventfile *file, struct error *error)
{
	file->kept = true;
	if (sync_data(file, error) != 0 || sync_folder(file, error) != 0)
		return -1;
	set_mark(file);
	return 0;
}

/* Under the lock of the old file, which holds until it is closed; and then under that of the new. */
static int move_on(struct eventfile *file, struct error *error)
{
	int old = file->fd, fd;

	if (file->kept && file->dirty && sync_data(file, error) != 0)
		return -1;
	file->dirty = false;
	fd = settle(file, error) == 0 ? open_path(file->path, file->mode, error) : -1;
	if (fd < 0)
		return -1;
	file->fd = fd;
	if (lock(file, error) != 0) {
		(void)close(fd);
		file->fd = old;
		return -1;
	}
	(void)close(old);
	file->unsure = true;
	/* Whatever is written next brings its folder along. */
	file->fresh = true;
	return 0;
}

/* Whoever opens the new file before anything has happened would take it for the beginning of a chain. */
static int begin_anew(struct eventfile *file, struct error *error)
{
	json_t *note;
	size_t size;
	char *line;
	int result;

	if (settle(file, error) != 0)
		return -1;
	if (!file->chained || file->end != 0)
		return 0;
	note = json_object();
	json_put_text(note, "event", "rotated");
	json_put_now(note, "time");
	line = json_line(note, &size);
	result = line != NULL ? append_object(file, line, size, error) : error_set(error, "not enough memory");
	free(line);
	return result;
}

int eventfile_write(struct eventfile *file, const char *object, size_t size, struct error *error)
{
	struct error ignored;
	int result;

	if (lock(file, error) != 0)
		return -1;
	/* A process that nobody sends SIGHUP to (it drains) would go on with a branch of its own. */
	if (file->chained && is_replaced(file))
		(void)!move_on(file, &ignored);
	result = settle(file, error);
	if (result == 0)
		result = append_object(file, object, size, error);
	unlock(file);
	return result;
}

int eventfile_reopen(struct eventfile *file, struct error *error)
{
	struct error ignored;
	int result = 0;

	if (lock(file, error) != 0)
		return -1;
	/* The right to open it may be gone since the start: where nothing was renamed, nothing is done. */
	if (is_gone(file) || is_replaced(file))
		result = move_on(file, error);
	/* A disk that is full now is found out by the next line. */
	if (result == 0)
		(void)!begin_anew(file, &ignored);
	unlock(file);
	return result;
}

void eventfile_close(struct eventfile *file)
{
	if (file == NULL)
		return;
	if (file->fd >= 0)
		(void)close(file->fd);
	free(file->path);
	free(file);
}
