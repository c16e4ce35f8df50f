/* The report: what is counted, what is kept, what is made of it, and what strangers can do to it. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "keyhash.h"
#include "report.h"
#include "report_entries.h"
#include "suite.h"

#define T0 1764000000000000u /* 2025-11-24T16:00:00Z */
#define MINUTE 60000000u

static union socket_address source_of(const char *text)
{
	union socket_address source = {.any = {.sa_family = AF_INET}};

	if (strcmp(text, "unix") == 0)
		source.any.sa_family = AF_UNIX;
	else if (strchr(text, ':') == NULL)
		ck_assert_int_eq(inet_pton(AF_INET, text, &source.v4.sin_addr), 1);
	else {
		source.any.sa_family = AF_INET6;
		ck_assert_int_eq(inet_pton(AF_INET6, text, &source.v6.sin6_addr), 1);
	}
	return source;
}

/* Sessions as they are: `minute` is when. */
static struct report_session clear(const char *sysid, const char *asked, unsigned minute)
{
	return (struct report_session){.listener = "hosts",
	                               .sysid = sysid,
	                               .asked = asked,
	                               .outcome = "clear",
	                               .policy = "allow",
	                               .never_outcome = strcmp(asked, "off") == 0 ? "tls" : "refuse",
	                               .reason = "ended",
	                               .relayed = true,
	                               .bytes_up = 10,
	                               .bytes_down = 20,
	                               .started_us = T0 + minute * (uint64_t)MINUTE};
}

static struct report_session secured(const char *sysid, unsigned minute)
{
	struct report_session session = clear(sysid, "on", minute);

	session.outcome = session.never_outcome = "tls";
	session.secured = session.confirmed = true;
	session.tls_version = "1.3";
	session.tls_suite = "TLS_AES_256_GCM_SHA384";
	session.tls_start = "upgrade";
	return session;
}

static struct report_session refused(const char *sysid, const char *reason, unsigned minute)
{
	struct report_session session = clear(sysid, "none", minute);

	session.outcome = "refuse";
	session.reason = reason;
	session.relayed = false;
	return session;
}

static void add(struct report *report, struct report_session session, const char *from)
{
	union socket_address source = source_of(from);

	session.source = &source;
	report_add(report, &session);
}

static const json_t *name_of(const json_t *json, const char *name)
{
	const json_t *names = json_object_get(json, "names");

	for (size_t i = 0; i < json_array_size(names); i++)
		if (strcmp(json_string_value(json_object_get(json_array_get(names, i), "name")), name) == 0)
			return json_array_get(names, i);
	ck_abort_msg("%s is not among the names", name);
}

static const char *text_of(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text != NULL ? text : "";
}

static uint64_t number_of(const json_t *object, const char *member)
{
	ck_assert_msg(json_is_integer(json_object_get(object, member)), "%s", member);
	return (uint64_t)json_integer_value(json_object_get(object, member));
}

static const char *summary_of(const json_t *json)
{
	return text_of(json_object_get(json, "summary"), "text");
}

START_TEST(the_hash_is_siphash)
{
	uint8_t key[KEYHASH_KEY_SIZE], bytes[64];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	memcpy(key, bytes, sizeof(key));
	/* The vectors of its authors. */
	ck_assert_uint_eq(keyhash(key, bytes, 0), 0x726fdb47dd0e0e31u);
	ck_assert_uint_eq(keyhash(key, bytes, 8), 0x93f5f5799a932462u);
	ck_assert_uint_eq(keyhash(key, bytes, 15), 0xa129ca6149be45e5u);
	key[0] ^= 1;
	ck_assert_uint_ne(keyhash(key, bytes, 15), 0xa129ca6149be45e5u);
}
END_TEST

