/* The connecting side: connect, offer, obey the answer, notify, handshake, confirm. */
#include "dial.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "confirm.h"
#include "dial_offer.h"
#include "exchange.h"
#include "handshake.h"

struct dial {
	struct dial_options options;
	struct config_timeouts timeouts;
	dial_done *done;
	void *owner;
	uv_timer_t timer;
	enum reason late; /* what the running deadline means */
	struct target *target;
	struct exchange *exchange;
	struct handshake *handshake;
	struct channel *channel;
	struct notifier_wait notified;
	void (*told)(struct dial *dial); /* what follows it */
	struct dial_result result;
	struct tls_facts *facts; /* owned */
	uint64_t stage_began_ns, began_ns;
	uint64_t failed; /* bit N: address number N connected and did not serve */
	enum reason failed_reason;
	bool direct;
	uint8_t expected[PARAMS_VERIFIER_SIZE]; /* the peer's CONFIRM */
	char sysid[NAME_MAX_CHARS + 1], target_name[NAME_MAX_CHARS + 1];
	char detail[200], refuse_text[4 * 255 + 1];
};

static void timer_closed(uv_handle_t *timer)
{
	struct dial *dial = timer->data;

	free(dial->facts);
	free(dial);
}

static void cancel_stages(struct dial *dial)
{
	notifier_wait_cancel(&dial->notified);
	target_cancel(dial->target);
	exchange_free(dial->exchange);
	handshake_cancel(dial->handshake);
	dial->target = NULL;
	dial->exchange = NULL;
	dial->handshake = NULL;
}

void dial_cancel(struct dial *dial)
{
	if (dial == NULL)
		return;
	cancel_stages(dial);
	channel_close(dial->channel);
	dial->channel = NULL;
	uv_close((uv_handle_t *)&dial->timer, timer_closed);
}

/* The dial is as good as gone when its owner hears: what the result borrows lives until the timer's close. */
static void finish(struct dial *dial, enum reason reason, const char *detail)
{
	struct dial_result *result = &dial->result;

	result->reason = reason;
	(void)snprintf(dial->detail, sizeof(dial->detail), "%s", detail);
	result->detail = dial->detail;
	result->refuse_text = dial->refuse_text;
	result->facts = dial->facts;
	result->channel = reason == REASON_NONE ? dial->channel : NULL;
	if (reason == REASON_NONE)
		dial->channel = NULL;
	else
		dial->options.leg->channel = NULL;
	dial_cancel(dial);
	dial->done(dial->owner, result);
}

static void fail(struct dial *dial, enum reason reason, const char *detail)
{
	struct leg_news news = {.reason = reason, .detail = detail};
	bool in_handshake = dial->late == REASON_HANDSHAKE_TIMEOUT && !dial->options.leg->secured;
	enum cci_event_type type = in_handshake ? CCI_HANDSHAKE_FAILED : CCI_REFUSED;
	enum reason ignored = REASON_NONE; /* it ends already, and the first reason wins */

	if (dial->channel != NULL)
		ignored = leg_tell(dial->options.leg, dial->options.notifiers, type, &news, NULL);
	(void)ignored;
	finish(dial, reason, detail);
}

static bool try_next(struct dial *dial, enum reason reason, const char *detail);

static void on_timer(uv_timer_t *timer)
{
	struct dial *dial = timer->data;

	if (dial->late != REASON_EXCHANGE_TIMEOUT || !try_next(dial, dial->late, "no answer in time"))
		fail(dial, dial->late, "no answer in time");
}

static void enter(struct dial *dial, enum reason late, uint64_t deadline_ms)
{
	dial->late = late;
	dial->stage_began_ns = uv_hrtime();
	(void)uv_timer_start(&dial->timer, on_timer, deadline_ms, 0);
}

static uint64_t stage_us(const struct dial *dial)
{
	return (uv_hrtime() - dial->stage_began_ns) / 1000;
}

/* --- notifiers --- */

static void on_told(void *owner, enum reason reason)
{
	struct dial *dial = owner;

	if (reason != REASON_NONE)
		fail(dial, reason, "");
	else
		dial->told(dial);
}

/* Then `next`: now, or once they have answered. */
static void tell(struct dial *dial, enum cci_event_type type, const struct leg_news *news,
                 void (*next)(struct dial *dial))
{
	struct notifier_wait *wait = &dial->notified;
	enum reason reason;

	*wait = (struct notifier_wait){.loop = iocontext_loop(dial->options.io), .done = on_told, .owner = dial};
	reason = leg_tell(dial->options.leg, dial->options.notifiers, type, news, wait);
	if (reason != REASON_NONE) {
		fail(dial, reason, "");
	} else if (wait->answers != NULL) {
		dial->told = next;
		enter(dial, REASON_NOTIFIER_REFUSED, dial->timeouts.handshake_ms);
	} else {
		next(dial);
	}
}

