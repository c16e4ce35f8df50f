/* The notifier kind `file`: JSON Lines, one event or record a line, appended to a file by a thread of its own. */
#ifndef NOTIFIER_FILE_H
#define NOTIFIER_FILE_H

#include "cci/notifier.h"
#include "compiler.h"
#include "config.h"

extern const struct cci_notifier_kind notifier_file_kind;

/* What can be said of the files before they are opened: reported as errors at their lines. 0, or -1 when there was one.
 * Makes nothing. */
int notifier_file_check(const struct config *config, config_report *report, void *context) MUST_CHECK;

#endif
