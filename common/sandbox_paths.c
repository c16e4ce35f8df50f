/* Which paths stay, and whether another configuration gets along with them. */
#include "sandbox_paths.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "landlock.h"
#include "sandbox_folders.h"

/* A path that the configuration names, and where. */
struct need {
	const char *path; /* borrowed */
	unsigned rights;
	const char *section, *name, *key; /* as error_at takes them; section NULL: the configuration file itself */
};

/* Called for each; what is not 0 ends the walk. */
typedef int visit(void *context, const struct need *need);

/* What was permitted, for configurations to come. By its inode, as the kernel has it, not by its name. */
struct kept {
	dev_t device;
	ino_t inode;
	unsigned rights;
};

static struct kept *kept;
static size_t kept_count;

struct entry {
	int ruleset, abi;
	const char *root; /* of chroot; NULL: none */
	struct error *error;
};

/* --- what a configuration names --- */

static int visit_path(visit *call, void *context, const char *path, unsigned rights, struct need at)
{
	if (path == NULL)
		return 0;
	at.path = path;
	at.rights = rights;
	return call(context, &at);
}

#define PATH_OF(where, word, member) \
	visit_path(call, context, (member), LANDLOCK_READ, (struct need){.section = (where), .key = (word)})
#define NAMED_PATH_OF(where, owner, word, member) \
	visit_path(call, context, (member), LANDLOCK_READ, \
	           (struct need){.section = (where), .name = (owner)->place.name, .key = (word)})

/* Where another process holds the keys, this one need not read them. */
static int visit_keys(const struct config *config, visit *call, void *context)
{
	const struct config_tls *tls = &config->tls;
	int result;

	if (config->keys.process == CHOICE_YES)
		return 0;
	result = PATH_OF("tls", "private_key", tls->private_key) || PATH_OF("tls", "passphrase_file", tls->passphrase_file);
	for (size_t i = 0; i < config->certificate_count && result == 0; i++) {
		const struct config_certificate *one = &config->certificates[i];

		result = NAMED_PATH_OF("certificate", one, "private_key", one->private_key) ||
		         NAMED_PATH_OF("certificate", one, "passphrase_file", one->passphrase_file);
	}
	return result;
}

static int visit_tls(const struct config *config, visit *call, void *context)
{
	const struct config_tls *tls = &config->tls;
	int result = PATH_OF("tls", "certificate", tls->certificate) ||
	             PATH_OF("tls", "ocsp_response", tls->ocsp_response) || PATH_OF("tls", "ca", tls->ca) ||
	             PATH_OF("tls", "crl", tls->crl) || PATH_OF("tls", "ticket_keys", tls->ticket_keys);

	for (size_t i = 0; i < config->certificate_count && result == 0; i++) {
		const struct config_certificate *one = &config->certificates[i];

		result = NAMED_PATH_OF("certificate", one, "certificate", one->certificate) ||
		         NAMED_PATH_OF("certificate", one, "ocsp_response", one->ocsp_response);
	}
	for (size_t i = 0; i < config->peer_count && result == 0; i++) {
		const struct config_peer *peer = &config->peers[i];

		result = NAMED_PATH_OF("peer", peer, "ca", peer->ca) || NAMED_PATH_OF("peer", peer, "crl", peer->crl);
	}
	return result;
}

static int visit_sockets(const struct address_list *list, struct need at, visit *call, void *context)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->at[i].kind == ADDRESS_UNIX &&
		    visit_path(call, context, list->at[i].socket.local.sun_path, LANDLOCK_SOCKET, at) != 0)
			return -1;
	return 0;
}

static int visit_listening(const struct config *config, visit *call, void *context)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		struct need at = {.section = "listener", .name = listener->place.name, .key = "address"};

		if (visit_sockets(&listener->address, at, call, context) != 0)
			return -1;
	}
	if (visit_path(call, context, config->control.socket, LANDLOCK_SOCKET,
	               (struct need){.section = "control", .key = "socket"}) != 0)
		return -1;
	return visit_sockets(&config->control.http, (struct need){.section = "control", .key = "http"}, call, context);
}

static unsigned rights_of(const struct config_notifier *notifier)
{
	if (strcmp(notifier->kind, "socket") == 0)
		return LANDLOCK_SOCKET;
	return strcmp(notifier->kind, "plugin") == 0 ? LANDLOCK_READ : LANDLOCK_WRITE;
}

static int visit_written(const struct config *config, visit *call, void *context)
{
	for (size_t i = 0; i < config->notifier_count; i++) {
		const struct config_notifier *notifier = &config->notifiers[i];
		struct need at = {.section = "notifier", .name = notifier->place.name, .key = "path"};

		if (visit_path(call, context, notifier->path, rights_of(notifier), at) != 0)
			return -1;
	}
	if (visit_path(call, context, config->gateway.ratchet_file, LANDLOCK_WRITE,
	               (struct need){.section = "gateway", .key = "ratchet_file"}) != 0)
		return -1;
	return visit_path(call, context, config->tls.insecure_key_log, LANDLOCK_WRITE,
	                  (struct need){.section = "tls", .key = "insecure_key_log"});
}

