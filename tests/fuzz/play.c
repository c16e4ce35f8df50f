/* One fuzzed session as it may be. */
#include "play.h"

#include <arpa/inet.h>
#include <errno.h>

#include "fuzz.h"
#include "held.h"

struct play plays[PLAYS];
size_t play_count;

#define PING_MOST 4096 /* protocol.md, section 8 */

static struct side backs[BACKS];
static size_t back_count;
static struct play *starting; /* its session is being made */

#pragma clang diagnostic ignored "-Wreserved-identifier"
void __real_record_write(const struct record *record);
void __wrap_record_write(const struct record *record);
void __real_leg_attach(struct leg *leg, struct channel *channel, const union socket_address *remote);
void __wrap_leg_attach(struct leg *leg, struct channel *channel, const union socket_address *remote);
void __real_session_connect_onward(struct session *session);
void __wrap_session_connect_onward(struct session *session);

/* --- who is who --- */

void play_reset(void)
{
	for (size_t i = 0; i < play_count; i++)
		side_close(&plays[i].front);
	for (size_t i = 0; i < back_count; i++)
		side_close(&backs[i]);
	memset(plays, 0, sizeof(plays));
	play_count = back_count = 0;
}

struct side *play_new_back(enum side_kind kind, struct wire *wire)
{
	if (back_count == BACKS)
		return NULL;
	side_open(&backs[back_count], kind, wire);
	return &backs[back_count++];
}

size_t play_back_count(void)
{
	return back_count;
}

struct side *play_back(size_t number)
{
	return &backs[number];
}

static struct play *play_of(const struct session *session)
{
	for (size_t i = 0; i < play_count; i++)
		if (plays[i].session == session)
			return &plays[i];
	return NULL;
}

struct play *play_start(const struct site *site, size_t listener, enum side_kind kind)
{
	union socket_address remote, local;
	struct source_key source;
	enum quota_verdict verdict;
	struct play *play;
	struct wire *wire;

	if (play_count == PLAYS)
		return NULL;
	memset(&remote, 0, sizeof(remote));
	remote.v4.sin_family = AF_INET;
	remote.v4.sin_port = htons((uint16_t)(50000 + play_count));
	remote.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	local = remote;
	local.v4.sin_port = htons(1202);
	wire = world_accept(&remote, &local);
	if (wire == NULL)
		return NULL;
	play = &plays[play_count++];
	*play = (struct play){.site = site, .listener = &site->config->listeners[listener], .listener_number = listener};
	play->begun_ms = play->stage_ms = world_now_ms();
	play->disturbed = site_trouble;
	held_begin(play);
	side_open(&play->front, kind, wire);
	play->front.play = play;
	quota_key_of(&play->listener->proxy_from, &remote, &source);
	verdict = admission_enter(&site_host.admission, &(struct admission_who){.source = &source, .remote = &remote, .now_ms = play->begun_ms});
	starting = play;
	FUZZ_CHECK(verdict != QUOTA_CLOSE && session_start(&site_host, site->snapshot, listener, world_fd(wire), &remote, verdict) == 0,
	           "a session does not start");
	starting = NULL;
	return play;
}

void __wrap_leg_attach(struct leg *leg, struct channel *channel, const union socket_address *remote)
{
	__real_leg_attach(leg, channel, remote);
	if (leg->role == CCI_ACCEPTING && starting != NULL) {
		starting->session = OWNER_OF(leg, struct session, record.front);
		memcpy(starting->connection, leg->connection, sizeof(starting->connection));
	} else if (leg->role == CCI_CONNECTING) {
		struct session *session = OWNER_OF(leg, struct session, record.back);
		struct play *play = play_of(session);
		struct side *side = world_wire(channel_fd(channel))->actor;

		FUZZ_CHECK(play != NULL && side != NULL, "a connection of no session");
		side->play = play;
		play->back = side;
		play->peer = session->peer;
		play->service = session->service;
	}
}

void __wrap_session_connect_onward(struct session *session)
{
	struct play *play = play_of(session);
	const char *why = gate_connect(play);

	FUZZ_CHECK(session->postponed != REASON_NONE || why == NULL, "it connects onward, though %s", why);
	__real_session_connect_onward(session);
}

/* --- payload --- */

