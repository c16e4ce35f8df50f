/* Appends framed records, all or nothing, under a lock on the file. */
#include "smf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "appendfile.h"

#define GATHER_BYTES 65536
#define WALK_BYTES 65536
#define HEADER_SIZE 24 /* of a record: less is none */
#define LOCK_TRIES 200 /* of 5 ms */

struct smf_file {
	int fd;
	mode_t mode;
	off_t end;     /* where a record ended when we last looked */
	size_t used, capacity;
	size_t begun;  /* of what is gathered, stands behind `end`: a write has failed, and it could not be taken out */
	char *path;
	bool kept;     /* what is flushed is on the disk */
	bool fresh;    /* and its name is not yet */
	uint8_t *gathered;
};

/* Others hold it for the time of a write. */
static int lock(int fd)
{
	const struct timespec pause = {.tv_nsec = 5000000};

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -1;
		(void)nanosleep(&pause, NULL);
	}
	errno = EWOULDBLOCK;
	return -1;
}

static void unlock(int fd)
{
	(void)flock(fd, LOCK_UN);
}

/* --- what is in the file already --- */

struct walk {
	int fd;
	off_t size, at;       /* at: all before it are whole records */
	off_t window_at;
	size_t window_used;
	uint8_t window[WALK_BYTES];
};

/* Up to `size` bytes at `at`; NULL: they cannot be read. */
static const uint8_t *look(struct walk *walk, size_t size)
{
	ssize_t got;

	if (walk->at >= walk->window_at && walk->at + (off_t)size <= walk->window_at + (off_t)walk->window_used)
		return walk->window + (walk->at - walk->window_at);
	got = pread(walk->fd, walk->window, sizeof(walk->window), walk->at);
	walk->window_at = walk->at;
	walk->window_used = got > 0 ? (size_t)got : 0;
	return walk->window_used >= size ? walk->window : NULL;
}

static unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* Moves to the first byte that no whole record covers. 0, or -1: something that is no record is there. */
static int walk_records(struct walk *walk)
{
	while (walk->at < walk->size) {
		off_t left = walk->size - walk->at;
		size_t seen = left < 6 ? (size_t)left : 6;
		const uint8_t *head = look(walk, seen);

		if (head == NULL || (seen >= 4 && (get16(head) < HEADER_SIZE || get16(head + 2) != 0)))
			return -1;
		/* The beginning of one, as far as there is any; what is too short to tell was not begun by us unless others
		 * come before it. */
		if (seen < 6)
			return walk->at > 0 ? 0 : -1;
		if (head[5] != 119)
			return -1;
		if ((off_t)get16(head) > left)
			return 0;
		walk->at += get16(head);
	}
	return 0;
}

/* From *end on, which is the end of a record, to the last one of the file, which becomes *end; *size is the file's. */
static int find_end(int fd, const char *path, off_t *end, off_t *size, struct error *error)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	int result;

	if (walk == NULL)
		return error_set(error, "not enough memory to look through %s", path);
	walk->fd = fd;
	walk->size = *size = lseek(fd, 0, SEEK_END);
	walk->at = *end <= *size ? *end : 0;
	result = walk_records(walk);
	*end = walk->at;
	free(walk);
	return result == 0
	           ? 0
	           : error_set(error,
	                       "%s: what stands at byte %lld is no SMF record: move the file away, a new one is made", path,
	                       (long long)*end);
}

/* And what stands behind it is cut off. */
static int walk_file(int fd, const char *path, off_t *end, uint64_t *cut_bytes, struct error *error)
{
	off_t at = *end, size;

	if (find_end(fd, path, &at, &size, error) != 0)
		return -1;
	*cut_bytes = (uint64_t)(size - at);
	if (at < size && ftruncate(fd, at) != 0)
		return error_set(error, "%s ends with half a record that cannot be cut off: %s", path, strerrordesc_np(errno));
	*end = at;
	return 0;
}

/* --- open --- */

