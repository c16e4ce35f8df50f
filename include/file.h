/*
 * Opens files that settings name. They may have been replaced by anything while the program runs, and whoever opens a
 * FIFO waits for its writer: the thread that does it would not even see SIGTERM.
 */
#ifndef FILE_H
#define FILE_H

#include <stdio.h>

#include "compiler.h"

/* A stream for reading, to be closed by fclose; never waits. NULL: `*why` is static text. Regular files are opened, and
 * directories, which nobody can read; what lies below /dev too (/dev/stdin, /dev/fd/3), as that was named on purpose.
 * FIFOs and devices elsewhere are refused. */
FILE *file_open(const char *path, const char **why) MUST_CHECK;

#endif
