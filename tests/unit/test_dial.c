/* The connecting side against an accepting side that breaks every rule. */
#include <signal.h>
#include <string.h>

#include "dialling.h"
#include "suite.h"

static struct certificates files;

static void make_files(void)
{
	certificates_make(&files);
}

static void remove_files(void)
{
	certificates_remove(&files);
}

/* Write a few bytes and get them back. */
struct echoed {
	struct channel *channel;
	char bytes[64];
	size_t used, wanted;
	bool done;
};

static void on_echo(void *owner, unsigned events)
{
	struct echoed *echoed = owner;
	size_t got;

	(void)events;
	if (channel_read(echoed->channel, echoed->bytes + echoed->used, echoed->wanted - echoed->used, &got) >
	    CHANNEL_AGAIN)
		echoed->wanted = echoed->used;
	echoed->used += got;
	echoed->done = echoed->used >= echoed->wanted;
}

static void expect_bytes(struct dialling *dialling, const char *expected)
{
	struct echoed echoed = {.channel = dialling->channel, .wanted = strlen(expected)};

	channel_watch(dialling->channel, on_echo, &echoed);
	channel_want_read(dialling->channel, true);
	channel_again(dialling->channel);
	test_loop_until(&dialling->test, &echoed.done);
	ck_assert_str_eq(echoed.bytes, expected);
}

static void check_carries(struct dialling *dialling)
{
	ck_assert_int_eq(channel_write(dialling->channel, "payroll", 7), CHANNEL_OK);
	expect_bytes(dialling, "payroll");
}

/* One dial with one plan; `timeouts` short where the plan is silent. */
static void run_plan(struct dialling *dialling, struct acceptor *acceptor, int security, const struct plan *plan,
                     bool hurried)
{
	dialling_open(dialling, security, files.ca);
	if (hurried)
		dialling->timeouts.exchange_ms = dialling->timeouts.handshake_ms = dialling->timeouts.confirm_ms = SHORT_MS;
	acceptor_start(acceptor, &files, plan, 1);
	dialling_address(dialling, 0, "127.0.0.1", acceptor->port);
	dialling_run(dialling);
}

static void end_plan(struct dialling *dialling, struct acceptor *acceptor)
{
	dialling_close(dialling);
	acceptor_stop(acceptor);
}

/* Every answer to every offer; C clear, T secured, X breaks the offer. */
static const char cells[5][4] = {
    [PEER_NONE] = "CXX", [PEER_OFF] = "CTX", [PEER_ON] = "CTX", [PEER_REQUIRED] = "XTX", [PEER_DIRECT] = "XXT",
};

START_TEST(answer_has_to_keep_to_the_offer)
{
	int security = _i / 3, answer = _i % 3;
	char expected = cells[security][answer];
	struct plan plan = {.answer = answer, .direct = security == PEER_DIRECT};
	struct dialling dialling;
	struct acceptor acceptor;

	run_plan(&dialling, &acceptor, security, &plan, false);
	ck_assert_msg(dialling.reason == (expected == 'X' ? REASON_PEER_BROKE_OFFER : REASON_NONE), "%s: %s",
	              reason_word(dialling.reason), dialling.detail);
	if (expected != 'X') {
		ck_assert_int_eq(dialling.secured, expected == 'T');
		ck_assert_int_eq(dialling.leg.secured, expected == 'T');
		ck_assert_int_eq(dialling.leg.confirmed, expected == 'T' && security != PEER_DIRECT);
		ck_assert_int_eq(dialling.leg.direct, security == PEER_DIRECT);
		ck_assert_int_eq(dialling.leg.secured_at_us != 0, expected == 'T');
		ck_assert_int_eq(dialling.verdict.reason, REASON_NONE);
		ck_assert_int_eq(dialling.subject[0] != '\0', expected == 'T');
		ck_assert_int_eq(channel_ssl(dialling.channel) != NULL, expected == 'T');
		ck_assert_str_eq(dialling.leg.sysid, "FAR");
		ck_assert_str_eq(dialling.leg.agent, "other/1");
		ck_assert_mem_eq(dialling.leg.peer_connection, "0123456789abcdef", 16);
		ck_assert_uint_eq(dialling.maxru, 4096);
		check_carries(&dialling);
	}
	end_plan(&dialling, &acceptor);
}
END_TEST

