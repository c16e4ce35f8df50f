/* Connects to the first address of a list that can be reached. */
#include "target.h"

#include <stdlib.h>

#include "connector.h"
#include "resolver.h"

struct target {
	struct iocontext *io;
	struct target_options options;
	target_done *done;
	void *owner;
	uv_timer_t timer;
	struct ready start;
	struct resolver *resolver;
	struct connector *connector;
	struct target_place place; /* the attempt counts where connections do */
	size_t at;                 /* number of the address being tried */
	size_t next, tries;        /* in `order` */
	bool closing;
	enum reason reason; /* of the last failure */
	char detail[ADDRESS_TEXT_SIZE + TARGET_DETAIL_SIZE];
	size_t order[]; /* numbers of the addresses to try */
};

static uint64_t now_ms(const struct target *target)
{
	return uv_now(iocontext_loop(target->io));
}

static void timer_closed(uv_handle_t *timer)
{
	free(timer->data);
}

/* What is under way at one address. */
static void cancel_attempt(struct target *target)
{
	resolver_cancel(target->resolver);
	target->resolver = NULL;
	connector_cancel(target->connector);
	target->connector = NULL;
	target_place_leave(&target->place);
}

static void close_all(struct target *target)
{
	if (target->closing)
		return;
	target->closing = true;
	iocontext_unready(&target->start);
	cancel_attempt(target);
	uv_close((uv_handle_t *)&target->timer, timer_closed);
}

void target_cancel(struct target *target)
{
	if (target != NULL)
		close_all(target);
}

static void finish(struct target *target, enum reason reason, struct channel *channel)
{
	close_all(target);
	target->done(target->owner, reason, channel, target->at, target->detail);
}

static void try_address(struct target *target);

static void next_address(struct target *target)
{
	if (target->next < target->tries) {
		target->at = target->order[target->next++];
		try_address(target);
		return;
	}
	if (target->reason == REASON_NONE) {
		target->reason = REASON_CONNECT_REFUSED;
		(void)snprintf(target->detail, sizeof(target->detail), "there is no other address");
	}
	finish(target, target->reason, NULL);
}

static void address_failed(struct target *target, enum reason reason, const char *detail)
{
	char text[ADDRESS_TEXT_SIZE];

	cancel_attempt(target);
	target->reason = reason;
	(void)snprintf(target->detail, sizeof(target->detail), "%s: %s",
	               address_format(&target->options.addresses->at[target->at], text), detail);
	target_memory_failed(target->options.memory, target->at, now_ms(target), target->options.retry_ms, detail);
	next_address(target);
}

static void connected(struct target *target, struct channel *channel)
{
	target_memory_connected(target->options.memory, target->at);
	target->detail[0] = '\0';
	finish(target, REASON_NONE, channel);
}

static void on_connected(void *owner, struct channel *channel, const char *error)
{
	struct target *target = owner;

	target->connector = NULL;
	if (channel != NULL)
		connected(target, channel);
	else
		address_failed(target, REASON_CONNECT_REFUSED, error);
}

/* The socket addresses that one configured address stands for. */
static void connect_to(struct target *target, const union socket_address *list, size_t count)
{
	target->connector = connector_start(target->io, list, count, on_connected, target);
	if (target->connector == NULL)
		address_failed(target, REASON_NO_MEMORY, "not enough memory");
}

static void on_resolved(void *owner, const char *error, const union socket_address *list, size_t count)
{
	struct target *target = owner;

	target->resolver = NULL;
	if (error != NULL)
		address_failed(target, REASON_NAME_NOT_FOUND, error);
	else
		connect_to(target, list, count);
}

static void on_timer(uv_timer_t *timer)
{
	struct target *target = timer->data;

	if (!target->closing)
		address_failed(target, REASON_CONNECT_TIMEOUT, "no answer in time");
}

static void try_address(struct target *target)
{
	const struct address *address = &target->options.addresses->at[target->at];

	if (address->kind == ADDRESS_ECHO) {
		connected(target, NULL);
		return;
	}
	target_place_take(&target->place, target->options.memory, target->at);
	(void)uv_timer_start(&target->timer, on_timer, target->options.connect_ms, 0);
	if (address->kind != ADDRESS_NAME) {
		connect_to(target, &address->socket, 1);
		return;
	}
	target->resolver = resolver_start(target->io, address->host, address->port, on_resolved, target);
	if (target->resolver == NULL)
		address_failed(target, REASON_NO_MEMORY, "not enough memory");
}

/* Without an attempt: what the last pings found is said in place of a wait. */
static void peer_is_down(struct target *target)
{
	struct target_state state;

	target->at = target->options.first;
	target_memory_state(target->options.memory, target->at, &state);
	(void)snprintf(target->detail, sizeof(target->detail), "the last ping of %s found %s: %s", state.address,
	               reason_word(state.reason), state.detail);
	finish(target, REASON_PEER_DOWN, NULL);
}

static void run_start(struct ready *ready)
{
	struct target *target = OWNER_OF(ready, struct target, start);
	const struct target_options *options = &target->options;
	const struct target_choice choice = {.count = options->addresses->count,
	                                     .balance = options->balance,
	                                     .first = options->first,
	                                     .never = options->never,
	                                     .now_ms = now_ms(target)};

	if (target_memory_is_disconnected(options->memory)) {
		(void)snprintf(target->detail, sizeof(target->detail), "disconnected by the operator");
		target->at = options->first;
		finish(target, REASON_PEER_DOWN, NULL);
		return;
	}
	if (options->alone) {
		target->order[0] = options->first;
		target->tries = 1;
	} else if (target_memory_all_down(options->memory)) {
		peer_is_down(target);
		return;
	} else {
		target->tries = target_memory_order(options->memory, &choice, target->order);
	}
	next_address(target);
}

struct target *target_start(struct iocontext *io, const struct target_options *options, target_done *done, void *owner)
{
	struct target *target = calloc(1, sizeof(*target) + options->addresses->count * sizeof(target->order[0]));

	if (target == NULL)
		return NULL;
	target->io = io;
	target->options = *options;
	target->done = done;
	target->owner = owner;
	target->timer.data = target;
	target->start.run = run_start;
	(void)uv_timer_init(iocontext_loop(io), &target->timer);
	iocontext_ready(io, &target->start);
	return target;
}
