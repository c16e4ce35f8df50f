/* Which records an event and which the time makes due: held back, changed, short, summed up, and without room. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smf_sessions.h"
#include "smf_table.h"
#include "suite.h"

#define SECOND UINT64_C(1000000)
#define START (UINT64_C(1795561200) * SECOND) /* 23:00:00 UTC: a multiple of fifteen minutes */

static const struct smf_origin origin = {.system_id = "HOST", .job = "ccissl"};
static uint8_t written[1 << 20];
static size_t used;
static bool failing;

static int emit(void *owner, const uint8_t *records, size_t size)
{
	(void)owner;
	if (failing)
		return -1;
	memcpy(written + used, records, size);
	used += size;
	return 0;
}

static uint64_t number(const uint8_t *at, int size)
{
	uint64_t value = 0;

	for (int i = 0; i < size; i++)
		value = value << 8 | at[i];
	return value;
}

/* What was written since the last call: a letter for each record (initiation, change, termination, short, summary, enabled,
 * disabled), and * behind those with a TLS section. */
static const char *news(void)
{
	static char text[256];
	char *to = text;

	for (const uint8_t *at = written; at < written + used; at += number(at, 2)) {
		bool is_detail = number(at + 22, 2) == 11;

		*to++ = is_detail ? " icts"[at[148]] : " SED"[at[140 + 8]];
		if (number(at + (is_detail ? 52 : 44), 4) != 0)
			*to++ = '*';
		ck_assert(to < text + sizeof(text) - 2);
	}
	*to = '\0';
	used = 0;
	return text;
}

/* The totals of summary number `i` of those written and not yet told. */
static struct smf_totals totals(int i, int offset)
{
	const uint8_t *at = written;

	while (i-- > 0)
		at += number(at, 2);
	at += 140 + offset;
	return (struct smf_totals){(uint32_t)number(at, 4),      (uint32_t)number(at + 4, 4),
	                           (uint32_t)number(at + 8, 4),  (uint32_t)number(at + 12, 4),
	                           number(at + 16, 8),           number(at + 24, 8),
	                           number(at + 32, 8),           number(at + 40, 8)};
}
#define AT_START 108
#define AT_END 156

static struct smf_connection make(uint8_t id, enum cci_event_type type, double seconds)
{
	struct smf_connection connection = {.event = (uint8_t)type, .role = CCI_ACCEPTING, .is_connected = true, .is_ip = true};

	connection.id[15] = id;
	connection.started_us = START;
	connection.time_us = START + (uint64_t)(seconds * 1e6);
	connection.remote[3] = id;
	connection.local_port = 1202;
	connection.clear_in = connection.bytes_in = 70;
	connection.clear_out = connection.bytes_out = 50;
	return connection;
}

static struct smf_connection make_secured(uint8_t id, enum cci_event_type type, double seconds)
{
	struct smf_connection connection = make(id, type, seconds);

	connection.secured = true;
	connection.upgraded = true;
	connection.tls[1] = 4;
	connection.bytes_in = 1070;
	connection.bytes_out = 2050;
	return connection;
}

static struct smf_connection make_direct(uint8_t id, enum cci_event_type type, double seconds)
{
	struct smf_connection connection = make_secured(id, type, seconds);

	connection.upgraded = false;
	connection.clear_in = connection.clear_out = 0;
	return connection;
}

static struct smf_table *table;

static void begin(size_t connections, size_t sessions)
{
	const struct smf_table_options options = {
	    .origin = &origin, .connections = connections, .sessions = sessions, .interval_us = 900 * SECOND, .emit = emit};

	used = 0;
	failing = false;
	table = smf_table_new(&options, START);
	ck_assert_ptr_nonnull(table);
	smf_table_turn(table, START);
	ck_assert_str_eq(news(), "E");
}

static void take(struct smf_connection connection)
{
	ck_assert_int_eq(smf_table_take(table, &connection, connection.time_us), 0);
}

static uint64_t count(void)
{
	struct smf_table_count count;

	smf_table_counts(table, &count);
	return count.connections;
}

START_TEST(an_upgrade_is_initiation_change_termination)
{
	begin(10, 10);
	take(make(1, CCI_HANDSHAKE_STARTING, 0.1));
	ck_assert_str_eq(news(), "i");
	take(make_secured(1, CCI_HANDSHAKE_DONE, 0.2));
	ck_assert_str_eq(news(), "c*");
	smf_table_turn(table, START + 60 * SECOND);
	ck_assert_str_eq(news(), "");
	take(make_secured(1, CCI_CLOSED, 0.3));
	ck_assert_str_eq(news(), "t*");
	ck_assert_uint_eq(count(), 0);
	smf_table_free(table);
}
END_TEST