/* --- CONFIRM (protocol, section 4) --- */

static void agreed(struct dial *dial)
{
	const struct dial_options *options = &dial->options;

	if (dial->result.secured && options->ratchet != NULL && options->peer->ratchet == CHOICE_YES)
		(void)ratchet_add(options->ratchet, options->peer->place.name);
	exchange_free(dial->exchange);
	dial->exchange = NULL;
	finish(dial, REASON_NONE, "");
}

static void altered(struct dial *dial, const char *detail)
{
	struct params refuse = {.type = PARAMS_REFUSE, .cpu = PARAMS_UTF8, .reason = reason_code(REASON_ALTERED)};
	enum reason ignored = exchange_send(dial->exchange, &refuse);

	(void)ignored;
	fail(dial, REASON_ALTERED, detail);
}

static void on_confirm(void *owner, enum reason reason)
{
	struct dial *dial = owner;
	const struct params *message = exchange_received(dial->exchange);


	if (reason == REASON_BAD_MESSAGE || reason == REASON_BAD_VERSION || reason == REASON_NOT_CCI) {
		altered(dial, "something else came in place of CONFIRM");
		return;
	}
	if (reason != REASON_NONE) {
		fail(dial, reason, exchange_detail(dial->exchange));
		return;
	}
	if (message->type == PARAMS_REFUSE) {
		dial->result.refuse_code = message->reason;
		(void)snprintf(dial->refuse_text, sizeof(dial->refuse_text), "%s", message->text);
		fail(dial, message->reason == reason_code(REASON_ALTERED) ? REASON_ALTERED : REASON_PEER_REFUSED,
		     "refused inside TLS");
		return;
	}
	if (message->type != PARAMS_CONFIRM) {
		altered(dial, "something else came in place of CONFIRM");
		return;
	}
	if (!confirm_equal(dial->expected, message->verifier)) {
		altered(dial, "the verifiers differ");
		return;
	}
	TRACE(dial->options.leg->trace, TRACE_BACK, "confirmed", "the clear exchange was not altered");
	dial->options.leg->confirmed = true;
	agreed(dial);
}

static void start_confirm(struct dial *dial)
{
	struct params confirm = {.type = PARAMS_CONFIRM, .cpu = PARAMS_UTF8};
	uint8_t digest[CONFIRM_DIGEST_SIZE];
	struct confirm_verifiers verifiers;
	enum reason reason = REASON_NO_MEMORY;

	if (exchange_digest(dial->exchange, digest) == 0 &&
	    confirm_verifiers(channel_ssl(dial->channel), digest, &verifiers) == 0) {
		memcpy(confirm.verifier, verifiers.client, sizeof(confirm.verifier));
		memcpy(dial->expected, verifiers.server, sizeof(dial->expected));
		reason = exchange_send(dial->exchange, &confirm);
	}
	if (reason != REASON_NONE) {
		fail(dial, reason, channel_error(dial->channel));
		return;
	}
	enter(dial, REASON_CONFIRM_TIMEOUT, dial->timeouts.confirm_ms);
	exchange_expect(dial->exchange, on_confirm);
	exchange_receive(dial->exchange, false);
}

/* --- TLS --- */

static void send_offer(struct dial *dial);

static void handshake_told(struct dial *dial)
{
	if (dial->direct)
		send_offer(dial);
	else if (dial->result.verdict.confirm)
		start_confirm(dial);
	else
		agreed(dial);
}

static void on_handshake(void *owner, const struct verdict *verdict, const struct tls_facts *facts)
{
	struct dial *dial = owner;
	struct leg *leg = dial->options.leg;
	struct leg_news news = {.facts = facts};

	dial->handshake = NULL;
	leg->handshake_us = stage_us(dial);
	dial->result.verdict = *verdict;
	if (verdict->reason != REASON_NONE) {
		fail(dial, verdict->reason, verdict->detail);
		return;
	}
	leg->secured = dial->result.secured = true;
	leg->secured_at_us = clock_utc_us();
	dial->facts = malloc(sizeof(*dial->facts));
	if (dial->facts == NULL) {
		fail(dial, REASON_NO_MEMORY, "");
		return;
	}
	*dial->facts = *facts;
	tell(dial, CCI_HANDSHAKE_DONE, &news, handshake_told);
}

