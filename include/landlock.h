/*
 * Landlock: a process gives up all of the file system but what it names. The three system calls with their constants,
 * since headers are older than kernels. What a kernel does not know yet it cannot restrict: the ABI says what holds.
 * Knows no configuration.
 */
#ifndef LANDLOCK_H
#define LANDLOCK_H

#include <stdbool.h>

#include "compiler.h"

/* From this ABI on nothing of a file can be changed without a right to it (truncate(2) came last). */
#define LANDLOCK_ABI_WHOLE 3

/* What may be done at a path and, where it is a folder, below it. Nothing of it is ever to execute a file. */
enum landlock_right {
	LANDLOCK_READ = 1,   /* read files, list folders */
	LANDLOCK_WRITE = 2,  /* write, shorten, make, rename and remove files */
	LANDLOCK_SOCKET = 4, /* make, rename and remove unix sockets */
	LANDLOCK_DEVICE = 8, /* write to what is there */
	LANDLOCK_FOLDER = 16, /* make folders */
};

/* The version of this kernel's Landlock; 0: it has none, or it is switched off. */
int landlock_abi(void);

/* A ruleset that permits nothing yet; with `scopes`, where the kernel has them, neither abstract unix sockets nor
 * signals reach another process. The descriptor, or -1 with errno. */
int landlock_make(int abi, bool scope_sockets, bool scope_signals) MUST_CHECK;

/* Permit `rights` at `path`, which has to exist. 0, or -1 with errno. */
int landlock_permit(int ruleset, int abi, const char *path, unsigned rights) MUST_CHECK;

/* Give up the rest: the calling thread, for good, with all that it starts. It can gain no privilege by a program then
 * (PR_SET_NO_NEW_PRIVS). 0, or -1 with errno. */
int landlock_enter(int ruleset) MUST_CHECK;

#endif
