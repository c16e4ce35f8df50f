/* The file of secured names: read with suspicion, replaced in one step. */
#include "ratchet_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define VERSION 1
#define LINE_MOST 160                                  /* the longest line that we write has 123 characters */
#define ENTRIES_MOST \
	(2 * RATCHET_KINDS * RATCHET_NAMES) /* more than any gateway writes; bounds what a stranger's file takes */
#define SUM_CHARS 8

static const char *const kind_words[RATCHET_KINDS] = {[RATCHET_CLIENT] = "client", [RATCHET_PEER] = "peer"};

/* CRC-32 (IEEE 802.3), four bits at a time. */
static uint32_t crc32(const char *bytes, size_t length)
{
	static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
	                                   0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
	                                   0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
	uint32_t sum = 0xffffffff;

	for (size_t i = 0; i < length; i++) {
		/* As many as the caller has written, which is not followed.
		 * NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign) */
		sum ^= (uint8_t)bytes[i];
		sum = (sum >> 4) ^ table[sum & 15];
		sum = (sum >> 4) ^ table[sum & 15];
	}
	return ~sum;
}

const char *ratchet_file_outside(const char *path, const char *root, char *buffer)
{
	if (path == NULL || root == NULL)
		return path;
	return snprintf(buffer, PATH_MAX, "%s%s", root, path) < PATH_MAX ? buffer : path;
}

/* --- reading --- */

/* One line without its end, at most LINE_MOST - 1 characters of it. False at the end of the stream. `*whole`: it
 * fitted, ended in a newline and holds no zero byte. */
static bool read_line(FILE *stream, char *line, bool *whole)
{
	size_t length = 0;
	int c;

	*whole = true;
	while ((c = getc_unlocked(stream)) != EOF && c != '\n') {
		if (c == '\0' || length == LINE_MOST - 1)
			*whole = false;
		else
			line[length++] = (char)c;
	}
	line[length] = '\0';
	if (c == EOF)
		*whole = false;
	return c == '\n' || length > 0;
}

/* Cut the sum off a line that has the right one. */
static bool take_sum(char *line)
{
	size_t length = strlen(line);
	char sum[SUM_CHARS + 1];

	if (length <= SUM_CHARS || line[length - SUM_CHARS - 1] != ' ')
		return false;
	length -= SUM_CHARS + 1;
	(void)snprintf(sum, sizeof(sum), "%08" PRIx32, crc32(line, length));
	if (strcmp(sum, line + length + 1) != 0)
		return false;
	line[length] = '\0';
	return true;
}

static bool take_number(char **rest, uint64_t *number)
{
	char *word = strsep(rest, " ");

	return word != NULL && text_to_number(word, 0, INT64_MAX, number, NULL) == 0;
}

/* The whole of `line`, which took `word` already. */
static bool parse_entry(const char *word, char *rest, struct ratchet_entry *entry)
{
	const char *name = strsep(&rest, " ");

	memset(entry, 0, sizeof(*entry));
	entry->kind = strcmp(word, kind_words[RATCHET_PEER]) == 0 ? RATCHET_PEER : RATCHET_CLIENT;
	if (entry->kind == RATCHET_CLIENT && strcmp(word, kind_words[RATCHET_CLIENT]) != 0)
		return false;
	if (name == NULL || !name_valid(name, strlen(name)))
		return false;
	memcpy(entry->name, name, strlen(name));
	return take_number(&rest, &entry->first_s) && take_number(&rest, &entry->last_s) && rest == NULL;
}

static int append(struct ratchet_entries *entries, const struct ratchet_entry *entry)
{
	struct ratchet_entry *at = entries->at;

	/* The room doubles: at each power of two it is full. */
	if ((entries->count & (entries->count - 1)) == 0)
		at = realloc(at, (entries->count > 0 ? 2 * entries->count : 1) * sizeof(*at));
	if (at == NULL)
		return -1;
	entries->at = at;
	at[entries->count++] = *entry;
	return 0;
}