static void start_tls(struct dial *dial, enum tls_start start)
{
	struct tls_expectation expectation = {.start = start, .confirm = dial->options.confirm};
	SSL *ssl = dial->options.tls != NULL
	               ? tls_client_new(dial->options.tls, dial->options.peer_number, dial->result.address, start)
	               : NULL;

	TRACE(dial->options.leg->trace, TRACE_BACK, "handshake starts", "%s",
	      dial->direct ? "TLS from the first byte" : "after a clear exchange");
	enter(dial, REASON_HANDSHAKE_TIMEOUT, dial->timeouts.handshake_ms);
	if (ssl == NULL) {
		fail(dial, dial->options.tls != NULL ? REASON_NO_MEMORY : REASON_INTERNAL, "no TLS for this peer");
		return;
	}
	dial->options.leg->handshake_at_us = clock_utc_us();
	dial->handshake = handshake_start(dial->channel, ssl, &expectation, on_handshake, dial);
	if (dial->handshake == NULL)
		fail(dial, REASON_NO_MEMORY, "");
}

/* --- the answer (protocol, section 3) --- */

static void start_upgrade(struct dial *dial)
{
	start_tls(dial, TLS_START_UPGRADE);
}

static void accepted(struct dial *dial, const struct params *answer)
{
	static const struct leg_news none;
	struct leg *leg = dial->options.leg;
	enum reason reason = leg_learn(leg, answer);

	leg->exchange_us = stage_us(dial);
	dial->result.maxru = answer->maxru;
	if (reason != REASON_NONE) {
		fail(dial, reason, "");
		return;
	}
	if (answer->security == ANSWER_INSIDE) {
		agreed(dial);
		return;
	}
	if (answer->security == ANSWER_CLEAR)
		tell(dial, CCI_UNSECURED, &none, agreed);
	else
		tell(dial, CCI_HANDSHAKE_STARTING, &none, start_upgrade);
}

static bool start_target(struct dial *dial, const struct target_options *target);

static struct target_options target_options(const struct dial *dial)
{
	const struct dial_options *options = &dial->options;

	return (struct target_options){
	    .addresses = &options->peer->address,
	    .memory = options->memory,
	    .retry_ms = options->peer->retry_ms,
	    .connect_ms = dial->timeouts.connect_ms,
	    .first = (dial->result.address + (dial->failed != 0)) % options->peer->address.count,
	    .alone = options->alone,
	    .never = dial->failed,
	};
}

/* Another address of the peer may do where this one does not answer, or says that it is busy or stopping. Nothing of
 * what was agreed with this one goes with it. */
static bool try_next(struct dial *dial, enum reason reason, const char *detail)
{
	size_t count = dial->options.peer->address.count;
	uint64_t failed = dial->failed | UINT64_C(1) << (dial->result.address & 63);
	struct leg *leg = dial->options.leg;
	struct target_options next;

	if (dial->options.alone || count > 64 || failed == UINT64_MAX >> (64 - count))
		return false;
	dial->failed = failed;
	dial->failed_reason = reason;
	TRACE(leg->trace, TRACE_BACK, "next address", "%s: %s", reason_word(reason), detail);
	next = target_options(dial);
	if (!start_target(dial, &next))
		return false;
	target_memory_failed(next.memory, dial->result.address, uv_now(iocontext_loop(dial->options.io)), next.retry_ms,
	                     detail);
	(void)uv_timer_stop(&dial->timer);
	exchange_free(dial->exchange);
	dial->exchange = NULL;
	channel_close(dial->channel);
	dial->channel = leg->channel = NULL;
	free(dial->facts);
	dial->facts = NULL;
	dial->result.secured = leg->secured = false;
	leg->handshake_at_us = leg->secured_at_us = 0;
	return true;
}

static void refused(struct dial *dial, const struct params *answer)
{
	bool passing = answer->reason == reason_code(REASON_BUSY) || answer->reason == reason_code(REASON_SHUTTING_DOWN);
	char detail[80];

	dial->result.refuse_code = answer->reason;
	(void)snprintf(dial->refuse_text, sizeof(dial->refuse_text), "%s", answer->text);
	(void)snprintf(detail, sizeof(detail), "REFUSE %u: %s", answer->reason,
	               reason_word(reason_from_code(answer->reason)));
	if (passing && try_next(dial, REASON_PEER_REFUSED, detail))
		return;
	fail(dial, REASON_PEER_REFUSED, detail);
}

