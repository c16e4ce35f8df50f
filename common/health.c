/* Asks peers in the background whether they answer. */
#include "health.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "dial.h"
#include "log.h"

#define ECHO_SIZE 32        /* bytes */
#define FIRST_MOST_MS 1000  /* the first pings are spread over this time at most */

/* One address of one peer. */
struct probe {
	struct health *health;
	const struct config_peer *peer; /* borrowed from the snapshot */
	size_t peer_number, address;
	uv_timer_t timer; /* the next ping; while one waits for its echo, the deadline of that */
	struct dial *dial;
	struct channel *channel; /* owned; waits for the echo */
	struct leg leg;
	uint8_t connection[PARAMS_CONNECTION_SIZE];
	uint8_t sent[ECHO_SIZE], received[ECHO_SIZE];
	size_t have;
};

struct health {
	struct iocontext *io;
	struct snapshot *snapshot; /* one use */
	unsigned worker;
	struct ratchet *ratchet; /* borrowed */
	health_done *done; /* of health_once; NULL: asks again and again */
	void *owner;
	uint64_t began_ns;
	size_t count, open; /* of probes, and of their timers that are not closed */
	struct probe probes[];
};

static void on_timer(uv_timer_t *timer);

static struct target_memory *memory_of(const struct probe *probe)
{
	return probe->health->snapshot->peers[probe->peer_number];
}

/* --- what was found --- */

static void log_peer(const struct probe *probe, const struct target_finding *finding, uint64_t lasted_ms)
{
	struct target_state state;
	struct logline line;

	target_memory_state(memory_of(probe), probe->address, &state);
	log_begin(&line, finding->reason == REASON_NONE ? MESSAGE_PEER_UP : MESSAGE_PEER_DOWN, NULL);
	log_text(&line, "name", state.name);
	log_text(&line, "address", state.address);
	if (finding->reason == REASON_NONE) {
		log_number(&line, "down_ms", lasted_ms);
	} else {
		log_text(&line, "reason", reason_word(finding->reason));
		log_text(&line, "detail", finding->detail);
	}
	log_end(&line);
}

static uint64_t random_below(uint64_t bound)
{
	uint64_t number = 0;

	/* Without randomness gateways may ask together: no harm. */
	if (bound > 0 && RAND_bytes((unsigned char *)&number, sizeof(number)) == 1)
		return number % bound;
	return 0;
}

/* The interval, give or take its jitter. */
static uint64_t next_ms(const struct config_peer *peer)
{
	uint64_t jitter_ms = peer->health_interval_ms * peer->health_jitter / 100;
	uint64_t wait_ms = peer->health_interval_ms - jitter_ms + random_below(2 * jitter_ms + 1);

	return wait_ms > 0 ? wait_ms : 1;
}

static void close_ping(struct probe *probe)
{
	dial_cancel(probe->dial);
	probe->dial = NULL;
	channel_close(probe->channel);
	probe->channel = NULL;
	leg_close(&probe->leg);
}

/* The address is known where the finding is shown. */
static const char *without_address(const struct probe *probe, const char *detail)
{
	char text[ADDRESS_TEXT_SIZE];
	size_t length = strlen(address_format(&probe->peer->address.at[probe->address], text));

	return strncmp(detail, text, length) == 0 && strncmp(detail + length, ": ", 2) == 0 ? detail + length + 2 : detail;
}

static void note(struct probe *probe, enum reason reason, const char *detail)
{
	struct iocontext *io = probe->health->io;
	struct target_finding finding = {reason, without_address(probe, detail), uv_now(iocontext_loop(io))};
	struct target_change change = {.all = false};

	/* The operator was faster: what it did now is nobody's concern, until it is used again. */
	if (!target_memory_is_disconnected(memory_of(probe)))
		change = target_memory_found(memory_of(probe), probe->address, &finding);
	if (change.all)
		log_peer(probe, &finding, change.lasted_ms);
	close_ping(probe);
	(void)uv_timer_start(&probe->timer, on_timer, next_ms(probe->peer), 0);
}

