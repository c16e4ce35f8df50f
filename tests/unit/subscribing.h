/* For tests of kind = socket: instances, events, and somebody who subscribes. */
#ifndef TEST_SUBSCRIBING_H
#define TEST_SUBSCRIBING_H

#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "notifier_socket.h"
#include "text.h"

static char folder[64], path[96], words[512]; /* what open says */

/* --- the notifier --- */

static inline void make_folder(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/cci-subscribe-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/s.sock", folder);
}

static inline void remove_folder(void)
{
	ck_assert_msg(rmdir(folder) == 0, "%s: %s", folder, strerrordesc_np(errno));
}

static inline int try_open(uint64_t queue_bytes, unsigned mode, void **state)
{
	const struct cci_notifier_options options = {.size = sizeof(options),
	                                             .version = CCI_NOTIFIER_VERSION,
	                                             .name = "n",
	                                             .path = path,
	                                             .queue_bytes = queue_bytes,
	                                             .mode = mode};

	words[0] = '\0';
	return notifier_socket_kind.open(&options, state, words, sizeof(words));
}

static inline void *open_it(uint64_t queue_bytes)
{
	void *state = NULL;

	ck_assert_msg(try_open(queue_bytes, 0600, &state) == 0, "%s", words);
	return state;
}

static inline void close_it(void *state)
{
	notifier_socket_kind.close(state);
}

static inline int tell(void *state, int type, uint64_t connection)
{
	struct cci_event event = {.size = sizeof(event),
	                          .version = CCI_NOTIFIER_VERSION,
	                          .type = type,
	                          .role = CCI_ACCEPTING,
	                          .fd = -1,
	                          .time_us = 1,
	                          .sysid = "PC1"};

	memcpy(event.connection, &connection, sizeof(connection));
	return notifier_socket_kind.notify(state, &event);
}

static inline struct cci_notifier_status status_of(void *state)
{
	struct cci_notifier_status status = {.size = sizeof(status)};

	notifier_socket_kind.status(state, &status);
	return status;
}

static inline void wait_for_subscribers(void *state, uint64_t count)
{
	for (int i = 0; i < 5000 && status_of(state).subscribers != count; i++)
		usleep(1000);
	ck_assert_uint_eq(status_of(state).subscribers, count);
}

/* --- a subscriber --- */

struct listener {
	FILE *stream;
	char line[65536];
	json_t *json; /* of the line */
};

static inline bool subscribe(struct listener *listener)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval wait = {.tv_sec = 20};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(listener, 0, sizeof(*listener));
	memcpy(address.sun_path, path, strlen(path) + 1);
	ck_assert_int_ge(fd, 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		close(fd);
		return false;
	}
	listener->stream = fdopen(fd, "r");
	return true;
}

/* The word in "event" of the next line; NULL at the end. Each line is whole, and JSON. */
static inline const char *next(struct listener *listener)
{
	json_error_t fault;
	const char *word;

	json_decref(listener->json);
	listener->json = NULL;
	errno = 0;
	if (fgets(listener->line, sizeof(listener->line), listener->stream) == NULL) {
		ck_assert_msg(errno != EAGAIN, "nothing came");
		return NULL;
	}
	ck_assert_ptr_nonnull(strchr(listener->line, '\n'));
	listener->json = json_loads(listener->line, 0, &fault);
	ck_assert_msg(listener->json != NULL, "%s: %s", fault.text, listener->line);
	word = json_string_value(json_object_get(listener->json, "event"));
	ck_assert_msg(word != NULL, "%s", listener->line);
	return word;
}

static inline void expect(struct listener *listener, const char *word)
{
	const char *got = next(listener);

	ck_assert_msg(got != NULL && strcmp(got, word) == 0, "not %s, but %s: %s", word, got != NULL ? got : "the end",
	              listener->line);
}

static inline long long number(const struct listener *listener, const char *key)
{
	ck_assert_msg(json_is_integer(json_object_get(listener->json, key)), "no %s in %s", key, listener->line);
	return json_integer_value(json_object_get(listener->json, key));
}

/* The connection that `tell` was given. */
static inline uint64_t connection_of(const struct listener *listener)
{
	const char *hex = json_string_value(json_object_get(listener->json, "conn"));
	uint64_t value = 0;

	ck_assert_msg(hex != NULL, "no conn in %s", listener->line);
	ck_assert_int_eq(text_from_hex((char[17]){hex[0], hex[1], hex[2], hex[3], hex[4], hex[5], hex[6], hex[7], hex[8],
	                                          hex[9], hex[10], hex[11], hex[12], hex[13], hex[14], hex[15], '\0'},
	                               (uint8_t *)&value, sizeof(value)),
	                 sizeof(value));
	return value;
}

static inline void leave(struct listener *listener)
{
	json_decref(listener->json);
	(void)fclose(listener->stream);
}

#endif
