/* What notifiers of the kind file write of real sessions, held against docs/events.schema.json; records of each way
 * that a session can go, joined through two gateways. */
#include <check.h>
#include <jansson.h>
#include <string.h>

#include "../unit/suite.h"
#include "eventlines.h"
#include "gateway.h"
#include "peer.h"

START_TEST(all_that_is_written_fits_the_schema)
{
	struct gateway gateway;

	make_folder();
	gateway_start(&gateway, "ccissl", EVENT_CLIENTS "chain = yes\n", path);
	session(gateway.ports[0], "BR1", CLEAR);
	session(gateway.ports[0], "BR2", UPGRADE);
	session(gateway.ports[0], "BR3", INSIDE);
	session(gateway.ports[0], "BR4", REFUSED);
	session(gateway.ports[0], "BR5", FAILED);
	json_decref(events(path, "record", 4));
	gateway_stop(&gateway);
	fits_the_schema(path,
	                "seen: chain-end chain-start closed handshake-done handshake-failed handshake-starting record "
	                "refused unsecured");
	remove_folder();
}
END_TEST

static const json_t *record_of(const json_t *all, const char *sysid)
{
	size_t i;
	const json_t *record;

	json_array_foreach(all, i, record) if (strcmp(word(record, "sysid"), sysid) == 0) return record;
	ck_abort_msg("no record of %s", sysid);
	return NULL;
}

/* Times of one form stand in their order. */
static void in_order(const json_t *record, const char *earlier, const char *later)
{
	ck_assert_msg(word(record, earlier)[0] != '\0' && strcmp(word(record, earlier), word(record, later)) <= 0,
	              "%s %s, %s %s", earlier, word(record, earlier), later, word(record, later));
}

static void is_secured(const json_t *record, const char *start)
{
	ck_assert(json_is_true(json_object_get(record, "secured")));
	has(record, "tls_version", "1.3");
	has(record, "tls_start", start);
	ck_assert_str_ne(word(record, "own_serial"), "");
	in_order(record, "started", "handshake_at");
	in_order(record, "handshake_at", "secured_at");
	in_order(record, "secured_at", "time");
	ck_assert_int_gt(number(record, "handshake_us"), 0);
	ck_assert_int_eq(number(record, "up"), 4);
	ck_assert_int_eq(number(record, "down"), 4);
}

START_TEST(records_say_how_each_session_went)
{
	struct gateway gateway;
	const json_t *record;
	json_t *all;

	make_folder();
	gateway_start(&gateway, "ccissl", EVENT_CLIENTS, path);
	session(gateway.ports[0], "BR1", CLEAR);
	session(gateway.ports[0], "BR2", UPGRADE);
	session(gateway.ports[0], "BR3", INSIDE);
	session(gateway.ports[0], "BR4", REFUSED);
	session(gateway.ports[0], "BR5", FAILED);
	all = events(path, "record", 5);
	record = record_of(all, "BR1");
	has(record, "asked", "none");
	has(record, "outcome", "clear");
	has(record, "never_outcome", "refuse");
	ck_assert(json_is_false(json_object_get(record, "secured")));
	ck_assert_ptr_null(json_object_get(record, "handshake_at"));
	ck_assert_int_gt(number(record, "clear_in"), 4);
	record = record_of(all, "BR2");
	is_secured(record, "upgrade");
	has(record, "outcome", "tls");
	ck_assert(json_is_true(json_object_get(record, "confirmed")));
	ck_assert_int_gt(number(record, "clear_in"), 0);
	ck_assert_int_gt(number(record, "clear_out"), 0);
	record = record_of(all, "BR3");
	is_secured(record, "direct");
	has(record, "outcome", "inside");
	ck_assert_int_eq(number(record, "clear_in"), 0);
	record = record_of(all, "BR4");
	has(record, "reason", "target-unknown");
	ck_assert(json_is_false(json_object_get(record, "relayed")));
	ck_assert_int_gt(number(record, "refuse"), 0);
	record = record_of(all, "BR5");
	has(record, "reason", "handshake-failed");
	in_order(record, "started", "handshake_at");
	ck_assert(json_is_false(json_object_get(record, "secured")));
	json_decref(all);
	gateway_stop(&gateway);
	remove_folder();
}
END_TEST

