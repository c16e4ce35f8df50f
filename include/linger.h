/*
 * Closes a channel so that what was sent last arrives: reads and drops for a moment (protocol, section 2), or waits
 * until the kernel has sent everything and then resets (an end that nobody asked for). Own timer. One thread only.
 */
#ifndef LINGER_H
#define LINGER_H

#include "channel.h"
#include "compiler.h"

enum linger_way {
	LINGER_DROP,  /* our end has been sent: read and drop up to 64 KiB or a second, then close */
	LINGER_RESET, /* wait up to a second for the send queue, then close with a reset */
};

struct lingering;

/* The channel is closed; the linger is gone. */
typedef void linger_done(void *owner);

/* Own `channel`. `done` exactly once, never before the return, never after linger_stop. NULL without memory: the
 * channel has been closed at once. */
struct lingering *linger_start(struct channel *channel, enum linger_way way, linger_done *done, void *owner) MUST_CHECK;

/* Close the channel now. NULL does nothing. */
void linger_stop(struct lingering *linger);

#endif
