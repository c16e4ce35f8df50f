/* Unix sockets to listen at: made without a moment of wrong permissions, replaced when nobody is there any more. */
#include "unixsocket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "binding.h"

static int address_of(const char *path, struct sockaddr_un *address, struct error *error)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address->sun_path))
		return error_set(error, "unix:%s is too long for a unix socket: at most %zu characters", path,
		                 sizeof(address->sun_path) - 1);
	memcpy(address->sun_path, path, strlen(path) + 1);
	return 0;
}

/* A connection to it; or -1 with errno. */
static int try_connect(const char *path, struct error *error)
{
	struct sockaddr_un address;
	int fd, number;

	if (address_of(path, &address, error) != 0) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	number = errno;
	close(fd);
	errno = number;
	return -1;
}

pid_t unixsocket_owner(const char *path)
{
	struct ucred credentials = {.pid = 0};
	socklen_t size = sizeof(credentials);
	struct error ignored;
	int fd = try_connect(path, &ignored);

	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
		credentials.pid = 0;
	close(fd);
	return credentials.pid;
}

/* What a try to connect says about a socket that is there. 0: nobody listens. */
static int judge_use(const char *path, struct error *error)
{
	int fd = try_connect(path, error);
	int number = errno;

	if (fd >= 0)
		close(fd);
	if (fd >= 0 || number == EAGAIN || number == EINPROGRESS || number == EPROTOTYPE)
		return error_set(error, "unix:%s is in use by another program: stop it, or listen elsewhere", path);
	if (number == ECONNREFUSED || number == ENOENT)
		return 0;
	if (number == ENAMETOOLONG)
		return -1;
	return error_set(error, "unix:%s is there, and whether a program uses it cannot be found out: %s", path,
	                 strerrordesc_np(number));
}

int unixsocket_make_room(const char *path, struct error *error)
{
	struct stat found;

	if (lstat(path, &found) != 0)
		return 0; /* bind knows better words for whatever else is wrong */
	if (!S_ISSOCK(found.st_mode))
		return error_set(error, "%s is there and is no socket: it is left alone; choose another path", path);
	if (judge_use(path, error) != 0)
		return -1;
	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	return error_set(error, "unix:%s was left by a program that ended, and cannot be removed: %s", path,
	                 strerrordesc_np(errno));
}

int unixsocket_fault(const char *path, const char *what, struct error *error)
{
	int number = errno;

	switch (number) {
	case EADDRINUSE:
		return error_set(error, "unix:%s is in use by another program: stop it, or listen elsewhere", path);
	case ENOENT:
	case ENOTDIR:
		return error_set(error, "unix:%s: its directory is missing: create it (RuntimeDirectory= of a unit does)",
		                 path);
	case EACCES:
	case EROFS:
		return error_set(error, "unix:%s cannot be created: %s: the user of this process must be able to write there",
		                 path, strerrordesc_np(number));
	case EMFILE:
	case ENFILE:
		return error_set(error, "unix:%s: %s: raise the limit of open files (LimitNOFILE=, ulimit -n)", path, what);
	default:
		return error_set(error, "unix:%s: %s: %s", path, what, strerrordesc_np(number));
	}
}

/* A descriptor of the file itself, whatever its path becomes; or -1 with errno, 0 where another file is there. */
static int hold(const char *path, const struct unixsocket_file *file)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat found;

	if (fd < 0)
		return -1;
	if (fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode) && found.st_dev == file->device &&
	    found.st_ino == file->inode)
		return fd;
	close(fd);
	errno = 0;
	return -1;
}

static int hold_fault(const char *path, const char *what, struct error *error)
{
	if (errno == 0)
		return error_set(
		    error, "%s is not the socket any more that was made there: it is left alone; remove it, and restart", path);
	if (errno == ENOENT)
		return error_set(error, "unix:%s was removed: nobody can connect any more; restart", path);
	return unixsocket_fault(path, what, error);
}

int unixsocket_set_mode(const char *path, const struct unixsocket_file *file, mode_t mode, struct error *error)
{
	char name[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
	int fd = hold(path, file), result, number;

	if (fd < 0)
		return hold_fault(path, "chmod", error);
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	result = chmod(name, mode);
	/* A chroot may be without /proc. */
	if (result != 0 && errno == ENOENT)
		result = chmod(path, mode);
	number = errno;
	close(fd);
	errno = number;
	return result == 0 ? 0 : unixsocket_fault(path, "chmod", error);
}

int unixsocket_set_owner(const char *path, const struct unixsocket_file *file, uid_t uid, gid_t gid,
                         struct error *error)
{
	int fd = hold(path, file), result, number;

	if (fd < 0)
		return hold_fault(path, "chown", error);
	result = binding_own(path, fd, uid, gid);
	number = errno;
	close(fd);
	errno = number;
	if (result == 0)
		return 0;
	if (errno == EPERM)
		return error_set(
		    error,
		    "unix:%s cannot be given to unix_owner or unix_group: only root can give to anybody, others to "
		    "groups of theirs",
		    path);
	return unixsocket_fault(path, "chown", error);
}

bool unixsocket_is_there(const char *path, const struct unixsocket_file *file)
{
	int fd = hold(path, file);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int unixsocket_bind(const char *path, struct error *error)
{
	struct sockaddr_un address;
	int fd;

	if (address_of(path, &address, error) != 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return unixsocket_fault(path, "socket", error);
	/* The mode of the socket itself becomes that of the file: nobody may, until it is known who. */
	if (fchmod(fd, 0) == 0 && binding_bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	(void)unixsocket_fault(path, "bind", error);
	close(fd);
	return -1;
}

int unixsocket_listen(const char *path, mode_t mode, struct unixsocket_file *file, struct error *error)
{
	int fd = unixsocket_bind(path, error);

	file->inode = 0;
	if (fd < 0)
		return -1;
	unixsocket_identify(path, file);
	if (unixsocket_set_mode(path, file, mode, error) == 0) {
		if (binding_listen(fd, SOMAXCONN) == 0)
			return fd;
		(void)unixsocket_fault(path, "listen", error);
	}
	unixsocket_remove(path, file);
	file->inode = 0;
	close(fd);
	return -1;
}

void unixsocket_identify(const char *path, struct unixsocket_file *file)
{
	struct stat found;

	file->inode = 0;
	if (lstat(path, &found) != 0 || !S_ISSOCK(found.st_mode))
		return;
	file->device = found.st_dev;
	file->inode = found.st_ino;
}

void unixsocket_remove(const char *path, const struct unixsocket_file *file)
{
	struct stat found;

	if (file->inode != 0 && lstat(path, &found) == 0 && found.st_dev == file->device && found.st_ino == file->inode)
		(void)unlink(path);
}

int unixsocket_judge(const char *path, struct error *error)
{
	char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct sockaddr_un address;
	struct stat found;
	char *slash;

	if (address_of(path, &address, error) != 0)
		return -1;
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
