/*
 * Listening sockets from outside: those that the service manager passed (sd_listen_fds(3)), and those of the process
 * that this one takes over from (upgrade.h). Main thread only.
 */
#ifndef LISTENER_INHERIT_H
#define LISTENER_INHERIT_H

#include <stddef.h>

#include "compiler.h"
#include "config.h"
#include "listener.h"
#include "text.h"

/* Take what LISTEN_FDS passes to this process, and clear that from the environment: one listener each, asked as
 * systemd:NAME. Nothing was passed: an empty set. 0, or -1 with `error`. */
int listener_take_passed(struct listener_set *passed, struct error *error) MUST_CHECK;

/* Add to `set`, for section `owner`, a listener for each socket in `passed` (may be NULL) that has the name asked for.
 * 0, or -1 with `error`: there is none (it says which names there are), or one of them does not listen for streams. */
int listener_open_passed(struct listener_set *set, const struct address *asked, size_t owner,
                         const struct listener_set *passed, struct error *error) MUST_CHECK;

/* Log a warning for each passed socket that no [listener] of `config` names. */
void listener_warn_unused(const struct listener_set *passed, const struct config *config);

/* Everything that another process needs to go on listening: `words` for listener_inherit, and the descriptors in the
 * order in which they are meant there. Owned by the caller (free both); the descriptors themselves are borrowed. Passed
 * sockets are handed over once, from `passed`. 0, or -1 without memory. */
struct listener_parcel {
	char *words;
	int *fds;
	size_t count;
};

int listener_pack(struct listener_parcel *parcel, const struct listener_set *set,
                  const struct listener_set *passed) MUST_CHECK;

/* The other side: descriptors `first`, `first` + 1, ... are what `words` describe. They are checked, owned from now on,
 * and not inherited further. `bound` is fit for `old` of listener_open, `passed` for that of the same name. 0, or -1
 * with `error`. */
int listener_inherit(struct listener_set *bound, struct listener_set *passed, const char *words, int first,
                     struct error *error) MUST_CHECK;

#endif
