/* Unit tests: who gets which line of a trace. */
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

static uint8_t id[PARAMS_CONNECTION_SIZE] = {0xab};
static union socket_address from;
static struct trace_subject subject = {.connection = id, .source = &from, .sysid = "BRANCH1"};
static char lines[65536];

static struct trace *follow(enum trace_kind kind, const char *words)
{
	struct trace_target target = {.kind = kind};
	struct error error;
	struct trace *trace;

	memcpy(target.id, id, sizeof(id));
	if (kind == TRACE_SOURCE)
		ck_assert_int_eq(network_parse(words, &target.source, &error), 0);
	(void)snprintf(target.words, sizeof(target.words), "%s", words);
	trace = trace_open(&target, NULL, NULL, &error);
	ck_assert_ptr_nonnull(trace);
	return trace;
}

static const char *taken(struct trace *trace)
{
	uint64_t next = 1, missed;
	size_t got = eventring_take(trace_ring(trace), &next, lines, sizeof(lines) - 1, &missed);

	lines[got] = '\0';
	return lines;
}

START_TEST(who_asked_gets_it)
{
	struct trace *by_id = follow(TRACE_ID, "ab"), *other = follow(TRACE_SYSID, "sysid=OTHER*");
	struct trace *named = follow(TRACE_SYSID, "sysid=branch?");

	ck_assert(trace_any());
	TRACE(&subject, TRACE_FRONT, "decided", "%s", "tls\033[2J");
	ck_assert_ptr_nonnull(strstr(taken(by_id), "\"stage\":\"decided\""));
	ck_assert_ptr_null(strchr(lines, '\033'));
	ck_assert_ptr_nonnull(strstr(taken(named), "\"side\":\"front\""));
	ck_assert_str_eq(taken(other), "");
	trace_end(&subject, "ended", "");
	ck_assert(trace_over(by_id) && !trace_over(named));
	trace_close(by_id);
	trace_close(other);
	trace_close(named);
	ck_assert(!trace_any());
}
END_TEST

START_TEST(messages_are_decoded_and_verifiers_are_not)
{
	struct params confirm = {.type = PARAMS_CONFIRM, .cpu = PARAMS_UTF8};
	uint8_t bytes[PARAMS_MESSAGE_SIZE];
	struct trace *trace = follow(TRACE_ID, "ab");
	size_t size;

	memset(confirm.verifier, 0xe7, sizeof(confirm.verifier));
	size = params_encode(&confirm, bytes);
	trace_message(&subject, TRACE_BACK, &(struct trace_message){.sent = true, .bytes = bytes, .size = size, .message = &confirm});
	ck_assert_ptr_nonnull(strstr(taken(trace), "CONFIRM cpu=utf-8"));
	ck_assert_ptr_null(strstr(lines, "e7e7"));
	trace_message(&subject, TRACE_FRONT, &(struct trace_message){.bytes = bytes, .size = 20, .fault = "a fault"});
	ck_assert_ptr_nonnull(strstr(taken(trace), "no message: a fault"));
	trace_close(trace);
}
END_TEST

START_TEST(there_is_a_bound)
{
	struct trace_target target = {.kind = TRACE_SYSID, .words = "sysid=*"};
	struct trace *all[TRACES_MOST];
	struct error error;

	for (size_t i = 0; i < TRACES_MOST; i++)
		all[i] = follow(TRACE_SYSID, "sysid=*");
	ck_assert_int_eq(trace_log_on(&target, &error), -1);
	for (size_t i = 0; i < TRACES_MOST; i++)
		trace_close(all[i]);
	ck_assert_int_eq(trace_log_on(&target, &error), 0);
	ck_assert(trace_log_off("sysid=*"));
	ck_assert(!trace_log_off("sysid=*"));
	ck_assert(!trace_any());
}
END_TEST

/* A session's own: nothing is known yet. */
static struct trace_held held;
static char sysid[16];
static struct trace_subject stranger = {.connection = id, .source = &from, .sysid = sysid, .held = &held};

static size_t count_lines(struct trace *trace)
{
	size_t count = 0;

	for (const char *at = taken(trace); *at != '\0'; at++)
		count += *at == '\n';
	return count;
}

static void begin(unsigned unknown)
{
	held = (struct trace_held){.unknown = unknown};
	sysid[0] = '\0';
}

