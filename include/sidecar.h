/*
 * A process beside the gateway for one narrow task that the gateway itself shall not be able to do. It is forked before
 * there are threads, keys or connections, and has nothing but the standard descriptors and one socket to the gateway.
 * It ignores the signals that end or change a gateway, and ends when that socket does. Messages are whole
 * (SOCK_SEQPACKET) and may carry descriptors. Knows no task.
 */
#ifndef SIDECAR_H
#define SIDECAR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "compiler.h"
#include "text.h"

#define SIDECAR_MESSAGE_MAX 65536
#define SIDECAR_DESCRIPTORS_MAX 250 /* in one message; the kernel takes 253 */

struct sidecar {
	pid_t pid; /* 0: there is none */
	int fd;    /* the gateway's end */
};

/* What the new process does with its end `fd`: it returns its exit status when the gateway has gone. */
typedef int sidecar_task(int fd, void *context);

/* Fork, and run `task` there under the process name `name` (at most 15 characters; static). 0, or -1 with `error`. */
int sidecar_start(struct sidecar *sidecar, const char *name, sidecar_task *task, void *context,
                  struct error *error) MUST_CHECK;

/* Let it end, and wait for that; it is killed where it does not end within two seconds. Nothing where there is none. */
void sidecar_stop(struct sidecar *sidecar);

/* Send a message (at most SIDECAR_MESSAGE_MAX bytes, at least one) with `count` descriptors, which stay the caller's.
 * Waits for room. 0, or -1 with errno: EPIPE when the other side has gone. */
int sidecar_send(int fd, const void *bytes, size_t length, const int *fds, size_t count) MUST_CHECK;

/* Wait for a message. Its length, with its descriptors (owned by the caller, close-on-exec; room for
 * SIDECAR_DESCRIPTORS_MAX) in `fds` and their number in *count (both NULL: none are taken, and what comes is closed).
 * 0: the other side has gone. -1 with errno; a message longer than `size` is EMSGSIZE. */
ssize_t sidecar_receive(int fd, void *bytes, size_t size, int *fds, size_t *count) MUST_CHECK;

#endif
