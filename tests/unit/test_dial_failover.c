/* The connecting side: the next address and the way back, cancelling at every moment, what notifiers are told. */
#include <signal.h>
#include <stdlib.h>
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

/* A port on which nobody listens. */
static int dead_port(void)
{
	struct acceptor acceptor;
	static const struct plan plan;

	acceptor_start(&acceptor, &files, &plan, 1);
	acceptor_stop(&acceptor);
	return acceptor.port;
}

struct failover {
	const char *name;
	struct plan plan; /* of the first address */
	int security;
	bool moves;         /* to the second */
	enum reason reason; /* where it does not move */
};

static const struct failover failovers[] = {
    {"busy", {.type = 3, .reason = 8}, PEER_ON, .moves = true},
    {"shutting down", {.type = 3, .reason = 9}, PEER_REQUIRED, .moves = true},
    {"busy, inside TLS", {.type = 3, .reason = 8, .direct = true}, PEER_DIRECT, .moves = true},
    {"closed", {.type = -1, .then = THEN_CLOSE}, PEER_REQUIRED, .moves = true},
    {"closed in the answer", {.cut = 17, .then = THEN_CLOSE}, PEER_ON, .moves = true},
    {"reset", {.type = -1, .then = THEN_RESET}, PEER_OFF, .moves = true},
    {"silent", {.type = -1, .then = THEN_SILENT}, PEER_REQUIRED, .moves = true},
    {"not permitted", {.type = 3, .reason = 7}, PEER_ON, .reason = REASON_PEER_REFUSED},
    {"unknown target", {.type = 3, .reason = 5}, PEER_ON, .reason = REASON_PEER_REFUSED},
    {"breaks the offer", {.answer = 0}, PEER_REQUIRED, .reason = REASON_PEER_BROKE_OFFER},
    {"another protocol", {.raw = "SSH-2.0-other\r\n"}, PEER_ON, .reason = REASON_PEER_BROKE_OFFER},
    {"an unknown authority",
     {.answer = 1, .certificate = CERTIFICATE_UNTRUSTED},
     PEER_ON,
     .reason = REASON_PEER_CERTIFICATE_UNTRUSTED},
    {"handshake cut", {.answer = 1, .then = THEN_CLOSE}, PEER_OFF, .reason = REASON_HANDSHAKE_FAILED},
    {"wrong verifier", {.answer = 1, .confirm = WITH_WRONG_VERIFIER}, PEER_ON, .reason = REASON_ALTERED},
};

START_TEST(next_address_only_where_it_may_help)
{
	const struct failover *row = &failovers[_i];
	bool direct = row->security == PEER_DIRECT;
	const struct plan right = {.answer = direct ? 2 : 1, .direct = direct};
	struct dialling dialling;
	struct acceptor first, second;

	dialling_open(&dialling, row->security, files.ca);
	dialling.timeouts.exchange_ms = row->plan.then == THEN_SILENT ? SHORT_MS : PATIENT_MS;
	acceptor_start(&first, &files, &row->plan, 1);
	acceptor_start(&second, &files, &right, 1);
	dialling_address(&dialling, 0, "127.0.0.1", first.port);
	dialling_address(&dialling, 1, "127.0.0.1", second.port);
	dialling_run(&dialling);
	ck_assert_msg(dialling.reason == row->reason, "%s: %s: %s", row->name, reason_word(dialling.reason),
	              dialling.detail);
	ck_assert_uint_eq(dialling.address, row->moves ? 1 : 0);
	ck_assert_int_eq(dialling_left_out(&dialling, 0), row->moves);
	ck_assert(!dialling_left_out(&dialling, 1));
	ck_assert_int_eq(dialling.leg.confirmed, row->moves && !direct);
	if (row->moves) {
		ck_assert(dialling.secured);
		ck_assert_uint_eq(dialling.refuse_code, 0);
		ck_assert_str_eq(dialling.refuse_text, "");
	}
	dialling_close(&dialling);
	acceptor_stop(&first);
	acceptor_stop(&second);
	ck_assert_uint_eq(first.connections, 1);
	ck_assert_uint_eq(second.connections, row->moves);
}
END_TEST

/* Without a memory, too, no address is asked twice in one dial, and the end tells what the first one said. */
START_TEST(each_address_once)
{
	const struct plan busy = {.type = 3, .reason = 8, .text = "full"};
	struct dialling dialling;
	struct acceptor first, second;

	dialling_open(&dialling, PEER_ON, files.ca);
	if (_i < 2)
		dialling.options.memory = NULL;
	acceptor_start(&first, &files, &busy, 1);
	acceptor_start(&second, &files, &busy, 1);
	dialling_address(&dialling, 0, "127.0.0.1", first.port);
	dialling_address(&dialling, 1, "127.0.0.1", _i % 2 == 0 ? second.port : dead_port());
	dialling_run(&dialling);
	ck_assert_int_eq(dialling.reason, REASON_PEER_REFUSED);
	ck_assert_uint_eq(dialling.refuse_code, 8);
	ck_assert_str_eq(dialling.refuse_text, "full");
	dialling_close(&dialling);
	acceptor_stop(&first);
	acceptor_stop(&second);
	ck_assert_uint_eq(first.connections, 1);
	ck_assert_uint_eq(second.connections, _i % 2 == 0);
}
END_TEST