/* A line with the right sum. 0; 1 where it makes no sense here; -1 with `error`. */
static int take_line(char *line, struct ratchet_reading *reading, struct error *error)
{
	char *rest = line;
	const char *word = strsep(&rest, " ");
	struct ratchet_entry entry;
	uint64_t version;

	if (strcmp(word, "ccissl-ratchet") == 0) {
		if (!take_number(&rest, &version) || rest != NULL || reading->header)
			return 1;
		reading->header = true;
		return version == VERSION
		           ? 0
		           : error_set(error, "is of version %" PRIu64 ", and this program knows %d", version, VERSION);
	}
	if (strcmp(word, "end") == 0) {
		if (reading->ending || !take_number(&rest, &reading->promised) || rest != NULL)
			return 1;
		reading->ending = true;
		return 0;
	}
	if (!parse_entry(word, rest, &entry) || reading->entries.count == ENTRIES_MOST)
		return 1;
	return append(&reading->entries, &entry) == 0 ? 0 : error_set(error, "not enough memory");
}

static void drop_entries(struct ratchet_reading *reading)
{
	free(reading->entries.at);
	reading->entries = (struct ratchet_entries){NULL, 0};
}

enum ratchet_read ratchet_file_parse(FILE *stream, struct ratchet_reading *reading, struct error *error)
{
	char line[LINE_MOST];
	bool whole, after_end = false;

	memset(reading, 0, sizeof(*reading));
	while (read_line(stream, line, &whole)) {
		int result = take_sum(line) ? take_line(line, reading, error) : 1;

		if (result < 0) {
			drop_entries(reading);
			return RATCHET_READ_FAILED;
		}
		/* A line is taken where its sum is right, and still counts as damaged where it stands in the wrong place. */
		if (result > 0 || !whole || after_end)
			reading->damaged_lines++;
		after_end = reading->ending;
	}
	if (ferror(stream)) {
		error_set(error, "cannot be read: %s", strerrordesc_np(errno));
		drop_entries(reading);
		return RATCHET_READ_FAILED;
	}
	if (reading->damaged_lines > 0 || !reading->header || !reading->ending ||
	    reading->promised != reading->entries.count)
		return RATCHET_READ_DAMAGED;
	return RATCHET_READ_OK;
}

enum ratchet_read ratchet_file_read(const char *path, struct ratchet_reading *reading, struct stat *identity,
                                    struct error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	enum ratchet_read result = RATCHET_READ_FAILED;
	struct stat found = {0};
	FILE *stream;

	memset(reading, 0, sizeof(*reading));
	if (identity != NULL)
		memset(identity, 0, sizeof(*identity));
	if (fd < 0 && errno == ENOENT)
		return RATCHET_READ_ABSENT;
	if (fd < 0) {
		error_set(error, "%s cannot be read: %s", path, strerrordesc_np(errno));
		return RATCHET_READ_FAILED;
	}
	stream = fstat(fd, &found) == 0 && S_ISREG(found.st_mode) ? fdopen(fd, "r") : NULL;
	if (stream == NULL) {
		close(fd);
		error_set(error, "%s is not a regular file", path);
		return RATCHET_READ_FAILED;
	}
	result = ratchet_file_parse(stream, reading, error);
	if (result == RATCHET_READ_FAILED)
		error_prefix(error, "%s", path);
	if (identity != NULL)
		*identity = found;
	(void)fclose(stream);
	return result;
}

void ratchet_file_describe(const struct ratchet_reading *reading, struct text *text)
{
	if (reading->damaged_lines > 0)
		text_printf(text, "%zu line%s damaged, ", reading->damaged_lines, reading->damaged_lines == 1 ? "" : "s");
	if (!reading->header)
		text_puts(text, "the first line is missing, ");
	if (!reading->ending)
		text_puts(text, "the last line is missing, ");
	else if (reading->promised > reading->entries.count)
		text_printf(text, "%" PRIu64 " of %" PRIu64 " names are lost, ", reading->promised - reading->entries.count,
		            reading->promised);
	text_printf(text, "%zu name%s intact", reading->entries.count, reading->entries.count == 1 ? " is" : "s are");
}

/* --- writing --- */

static int put_line(FILE *stream, const char *format, ...) PRINTF_LIKE(2, 3);

static int put_line(FILE *stream, const char *format, ...)
{
	char line[LINE_MOST];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= sizeof(line))
		return -1;
	return fprintf(stream, "%s %08" PRIx32 "\n", line, crc32(line, (size_t)length)) < 0 ? -1 : 0;
}

