/* Closes a channel so that what was sent last is not swallowed by a reset. */
#include "linger.h"

#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define LINGER_MS 1000
#define LINGER_BYTES (64 * 1024)
#define LOOK_MS 20 /* how often the send queue is looked at */

struct lingering {
	struct channel *channel;
	enum linger_way way;
	linger_done *done;
	void *owner;
	uv_timer_t timer;
	uint64_t until_ms;
	size_t dropped;
};

static void timer_closed(uv_handle_t *timer)
{
	free(timer->data);
}

void linger_stop(struct lingering *linger)
{
	if (linger == NULL)
		return;
	if (linger->way == LINGER_RESET)
		channel_abort(linger->channel);
	else
		channel_close(linger->channel);
	uv_close((uv_handle_t *)&linger->timer, timer_closed);
}

static void finish(struct lingering *linger)
{
	linger_done *done = linger->done;
	void *owner = linger->owner;

	linger_stop(linger);
	done(owner);
}

static void channel_ready(void *owner, unsigned events)
{
	struct lingering *linger = owner;
	enum channel_status status;
	size_t got = 0;

	if (!(events & CHANNEL_READABLE))
		return;
	status = channel_read(linger->channel, iocontext_scratch(channel_io(linger->channel)), IO_SCRATCH_SIZE, &got);
	linger->dropped += got;
	if ((status != CHANNEL_OK && status != CHANNEL_AGAIN) || linger->dropped >= LINGER_BYTES)
		finish(linger);
	else
		channel_want_read(linger->channel, true);
}

static void look(uv_timer_t *timer)
{
	struct lingering *linger = timer->data;
	int unsent = 0;

	if (uv_now(timer->loop) >= linger->until_ms) {
		finish(linger);
		return;
	}
	if (linger->way != LINGER_RESET || channel_pending(linger->channel) > 0)
		return;
	if (ioctl(channel_fd(linger->channel), SIOCOUTQ, &unsent) != 0 || unsent == 0)
		finish(linger);
}

struct lingering *linger_start(struct channel *channel, enum linger_way way, linger_done *done, void *owner)
{
	struct lingering *linger = calloc(1, sizeof(*linger));
	uv_loop_t *loop = iocontext_loop(channel_io(channel));

	if (linger == NULL) {
		channel_abort(channel);
		return NULL;
	}
	linger->channel = channel;
	linger->way = way;
	linger->done = done;
	linger->owner = owner;
	linger->until_ms = uv_now(loop) + LINGER_MS;
	linger->timer.data = linger;
	(void)uv_timer_init(loop, &linger->timer);
	if (way == LINGER_DROP) {
		channel_watch(channel, channel_ready, linger);
		channel_want_read(channel, true);
		if (channel_ssl(channel) != NULL)
			channel_again(channel);
		(void)uv_timer_start(&linger->timer, look, LINGER_MS, LOOK_MS);
	} else {
		channel_watch(channel, NULL, NULL);
		(void)uv_timer_start(&linger->timer, look, 0, LOOK_MS);
	}
	return linger;
}
