/*
 * Whole sessions, from accept to closing record, in a world of memory: the input chooses the gateway and its listener,
 * how client, service and peer behave, what happens in which order, where segments end, when time passes, what is
 * changed on the way. See docs/fuzzing.md. The first bytes describe the first client, then each byte is an event with
 * its arguments; an input that is at its end reads as zeros, and zeros are good manners.
 */
#include <arpa/inet.h>
#include <errno.h>

#include "fuzz.h"
#include "log.h"
#include "names.h"
#include "offers.h"
#include "operate.h"
#include "play.h"
#include "world_calls.h"

#define EVENTS_MOST 160
#define BULK 700000
#define ROUNDS_MOST 400    /* of an end in order */
#define WAITS_MOST 700     /* steps of time: longer than the longest lifetime */
#define DISTURBING_MS 1900 /* less than any deadline */

static const uint8_t *input;
static size_t input_left;
static uint64_t passed_ms;

static uint8_t next(void)
{
	if (input_left == 0)
		return 0;
	input_left--;
	return *input++;
}

static size_t next_size(void)
{
	static const size_t sizes[] = {1, 2, 5, 15, 16, 17, 40, 100, 255, 1000, 4096, 8192, 16384, 20000, 40000, 65536};
	uint8_t byte = next();

	return byte < 128 ? sizes[byte & 15] : byte;
}

/* --- the other ends --- */

static void read_manners(struct side_manners *manners, enum cert usual)
{
	static const enum cert certs[] = {CERT_NONE, CERT_UNTRUSTED, CERT_OTHER_NAME, CERT_CLIENT, CERT_PEER};
	uint8_t kinds = next(), flags = next();

	manners->cert = (kinds & 7) < 5 && (kinds & 7) > 0 ? certs[kinds & 7] : usual;
	manners->confirm = (enum side_confirm)((kinds >> 3 & 7) % CONFIRMS);
	manners->alpn = (kinds >> 6) == 0 ? ALPN_RIGHT : (enum side_alpn)((flags >> 2 & 3) + 1);
	manners->old_tls = flags & 1;
	manners->eager = flags & 2;
}

int world_on_connect(struct wire *wire)
{
	unsigned port = wire->remote.any.sa_family == AF_INET ? ntohs(wire->remote.v4.sin_port) : SERVICE_PORT;
	enum side_kind kind = port < PEER_PORT ? SIDE_SERVICE : port == 9015 ? SIDE_PEER_DIRECT : SIDE_PEER;
	uint8_t how = next();
	struct side *side = play_new_back(kind, wire);

	if (side == NULL || (how & 7) == 6)
		return ECONNREFUSED;
	if (kind == SIDE_SERVICE)
		side->phase = PHASE_OPEN;
	else
		read_manners(&side->manners, CERT_PEER);
	side->manners.answer = kind == SIDE_SERVICE ? 0 : how >> 3 & 15;
	if (side->manners.cert == CERT_NONE) /* a server has one */
		side->manners.cert = CERT_UNTRUSTED;
	if (kind == SIDE_PEER_DIRECT)
		side_begin(side, &side->own);
	/* 5: nobody answers; 7: refused later. */
	side->end_due = false;
	wire->error = (how & 7) == 5 ? ETIMEDOUT : (how & 7) == 7 ? ECONNREFUSED : 0;
	return (how & 7) == 4 ? 0 : EINPROGRESS;
}

void world_on_sent(struct wire *wire, const uint8_t *bytes, size_t size)
{
	watch_sent(wire->actor, bytes, size);
}

/* The SYN's answer arrives, where there is one. */
static void answer_connect(struct wire *wire)
{
	if (wire->state == WIRE_CONNECTING && wire->error != ETIMEDOUT)
		world_answer(wire, wire->error);
}

/* With the session that an earlier client has got, and so as whoever that client was. */
static void resume_an_earlier(struct side *front)
{
	for (size_t i = 0; i + 1 < play_count && front->resume == NULL; i++) {
		if (plays[i].front.ssl == NULL || !plays[i].front.finished)
			continue;
		front->resume = SSL_get1_session(plays[i].front.ssl);
		front->manners.cert = plays[i].front.manners.cert;
	}
}

