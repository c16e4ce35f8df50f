/* For tests of listening sockets: configurations, and sets of sockets opened from them. */
#ifndef TEST_LISTENERS_H
#define TEST_LISTENERS_H

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "listener.h"

#define SERVICE "[gateway]\nsysid = H\n[service s]\naddress = builtin:echo\n"
#define LISTENER(name, address) \
	"[listener " name "]\naddress = " address "\nservice = s\nunsecured_connections = only\n"

static struct error error;

static inline void report(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	(void)context;
	ck_assert_msg(!is_error, "%s:%u: %s", file, line, text);
}

static inline struct config *load(const char *text)
{
	FILE *stream = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	struct config *config = config_load_stream(stream, "test.ini", PROGRAM_CCISSL, report, NULL);

	(void)fclose(stream);
	ck_assert_ptr_nonnull(config);
	return config;
}

static inline int open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(folder) != NULL)
		count++;
	(void)closedir(folder);
	return count;
}

static inline void open_set(struct listener_set *set, const struct config *config, const struct listener_set *old,
                            unsigned workers)
{
	ck_assert_msg(listener_open(set, config, old, NULL, workers, &error) == 0, "%s", error.text);
}

/* Is somebody listening there? */
static inline bool answers(const struct listener *listener)
{
	int fd = socket(listener->bound.any.sa_family, SOCK_STREAM, 0);
	bool result = connect(fd, &listener->bound.any, socket_length(&listener->bound)) == 0;

	close(fd);
	return result;
}

#endif
