/*
 * Receives the PROXY header that a trusted balancer sends before anything else: takes exactly its bytes from a clear
 * channel and not one more, sends nothing. A stage: knows the codec, not who is trusted; has no timer, its owner keeps
 * the deadline. One thread only.
 */
#ifndef PROXYIN_H
#define PROXYIN_H

#include <stdbool.h>

#include "channel.h"
#include "compiler.h"
#include "proxyheader.h"
#include "reason.h"

struct proxyin;

/* REASON_NONE: `header` (borrowed until the return) is whole. Otherwise NULL, with words in `detail` (never NULL):
 * REASON_PROXY_MISSING where nothing came before the end, or something that is no header; REASON_PROXY_HEADER where it
 * is malformed or ends in the middle, REASON_RESET where it is broken off there. The stage is gone after the return. */
typedef void proxyin_done(void *owner, enum reason reason, const struct proxy_header *header, const char *detail);

/* Start on `channel` (borrowed; its watcher until the end). `done` is called exactly once, never before the return,
 * unless cancelled. NULL without memory. */
struct proxyin *proxyin_start(struct channel *channel, proxyin_done *done, void *owner) MUST_CHECK;

/* Has a byte of a header come (to tell a silent peer from a slow one)? */
bool proxyin_has_bytes(const struct proxyin *proxyin);

/* `done` will not be called; frees. NULL does nothing. */
void proxyin_cancel(struct proxyin *proxyin);

#endif
