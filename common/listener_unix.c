/* Unix sockets of listeners: their owners, and what can be said before they are opened. */
#include "listener_unix.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "account.h"
#include "binding.h"

static const char *path_of(const struct listener *listener)
{
	return listener->asked.socket.local.sun_path;
}

/* Whom the section names; -1: as it is. */
static int find_owner(const struct config_listener *section, uid_t *uid, gid_t *gid, struct error *error)
{
	*uid = (uid_t)-1;
	*gid = (gid_t)-1;
	if (section->unix_owner != NULL && account_user(section->unix_owner, uid, error) != 0)
		return error_prefix(error, "unix_owner");
	if (section->unix_group != NULL && account_group(section->unix_group, gid, error) != 0)
		return error_prefix(error, "unix_group");
	return 0;
}

/* The mode comes first: of what is somebody else's it could not be set any more. What is right already is left alone,
 * as a process that gave its root away may not even say the same again. */
int listener_unix_permit(const struct listener *listener, const struct config_listener *section, struct error *error)
{
	mode_t mode = (mode_t)section->unix_mode;
	struct stat found;
	uid_t uid;
	gid_t gid;

	if (find_owner(section, &uid, &gid, error) != 0)
		return -1;
	/* What is gone, or another file, has no right mode. */
	if (lstat(path_of(listener), &found) != 0)
		found = (struct stat){.st_mode = 0};
	if (((found.st_mode & ALLPERMS) != mode || !S_ISSOCK(found.st_mode)) &&
	    unixsocket_set_mode(path_of(listener), &listener->file, mode, error) != 0)
		return -1;
	if ((uid == (uid_t)-1 || uid == found.st_uid) && (gid == (gid_t)-1 || gid == found.st_gid))
		return 0;
	return unixsocket_set_owner(path_of(listener), &listener->file, uid, gid, error);
}

void listener_unix_identify(struct listener *listener)
{
	unixsocket_identify(path_of(listener), &listener->file);
}

bool listener_unix_is_there(const struct listener *listener)
{
	return unixsocket_is_there(path_of(listener), &listener->file);
}

int listener_unix_open(struct listener *listener, const struct config_listener *section, struct error *error)
{
	int fd;

	if (unixsocket_make_room(path_of(listener), error) != 0)
		return -1;
	fd = unixsocket_bind(path_of(listener), error);
	if (fd < 0)
		return -1;
	listener->fds[0] = fd;
	listener->bound = listener->asked.socket;
	listener_unix_identify(listener);
	if (listener_unix_permit(listener, section, error) == 0) {
		if (binding_listen(fd, LISTENER_BACKLOG) == 0)
			return 0;
		(void)unixsocket_fault(path_of(listener), "listen", error);
	}
	listener_unix_remove(listener);
	listener->file.inode = 0;
	return -1;
}

void listener_unix_remove(const struct listener *listener)
{
	unixsocket_remove(path_of(listener), &listener->file);
}

/* --- before it is opened --- */

int listener_unix_check(const struct config *config, config_report *report, void *context)
{
	int result = 0;

	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		unsigned line = config_line_of(config, "listener", listener->place.name, "address");

		for (size_t j = 0; j < listener->address.count; j++) {
			const struct address *address = &listener->address.at[j];
			struct error error;
			int judged = address->kind == ADDRESS_UNIX ? unixsocket_judge(address->socket.local.sun_path, &error) : 0;

			if (judged == 0)
				continue;
			error_prefix(&error, "[listener %s] address", listener->place.name);
			report(context, judged < 0, config->file, line, error.text);
			result = judged < 0 ? -1 : result;
		}
	}
	return result;
}
