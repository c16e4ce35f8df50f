/* The notifier kind `smf`: SMF records of type 119, as z/OS has them for zERT, appended to a file. docs/smf.md. */
#ifndef NOTIFIER_SMF_H
#define NOTIFIER_SMF_H

#include "cci/notifier.h"
#include "compiler.h"
#include "config.h"

/* Could the files of this kind be opened? Reports each that could not, at its line. 0, or -1; changes nothing. */
int notifier_smf_check(const struct config *config, config_report *report, void *context) MUST_CHECK;

extern const struct cci_notifier_kind notifier_smf_kind;

#endif
