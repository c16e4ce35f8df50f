/*
 * The control socket: takes one request a connection, answers with JSON, on the main loop. What can be asked is one table
 * of verbs; what needs the main thread's state is done by it. docs/control.md describes the protocol.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "compiler.h"
#include "config.h"
#include "text.h"

struct daemon;
struct control;

/* One request at hand. */
struct control_request {
	struct daemon *daemon;
	size_t count;        /* words behind the verb */
	char *const *words;
	struct error error;  /* filled in where a verb fails */
	bool usage;          /* it failed because the words are wrong */
};

/* What can be asked. The command line's help and completion come from the same table. */
struct control_verb {
	const char *name;
	const char *words;     /* "[FILTER...]", for the usage */
	const char *help;      /* one line */
	unsigned programs;     /* enum program, or'ed */
	/* The answer, owned by the caller; NULL with request->error. */
	json_t *(*run)(struct control_request *request);
	/* Print the answer for people; NULL: it has a member "text", or is printed as it is. */
	int (*print)(const json_t *answer, FILE *stream);
};

extern const struct control_verb control_verbs[];
extern const size_t control_verb_count;
const struct control_verb *control_verb_find(const char *name, enum program program);

/* Listen at [control] socket of `config` (unset: nowhere). To be called at the start, before privileges are dropped, and with
 * each configuration that is put in force. 0, or -1 with `error` (then it is as before). */
int control_use(struct control **control, struct daemon *daemon, const struct config *config, struct error *error) MUST_CHECK;

/* Serve on the main loop from now on. */
void control_start(struct control *control);

/* Close; the socket's file is removed if it is still ours. NULL does nothing. */
void control_close(struct control *control);

#endif