int ratchet_file_print(FILE *stream, const struct ratchet_entries *entries)
{
	int result = put_line(stream, "ccissl-ratchet %d", VERSION);

	for (size_t i = 0; i < entries->count && result == 0; i++) {
		const struct ratchet_entry *entry = &entries->at[i];

		result = put_line(stream, "%s %s %" PRIu64 " %" PRIu64, kind_words[entry->kind], entry->name, entry->first_s,
		                  entry->last_s);
	}
	if (result == 0)
		result = put_line(stream, "end %zu", entries->count);
	return result;
}

static int beside(const char *path, const char *ending, char *name, struct error *error)
{
	int length = snprintf(name, PATH_MAX, "%s%s", path, ending);

	return length > 0 && length < PATH_MAX ? 0 : error_set(error, "%s%s is too long for a path", path, ending);
}

static int open_folder(const char *path, struct error *error)
{
	char folder[PATH_MAX];
	char *slash;
	int fd;

	if (beside(path, "", folder, error) != 0)
		return -1;
	slash = strrchr(folder, '/');
	if (slash != NULL)
		slash[slash == folder] = '\0';
	fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		error_set(error, "the directory %s: %s: make it, writable for the gateway's user", slash != NULL ? folder : ".",
		          strerrordesc_np(errno));
	return fd;
}

/* What root writes stays readable for the gateway, which is somebody else. */
static int keep_owner(int fd, const char *path)
{
	struct stat before;

	if (geteuid() != 0 || stat(path, &before) != 0)
		return 0;
	return fchown(fd, before.st_uid, before.st_gid);
}

/* Always a new file: root may write here too, in a directory of the gateway's user, where what has this name may be
 * another name of any file, or a FIFO. */
static int create(const char *name)
{
	(void)unlink(name);
	return open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static int fill(const char *name, const char *path, const struct ratchet_entries *entries)
{
	int fd = create(name);
	FILE *stream = fd >= 0 ? fdopen(fd, "w") : NULL;
	bool fine;

	if (stream == NULL) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	fine = fchmod(fd, 0600) == 0 && keep_owner(fd, path) == 0 && ratchet_file_print(stream, entries) == 0 &&
	       fflush(stream) == 0 && fsync(fd) == 0;
	return fclose(stream) == 0 && fine ? 0 : -1;
}

int ratchet_file_write(const char *path, const struct ratchet_entries *entries, struct error *error)
{
	int folder, saved;
	char name[PATH_MAX];

	if (beside(path, ".new", name, error) != 0 || (folder = open_folder(path, error)) < 0)
		return -1;
	if (fill(name, path, entries) != 0 || rename(name, path) != 0 || fsync(folder) != 0) {
		saved = errno;
		(void)unlink(name);
		close(folder);
		return error_set(error, "%s cannot be written: %s", path, strerrordesc_np(saved));
	}
	close(folder);
	return 0;
}

int ratchet_file_keep_damaged(const char *path, struct error *error)
{
	char name[PATH_MAX];

	if (beside(path, ".damaged", name, error) != 0)
		return -1;
	(void)unlink(name);
	return link(path, name) == 0 ? 0 : error_set(error, "%s cannot be made: %s", name, strerrordesc_np(errno));
}

/* --- who may --- */

int ratchet_file_lock(const char *path, bool *busy, struct error *error)
{
	int folder = open_folder(path, error);

	*busy = false;
	if (folder < 0 || flock(folder, LOCK_EX | LOCK_NB) == 0)
		return folder;
	*busy = errno == EWOULDBLOCK;
	error_set(error, "the directory of %s cannot be locked: %s", path, strerrordesc_np(errno));
	close(folder);
	return -1;
}

void ratchet_file_unlock(int lock)
{
	if (lock >= 0)
		close(lock);
}

int ratchet_file_check(const char *path, struct error *error)
{
	struct ratchet_reading reading;
	int folder = open_folder(path, error), denied;
	enum ratchet_read result;

	if (folder < 0)
		return -1;
	denied = faccessat(folder, ".", W_OK | X_OK, AT_EACCESS);
	if (denied != 0)
		error_set(error, "%s cannot be written: its directory: %s", path, strerrordesc_np(errno));
	close(folder);
	if (denied != 0)
		return -1;
	result = ratchet_file_read(path, &reading, NULL, error);
	free(reading.entries.at);
	return result == RATCHET_READ_FAILED ? -1 : 0;
}

void ratchet_file_identity(const char *path, struct stat *identity)
{
	if (stat(path, identity) != 0)
		memset(identity, 0, sizeof(*identity));
}

bool ratchet_file_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}