START_TEST(offer_says_what_was_asked)
{
	static const int expected[] = {
	    [PEER_NONE] = 0, [PEER_OFF] = 1, [PEER_ON] = 2, [PEER_REQUIRED] = 3, [PEER_DIRECT] = 4};
	struct plan plan = {.type = 3, .reason = 7, .direct = _i == PEER_DIRECT};
	struct dialling dialling;
	struct acceptor acceptor;
	struct params offer;
	const char *what;

	run_plan(&dialling, &acceptor, _i, &plan, false);
	end_plan(&dialling, &acceptor);
	ck_assert_int_eq(params_decode(acceptor.offer, (size_t)acceptor.offer_size, &offer, &what), PARAMS_OK);
	ck_assert_int_eq(offer.type, PARAMS_OFFER);
	ck_assert_int_eq(offer.security, expected[_i]);
	ck_assert_str_eq(offer.sysid, "HERE");
	ck_assert_str_eq(offer.target, "PAYROLL");
	ck_assert_str_eq(offer.agent, "ccisslgw/0.1.0");
	ck_assert_uint_eq(offer.maxru, 4096);
	ck_assert_uint_eq(offer.hops, 5);
	ck_assert_str_eq((char *)offer.connection, "abcdefghijklmno");
	ck_assert_int_eq(offer.has_tls, _i != PEER_NONE);
	ck_assert_uint_eq(offer.has_tls ? offer.tls_lowest : 0x0303, 0x0303);
	ck_assert_uint_eq(offer.has_tls ? offer.tls_highest : 0x0304, 0x0304);
}
END_TEST

struct row {
	const char *name;
	struct plan plan;
	int security;
	enum reason reason;
	bool hurried; /* deadlines are short: the plan is silent */
	unsigned refuse_code;
	int seen_reason; /* of the REFUSE that the peer got inside TLS; 0: none */
};

