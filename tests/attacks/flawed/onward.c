/* The connecting side: a client in the clear is served by a peer over TLS, which is required. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flawed.h"

#define IDLE_MS 60000

static bool dial(const struct site *site, struct end *peer)
{
	const struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_port = htons(site->peer), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	end_phase(peer, site);
	return peer->fd >= 0 && connect(peer->fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
	       fcntl(peer->fd, F_SETFL, O_NONBLOCK) == 0;
}

/* What the peer answers: the security that it goes on with, or -1. */
static int ask(const struct site *site, struct end *peer, const struct message *offer, struct message *answer)
{
	const bool buffered = site->flaw == FLAW_BUFFERED_ANSWER || site->flaw == FLAW_YIELDS;
	struct reading reading;
	int reason;

	memset(answer, 0, sizeof(*answer));
	if (!end_write(peer, offer->bytes, offer->size) || end_message(peer, answer, &reading, buffered, &reason) != NULL)
		return -1;
	if (reading.type != ACCEPT)
		return -1;
	if (reading.security == TLS_FOLLOWS || (reading.security == CLEAR && site->flaw == FLAW_YIELDS) ||
	    (reading.security == INSIDE_TLS && site->flaw == FLAW_BELIEVES_ANSWER))
		return reading.security;
	return -1;
}

static bool secure(const struct site *site, struct end *peer, const struct message *offer, const struct message *answer)
{
	bool data = site->flaw == FLAW_TAKES_PEER_DATA || (site->flaw == FLAW_BUFFERED_ANSWER && peer->early_size > 0);

	peer->ssl = SSL_new(site->client);
	if (peer->ssl == NULL || SSL_set_fd(peer->ssl, peer->fd) != 1)
		return false;
	SSL_set_connect_state(peer->ssl);
	end_phase(peer, site);
	if (!end_handshake(peer))
		return false;
	end_phase(peer, site);
	return end_confirm(peer, false, offer, answer, site->flaw == FLAW_PEER_UNCONFIRMED, data);
}

/* From one to the other what there is; false: it is over. */
static bool pass(struct end *from, struct end *to)
{
	char bytes[4096];
	long got;

	from->until_ms = to->until_ms = end_now() + IDLE_MS;
	got = end_read(from, bytes, sizeof(bytes));
	return got > 0 && end_write(to, bytes, (size_t)got);
}

static void relay(struct end *client, struct end *peer)
{
	struct pollfd ready[2] = {{.fd = client->fd, .events = POLLIN}, {.fd = peer->fd, .events = POLLIN}};
	bool goes_on = true;

	while (goes_on) {
		if (peer->early_size > 0 || (peer->ssl != NULL && SSL_pending(peer->ssl) > 0)) {
			goes_on = pass(peer, client);
			continue;
		}
		if (poll(ready, 2, IDLE_MS) <= 0)
			return;
		if (ready[0].revents != 0)
			goes_on = pass(client, peer);
		if (goes_on && ready[1].revents != 0)
			goes_on = pass(peer, client);
	}
}

static bool serve(const struct site *site, struct end *client, struct end *peer)
{
	struct message asked, offer, answer, ours;
	struct reading reading;
	int reason, security;

	end_phase(client, site);
	if (end_message(client, &asked, &reading, false, &reason) != NULL || reading.type != OFFER)
		return false;
	message_offer(&offer, REQUIRED, reading.sysid, reading.target[0] != '\0' ? reading.target : NULL);
	security = dial(site, peer) ? ask(site, peer, &offer, &answer) : -1;
	if (security < 0 || (security == TLS_FOLLOWS && !secure(site, peer, &offer, &answer))) {
		if (site->flaw == FLAW_PASSES_TEXT && answer.size > 0 && answer.bytes[5] == REFUSE)
			(void)end_write(client, answer.bytes, answer.size);
		else if (site->flaw != FLAW_TELLS_NOBODY || security != TLS_FOLLOWS) {
			message_refuse(&ours, REASON_UNREACHABLE, "no");
			(void)end_write(client, ours.bytes, ours.size);
		}
		return false;
	}
	message_accept(&ours, CLEAR, 4096);
	return end_write(client, ours.bytes, ours.size);
}

void serve_onward(const struct site *site, int fd)
{
	struct end client = {.fd = fd}, peer = {.fd = -1};

	if (serve(site, &client, &peer))
		relay(&client, &peer);
	end_close(&peer, false);
	end_close(&client, true);
}
