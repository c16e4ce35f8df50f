/*
 * The notifier kind `plugin`: a shared object, written to cci/notifier.h, that is loaded by its absolute path. Takes
 * nothing that somebody else than root or the user of the process could have put there.
 */
#ifndef NOTIFIER_PLUGIN_H
#define NOTIFIER_PLUGIN_H

#include "cci/notifier.h"
#include "compiler.h"
#include "config.h"

extern const struct cci_notifier_kind notifier_plugin_kind;

/* Can every plug-in of `config` be loaded? Loads it, looks at what it exports and unloads it; opens nothing, though
 * what the object does when it is loaded (constructors) is done. Reports each that cannot, at its line. 0, or -1. */
int notifier_plugin_check(const struct config *config, config_report *report, void *context) MUST_CHECK;

#endif
