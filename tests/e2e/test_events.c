/* What notifiers of the kind file write of real sessions, held against docs/events.schema.json; records of each way
 * that a session can go, joined through two gateways; chains through rotation, a full disk and a kill. */
#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define CERTS "build/test-certs/"
#define TLS "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"
#define FILE_NOTIFIER "[notifier file]\nkind = file\npath = %s\n"
#define CLIENTS                                                                                               \
	"[gateway]\nsysid = HOST1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nservice = s\ndirect = yes\n" \
	"unsecured_connections = allow\n[service s]\naddress = builtin:echo\n" TLS FILE_NOTIFIER

static char folder[64], path[96], other[96];

static void make_folder(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/cci-events-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/events", folder);
	(void)snprintf(other, sizeof(other), "%s/events.1", folder);
}

static void remove_folder(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -r %s", folder);
	ck_assert_int_eq(system(command), 0);
}

/* The lines of a file that are this event, as an array; waits up to 10 s until there are `least`. To be released. */
static json_t *events(const char *name, const char *event, size_t least)
{
	json_t *all = NULL;

	for (int i = 0; i < 1000 && (all == NULL || json_array_size(all) < least); i++) {
		FILE *stream = fopen(name, "r");
		char line[65536];

		json_decref(all);
		all = json_array();
		if (i > 0)
			usleep(10000);
		while (stream != NULL && fgets(line, sizeof(line), stream) != NULL && strchr(line, '\n') != NULL) {
			json_t *value = json_loads(line, 0, NULL);

			ck_assert_msg(value != NULL, "%s", line);
			if (strcmp(json_string_value(json_object_get(value, "event")), event) == 0)
				(void)json_array_append(all, value);
			json_decref(value);
		}
		if (stream != NULL)
			(void)fclose(stream);
	}
	ck_assert_msg(json_array_size(all) >= least, "%zu of %zu %s", json_array_size(all), least, event);
	return all;
}

static const char *word(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text != NULL ? text : "";
}

/* All lines fit; `wanted` are the events that are there. */
static void fits_the_schema(const char *files, const char *wanted)
{
	char command[512], line[1024] = "", all[8192] = "";
	FILE *stream;

	(void)snprintf(command, sizeof(command), "/usr/bin/python3 tests/e2e/schema.py docs/events.schema.json %s 2>&1",
	               files);
	stream = popen(command, "r");
	ck_assert_ptr_nonnull(stream);
	while (fgets(line, sizeof(line), stream) != NULL)
		(void)strncat(all, line, sizeof(all) - strlen(all) - 1);
	ck_assert_msg(pclose(stream) == 0, "%s", all);
	ck_assert_msg(strstr(all, wanted) != NULL, "%s", all);
}

/* The exit status of `verify` with these arguments; what it says of it. */
static int verify(const char *arguments, char *says, size_t size)
{
	char command[512];
	FILE *stream;
	size_t got;

	(void)snprintf(command, sizeof(command), "%s/ccissl verify %s 2>&1", gateway_build(), arguments);
	stream = popen(command, "r");
	ck_assert_ptr_nonnull(stream);
	got = fread(says, 1, size - 1, stream);
	says[got] = '\0';
	return WEXITSTATUS(pclose(stream));
}

/* --- clients --- */

enum way { CLEAR, UPGRADE, DIRECT, INSIDE, REFUSED, FAILED };

static void echo(int fd, SSL *ssl)
{
	char answer[4];

	ck_assert(peer_write(fd, ssl, "ping", 4));
	ck_assert(peer_read(fd, ssl, answer, 4));
}

static void upgrade(int fd, const char *sysid)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, 2, sysid, NULL);
	int got = peer_exchange(fd, NULL, offer, size, answer);
	SSL *ssl;

	ck_assert_int_gt(got, 0);
	ck_assert_int_eq(peer_type(answer), 2);
	ssl = peer_tls_client(
	    fd, &(struct peer_tls){.alpn = "cci-upgrade/1", .ca = CERTS "ca.pem", .max_version = TLS1_3_VERSION});
	ck_assert_ptr_nonnull(ssl);
	ck_assert(peer_confirm_both(ssl, offer, size, answer, (size_t)got));
	echo(fd, ssl);
	peer_free(fd, ssl);
}

