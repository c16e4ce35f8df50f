/* Connects to the first address of a list that can be reached. */
#include "target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "resolver.h"

struct target {
	struct iocontext *io;
	struct target_options options;
	target_done *done;
	void *owner;
	uv_timer_t timer;
	struct ready start;
	struct resolver *resolver;
	struct channel *channel;
	size_t at;    /* number of the address being tried */
	size_t tried; /* how many have been */
	bool any_age; /* all are left out: try all */
	bool closing;
	union socket_address list[RESOLVER_ADDRESSES]; /* what the address stands for */
	size_t list_count, list_at;
	enum reason reason; /* of the last failure */
	char detail[160];
};

int target_memory_init(struct target_memory *memory, size_t count)
{
	memory->count = count;
	memory->until_ms = calloc(count + 1, sizeof(*memory->until_ms));
	return memory->until_ms != NULL ? 0 : -1;
}

void target_memory_close(struct target_memory *memory)
{
	free(memory->until_ms);
	memory->until_ms = NULL;
}

void target_memory_failed(struct target_memory *memory, size_t address, uint64_t now_ms, uint64_t retry_ms)
{
	if (memory != NULL && address < memory->count)
		memory->until_ms[address] = now_ms + retry_ms;
}

static uint64_t now_ms(const struct target *target)
{
	return uv_now(iocontext_loop(target->io));
}

static void log_change(const struct target_options *options, size_t address, enum message message, const char *detail)
{
	struct logline line;
	char text[ADDRESS_TEXT_SIZE];

	log_begin(&line, message, NULL);
	log_text(&line, "name", options->name);
	log_text(&line, "address", address_format(&options->addresses->at[address], text));
	log_text(&line, "detail", detail);
	log_end(&line);
}

/* Without a memory nobody knows what is new, and the owner says what came of it. */
void target_address_failed(const struct target_options *options, size_t address, uint64_t at_ms, const char *detail)
{
	if (options->memory == NULL)
		return;
	if (options->memory->until_ms[address] == 0)
		log_change(options, address, MESSAGE_PEER_SWITCHED, detail);
	target_memory_failed(options->memory, address, at_ms, options->retry_ms);
}

static void timer_closed(uv_handle_t *timer)
{
	free(timer->data);
}

static void close_all(struct target *target)
{
	if (target->closing)
		return;
	target->closing = true;
	iocontext_unready(&target->start);
	resolver_cancel(target->resolver);
	target->resolver = NULL;
	channel_close(target->channel);
	target->channel = NULL;
	uv_close((uv_handle_t *)&target->timer, timer_closed);
}

void target_cancel(struct target *target)
{
	if (target != NULL)
		close_all(target);
}

static void finish(struct target *target, enum reason reason, struct channel *channel)
{
	target->channel = NULL;
	close_all(target);
	target->done(target->owner, reason, channel, target->at, target->detail);
}

static void try_address(struct target *target);

static bool left_out(const struct target *target)
{
	const struct target_memory *memory = target->options.memory;

	if (target->at < 64 && (target->options.never >> target->at & 1) != 0)
		return true;
	return memory != NULL && !target->any_age && memory->until_ms[target->at] > now_ms(target);
}

/* Go on with the next address that is not left out; when all are, with all. */
static void next_address(struct target *target)
{
	size_t count = target->options.addresses->count;

	while (target->tried < count) {
		target->at = (target->options.first + target->tried) % count;
		if (!left_out(target)) {
			try_address(target);
			return;
		}
		target->tried++;
	}
	if (!target->any_age && target->reason == REASON_NONE) {
		target->any_age = true;
		target->tried = 0;
		next_address(target);
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

	resolver_cancel(target->resolver);
	target->resolver = NULL;
	channel_close(target->channel);
	target->channel = NULL;
	target->reason = reason;
	(void)snprintf(target->detail, sizeof(target->detail), "%s: %s",
	               address_format(&target->options.addresses->at[target->at], text), detail);
	target_address_failed(&target->options, target->at, now_ms(target), detail);
	target->tried++;
	next_address(target);
}

static void connected(struct target *target)
{
	struct target_memory *memory = target->options.memory;

	if (memory != NULL && memory->until_ms[target->at] != 0) {
		memory->until_ms[target->at] = 0;
		log_change(&target->options, target->at, MESSAGE_PEER_RETURNED, "");
	}
	target->detail[0] = '\0';
	if (target->channel != NULL)
		channel_watch(target->channel, NULL, NULL);
	finish(target, REASON_NONE, target->channel);
}

static void connect_next(struct target *target, const char *detail);

static void on_connect(void *owner, unsigned events)
{
	struct target *target = owner;
	int error = channel_connect_error(target->channel);

	(void)events;
	if (error == 0) {
		connected(target);
		return;
	}
	channel_close(target->channel);
	target->channel = NULL;
	connect_next(target, strerrordesc_np(error));
}

/* A non-blocking connect to one socket address. 0, or an errno. */
static int connect_to(struct target *target, const union socket_address *address)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int result;

	if (fd < 0)
		return errno;
	socket_no_delay(fd, address);
	do
		result = connect(fd, &address->any, socket_length(address));
	while (result != 0 && errno == EINTR);
	if (result != 0 && errno != EINPROGRESS) {
		result = errno;
		close(fd);
		return result;
	}
	target->channel = channel_new(target->io, fd);
	if (target->channel == NULL) {
		close(fd);
		return ENOMEM;
	}
	channel_watch(target->channel, on_connect, target);
	channel_want_connect(target->channel);
	return 0;
}

/* The next of the socket addresses that one configured address stands for. */
static void connect_next(struct target *target, const char *detail)
{
	while (target->list_at < target->list_count) {
		int error = connect_to(target, &target->list[target->list_at++]);

		if (error == 0)
			return;
		detail = strerrordesc_np(error);
	}
	address_failed(target, REASON_CONNECT_REFUSED, detail);
}

static void on_resolved(void *owner, const char *error, const union socket_address *list, size_t count)
{
	struct target *target = owner;

	target->resolver = NULL;
	if (error != NULL) {
		address_failed(target, REASON_NAME_NOT_FOUND, error);
		return;
	}
	memcpy(target->list, list, count * sizeof(*list));
	target->list_count = count;
	target->list_at = 0;
	connect_next(target, "no address");
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
		connected(target);
		return;
	}
	(void)uv_timer_start(&target->timer, on_timer, target->options.connect_ms, 0);
	if (address->kind == ADDRESS_NAME) {
		target->resolver = resolver_start(target->io, address->host, address->port, on_resolved, target);
		if (target->resolver == NULL)
			address_failed(target, REASON_NAME_NOT_FOUND, "the look-up cannot be started");
		return;
	}
	target->list[0] = address->socket;
	target->list_count = 1;
	target->list_at = 0;
	connect_next(target, "");
}

static void run_start(struct ready *ready)
{
	next_address(OWNER_OF(ready, struct target, start));
}

struct target *target_start(struct iocontext *io, const struct target_options *options, target_done *done, void *owner)
{
	struct target *target = calloc(1, sizeof(*target));

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