/* A client appears: 4 bytes and more. */
static void new_client(const struct site *site)
{
	uint8_t where = next(), kind = next();
	size_t listener = where % site->config->listener_count;
	bool raw = site->config->listeners[listener].exchange == EXCHANGE_NONE, direct = (kind & 3) == 1;
	struct play *play = play_start(site, listener, raw ? SIDE_RAW : direct ? SIDE_DIRECT : SIDE_CLIENT);
	struct letter offer;
	uint8_t what;

	if (play == NULL)
		return;
	if (kind & 4)
		play->notifier_fails = 1u << (next() & 7);
	if (play->listener->proxy_from.count > 0)
		offers_proxy_header(&play->front, next());
	if (raw) {
		play->front.phase = PHASE_OPEN;
		return;
	}
	read_manners(&play->front.manners, kind & 8 ? CERT_CLIENT : CERT_NONE);
	if (kind & 16)
		resume_an_earlier(&play->front);
	what = next();
	offers_fill(&offer, direct, what, next());
	if (kind & 32)
		offer.bytes[5] = LETTER_REFUSE;
	side_begin(&play->front, &offer);
}

/* --- events --- */

static struct side *pick_side(void)
{
	uint8_t which = next();
	size_t fronts = play_count, all = fronts + play_back_count();

	if (all == 0)
		return NULL;
	which = (uint8_t)(which % all);
	return which < fronts ? &plays[which].front : play_back(which - fronts);
}

static void take(struct side *side, size_t size)
{
	uint8_t bytes[8192];

	while (size > 0) {
		size_t got = world_take(side->wire, bytes, size < sizeof(bytes) ? size : sizeof(bytes));

		if (got == 0)
			break;
		side_hear(side, bytes, got);
		size -= got;
	}
	if (side->wire->out_end && stream_size(&side->wire->out) == 0)
		side_hear_end(side);
}

static void turn(void)
{
	(void)site_turn();
	play_check_time();
}

/* In steps, so that one wait after the other can run out. */
static void pass(uint64_t ms)
{
	passed_ms += ms;
	for (; ms > TIME_STEP_MS; ms -= TIME_STEP_MS) {
		world_advance(TIME_STEP_MS);
		turn();
	}
	world_advance(ms);
	for (size_t i = 0; i < play_count; i++)
		plays[i].disturbed = plays[i].disturbed || passed_ms > DISTURBING_MS;
	turn();
}

static void for_each_side(void (*what)(struct side *side))
{
	for (size_t i = 0; i < play_count; i++)
		what(&plays[i].front);
	for (size_t i = 0; i < play_back_count(); i++)
		what(play_back(i));
}

static void step_side(struct side *side)
{
	answer_connect(side->wire);
	side_deliver(side, SIZE_MAX);
	take(side, SIZE_MAX);
}

/* Everything on its way arrives; then the gateway has a turn. */
static void step(void)
{
	names_answer(0);
	for_each_side(step_side);
	turn();
}

static void disturb(struct side *side)
{
	side->tampered = true;
	if (side->play != NULL)
		((struct play *)side->play)->disturbed = true;
}

/* Change what is on its way to or from the gateway. */
static void corrupt(struct side *side, bool from_gateway)
{
	struct stream *stream = from_gateway ? &side->wire->out : &side->outbox;
	size_t at = next();
	uint8_t with = next();

	if (stream_size(stream) == 0)
		return;
	stream_at(stream)[at % stream_size(stream)] ^= with != 0 ? with : 1;
	disturb(side);
}

/* Bytes in the clear, before, behind, or in the middle of what is on its way. */
static void inject(struct side *side)
{
	size_t at = next(), size = next() % 24, have = stream_size(&side->outbox);
	struct stream new = {.bytes = NULL};

	at = at == 255 ? have : have > 0 ? at % (have + 1) : 0;
	stream_put(&new, stream_at(&side->outbox), at);
	for (size_t i = 0; i < size; i++)
		stream_put(&new, &(uint8_t){next()}, 1);
	stream_put(&new, stream_at(&side->outbox) + at, have - at);
	stream_free(&side->outbox);
	side->outbox = new;
	disturb(side);
}

static void cut(struct side *side)
{
	size_t size = next_size();

	if (stream_size(&side->outbox) == 0)
		return;
	stream_drop(&side->outbox, size < stream_size(&side->outbox) ? size : stream_size(&side->outbox));
	disturb(side);
}

/* Two segments change places. */
static void reorder(struct side *side)
{
	size_t have = stream_size(&side->outbox), at = next_size();
	struct stream new = {.bytes = NULL};

	if (at == 0 || at >= have)
		return;
	stream_put(&new, stream_at(&side->outbox) + at, have - at);
	stream_put(&new, stream_at(&side->outbox), at);
	stream_free(&side->outbox);
	side->outbox = new;
	disturb(side);
}