/* What was secured with one address is not secured with the next. */
START_TEST(secured_does_not_outlive_its_address)
{
	const struct plan busy = {.type = 3, .reason = 8, .direct = true};
	struct dialling dialling;
	struct acceptor first;

	dialling_open(&dialling, PEER_DIRECT, files.ca);
	acceptor_start(&first, &files, &busy, 1);
	dialling_address(&dialling, 0, "127.0.0.1", first.port);
	dialling_address(&dialling, 1, "127.0.0.1", dead_port());
	dialling_run(&dialling);
	ck_assert_int_eq(dialling.reason, REASON_PEER_REFUSED);
	ck_assert(!dialling.secured && !dialling.leg.secured);
	ck_assert_uint_eq(dialling.leg.secured_at_us, 0);
	ck_assert_str_eq(dialling.subject, "");
	dialling_close(&dialling);
	acceptor_stop(&first);
}
END_TEST

START_TEST(primary_is_taken_again_after_retry)
{
	const struct plan plans[] = {{.type = 3, .reason = 9}, {.answer = 1}}, right = {.answer = 1};
	struct dialling dialling;
	struct acceptor first, second;
	static const size_t expected[] = {1, 1, 0};

	dialling_open(&dialling, PEER_REQUIRED, files.ca);
	acceptor_start(&first, &files, plans, 2);
	acceptor_start(&second, &files, &right, 1);
	dialling_address(&dialling, 0, "127.0.0.1", first.port);
	dialling_address(&dialling, 1, "127.0.0.1", second.port);
	for (int i = 0; i < 3; i++) {
		if (i == 2) /* as if retry had passed */
			target_memory_failed(dialling.memory, 0, 1, 0, "");
		dialling_run(&dialling);
		ck_assert_int_eq(dialling.reason, REASON_NONE);
		ck_assert_uint_eq(dialling.address, expected[i]);
		dialling_drop(&dialling);
	}
	ck_assert(!dialling_left_out(&dialling, 0));
	dialling_close(&dialling);
	acceptor_stop(&first);
	acceptor_stop(&second);
	ck_assert_uint_eq(first.connections, 2);
	ck_assert_uint_eq(second.connections, 2);
}
END_TEST

/* Cancelled after `_i` turns of the loop, in whatever stage that is: nothing is heard, nothing is left. */
static void cancel_after(int turns, int security, const char *host, const struct plan *plan)
{
	struct dialling dialling;
	struct acceptor acceptor;

	dialling_open(&dialling, security, files.ca);
	acceptor_start(&acceptor, &files, plan, 1);
	dialling_address(&dialling, 0, host, acceptor.port);
	dialling_start(&dialling);
	for (int i = 0; i < turns && !dialling.done; i++) {
		(void)iocontext_turn(dialling.test.io, 0);
		usleep(i < 10 ? 0 : 1000);
	}
	if (!dialling.done) {
		dialling.started = false; /* from now on nobody may call */
		dial_cancel(dialling.dial);
	}
	dialling_close(&dialling);
	acceptor_stop(&acceptor);
}

START_TEST(cancelled_at_any_moment)
{
	static const struct plan plans[] = {
	    {.answer = 1},
	    {.answer = 2, .direct = true},
	    {.type = -1, .then = THEN_SILENT},
	    {.answer = 1, .mute_handshake = true},
	    {.answer = 1, .confirm = WITH_SILENCE},
	};

	for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++)
		cancel_after(_i, plans[i].direct ? PEER_DIRECT : PEER_ON, "127.0.0.1", &plans[i]);
	cancel_after(_i, PEER_ON, "localhost", &plans[0]);
	cancel_after(_i, PEER_ON, "no-such-host.invalid", &plans[0]);
}
END_TEST

/* --- notifiers --- */

struct heard {
	int types[8], count, result;
	uint64_t clear_in, clear_out;
	bool fd_is_stream;
};

static struct heard heard;

static int open_state(const struct cci_notifier_options *options, void **state, char *error, size_t error_size)
{
	(void)options;
	(void)error;
	(void)error_size;
	*state = &heard;
	return 0;
}

static int hear(void *state, const struct cci_event *event)
{
	struct heard *to = state;

	ck_assert_int_lt(to->count, 8);
	ck_assert_int_eq(event->role, CCI_CONNECTING);
	to->types[to->count++] = event->type;
	if (event->type == CCI_HANDSHAKE_STARTING) {
		ck_assert_int_eq(notifier_check(event), CCI_NOTIFIED);
		to->clear_in = event->clear_in;
		to->clear_out = event->clear_out;
	}
	return to->result;
}

static void close_state(void *state)
{
	(void)state;
}

static const struct cci_notifier_kind kind = {.size = sizeof(kind),
                                              .version = CCI_NOTIFIER_VERSION,
                                              .kind = "test",
                                              .open = open_state,
                                              .notify = hear,
                                              .close = close_state};

