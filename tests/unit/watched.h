/* A channel at one end of a socket pair, and what its watcher was told. */
#ifndef TEST_WATCHED_H
#define TEST_WATCHED_H

#include <errno.h>
#include <string.h>

#include "channel.h"
#include "loop.h"

struct watched {
	struct test_loop test;
	struct channel *channel;
	int far; /* our end */
	unsigned readable, writable;
	bool is_readable, is_writable, inside;
};

static inline void watched_event(void *owner, unsigned events)
{
	struct watched *watched = owner;

	ck_assert(!watched->inside);
	watched->readable += (events & CHANNEL_READABLE) != 0;
	watched->writable += (events & CHANNEL_WRITABLE) != 0;
	watched->is_readable = watched->is_readable || (events & CHANNEL_READABLE);
	watched->is_writable = watched->is_writable || (events & CHANNEL_WRITABLE);
	/* One that nobody answers would come for ever. */
	channel_want_read(watched->channel, false);
}

static inline void watched_open(struct watched *watched, int ends[2])
{
	memset(watched, 0, sizeof(*watched));
	test_loop_open(&watched->test);
	watched->far = ends[0];
	watched->channel = channel_new(watched->test.io, ends[1]);
	ck_assert_ptr_nonnull(watched->channel);
	channel_watch(watched->channel, watched_event, watched);
}

/* Wait for the kernel's word. */
static inline void watched_await(struct watched *watched)
{
	watched->is_readable = false;
	channel_want_read(watched->channel, true);
	test_loop_until(&watched->test, &watched->is_readable);
}

static inline enum channel_status watched_read(struct watched *watched, void *bytes, size_t size, size_t *got)
{
	enum channel_status status;

	watched->inside = true;
	status = channel_read(watched->channel, bytes, size, got);
	watched->inside = false;
	ck_assert_int_eq(*got > 0, status == CHANNEL_OK);
	ck_assert_uint_le(*got, size);
	return status;
}

static inline enum channel_status watched_write(struct watched *watched, const void *bytes, size_t size)
{
	enum channel_status status;

	watched->inside = true;
	status = channel_write(watched->channel, bytes, size);
	watched->inside = false;
	return status;
}

static inline void watched_close(struct watched *watched)
{
	channel_close(watched->channel);
	if (watched->far >= 0)
		close(watched->far);
	test_loop_close(&watched->test);
}

#endif