static void side_event(uint8_t event, struct side *side)
{
	switch (event) {
	case 3:
		side_deliver(side, next_size());
		break;
	case 4:
		take(side, next_size());
		break;
	case 5:
		side_send(side, next_size());
		break;
	case 6:
		if (side->phase != PHASE_OPEN)
			disturb(side);
		side_end(side);
		break;
	case 7:
		world_reset(side->wire);
		disturb(side);
		break;
	case 8:
		corrupt(side, false);
		break;
	case 9:
		corrupt(side, true);
		break;
	case 10:
		inject(side);
		break;
	case 11:
		cut(side);
		break;
	case 12:
		reorder(side);
		break;
	case 13:
		world_set_room(side->wire, next_size());
		break;
	case 14:
		side->wire->interrupts = next() & 3;
		break;
	case 15:
		side_disturb(side, next() & 1);
		disturb(side);
		break;
	case 16:
		answer_connect(side->wire);
		break;
	default:
		side->end_due = true; /* the connection, and nothing said inside TLS */
		disturb(side);
		break;
	}
}

/* All clients; or more than the gateway reads in two goes, so that it splices, all services, or both. */
static void send_some(unsigned how)
{
	size_t size = how >= 7 ? BULK : 700u * how + 1u;

	for (size_t i = 0; i < play_count && how != 8; i++)
		side_send(&plays[i].front, size);
	for (size_t i = 0; i < play_back_count() && how >= 8; i++)
		side_send(play_back(i), size);
}

static void event(const struct site *site)
{
	uint8_t what = next();
	uint8_t kind = what % 24;

	if (kind == 0 || kind == 23)
		for (int i = 0; i <= what / 24; i++)
			step();
	else if (kind == 1)
		turn();
	else if (kind == 2)
		pass((uint64_t[]){1, 10, 100, 500, 1000, 2000, 5000, 20000}[next() & 7]);
	else if (kind == 18)
		operate(site, next());
	else if (kind == 19) {
		uint8_t machine = next();

		operate_machine(site, machine, machine % 8 == 0 || machine % 8 == 3 ? 0 : next());
	} else if (kind == 20 || kind == 21)
		new_client(site);
	else if (kind == 22)
		send_some(what / 24u);
	else {
		struct side *side = pick_side();

		if (side != NULL)
			side_event(kind, side);
	}
}

/* --- the end --- */

static size_t amount(void)
{
	size_t amount = site_host.count;

	for (size_t i = 0; i < play_count; i++)
		amount += stream_size(&plays[i].front.delivered) + stream_size(&plays[i].front.outbox) +
		          (size_t)plays[i].front.payload_got + plays[i].front.end_gone + plays[i].front.got_end;
	for (size_t i = 0; i < play_back_count(); i++)
		amount += stream_size(&play_back(i)->delivered) + stream_size(&play_back(i)->outbox) +
		          (size_t)play_back(i)->payload_got + play_back(i)->end_gone + play_back(i)->got_end;
	return amount;
}

static void widen(struct side *side)
{
	world_set_room(side->wire, 1024 * 1024);
}

static void say_some(struct side *side)
{
	side_send(side, 300);
}

/* All that is under way comes to its end as it should; who waits for nothing more ends. */
static void end_in_order(bool with_ends)
{
	unsigned still = 0;

	for (unsigned rounds = 0; rounds < ROUNDS_MOST && still < 4 && site_host.count > 0; rounds++) {
		size_t before = amount();

		step();
		still = amount() == before ? still + 1 : 0;
		if (with_ends && still >= 2)
			for_each_side(side_end);
	}
}

/* Nothing comes any more: time alone has to end what is left. */
static void end_in_silence(void)
{
	for (unsigned waits = 0; waits < WAITS_MOST && site_host.count > 0; waits++)
		pass(TIME_STEP_MS);
	FUZZ_CHECK(site_host.count == 0, "a session waits for ever");
	for (int i = 0; i < 3; i++)
		turn();
}

static void finish(uint8_t how)
{
	if (how != 1) {
		for_each_side(widen);
		end_in_order(false);
		if (how != 2)
			for_each_side(say_some);
		end_in_order(true);
	}
	end_in_silence();
	for_each_side(step_side);
	log_flush();
	for (size_t i = 0; i < play_count; i++)
		play_check_end(&plays[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const struct site *site;
	uint8_t first;

	input = bytes;
	input_left = size;
	passed_ms = 0;
	first = next();
	site = &sites[first & 128 ? 4 + first % 2 : first % 4];
	world_reset_all(first);
	site_begin();
	new_client(site);
	for (int i = 0; i < EVENTS_MOST && input_left > 0; i++)
		event(site);
	finish(first >> 2 & 3);
	operate_over(site);
	site_end(site);
	play_reset();
	return 0;
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
	(void)count, (void)arguments;
	site_open();
	return 0;
}
