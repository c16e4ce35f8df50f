/* ccisslgw ping: is a gateway there, what does it agree to, and how long does an answer take? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "command.h"

#define PAYLOAD_SIZE 64 /* bytes of one echo; 4096 of them in all are given back (protocol, section 8) */
_Static_assert(CLIENT_PINGS_MOST * PAYLOAD_SIZE == 4096, "as many as are given back");

static const char usage[] =
    "ccisslgw ping HOST:PORT: ask a gateway for an answer (target *PING)\n"
    "\n"
    "    --sysid NAME         our CCI name; the host's name at first\n"
    "    --security WORD      none, off, on, required (at first) or direct\n"
    "    --ca FILE            authorities for its certificate; the system's at first\n"
    "    --cert FILE --key FILE   our certificate\n"
    "    --server-name NAME   what its certificate must say; HOST at first\n"
    "    --count NUMBER       echoes, 1 at first, at most 64\n"
    "    --interval DURATION  between two echoes, 0 at first\n"
    "    --timeout DURATION   for each phase, 10s at first\n"
    "\n"
    "Exit status: 0 every answer came right; 1 refused or failed; 2 bad usage.\n";

struct ping {
	struct client client;
	uint8_t sent[PAYLOAD_SIZE], received[PAYLOAD_SIZE];
	size_t have;
	uint64_t number, sent_ns;
	uv_timer_t timer;
};

static double ms(uint64_t us)
{
	return (double)us / 1000;
}

static void finish(struct ping *ping, int status)
{
	uv_close((uv_handle_t *)&ping->timer, NULL);
	/* An orderly end; what it says does not change the answer. */
	if (channel_end(ping->client.channel) != CHANNEL_OK && status == EXIT_SUCCESS)
		(void)fprintf(stderr, "ccisslgw ping: %s\n", channel_error(ping->client.channel));
	client_stop(&ping->client, status);
}

static void on_late(uv_timer_t *timer)
{
	struct ping *ping = timer->data;

	(void)fprintf(stderr, "ccisslgw ping: no response in time\n");
	finish(ping, EXIT_FAILURE);
}

static void send_one(struct ping *ping)
{
	(void)uv_timer_start(&ping->timer, on_late, ping->client.options.timeout_ms, 0);
	for (size_t i = 0; i < sizeof(ping->sent); i++)
		ping->sent[i] = (uint8_t)(ping->number * 31 + i);
	ping->have = 0;
	ping->sent_ns = uv_hrtime();
	if (channel_write(ping->client.channel, ping->sent, sizeof(ping->sent)) != CHANNEL_OK) {
		(void)fprintf(stderr, "ccisslgw ping: %s\n", channel_error(ping->client.channel));
		finish(ping, EXIT_FAILURE);
		return;
	}
	(void)printf("sent:      %d bytes\n", PAYLOAD_SIZE);
	channel_want_read(ping->client.channel, true);
}

static void on_pause(uv_timer_t *timer)
{
	send_one(timer->data);
}

/* What was agreed, in a word or two. */
static const char *agreed(const struct client *client)
{
	if (!client->secured)
		return "in the clear";
	if (client->leg.direct)
		return "TLS from the first byte";
	return client->leg.confirmed ? "TLS, confirmed" : "TLS, not confirmed";
}

static void answered(struct ping *ping)
{
	bool right = memcmp(ping->sent, ping->received, sizeof(ping->sent)) == 0;

	(void)printf("response:  %d bytes from %s (%s), %s, %.3f ms (connect %.3f, exchange %.3f, handshake %.3f)\n",
	             PAYLOAD_SIZE, ping->client.leg.sysid, agreed(&ping->client), right ? "right" : "NOT what was sent",
	             ms((uv_hrtime() - ping->sent_ns) / 1000), ms(ping->client.connect_us),
	             ms(ping->client.leg.exchange_us), ms(ping->client.leg.handshake_us));
	ping->number++;
	if (!right || ping->number >= ping->client.options.count)
		finish(ping, right ? EXIT_SUCCESS : EXIT_FAILURE);
	else
		(void)uv_timer_start(&ping->timer, on_pause, ping->client.options.interval_ms, 0);
}

static void on_channel(void *owner, unsigned events)
{
	struct ping *ping = owner;
	enum channel_status status;
	size_t got;

	if (!(events & CHANNEL_READABLE))
		return;
	status = channel_read(ping->client.channel, ping->received + ping->have, sizeof(ping->received) - ping->have, &got);
	ping->have += got;
	if (status != CHANNEL_OK && status != CHANNEL_AGAIN) {
		(void)fprintf(stderr, "ccisslgw ping: the gateway ended the connection before it answered\n");
		finish(ping, EXIT_FAILURE);
	} else if (ping->have == sizeof(ping->received)) {
		answered(ping);
	} else {
		channel_want_read(ping->client.channel, true);
	}
}

static void on_ready(struct client *client)
{
	struct ping *ping = client->user;

	(void)uv_timer_init(&client->loop, &ping->timer);
	ping->timer.data = ping;
	channel_watch(client->channel, on_channel, ping);
	send_one(ping);
}

int ping_command(int argc, char **argv)
{
	static struct ping ping;
	struct client_options options;
	char address[ADDRESS_TEXT_SIZE];
	bool done;
	int status = client_parse(argc, argv, usage, &options, &done);

	if (done)
		return status;
	(void)snprintf(options.target, sizeof(options.target), "%s", PARAMS_PING);
	(void)printf("requested: %s from %s at %s\n", PARAMS_PING, options.sysid,
	             address_format(&options.address, address));
	status = client_open(&ping.client, &options, on_ready, &ping) == 0 ? client_run(&ping.client) : EXIT_FAILURE;
	client_close(&ping.client);
	return fflush(stdout) == 0 ? status : EXIT_FAILURE;
}
