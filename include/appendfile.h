/* Regular files to append to, which several processes may have open: opened or made, never through a symbolic link. */
#ifndef APPENDFILE_H
#define APPENDFILE_H

#include <sys/types.h>

#include "compiler.h"
#include "text.h"

/* A descriptor to read and append, of a file that is made with `mode` where there is none. -1 with words and remedy in
 * `error`: it cannot be opened, or is no regular file. Never waits. */
int appendfile_open(const char *path, mode_t mode, struct error *error) MUST_CHECK;

/* One to read alone, for a look at a file that stays as it is. -1 with errno: it cannot be opened; EINVAL: it is no
 * regular file. Never waits. */
int appendfile_look(const char *path) MUST_CHECK;

/* The words, and the remedy, for an errno of opening. Returns -1. */
int appendfile_fault(const char *path, int why, struct error *error);

#endif
