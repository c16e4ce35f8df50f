/* Connects to the first of several socket addresses that answers. */
#include "connector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct attempt {
	struct connector *connector;
	struct channel *channel; /* owned; NULL: not begun, or failed */
	union socket_address address;
};

struct connector {
	struct iocontext *io;
	connector_done *done;
	void *owner;
	uv_timer_t timer;    /* of the next attempt */
	struct ready failed; /* the last attempt has failed, maybe inside start */
	const char *error;
	size_t count, next, pending;
	struct attempt attempts[];
};

static void timer_closed(uv_handle_t *timer)
{
	free(timer->data);
}

void connector_cancel(struct connector *connector)
{
	if (connector == NULL)
		return;
	iocontext_unready(&connector->failed);
	for (size_t i = 0; i < connector->next; i++) {
		channel_close(connector->attempts[i].channel);
		connector->attempts[i].channel = NULL;
	}
	uv_close((uv_handle_t *)&connector->timer, timer_closed);
}

static void finish(struct connector *connector, struct channel *channel)
{
	connector_cancel(connector);
	connector->done(connector->owner, channel, connector->error);
}

static void all_failed(struct ready *ready)
{
	finish(OWNER_OF(ready, struct connector, failed), NULL);
}

static void start_next(struct connector *connector);

static void on_connect(void *owner, unsigned events)
{
	struct attempt *attempt = owner;
	struct connector *connector = attempt->connector;
	struct channel *channel = attempt->channel;
	int error = channel_connect_error(channel);

	(void)events;
	attempt->channel = NULL;
	if (error == 0) {
		channel_watch(channel, NULL, NULL);
		finish(connector, channel);
		return;
	}
	channel_close(channel);
	connector->pending--;
	connector->error = strerrordesc_np(error);
	start_next(connector);
}

/* A non-blocking connect. 0, or an errno. */
static int start_attempt(struct attempt *attempt)
{
	const union socket_address *address = &attempt->address;
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
	attempt->channel = channel_new(attempt->connector->io, fd);
	if (attempt->channel == NULL) {
		close(fd);
		return ENOMEM;
	}
	channel_watch(attempt->channel, on_connect, attempt);
	channel_want_connect(attempt->channel);
	return 0;
}

static void on_stagger(uv_timer_t *timer)
{
	start_next(timer->data);
}

/* Begin the next attempt that can be begun; the one after it comes when its time has come, or when one fails. */
static void start_next(struct connector *connector)
{
	while (connector->next < connector->count) {
		int error = start_attempt(&connector->attempts[connector->next++]);

		if (error == 0) {
			connector->pending++;
			break;
		}
		connector->error = strerrordesc_np(error);
	}
	if (connector->next < connector->count)
		(void)uv_timer_start(&connector->timer, on_stagger, CONNECTOR_STAGGER_MS, 0);
	else
		(void)uv_timer_stop(&connector->timer);
	if (connector->pending == 0)
		iocontext_ready(connector->io, &connector->failed);
}

struct connector *connector_start(struct iocontext *io, const union socket_address *list, size_t count,
                                  connector_done *done, void *owner)
{
	struct connector *connector = calloc(1, sizeof(*connector) + count * sizeof(connector->attempts[0]));

	if (connector == NULL)
		return NULL;
	connector->io = io;
	connector->done = done;
	connector->owner = owner;
	connector->error = "";
	connector->count = count;
	connector->failed.run = all_failed;
	connector->timer.data = connector;
	(void)uv_timer_init(iocontext_loop(io), &connector->timer);
	for (size_t i = 0; i < count; i++) {
		connector->attempts[i].connector = connector;
		connector->attempts[i].address = list[i];
	}
	start_next(connector);
	return connector;
}
