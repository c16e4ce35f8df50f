/* The notifier kind `file`: JSON Lines, one event or record a line, appended to a file by a thread of its own. */
#ifndef NOTIFIER_FILE_H
#define NOTIFIER_FILE_H

#include "cci/notifier.h"

extern const struct cci_notifier_kind notifier_file_kind;

#endif
