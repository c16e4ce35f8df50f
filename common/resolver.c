/* Host names to addresses: what one connection waits for, on the loop of its worker. */
#include "resolver.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "lookup.h"

struct resolver {
	uv_async_t wake; /* by the look-up's thread; or at once, where there is nothing to look up */
	struct lookup_waiter waiter;
	resolver_done *done;
	void *owner;
	uint16_t port;
	bool numeric;
	union socket_address address; /* of a numeric host */
	struct error error;           /* why there is no look-up */
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

/* A host that is an address. */
static bool take_numeric(struct resolver *resolver, const char *host)
{
	union socket_address *address = &resolver->address;

	if (inet_pton(AF_INET, host, &address->v4.sin_addr) == 1) {
		address->v4.sin_family = AF_INET;
		address->v4.sin_port = htons(resolver->port);
		resolver->numeric = true;
	} else if (inet_pton(AF_INET6, host, &address->v6.sin6_addr) == 1) {
		address->v6.sin6_family = AF_INET6;
		address->v6.sin6_port = htons(resolver->port);
		resolver->numeric = true;
	}
	return resolver->numeric;
}

/* Number of addresses in `list`; 0 with `error`. */
static size_t take_answer(const struct resolver *resolver, union socket_address *list, const char **error)
{
	const struct addrinfo *found;

	if (resolver->numeric) {
		list[0] = resolver->address;
		return 1;
	}
	*error = resolver->error.text;
	if (resolver->waiter.lookup == NULL)
		return 0;
	found = lookup_answer(&resolver->waiter, error);
	return interleave(found, resolver->port, list);
}

static void on_wake(uv_async_t *wake)
{
	struct resolver *resolver = wake->data;
	union socket_address list[RESOLVER_ADDRESSES];
	const char *error = NULL;
	size_t count = take_answer(resolver, list, &error);

	resolver_cancel(resolver);
	resolver->done(resolver->owner, count > 0 ? NULL : error, list, count);
}

/* On the thread of the look-up, which lets nobody leave meanwhile. */
static void answered(struct lookup_waiter *waiter)
{
	(void)uv_async_send(&OWNER_OF(waiter, struct resolver, waiter)->wake);
}

static void wake_closed(uv_handle_t *wake)
{
	free(wake->data);
}

struct resolver *resolver_start(struct iocontext *io, const char *host, uint16_t port, resolver_done *done, void *owner)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (resolver == NULL || uv_async_init(iocontext_loop(io), &resolver->wake, on_wake) != 0) {
		free(resolver);
		return NULL;
	}
	resolver->wake.data = resolver;
	resolver->waiter.answered = answered;
	resolver->done = done;
	resolver->owner = owner;
	resolver->port = port;
	if (take_numeric(resolver, host) || lookup_join(&resolver->waiter, host, &resolver->error) != 0)
		(void)uv_async_send(&resolver->wake);
	return resolver;
}

void resolver_cancel(struct resolver *resolver)
{
	if (resolver == NULL)
		return;
	lookup_leave(&resolver->waiter);
	uv_close((uv_handle_t *)&resolver->wake, wake_closed);
}
