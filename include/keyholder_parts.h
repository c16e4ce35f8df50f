/* What keyholder.c (the gateway's side), keyholder_serve.c (the process), keyholder_filter.c and keyholder_paths.c
 * share. Nobody else includes it. */
#ifndef KEYHOLDER_PARTS_H
#define KEYHOLDER_PARTS_H

#include <stdbool.h>

#include "config.h"
#include "keywire.h"
#include "text.h"

#define KEYHOLDER_CHANNELS_MOST 4096u

struct keyholder_task {
	struct config *config;
	unsigned channels; /* one for each thread that signs, and one to see that it lives */
};

/* A sidecar_task with a struct keyholder_task. */
int keyholder_serve(int fd, void *context);

/* Nobody but root may look into this process, by ptrace or /proc. To be repeated after a change of the user. */
void keyholder_hide(void);

/* Leave this thread, and all that it starts, to read the folders of the key and passphrase files and of the
 * configuration file, and nothing else of the file system. 0, or -1 with `error` where the kernel cannot and sandbox =
 * require. */
int keyholder_shut_paths(const struct config *config, struct error *error) MUST_CHECK;

/* The version of Landlock that does; 0: none. */
int keyholder_paths_abi(void);

/* Is `path` there to be read, and left out by that? */
bool keyholder_is_shut(const char *path);

/* Leave this process, with all its threads, the system calls of reading files, of sockets that it has, and of memory.
 * 0, or -1 with `error` where the kernel cannot and sandbox = require. */
int keyholder_filter(const struct config *config, struct error *error) MUST_CHECK;

/* What holds, as sandbox_words has it. */
const char *keyholder_contained(void);

#endif
