/*
 * Unix sockets to listen on: their files, with mode and owner. Main thread only.
 */
#ifndef LISTENER_UNIX_H
#define LISTENER_UNIX_H

#include "compiler.h"
#include "config.h"
#include "listener.h"
#include "text.h"

/* Listen on the path of listener->asked, with mode and owner of `section`: the socket becomes listener->fds[0]. Nobody
 * can connect to the file until all is set. A socket that no process listens on any more is replaced; one that is used,
 * and a file that is no socket, are errors and stay as they are. 0, or -1 with `error`, and then there is no file. */
int listener_unix_open(struct listener *listener, const struct config_listener *section,
                       struct error *error) MUST_CHECK;

/* Note which file it is, so that no other is removed in its place later. */
void listener_unix_identify(struct listener *listener);

/* Remove the file, unless it has become another one. */
void listener_unix_remove(const struct listener *listener);

/* Is its file still where it was made? */
bool listener_unix_is_there(const struct listener *listener);

/* Mode and owner as `section` says; nothing is asked of the system where they are so already. 0, or -1 with `error`. */
int listener_unix_permit(const struct listener *listener, const struct config_listener *section,
                         struct error *error) MUST_CHECK;

/* What of unix sockets could not be opened now: reports a file that is no socket as an error, a missing directory as a
 * warning, at their lines. 0, or -1 when there was an error. Opens nothing. */
int listener_unix_check(const struct config *config, config_report *report, void *context) MUST_CHECK;

#endif
