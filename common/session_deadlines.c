/* The bounds of a connection that runs: silence, by direction and in all, and lifetime, from one timer. */
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "session_stages.h"

/* The bound that is reached first. */
struct deadline {
	uint64_t due_ms; /* loop time */
	enum reason reason;
};

static void consider(struct deadline *first, uint64_t since_ms, uint64_t bound_ms, enum reason reason)
{
	if (bound_ms > 0 && since_ms + bound_ms < first->due_ms)
		*first = (struct deadline){since_ms + bound_ms, reason};
}

/* What the kernel still holds goes on moving after the relay has handed it over, and a slow receiver is not a silent
 * one. */
static void look_at_queue(const struct session *session, const struct channel *channel, struct session_queue *queue)
{
	uint64_t unsent;
	int held = 0;

	if (channel == NULL)
		return;
	(void)ioctl(channel_fd(channel), SIOCOUTQ, &held);
	unsent = (uint64_t)held + channel_pending(channel);
	if (unsent != queue->unsent)
		queue->moved_ms = uv_now(iocontext_loop(session->host->io));
	queue->unsent = unsent;
}

static uint64_t later(uint64_t a_ms, uint64_t b_ms)
{
	return a_ms > b_ms ? a_ms : b_ms;
}

/* A direction that has ended is silent by right. */
static struct deadline first_deadline(const struct session *session)
{
	struct config_timeouts waits = session_timeouts(session);
	struct deadline first = {UINT64_MAX, REASON_NONE};
	struct relay_count count;
	uint64_t up_ms, down_ms;

	relay_counts(session->relay, &count);
	up_ms = later(count.up_ms, session->queues[0].moved_ms);
	down_ms = later(count.down_ms, session->queues[1].moved_ms);
	consider(&first, session->began_ns / 1000000, waits.lifetime_ms, REASON_LIFETIME);
	consider(&first, later(up_ms, down_ms), waits.idle_ms, REASON_IDLE);
	if (!count.up_ended)
		consider(&first, up_ms, waits.idle_up_ms, REASON_IDLE_UP);
	if (!count.down_ended)
		consider(&first, down_ms, waits.idle_down_ms, REASON_IDLE_DOWN);
	return first;
}

void session_watch_relay(struct session *session)
{
	uint64_t now_ms = uv_now(iocontext_loop(session->host->io));
	struct deadline first = first_deadline(session);

	if (first.reason == REASON_NONE)
		return;
	if (first.due_ms <= now_ms && first.reason != REASON_LIFETIME) {
		look_at_queue(session, session->back, &session->queues[0]);
		look_at_queue(session, session->front, &session->queues[1]);
		first = first_deadline(session);
	}
	if (first.due_ms <= now_ms)
		session_end(session, first.reason, "");
	else
		session_enter(session, STAGE_RELAY, first.due_ms - now_ms);
}

static void keep_alive(struct channel *channel, const struct config_timeouts *waits)
{
	if (channel != NULL)
		socket_keep_alive(channel_fd(channel), waits->keepalive_ms, waits->user_timeout_ms);
}

void session_keep_alive(struct session *session)
{
	struct config_timeouts waits = session_timeouts(session);

	keep_alive(session->front, &waits);
	keep_alive(session->back, &waits);
}
