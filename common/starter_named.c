/* What the configuration file lets the starter do, as the file is when it is asked. */
#include <string.h>
#include <sys/stat.h>

#include "account.h"
#include "starter_parts.h"

static void ignore_finding(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	(void)context, (void)is_error, (void)file, (void)line, (void)text;
}

/* The configuration as the file has it now; NULL where that is not to be had. */
static const struct config *read_named(struct starter_names *names)
{
	const struct config *config = names->config;
	struct stat file;

	if (config == NULL || stat(config->file, &file) != 0)
		return NULL;
	if (names->named != NULL && file.st_ino == names->file.st_ino && file.st_size == names->file.st_size &&
	    file.st_ctim.tv_sec == names->file.st_ctim.tv_sec && file.st_ctim.tv_nsec == names->file.st_ctim.tv_nsec)
		return names->named;
	config_free(names->named);
	names->file = file;
	names->named = config_load(config->file, config->program, ignore_finding, NULL);
	return names->named;
}

static bool is_path(const char *path, const union socket_address *address)
{
	return path != NULL && address->any.sa_family == AF_UNIX && strcmp(address->local.sun_path, path) == 0;
}

static bool is_in(const struct address_list *list, const union socket_address *address)
{
	for (size_t i = 0; i < list->count; i++)
		if (address_means(&list->at[i], address))
			return true;
	return false;
}

bool starter_names_address(struct starter_names *names, const union socket_address *address)
{
	const struct config *config = read_named(names);

	if (config == NULL)
		return false;
	for (size_t i = 0; i < config->listener_count; i++)
		if (is_in(&config->listeners[i].address, address))
			return true;
	for (size_t i = 0; i < config->notifier_count; i++)
		if (strcmp(config->notifiers[i].kind, "socket") == 0 && is_path(config->notifiers[i].path, address))
			return true;
	return is_path(config->control.socket, address) || is_in(&config->control.http, address);
}

/* Whom the section names; -1: as it is. */
static bool is_owner(const struct config_listener *listener, uid_t uid, gid_t gid)
{
	uid_t user = (uid_t)-1;
	gid_t group = (gid_t)-1;
	struct error error;

	if (listener->unix_owner != NULL && account_user(listener->unix_owner, &user, &error) != 0)
		return false;
	if (listener->unix_group != NULL && account_group(listener->unix_group, &group, &error) != 0)
		return false;
	return user == uid && group == gid;
}

bool starter_names_owner(struct starter_names *names, const char *path, uid_t uid, gid_t gid)
{
	const struct config *config = read_named(names);

	for (size_t i = 0; config != NULL && i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		for (size_t j = 0; j < listener->address.count; j++)
			if (listener->address.at[j].kind == ADDRESS_UNIX &&
			    strcmp(listener->address.at[j].socket.local.sun_path, path) == 0 && is_owner(listener, uid, gid))
				return true;
	}
	return false;
}
