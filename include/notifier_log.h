/* The notifier kind `log`: a structured log line for each event. */
#ifndef NOTIFIER_LOG_H
#define NOTIFIER_LOG_H

#include "cci/notifier.h"

extern const struct cci_notifier_kind notifier_log_kind;

#endif
