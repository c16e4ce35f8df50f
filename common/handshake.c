/* Drives the TLS handshake of a channel to the verdict on the peer. */
#include "handshake.h"

#include <stdlib.h>

struct handshake {
	struct channel *channel;
	struct tls_expectation expectation;
	handshake_done *done;
	void *owner;
	struct ready first; /* the first step, after start has returned */
};

/* The handshake is gone before its owner hears of it, so that the owner may start the next stage at once. */
static void finish(struct handshake *handshake, const struct verdict *verdict, const struct tls_facts *facts)
{
	handshake_done *done = handshake->done;
	void *owner = handshake->owner;

	handshake_cancel(handshake);
	done(owner, verdict, facts);
}

static void step(struct handshake *handshake)
{
	enum channel_status status = channel_handshake(handshake->channel);
	SSL *ssl = channel_ssl(handshake->channel);
	struct verdict verdict;
	struct tls_facts facts;

	if (status == CHANNEL_AGAIN) {
		channel_want_read(handshake->channel, true);
		return;
	}
	if (status != CHANNEL_OK) {
		tls_verdict_failed(ssl, &handshake->expectation, &verdict);
		finish(handshake, &verdict, NULL);
		return;
	}
	tls_verdict(ssl, &handshake->expectation, &verdict);
	tls_facts_of(ssl, &facts);
	finish(handshake, &verdict, &facts);
}

static void channel_ready(void *owner, unsigned events)
{
	if (events & CHANNEL_READABLE)
		step(owner);
}

/* A server has nothing to do before the ClientHello. */
static void first_step(struct ready *ready)
{
	struct handshake *handshake = OWNER_OF(ready, struct handshake, first);

	if (handshake->expectation.is_server && !channel_more(handshake->channel))
		channel_want_read(handshake->channel, true);
	else
		step(handshake);
}

struct handshake *handshake_start(struct channel *channel, SSL *ssl, const struct tls_expectation *expectation,
                                  handshake_done *done, void *owner)
{
	struct handshake *handshake = calloc(1, sizeof(*handshake));

	if (handshake == NULL) {
		SSL_free(ssl);
		return NULL;
	}
	handshake->channel = channel;
	handshake->expectation = *expectation;
	handshake->done = done;
	handshake->owner = owner;
	handshake->first.run = first_step;
	if (channel_upgrade(channel, ssl) != CHANNEL_OK) {
		free(handshake);
		return NULL;
	}
	channel_watch(channel, channel_ready, handshake);
	iocontext_ready(channel_io(channel), &handshake->first);
	return handshake;
}

void handshake_cancel(struct handshake *handshake)
{
	if (handshake == NULL)
		return;
	iocontext_unready(&handshake->first);
	channel_watch(handshake->channel, NULL, NULL);
	free(handshake);
}