struct told {
	const char *name;
	struct plan plan;
	int security;
	int types[4]; /* 0 ends */
	bool refuse;  /* the notifier fails, on_error = refuse */
	enum reason reason;
};

static const struct told tolds[] = {
    {"upgrade", {.answer = 1}, PEER_ON, {CCI_HANDSHAKE_STARTING, CCI_HANDSHAKE_DONE}, .refuse = false},
    {"clear", {.answer = 0}, PEER_ON, {CCI_UNSECURED}, .refuse = false},
    {"direct", {.answer = 2, .direct = true}, PEER_DIRECT, {CCI_HANDSHAKE_DONE}, .refuse = false},
    {"no trust",
     {.answer = 1, .certificate = CERTIFICATE_UNTRUSTED},
     PEER_ON,
     {CCI_HANDSHAKE_STARTING, CCI_HANDSHAKE_FAILED},
     .reason = REASON_PEER_CERTIFICATE_UNTRUSTED},
    {"no trust, direct",
     {.direct = true, .certificate = CERTIFICATE_UNTRUSTED},
     PEER_DIRECT,
     {CCI_HANDSHAKE_FAILED},
     .reason = REASON_PEER_CERTIFICATE_UNTRUSTED},
    {"refused", {.type = 3, .reason = 7}, PEER_ON, {CCI_REFUSED}, .reason = REASON_PEER_REFUSED},
    {"broken offer", {.answer = 0}, PEER_REQUIRED, {CCI_REFUSED}, .reason = REASON_PEER_BROKE_OFFER},
    {"altered",
     {.answer = 1, .confirm = WITH_WRONG_VERIFIER},
     PEER_ON,
     {CCI_HANDSHAKE_STARTING, CCI_HANDSHAKE_DONE, CCI_REFUSED},
     .reason = REASON_ALTERED},
    {"notifier refuses",
     {.answer = 1},
     PEER_ON,
     {CCI_HANDSHAKE_STARTING, CCI_REFUSED},
     .refuse = true,
     .reason = REASON_NOTIFIER_REFUSED},
    {"notifier refuses the clear",
     {.answer = 0},
     PEER_ON,
     {CCI_UNSECURED, CCI_REFUSED},
     .refuse = true,
     .reason = REASON_NOTIFIER_REFUSED},
};

START_TEST(notifiers_are_told)
{
	const struct told *row = &tolds[_i];
	const struct cci_notifier_kind *const kinds[] = {&kind, NULL};
	char name[] = "t", word[] = "test";
	struct config_notifier section = {.place = {name, 1}, .kind = word, .on_error = ON_ERROR_REFUSE};
	struct config config = {.notifiers = &section, .notifier_count = 1};
	struct dialling dialling;
	struct acceptor acceptor;
	struct error error;

	memset(&heard, 0, sizeof(heard));
	heard.result = row->refuse ? CCI_FAILED : CCI_NOTIFIED;
	dialling_open(&dialling, row->security, files.ca);
	dialling.options.notifiers = notifiers_new(&config, &(const struct notifier_source){.kinds = kinds}, &error);
	ck_assert_ptr_nonnull(dialling.options.notifiers);
	acceptor_start(&acceptor, &files, &row->plan, 1);
	dialling_address(&dialling, 0, "127.0.0.1", acceptor.port);
	dialling_run(&dialling);
	ck_assert_msg(dialling.reason == row->reason, "%s: %s", row->name, reason_word(dialling.reason));
	for (int i = 0; i < 4; i++)
		ck_assert_msg(heard.types[i] == row->types[i], "%s: event %d is %d", row->name, i, heard.types[i]);
	notifiers_free(dialling.options.notifiers);
	dialling_close(&dialling);
	acceptor_stop(&acceptor);
	if (row->types[0] != CCI_HANDSHAKE_STARTING)
		return;
	ck_assert_uint_eq(heard.clear_out, (uint64_t)acceptor.offer_size);
	ck_assert_uint_eq(heard.clear_in, 16 + 5 + 7 + 11 + 20);
}
END_TEST

#define COUNT(rows) ((int)(sizeof(rows) / sizeof((rows)[0])))

Suite *module_suite(void)
{
	Suite *suite = suite_create("dial: addresses, cancel, notifiers");
	TCase *tests = tcase_create("dial");

	(void)signal(SIGPIPE, SIG_IGN);
	tcase_set_timeout(tests, 30);
	tcase_add_unchecked_fixture(tests, make_files, remove_files);
	tcase_add_loop_test(tests, next_address_only_where_it_may_help, 0, COUNT(failovers));
	tcase_add_loop_test(tests, each_address_once, 0, 4);
	tcase_add_test(tests, secured_does_not_outlive_its_address);
	tcase_add_test(tests, primary_is_taken_again_after_retry);
	tcase_add_loop_test(tests, cancelled_at_any_moment, 0, 24);
	tcase_add_loop_test(tests, notifiers_are_told, 0, COUNT(tolds));
	suite_add_tcase(suite, tests);
	return suite;
}
