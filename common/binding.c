/* Who binds. */
#include "binding.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static int own(const char *path, int fd, uid_t uid, gid_t gid)
{
	(void)path;
	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH);
}

static const struct binding ourselves = {.bind = bind, .listen = listen, .own = own};
static _Atomic(const struct binding *) who = &ourselves;

void binding_use(const struct binding *binding)
{
	atomic_store(&who, binding != NULL ? binding : &ourselves);
}

int binding_bind(int fd, const struct sockaddr *address, socklen_t size)
{
	return atomic_load(&who)->bind(fd, address, size);
}

int binding_listen(int fd, int backlog)
{
	return atomic_load(&who)->listen(fd, backlog);
}

int binding_own(const char *path, int fd, uid_t uid, gid_t gid)
{
	return atomic_load(&who)->own(path, fd, uid, gid);
}