START_TEST(what_ends_within_ten_seconds_is_one_record)
{
	begin(10, 10);
	take(make(1, CCI_UNSECURED, 0.1));
	take(make_direct(2, CCI_HANDSHAKE_DONE, 0.1));
	smf_table_turn(table, START + 9999999);
	ck_assert_str_eq(news(), "");
	take(make(1, CCI_CLOSED, 9.9));
	ck_assert_str_eq(news(), "s");
	take(make_direct(2, CCI_CLOSED, 9.9));
	ck_assert_str_eq(news(), "s*");
	take(make(3, CCI_REFUSED, 1));
	ck_assert_str_eq(news(), "s");
	ck_assert_uint_eq(count(), 0);
	smf_table_free(table);
}
END_TEST

START_TEST(what_lasts_has_an_initiation_after_ten_seconds)
{
	begin(10, 10);
	take(make(1, CCI_UNSECURED, 0.1));
	take(make_direct(2, CCI_HANDSHAKE_DONE, 0.1));
	failing = true;
	smf_table_turn(table, START + 10 * SECOND);
	failing = false;
	smf_table_turn(table, START + 10 * SECOND);
	ck_assert_str_eq(news(), "ii*");
	smf_table_turn(table, START + 12 * SECOND);
	ck_assert_str_eq(news(), "");
	take(make(1, CCI_CLOSED, 12));
	take(make_direct(2, CCI_CLOSED, 12));
	ck_assert_str_eq(news(), "tt*");
	/* Its end came first. */
	take(make(3, CCI_REFUSED, 30));
	ck_assert_str_eq(news(), "it");
	smf_table_free(table);
}
END_TEST

START_TEST(a_failed_handshake_ends_what_was_initiated)
{
	struct smf_connection ended = make(1, CCI_REFUSED, 0.4);

	begin(10, 10);
	take(make(1, CCI_HANDSHAKE_STARTING, 0.1));
	take(make(1, CCI_HANDSHAKE_FAILED, 0.3));
	ck_assert_str_eq(news(), "i");
	take(ended);
	ck_assert_str_eq(news(), "t");
	/* On the connecting side the failure is the end, and what follows is about no connection. */
	for (int type = CCI_HANDSHAKE_STARTING; type <= CCI_HANDSHAKE_FAILED; type += 2) {
		struct smf_connection connection = make(1, (enum cci_event_type)type, 0.1);

		connection.role = CCI_CONNECTING;
		take(connection);
	}
	ck_assert_str_eq(news(), "it");
	ended.role = CCI_CONNECTING;
	ended.is_connected = false;
	take(ended);
	ck_assert_str_eq(news(), "");
	ck_assert_uint_eq(count(), 0);
	smf_table_free(table);
}
END_TEST

START_TEST(both_legs_have_their_own_records)
{
	struct smf_connection back = make_secured(1, CCI_HANDSHAKE_DONE, 0.2);

	begin(10, 10);
	take(make(1, CCI_HANDSHAKE_STARTING, 0.1));
	back.role = CCI_CONNECTING;
	back.event = CCI_HANDSHAKE_STARTING;
	back.secured = false;
	take(back);
	ck_assert_str_eq(news(), "ii");
	back.event = CCI_HANDSHAKE_DONE;
	back.secured = true;
	take(back);
	back.event = CCI_CLOSED;
	take(make(1, CCI_REFUSED, 0.5));
	take(back);
	ck_assert_str_eq(news(), "c*tt*");
	smf_table_free(table);
}
END_TEST

START_TEST(a_failure_changes_nothing_and_is_tried_again)
{
	struct smf_connection steps[] = {make(1, CCI_HANDSHAKE_STARTING, 0.1), make_secured(1, CCI_HANDSHAKE_DONE, 0.2),
	                                 make_secured(1, CCI_CLOSED, 0.3)};

	begin(10, 10);
	for (size_t i = 0; i < 3; i++) {
		failing = true;
		ck_assert_int_eq(smf_table_take(table, &steps[i], START), -1);
		ck_assert_int_eq(smf_table_take(table, &steps[i], START), -1);
		failing = false;
		take(steps[i]);
	}
	ck_assert_str_eq(news(), "ic*t*");
	smf_table_turn(table, START + 900 * SECOND);
	ck_assert_uint_eq(totals(0, AT_END).connections, 1);
	ck_assert_uint_eq(totals(1, AT_END).connections, 1);
	smf_table_free(table);
}
END_TEST

