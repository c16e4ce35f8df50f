/* For tests of listening sockets: configurations, and sets of sockets opened from them. */
#ifndef TEST_LISTENERS_H
#define TEST_LISTENERS_H

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "configtext.h"
#include "descriptors.h"
#include "listener.h"

#define SERVICE "[gateway]\nsysid = H\n[service s]\naddress = builtin:echo\n"
#define LISTENER(name, address) \
	"[listener " name "]\naddress = " address "\nservice = s\nunsecured_connections = only\n"

static struct error error;

static inline struct config *load(const char *text)
{
	return config_from(PROGRAM_CCISSL, text);
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