START_TEST(sessions_that_are_alike_are_one_entry)
{
	struct report *report = report_new(100);
	struct report_session session = secured("BRANCH-07", 5);
	json_t *json;
	const json_t *entry;

	session.agent = "old/1";
	add(report, session, "10.1.7.3");
	session = secured("branch-07", 9);
	session.agent = "new/2";
	session.resumed = true;
	session.ratcheted = true;
	session.peer_subject = "CN=branch-07";
	add(report, session, "10.1.7.200");
	add(report, secured("BRANCH-07", 1), "10.1.8.1"); /* another network */
	json = report_json(report);
	ck_assert_uint_eq(json_array_size(json_object_get(json, "entries")), 2);
	entry = json_array_get(json_object_get(json, "entries"), 1);
	ck_assert_str_eq(text_of(entry, "sysid"), "BRANCH-07");
	ck_assert_str_eq(text_of(entry, "network"), "10.1.7.0/24");
	ck_assert_str_eq(text_of(entry, "state"), "secured");
	ck_assert_str_eq(text_of(entry, "agent"), "new/2");
	ck_assert_str_eq(text_of(entry, "peer_subject"), "CN=branch-07");
	ck_assert_str_eq(text_of(entry, "first"), "2025-11-24T16:05:00.000000Z");
	ck_assert_str_eq(text_of(entry, "last"), "2025-11-24T16:09:00.000000Z");
	ck_assert_uint_eq(number_of(entry, "sessions"), 2);
	ck_assert_uint_eq(number_of(entry, "bytes_down"), 40);
	ck_assert_uint_eq(number_of(entry, "resumed"), 1);
	ck_assert_uint_eq(number_of(entry, "confirmed"), 2);
	ck_assert(json_is_true(json_object_get(entry, "ratcheted")));
	ck_assert_uint_eq(json_array_size(json_object_get(json, "names")), 1);
	ck_assert_uint_eq(number_of(name_of(json, "BRANCH-07"), "secured"), 3);
	ck_assert_str_eq(text_of(json, "since"), "2025-11-24T16:01:00.000000Z");
	json_decref(json);
	report_free(report);
}
END_TEST

static const struct {
	const char *from, *network;
} networks[] = {
    {"192.0.2.77", "192.0.2.0/24"},       {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
    {"::ffff:192.0.2.9", "192.0.2.0/24"}, {"unix", "unix"},
    {"::1", "::/64"},
};

START_TEST(sources_count_by_their_network)
{
	struct report *report = report_new(100);
	json_t *json;

	add(report, clear("A", "none", 0), networks[_i].from);
	json = report_json(report);
	ck_assert_str_eq(text_of(json_array_get(json_object_get(json, "entries"), 0), "network"), networks[_i].network);
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(name_of(json, "A"), "clear_networks"), 0)),
	                 networks[_i].network);
	json_decref(json);
	report_free(report);
}
END_TEST

START_TEST(names_stand_as_they_are_to_be_acted_on)
{
	static const char *const order[] = {"BACK", "HELD", "SHUT", "BROKEN", "BOTH", "CAN", "", "CANNOT", "ALWAYS", "MOVED"};
	struct report *report = report_new(100);
	struct report_session session = secured("BROKEN", 1);
	json_t *json;

	add(report, secured("ALWAYS", 1), "10.0.0.1");
	add(report, clear("MOVED", "none", 1), "10.0.1.1");
	add(report, secured("MOVED", 2), "10.0.1.1");
	add(report, clear("CANNOT", "none", 3), "10.0.2.1");
	add(report, clear("CAN", "off", 3), "10.0.3.1");
	add(report, clear("CAN", "off", 4), "10.0.4.1");
	add(report, secured("BACK", 1), "10.0.5.1");
	add(report, clear("BACK", "none", 2), "10.0.5.1");
	add(report, clear("BACK", "none", 2), "10.0.5.1");
	add(report, secured("HELD", 1), "10.0.6.1");
	add(report, refused("HELD", "ratcheted", 2), "10.0.6.1");
	add(report, secured("BOTH", 1), "10.0.7.1");
	add(report, clear("BOTH", "none", 2), "10.0.7.1");
	add(report, secured("BOTH", 3), "10.0.7.1");
	add(report, refused("SHUT", "security-required", 3), "10.0.8.1");
	add(report, clear(NULL, "raw", 3), "10.0.9.1");
	session.relayed = session.secured = false;
	session.tls_version = session.tls_suite = session.tls_start = NULL;
	session.reason = "handshake-failed";
	add(report, session, "10.0.10.1");
	json = report_json(report);
	ck_assert_uint_eq(json_array_size(json_object_get(json, "names")), 10);
	for (size_t i = 0; i < 10; i++)
		ck_assert_str_eq(text_of(json_array_get(json_object_get(json, "names"), i), "name"), order[i]);
	ck_assert_str_eq(summary_of(json),
	                 "10 names: 2 secured, 1 clear that can do TLS, 1 clear that cannot, 1 clear that do not say, 1 secured "
	                 "and clear, 1 failed, 1 refused, 2 back in the clear; never would refuse 4 today");
	ck_assert_str_eq(text_of(name_of(json, "CAN"), "tls"), "offered");
	ck_assert_uint_eq(json_array_size(json_object_get(name_of(json, "CAN"), "clear_networks")), 2);
	ck_assert_str_eq(text_of(name_of(json, "CANNOT"), "tls"), "none");
	ck_assert_uint_eq(number_of(json_object_get(name_of(json, "HELD"), "reasons"), "ratcheted"), 1);
	ck_assert_str_eq(text_of(name_of(json, "HELD"), "last_reason"), "ratcheted");
	ck_assert(json_is_false(json_object_get(name_of(json, "HELD"), "never_refuses")));
	ck_assert(json_is_false(json_object_get(name_of(json, "MOVED"), "never_refuses")));
	ck_assert(json_is_true(json_object_get(name_of(json, "CANNOT"), "never_refuses")));
	ck_assert(json_is_false(json_object_get(name_of(json, "CAN"), "never_refuses")));
	json_decref(json);
	report_free(report);
}
END_TEST

