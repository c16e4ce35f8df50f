/* Opening files that may be anything by now. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reading it waits for nobody, or was asked for. */
static bool is_taken(const char *path, mode_t mode)
{
	return S_ISREG(mode) || S_ISDIR(mode) || strncmp(path, "/dev/", 5) == 0;
}

FILE *file_open(const char *path, const char **why)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	FILE *stream = NULL;
	struct stat status;

	if (fd >= 0 && fstat(fd, &status) == 0 && !is_taken(path, status.st_mode)) {
		*why = "it is a FIFO or a device, not a file";
		close(fd);
		return NULL;
	}
	/* A pipe that is our own standard input is read as slowly as it comes. */
	if (fd >= 0 && fcntl(fd, F_SETFL, O_RDONLY) == 0)
		stream = fdopen(fd, "r");
	if (stream != NULL)
		return stream;
	*why = strerrordesc_np(errno);
	if (fd >= 0)
		close(fd);
	return NULL;
}
