/* The notifier kind `plugin`: a shared object is loaded, judged, and called in our place. */
#include "notifier_plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "text.h"

struct plugin {
	void *object;
	struct cci_notifier_kind kind; /* a copy: what its writer did not know is NULL */
	void *state;
};

/* --- who could have written it --- */

static bool is_trusted(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static int judge_file(const char *path, const struct stat *found, struct error *error)
{
	if (!S_ISREG(found->st_mode))
		return error_set(error, "%s is not a regular file: name the shared object itself", path);
	if (!is_trusted(found->st_uid))
		return error_set(
		    error, "%s belongs to user %u, who could change what runs in this process: give it to root (chown root)",
		    path, (unsigned)found->st_uid);
	if ((found->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return error_set(
		    error,
		    "%s has mode %04o: others than its owner could change what runs in this process: take that away "
		    "(chmod go-w)",
		    path, (unsigned)(found->st_mode & ALLPERMS));
	return 0;
}

/* Who may write in a folder may put another file there; a sticky one keeps them from what is not theirs. */
static int judge_folder(const char *folder, struct error *error)
{
	struct stat found;

	if (stat(folder, &found) != 0)
		return error_set(error, "%s: %s", folder, strerrordesc_np(errno));
	if (!is_trusted(found.st_uid))
		return error_set(error,
		                 "its folder %s belongs to user %u, who could put another file there: keep plug-ins where root "
		                 "alone writes",
		                 folder, (unsigned)found.st_uid);
	if ((found.st_mode & S_IWOTH) != 0 && (found.st_mode & S_ISVTX) == 0)
		return error_set(
		    error, "everybody may write in its folder %s: keep plug-ins where root alone writes (chmod o-w)", folder);
	return 0;
}

/* All folders of a path without links, from the innermost to the root. Cuts `path`. */
static int judge_folders(char *path, struct error *error)
{
	for (char *slash; (slash = strrchr(path, '/')) != NULL;) {
		*slash = '\0';
		if (judge_folder(slash == path ? "/" : path, error) != 0)
			return -1;
	}
	return 0;
}

/* Into `real` (of PATH_MAX): the file that was judged, whatever a link on the way becomes. */
static int judge_path(const char *path, char *real, struct error *error)
{
	char folder[PATH_MAX];
	struct stat found;

	if (path == NULL || path[0] != '/')
		return error_set(error, "path has to be the absolute path of the shared object");
	if (realpath(path, real) == NULL || stat(real, &found) != 0)
		return error_set(error, "%s: %s: build the plug-in, or correct path", path, strerrordesc_np(errno));
	if (judge_file(path, &found, error) != 0)
		return -1;
	(void)snprintf(folder, sizeof(folder), "%s", real);
	return judge_folders(folder, error) == 0 ? 0 : error_prefix(error, "%s", path);
}

/* --- what it exports --- */

/* Size before version before the rest: only then is it known what there is to read. */
static int judge_kind(const char *path, const struct cci_notifier_kind *kind, struct error *error)
{
	if (kind->size < offsetof(struct cci_notifier_kind, kind))
		return error_set(error, "%s: size in " CCI_NOTIFIER_SYMBOL " is %u: set it to sizeof(struct cci_notifier_kind)",
		                 path, (unsigned)kind->size);
	if (kind->version < CCI_NOTIFIER_VERSION)
		return error_set(
		    error, "%s was built against version %u of cci/notifier.h, and this gateway has version %d: build it anew",
		    path, (unsigned)kind->version, CCI_NOTIFIER_VERSION);
	if (kind->version > CCI_NOTIFIER_VERSION)
		return error_set(error,
		                 "%s was built against version %u of cci/notifier.h, and this gateway has version %d: build it "
		                 "against this gateway's header, or upgrade the gateway",
		                 path, (unsigned)kind->version, CCI_NOTIFIER_VERSION);
	if (kind->size < CCI_NOTIFIER_KIND_SIZE_2)
		return error_set(error,
		                 "%s: size in " CCI_NOTIFIER_SYMBOL " is %u, and version %d has at least %u bytes: set it to "
		                 "sizeof(struct cci_notifier_kind)",
		                 path, (unsigned)kind->size, CCI_NOTIFIER_VERSION, (unsigned)CCI_NOTIFIER_KIND_SIZE_2);
	if (kind->open == NULL || kind->notify == NULL || kind->close == NULL)
		return error_set(error, "%s: %s in " CCI_NOTIFIER_SYMBOL " is NULL: open, notify and close have to be there",
		                 path,
		                 kind->open == NULL     ? "open"
		                 : kind->notify == NULL ? "notify"
		                                        : "close");
	return 0;
}

static int look_up(struct plugin *plugin, const char *path, struct error *error)
{
	const struct cci_notifier_kind *kind = dlsym(plugin->object, CCI_NOTIFIER_SYMBOL);

	if (kind == NULL)
		return error_set(error,
		                 "%s does not export " CCI_NOTIFIER_SYMBOL
		                 ": it has to define const struct cci_notifier_kind " CCI_NOTIFIER_SYMBOL,
		                 path);
	if (judge_kind(path, kind, error) != 0)
		return -1;
	memcpy(&plugin->kind, kind, kind->size < sizeof(*kind) ? kind->size : sizeof(*kind));
	return 0;
}

static void free_plugin(struct plugin *plugin)
{
	if (plugin->object != NULL)
		(void)dlclose(plugin->object);
	free(plugin);
}

/* NULL with `error`. */
static struct plugin *load(const char *path, struct error *error)
{
	struct plugin *plugin;
	char real[PATH_MAX];

	if (judge_path(path, real, error) != 0)
		return NULL;
	plugin = calloc(1, sizeof(*plugin));
	if (plugin == NULL) {
		error_set(error, "not enough memory");
		return NULL;
	}
	plugin->object = dlopen(real, RTLD_NOW | RTLD_LOCAL);
	if (plugin->object == NULL)
		error_set(error, "%s cannot be loaded: %s: build it as a shared object for this machine", path, dlerror());
	else if (look_up(plugin, path, error) == 0)
		return plugin;
	free_plugin(plugin);
	return NULL;
}

/* --- in its place --- */

static void say_loaded(const struct plugin *plugin, const struct cci_notifier_options *options)
{
	struct logline line;

	log_begin(&line, MESSAGE_PLUGIN_LOADED, NULL);
	log_text(&line, "notifier", options->name);
	log_text(&line, "file", options->path);
	log_text(&line, "kind", plugin->kind.kind);
	log_end(&line);
}

/* Threads that it starts are to leave signals to the main thread. */
static int open_instance(struct plugin *plugin, const struct cci_notifier_options *options, char *words, size_t size)
{
	sigset_t all, before;
	int result;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	result = plugin->kind.open(options, &plugin->state, words, size);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}

static int open_plugin(const struct cci_notifier_options *options, void **state, char *words, size_t size)
{
	struct error error;
	struct plugin *plugin = load(options->path, &error);

	if (plugin == NULL) {
		(void)snprintf(words, size, "%s", error.text);
		return -1;
	}
	if (open_instance(plugin, options, words, size) != 0) {
		words[size - 1] = '\0';
		if (words[0] == '\0')
			(void)snprintf(words, size, "%s does not open, and does not say why", options->path);
		free_plugin(plugin);
		return -1;
	}
	say_loaded(plugin, options);
	*state = plugin;
	return 0;
}

static int notify_plugin(void *state, const struct cci_event *event)
{
	struct plugin *plugin = state;

	return plugin->kind.notify(plugin->state, event);
}

static void close_plugin(void *state)
{
	struct plugin *plugin = state;

	plugin->kind.close(plugin->state);
	free_plugin(plugin);
}

static void reopen_plugin(void *state)
{
	struct plugin *plugin = state;

	if (plugin->kind.reopen != NULL)
		plugin->kind.reopen(plugin->state);
}

static void status_plugin(void *state, struct cci_notifier_status *status)
{
	struct plugin *plugin = state;

	if (plugin->kind.status != NULL)
		plugin->kind.status(plugin->state, status);
	status->error[sizeof(status->error) - 1] = '\0';
}

static uint32_t wants_of_plugin(void *state)
{
	struct plugin *plugin = state;

	return plugin->kind.instance_wants != NULL ? plugin->kind.instance_wants(plugin->state) : plugin->kind.wants;
}

const struct cci_notifier_kind notifier_plugin_kind = {
    .size = sizeof(struct cci_notifier_kind),
    .version = CCI_NOTIFIER_VERSION,
    .kind = "plugin",
    .open = open_plugin,
    .notify = notify_plugin,
    .close = close_plugin,
    .reopen = reopen_plugin,
    .status = status_plugin,
    .instance_wants = wants_of_plugin,
};

int notifier_plugin_check(const struct config *config, config_report *report, void *context)
{
	int result = 0;

	for (size_t i = 0; i < config->notifier_count; i++) {
		const struct config_notifier *section = &config->notifiers[i];
		struct plugin *plugin;
		struct error error;

		/* Without a path there is another error already. */
		if (section->kind == NULL || strcmp(section->kind, "plugin") != 0 || section->path == NULL)
			continue;
		plugin = load(section->path, &error);
		if (plugin != NULL) {
			free_plugin(plugin);
			continue;
		}
		error_prefix(&error, "[notifier %s] path", section->place.name);
		report(context, true, config->file, config_line_of(config, "notifier", section->place.name, "path"),
		       error.text);
		result = -1;
	}
	return result;
}
