/*
 * Unix sockets to listen at, by their path: made without a moment of wrong permissions, made anew where a dead process
 * left one, removed only where they are still ours. Knows no configuration.
 */
#ifndef UNIXSOCKET_H
#define UNIXSOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "compiler.h"
#include "text.h"

/* Which file it is, so that no other is taken for it; it may be somebody else's by now. */
struct unixsocket_file {
	dev_t device;
	ino_t inode; /* 0: none */
};

/* The process that listens at `path`; 0: none, or it cannot be found out. */
pid_t unixsocket_owner(const char *path);

/* Remove what a dead process left at `path`. A socket that is in use, and a file that is no socket, are errors and stay
 * as they are. 0, also where nothing is there; or -1 with `error`. */
int unixsocket_make_room(const char *path, struct error *error) MUST_CHECK;

/* A socket bound to `path` that does not listen yet and does not block; nobody may connect until the mode is set. The
 * descriptor, or -1 with `error`; then there is no file. */
int unixsocket_bind(const char *path, struct error *error) MUST_CHECK;

/* Set the permission bits, or the owner (-1: as it is), of the file, and never of another that stands at its path by
 * now, whatever that is. 0, or -1 with `error`. */
int unixsocket_set_mode(const char *path, const struct unixsocket_file *file, mode_t mode,
                        struct error *error) MUST_CHECK;
int unixsocket_set_owner(const char *path, const struct unixsocket_file *file, uid_t uid, gid_t gid,
                         struct error *error) MUST_CHECK;

/* Is the file still at its path? */
bool unixsocket_is_there(const char *path, const struct unixsocket_file *file);

/* All of it, but make_room: bound, with its mode, and listening; *file is what was made. The descriptor, or -1 with
 * `error`. */
int unixsocket_listen(const char *path, mode_t mode, struct unixsocket_file *file, struct error *error) MUST_CHECK;

/* Which socket is at `path` now? */
void unixsocket_identify(const char *path, struct unixsocket_file *file);

/* Remove the file, unless it has become another one. */
void unixsocket_remove(const char *path, const struct unixsocket_file *file);

/* What can be said before it is opened: 0; 1 with words for a warning (its directory is missing), -1 with words for an
 * error (it is too long, or something else is there). */
int unixsocket_judge(const char *path, struct error *error) MUST_CHECK;

/* Words for errno after `what` failed. Always -1. */
int unixsocket_fault(const char *path, const char *what, struct error *error);

#endif
