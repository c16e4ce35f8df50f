/* Host names to addresses on libuv's pool of threads. */
#include "resolver.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct resolver {
	uv_getaddrinfo_t request;
	resolver_done *done;
	void *owner;
	uint16_t port;
	bool cancelled;
};

static void take_address(union socket_address *to, const struct addrinfo *from, uint16_t port)
{
	memset(to, 0, sizeof(*to));
	if (from->ai_family == AF_INET) {
		memcpy(&to->v4, from->ai_addr, sizeof(to->v4));
		to->v4.sin_port = htons(port);
	} else {
		memcpy(&to->v6, from->ai_addr, sizeof(to->v6));
		to->v6.sin6_port = htons(port);
	}
}

/* The next of one family, or NULL. */
static const struct addrinfo *next_of(const struct addrinfo *at, int family)
{
	while (at != NULL && at->ai_family != family)
		at = at->ai_next;
	return at;
}

/* The families in turn, beginning with the one that the system put first (RFC 8305, section 4). */
static size_t interleave(const struct addrinfo *result, uint16_t port, union socket_address *list)
{
	const struct addrinfo *ends[2];
	int first = result != NULL ? result->ai_family : AF_INET;
	size_t count = 0;

	ends[0] = next_of(result, first);
	ends[1] = next_of(result, first == AF_INET ? AF_INET6 : AF_INET);
	for (int turn = 0; count < RESOLVER_ADDRESSES && (ends[0] != NULL || ends[1] != NULL); turn = !turn) {
		const struct addrinfo **at = ends[turn] != NULL ? &ends[turn] : &ends[!turn];

		take_address(&list[count++], *at, port);
		*at = next_of((*at)->ai_next, (*at)->ai_family);
	}
	return count;
}

static void found(uv_getaddrinfo_t *request, int status, struct addrinfo *result)
{
	struct resolver *resolver = request->data;
	union socket_address list[RESOLVER_ADDRESSES];
	size_t count = status == 0 ? interleave(result, resolver->port, list) : 0;

	uv_freeaddrinfo(result);
	if (!resolver->cancelled && status != 0)
		resolver->done(resolver->owner, uv_strerror(status), NULL, 0);
	else if (!resolver->cancelled)
		resolver->done(resolver->owner, count > 0 ? NULL : "the name has no address", list, count);
	free(resolver);
}

struct resolver *resolver_start(struct iocontext *io, const char *host, uint16_t port, resolver_done *done, void *owner)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (resolver == NULL)
		return NULL;
	resolver->done = done;
	resolver->owner = owner;
	resolver->port = port;
	resolver->request.data = resolver;
	if (uv_getaddrinfo(iocontext_loop(io), &resolver->request, found, host, NULL, &hints) == 0)
		return resolver;
	free(resolver);
	return NULL;
}

void resolver_cancel(struct resolver *resolver)
{
	if (resolver == NULL)
		return;
	resolver->cancelled = true;
	/* Fails where it runs already: then the answer is dropped when it comes. */
	(void)uv_cancel((uv_req_t *)&resolver->request);
}
