/*
 * Files that are loaded again when they change: watched through their folders by the kernel (inotify), and looked at
 * now and then, as not every file system tells. A change is reported once the files have been at rest for a moment, so
 * that one that is half written is not the end of it: what was reported may be loaded in vain, and is reported again
 * when it changes again. Knows nothing of what is in the files. One thread, that of the loop.
 */
#ifndef FILEWATCH_H
#define FILEWATCH_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "compiler.h"
#include "text.h"

struct filewatch;

/* One or more of the files are not what they were at filewatch_set, or at the report before. May call filewatch_set,
 * not filewatch_close. */
typedef void filewatch_changed(void *context);

/* Watches nothing yet. NULL without memory. */
struct filewatch *filewatch_new(filewatch_changed *changed, void *context) MUST_CHECK;

/* Watch these files (copied; they need not exist) as they are at this moment, in place of those before. So it is called
 * before they are loaded: what changes meanwhile is reported. `poll_ms`: how often they are looked at; 0: they are not
 * watched at all. 0, or -1 without memory, with `error`; then those before are still watched. */
int filewatch_set(struct filewatch *watch, const char *const *paths, size_t count, uint64_t poll_ms,
                  struct error *error) MUST_CHECK;

/* Begin to report, on `loop`. */
void filewatch_start(struct filewatch *watch, uv_loop_t *loop);

/* Report no more. Frees it: at once where it was not started, or else in the loop's close callbacks. NULL does nothing.
 */
void filewatch_close(struct filewatch *watch);

#endif