static int visit_all(const struct config *config, visit *call, void *context)
{
	int result = visit_path(call, context, config->file, LANDLOCK_READ, (struct need){.key = NULL});

	if (result == 0)
		result = visit_tls(config, call, context);
	if (result == 0)
		result = visit_keys(config, call, context);
	if (result == 0)
		result = visit_listening(config, call, context);
	return result == 0 ? visit_written(config, call, context) : result;
}

/* --- what is kept --- */

/* Where `path` leads when its last component is followed (real), or not. False: nowhere. */
static bool resolve(const char *path, bool real, char *buffer)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];
	size_t used;

	if (real)
		return realpath(path, buffer) != NULL;
	(void)snprintf(folder, sizeof(folder), "%.*s", slash != NULL ? (int)(slash - path) : 1, slash != NULL ? path : ".");
	if (realpath(folder[0] != '\0' ? folder : "/", buffer) == NULL || strlen(buffer) + strlen(path) + 2 > PATH_MAX)
		return false;
	used = strlen(buffer);
	if (used > 1)
		buffer[used++] = '/';
	else if (path[0] == '/' && path[1] == '\0')
		return true;
	(void)snprintf(buffer + used, PATH_MAX - used, "%s", slash != NULL ? slash + 1 : path);
	return true;
}

/* Cut the last component. False: nothing is left but the root. */
static bool go_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash == NULL || slash == path)
		return false;
	*slash = '\0';
	return true;
}

static int remember(const char *path, unsigned rights, struct error *error)
{
	struct stat status;
	struct kept *longer;

	if (stat(path, &status) != 0)
		return 0;
	rights |= (rights & LANDLOCK_WRITE) != 0 ? LANDLOCK_READ : 0u;
	for (size_t i = 0; i < kept_count; i++)
		if (kept[i].device == status.st_dev && kept[i].inode == status.st_ino) {
			kept[i].rights |= rights;
			return 0;
		}
	longer = reallocarray(kept, kept_count + 1, sizeof(*kept));
	if (longer == NULL)
		return error_set(error, "not enough memory");
	kept = longer;
	kept[kept_count++] = (struct kept){status.st_dev, status.st_ino, rights};
	return 0;
}

static int permit(const struct entry *entry, const char *path, unsigned rights)
{
	if (landlock_permit(entry->ruleset, entry->abi, path, rights) == 0)
		return remember(path, rights, entry->error);
	/* What is missing is somebody else's error, or none; pipes and sockets (/dev/stdin) are in no file system. */
	if (errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == EBADFD || errno == ENXIO)
		return 0;
	return error_set(entry->error, "landlock: %s cannot be kept: %s", path, strerrordesc_np(errno));
}

/* Its folder, in which it may be replaced; but never the whole file system for one that lies at its top, nor all
 * devices. */
static int permit_folder_of(const struct entry *entry, const char *path, unsigned rights)
{
	char folder[PATH_MAX];

	(void)snprintf(folder, sizeof(folder), "%s", path);
	if (!go_up(folder) || strcmp(folder, "/dev") == 0)
		return permit(entry, path, rights);
	return permit(entry, folder, rights);
}

static int permit_need(void *context, const struct need *need)
{
	const struct entry *entry = context;
	char path[PATH_MAX], below[PATH_MAX];

	for (int real = 0; real < 2; real++) {
		if (resolve(need->path, real == 1, path) && permit_folder_of(entry, path, need->rights) != 0)
			return -1;
		if (entry->root == NULL)
			continue;
		(void)snprintf(below, sizeof(below), "%s%s%s", entry->root, need->path[0] == '/' ? "" : "/", need->path);
		if (resolve(below, real == 1, path) && permit_folder_of(entry, path, need->rights) != 0)
			return -1;
	}
	return 0;
}

static int permit_also_below(const struct entry *entry, const char *path, unsigned rights)
{
	char below[PATH_MAX];

	if (permit(entry, path, rights) != 0)
		return -1;
	if (entry->root == NULL)
		return 0;
	(void)snprintf(below, sizeof(below), "%s%s", entry->root, path);
	return permit(entry, below, rights);
}

static int permit_variable(const struct entry *entry, const char *name, unsigned rights)
{
	const char *at = getenv(name);
	char path[PATH_MAX];

	while (at != NULL && *at != '\0') {
		size_t length = strcspn(at, ":");

		(void)snprintf(path, sizeof(path), "%.*s", (int)length, at);
		if (path[0] == '/' && path[1] != '\0' && permit(entry, path, rights) != 0)
			return -1;
		at += length + (at[length] == ':');
	}
	return 0;
}