/* Refused under the name of an office, from elsewhere: what the office does is as it was. */
START_TEST(a_stranger_who_takes_a_name_hides_nothing)
{
	struct report *report = report_new(100);
	json_t *json;

	add(report, clear("OFFICE", "none", 1), "10.0.1.1");
	add(report, refused("OFFICE", "security-required", 2), "10.0.2.1");
	json = report_json(report);
	ck_assert_str_eq(summary_of(json), "1 name: 1 clear that cannot; never would refuse 1 today");
	json_decref(json);
	add(report, refused("OFFICE", "security-required", 2), "10.0.1.1");
	json = report_json(report);
	ck_assert_str_eq(summary_of(json), "1 name: 1 refused; never would refuse 0 today");
	json_decref(json);
	report_free(report);
}
END_TEST

/* The ratchet has refused it, and it came back by TLS: it never was in the clear. */
START_TEST(who_was_refused_and_came_back_is_secured)
{
	struct report *report = report_new(100);
	json_t *json;

	add(report, secured("OFFICE", 1), "10.0.1.1");
	add(report, refused("OFFICE", "ratcheted", 2), "10.0.1.1");
	json = report_json(report);
	ck_assert_str_eq(summary_of(json), "1 name: 1 back in the clear; never would refuse 0 today");
	json_decref(json);
	add(report, secured("OFFICE", 3), "10.0.1.1");
	json = report_json(report);
	ck_assert_str_eq(summary_of(json), "1 name: 1 secured; never would refuse 0 today");
	json_decref(json);
	report_free(report);
}
END_TEST

START_TEST(what_a_policy_on_trial_would_have_refused)
{
	struct report *report = report_new(100);
	struct report_session session = clear("A", "none", 1);
	json_t *json;

	session.audit_policy = "never";
	session.audit_outcome = "refuse";
	add(report, session, "10.0.0.1");
	session = refused("A", "busy", 2); /* it would not have been the policy on trial that refused it */
	session.audit_policy = "never";
	session.audit_outcome = "refuse";
	add(report, session, "10.0.0.1");
	session = secured("A", 3);
	session.audit_policy = "never";
	session.audit_outcome = "tls";
	add(report, session, "10.0.0.1");
	json = report_json(report);
	ck_assert_uint_eq(number_of(name_of(json, "A"), "audit"), 1);
	ck_assert_uint_eq(number_of(name_of(json, "A"), "never"), 1);
	json_decref(json);
	report_free(report);
}
END_TEST