static void inside(int fd, const char *sysid)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, 4, sysid, NULL);
	SSL *ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci/1", .ca = CERTS "ca.pem"});

	ck_assert_ptr_nonnull(ssl);
	ck_assert_int_gt(peer_exchange(fd, ssl, offer, size, answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	echo(fd, ssl);
	peer_free(fd, ssl);
}

static void session(int port, const char *sysid, enum way way)
{
	int fd = peer_connect(port);
	uint8_t offer[4096], answer[4096];
	size_t size;

	ck_assert_int_ge(fd, 0);
	if (way == UPGRADE) {
		upgrade(fd, sysid);
		return;
	}
	if (way == INSIDE) {
		inside(fd, sysid);
		return;
	}
	size = peer_offer(offer, 1, way == FAILED ? 2 : 0, sysid, way == REFUSED ? "NOWHERE" : NULL);
	ck_assert_int_gt(peer_exchange(fd, NULL, offer, size, answer), 0);
	ck_assert_int_eq(peer_type(answer), way == REFUSED ? 3 : 2);
	if (way == FAILED)
		ck_assert(peer_write(fd, NULL, "this is no ClientHello", 22));
	if (way == CLEAR)
		echo(fd, NULL);
	peer_free(fd, NULL);
}

/* --- scenarios --- */

START_TEST(all_that_is_written_fits_the_schema)
{
	struct gateway gateway;

	make_folder();
	gateway_start(&gateway, "ccissl", CLIENTS "chain = yes\n", path);
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

static void has(const json_t *record, const char *member, const char *value)
{
	ck_assert_msg(strcmp(word(record, member), value) == 0, "%s is %s, not %s", member, word(record, member), value);
}

static json_int_t number(const json_t *record, const char *member)
{
	ck_assert_msg(json_is_integer(json_object_get(record, member)), "no %s", member);
	return json_integer_value(json_object_get(record, member));
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
	gateway_start(&gateway, "ccissl", CLIENTS, path);
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
	    "unsecured_connections = only\naudit_policy = never\n[service s]\naddress = builtin:echo\n" FILE_NOTIFIER,
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
	              "[service s]\naddress = builtin:echo\n" TLS FILE_NOTIFIER,
	              other);
	gateway_start(&near, "ccisslgw",
	              "[gateway]\nsysid = NEAR\n[listener l]\naddress = 127.0.0.1:0\ntarget = FAR\n"
	              "unsecured_connections = allow\n[peer FAR]\naddress = 127.0.0.1:%d\nserver_name = host1.example\n" TLS
	                  FILE_NOTIFIER,
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

START_TEST(a_chain_outlives_rotation_and_restarts)
{
	struct gateway gateway;
	char says[1024], arguments[512], *last;

	make_folder();
	gateway_start(&gateway, "ccissl", CLIENTS "chain = yes\n", path);
	session(gateway.ports[0], "BR1", CLEAR);
	json_decref(events(path, "record", 1));
	ck_assert_int_eq(rename(path, other), 0);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	for (int i = 0; i < 1000 && access(path, F_OK) != 0; i++)
		usleep(10000);
	session(gateway.ports[0], "BR2", UPGRADE);
	json_decref(events(path, "record", 1));
	gateway_stop(&gateway);
	gateway_start(&gateway, "ccissl", CLIENTS "chain = yes\n", path);
	session(gateway.ports[0], "BR3", CLEAR);
	json_decref(events(path, "record", 2));
	gateway_stop(&gateway);
	(void)snprintf(arguments, sizeof(arguments), "%s %s", other, path);
	ck_assert_msg(verify(arguments, says, sizeof(says)) == 0, "%s", says);
	last = strstr(says, "last: ");
	ck_assert_ptr_nonnull(last);
	last[strcspn(last, "\n")] = '\0';
	/* The last line goes. */
	(void)snprintf(arguments, sizeof(arguments), "sed -i '$d' %s", path);
	ck_assert_int_eq(system(arguments), 0);
	(void)snprintf(arguments, sizeof(arguments), "--expect %s %s %s", last + 6, other, path);
	ck_assert_int_eq(verify(arguments, says, sizeof(says)), 1);
	ck_assert_msg(strstr(says, "which is expected, is not there") != NULL, "%s", says);
	fits_the_schema(other, "chain-start");
	remove_folder();
}
END_TEST

/* Without a new file the renamed one stays in use, and this is said; once there can be one, it is used. */
START_TEST(what_cannot_be_opened_anew_is_said)
{
	struct gateway gateway;

	make_folder();
	gateway_start(&gateway, "ccissl", CLIENTS, path);
	session(gateway.ports[0], "BR1", CLEAR);
	json_decref(events(path, "record", 1));
	ck_assert_int_eq(rename(path, other), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1019W", "the renamed file stays in use", path), 1);
	session(gateway.ports[0], "BR2", CLEAR);
	json_decref(events(other, "record", 2));
	ck_assert_int_eq(rmdir(path), 0);
	for (int i = 0; i < 1000 && access(path, F_OK) != 0; i++)
		usleep(10000);
	session(gateway.ports[0], "BR3", CLEAR);
	json_decref(events(path, "record", 1));
	gateway_stop(&gateway);
	remove_folder();
}
END_TEST

/* While the disk is full, on_error = refuse refuses handshakes; and the file says how many events are missing. */
START_TEST(a_full_disk_refuses_and_recovers)
{
	struct gateway gateway;
	char command[256];
	json_t *all;

	make_folder();
	(void)snprintf(command, sizeof(command), "mount -t tmpfs -o size=16k tmpfs %s 2>/dev/null", folder);
	if (geteuid() != 0 || system(command) != 0) {
		remove_folder();
		return;
	}
	gateway_start(&gateway, "ccissl", CLIENTS "on_error = refuse\n", path);
	session(gateway.ports[0], "BR1", UPGRADE);
	json_decref(events(path, "record", 1));
	(void)snprintf(command, sizeof(command), "dd if=/dev/zero of=%s/filler bs=1k count=64 2>/dev/null", folder);
	ck_assert_int_ne(system(command), 0);
	/* The file's last page has room still; then a line finds out that the disk is full. */
	for (int i = 0; i < 1000 && gateway_lines(&gateway, 0, "notifier-refused", NULL, NULL) == 0; i++) {
		int fd = peer_connect(gateway.ports[0]);
		uint8_t offer[4096], answer[4096];

		(void)!peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "BR2", NULL), answer);
		peer_free(fd, NULL);
		usleep(10000);
	}
	ck_assert_int_ge(gateway_lines(&gateway, 1, "notifier-refused", NULL, NULL), 1);
	(void)snprintf(command, sizeof(command), "rm %s/filler", folder);
	ck_assert_int_eq(system(command), 0);
	all = events(path, "dropped", 1);
	ck_assert_int_gt(number(json_array_get(all, 0), "count"), 0);
	json_decref(all);
	session(gateway.ports[0], "BR3", UPGRADE);
	gateway_stop(&gateway);
	fits_the_schema(path, "dropped");
	(void)snprintf(command, sizeof(command), "umount %s", folder);
	ck_assert_int_eq(system(command), 0);
	remove_folder();
}
END_TEST

static const struct {
	const char *path, *says;
} wrong[] = {
    {"%s/none/events", "make the folder"},
    {"%s", "Is a directory"},
    {"%s/plain", "its last line is no part of a chain: move the file away"},
};

START_TEST(what_cannot_be_opened_is_an_error_at_start)
{
	char line[512], name[256], says[4096];
	FILE *stream;
	size_t got;

	make_folder();
	(void)snprintf(line, sizeof(line), "echo '{}' >%s/plain", folder);
	ck_assert_int_eq(system(line), 0);
	(void)snprintf(name, sizeof(name), "%s/c.ini", folder);
	stream = fopen(name, "w");
	ck_assert_ptr_nonnull(stream);
	(void)fprintf(stream,
	              "[gateway]\nsysid = HOST1\n%s[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
	              "unsecured_connections = only\n[service s]\naddress = builtin:echo\n[notifier f]\nkind = file\nchain "
	              "= yes\npath = ",
	              geteuid() == 0 ? "user = root\n" : "");
	(void)snprintf(line, sizeof(line), "%.*s%s", (int)(strstr(wrong[_i].path, "%s") - wrong[_i].path), wrong[_i].path,
	               folder);
	(void)fprintf(stream, "%s%s\n", line, wrong[_i].path + 2);
	ck_assert_int_eq(fclose(stream), 0);
	(void)snprintf(line, sizeof(line), "timeout 10 %s/ccissl -c %s 2>&1", gateway_build(), name);
	stream = popen(line, "r");
	ck_assert_ptr_nonnull(stream);
	got = fread(says, 1, sizeof(says) - 1, stream);
	says[got] = '\0';
	ck_assert_int_eq(WEXITSTATUS(pclose(stream)), 1);
	ck_assert_msg(strstr(says, wrong[_i].says) != NULL, "%s", says);
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
	tcase_add_test(tests, a_chain_outlives_rotation_and_restarts);
	tcase_add_test(tests, what_cannot_be_opened_anew_is_said);
	tcase_add_test(tests, a_full_disk_refuses_and_recovers);
	tcase_add_loop_test(tests, what_cannot_be_opened_is_an_error_at_start, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
	suite_add_tcase(suite, tests);
	return suite;
}
