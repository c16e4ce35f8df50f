/* Unix sockets to listen on: made without a moment of wrong permissions, replaced when nobody is there any more. */
#include "listener_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "account.h"

static const char *path_of(const struct listener *listener)
{
	return listener->asked.socket.local.sun_path;
}

/* What a try to connect says about a socket that is there. 0: nobody listens. */
static int try_connect(const struct listener *listener, struct error *error)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int result = fd >= 0 ? connect(fd, &listener->asked.socket.any, listener->asked.socket_length) : -1;
	int number = errno;

	if (fd >= 0)
		close(fd);
	if (result == 0 || number == EAGAIN || number == EINPROGRESS || number == EPROTOTYPE)
		return error_set(error, "unix:%s is in use by another program: stop it, or listen elsewhere", path_of(listener));
	if (number == ECONNREFUSED || number == ENOENT)
		return 0;
	return error_set(error, "unix:%s is there, and whether a program uses it cannot be found out: %s", path_of(listener),
	                 strerrordesc_np(number));
}

/* Remove what a dead process left. */
static int make_room(const struct listener *listener, struct error *error)
{
	struct stat found;

	if (lstat(path_of(listener), &found) != 0)
		return 0; /* bind knows better words for whatever else is wrong */
	if (!S_ISSOCK(found.st_mode))
		return error_set(error, "%s is there and is no socket: it is left alone; choose another path", path_of(listener));
	if (try_connect(listener, error) != 0)
		return -1;
	if (unlink(path_of(listener)) == 0 || errno == ENOENT)
		return 0;
	return error_set(error, "unix:%s was left by a program that ended, and cannot be removed: %s", path_of(listener),
	                 strerrordesc_np(errno));
}

static int fault(const struct listener *listener, const char *what, struct error *error)
{
	int number = errno;
	const char *path = path_of(listener);

	switch (number) {
	case EADDRINUSE:
		return error_set(error, "unix:%s is in use by another program: stop it, or listen elsewhere", path);
	case ENOENT:
	case ENOTDIR:
		return error_set(error, "unix:%s: its directory is missing: create it (RuntimeDirectory= of a unit does)", path);
	case EACCES:
	case EROFS:
		return error_set(error, "unix:%s cannot be created: %s: the user of this process must be able to write there", path,
		                 strerrordesc_np(number));
	case EMFILE:
	case ENFILE:
		return error_set(error, "unix:%s: %s: raise the limit of open files (LimitNOFILE=, ulimit -n)", path, what);
	default:
		return error_set(error, "unix:%s: %s: %s", path, what, strerrordesc_np(number));
	}
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

static int give_away(const struct listener *listener, uid_t uid, gid_t gid, struct error *error)
{
	if (lchown(path_of(listener), uid, gid) == 0)
		return 0;
	if (errno == EPERM)
		return error_set(error,
		                 "unix:%s cannot be given to unix_owner or unix_group: only root can give to anybody, others to "
		                 "groups of theirs",
		                 path_of(listener));
	return fault(listener, "chown", error);
}

static int set_mode(const struct listener *listener, mode_t mode, struct error *error)
{
	int result = fchmodat(AT_FDCWD, path_of(listener), mode, AT_SYMLINK_NOFOLLOW);

	/* That needs /proc, which a chroot may not have. */
	if (result != 0 && errno == EOPNOTSUPP)
		result = chmod(path_of(listener), mode);
	return result == 0 ? 0 : fault(listener, "chmod", error);
}

/* The mode comes first: of what is somebody else's it could not be set any more. What is right already is left alone, as
 * a process that gave its root away may not even say the same again. */
int listener_unix_permit(const struct listener *listener, const struct config_listener *section, struct error *error)
{
	mode_t mode = (mode_t)section->unix_mode;
	struct stat found;
	uid_t uid;
	gid_t gid;

	if (find_owner(section, &uid, &gid, error) != 0)
		return -1;
	if (lstat(path_of(listener), &found) != 0)
		return fault(listener, "stat", error);
	if ((found.st_mode & ALLPERMS) != mode && set_mode(listener, mode, error) != 0)
		return -1;
	if ((uid == (uid_t)-1 || uid == found.st_uid) && (gid == (gid_t)-1 || gid == found.st_gid))
		return 0;
	return give_away(listener, uid, gid, error);
}

void listener_unix_identify(struct listener *listener)
{
	struct stat found;

	listener->inode = 0;
	if (lstat(path_of(listener), &found) != 0 || !S_ISSOCK(found.st_mode))
		return;
	listener->device = found.st_dev;
	listener->inode = found.st_ino;
}

int listener_unix_open(struct listener *listener, const struct config_listener *section, struct error *error)
{
	int fd;

	if (make_room(listener, error) != 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fault(listener, "socket", error);
	listener->fds[0] = fd;
	listener->bound = listener->asked.socket;
	/* The mode of the socket itself becomes that of the file: nobody may, until it is known who. */
	if (fchmod(fd, 0) != 0 || bind(fd, &listener->bound.any, listener->asked.socket_length) != 0)
		return fault(listener, "bind", error);
	listener_unix_identify(listener);
	if (listener_unix_permit(listener, section, error) == 0) {
		if (listen(fd, LISTENER_BACKLOG) == 0)
			return 0;
		fault(listener, "listen", error);
	}
	listener_unix_remove(listener);
	listener->inode = 0;
	return -1;
}

void listener_unix_remove(const struct listener *listener)
{
	struct stat found;

	if (listener->inode != 0 && lstat(path_of(listener), &found) == 0 && found.st_dev == listener->device &&
	    found.st_ino == listener->inode)
		(void)unlink(path_of(listener));
}

/* --- before it is opened --- */

/* 0; 1 with words for a warning, -1 with words for an error. */
static int judge_path(const char *path, struct error *error)
{
	char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct stat found;
	char *slash;

	if (lstat(path, &found) == 0)
		return S_ISSOCK(found.st_mode)
		           ? 0
		           : error_set(error, "%s is there and is no socket: it is left alone; choose another path", path);
	(void)snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash != NULL)
		slash[slash == folder] = '\0';
	if (stat(folder, &found) == 0 && S_ISDIR(found.st_mode))
		return 0;
	error_set(error, "unix:%s: its directory is missing: create it (RuntimeDirectory= of a unit does)", path);
	return 1;
}

int listener_unix_check(const struct config *config, config_report *report, void *context)
{
	int result = 0;

	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		unsigned line = config_line_of(config, "listener", listener->place.name, "address");

		for (size_t j = 0; j < listener->address.count; j++) {
			const struct address *address = &listener->address.at[j];
			struct error error;
			int judged = address->kind == ADDRESS_UNIX ? judge_path(address->socket.local.sun_path, &error) : 0;

			if (judged == 0)
				continue;
			error_prefix(&error, "[listener %s] address", listener->place.name);
			report(context, judged < 0, config->file, line, error.text);
			result = judged < 0 ? -1 : result;
		}
	}
	return result;
}
