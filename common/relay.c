/* Opaque bytes between two channels: both directions, half-close, back-pressure, splice in bulk. */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define TURN_BYTES (256 * 1024)   /* the most that one event moves, so that one stream cannot starve the rest */
#define BULK_READ (16 * 1024)     /* reads of this size, twice running, are bulk: worth a pipe */
#define SPLICE_BYTES (256 * 1024)
#define STEP_BYTES 4096 /* read at once while buffers are full */

/* One direction. */
struct flow {
	struct relay *relay;
	struct channel *from, *to;
	uint64_t bytes;
	uint64_t moved_ms; /* loop time of the last byte */
	uint64_t limit;    /* 0: none */
	unsigned bulk;     /* reads of bulk size in a row */
	bool ended;        /* the source ended in order, and the end was passed on */
	bool no_splice;    /* the kernel cannot do it between these sockets */
	bool has_pipe;
	int pipe[2];
	size_t in_pipe;
};

struct relay {
	struct channel *front, *back; /* back is NULL where the front gets its own bytes back */
	struct flow up, down;
	relay_done *done;
	void *owner;
	struct ready start, finish;
	const struct trace_subject *subject; /* borrowed; NULL: nobody */
	bool finished;
	enum reason reason;
	bool at_front;
	const char *detail;
};

static void back_ready(void *owner, unsigned events);

static void run_finish(struct ready *ready)
{
	struct relay *relay = OWNER_OF(ready, struct relay, finish);

	relay->done(relay->owner, relay->reason, relay->at_front, relay->detail);
}

/* The owner hears of it from the queue, where nothing of the relay is on the stack. */
static void finish(struct relay *relay, enum reason reason, const struct channel *where)
{
	if (relay->finished)
		return;
	relay->finished = true;
	relay->reason = reason;
	relay->at_front = where == relay->front;
	relay->detail = where != NULL ? channel_error(where) : "";
	channel_watch(relay->front, NULL, NULL);
	if (relay->back != NULL)
		channel_watch(relay->back, NULL, NULL);
	iocontext_ready(channel_io(relay->front), &relay->finish);
}

static void fail(struct relay *relay, enum channel_status status, const struct channel *where)
{
	switch (status) {
	case CHANNEL_TRUNCATED:
		finish(relay, REASON_TRUNCATED, where);
		break;
	case CHANNEL_RESET:
		finish(relay, REASON_RESET, where);
		break;
	case CHANNEL_NO_MEMORY:
		finish(relay, REASON_NO_MEMORY, where);
		break;
	default:
		finish(relay, REASON_TLS_ERROR, where);
		break;
	}
}

static bool is_ended(const struct flow *flow)
{
	return flow->to == NULL || (flow->ended && channel_pending(flow->to) == 0);
}

static void finish_if_ended(struct relay *relay)
{
	if (is_ended(&relay->up) && is_ended(&relay->down))
		finish(relay, REASON_ENDED, NULL);
}

static const char *way(const struct flow *flow)
{
	return flow == &flow->relay->up ? "from the client" : "to the client";
}

static enum trace_side side_of(const struct flow *flow)
{
	return flow == &flow->relay->up ? TRACE_FRONT : TRACE_BACK;
}

static void end_flow(struct flow *flow)
{
	enum channel_status status = channel_end(flow->to);

	flow->ended = true;
	TRACE(flow->relay->subject, side_of(flow), "half-close", "%s, after %llu bytes", way(flow),
	      (unsigned long long)flow->bytes);
	channel_want_read(flow->from, false);
	if (status != CHANNEL_OK)
		fail(flow->relay, status, flow->to);
	else
		finish_if_ended(flow->relay);
}

static void note_movement(struct flow *flow)
{
	flow->moved_ms = uv_now(iocontext_loop(channel_io(flow->to)));
}

static void count(struct flow *flow, size_t bytes)
{
	if (flow->bytes == 0)
		TRACE(flow->relay->subject, side_of(flow), "first bytes", "%zu %s", bytes, way(flow));
	flow->bytes += bytes;
	note_movement(flow);
}

static void give_pipe(struct flow *flow)
{
	if (flow->has_pipe && flow->in_pipe == 0) {
		iocontext_give_pipe(channel_io(flow->from), flow->pipe);
		flow->has_pipe = false;
	}
}

