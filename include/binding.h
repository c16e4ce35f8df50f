/*
 * bind(2), listen(2) and chown(2) of what was bound, by whoever may: this process, until somebody else is named who
 * does it for a process that cannot any more (starter.h). Any thread.
 */
#ifndef BINDING_H
#define BINDING_H

#include <sys/socket.h>

#include "compiler.h"

struct binding {
	int (*bind)(int fd, const struct sockaddr *address, socklen_t size);
	int (*listen)(int fd, int backlog);
	int (*own)(const char *path, int fd, uid_t uid, gid_t gid);
};

/* From now on these are called (static; NULL: bind and listen themselves). */
void binding_use(const struct binding *binding);

/* As bind(2) and listen(2): 0, or -1 with errno. */
int binding_bind(int fd, const struct sockaddr *address, socklen_t size) MUST_CHECK;
int binding_listen(int fd, int backlog) MUST_CHECK;

/* Give the file that `fd` (O_PATH) holds, the socket of a listener at `path`, to these two (-1: as it is). 0, or -1
 * with errno. */
int binding_own(const char *path, int fd, uid_t uid, gid_t gid) MUST_CHECK;

#endif
