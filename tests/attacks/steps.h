/* The steps of an honest connection to the accepting side, for an attack to go along until it strikes. Each gives NULL,
 * or what was seen in its place. */
#ifndef ATTACKS_STEPS_H
#define ATTACKS_STEPS_H

#include "link.h"

/* What an attacker wants to get through: must never come back from an echo it was not entitled to. */
#define MARKER "marker-of-the-attacker-0123456789"
#define MARKER_SIZE (sizeof(MARKER) - 1)

/* Connect, and have an OFFER with this security accepted. */
const char *step_accepted(struct link *link, const struct scene *scene, int security);

/* Have TLS accepted, without starting it. */
const char *step_due(struct link *link, const struct scene *scene);

/* TLS after the exchange, before CONFIRM. */
const char *step_tls(struct link *link, const struct scene *scene, const struct tls_wish *wish);

/* All of it. */
const char *step_secured(struct link *link, const struct scene *scene, const struct tls_wish *wish);

/* A direct start, all of it. */
const char *step_direct(struct link *link, const struct scene *scene, const struct tls_wish *wish);

/* The most that the scene allows: secured, or in the clear under `only`. */
const char *step_best(struct link *link, const struct scene *scene);

/* MARKER goes there and comes back. */
const char *step_echo(struct link *link);

/* Send `bytes` in one go; the gateway has to answer REFUSE with this reason, and end the stream in order. For links
 * just opened. */
const char *must_refuse(struct link *link, const void *bytes, size_t size, int reason);

/* The same on a connection of its own. */
const char *must_refuse_new(const struct scene *scene, const void *bytes, size_t size, int reason);

/* The gateway must end this connection within `ms` without a byte of MARKER having come back. */
const char *must_end_without_echo(struct link *link, int ms);

#endif
