/* What the config_check_*.c share: findings about keys. Nobody else includes it. */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include "config_values.h"

/* What a finding is about. */
struct config_at {
	const char *section;
	const struct config_place *place;
	const char *key;
};

struct check {
	struct config *config;
	config_report *report;
	void *context;
};

/* Reported at the line of the key where the file has it, or of its section. */
void config_finding(struct check *check, bool is_error, const struct config_at *at, const struct error *error);

#define FINDING(check, is_error, section, place, key, ...)                                \
	do {                                                                                  \
		struct error what;                                                                \
		error_set(&what, __VA_ARGS__);                                                    \
		config_finding(check, is_error, &(struct config_at){section, place, key}, &what); \
	} while (0)

/* TLS without the means for it, certificates that nobody shows, settings of [tls] that contradict each other. */
void config_check_tls(struct check *check);

/* Where listeners listen: kinds of addresses, conflicts between them, unix sockets' owners. Opens
 * nothing. */
void config_check_listen(struct check *check);

/* Notifiers that lack what their kind needs or say what it does not take; addresses of [control]. */
void config_check_sight(struct check *check);

/* Warnings: settings that are there and say nothing, beside what else is set. */
void config_check_unused(struct check *check);

#endif
