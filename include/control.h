/*
 * The control socket: takes one request a connection and answers in JSON, on the main loop. What can be asked is one
 * table of verbs. docs/control.md describes the protocol.
 *
 * The order is that of http.h: control_new, control_prepare and control_use at the start; then the last two again with
 * each configuration that is put in force; control_close. Main thread only.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "compiler.h"
#include "config.h"
#include "listener.h"
#include "text.h"

struct daemon;
struct control;
struct control_reply;

/* Requests are lines of at most so many bytes, line feed included, of at most so many words. */
#define CONTROL_REQUEST_BYTES 4096
#define CONTROL_WORDS 64
#define CONTROL_CLIENTS 128             /* at once; more wait until one of these is done or gives way */
#define CONTROL_DEADLINE_MS 5000        /* for a whole request */
#define CONTROL_SILENT_MS 100           /* the same while others wait for room */
#define CONTROL_REPLY_DEADLINE_MS 30000 /* for an answer, or a part of it, to be taken */

/* A request at hand. */
struct control_request {
	struct daemon *daemon;
	size_t count; /* words behind the verb */
	char *const *words;
	uid_t uid; /* of the process that asks, as is pid; by the kernel's word */
	pid_t pid;
	struct error error; /* filled in where a verb fails */
	json_t *findings;   /* an array of texts, to go with the error; owned; NULL: none */
	struct control_reply *reply;
	bool later; /* control_later or control_stream was called */
};

/* What can be asked. The help of the command `ctl` comes from the same table. */
struct control_verb {
	const char *name;
	const char *words;  /* "[FILTER...]", for the usage; "" */
	const char *help;   /* one line */
	unsigned programs;  /* enum program, or'ed */
	bool changes;       /* it changes something: who has asked is logged (CCI1080I) */
	size_t least, most; /* words */
	/* The answer, owned by the caller. NULL with request->error; or without, after control_later or control_stream. */
	json_t *(*run)(struct control_request *request);
	/* Print one answer for people. 0, or -1 where the stream fails. NULL: the text that it is, or has as "text". */
	int (*print)(const json_t *answer, FILE *stream);
};

extern const struct control_verb control_verbs[];
extern const size_t control_verb_count;

/* NULL: the program has none of this name. */
const struct control_verb *control_verb_find(const char *name, unsigned program);

/* --- the server --- */

/* Serves nowhere yet; `daemon` is borrowed. NULL with `error`. */
struct control *control_new(struct daemon *daemon, struct error *error) MUST_CHECK;

/* Open [control] socket of `config`, unless it is open; one that `inherited` (a predecessor's; may be NULL) has is
 * duplicated. Has to be followed by control_use or control_forget. 0, or -1 with `error`: then nothing has changed. At
 * the start before privileges are dropped. */
int control_prepare(struct control *control, const struct config *config, const struct listener_set *inherited,
                    struct error *error) MUST_CHECK;

/* Could [control] socket of `config` be listened at? Reports what speaks against it at its line, a missing directory as
 * a warning. 0, or -1 when there was an error. Opens nothing. */
int control_check(const struct config *config, config_report *report, void *context) MUST_CHECK;

/* Serve at what was prepared, close what is named no more. Cannot fail. */
void control_use(struct control *control);

/* Drop what was prepared. NULL does nothing. */
void control_forget(struct control *control);

/* Its listening socket, for a process that takes over; borrowed until the next call of this module. */
const struct listener_set *control_listeners(const struct control *control);

/* A second has passed. NULL does nothing. */
void control_tick(struct control *control);

/* Another process has the socket now: no more requests are taken; those that were are answered. */
void control_hand_over(struct control *control);

/* End all connections and close; the file is removed unless `keep_files`: another process has it now. control_free
 * follows, once the loop is closed. NULL does nothing. */
void control_close(struct control *control, bool keep_files);
void control_free(struct control *control);

/* --- answers that come later, or go on --- */

/* From inside a verb's `run`, which then returns NULL: the answer comes by control_send. `gone` is called when the
 * client is gone or too slow before control_finish: then `reply` is no more. Returns the reply. */
struct control_reply *control_later(struct control_request *request, void (*gone)(void *owner), void *owner);

/* One line {"ok":true,"answer":...}; takes over the reference. 0; -1: the client does not keep up, and the line is
 * dropped. */
int control_send(struct control_reply *reply, json_t *answer) MUST_CHECK;

/* One line {"ok":false,"error":"..."}. */
void control_fail(struct control_reply *reply, const char *words);

/* It was all: `reply` is no more, `gone` is not called. */
void control_finish(struct control_reply *reply);

#endif
