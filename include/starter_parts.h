/*
 * What the two sides of the starter share: starter.c asks, starter_serve.c answers. Nobody else includes it. Both sides
 * are one program, so that structures go over the socket as they are.
 */
#ifndef STARTER_PARTS_H
#define STARTER_PARTS_H

#include <stdlib.h>
#include <sys/stat.h>

#include "address.h"
#include "sidecar.h"
#include "starter.h"

enum starter_what {
	STARTER_SETTLE,
	STARTER_BIND,   /* descriptor; address, size */
	STARTER_LISTEN, /* descriptor; number: the backlog */
	STARTER_OWN,    /* descriptor of the file (O_PATH); address, size; uid, gid (-1: as it is) */
	STARTER_MORE,   /* descriptors for the next STARTER_START, before its own */
	STARTER_START,  /* descriptors; variable */
	STARTER_WAIT,   /* pid; number: milliseconds. An answer with ECHILD: it still runs */
	STARTER_KILL,   /* pid */
};

struct starter_request {
	enum starter_what what;
	int number;
	pid_t pid;
	socklen_t size;
	uid_t uid;
	gid_t gid;
	union socket_address address;
	char variable[]; /* with its zero */
};

struct starter_answer {
	int number; /* 0, or errno */
	pid_t pid;
	int status;
	char words[512]; /* where the number says too little */
};

struct starter_task {
	const struct config *config;
	const struct starter_program *program;
};

/* What the configuration file names; `config` alone is set at first, NULL: nothing is named. */
struct starter_names {
	const struct config *config;
	struct config *named; /* as it was read last, and which file that was */
	struct stat file;
};

/* Is this address one where the file lets somebody listen: a listener, a notifier's socket, the control socket, the
 * page? With port 0 there any port is. */
bool starter_names_address(struct starter_names *names, const union socket_address *address);

/* Is `path` the unix socket of a listener that belongs to these two? (-1: nobody is named.) */
bool starter_names_owner(struct starter_names *names, const char *path, uid_t uid, gid_t gid);

/* The starter itself; a sidecar_task with a struct starter_task. */
int starter_serve(int fd, void *context);

#endif
