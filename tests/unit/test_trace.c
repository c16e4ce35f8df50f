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

Suite *module_suite(void)
{
	Suite *suite = suite_create("trace");
	TCase *tests = tcase_create("trace");

	tcase_add_test(tests, who_asked_gets_it);
	tcase_add_test(tests, messages_are_decoded_and_verifiers_are_not);
	tcase_add_test(tests, there_is_a_bound);
	suite_add_tcase(suite, tests);
	return suite;
}
