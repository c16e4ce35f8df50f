/*
 * The notifier kind `mark`: SO_MARK on the connection's socket, one value when it is secured, another when it goes on
 * in the clear, so that the kernel tells the packets of both apart: nftables, conntrack, routing (docs/notifiers.md).
 *
 * The kernel permits it with CAP_NET_RAW (since Linux 5.17) or CAP_NET_ADMIN. privileges.h leaves one of them to the
 * workers, where a start finds a notifier of this kind.
 */
#ifndef NOTIFIER_MARK_H
#define NOTIFIER_MARK_H

#include <stdbool.h>

#include "cci/notifier.h"
#include "compiler.h"
#include "config.h"

extern const struct cci_notifier_kind notifier_mark_kind;

/* Has `config` a notifier of this kind? */
bool notifier_mark_wanted(const struct config *config);

/* May the calling thread set a mark? 0, or what the kernel answers: EPERM, or another errno. */
int notifier_mark_try(void) MUST_CHECK;

/* May whoever asks set marks, where `config` wants it? Reports at the line of the kind. 0, or -1 when there was an
 * error. */
int notifier_mark_check(const struct config *config, config_report *report, void *context) MUST_CHECK;

#endif