void play_payload(struct side *side, const uint8_t *bytes, size_t size)
{
	struct play *play = side->play;
	bool is_front = side == &play->front;
	const struct side *other = is_front && play->back != NULL ? play->back : &play->front;
	const char *why = gate_front(play);
	const uint8_t *sent;
	size_t have;

	FUZZ_CHECK(why == NULL, "%zu bytes cross to the %s, though %s", size, is_front ? "client" : "service", why);
	why = gate_back(play);
	FUZZ_CHECK(why == NULL, "%zu bytes cross to the %s, though %s", size, is_front ? "client" : "service", why);
	sent = side_payload(other, &have);
	FUZZ_CHECK(side->payload_got + size <= have, "%llu bytes arrive of %zu that were sent",
	           (unsigned long long)side->payload_got + size, have);
	FUZZ_CHECK(memcmp(sent + side->payload_got, bytes, size) == 0, "other bytes arrive than were sent, from %llu on",
	           (unsigned long long)side->payload_got);
	side->payload_got += size;
}

/* --- notifiers --- */

static int on_open(const struct cci_notifier_options *options, void **state, char *error, size_t error_size)
{
	(void)options, (void)state, (void)error, (void)error_size;
	return 0;
}

static void on_close(void *state)
{
	(void)state;
}

static uint32_t wants(void *state)
{
	(void)state;
	return CCI_WANTS_ALL;
}

static struct play *play_named(const uint8_t *connection)
{
	for (size_t i = 0; i < play_count; i++)
		if (memcmp(plays[i].connection, connection, sizeof(plays[i].connection)) == 0)
			return &plays[i];
	return NULL;
}

/* One end of a handshake for each start. */
static void check_order(struct side *side, int type)
{
	unsigned ends = side->told[CCI_HANDSHAKE_DONE] + side->told[CCI_HANDSHAKE_FAILED];

	FUZZ_CHECK(side->told[type] == 0, "notifiers are told twice of event %d", type);
	if (type == CCI_HANDSHAKE_STARTING)
		FUZZ_CHECK(ends == 0 && !(side->record_have + side->record_left), "told of a handshake that has started already");
	if (type == CCI_HANDSHAKE_DONE || type == CCI_HANDSHAKE_FAILED)
		FUZZ_CHECK(ends == 0, "told twice how a handshake ended");
	if (type == CCI_UNSECURED)
		FUZZ_CHECK(!side->records_only, "told that a secured connection is none");
	side->told[type]++;
}

static int on_notify(void *state, const struct cci_event *event)
{
	struct play *play = play_named(event->connection);
	struct wire *wire = event->fd >= 0 ? world_wire(event->fd) : NULL;
	struct side *side = wire != NULL ? wire->actor : NULL;

	(void)state;
	FUZZ_CHECK(play != NULL, "an event of no session");
	if (event->type == CCI_RECORD) {
		FUZZ_CHECK(play->told_records++ == 0, "notifiers are told of two records");
		return CCI_NOTIFIED;
	}
	if (event->role == CCI_ACCEPTING && (event->type == CCI_CLOSED || event->type == CCI_REFUSED))
		FUZZ_CHECK(play->ends++ == 0, "notifiers are told of two ends");
	FUZZ_CHECK(event->role != CCI_ACCEPTING || side == &play->front, "an event of another connection");
	if (side != NULL)
		check_order(side, event->type);
	return play->notifier_fails & 1u << event->type ? CCI_FAILED : CCI_NOTIFIED;
}

const struct cci_notifier_kind play_notifier = {.size = sizeof(play_notifier),
                                                .version = CCI_NOTIFIER_VERSION,
                                                .kind = "fuzz",
                                                .wants = CCI_WANTS_ALL,
                                                .open = on_open,
                                                .notify = on_notify,
                                                .close = on_close,
                                                .instance_wants = wants};

/* --- the record --- */

static void check_record(const struct play *play, const struct record *record)
{
	const struct side *front = &play->front, *back = play->back;
	uint8_t bytes[64];

	FUZZ_CHECK(record->reason != REASON_NONE && record->reason != REASON_INTERNAL && record->reason != REASON_NO_MEMORY,
	           "it ends by %s: %s", reason_word(record->reason), record->detail != NULL ? record->detail : "");
	if (record->front.secured)
		FUZZ_CHECK(front->records_only && front->ssl != NULL && SSL_get_finished(front->ssl, bytes, sizeof(bytes)) > 0,
		           "recorded as secured, and there was no handshake");
	else
		FUZZ_CHECK(!record->relayed || !front->records_only, "TLS, and recorded as unsecured");
	if (record->relayed)
		FUZZ_CHECK(gate_front(play) == NULL, "recorded as agreed, though %s", gate_front(play));
	if (record->front.confirmed)
		FUZZ_CHECK(front->confirmed, "recorded as confirmed");
	if (record->back.secured && back != NULL)
		FUZZ_CHECK(back->records_only && back->ssl != NULL && SSL_get_finished(back->ssl, bytes, sizeof(bytes)) > 0,
		           "the peer is recorded as secured, and there was no handshake");
	if (record->reason == REASON_ENDED)
		FUZZ_CHECK(record->relayed, "it ended in order before it was agreed");
	if (record->reason == REASON_DATA_BEFORE_ANSWER)
		FUZZ_CHECK(front->tampered || front->manners.eager, "data before the answer, and there were none");
}

