/*
 * The notifier kind `socket`: a unix stream socket. Who connects gets the connections that are open, a line that ends
 * this list, then events as they happen: JSON, one line each (docs/notifiers.md).
 *
 * Instances with the same path are one: a reload that changes other settings leaves the socket, its subscribers and the
 * list as they are. The settings of the instance that was opened last hold.
 */
#ifndef NOTIFIER_SOCKET_H
#define NOTIFIER_SOCKET_H

#include <sys/types.h>

#include "cci/notifier.h"
#include "compiler.h"
#include "config.h"

extern const struct cci_notifier_kind notifier_socket_kind;

/* What of the paths of `config` could not be listened at: reports it at their lines, a missing directory as a warning.
 * 0, or -1 when there was an error. Opens nothing. */
int notifier_socket_check(const struct config *config, config_report *report, void *context) MUST_CHECK;

/* The process that this one is to take over from (0: there is none): what it, or the process that started this one for
 * it, listens at is in use until then. Before the first is opened. */
void notifier_socket_succeed(pid_t predecessor);

/* This process serves from now on: where the one that started it (an upgrade) listened until now, take the place. What
 * cannot be taken is logged, and tried again at each SIGHUP. Main thread only, as the next. */
void notifier_socket_take_over(void);

/* Another process (its id) serves from now on: tell the subscribers. They are told of our connections until these end.
 */
void notifier_socket_hand_over(pid_t successor);

#endif
