/*
 * Whom the process becomes once it listens and has read its keys, and what it may still do then. Started as root it
 * becomes `user` of [gateway], or else ccissl, or else nobody; it stays root only where `user = root` says so. Threads
 * share their memory: that workers have no capability makes an intruder's way longer, and is no wall between threads.
 */
#ifndef PRIVILEGES_H
#define PRIVILEGES_H

#include <stdbool.h>

#include "compiler.h"
#include "config.h"
#include "text.h"

/* Do user, group and chroot of `config` exist; and, asked by root, may the user write in the folder of ratchet_file,
 * and without keep_capabilities read what a reload needs (a child process becomes the user to find out)? Reports what
 * is wrong, at the line of its key. 0, or -1 when there was an error. Changes nothing; may be asked by anybody. */
int privileges_check(const struct config *config, config_report *report, void *context) MUST_CHECK;

/* Become the user: its groups, chroot, ids, PR_SET_NO_NEW_PRIVS; then make sure that no thread was left behind and that
 * the way back is barred. What is written later (ratchet_file, insecure_key_log) is handed over to the user first. With
 * keep_capabilities the calling thread keeps CAP_NET_BIND_SERVICE, and CAP_DAC_READ_SEARCH unless [keys] process = yes,
 * as far as it has them; with a notifier of kind mark it and the workers keep CAP_NET_RAW (or else CAP_NET_ADMIN);
 * every thread that libuv's pool will have is started without. Started by another user than root, it only gives up
 * capabilities. To be called by the main thread, when all that only root can read or bind is read and bound, and before
 * any other thread is started. Logs who the process is now. 0, or -1 with `error`, which names file and line; then the
 * process must end. */
int privileges_drop(const struct config *config, struct error *error) MUST_CHECK;

/* For a process beside the gateway that has one thread (sidecar.h): become the same user below the same root, with the
 * capabilities that the gateway's main thread keeps, with keep_capabilities also CAP_DAC_READ_SEARCH whatever
 * [keys] says, and CAP_CHOWN where unix sockets get an owner; with_mark: the one for marks too. Hands nothing over and
 * logs nothing. 0, or -1 with `error`; then the process must end. */
int privileges_follow(const struct config *config, bool with_mark, struct error *error) MUST_CHECK;

/* Give up every capability of the calling thread but the one that marks packets, if that is kept; where the process is
 * root's, nothing. Each worker does it first. */
void privileges_drop_thread(void);

/* Are programs that the calling thread starts to have the capabilities that it has kept (on), or none (off, as it is
 * from the start)? For the main thread, around the start of another version of this program. */
void privileges_pass_on(bool on);

#endif
