/*
 * Users and groups of this machine, by name or number. Changes nothing.
 */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include <sys/types.h>

#include "compiler.h"
#include "text.h"

/* The id of the user that `text` names, or writes as a number (which no entry needs). 0, or -1 with `error`. */
int account_user(const char *text, uid_t *uid, struct error *error) MUST_CHECK;

/* The same of a group. */
int account_group(const char *text, gid_t *gid, struct error *error) MUST_CHECK;

#endif
