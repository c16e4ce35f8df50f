/* Who binds. */
#include "binding.h"

#include <stdatomic.h>
#include <stddef.h>

static const struct binding ourselves = {.bind = bind, .listen = listen};
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
