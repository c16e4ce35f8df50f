/*
 * What privileges.c (the change) and privileges_files.c (what is handed over with it) share. Nobody else includes it.
 */
#ifndef PRIVILEGES_PARTS_H
#define PRIVILEGES_PARTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "privileges.h"

/* Whom the process becomes. */
struct account {
	char name[64];    /* of the password file, or the number as it was given */
	bool has_entry;   /* the password file knows it */
	uid_t uid;
	gid_t gid;
	const char *why;
};

/* Whom user of [gateway] names, or who it is where it is unset; and group. 0, or -1 with `error` about the key. */
int privileges_find_user(const struct config *config, struct account *account, struct error *error) MUST_CHECK;
int privileges_find_group(const struct config *config, struct account *account, struct error *error) MUST_CHECK;

/* Give the unix sockets of `config` to the account, where no unix_owner is named, and the files that notifiers have
 * made. By root, before chroot. 0, or -1 with `error`, as the next two. */
int privileges_hand_over_sockets(const struct config *config, const struct account *account,
                                 struct error *error) MUST_CHECK;

/* Give it the files that are written later, where they are there. By root, after chroot. */
int privileges_hand_over(const struct config *config, const struct account *account, struct error *error) MUST_CHECK;

/* The further groups of the account, or none where it is only a number. By root. 0, or -1 with errno. */
int privileges_take_groups(const struct account *account) MUST_CHECK;

/* The same as privileges_check_folders, by a child process that becomes the account: this one stays root. A folder that
 * is not there is no error here. */
int privileges_rehearse_folders(const struct config *config, const struct account *account,
                                struct error *error) MUST_CHECK;

/* May the account read the configuration and the files that it names, as a reload has to without capabilities? Of what
 * is there; by root, by a child process. 0, or -1 with words for a warning. */
int privileges_rehearse_reload(const struct config *config, const struct account *account,
                               struct error *error) MUST_CHECK;

/* Will a reload find the configuration below chroot? 0, or -1 with words for a warning. */
int privileges_look_below_chroot(const struct config *config, struct error *error) MUST_CHECK;

/* May this process, which is the account by now, write where it has to replace files? */
int privileges_check_folders(const struct config *config, const struct account *account,
                             struct error *error) MUST_CHECK;

/* Find the one capability that workers keep, so that they can mark packets: none, unless `config` has a notifier of
 * kind mark. Of those that the process has, the lesser one with which this kernel permits it; a thread tries. Main
 * thread, before it becomes somebody else. 0, or -1 with `error`. */
int privileges_find_mark(const struct config *config, struct error *error) MUST_CHECK;

/* What was found: CAP_..., or -1 for none. Any thread that was started afterwards. */
int privileges_mark(void);

/* Its name, or "none". */
const char *privileges_mark_name(void);

#endif
