/*
 * One who listens at a unix socket: what is on its way to it, in whole lines. For subscribers.c alone, whose thread
 * calls all of it.
 */
#ifndef SUBSCRIBER_H
#define SUBSCRIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "compiler.h"
#include "linetable.h"

/* How much is taken from what waits at a time. */
#define SUBSCRIBER_BATCH 65536

enum subscriber_stage {
	SUBSCRIBER_LISTING, /* what was kept when it came */
	SUBSCRIBER_NOW,     /* the line that ends the list */
	SUBSCRIBER_EVENTS,  /* what came since */
	SUBSCRIBER_LAST     /* it is dropped: its last line */
};

struct subscriber {
	/* Under the lock of its owner. */
	bool used, slow;
	struct line *next;            /* the first that waits for it; NULL: none */
	uint64_t taken, taken_number; /* up to here */
	uint64_t missed;              /* lines that waited when it was found to be slow */
	/* The thread's. */
	int fd;
	uid_t uid;
	pid_t pid;
	bool late;   /* it came when this process had handed over already */
	bool deaf;   /* it sends no more */
	bool failed; /* it has gone, or there is no memory for it */
	enum subscriber_stage stage;
	enum subscriber_stage carries; /* where what is on its way belongs */
	struct line **list;            /* owned, with `listed` to `list_count` of its lines */
	size_t listed, list_count;
	char *bytes; /* taken for it, and sent up to `at` */
	size_t capacity, filled, at;
	uint64_t deadline_ms; /* for the last line */
};

/* Take over the descriptor of an accepted connection, and find out who it is. */
void subscriber_open(struct subscriber *subscriber, int fd);

/* Append to what is on its way. Without memory it has failed. */
void subscriber_take(struct subscriber *subscriber, const char *bytes, size_t size);

/* Has it room for more of what waits? */
bool subscriber_has_room(const struct subscriber *subscriber);

/* Is something on its way? */
bool subscriber_is_sending(const struct subscriber *subscriber);

/* Send without waiting. */
void subscriber_send(struct subscriber *subscriber);

/* Read and throw away what it says; find out whether it has gone. */
void subscriber_listen(struct subscriber *subscriber);

/* Take back what is on its way, behind the line that was begun. How many lines it were. */
uint64_t subscriber_cut(struct subscriber *subscriber);

/* The kernel takes more for it from now on, so that a last line finds room where nothing else did. */
void subscriber_widen(struct subscriber *subscriber);

/* Close and free; the structure is all zero then. */
void subscriber_close(struct subscriber *subscriber);

#endif
