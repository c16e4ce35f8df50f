/* Configurations from texts that have no errors. */
#ifndef TEST_CONFIGTEXT_H
#define TEST_CONFIGTEXT_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "config.h"

static inline void fail_on_error(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	(void)context;
	ck_assert_msg(!is_error, "%s:%u: %s", file, line, text);
}

/* The caller's, by config_free. */
static inline struct config *config_from(enum program program, const char *text)
{
	FILE *stream = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	struct config *config = config_load_stream(stream, "/test.ini", program, fail_on_error, NULL);

	(void)fclose(stream);
	ck_assert_ptr_nonnull(config);
	return config;
}

#endif
