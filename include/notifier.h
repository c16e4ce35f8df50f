/*
 * The notifiers of one snapshot: opens the configured kinds, checks each event as the ioctl it mirrors would, calls
 * them all, and says whether the connection may go on. Knows the interface of cci/notifier.h, and no kind.
 */
#ifndef NOTIFIER_H
#define NOTIFIER_H

#include <stddef.h>

#include "cci/notifier.h"
#include "compiler.h"
#include "config.h"
#include "reason.h"
#include "text.h"

struct notifiers;

/* Open all notifiers of `config` out of the `kinds` that the program has (NULL-terminated, borrowed for ever). NULL
 * with `error` that names the section and the kinds there are. */
struct notifiers *notifiers_new(const struct config *config, const struct cci_notifier_kind *const *kinds,
                                struct error *error) MUST_CHECK;
void notifiers_free(struct notifiers *notifiers);

/* Does each [notifier] name one of the kinds? Reports each that does not, at its line. 0, or -1; opens nothing. */
int notifiers_check(const struct config *config, const struct cci_notifier_kind *const *kinds, config_report *report,
                    void *context) MUST_CHECK;

/* Are there none (an event need not even be built)? */
int notifiers_empty(const struct notifiers *notifiers);

/* Tell all. REASON_NONE, or REASON_NOTIFIER_REFUSED where one with on_error = refuse did not take it; failures are
 * logged (MESSAGE_NOTIFIER_ERROR), with words. */
enum reason notifiers_tell(struct notifiers *notifiers, const struct cci_event *event) MUST_CHECK;

/* The common check that every kind begins with: size, version, then the descriptor's type (where it has one). Returns
 * enum cci_notifier_result; the three errors are distinct. */
int notifier_check(const struct cci_event *event);

/* The words of a result; never NULL. */
const char *notifier_result_text(int result);

#endif
