/* The connecting side of a gateway, between its client and us. */
#include "trap.h"

#include <string.h>
#include <sys/socket.h>

#include "steps.h"

#define TRIES 3

/* Wait for the OFFER that is for us; probes of the gateway's own are sent away. */
static const char *await_offer(struct trap *trap, const struct scene *scene)
{
	struct message refuse;
	int got;

	for (int i = 0; i < 20; i++) {
		if (!link_take(&trap->peer, scene->listening))
			return "the gateway does not connect to us";
		got = link_answer(&trap->peer);
		trap->peer.offer = trap->peer.answer;
		if (got == OFFER && strcmp(trap->peer.read.target, "*PING") != 0)
			return trap->peer.read.security == REQUIRED
			           ? NULL
			           : seen("the gateway offers security %d, not required", trap->peer.read.security);
		if (got == GOT_RUBBISH)
			return seen("in place of an OFFER: %s", trap->peer.wrong);
		message_refuse(&refuse, REASON_STOPPING, NULL);
		(void)link_send_message(&trap->peer, &refuse);
		link_close(&trap->peer, false);
	}
	return "the gateway only asks whether we are there";
}

const char *trap_set(struct trap *trap, const struct scene *scene)
{
	const char *wrong = NULL;

	memset(trap, 0, sizeof(*trap));
	trap->client.fd = trap->peer.fd = -1;
	for (int i = 0; i < TRIES; i++) {
		if (!link_open(&trap->client, scene))
			return "no connection is taken";
		message_offer(&trap->client.offer, NONE, scene->sysid, scene->target);
		(void)link_send_message(&trap->client, &trap->client.offer);
		wrong = await_offer(trap, scene);
		if (wrong == NULL)
			return NULL;
		trap_close(trap);
	}
	return wrong;
}

void trap_end(struct trap *trap, enum trap_end end)
{
	if (end == TRAP_ENDS && trap->peer.fd >= 0)
		(void)shutdown(trap->peer.fd, SHUT_WR);
	else if (end == TRAP_RESETS)
		link_close(&trap->peer, true);
}

static bool contains(const char *bytes, size_t size, const char *word, size_t length)
{
	for (size_t i = 0; i + length <= size; i++)
		if (memcmp(bytes + i, word, length) == 0)
			return true;
	return false;
}

/* All that comes until the end, or for `ms` of silence. */
static size_t drain(struct link *link, char *bytes, size_t most, int ms, int *how)
{
	size_t size = 0;
	long got = 1;

	while (got > 0 && size < most) {
		got = link->fd >= 0 ? link_receive(link, bytes + size, most - size, ms) : GOT_CUT;
		size += got > 0 ? (size_t)got : 0;
	}
	*how = (int)got;
	return size;
}

const char *trap_held(struct trap *trap, int ms)
{
	char bytes[8192];
	size_t size = MESSAGE_HEADER;
	int how, got = (int)link_receive(&trap->client, trap->client.answer.bytes, MESSAGE_HEADER, ms);

	if (got == GOT_NOTHING)
		return seen("its client is left alone for %d s", ms / 1000);
	if (got <= 0)
		return "its client is cut off without a word";
	/* The rest of the message, as link_answer would take it. */
	trap->client.answer.size = message_length(trap->client.answer.bytes);
	while (size < trap->client.answer.size && size < MESSAGE_MOST) {
		long more =
		    link_receive(&trap->client, trap->client.answer.bytes + size, trap->client.answer.size - size, PATIENCE_MS);

		if (more <= 0)
			return "its client gets half an answer";
		size += (size_t)more;
	}
	trap->client.wrong = message_read(&trap->client.answer, &trap->client.read);
	if (trap->client.wrong != NULL)
		return seen("its client gets %s", trap->client.wrong);
	if (trap->client.read.type == ACCEPT)
		(void)link_send(&trap->client, MARKER, MARKER_SIZE);
	size = drain(&trap->peer, bytes, sizeof(bytes), 500, &how);
	if (contains(bytes, size, MARKER, MARKER_SIZE))
		return "its client's bytes have come to us";
	size = drain(&trap->client, bytes, sizeof(bytes), PATIENCE_MS, &how);
	if (contains(bytes, size, INJECTED, INJECTED_SIZE))
		return "its client gets our bytes";
	return how != GOT_NOTHING ? NULL : "its client is neither served nor ended";
}

/* What the client sends comes to us inside TLS, and goes back to it. */
static const char *echo_for(struct trap *trap)
{
	char bytes[MARKER_SIZE];
	size_t done = 0;
	long got;

	if (!link_send(&trap->client, MARKER, MARKER_SIZE))
		return "its client cannot send";
	while (done < sizeof(bytes)) {
		got = link_receive(&trap->peer, bytes + done, sizeof(bytes) - done, PATIENCE_MS);
		if (got <= 0)
			return "what its client sends does not come to us";
		done += (size_t)got;
	}
	if (memcmp(bytes, MARKER, MARKER_SIZE) != 0 || !link_send(&trap->peer, bytes, sizeof(bytes)))
		return "what its client sends comes altered";
	done = 0;
	while (done < sizeof(bytes)) {
		got = link_receive(&trap->client, bytes + done, sizeof(bytes) - done, PATIENCE_MS);
		if (got <= 0)
			return "what we send does not reach its client";
		done += (size_t)got;
	}
	return NULL;
}

const char *trap_honest(const struct scene *scene)
{
	struct trap trap;
	const char *wrong = trap_set(&trap, scene);
	int got;

	if (wrong == NULL) {
		message_accept(&trap.peer.answer, TLS_FOLLOWS, 4096);
		(void)link_send_message(&trap.peer, &trap.peer.answer);
		if (!link_tls_server(&trap.peer, scene, NULL))
			wrong = seen("the handshake fails (alert %d): does it trust our certificate?", link_alert());
	}
	if (wrong == NULL)
		wrong = link_confirm(&trap.peer, "server");
	if (wrong == NULL) {
		got = link_answer(&trap.client);
		wrong = got == ACCEPT ? echo_for(&trap) : seen("its client gets %s", got_words(&trap.client, got));
	}
	trap_close(&trap);
	return wrong;
}

void trap_close(struct trap *trap)
{
	link_close(&trap->client, false);
	link_close(&trap->peer, false);
}