START_TEST(who_never_said_who_he_is_does_not_count)
{
	struct report *report = report_new(100);
	struct report_session session = refused("", "exchange-timeout", 1);
	json_t *json;

	session.asked = NULL;
	report_add(report, &session);
	session = clear("HEALTH", "none", 1);
	session.ping = true;
	report_add(report, &session);
	report_add(NULL, &session);
	json = report_json(report);
	ck_assert_uint_eq(number_of(json, "sessions"), 0);
	ck_assert_str_eq(summary_of(json), "0 names; never would refuse 0 today");
	json_decref(json);
	/* Who began with TLS and failed is an entry, but no name. */
	session = refused(NULL, "handshake-failed", 1);
	session.asked = "tls";
	session.outcome = NULL;
	report_add(report, &session);
	json = report_json(report);
	ck_assert_uint_eq(json_array_size(json_object_get(json, "entries")), 1);
	ck_assert_uint_eq(json_array_size(json_object_get(json, "names")), 0);
	json_decref(json);
	report_free(report);
}
END_TEST

/* Connections of hosts live for days: they count from the moment they are agreed, and once. */
START_TEST(an_open_session_counts_already)
{
	struct report *report = report_new(2);
	struct report_session session = secured("PC1", 1);
	json_t *json;

	session.moment = REPORT_AGREED;
	add(report, session, "10.1.1.1");
	json = report_json(report);
	ck_assert_uint_eq(number_of(name_of(json, "PC1"), "secured"), 1);
	ck_assert_uint_eq(number_of(name_of(json, "PC1"), "secured_open"), 1);
	session.moment = REPORT_ENDED;
	add(report, session, "10.1.1.1");
	json_decref(json);
	json = report_json(report);
	ck_assert_uint_eq(number_of(json, "sessions") + number_of(name_of(json, "PC1"), "secured_open"), 1);
	ck_assert_uint_eq(number_of(json_array_get(json_object_get(json, "entries"), 0), "bytes_up"), 20);
	/* Its entry is forgotten before it ends: its end brings nothing back. */
	session.moment = REPORT_AGREED;
	add(report, session, "10.1.1.1");
	add(report, clear("PC2", "none", 2), "10.1.1.1");
	add(report, clear("PC3", "none", 3), "10.1.1.1");
	session.moment = REPORT_ENDED;
	add(report, session, "10.1.1.1");
	json_decref(json);
	json = report_json(report);
	ck_assert_uint_eq(json_array_size(json_object_get(json, "names")), 2);
	json_decref(json);
	report_free(report);
}
END_TEST

START_TEST(the_oldest_leaves)
{
	struct report *report = report_new(3);
	json_t *json;
	const json_t *entries;

	add(report, clear("A", "none", 1), "10.0.0.1");
	add(report, clear("B", "none", 2), "10.0.0.1");
	add(report, clear("B", "none", 2), "10.0.0.1");
	add(report, clear("C", "none", 3), "10.0.0.1");
	add(report, clear("A", "none", 4), "10.0.0.1");
	add(report, clear("D", "none", 5), "10.0.0.1");
	json = report_json(report);
	entries = json_object_get(json, "entries");
	ck_assert_uint_eq(json_array_size(entries), 3);
	ck_assert_str_eq(text_of(json_array_get(entries, 0), "sysid"), "D");
	ck_assert_str_eq(text_of(json_array_get(entries, 1), "sysid"), "A");
	ck_assert_str_eq(text_of(json_array_get(entries, 2), "sysid"), "C");
	ck_assert_uint_eq(number_of(json, "sessions"), 6);
	ck_assert_uint_eq(number_of(json, "forgotten"), 2);
	json_decref(json);
	report_free(report);
}
END_TEST

static void say_time(const char *what, const struct timespec *began)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	(void)printf("%s: %.0f ns\n", what,
	             ((double)(now.tv_sec - began->tv_sec) * 1e9 + (double)(now.tv_nsec - began->tv_nsec)) / 100000);
}