static const struct row rows[] = {
    {"OFFER in place of the answer", {.type = 1}, PEER_OFF, .reason = REASON_PEER_BROKE_OFFER},
    {"CONFIRM in place of the answer", {.type = 4}, PEER_ON, .reason = REASON_PEER_BROKE_OFFER},
    {"larger units than offered", {.maxru = 8192}, PEER_OFF, .reason = REASON_PEER_BROKE_OFFER},
    {"larger units, and TLS", {.answer = 1, .maxru = 8192}, PEER_REQUIRED, .reason = REASON_PEER_BROKE_OFFER},
    {"an unknown answer", {.answer = 3}, PEER_ON, .reason = REASON_PEER_BROKE_OFFER},
    {"another protocol", {.raw = "HTTP/1.1 400 Bad Request\r\n\r\n"}, PEER_ON, .reason = REASON_PEER_BROKE_OFFER},
    {"another version", {.raw = "CCIP\x02\x02\x01"}, PEER_ON, .reason = REASON_PEER_BROKE_OFFER},
    {"a flag", {.raw = "CCIP\x01\x02\x01\x01"}, PEER_ON, .reason = REASON_PEER_BROKE_OFFER},
    {"REFUSE with words",
     {.type = 3, .reason = 3, .text = "no \\ way"},
     PEER_ON,
     .reason = REASON_PEER_REFUSED,
     .refuse_code = 3},
    {"REFUSE of an unknown code",
     {.type = 3, .reason = 999},
     PEER_OFF,
     .reason = REASON_PEER_REFUSED,
     .refuse_code = 999},
    {"REFUSE 8 with one address",
     {.type = 3, .reason = 8},
     PEER_REQUIRED,
     .reason = REASON_PEER_REFUSED,
     .refuse_code = 8},
    {"REFUSE inside TLS",
     {.type = 3, .reason = 5, .direct = true},
     PEER_DIRECT,
     .reason = REASON_PEER_REFUSED,
     .refuse_code = 5},
    {"no answer", {.type = -1, .then = THEN_SILENT}, PEER_ON, .reason = REASON_EXCHANGE_TIMEOUT, .hurried = true},
    {"half an answer", {.cut = 20, .then = THEN_SILENT}, PEER_OFF, .reason = REASON_EXCHANGE_TIMEOUT, .hurried = true},
    {"a drip of bytes", {.drip_ms = 40}, PEER_OFF, .reason = REASON_EXCHANGE_TIMEOUT, .hurried = true},
    {"a drip of bytes inside TLS",
     {.answer = 2, .direct = true, .drip_ms = 40},
     PEER_DIRECT,
     .reason = REASON_EXCHANGE_TIMEOUT,
     .hurried = true},
    {"closed without an answer", {.type = -1, .then = THEN_CLOSE}, PEER_ON, .reason = REASON_CLOSED_EARLY},
    {"reset without an answer", {.type = -1, .then = THEN_RESET}, PEER_REQUIRED, .reason = REASON_RESET},
    {"no ServerHello",
     {.answer = 1, .mute_handshake = true},
     PEER_ON,
     .reason = REASON_HANDSHAKE_TIMEOUT,
     .hurried = true},
    {"no ServerHello to a direct start",
     {.direct = true, .mute_handshake = true},
     PEER_DIRECT,
     .reason = REASON_HANDSHAKE_TIMEOUT,
     .hurried = true},
    {"closed before the handshake", {.answer = 1, .then = THEN_CLOSE}, PEER_OFF, .reason = REASON_HANDSHAKE_FAILED},
    {"clear bytes behind the answer",
     {.answer = 1, .extra = "+OK welcome\r\n"},
     PEER_REQUIRED,
     .reason = REASON_HANDSHAKE_FAILED},
    {"an answer behind the answer",
     {.answer = 1, .extra = "CCIP\x01\x03\x01"},
     PEER_OFF,
     .reason = REASON_HANDSHAKE_FAILED},
    {"the certificate of another",
     {.answer = 1, .certificate = CERTIFICATE_WRONG_NAME},
     PEER_ON,
     .reason = REASON_PEER_NAME_MISMATCH},
    {"an unknown authority",
     {.answer = 1, .certificate = CERTIFICATE_UNTRUSTED},
     PEER_OFF,
     .reason = REASON_PEER_CERTIFICATE_UNTRUSTED},
    {"an unknown authority, direct",
     {.direct = true, .answer = 2, .certificate = CERTIFICATE_UNTRUSTED},
     PEER_DIRECT,
     .reason = REASON_PEER_CERTIFICATE_UNTRUSTED},
    {"the name of the other start", {.answer = 1, .alpn = "cci/1"}, PEER_ON, .reason = REASON_HANDSHAKE_FAILED},
    {"the name of the other start, direct",
     {.direct = true, .alpn = "cci-upgrade/1"},
     PEER_DIRECT,
     .reason = REASON_HANDSHAKE_FAILED},
    {"no name of a direct start",
     {.direct = true, .answer = 2, .alpn = ""},
     PEER_DIRECT,
     .reason = REASON_ALPN_MISMATCH},
    {"wrong verifier",
     {.answer = 1, .confirm = WITH_WRONG_VERIFIER},
     PEER_REQUIRED,
     .reason = REASON_ALTERED,
     .seen_reason = 13},
    {"an altered answer",
     {.answer = 1, .confirm = WITH_ALTERED_ACCEPT},
     PEER_ON,
     .reason = REASON_ALTERED,
     .seen_reason = 13},
    {"our own verifier back",
     {.answer = 1, .confirm = WITH_OWN_REFLECTED},
     PEER_ON,
     .reason = REASON_ALTERED,
     .seen_reason = 13},
    {"OFFER in place of CONFIRM",
     {.answer = 1, .confirm = WITH_OFFER},
     PEER_ON,
     .reason = REASON_ALTERED,
     .seen_reason = 13},
    {"payload in place of CONFIRM",
     {.answer = 1, .confirm = WITH_GARBAGE},
     PEER_OFF,
     .reason = REASON_ALTERED,
     .seen_reason = 13},
    {"REFUSE 13 in place of CONFIRM",
     {.answer = 1, .confirm = WITH_REFUSE_13},
     PEER_ON,
     .reason = REASON_ALTERED,
     .refuse_code = 13},
    {"REFUSE 7 in place of CONFIRM",
     {.answer = 1, .confirm = WITH_REFUSE_7},
     PEER_ON,
     .reason = REASON_PEER_REFUSED,
     .refuse_code = 7},
    {"no CONFIRM",
     {.answer = 1, .confirm = WITH_SILENCE},
     PEER_REQUIRED,
     .reason = REASON_CONFIRM_TIMEOUT,
     .hurried = true},
    {"cut in place of CONFIRM", {.answer = 1, .confirm = WITH_END}, PEER_REQUIRED, .reason = REASON_TRUNCATED},
};

