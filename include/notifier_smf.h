/* The notifier kind `smf`: SMF records of type 119, as z/OS has them for zERT, appended to a file. docs/smf.md. */
#ifndef NOTIFIER_SMF_H
#define NOTIFIER_SMF_H

#include "cci/notifier.h"

extern const struct cci_notifier_kind notifier_smf_kind;

#endif