/* Empty the pipe into the sink. True: it is empty. */
static bool drain_pipe(struct flow *flow)
{
	while (flow->in_pipe > 0) {
		ssize_t went = splice(flow->pipe[0], NULL, channel_fd(flow->to), NULL, flow->in_pipe,
		                      SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (went > 0) {
			flow->in_pipe -= (size_t)went;
			channel_count_add(flow->to, 0, (uint64_t)went);
			note_movement(flow);
		} else if (went < 0 && errno == EINTR) {
			continue;
		} else if (went < 0 && errno == EAGAIN) {
			channel_want_read(flow->from, false);
			channel_want_connect(flow->to);
			return false;
		} else {
			finish(flow->relay, REASON_RESET, flow->to);
			return false;
		}
	}
	return true;
}

static bool wants_splice(const struct flow *flow)
{
	return flow->bulk >= 2 && !flow->no_splice && flow->limit == 0 && channel_ssl(flow->from) == NULL &&
	       channel_ssl(flow->to) == NULL && iocontext_room(channel_io(flow->to)) == IO_SCRATCH_SIZE;
}

/* One splice in and out. Bytes moved; 0: nothing for now, or this way cannot go on (the caller reads instead). */
static size_t splice_some(struct flow *flow)
{
	ssize_t came;

	if (!flow->has_pipe && iocontext_take_pipe(channel_io(flow->from), flow->pipe) != 0) {
		flow->no_splice = true;
		return 0;
	}
	flow->has_pipe = true;
	do
		came = splice(channel_fd(flow->from), NULL, flow->pipe[1], NULL, SPLICE_BYTES,
		              SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (came < 0 && errno == EINTR);
	if (came <= 0) {
		/* The end and faults are found by the read that follows. */
		flow->no_splice = came < 0 && errno == EINVAL;
		flow->bulk = 0;
		give_pipe(flow);
		return 0;
	}
	if (came < BULK_READ)
		flow->bulk = 0;
	flow->in_pipe = (size_t)came;
	channel_count_add(flow->from, (uint64_t)came, 0);
	count(flow, (size_t)came);
	if (drain_pipe(flow))
		give_pipe(flow);
	return (size_t)came;
}

/* Would the kernel take a small amount for the sink now? Where not, the poll has asked it to say when. */
static bool takes_now(const struct channel *channel)
{
	struct pollfd socket = {.fd = channel_fd(channel), .events = POLLOUT};

	return poll(&socket, 1, 0) != 0;
}

/* How much to read at once. Where the buffers of all connections together are full, only what the sink most likely
 * takes at once, so that a fast receiver goes on however many slow ones there are; 0: wait for the sink. */
static size_t most_at_once(struct flow *flow)
{
	struct iocontext *io = channel_io(flow->to);
	size_t most = iocontext_room(io);

	if (most > 0)
		return most;
	iocontext_room_met(io);
	if (takes_now(flow->to))
		return STEP_BYTES;
	channel_want_read(flow->from, false);
	channel_want_connect(flow->to);
	return 0;
}

/* Read once and write it all. Bytes moved; 0: wait, ended or failed. */
static size_t copy_some(struct flow *flow)
{
	uint8_t *scratch = iocontext_scratch(channel_io(flow->from));
	size_t most = most_at_once(flow);
	enum channel_status status;
	size_t got;

	if (most == 0)
		return 0;
	if (flow->limit > 0 && flow->limit - flow->bytes < most)
		most = (size_t)(flow->limit - flow->bytes);
	status = channel_read(flow->from, scratch, most, &got);
	if (status == CHANNEL_AGAIN) {
		channel_want_read(flow->from, true);
		return 0;
	}
	if (status == CHANNEL_EOF) {
		end_flow(flow);
		return 0;
	}
	if (status != CHANNEL_OK) {
		fail(flow->relay, status, flow->from);
		return 0;
	}
	flow->bulk = got >= BULK_READ ? flow->bulk + 1 : 0;
	count(flow, got);
	status = channel_write(flow->to, scratch, got);
	if (status != CHANNEL_OK) {
		fail(flow->relay, status, flow->to);
		return 0;
	}
	if (flow->limit > 0 && flow->bytes == flow->limit) {
		end_flow(flow);
		return 0;
	}
	return got;
}

/* Move what can be moved, up to a turn's worth. */
static void run_flow(struct flow *flow)
{
	size_t moved = 0;

	if (flow->to == NULL || flow->ended || flow->relay->finished)
		return;
	while (moved < TURN_BYTES) {
		size_t more = 0;

		if (channel_pending(flow->to) > 0) {
			channel_want_read(flow->from, false);
			return;
		}
		if (flow->in_pipe > 0 && !drain_pipe(flow))
			return;
		give_pipe(flow);
		if (wants_splice(flow))
			more = splice_some(flow);
		if (flow->relay->finished || flow->in_pipe > 0)
			return;
		if (more == 0)
			more = copy_some(flow);
		if (more == 0)
			return;
		moved += more;
		if (!wants_splice(flow) && !channel_more(flow->from)) {
			channel_want_read(flow->from, true);
			return;
		}
	}
	channel_again(flow->from);
}

/* Of a direction that has ended, the rest has gone, or could not go: no end in order then. */
static void rest_sent(struct flow *flow)
{
	enum channel_status status = channel_sent(flow->to);

	if (status != CHANNEL_OK)
		fail(flow->relay, status, flow->to);
	else
		finish_if_ended(flow->relay);
}

static void channel_event_at(struct relay *relay, struct flow *out, struct flow *in, unsigned events)
{
	if (events & CHANNEL_READABLE)
		run_flow(out);
	if ((events & CHANNEL_WRITABLE) && !relay->finished) {
		if (in->ended)
			rest_sent(in);
		else
			run_flow(in);
	}
}

static void front_ready(void *owner, unsigned events)
{
	struct relay *relay = owner;

	channel_event_at(relay, &relay->up, relay->back != NULL ? &relay->down : &relay->up, events);
}

static void back_ready(void *owner, unsigned events)
{
	struct relay *relay = owner;

	channel_event_at(relay, &relay->down, &relay->up, events);
}

static void run_start(struct ready *ready)
{
	struct relay *relay = OWNER_OF(ready, struct relay, start);

	run_flow(&relay->up);
	run_flow(&relay->down);
}

struct relay *relay_start(struct channel *front, struct channel *back, uint64_t echo_limit,
                          const struct verdict *verdict, relay_done *done, void *owner)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	if (relay == NULL)
		return NULL;
	relay->front = front;
	relay->back = back;
	relay->done = done;
	relay->owner = owner;
	relay->detail = "";
	relay->start.run = run_start;
	relay->finish.run = run_finish;
	relay->up = (struct flow){.relay = relay, .from = front, .to = back != NULL ? back : front, .limit = echo_limit};
	relay->down = (struct flow){.relay = relay, .from = back, .to = back != NULL ? front : NULL};
	relay->up.moved_ms = relay->down.moved_ms = uv_now(iocontext_loop(channel_io(front)));
	if (verdict == NULL || verdict->reason != REASON_NONE) {
		finish(relay, REASON_INTERNAL, NULL);
		return relay;
	}
	channel_watch(front, front_ready, relay);
	if (back != NULL)
		channel_watch(back, back_ready, relay);
	iocontext_ready(channel_io(front), &relay->start);
	return relay;
}

/* Bytes that had to wait for the sink count again when they go out: a slow receiver is not a silent one. */
static uint64_t last_movement(const struct flow *flow)
{
	uint64_t flushed_ms = channel_flushed_ms(flow->to);

	return flushed_ms > flow->moved_ms ? flushed_ms : flow->moved_ms;
}

void relay_trace(struct relay *relay, const struct trace_subject *subject)
{
	relay->subject = subject;
}

void relay_counts(const struct relay *relay, struct relay_count *counts)
{
	const struct flow *down = relay->back != NULL ? &relay->down : &relay->up;

	counts->up = relay->up.bytes;
	counts->down = down->bytes;
	counts->up_ms = last_movement(&relay->up);
	counts->down_ms = last_movement(down);
	counts->up_ended = relay->up.ended;
	counts->down_ended = down->ended;
}

static void close_pipe(struct flow *flow)
{
	if (!flow->has_pipe)
		return;
	/* Bytes may be left in it: not one for the pool. */
	iocontext_drop_pipe(channel_io(flow->from), flow->pipe);
}

void relay_free(struct relay *relay)
{
	if (relay == NULL)
		return;
	if (!relay->finished) {
		channel_watch(relay->front, NULL, NULL);
		if (relay->back != NULL)
			channel_watch(relay->back, NULL, NULL);
	}
	iocontext_unready(&relay->start);
	iocontext_unready(&relay->finish);
	close_pipe(&relay->up);
	close_pipe(&relay->down);
	free(relay);
}