START_TEST(who_asks_often_gets_the_first)
{
	struct report *report = report_new(100);
	json_t *json;

	add(report, clear("A", "none", 1), "10.0.0.1");
	add(report, secured("B", 2), "10.0.0.1");
	add(report, secured("C", 3), "10.0.0.1");
	json = report_json_most(report, 1);
	ck_assert_uint_eq(json_array_size(json_object_get(json, "names")), 1);
	ck_assert_uint_eq(json_array_size(json_object_get(json, "entries")), 1);
	ck_assert_str_eq(text_of(json_array_get(json_object_get(json, "names"), 0), "name"), "A");
	ck_assert_str_eq(text_of(json_array_get(json_object_get(json, "entries"), 0), "sysid"), "C");
	ck_assert_uint_eq(number_of(json, "entries_total"), 3);
	ck_assert_str_eq(summary_of(json), "3 names: 2 secured, 1 clear that cannot; never would refuse 1 today");
	json_decref(json);
	report_free(report);
}
END_TEST

START_TEST(invented_names_cost_bounded_memory)
{
	struct report *report = report_new(1000);
	struct timespec began;
	char sysid[32], agent[2048];
	json_t *json;

	memset(agent, 'x', sizeof(agent) - 1);
	agent[sizeof(agent) - 1] = '\0';
	(void)clock_gettime(CLOCK_MONOTONIC, &began);
	for (unsigned i = 0; i < 100000; i++) {
		struct report_session session = clear(sysid, "none", i % 1000);

		(void)snprintf(sysid, sizeof(sysid), "INVENTED-%u", i);
		session.agent = agent;
		add(report, session, "10.0.0.1");
	}
	say_time("report_add of a new name, one leaving", &began);
	(void)clock_gettime(CLOCK_MONOTONIC, &began);
	for (unsigned i = 0; i < 100000; i++)
		add(report, secured("BRANCH-07", i % 1000), "10.0.0.1");
	say_time("report_add of a known one", &began);
	json = report_json(report);
	ck_assert_uint_eq(json_array_size(json_object_get(json, "entries")), 1000);
	ck_assert_uint_eq(strlen(text_of(json_array_get(json_object_get(json, "entries"), 1), "agent")), 255);
	ck_assert_uint_eq(number_of(json, "sessions"), 200000);
	ck_assert_uint_eq(number_of(json, "forgotten"), 99001);
	json_decref(json);
	report_free(report);
}
END_TEST

static void *add_many(void *context)
{
	char sysid[32];

	for (unsigned i = 0; i < 5000; i++) {
		(void)snprintf(sysid, sizeof(sysid), "N%u", i % 100);
		add(context, i % 2 ? secured(sysid, i) : clear(sysid, "none", i), "10.0.0.1");
	}
	return NULL;
}

START_TEST(all_threads_add_while_one_looks)
{
	struct report *report = report_new(150);
	pthread_t threads[4];
	json_t *json;

	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, add_many, report), 0);
	for (int i = 0; i < 20; i++) {
		json = report_json(report);
		ck_assert_ptr_nonnull(json);
		json_decref(json);
	}
	for (size_t i = 0; i < 4; i++)
		(void)pthread_join(threads[i], NULL);
	json = report_json(report);
	ck_assert_uint_eq(number_of(json, "sessions"), 20000);
	ck_assert_uint_eq(json_array_size(json_object_get(json, "entries")), 100);
	json_decref(json);
	report_free(report);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("report");
	TCase *table = tcase_create("table");

	tcase_set_timeout(table, 60);
	tcase_add_test(table, the_hash_is_siphash);
	tcase_add_test(table, sessions_that_are_alike_are_one_entry);
	tcase_add_loop_test(table, sources_count_by_their_network, 0, 5);
	tcase_add_test(table, names_stand_as_they_are_to_be_acted_on);
	tcase_add_test(table, a_stranger_who_takes_a_name_hides_nothing);
	tcase_add_test(table, who_was_refused_and_came_back_is_secured);
	tcase_add_test(table, what_a_policy_on_trial_would_have_refused);
	tcase_add_test(table, who_never_said_who_he_is_does_not_count);
	tcase_add_test(table, an_open_session_counts_already);
	tcase_add_test(table, the_oldest_leaves);
	tcase_add_test(table, who_asks_often_gets_the_first);
	tcase_add_test(table, invented_names_cost_bounded_memory);
	tcase_add_test(table, all_threads_add_while_one_looks);
	suite_add_tcase(suite, table);
	return suite;
}
