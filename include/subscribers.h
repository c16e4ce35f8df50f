/*
 * Those who listen at a unix stream socket: each first gets what is kept at that moment, then each line as it comes,
 * without gap or duplicate. One thread of its own takes the lines to them, so that nobody who puts a line ever waits
 * for one; who is too slow is dropped, and told so by the last line it gets. Knows lines of JSON, and not what they are
 * about.
 */
#ifndef SUBSCRIBERS_H
#define SUBSCRIBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cci/notifier.h"
#include "compiler.h"
#include "linetable.h"
#include "text.h"

#define SUBSCRIBERS_MOST 32

struct subscribers;

struct subscribers_options {
	int fd;               /* listening, non-blocking; owned from success on */
	const char *name;     /* of the notifier, for the log; a copy is made */
	uint64_t limit_bytes; /* how much may wait for one of them */
	/* The line for the list of a line that is kept: one line without a line feed, to be freed; NULL without memory: it
	 * is left out. Called by the thread. */
	char *(*opened)(const char *bytes, size_t size, size_t *opened_size);
};

/* Starts the thread (without signals and without capabilities). NULL with `error`. */
struct subscribers *subscribers_new(const struct subscribers_options *options, struct error *error) MUST_CHECK;

/* From now on. Any thread. */
void subscribers_set(struct subscribers *subscribers, const char *name, uint64_t limit_bytes);

/* Listen at `fd` in place of what there is (owned from success on; non-blocking); whoever listens stays. 0, or -1 with
 * errno. / */
int subscribers_move(struct subscribers *subscribers, int fd) MUST_CHECK;

/* Is anybody there to whom a line would go? A hint: subscribers_put has the last word. Any thread. */
bool subscribers_any(const struct subscribers *subscribers);

/* What a line does to what is kept. */
enum line_effect {
	LINE_PASSES, /* nothing */
	LINE_KEEPS,  /* it is kept under its key */
	LINE_ENDS    /* what is kept under its key is kept no longer */
};

enum put_result {
	PUT_DONE,   /* all subscribers get it; also where there is none */
	PUT_FULL,   /* the same, save those who had no room for it and are dropped */
	PUT_NO_LINE /* nothing was done: there are subscribers, and `line` is NULL. Not with LINE_KEEPS */
};

/* Pass a line on; `key` is its key. `line` may be NULL with LINE_PASSES and LINE_ENDS, for a caller who makes lines
 * only for those who read them; the caller's reference stays its own. Any thread; never waits for a subscriber. */
enum put_result subscribers_put(struct subscribers *subscribers, const struct line_key *key, struct line *line,
                                enum line_effect effect);

/* What is kept under `key` is kept no longer, though there is no line that says so. Any thread. */
void subscribers_forget(struct subscribers *subscribers, const struct line_key *key);

/* One more line to all, and to all who come later, behind their list: this process has handed over to another one. */
void subscribers_farewell(struct subscribers *subscribers, pid_t successor);

/* Fill in subscribers, queued_bytes (of the slowest), queue_bytes, written and dropped (lines, of all), and error. Any
 * thread. */
void subscribers_status(struct subscribers *subscribers, struct cci_notifier_status *status);

/* Ends the thread; what waits still goes to those who take it, for at most a second. NULL does nothing. */
void subscribers_free(struct subscribers *subscribers);

#endif
