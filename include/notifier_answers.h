/*
 * The answers of several notifiers to one event, of which some come later and from other threads: the loop of the
 * connection is told once all are there. Whoever waits may go before; what comes then is dropped.
 */
#ifndef NOTIFIER_ANSWERS_H
#define NOTIFIER_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "cci/notifier.h"
#include "compiler.h"

struct notifier_answers;

/* Called on the loop, once. The answers are the receiver's still, to be freed. */
typedef void notifier_answered(void *owner, struct notifier_answers *answers);

/* For at most `most` answers. NULL: no memory. */
struct notifier_answers *notifier_answers_new(size_t most) MUST_CHECK;

/* One more is expected, of what has number `tag` for the caller. Borrowed; it lives until it was answered. */
struct cci_pending *notifier_answers_expect(struct notifier_answers *answers, size_t tag);

/* Is one missing still? */
bool notifier_answers_due(struct notifier_answers *answers);

/* Call `done` on `loop` once all are there: never before this returns. Nothing is expected afterwards. 0; or -1: that
 * is not possible, and the answers are the caller's as before. */
int notifier_answers_wait(struct notifier_answers *answers, uv_loop_t *loop, notifier_answered *done,
                          void *owner) MUST_CHECK;

/* Number `i` of those that were expected: its tag and, where it is there, its result; CCI_FAILED otherwise. False:
 * there is none. */
bool notifier_answers_at(struct notifier_answers *answers, size_t i, size_t *tag, int *result);

/* Nobody wants them any more; `done` is not called. NULL does nothing. */
void notifier_answers_free(struct notifier_answers *answers);

#endif
