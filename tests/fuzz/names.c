/* Names of hosts, and addresses when the fuzzer says so. */
#include "names.h"

#include <arpa/inet.h>
#include <string.h>

#include "fuzz.h"
#include "resolver.h"
#include "world_calls.h"

#define LOOKUPS 16

struct resolver {
	resolver_done *done; /* NULL: free */
	void *owner;
	uint16_t port;
};

static struct resolver lookups[LOOKUPS];

struct resolver *__wrap_resolver_start(struct iocontext *io, const char *host, uint16_t port, resolver_done *done,
                                       void *owner);
void __wrap_resolver_cancel(struct resolver *resolver);

struct resolver *__wrap_resolver_start(struct iocontext *io, const char *host, uint16_t port, resolver_done *done,
                                       void *owner)
{
	(void)io;
	FUZZ_CHECK(strcmp(host, "name.test") == 0 && port != 0, "a look-up of %s", host);
	for (size_t i = 0; i < LOOKUPS; i++) {
		if (lookups[i].done != NULL)
			continue;
		lookups[i] = (struct resolver){done, owner, port};
		return &lookups[i];
	}
	return NULL;
}

void __wrap_resolver_cancel(struct resolver *resolver)
{
	if (resolver == NULL)
		return;
	FUZZ_CHECK(resolver->done != NULL, "a look-up is cancelled that is over");
	resolver->done = NULL;
}

void names_answer(uint8_t how)
{
	for (size_t i = 0; i < LOOKUPS; i++) {
		struct resolver found = lookups[i];
		union socket_address list[4] = {{.any = {0}}};
		size_t count = 1u + (how & 3);

		if (found.done == NULL)
			continue;
		lookups[i].done = NULL;
		for (size_t j = 0; j < count; j++)
			list[j].v4 = (struct sockaddr_in){.sin_family = AF_INET,
			                                  .sin_port = htons(found.port),
			                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)j)};
		if (how & 4)
			found.done(found.owner, "the name is not known", NULL, 0);
		else
			found.done(found.owner, NULL, list, count);
	}
}

size_t names_waiting(void)
{
	size_t count = 0;

	for (size_t i = 0; i < LOOKUPS; i++)
		count += lookups[i].done != NULL;
	return count;
}