/* Gone with its answer. */
static void answer_once(struct probe *probe, enum reason reason, const char *detail)
{
	struct health *health = probe->health;
	char sysid[NAME_MAX_CHARS + 1], words[TARGET_DETAIL_SIZE];
	struct health_answer answer = {.reason = reason,
	                               .detail = words,
	                               .sysid = sysid,
	                               .secured = probe->leg.secured,
	                               .confirmed = probe->leg.confirmed,
	                               .exchange_us = probe->leg.exchange_us,
	                               .handshake_us = probe->leg.handshake_us,
	                               .total_us = (uv_hrtime() - health->began_ns) / 1000};

	health_done *done = health->done;
	void *owner = health->owner;

	/* Both go with the dial. */
	(void)snprintf(sysid, sizeof(sysid), "%s", probe->leg.sysid);
	(void)snprintf(words, sizeof(words), "%s", detail);
	health_stop(health);
	done(owner, &answer);
}

static void found(struct probe *probe, enum reason reason, const char *detail)
{
	if (probe->health->done != NULL)
		answer_once(probe, reason, detail);
	else
		note(probe, reason, detail);
}

/* --- one ping --- */

static void on_channel(void *owner, unsigned events)
{
	struct probe *probe = owner;
	enum channel_status status;
	size_t got = 0;

	if ((events & CHANNEL_READABLE) == 0)
		return;
	status = channel_read(probe->channel, probe->received + probe->have, ECHO_SIZE - probe->have, &got);
	if (status == CHANNEL_OK)
		probe->have += got;
	if (status != CHANNEL_OK && status != CHANNEL_AGAIN) {
		found(probe, REASON_CLOSED_EARLY, "it ended the connection before it answered the ping");
	} else if (probe->have < ECHO_SIZE) {
		channel_want_read(probe->channel, true);
	} else if (memcmp(probe->sent, probe->received, ECHO_SIZE) != 0) {
		found(probe, REASON_BAD_MESSAGE, "it answered the ping with other bytes");
	} else {
		/* An orderly end, for its record's sake; our answer is there whatever comes of it. */
		(void)!channel_end(probe->channel);
		found(probe, REASON_NONE, "");
	}
}

static void send_echo(struct probe *probe)
{
	struct config_timeouts *timeouts = &probe->health->snapshot->config->timeouts;

	probe->have = 0;
	if (RAND_bytes(probe->sent, ECHO_SIZE) != 1 ||
	    channel_write(probe->channel, probe->sent, ECHO_SIZE) != CHANNEL_OK) {
		found(probe, REASON_RESET, channel_error(probe->channel));
		return;
	}
	(void)uv_timer_start(&probe->timer, on_timer, timeouts->exchange_ms, 0);
	channel_watch(probe->channel, on_channel, probe);
	channel_want_read(probe->channel, true);
}

static void on_dial(void *owner, const struct dial_result *result)
{
	struct probe *probe = owner;

	probe->dial = NULL;
	if (result->reason != REASON_NONE) {
		found(probe, result->reason, result->detail);
		return;
	}
	probe->channel = result->channel;
	send_echo(probe);
}

