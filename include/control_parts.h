/*
 * What control.c (the socket), control_client.c (who asks there) and control_verbs.c (what can be asked) share. Nobody
 * else includes it. Main thread only.
 */
#ifndef CONTROL_PARTS_H
#define CONTROL_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "complaint.h"
#include "control.h"

#define CONTROL_RESERVES 4

struct control_door;

struct control {
	struct daemon *daemon;
	struct control_door *door, *prepared; /* owned; NULL: none. The same where the configuration has not changed */
	bool is_prepared;
	uint64_t mode;                 /* of the socket, by what was prepared */
	bool is_below;                 /* under chroot */
	int reserve[CONTROL_RESERVES]; /* descriptors that make room for a client when there are no others */
	unsigned reserves;
	struct complaint complaint; /* nobody can be taken */
	struct control_reply *clients;
	size_t count;
};

/* control_client.c: own `fd`, a connection that was accepted. */
void control_serve(struct control *control, int fd);

/* control_client.c: all places are taken, and somebody waits: of those whose request is not whole, the oldest of the
 * user who has most of them gives way, as soon as it has had CONTROL_SILENT_MS. */
void control_make_way(struct control *control);

/* control_client.c: end all. */
void control_cut(struct control *control);

/* control.c: a client less: there is room for another. */
void control_left(struct control *control);

/* control_client.c: log what is about to be done, and who asked for it. */
void control_say_told(const struct control_request *request, const char *verb);

/* --- answers in parts, for verbs --- */

/* Gives arrays, one after the other, that make one together. */
struct control_source {
	json_t *(*next)(void *owner); /* the next elements, maybe none; NULL: it was all */
	void (*free)(void *owner);    /* called once, at the end or when the client is gone */
	void *owner;
};

/* From inside a verb's `run`, which then returns NULL: the answer is the array that `source` gives. No part is asked
 * for before the client has taken the one before, and the loop has turned in between. */
void control_stream(struct control_request *request, const struct control_source *source);

/* As control_send; `text` is JSON, in one line. Takes it over (malloc'ed). */
int control_send_text(struct control_reply *reply, char *text) MUST_CHECK;

#endif
