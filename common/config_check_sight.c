/* What contradicts in [notifier NAME] and [control]. */
#include <string.h>

#include "config_check.h"

/* What each kind takes of the settings. A kind that is not here is for whoever opens it to name. */
struct kind {
	const char *kind;
	const char *path; /* what it needs one for; NULL: it takes none */
	bool queue, mode, chain, sync, interval, mark, argument;
};

static const struct kind kinds[] = {
    {.kind = "log"},
    {.kind = "file", .path = "the file to append to", .queue = true, .mode = true, .chain = true, .sync = true},
    {.kind = "socket", .path = "the socket to listen at", .queue = true, .mode = true},
    {.kind = "mark", .mark = true},
    {.kind = "smf", .path = "the file to append to", .queue = true, .mode = true, .sync = true, .interval = true},
    {.kind = "plugin",
     .path = "the shared object to load",
     .queue = true,
     .mode = true,
     .sync = true,
     .interval = true,
     .argument = true},
};

static const struct kind *find(const char *word)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].kind, word) == 0)
			return &kinds[i];
	return NULL;
}

static void says_nothing(struct check *check, const struct config_notifier *section, const char *key, bool is_set)
{
	if (is_set)
		FINDING(check, false, "notifier", &section->place, key, "[notifier %s] %s says nothing for kind = %s",
		        section->place.name, key, section->kind);
}

/* The samples name the defaults, which are meant for the day when the kind is another. */
static void check_notifier(struct check *check, const struct config_notifier *section)
{
	const struct kind *kind = section->kind != NULL ? find(section->kind) : NULL;

	if (kind == NULL)
		return;
	if (kind->path != NULL && section->path == NULL)
		FINDING(check, true, "notifier", &section->place, "kind", "[notifier %s] kind = %s needs a path: %s",
		        section->place.name, section->kind, kind->path);
	says_nothing(check, section, "path", kind->path == NULL && section->path != NULL);
	says_nothing(check, section, "queue", !kind->queue && section->queue_bytes != 4 * 1024 * 1024);
	says_nothing(check, section, "mode", !kind->mode && section->mode != 0600);
	says_nothing(check, section, "chain", !kind->chain && section->chain == CHOICE_YES);
	says_nothing(check, section, "sync", !kind->sync && section->sync == CHOICE_YES);
	says_nothing(check, section, "interval", !kind->interval && section->interval_ms != 15 * 60000);
	says_nothing(check, section, "mark_secured", !kind->mark && section->mark_secured != 1);
	says_nothing(check, section, "mark_clear", !kind->mark && section->mark_clear != 2);
	says_nothing(check, section, "argument", !kind->argument && section->argument != NULL);
	if (kind->mark && section->mark_secured == section->mark_clear)
		FINDING(check, true, "notifier", &section->place, "mark_clear",
		        "[notifier %s] mark_secured and mark_clear are the same: nobody could tell the connections apart",
		        section->place.name);
}

/* A socket has one mark: the last notifier would win. */
static void check_marks(struct check *check, size_t number)
{
	const struct config_notifier *sections = check->config->notifiers, *section = &sections[number];

	for (size_t i = 0; i < number && section->kind != NULL && strcmp(section->kind, "mark") == 0; i++)
		if (sections[i].kind != NULL && strcmp(sections[i].kind, "mark") == 0) {
			FINDING(check, true, "notifier", &section->place, "kind",
			        "[notifier %s] kind = mark is that of [notifier %s] already, and a socket has one mark: remove one",
			        section->place.name, sections[i].place.name);
			return;
		}
}

/* What writes has its path for itself; a plug-in may be loaded twice. */
static void check_paths(struct check *check, size_t number)
{
	const struct config_notifier *sections = check->config->notifiers, *section = &sections[number];

	for (size_t i = 0; i < number && section->path != NULL; i++)
		if (sections[i].path != NULL && strcmp(sections[i].path, section->path) == 0 &&
		    section->kind != NULL && strcmp(section->kind, "plugin") != 0)
			FINDING(check, true, "notifier", &section->place, "path",
			        "[notifier %s] path %s is that of [notifier %s] already", section->place.name, section->path,
			        sections[i].place.name);
}

/* Is there a unix socket at `path` in `list`? */
static bool has_path(const struct address_list *list, const char *path)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->at[i].kind == ADDRESS_UNIX && strcmp(list->at[i].socket.local.sun_path, path) == 0)
			return true;
	return false;
}

/* Whose path the control socket has taken; NULL: nobody's. `name` is that of the section. */
static const char *taken_by(const struct config *config, const char **name)
{
	const char *path = config->control.socket;

	*name = "";
	if (has_path(&config->control.http, path))
		return "[control] http";
	for (size_t i = 0; i < config->listener_count; i++) {
		*name = config->listeners[i].place.name;
		if (has_path(&config->listeners[i].address, path))
			return "the address of a listener:";
	}
	for (size_t i = 0; i < config->notifier_count; i++) {
		*name = config->notifiers[i].place.name;
		if (config->notifiers[i].path != NULL && strcmp(config->notifiers[i].path, path) == 0)
			return "the path of a notifier:";
	}
	return NULL;
}

static void check_control_socket(struct check *check)
{
	const struct config_control *control = &check->config->control;
	const struct config_place place = {NULL, 0};
	const char *name, *taken;

	if (control->socket == NULL)
		return;
	taken = taken_by(check->config, &name);
	if (taken != NULL)
		FINDING(check, true, "control", &place, "socket", "[control] socket %s is %s%s%s already: choose another path",
		        control->socket, taken, name[0] != '\0' ? " " : "", name);
	if ((control->mode & 07) != 0)
		FINDING(
		    check, false, "control", &place, "mode",
		    "[control] mode = %04o lets everybody on this machine close connections and lift names: take 0600, or 0660 "
		    "for a group",
		    (unsigned)control->mode);
}

/* check_control_socket finds the control socket's. */
static void check_http_path(struct check *check, const char *path)
{
	const struct config_place place = {NULL, 0};
	const struct config *config = check->config;

	for (size_t i = 0; i < config->notifier_count; i++)
		if (config->notifiers[i].path != NULL && strcmp(config->notifiers[i].path, path) == 0)
			FINDING(check, true, "control", &place, "http",
			        "[control] http = unix:%s is the path of [notifier %s] already: choose another path", path,
			        config->notifiers[i].place.name);
	for (size_t i = 0; i < config->listener_count; i++)
		if (has_path(&config->listeners[i].address, path))
			FINDING(check, true, "control", &place, "http",
			        "[control] http = unix:%s is the address of [listener %s] already: choose another path", path,
			        config->listeners[i].place.name);
}

static void check_control(struct check *check)
{
	const struct config_control *control = &check->config->control;
	const struct config_place place = {NULL, 0};
	char text[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < control->http.count; i++) {
		const struct address *address = &control->http.at[i];

		if (address->kind == ADDRESS_UNIX)
			check_http_path(check, address->socket.local.sun_path);
		if (address->kind == ADDRESS_UNIX || (address->kind == ADDRESS_IP && socket_is_local(&address->socket)))
			continue;
		FINDING(check, true, "control", &place, "http",
		        "[control] http = %s is neither loopback nor unix:/PATH: there is no password, so let a proxy with one "
		        "stand before it",
		        address_format(address, text));
	}
}

void config_check_sight(struct check *check)
{
	for (size_t i = 0; i < check->config->notifier_count; i++) {
		check_notifier(check, &check->config->notifiers[i]);
		check_paths(check, i);
		check_marks(check, i);
	}
	check_control(check);
	check_control_socket(check);
}