/* Reports of the sanitizers name lines of the program; and coverage is written when it ends. */
static int permit_for_builds(const struct entry *entry)
{
	int result = 0;
#if IS_SANITIZED
	char path[PATH_MAX];

	if (realpath("/proc/self/exe", path) != NULL)
		result = permit(entry, path, LANDLOCK_READ);
	if (result == 0)
		result = permit(entry, "/proc", LANDLOCK_READ);
#endif
#ifdef CCI_COVERAGE
	if (result == 0 && getenv("GCOV_PREFIX") != NULL)
		result = permit(entry, getenv("GCOV_PREFIX"), LANDLOCK_READ | LANDLOCK_WRITE | LANDLOCK_FOLDER);
#endif
	(void)entry;
	return result;
}

static int permit_system(const struct entry *entry)
{
#define ROW(name, rights, why) {name, rights},
	static const struct {
		const char *name;
		unsigned rights;
	} folders[] = {SANDBOX_FOLDER_TABLE(ROW)}, variables[] = {SANDBOX_ENVIRONMENT_TABLE(ROW)};

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (permit_also_below(entry, folders[i].name, folders[i].rights) != 0)
			return -1;
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		if (permit_variable(entry, variables[i].name, variables[i].rights) != 0)
			return -1;
	return permit_for_builds(entry);
}

/* A service manager whose socket is abstract is still to be told how it goes. */
static bool may_scope_sockets(void)
{
	const char *manager = getenv("NOTIFY_SOCKET");

	return manager == NULL || manager[0] != '@';
}

int sandbox_paths_enter(const struct config *config, int abi, struct error *error)
{
	struct entry entry = {.ruleset = landlock_make(abi, may_scope_sockets(), true),
	                      .abi = abi,
	                      .root = config->gateway.chroot,
	                      .error = error};
	int result;

	if (entry.ruleset < 0)
		return error_set(error, "landlock: no ruleset: %s", strerrordesc_np(errno));
	result = permit_system(&entry) == 0 ? visit_all(config, permit_need, &entry) : -1;
	if (result == 0 && landlock_enter(entry.ruleset) != 0)
		result = error_set(error, "landlock: %s", strerrordesc_np(errno));
	close(entry.ruleset);
	return result == 0 ? 0 : -1;
}

/* --- another configuration --- */

static bool is_kept_itself(const char *path, unsigned rights)
{
	struct stat status;

	if (stat(path, &status) != 0)
		return false;
	for (size_t i = 0; i < kept_count; i++)
		if (kept[i].device == status.st_dev && kept[i].inode == status.st_ino && (kept[i].rights & rights) == rights)
			return true;
	return false;
}

static bool is_kept(char *path, unsigned rights)
{
	do {
		if (is_kept_itself(path, rights))
			return true;
	} while (go_up(path));
	/* Of the file system it never is; of what chroot has made the root it may be. */
	return is_kept_itself("/", rights);
}

/* --- what decides over the next process --- */

/* `path` as it is real, in a buffer; NULL where no file can be put in its place. */
static const char *open_path(const char *path)
{
	static char real[PATH_MAX];
	char folders[PATH_MAX];

	for (int follow = 0; follow < 2; follow++) {
		if (!resolve(path, follow == 1, real))
			continue;
		(void)snprintf(folders, sizeof(folders), "%s", real);
		if (is_kept(folders, LANDLOCK_WRITE))
			return real;
	}
	return NULL;
}

const char *sandbox_paths_open(const struct config *config)
{
	const char *found = open_path(config->file);

	if (found == NULL)
		found = open_path("/proc/self/exe");
	for (size_t i = 0; i < config->notifier_count && found == NULL; i++)
		if (strcmp(config->notifiers[i].kind, "plugin") == 0)
			found = open_path(config->notifiers[i].path);
	return found;
}

static int check_need(void *context, const struct need *need)
{
	char path[PATH_MAX];

	for (int real = 0; real < 2; real++) {
		/* A folder that is not there is found when it is used, with words for that. */
		if (!resolve(need->path, real == 1, path) || is_kept(path, need->rights))
			continue;
		error_set(context,
		          "%s%s%s is outside the folders that this process has kept for itself since its start: a restart, or "
		          "SIGUSR2, lets another have it too",
		          need->key != NULL ? need->key : "", need->key != NULL ? " = " : "", need->path);
		return need->key != NULL ? error_at(context, need->section, need->name, need->key) : -1;
	}
	return 0;
}

int sandbox_paths_check(const struct config *config, struct error *error)
{
	return kept_count == 0 ? 0 : visit_all(config, check_need, error);
}
