/*
 * What the kernel leaves a gateway that serves: only the folders that its configuration names (Landlock), and only the
 * system calls of its daily work (seccomp). What it may still need now and then, a successor or another listening
 * socket, is done by the starter (starter.h), which stands outside. docs/sandbox.md has the tables. Main thread only.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "compiler.h"
#include "config.h"
#include "text.h"

/* Leave this process the folders that `config` and its libraries need. For the calling thread and all that it starts
 * from now on: to be called before the first. 0; or -1 with `error` where sandbox = require and the kernel cannot. */
int sandbox_enter_paths(const struct config *config, struct error *error) MUST_CHECK;

/* Leave all threads of this process the system calls that a gateway needs while it serves. Everything is open and bound
 * then, and no connection accepted yet. 0; or -1 with `error` as above. */
int sandbox_enter_calls(const struct config *config, struct error *error) MUST_CHECK;

/* A process that has entered: would all paths of another configuration be in the folders that it has kept, and could
 * its plug-ins be loaded? To be asked before anything of it is loaded. 0; or -1 with `error`, which names the key and
 * the remedy (error_at). 0 where there is no sandbox. */
int sandbox_check(const struct config *config, struct error *error) MUST_CHECK;

/* What holds, for the log and `ctl status`: such as "seccomp, landlock 7", or "none". Static; any thread once
 * it serves. */
const char *sandbox_words(void);

/* What was said at the start: what this kernel lacks (CCI1150W), and which file could be written from inside
 * (CCI1151W). NULL: nothing. As above. */
const char *sandbox_missing(void);
const char *sandbox_open(void);

#endif
