/*
 * Whom a client wants (protocol, section 7): from the target it names, the listener and the rule, to the service or
 * peer of the configuration. Pure: connects nothing.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include <stdbool.h>

#include "config.h"
#include "params.h"
#include "reason.h"

enum destination { TO_NOBODY, TO_PING, TO_SERVICE, TO_PEER };

struct route {
	enum destination destination;
	const struct config_service *service; /* TO_SERVICE; borrowed from the configuration, as all pointers here */
	const struct config_peer *peer;       /* TO_PEER */
	const char *target;                   /* TO_PEER: what the peer is asked for; borrowed, perhaps from `wanted` */
};

struct route_question {
	const struct config *config;
	const struct config_listener *listener;
	const char *service; /* the rule's, in place of the listener's; NULL: none */
	const char *wanted;  /* the target that the client names; "": none */
	const struct params *offer; /* for its hops; NULL: a client without an exchange */
};

/* REASON_NONE and *route; or REASON_TARGET_UNKNOWN, or REASON_HOPS_EXHAUSTED (with *route filled in). */
enum reason route_choose(const struct route_question *question, struct route *route);

/* "ping", "service", "peer"; NULL for nobody. */
const char *destination_word(enum destination destination);

#endif