START_TEST(what_speaks_no_cci_has_a_record_where_it_may)
{
	struct gateway gateway;
	const json_t *record;
	json_t *all;
	int fd;

	make_folder();
	gateway_start(
	    &gateway, "ccissl",
	    "[gateway]\nsysid = HOST1\n[listener cci]\naddress = 127.0.0.1:0\nservice = s\n"
	    "unsecured_connections = only\n[listener raw]\naddress = 127.0.0.1:0\nservice = s\nexchange = none\n"
	    "unsecured_connections = only\naudit_policy = never\n[service s]\naddress = builtin:echo\n" EVENT_NOTIFIER,
	    path);
	/* A port scan is counted, and nothing else. */
	fd = peer_connect(gateway.ports[0]);
	ck_assert(peer_write(fd, NULL, "GET / HTTP/1.0\r\n\r\n", 18));
	(void)peer_ends(fd, NULL);
	peer_free(fd, NULL);
	fd = peer_connect(gateway.ports[1]);
	echo(fd, NULL);
	peer_free(fd, NULL);
	all = events(path, "record", 1);
	gateway_stop(&gateway);
	json_decref(all);
	all = events(path, "record", 1);
	ck_assert_uint_eq(json_array_size(all), 1);
	record = json_array_get(all, 0);
	has(record, "asked", "raw");
	has(record, "outcome", "clear");
	has(record, "listener", "raw");
	has(record, "audit_policy", "never");
	has(record, "audit_outcome", "refuse");
	ck_assert_int_eq(number(record, "up"), 4);
	json_decref(all);
	fits_the_schema(path, "closed record unsecured");
	remove_folder();
}
END_TEST

/* A client of the first gateway, by TLS to the second: each record names the other's id, and has both ends. */
START_TEST(records_of_two_gateways_are_joined)
{
	struct gateway far, near;
	json_t *ours, *theirs;
	const json_t *record, *remote;

	make_folder();
	gateway_start(&far, "ccissl",
	              "[gateway]\nsysid = FAR\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
	              "[service s]\naddress = builtin:echo\n" EVENT_TLS EVENT_NOTIFIER,
	              other);
	gateway_start(
	    &near, "ccisslgw",
	    "[gateway]\nsysid = NEAR\n[listener l]\naddress = 127.0.0.1:0\ntarget = FAR\n"
	    "unsecured_connections = allow\n[peer FAR]\naddress = 127.0.0.1:%d\nserver_name = host1.example\n" EVENT_TLS
	        EVENT_NOTIFIER,
	    far.ports[0], path);
	session(near.ports[0], "BR1", CLEAR);
	ours = events(path, "record", 1);
	theirs = events(other, "record", 1);
	record = json_array_get(ours, 0);
	remote = json_array_get(theirs, 0);
	ck_assert_str_eq(word(record, "to_conn"), word(remote, "conn"));
	ck_assert_str_eq(word(remote, "client_conn"), word(record, "conn"));
	ck_assert(json_is_false(json_object_get(record, "secured")));
	ck_assert(json_is_true(json_object_get(record, "to_secured")));
	has(record, "to_sysid", "FAR");
	has(remote, "sysid", "BR1");
	in_order(record, "to_handshake_at", "to_secured_at");
	ck_assert_int_gt(number(record, "to_clear_out"), 0);
	ck_assert_int_gt(number(record, "to_handshake_us"), 0);
	ck_assert_int_eq(number(record, "to_clear_out"), number(remote, "clear_in"));
	ck_assert_int_eq(number(record, "to_clear_in"), number(remote, "clear_out"));
	has(record, "to_peer_serial", word(remote, "own_serial"));
	json_decref(ours);
	json_decref(theirs);
	gateway_stop(&near);
	gateway_stop(&far);
	fits_the_schema(path, "closed handshake-done handshake-starting record unsecured");
	fits_the_schema(other, "closed handshake-done handshake-starting record");
	remove_folder();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("events");
	TCase *tests = tcase_create("events");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, all_that_is_written_fits_the_schema);
	tcase_add_test(tests, records_say_how_each_session_went);
	tcase_add_test(tests, what_speaks_no_cci_has_a_record_where_it_may);
	tcase_add_test(tests, records_of_two_gateways_are_joined);
	suite_add_tcase(suite, tests);
	return suite;
}