START_TEST(a_name_gets_what_was_before_it)
{
	struct trace *named, *other, *by_id = follow(TRACE_ID, "ab");

	begin(TRACE_UNKNOWN_NAME);
	TRACE(&stranger, TRACE_FRONT, "accepted", "not held: nobody waits for a name");
	ck_assert_ptr_null(held.first);
	named = follow(TRACE_SYSID, "sysid=LATE*");
	other = follow(TRACE_SYSID, "sysid=OTHER*");
	TRACE(&stranger, TRACE_FRONT, "one", "held");
	trace_message(&stranger, TRACE_FRONT, &(struct trace_message){.bytes = id, .size = 4, .fault = "a fault"});
	ck_assert_uint_eq(count_lines(by_id), 3);
	ck_assert_uint_eq(count_lines(named), 0);
	(void)strcpy(sysid, "LATE1");
	trace_known(&stranger, NULL);
	ck_assert_ptr_null(held.first);
	TRACE(&stranger, TRACE_FRONT, "three", "afterwards");
	ck_assert_uint_eq(count_lines(named), 3);
	ck_assert(strstr(lines, "\"one\"") < strstr(lines, "a fault") && strstr(lines, "a fault") < strstr(lines, "\"three\""));
	ck_assert_ptr_nonnull(strstr(lines, "\"hex\":\"ab000000\""));
	ck_assert_uint_eq(count_lines(by_id), 4);
	ck_assert_uint_eq(count_lines(other), 0);
	trace_close(named);
	trace_close(other);
	trace_close(by_id);
}
END_TEST

START_TEST(a_client_gets_what_its_balancer_began)
{
	union socket_address balancer = from;
	struct trace *client = follow(TRACE_SOURCE, "192.0.2.0/24"), *all = follow(TRACE_SOURCE, "0.0.0.0/0");
	struct trace *named = follow(TRACE_SYSID, "sysid=LATE1"), *front = follow(TRACE_SOURCE, "127.0.0.2/32");
	struct error error;
	struct address address;

	begin(TRACE_UNKNOWN_SOURCE | TRACE_UNKNOWN_NAME);
	ck_assert_int_eq(address_parse("127.0.0.2:1", 0, &address, &error), 0);
	balancer = from = address.socket;
	TRACE(&stranger, TRACE_FRONT, "one", "from the balancer");
	ck_assert_int_eq(address_parse("192.0.2.7:1", 0, &address, &error), 0);
	from = address.socket;
	trace_known(&stranger, &balancer);
	ck_assert_ptr_nonnull(held.first);
	TRACE(&stranger, TRACE_FRONT, "two", "from the client");
	(void)strcpy(sysid, "LATE1");
	trace_known(&stranger, NULL);
	ck_assert_ptr_null(held.first);
	ck_assert_uint_eq(count_lines(client), 2);
	ck_assert_uint_eq(count_lines(all), 2);
	ck_assert_uint_eq(count_lines(named), 2);
	ck_assert_uint_eq(count_lines(front), 1);
	trace_close(client);
	trace_close(all);
	trace_close(named);
	trace_close(front);
}
END_TEST

START_TEST(what_is_held_is_bounded)
{
	struct trace *named = follow(TRACE_SYSID, "sysid=LATE1");
	char much[900];

	memset(much, 'x', sizeof(much) - 1);
	much[sizeof(much) - 1] = '\0';
	begin(TRACE_UNKNOWN_NAME);
	for (int i = 0; i < 100; i++)
		TRACE(&stranger, TRACE_FRONT, "long", "%s", much);
	TRACE(&stranger, TRACE_FRONT, "short", "would fit, and would leave a gap");
	ck_assert_uint_le(held.bytes, TRACE_HELD_BYTES);
	ck_assert_uint_gt(held.bytes, TRACE_HELD_BYTES - 1100);
	(void)strcpy(sysid, "LATE1");
	trace_known(&stranger, NULL);
	ck_assert_uint_eq(count_lines(named), TRACE_HELD_BYTES / 960 + 1);
	ck_assert_ptr_nonnull(strstr(lines, "lines before this one were not kept"));
	ck_assert_ptr_null(strstr(lines, "leave a gap"));
	trace_close(named);
	begin(TRACE_UNKNOWN_NAME);
	TRACE(&stranger, TRACE_FRONT, "one", "nobody traces");
	ck_assert_ptr_null(held.first);
}
END_TEST

/* A client that is no CCI's, say: nobody gets its lines, and they are dropped. */
START_TEST(a_name_that_never_comes)
{
	struct trace *named = follow(TRACE_SYSID, "sysid=*");

	begin(TRACE_UNKNOWN_NAME);
	TRACE(&stranger, TRACE_FRONT, "one", "held");
	trace_end(&stranger, "not-cci", "");
	trace_held_drop(&held);
	ck_assert_uint_eq(count_lines(named), 0);
	trace_close(named);
	/* It left while they were held. */
	named = follow(TRACE_SYSID, "sysid=*");
	TRACE(&stranger, TRACE_FRONT, "one", "held");
	trace_close(named);
	(void)strcpy(sysid, "LATE1");
	trace_known(&stranger, NULL);
	ck_assert_ptr_null(held.first);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("trace");
	TCase *tests = tcase_create("trace");

	tcase_add_test(tests, who_asked_gets_it);
	tcase_add_test(tests, messages_are_decoded_and_verifiers_are_not);
	tcase_add_test(tests, there_is_a_bound);
	tcase_add_test(tests, a_name_gets_what_was_before_it);
	tcase_add_test(tests, a_client_gets_what_its_balancer_began);
	tcase_add_test(tests, what_is_held_is_bounded);
	tcase_add_test(tests, a_name_that_never_comes);
	suite_add_tcase(suite, tests);
	return suite;
}
