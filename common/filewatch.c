/* Files watched for changes: inotify on their folders, and a poll. */
#include "filewatch.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REST_MS 200  /* how long files must be as they are */
#define ROUNDS_MOST 50 /* of waiting for that: a file that is always written is reported in the end */

/* What tells one state of a file from another. The time of change also moves with its owner and permissions: a key that
 * could not be read may be readable now. */
struct state {
	bool there;
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};

struct watched {
	char *path;
	struct state known, last; /* as reported, and at the last look */
};

struct folder {
	uv_fs_event_t handle;
	struct filewatch *watch;
};

struct filewatch {
	filewatch_changed *changed;
	void *context;
	uv_loop_t *loop; /* NULL: not started */
	uv_timer_t poll, rest;
	uint64_t poll_ms;
	struct watched *files;
	size_t file_count;
	struct folder **folders;
	size_t folder_count;
	unsigned rounds;
	unsigned handles; /* whose close callback has not come */
	bool closing;
};

/* --- states --- */

static struct state look_at(const char *path)
{
	struct stat status;
	struct state state;

	memset(&state, 0, sizeof(state)); /* compared as bytes */
	if (stat(path, &status) != 0)
		return state;
	state.there = true;
	state.device = status.st_dev;
	state.inode = status.st_ino;
	state.size = status.st_size;
	state.modified = status.st_mtim;
	state.changed = status.st_ctim;
	return state;
}

static bool same(const struct state *a, const struct state *b)
{
	return a->there == b->there && a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

struct change {
	bool since_known, since_last;
};

static struct change look(struct filewatch *watch)
{
	struct change change = {false, false};

	for (size_t i = 0; i < watch->file_count; i++) {
		struct watched *file = &watch->files[i];
		struct state now = look_at(file->path);

		change.since_known = change.since_known || !same(&now, &file->known);
		change.since_last = change.since_last || !same(&now, &file->last);
		file->last = now;
	}
	return change;
}

static void free_files(struct watched *files, size_t count)
{
	for (size_t i = 0; files != NULL && i < count; i++)
		free(files[i].path);
	free(files);
}

/* --- events --- */

static void on_rest(uv_timer_t *timer);

static void wait_for_rest(struct filewatch *watch)
{
	if (watch->closing || uv_is_active((uv_handle_t *)&watch->rest))
		return;
	watch->rounds = 0;
	(void)uv_timer_start(&watch->rest, on_rest, REST_MS, REST_MS);
}

/* Until two looks in a row see the same. */
static void on_rest(uv_timer_t *timer)
{
	struct filewatch *watch = timer->data;
	struct change change = look(watch);

	if (change.since_known && change.since_last && ++watch->rounds < ROUNDS_MOST)
		return;
	(void)uv_timer_stop(timer);
	if (!change.since_known)
		return;
	for (size_t i = 0; i < watch->file_count; i++)
		watch->files[i].known = watch->files[i].last;
	watch->changed(watch->context);
}

static void on_poll(uv_timer_t *timer)
{
	struct filewatch *watch = timer->data;

	if (look(watch).since_known)
		wait_for_rest(watch);
}

static void on_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
	const struct folder *folder = handle->data;

	(void)name;
	(void)events;
	if (status >= 0)
		wait_for_rest(folder->watch);
}

/* --- folders --- */

static void free_when_closed(struct filewatch *watch)
{
	if (--watch->handles > 0 || !watch->closing)
		return;
	free_files(watch->files, watch->file_count);
	free(watch->folders);
	free(watch);
}

static void on_folder_closed(uv_handle_t *handle)
{
	struct folder *folder = handle->data;
	struct filewatch *watch = folder->watch;

	free(folder);
	free_when_closed(watch);
}

static void close_folders(struct filewatch *watch)
{
	for (size_t i = 0; i < watch->folder_count; i++)
		uv_close((uv_handle_t *)&watch->folders[i]->handle, on_folder_closed);
	watch->folder_count = 0;
}

