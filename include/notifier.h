/*
 * The notifiers of one snapshot: opens the configured kinds, checks each event as the ioctl it mirrors would, calls
 * them all, and says whether the connection may go on. What is open outlives a reload that leaves its section as it is:
 * snapshots share it. Knows the interface of cci/notifier.h, and no kind.
 */
#ifndef NOTIFIER_H
#define NOTIFIER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "cci/notifier.h"
#include "compiler.h"
#include "config.h"
#include "reason.h"
#include "text.h"

struct notifiers;

/* Where notifiers come from. */
struct notifier_source {
	const struct cci_notifier_kind *const *kinds; /* that the program has; NULL-terminated, borrowed for ever */
	const struct notifiers *before;               /* those in force now, to be shared; NULL: none */
};

/* Open all notifiers of `config` that are not open yet. NULL with `error` that names the section and the kinds there
 * are. Main thread only. */
struct notifiers *notifiers_new(const struct config *config, const struct notifier_source *source,
                                struct error *error) MUST_CHECK;

/* One owner less of each. Any thread; what nobody owns any more is closed by the next notifiers_reap. NULL does
 * nothing. */
void notifiers_free(struct notifiers *notifiers);

/* Close what nobody owns any more. May take some seconds where much waits to be written. Main thread only. */
void notifiers_reap(void);

/* Their files were renamed: open them once more. Main thread only. */
void notifiers_reopen(const struct notifiers *notifiers);

/* How one of them stands. */
struct notifier_state {
	const char *name, *kind, *path; /* borrowed from the notifiers; path NULL: none */
	int on_error;
	uint64_t taken, failed;         /* events, by what notify has said */
	struct cci_notifier_status status;
};

size_t notifiers_count(const struct notifiers *notifiers);

/* Of number `number`, from 0. Main thread only. */
void notifiers_state(const struct notifiers *notifiers, size_t number, struct notifier_state *state);

/* Does any of them, or the tap, take events of this type (one need not even be built)? */
bool notifiers_want(const struct notifiers *notifiers, enum cci_event_type type);

/* Does each [notifier] name one of the kinds? Reports each that does not, at its line. 0, or -1; opens nothing. */
int notifiers_check(const struct config *config, const struct cci_notifier_kind *const *kinds, config_report *report,
                    void *context) MUST_CHECK;

/* How a connection waits for answers that come later. Embedded, and of one thread; lives until `done` or cancel. */
struct notifier_wait {
	uv_loop_t *loop;                            /* of the connection; borrowed */
	void (*done)(void *owner,
	             enum reason reason); /* what notifiers_tell would have returned; called on the loop, once */
	void *owner;
	struct notifier_answers *answers;           /* NULL: there is nothing to wait for */
	struct notifiers *notifiers;                /* borrowed: must outlive the wait */
	uint8_t connection[16];
};

/* Tell all. REASON_NONE, or REASON_NOTIFIER_REFUSED where one with on_error = refuse did not take it; failures are
 * logged (MESSAGE_NOTIFIER_ERROR), with words. Where something depends on the answer, `wait` has its first three
 * members set: if wait->answers is not NULL afterwards, REASON_NONE is no answer yet, and `done` brings it (never
 * before this returns). NULL: nothing does, and nobody answers later. REASON_NO_MEMORY: there is none to wait with. */
enum reason notifiers_tell(struct notifiers *notifiers, struct cci_event *event, struct notifier_wait *wait) MUST_CHECK;

/* `done` does not come any more. Nothing happens where nothing is waited for. */
void notifier_wait_cancel(struct notifier_wait *wait);

/* What an event lets a notifier answer by later; NULL: it answers at once. */
struct cci_pending *notifier_pending(const struct cci_event *event);

/* A listener of the program itself to all events but the record, beside the configured ones: nothing depends on it. It
 * is told while `listening`, from any thread, and must not block. */
struct notifiers_tap {
	atomic_bool listening;
	void (*tell)(void *owner, const struct cci_event *event);
	void *owner;
};

/* The one there is, borrowed; NULL: none. While no other thread tells. */
void notifiers_set_tap(struct notifiers_tap *tap);

/* The common check that every kind begins with: size, version, then the descriptor's type (where it has one). Returns
 * enum cci_notifier_result; the three errors are distinct. */
int notifier_check(const struct cci_event *event);

/* The words of a result; never NULL. */
const char *notifier_result_text(int result);

#endif
