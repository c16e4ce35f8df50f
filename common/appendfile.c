/* Opens files that are appended to. */
#include "appendfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whoever opens a FIFO would wait. */
#define FLAGS (O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW)
#define APPEND_FLAGS (O_RDWR | O_APPEND | FLAGS)

int appendfile_fault(const char *path, int why, struct error *error)
{
	const char *remedy = "";

	if (why == ENOENT)
		remedy = ": make the folder, it is not made for you";
	else if (why == EACCES || why == EPERM || why == EROFS)
		remedy = ": let the user that the gateway runs as read and write it, and make files in its folder";
	else if (why == ELOOP)
		return error_set(error, "%s is a symbolic link: name the file itself", path);
	else if (why == EISDIR || why == EINVAL)
		return error_set(error, "%s is not a regular file", path);
	return error_set(error, "%s: %s%s", path, strerrordesc_np(why), remedy);
}

/* `fd` where it is a regular file; or -1 with errno, and closed. */
static int regular(int fd)
{
	struct stat status;

	if (fd < 0 || (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)))
		return fd;
	(void)close(fd);
	errno = EINVAL;
	return -1;
}

int appendfile_look(const char *path)
{
	return regular(open(path, O_RDONLY | FLAGS));
}

int appendfile_open(const char *path, mode_t mode, struct error *error)
{
	int fd = open(path, APPEND_FLAGS);

	if (fd < 0 && errno == ENOENT) {
		fd = open(path, APPEND_FLAGS | O_CREAT | O_EXCL, mode);
		if (fd >= 0)
			(void)fchmod(fd, mode);
		else if (errno == EEXIST)
			fd = open(path, APPEND_FLAGS);
	}
	fd = regular(fd);
	return fd >= 0 ? fd : appendfile_fault(path, errno, error);
}
