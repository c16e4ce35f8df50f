/* A gateway that is made to connect: a client of its own on one side of it, us as its peer on the other. */
#ifndef ATTACKS_TRAP_H
#define ATTACKS_TRAP_H

#include "link.h"

/* What must never reach the client. */
#define INJECTED "injected-by-the-attacker"
#define INJECTED_SIZE (sizeof(INJECTED) - 1)

struct trap {
	struct link client, peer; /* peer.offer: what the gateway has sent */
};

enum trap_end { TRAP_STAYS, TRAP_ENDS, TRAP_RESETS };

/* Connect as a client, and take the gateway's connection, with its OFFER read. NULL, or what is wrong. */
const char *trap_set(struct trap *trap, const struct scene *scene);

/* Our side goes, or does not. */
void trap_end(struct trap *trap, enum trap_end end);

/* The client, which is in the clear and has no ACCEPT yet, must be told within `ms` that nothing comes of it; what it sends if it was
 * accepted must not come to us, and nothing of ours to it. NULL, or what was seen. */
const char *trap_held(struct trap *trap, int ms);

/* An honest peer all along, with one echo. */
const char *trap_honest(const struct scene *scene);

void trap_close(struct trap *trap);

#endif