void __wrap_record_write(const struct record *record)
{
	struct play *play = play_of(OWNER_OF(record, struct session, record));

	FUZZ_CHECK(play != NULL, "the record of no session");
	FUZZ_CHECK(play->records++ == 0, "a session is recorded twice");
	__real_record_write(record);
	play->reason = record->reason;
	play->relayed = record->relayed;
	play->secured = record->front.secured;
	play->up = record->up;
	play->down = record->down;
	held_end(play, record);
	check_record(play, record);
}

/* --- time --- */

static bool is_there(const struct session *session)
{
	for (const struct session *at = site_host.first; at != NULL; at = at->next)
		if (at == session)
			return true;
	return false;
}

static uint64_t longest(const struct play *play, enum stage stage)
{
	struct config_timeouts waits = session_timeouts(play->session);
	uint64_t addresses = play->peer != NULL ? play->peer->address.count : 2;

	switch (stage) {
	case STAGE_PROXY:
	case STAGE_OFFER:
	case STAGE_INSIDE_OFFER:
	case STAGE_ANSWER:
		return waits.exchange_ms;
	case STAGE_HANDSHAKE:
		return waits.handshake_ms;
	case STAGE_CONFIRM:
		return waits.confirm_ms;
	case STAGE_CONNECT:
		/* Several waits, one after the other. */
		return addresses * (waits.connect_ms + waits.exchange_ms + waits.handshake_ms + waits.confirm_ms + 4 * TIME_STEP_MS);
	case STAGE_LINGER:
		return 1000 + 20;
	default:
		return waits.lifetime_ms;
	}
}

void play_check_time(void)
{
	for (size_t i = 0; i < play_count; i++) {
		struct play *play = &plays[i];
		uint64_t since;

		if (play->session == NULL || !is_there(play->session)) {
			play->session = NULL;
			continue;
		}
		if (play->stage != play->session->stage) {
			play->stage = play->session->stage;
			play->stage_ms = world_now_ms();
		}
		since = world_now_ms() - play->stage_ms;
		FUZZ_CHECK(since <= longest(play, play->stage), "stage %d lasts %llu ms", play->stage, (unsigned long long)since);
	}
}

/* --- the end --- */

static bool is_noise(enum reason reason)
{
	return reason == REASON_NOT_CCI || reason == REASON_PROXY_MISSING;
}

/* Everything that one end sent has arrived at the other, up to the bound of *PING. */
static void check_complete(const struct side *from, const struct side *to, const char *whose)
{
	size_t have;

	(void)side_payload(from, &have);
	if (to->phase != PHASE_OPEN || (from == to && to->payload_got == PING_MOST))
		return;
	FUZZ_CHECK(to->payload_got == have, "it ended in order, and of the %s's %zu bytes %llu arrived", whose, have,
	           (unsigned long long)to->payload_got);
	FUZZ_CHECK(side_ended_cleanly(from), "an end in order, and the %s made none", whose);
	FUZZ_CHECK(to->got_end, "it ended in order, and the end of the %s was not passed on", whose);
}

void play_check_end(const struct play *play)
{
	const struct side *front = &play->front, *back = play->back;
	bool ended = play->reason == REASON_ENDED;

	FUZZ_CHECK(play->records == 1, "%u records", play->records);
	if (!is_noise(play->reason))
		FUZZ_CHECK(play->told_records == 1 && play->ends == 1, "the notifiers were told of %u records and %u ends",
		           play->told_records, play->ends);
	FUZZ_CHECK(front->told[CCI_HANDSHAKE_STARTING] <= front->told[CCI_HANDSHAKE_DONE] + front->told[CCI_HANDSHAKE_FAILED] +
	                                                     play->ends,
	           "a handshake that nobody told the end of");
	if (back != NULL && !front->tampered && !back->tampered)
		FUZZ_CHECK(back->payload_got <= play->up, "more arrived than was recorded");
	if (gate_all_well(play))
		FUZZ_CHECK(play->relayed, "left alone, it was not relayed: %s", reason_word(play->reason));
	if (!ended || play->disturbed || front->tampered || (back != NULL && back->tampered))
		return;
	if (back != NULL)
		check_complete(front, back, "client");
	check_complete(back != NULL ? back : front, front, "service");
}