static void on_answer(void *owner, enum reason reason)
{
	struct dial *dial = owner;
	const struct params *answer = exchange_received(dial->exchange);

	if ((reason == REASON_CLOSED_EARLY || reason == REASON_RESET) &&
	    try_next(dial, reason, exchange_detail(dial->exchange)))
		return;
	if (reason == REASON_BAD_MESSAGE || reason == REASON_BAD_VERSION || reason == REASON_NOT_CCI)
		fail(dial, REASON_PEER_BROKE_OFFER, exchange_detail(dial->exchange));
	else if (reason != REASON_NONE)
		fail(dial, reason, exchange_detail(dial->exchange));
	else if (answer->type == PARAMS_REFUSE)
		refused(dial, answer);
	else if (!dial_offer_kept(&dial->options, answer))
		fail(dial, REASON_PEER_BROKE_OFFER, "the answer is not one to this offer");
	else if (dial_offer_ratcheted(&dial->options, answer))
		fail(dial, REASON_PEER_RATCHETED, "it was secured before; see ratchet of this peer");
	else
		accepted(dial, answer);
}

static void send_offer(struct dial *dial)
{
	struct params offer;
	enum reason reason;

	dial_offer_fill(&dial->options, &offer);
	dial->exchange = exchange_new(dial->channel, on_answer, dial);
	if (dial->exchange != NULL)
		exchange_trace(dial->exchange, dial->options.leg->trace, TRACE_BACK);
	reason = dial->exchange != NULL ? exchange_send(dial->exchange, &offer) : REASON_NO_MEMORY;
	if (reason == REASON_RESET && try_next(dial, reason, channel_error(dial->channel)))
		return;
	if (reason != REASON_NONE) {
		fail(dial, reason, channel_error(dial->channel));
		return;
	}
	enter(dial, REASON_EXCHANGE_TIMEOUT, dial->timeouts.exchange_ms);
	exchange_receive(dial->exchange, false);
}

/* --- connecting --- */

static void trace_connected(const struct dial *dial)
{
	char text[ADDRESS_TEXT_SIZE];

	TRACE(dial->options.leg->trace, TRACE_BACK, "connected", "address %zu, %s, after %llu us", dial->result.address,
	      address_format(&dial->options.peer->address.at[dial->result.address], text),
	      (unsigned long long)dial->result.connect_us);
}

static void on_target(void *owner, enum reason reason, struct channel *channel, size_t address, const char *detail)
{
	struct dial *dial = owner;

	dial->target = NULL;
	if (reason != REASON_NONE) {
		/* What an address said that could be reached tells more than that the others cannot. */
		fail(dial, dial->failed != 0 ? dial->failed_reason : reason, detail);
		return;
	}
	dial->result.address = address;
	dial->result.connect_us = (uv_hrtime() - dial->began_ns) / 1000;
	if (channel == NULL) {
		fail(dial, REASON_INTERNAL, "builtin:echo is no peer");
		return;
	}
	dial->result.refuse_code = 0;
	dial->refuse_text[0] = '\0';
	dial->channel = channel;
	leg_attach(dial->options.leg, channel, NULL);
	trace_connected(dial);
	if (dial->direct) {
		dial->options.leg->direct = true;
		start_tls(dial, TLS_START_DIRECT);
	} else {
		send_offer(dial);
	}
}

static bool start_target(struct dial *dial, const struct target_options *target)
{
	dial->target = target_start(dial->options.io, target, on_target, dial);
	return dial->target != NULL;
}

struct dial *dial_start(const struct dial_options *options, dial_done *done, void *owner)
{
	struct dial *dial = calloc(1, sizeof(*dial));
	struct target_options target;

	if (dial == NULL)
		return NULL;
	dial->options = *options;
	dial->options.sysid = dial->sysid;
	dial->options.target = dial->target_name;
	dial->timeouts = *options->timeouts;
	dial->options.timeouts = NULL;
	dial->done = done;
	dial->owner = owner;
	dial->direct = options->peer->security == PEER_DIRECT;
	dial->began_ns = uv_hrtime();
	dial->timer.data = dial;
	dial->result.address = options->address;
	(void)snprintf(dial->sysid, sizeof(dial->sysid), "%s", options->sysid);
	(void)snprintf(dial->target_name, sizeof(dial->target_name), "%s", options->target != NULL ? options->target : "");
	(void)uv_timer_init(iocontext_loop(options->io), &dial->timer);
	target = target_options(dial);
	if (start_target(dial, &target))
		return dial;
	dial_cancel(dial);
	return NULL;
}
