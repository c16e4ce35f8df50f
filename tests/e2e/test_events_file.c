/* The file of the notifier kind file, with the real programs: chains through rotation and restarts, a full disk, names
 * that cannot be opened. */
#include <check.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "eventlines.h"
#include "gateway.h"
#include "peer.h"

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

START_TEST(a_chain_outlives_rotation_and_restarts)
{
	struct gateway gateway;
	char says[1024], arguments[512], *last;

	make_folder();
	gateway_start(&gateway, "ccissl", EVENT_CLIENTS "chain = yes\n", path);
	session(gateway.ports[0], "BR1", CLEAR);
	json_decref(events(path, "record", 1));
	ck_assert_int_eq(rename(path, other), 0);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	for (int i = 0; i < 1000 && access(path, F_OK) != 0; i++)
		usleep(10000);
	session(gateway.ports[0], "BR2", UPGRADE);
	json_decref(events(path, "record", 1));
	gateway_stop(&gateway);
	gateway_start(&gateway, "ccissl", EVENT_CLIENTS "chain = yes\n", path);
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
	gateway_start(&gateway, "ccissl", EVENT_CLIENTS, path);
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
	gateway_start(&gateway, "ccissl", EVENT_CLIENTS "on_error = refuse\n", path);
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
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1019W", "events cannot be written", "No space left"), 1);
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
    {"%s", "is not a regular file"},
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
	(void)snprintf(line, sizeof(line), "%.*s%s", (int)(strstr(wrong[_i / 2].path, "%s") - wrong[_i / 2].path),
	               wrong[_i / 2].path, folder);
	(void)fprintf(stream, "%s%s\n", line, wrong[_i / 2].path + 2);
	ck_assert_int_eq(fclose(stream), 0);
	(void)snprintf(line, sizeof(line), "timeout 10 %s/ccissl -c %s %s 2>&1", gateway_build(), name,
	               _i % 2 == 1 ? "--check" : "");
	stream = popen(line, "r");
	ck_assert_ptr_nonnull(stream);
	got = fread(says, 1, sizeof(says) - 1, stream);
	says[got] = '\0';
	ck_assert_int_eq(WEXITSTATUS(pclose(stream)), 1);
	ck_assert_msg(strstr(says, wrong[_i / 2].says) != NULL, "%s", says);
	remove_folder();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("events_file");
	TCase *tests = tcase_create("events");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_chain_outlives_rotation_and_restarts);
	tcase_add_test(tests, what_cannot_be_opened_anew_is_said);
	tcase_add_test(tests, a_full_disk_refuses_and_recovers);
	tcase_add_loop_test(tests, what_cannot_be_opened_is_an_error_at_start, 0,
	                    2 * (int)(sizeof(wrong) / sizeof(wrong[0])));
	suite_add_tcase(suite, tests);
	return suite;
}