/* Clear and TLS parts add up to what was sent. */
START_TEST(summaries_add_up)
{
	struct smf_totals clear, tls;
	int tls_first;

	begin(10, 10);
	take(make(1, CCI_HANDSHAKE_STARTING, 0.1));
	take(make_secured(1, CCI_HANDSHAKE_DONE, 0.2));
	news();
	smf_table_turn(table, START + 899 * SECOND);
	ck_assert_str_eq(news(), "");
	smf_table_turn(table, START + 900 * SECOND);
	tls_first = number(written + 44, 4) != 0;
	ck_assert_uint_eq(number(written + 76 + 60, 1), 0xc0);
	ck_assert_uint_eq(number(written + (tls_first ? 380 : 344) + 76 + 60, 1), 0x80);
	ck_assert_uint_eq(number(written + 140, 8), 900 * SECOND << 12);
	clear = totals(tls_first, AT_END);
	tls = totals(!tls_first, AT_END);
	ck_assert(clear.connections == 1 && clear.partial == 1 && clear.active == 0 && clear.bytes_in == 70);
	ck_assert(tls.connections == 1 && tls.partial == 1 && tls.active == 1 && tls.bytes_in == 0);
	news();
	take(make_secured(1, CCI_CLOSED, 1000));
	take(make_direct(1, CCI_HANDSHAKE_DONE, 1000.5));
	ck_assert_str_eq(news(), "t*");
	smf_table_turn(table, START + 1800 * SECOND);
	/* The clear session is idle, the initiation of the direct one is due; TLS attributes are the same. */
	ck_assert_uint_eq(number(written + 22, 2), 11);
	tls = totals(1, AT_START);
	ck_assert(tls.connections == 1 && tls.active == 1 && tls.bytes_in == 0);
	tls = totals(1, AT_END);
	ck_assert(tls.connections == 2 && tls.partial == 1 && tls.short_ones == 0 && tls.active == 1);
	ck_assert_uint_eq(tls.bytes_in, 1000);
	ck_assert_uint_eq(tls.bytes_out, 2000);
	ck_assert_str_eq(news(), "i*S*");
	ck_assert_int_eq(smf_table_finish(table, START + 1900 * SECOND), 0);
	ck_assert_str_eq(news(), "S*D");
	smf_table_free(table);
}
END_TEST

START_TEST(nothing_happened_is_no_record)
{
	begin(10, 10);
	smf_table_turn(table, START + 1000 * SECOND);
	take(make(1, CCI_REFUSED, 1));
	ck_assert_str_eq(news(), "s");
	smf_table_turn(table, START + 1800 * SECOND);
	ck_assert_uint_eq(number(written + 140, 8), 800 * SECOND << 12);
	ck_assert_uint_eq(totals(0, AT_END).short_ones, 1);
	ck_assert_str_eq(news(), "S");
	smf_table_turn(table, START + 2700 * SECOND);
	smf_table_turn(table, START + 3600 * SECOND);
	ck_assert_str_eq(news(), "");
	/* A clock that is set back does not stop the summaries. */
	smf_table_turn(table, START);
	take(make(1, CCI_REFUSED, 1));
	news();
	smf_table_turn(table, START + 900 * SECOND);
	ck_assert_str_eq(news(), "S");
	smf_table_free(table);
}
END_TEST

START_TEST(a_summary_is_written_whole_or_later)
{
	begin(10, 10);
	take(make(1, CCI_REFUSED, 1));
	news();
	failing = true;
	smf_table_turn(table, START + 900 * SECOND);
	ck_assert_int_eq(smf_table_finish(table, START + 901 * SECOND), -1);
	failing = false;
	smf_table_turn(table, START + 902 * SECOND);
	ck_assert_uint_eq(totals(0, AT_END).connections, 1);
	ck_assert_str_eq(news(), "S");
	smf_table_free(table);
}
END_TEST

START_TEST(what_has_no_room_is_counted)
{
	struct smf_table_count counts;

	begin(1, 1);
	take(make(1, CCI_UNSECURED, 0.1));
	/* No room for the connection: what is written, is by its events. */
	take(make(2, CCI_UNSECURED, 0.1));
	take(make(3, CCI_HANDSHAKE_STARTING, 0.1));
	ck_assert_str_eq(news(), "");
	take(make_secured(3, CCI_HANDSHAKE_DONE, 0.2));
	ck_assert_str_eq(news(), "ic*");
	take(make_secured(3, CCI_CLOSED, 0.2));
	take(make(2, CCI_CLOSED, 12));
	ck_assert_str_eq(news(), "t*it");
	smf_table_counts(table, &counts);
	ck_assert_uint_eq(counts.connections, 1);
	ck_assert_uint_eq(counts.sessions, 1);
	ck_assert_uint_gt(counts.connections_over, 0);
	ck_assert_uint_gt(counts.sessions_over, 0);
	smf_table_turn(table, START + 900 * SECOND);
	/* The initiation of 1; its session; the rest in the clear; the rest with TLS. */
	ck_assert_uint_eq(totals(1, AT_END).active, 1);
	ck_assert_mem_eq(written + 276 + 344 + 140 + 64, "\xd6\xe3\xc8\xc5\xd9\x40\xc3\xd3\xc5\xc1\xd9\x40", 12);
	ck_assert_uint_eq(totals(2, AT_END).connections, 2);
	ck_assert_uint_eq(totals(2, AT_END).bytes_in, 140);
	ck_assert_uint_eq(totals(3, AT_END).connections, 1);
	ck_assert_uint_eq(totals(3, AT_END).bytes_in, 1000);
	ck_assert_str_eq(news(), "iSSS*");
	smf_table_free(table);
}
END_TEST