static void start_ping(struct probe *probe)
{
	struct snapshot *snapshot = probe->health->snapshot;
	const struct config *config = snapshot->config;
	struct dial_options options = {
	    .io = probe->health->io,
	    .peer = probe->peer,
	    .peer_number = probe->peer_number,
	    .tls = snapshot->parts[probe->health->worker].tls,
	    .alone = true,
	    .address = probe->address,
	    .ratchet = probe->health->ratchet,
	    .timeouts = &config->timeouts,
	    .confirm = config->tls.confirm,
	    .min_version = config->tls.min_version,
	    .leg = &probe->leg,
	    .sysid = config->gateway.sysid,
	    .target = PARAMS_PING,
	    .maxru = (uint32_t)config->gateway.maxru,
	    .hops = PARAMS_HOPS_START,
	};

	if (RAND_bytes(probe->connection, sizeof(probe->connection)) == 1) {
		memcpy(options.connection, probe->connection, sizeof(options.connection));
		leg_init(&probe->leg, CCI_CONNECTING, config->gateway.sysid, probe->connection);
		probe->leg.listener = probe->peer->place.name;
		probe->leg.policy = peer_security_word((enum peer_security)probe->peer->security);
		probe->dial = dial_start(&options, on_dial, probe);
	}
	/* That we have no memory says nothing of the peer. */
	if (probe->dial == NULL && probe->health->done != NULL)
		answer_once(probe, REASON_NO_MEMORY, "");
	else if (probe->dial == NULL)
		(void)uv_timer_start(&probe->timer, on_timer, next_ms(probe->peer), 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct probe *probe = timer->data;

	if (probe->channel != NULL)
		found(probe, REASON_EXCHANGE_TIMEOUT, "no answer to the ping in time");
	else if (probe->health->done == NULL && target_memory_is_disconnected(memory_of(probe)))
		(void)uv_timer_start(&probe->timer, on_timer, next_ms(probe->peer), 0);
	else
		start_ping(probe);
}

/* --- all of them --- */

static size_t count_probes(const struct snapshot *snapshot)
{
	const struct config *config = snapshot->config;
	size_t count = 0;

	for (size_t i = 0; i < config->peer_count; i++) {
		if (config->peers[i].health_interval_ms > 0)
			count += config->peers[i].address.count;
		else
			target_memory_forget_health(snapshot->peers[i]);
	}
	return count;
}

static void open_probes(struct health *health, size_t peer_number)
{
	const struct config_peer *peer = &health->snapshot->config->peers[peer_number];
	uint64_t spread_ms = peer->health_interval_ms * peer->health_jitter / 100;

	for (size_t i = 0; i < peer->address.count; i++) {
		struct probe *probe = &health->probes[health->count++];

		*probe = (struct probe){.health = health, .peer = peer, .peer_number = peer_number, .address = i};
		(void)uv_timer_init(iocontext_loop(health->io), &probe->timer);
		probe->timer.data = probe;
		health->open++;
		(void)uv_timer_start(&probe->timer, on_timer,
		                     random_below((spread_ms < FIRST_MOST_MS ? spread_ms : FIRST_MOST_MS) + 1), 0);
	}
}

struct health *health_start(struct iocontext *io, struct snapshot *snapshot, unsigned worker, struct ratchet *ratchet)
{
	size_t count = count_probes(snapshot);
	struct health *health = count > 0 ? calloc(1, sizeof(*health) + count * sizeof(health->probes[0])) : NULL;

	if (health == NULL) {
		if (count > 0)
			log_say(MESSAGE_CONFIG_WARNING, "not enough memory to ask peers for their health");
		return NULL;
	}
	health->io = io;
	health->snapshot = snapshot_use(snapshot, worker);
	health->worker = worker;
	health->ratchet = ratchet;
	for (size_t i = 0; i < snapshot->config->peer_count; i++)
		if (snapshot->config->peers[i].health_interval_ms > 0)
			open_probes(health, i);
	return health;
}

struct health *health_once(const struct health_question *question, health_done *done, void *owner)
{
	struct health *health = calloc(1, sizeof(*health) + sizeof(health->probes[0]));
	struct probe *probe;

	if (health == NULL)
		return NULL;
	health->io = question->io;
	health->snapshot = snapshot_use(question->snapshot, question->worker);
	health->worker = question->worker;
	health->ratchet = question->ratchet;
	health->done = done;
	health->owner = owner;
	health->began_ns = uv_hrtime();
	health->count = health->open = 1;
	probe = &health->probes[0];
	*probe = (struct probe){.health = health,
	                        .peer = &question->snapshot->config->peers[question->peer_number],
	                        .peer_number = question->peer_number,
	                        .address = question->address};
	(void)uv_timer_init(iocontext_loop(health->io), &probe->timer);
	probe->timer.data = probe;
	(void)uv_timer_start(&probe->timer, on_timer, 0, 0);
	return health;
}

static void timer_closed(uv_handle_t *timer)
{
	struct health *health = ((struct probe *)timer->data)->health;

	if (--health->open > 0)
		return;
	snapshot_leave(health->snapshot, health->worker);
	free(health);
}

void health_cut(struct health *health, const struct target_memory *memory)
{
	for (size_t i = 0; health != NULL && i < health->count; i++) {
		struct probe *probe = &health->probes[i];

		if (memory_of(probe) != memory || (probe->dial == NULL && probe->channel == NULL))
			continue;
		close_ping(probe);
		(void)uv_timer_start(&probe->timer, on_timer, next_ms(probe->peer), 0);
	}
}

void health_stop(struct health *health)
{
	if (health == NULL)
		return;
	for (size_t i = 0; i < health->count; i++) {
		close_ping(&health->probes[i]);
		uv_close((uv_handle_t *)&health->probes[i].timer, timer_closed);
	}
}
