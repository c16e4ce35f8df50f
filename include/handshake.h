/*
 * Upgrades a channel to TLS and drives the handshake to its verdict. No timer of its own. Knows no exchange.
 */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include "channel.h"
#include "compiler.h"
#include "tlsverdict.h"

struct handshake;

/* `verdict` is borrowed until the return; facts only where the handshake was finished (NULL otherwise). */
typedef void handshake_done(void *owner, const struct verdict *verdict, const struct tls_facts *facts);

/* Own `ssl`, borrow `channel`, be its watcher until done. `done` exactly once, never before the return, then the
 * handshake is gone; never after handshake_cancel. NULL without memory (ssl is freed). */
struct handshake *handshake_start(struct channel *channel, SSL *ssl, const struct tls_expectation *expectation,
                                  handshake_done *done, void *owner) MUST_CHECK;
void handshake_cancel(struct handshake *handshake);

#endif