static int check_folder(const char *path, struct error *error)
{
	const char *slash = strrchr(path, '/');
	char folder[4096];

	(void)snprintf(folder, sizeof(folder), "%.*s", slash != NULL && slash > path ? (int)(slash - path) : 1,
	               slash != NULL ? path : ".");
	if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0)
		return 0;
	return error_set(error, "%s cannot be made: %s: %s", path, folder, strerrordesc_np(errno));
}

int smf_file_check(const char *path, struct error *error)
{
	int fd = appendfile_look(path), result;
	off_t end = 0, size;

	if (fd < 0 && errno == ENOENT)
		return check_folder(path, error);
	if (fd < 0)
		return appendfile_fault(path, errno, error);
	result = find_end(fd, path, &end, &size, error);
	close(fd);
	return result;
}

static int open_checked(const char *path, mode_t mode, off_t *end, uint64_t *cut_bytes, struct error *error)
{
	int fd = appendfile_open(path, mode, error), result;

	*end = 0;
	*cut_bytes = 0;
	if (fd < 0)
		return -1;
	if (lock(fd) != 0) {
		error_set(error, "%s is locked by another process: %s", path, strerrordesc_np(errno));
		close(fd);
		return -1;
	}
	result = walk_file(fd, path, end, cut_bytes, error);
	unlock(fd);
	if (result == 0)
		return fd;
	close(fd);
	return -1;
}

struct smf_file *smf_file_open(const char *path, mode_t mode, uint64_t *cut_bytes, struct error *error)
{
	struct smf_file *file = calloc(1, sizeof(*file));

	if (file == NULL || (file->path = strdup(path)) == NULL || (file->gathered = malloc(GATHER_BYTES)) == NULL) {
		error_set(error, "not enough memory for %s", path);
		if (file != NULL)
			free(file->path);
		free(file);
		return NULL;
	}
	file->capacity = GATHER_BYTES;
	file->mode = mode;
	file->fd = open_checked(path, mode, &file->end, cut_bytes, error);
	if (file->fd >= 0)
		return file;
	free(file->gathered);
	free(file->path);
	free(file);
	return NULL;
}

/* Nothing was renamed; and the right to open it may be gone since the start. */
static bool is_still_there(const struct smf_file *file)
{
	struct stat named, opened;

	return stat(file->path, &named) == 0 && fstat(file->fd, &opened) == 0 && named.st_dev == opened.st_dev &&
	       named.st_ino == opened.st_ino;
}

int smf_file_reopen(struct smf_file *file, uint64_t *cut_bytes, struct error *error)
{
	off_t end;
	int fd;

	*cut_bytes = 0;
	if (smf_file_flush(file, error) != 0)
		return -1;
	if (is_still_there(file))
		return 0;
	fd = open_checked(file->path, file->mode, &end, cut_bytes, error);
	if (fd < 0)
		return -1;
	close(file->fd);
	file->fd = fd;
	file->end = end;
	file->fresh = true;
	return 0;
}

/* --- write --- */

/* 0, or -1 with errno; *done is how much of it was written. */
static int write_all(int fd, const uint8_t *bytes, size_t size, size_t *done)
{
	while (*done < size) {
		ssize_t got = write(fd, bytes + *done, size - *done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			errno = got == 0 ? ENOSPC : errno;
			return -1;
		}
		*done += (size_t)got;
	}
	return 0;
}

/* How many of the first `size` bytes gathered are whole records. */
static size_t whole_records(const struct smf_file *file, size_t size)
{
	size_t at = 0;

	while (at + HEADER_SIZE <= size && at + get16(file->gathered + at) <= size)
		at += get16(file->gathered + at);
	return at;
}

static void drop_first(struct smf_file *file, size_t size)
{
	memmove(file->gathered, file->gathered + size, file->used - size);
	file->used -= size;
}

/* Behind the last record. Another process may have written since, or have died while it did. What of ours could not be
 * taken out is gone on with where nobody has touched it; otherwise its whole records are there, and its half one is
 * cut off. */
static int find_place(struct smf_file *file, struct error *error)
{
	off_t length = lseek(file->fd, 0, SEEK_END);
	uint64_t cut_bytes;

	if (length == file->end + (off_t)file->begun)
		return 0;
	if (length >= file->end)
		drop_first(file, whole_records(file, file->begun));
	file->begun = 0;
	return walk_file(file->fd, file->path, &file->end, &cut_bytes, error);
}