#define ROWS ((int)(sizeof(rows) / sizeof(rows[0])))

START_TEST(every_odd_answer_fails_closed)
{
	const struct row *row = &rows[_i];
	struct dialling dialling;
	struct acceptor acceptor;
	uint64_t began_ns = uv_hrtime(), took_ms;

	run_plan(&dialling, &acceptor, row->security, &row->plan, row->hurried);
	took_ms = (uv_hrtime() - began_ns) / 1000000;
	ck_assert_msg(dialling.reason == row->reason, "%s: %s, not %s: %s", row->name, reason_word(dialling.reason),
	              reason_word(row->reason), dialling.detail);
	ck_assert_ptr_null(dialling.channel);
	ck_assert_ptr_null(dialling.leg.channel);
	ck_assert_uint_eq(dialling.refuse_code, row->refuse_code);
	ck_assert_msg(!row->hurried || (took_ms >= SHORT_MS && took_ms < PATIENT_MS), "%s: %u ms", row->name,
	              (unsigned)took_ms);
	if (row->plan.text != NULL)
		ck_assert_str_eq(dialling.refuse_text, row->plan.text);
	end_plan(&dialling, &acceptor);
	ck_assert_msg(acceptor.seen_reason == row->seen_reason, "%s: REFUSE %d", row->name, acceptor.seen_reason);
	ck_assert(!acceptor.seen_clear);
	ck_assert_uint_eq(acceptor.connections, 1);
}
END_TEST

/* Closed after each byte of an answer that would be right: `_i` bytes of it. */
START_TEST(closed_at_each_byte_of_the_answer)
{
	struct plan plan = {.answer = 0, .cut = (size_t)_i + 1, .then = THEN_CLOSE};
	struct dialling dialling;
	struct acceptor acceptor;

	run_plan(&dialling, &acceptor, PEER_ON, &plan, false);
	ck_assert_msg(dialling.reason == REASON_CLOSED_EARLY, "%d bytes: %s", _i + 1, reason_word(dialling.reason));
	end_plan(&dialling, &acceptor);
}
END_TEST

/* What follows an agreed clear answer at once is payload, to the byte. */
START_TEST(bytes_behind_a_clear_answer_are_payload)
{
	struct plan plan = {.answer = 0, .extra = "220 ready"};
	struct dialling dialling;
	struct acceptor acceptor;

	run_plan(&dialling, &acceptor, PEER_OFF, &plan, false);
	ck_assert_int_eq(dialling.reason, REASON_NONE);
	expect_bytes(&dialling, "220 ready");
	end_plan(&dialling, &acceptor);
}
END_TEST

/* A peer without ALPN is an older one: taken with confirm = prefer, refused with require. */
START_TEST(older_peer_does_not_confirm)
{
	struct plan plan = {.answer = 1, .alpn = ""};
	struct dialling dialling;
	struct acceptor acceptor;

	dialling_open(&dialling, PEER_REQUIRED, files.ca);
	dialling.options.confirm = _i == 0 ? CONFIRM_PREFER : CONFIRM_REQUIRE;
	acceptor_start(&acceptor, &files, &plan, 1);
	dialling_address(&dialling, 0, "127.0.0.1", acceptor.port);
	dialling_run(&dialling);
	ck_assert_int_eq(dialling.reason, _i == 0 ? REASON_NONE : REASON_CONFIRM_MISSING);
	ck_assert(!dialling.leg.confirmed);
	if (_i == 0)
		check_carries(&dialling);
	end_plan(&dialling, &acceptor);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("dial");
	TCase *tests = tcase_create("one address");

	(void)signal(SIGPIPE, SIG_IGN);
	tcase_set_timeout(tests, 30);
	tcase_add_unchecked_fixture(tests, make_files, remove_files);
	tcase_add_loop_test(tests, answer_has_to_keep_to_the_offer, 0, 15);
	tcase_add_loop_test(tests, offer_says_what_was_asked, 0, 5);
	tcase_add_loop_test(tests, every_odd_answer_fails_closed, 0, ROWS);
	tcase_add_loop_test(tests, closed_at_each_byte_of_the_answer, 0, 50);
	tcase_add_test(tests, bytes_behind_a_clear_answer_are_payload);
	tcase_add_loop_test(tests, older_peer_does_not_confirm, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