START_TEST(a_lost_end_is_not_active_for_ever)
{
	struct smf_connection connection = make(1, CCI_UNSECURED, 0.1);

	begin(10, 10);
	take(connection);
	smf_table_forget(table, connection.id, CCI_CONNECTING);
	ck_assert_uint_eq(count(), 1);
	smf_table_forget(table, connection.id, CCI_ACCEPTING);
	ck_assert_uint_eq(count(), 0);
	smf_table_turn(table, START + 900 * SECOND);
	ck_assert_uint_eq(totals(0, AT_END).active, 0);
	ck_assert_uint_eq(totals(0, AT_END).connections, 1);
	ck_assert_str_eq(news(), "S");
	smf_table_free(table);
}
END_TEST

/* Whatever the order of events is: no record without a frame, nothing active in the end. */
START_TEST(any_order_of_events)
{
	begin(20, 8);
	srand(1);
	for (int i = 0; i < 20000; i++) {
		struct smf_connection connection = make((uint8_t)(rand() % 30), (enum cci_event_type)(rand() % 9), rand() % 20);

		connection.role = (uint8_t)(rand() % 3);
		connection.secured = rand() % 2;
		connection.upgraded = rand() % 2;
		connection.is_connected = rand() % 4;
		take(connection);
		if (rand() % 50 == 0)
			smf_table_turn(table, START + (uint64_t)i * SECOND);
		for (const uint8_t *at = written; at < written + used; at += number(at, 2))
			ck_assert(number(at, 2) >= 276 && number(at, 2) <= 444);
		used = 0;
	}
	for (uint8_t id = 0; id < 30; id++)
		for (int role = 0; role < 3; role++) {
			struct smf_connection connection = make(id, CCI_CLOSED, 1);

			connection.role = (uint8_t)role;
			take(connection);
		}
	ck_assert_uint_eq(count(), 0);
	used = 0;
	ck_assert_int_eq(smf_table_finish(table, START + 30000 * SECOND), 0);
	for (const uint8_t *at = written; at < written + used; at += number(at, 2))
		ck_assert_uint_eq(number(at + 140 + AT_END + 12, 4), 0);
	smf_table_free(table);
}
END_TEST

/* The events before it found no room, or a failing file: the end says what is missing, and no more than that. */
START_TEST(what_was_lost_is_said_at_the_end)
{
	begin(10, 10);
	take(make_secured(1, CCI_CLOSED, 0.5));
	ck_assert_str_eq(news(), "ic*t*");
	take(make(2, CCI_HANDSHAKE_STARTING, 0.1));
	take(make_secured(2, CCI_CLOSED, 0.5));
	ck_assert_str_eq(news(), "ic*t*");
	take(make_secured(3, CCI_HANDSHAKE_DONE, 0.1));
	take(make_secured(3, CCI_CLOSED, 0.5));
	ck_assert_str_eq(news(), "ic*t*");
	take(make_direct(4, CCI_CLOSED, 0.5));
	ck_assert_str_eq(news(), "s*");
	smf_table_turn(table, START + 900 * SECOND);
	ck_assert_uint_eq(count(), 0);
	smf_table_free(table);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("smf_table");
	TCase *tests = tcase_create("smf_table");

	tcase_add_test(tests, an_upgrade_is_initiation_change_termination);
	tcase_add_test(tests, what_ends_within_ten_seconds_is_one_record);
	tcase_add_test(tests, what_lasts_has_an_initiation_after_ten_seconds);
	tcase_add_test(tests, a_failed_handshake_ends_what_was_initiated);
	tcase_add_test(tests, both_legs_have_their_own_records);
	tcase_add_test(tests, a_failure_changes_nothing_and_is_tried_again);
	tcase_add_test(tests, summaries_add_up);
	tcase_add_test(tests, nothing_happened_is_no_record);
	tcase_add_test(tests, a_summary_is_written_whole_or_later);
	tcase_add_test(tests, what_has_no_room_is_counted);
	tcase_add_test(tests, a_lost_end_is_not_active_for_ever);
	tcase_add_test(tests, what_was_lost_is_said_at_the_end);
	tcase_add_test(tests, any_order_of_events);
	suite_add_tcase(suite, tests);
	return suite;
}
