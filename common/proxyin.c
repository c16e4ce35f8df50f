/* The PROXY header at the beginning of a connection: looked at first, and only then taken, to the byte. */
#include "proxyin.h"

#include <stdlib.h>

struct proxyin {
	struct channel *channel;
	proxyin_done *done;
	void *owner;
	size_t used; /* bytes taken: all of them belong to the header */
	uint8_t bytes[PROXY_HEADER_MOST];
};

static void finish(struct proxyin *proxyin, enum reason reason, const struct proxy_header *header, const char *detail)
{
	channel_watch(proxyin->channel, NULL, NULL);
	proxyin->done(proxyin->owner, reason, header, detail);
	free(proxyin);
}

static void ended(struct proxyin *proxyin, enum channel_status status)
{
	/* Health checks of balancers may end by a reset. */
	if (proxyin->used == 0)
		finish(proxyin, REASON_PROXY_MISSING, NULL, "closed without a byte");
	else if (status != CHANNEL_EOF)
		finish(proxyin, REASON_RESET, NULL, channel_error(proxyin->channel));
	else
		finish(proxyin, REASON_PROXY_HEADER, NULL, "closed in the middle of the PROXY header");
}

/* Take bytes that were seen. They are there: anything else is the end of the connection. False: finished. */
static bool take(struct proxyin *proxyin, size_t size)
{
	while (size > 0) {
		size_t got;
		enum channel_status status = channel_read(proxyin->channel, proxyin->bytes + proxyin->used, size, &got);

		if (status != CHANNEL_OK) {
			ended(proxyin, status);
			return false;
		}
		proxyin->used += got;
		size -= got;
	}
	return true;
}

/* Look at what is there, and take what belongs to the header. True: look again. */
static bool look(struct proxyin *proxyin)
{
	struct proxy_header header;
	enum channel_status status;
	enum proxy_result result;
	const char *what;
	size_t got;

	/* The codec refuses a header that would fill the buffer without an end, so there is room. */
	status =
	    channel_peek(proxyin->channel, proxyin->bytes + proxyin->used, sizeof(proxyin->bytes) - proxyin->used, &got);
	if (status == CHANNEL_AGAIN) {
		channel_want_read(proxyin->channel, true);
		return false;
	}
	if (status != CHANNEL_OK) {
		ended(proxyin, status);
		return false;
	}
	result = proxy_header_parse(proxyin->bytes, proxyin->used + got, &header, &what);
	if (result == PROXY_MORE)
		return take(proxyin, got);
	if (result == PROXY_FOREIGN || result == PROXY_BAD)
		finish(proxyin, result == PROXY_FOREIGN ? REASON_PROXY_MISSING : REASON_PROXY_HEADER, NULL, what);
	else if (take(proxyin, header.length - proxyin->used))
		finish(proxyin, REASON_NONE, &header, "");
	return false;
}

static void on_event(void *owner, unsigned events)
{
	struct proxyin *proxyin = owner;

	if (!(events & CHANNEL_READABLE))
		return;
	while (look(proxyin))
		;
}

struct proxyin *proxyin_start(struct channel *channel, proxyin_done *done, void *owner)
{
	struct proxyin *proxyin = malloc(sizeof(*proxyin));

	if (proxyin == NULL)
		return NULL;
	proxyin->channel = channel;
	proxyin->done = done;
	proxyin->owner = owner;
	proxyin->used = 0;
	channel_watch(channel, on_event, proxyin);
	channel_want_read(channel, true);
	return proxyin;
}

bool proxyin_has_bytes(const struct proxyin *proxyin)
{
	return proxyin->used > 0;
}

void proxyin_cancel(struct proxyin *proxyin)
{
	if (proxyin == NULL)
		return;
	channel_watch(proxyin->channel, NULL, NULL);
	free(proxyin);
}