static bool shares_folder(const char *a, const char *b)
{
	const char *end_a = strrchr(a, '/'), *end_b = strrchr(b, '/');

	return (end_a == NULL && end_b == NULL) ||
	       (end_a != NULL && end_b != NULL && end_a - a == end_b - b && memcmp(a, b, (size_t)(end_a - a)) == 0);
}

/* The folder of `path`, as a text owned by the caller. */
static char *folder_of(const char *path)
{
	const char *end = strrchr(path, '/');

	if (end == NULL)
		return strdup(".");
	return end == path ? strdup("/") : strndup(path, (size_t)(end - path));
}

/* Without it (no memory, no such folder, the system's limit of watches) the poll is left. */
static void open_folder(struct filewatch *watch, const char *path)
{
	struct folder *folder = calloc(1, sizeof(*folder));
	char *name = folder_of(path);

	if (folder == NULL || name == NULL || uv_fs_event_init(watch->loop, &folder->handle) != 0) {
		free(folder);
		free(name);
		return;
	}
	folder->handle.data = folder;
	folder->watch = watch;
	watch->handles++;
	watch->folders[watch->folder_count++] = folder;
	(void)uv_fs_event_start(&folder->handle, on_event, name, 0);
	free(name);
}

static void open_folders(struct filewatch *watch)
{
	for (size_t i = 0; i < watch->file_count; i++) {
		size_t j = 0;

		while (j < i && !shares_folder(watch->files[j].path, watch->files[i].path))
			j++;
		if (j == i)
			open_folder(watch, watch->files[i].path);
	}
}

static void watch_files(struct filewatch *watch)
{
	close_folders(watch);
	(void)uv_timer_stop(&watch->poll);
	(void)uv_timer_stop(&watch->rest);
	if (watch->poll_ms == 0)
		return;
	open_folders(watch);
	(void)uv_timer_start(&watch->poll, on_poll, watch->poll_ms, watch->poll_ms);
}

/* --- contract --- */

struct filewatch *filewatch_new(filewatch_changed *changed, void *context)
{
	struct filewatch *watch = calloc(1, sizeof(*watch));

	if (watch == NULL)
		return NULL;
	watch->changed = changed;
	watch->context = context;
	return watch;
}

int filewatch_set(struct filewatch *watch, const char *const *paths, size_t count, uint64_t poll_ms,
                  struct error *error)
{
	struct watched *files = calloc(count + 1, sizeof(*files));
	struct folder **folders = calloc(count + 1, sizeof(struct folder *));
	bool full = files != NULL && folders != NULL;

	for (size_t i = 0; full && i < count; i++) {
		files[i].path = strdup(paths[i]);
		files[i].known = files[i].last = look_at(paths[i]);
		full = files[i].path != NULL;
	}
	if (!full) {
		free_files(files, count);
		free(folders);
		return error_set(error, "not enough memory");
	}
	if (watch->loop != NULL)
		close_folders(watch);
	free_files(watch->files, watch->file_count);
	free(watch->folders);
	watch->files = files;
	watch->file_count = count;
	watch->folders = folders;
	watch->poll_ms = poll_ms;
	if (watch->loop != NULL)
		watch_files(watch);
	return 0;
}

void filewatch_start(struct filewatch *watch, uv_loop_t *loop)
{
	watch->loop = loop;
	(void)uv_timer_init(loop, &watch->poll);
	(void)uv_timer_init(loop, &watch->rest);
	watch->poll.data = watch->rest.data = watch;
	watch->handles += 2;
	watch_files(watch);
}

static void on_timer_closed(uv_handle_t *handle)
{
	free_when_closed(handle->data);
}

void filewatch_close(struct filewatch *watch)
{
	if (watch == NULL)
		return;
	watch->closing = true;
	if (watch->loop == NULL) {
		watch->handles = 1;
		free_when_closed(watch);
		return;
	}
	close_folders(watch);
	uv_close((uv_handle_t *)&watch->poll, on_timer_closed);
	uv_close((uv_handle_t *)&watch->rest, on_timer_closed);
}