static int append_locked(struct smf_file *file, struct error *error)
{
	int why;

	if (find_place(file, error) != 0)
		return -1;
	if (write_all(file->fd, file->gathered, file->used, &file->begun) == 0) {
		file->end += (off_t)file->used;
		file->begun = 0;
		return 0;
	}
	why = errno;
	if (ftruncate(file->fd, file->end) == 0)
		file->begun = 0;
	return error_set(error, "%s: %s", file->path, strerrordesc_np(why));
}

static int append(struct smf_file *file, struct error *error)
{
	int result;

	if (lock(file->fd) != 0)
		return error_set(error, "%s is locked by another process: %s", file->path, strerrordesc_np(errno));
	result = append_locked(file, error);
	unlock(file->fd);
	return result;
}

/* --- the disk --- */

static int sync_folder(const struct smf_file *file, struct error *error)
{
	const char *slash = strrchr(file->path, '/');
	char folder[4096];
	int fd, result;

	(void)snprintf(folder, sizeof(folder), "%.*s", slash != NULL && slash > file->path ? (int)(slash - file->path) : 1,
	               slash != NULL ? file->path : ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	result = fd >= 0 ? fsync(fd) : -1;
	if (result != 0)
		(void)error_set(error, "%s cannot be brought to the disk: %s", folder, strerrordesc_np(errno));
	if (fd >= 0)
		close(fd);
	return result;
}

/* Nobody knows what the disk has of the last `size` bytes, and the kernel says so once: they are taken out, to be
 * written anew. Behind them may stand what another process has written since; then they stay, and will be there
 * twice. */
static void take_out(struct smf_file *file, size_t size)
{
	if (lock(file->fd) != 0)
		return;
	if (lseek(file->fd, 0, SEEK_END) == file->end && ftruncate(file->fd, file->end - (off_t)size) == 0)
		file->end -= (off_t)size;
	unlock(file->fd);
}

/* Without the lock: others have nothing to wait for while the disk is slow. */
static int bring_to_disk(struct smf_file *file, struct error *error)
{
	if (fdatasync(file->fd) != 0) {
		error_set(error, "%s: fdatasync: %s", file->path, strerrordesc_np(errno));
		take_out(file, file->used);
		return -1;
	}
	if (file->fresh && sync_folder(file, error) != 0) {
		take_out(file, file->used);
		return -1;
	}
	file->fresh = false;
	return 0;
}

int smf_file_keep(struct smf_file *file, struct error *error)
{
	file->kept = file->fresh = true;
	return bring_to_disk(file, error);
}

/* One large block does not hold the memory for ever. */
static void empty(struct smf_file *file)
{
	uint8_t *smaller = file->capacity > GATHER_BYTES ? realloc(file->gathered, GATHER_BYTES) : NULL;

	file->used = 0;
	if (smaller == NULL)
		return;
	file->gathered = smaller;
	file->capacity = GATHER_BYTES;
}

int smf_file_flush(struct smf_file *file, struct error *error)
{
	if (file->used > 0 && append(file, error) != 0)
		return -1;
	if (file->kept && (file->used > 0 || file->fresh) && bring_to_disk(file, error) != 0)
		return -1;
	empty(file);
	return 0;
}

int smf_file_put(struct smf_file *file, const uint8_t *records, size_t size, struct error *error)
{
	uint8_t *larger;

	if (size > file->capacity - file->used && smf_file_flush(file, error) != 0)
		return -1;
	if (size > file->capacity) {
		larger = realloc(file->gathered, size);
		if (larger == NULL)
			return error_set(error, "not enough memory for %zu bytes of records", size);
		file->gathered = larger;
		file->capacity = size;
	}
	memcpy(file->gathered + file->used, records, size);
	file->used += size;
	return 0;
}

size_t smf_file_waiting(const struct smf_file *file)
{
	return file->used;
}

void smf_file_close(struct smf_file *file)
{
	if (file == NULL)
		return;
	close(file->fd);
	free(file->gathered);
	free(file->path);
	free(file);
}
