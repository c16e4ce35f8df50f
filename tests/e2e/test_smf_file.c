/* Scenarios of the file of kind = smf: renamed, torn, somebody else's; and of the reader, etc/smf-dump. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "smfdump.h"

START_TEST(a_renamed_file)
{
	struct gateway gateway;
	struct smf_client c;
	char from[128], to[128];

	gateway_start(&gateway, "ccissl", smf_config, "HOST1", "15m");
	smf_expect(&gateway, 1, "event=enabled");
	(void)snprintf(from, sizeof(from), "%s/records", gateway.folder);
	(void)snprintf(to, sizeof(to), "%s/records.1", gateway.folder);
	ck_assert_int_eq(rename(from, to), 0);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	for (int i = 0; i < 200 && access(from, F_OK) != 0; i++)
		usleep(10000);
	c = smf_begin(peer_connect(gateway.ports[0]), false, &smf_upgrade);
	smf_end(&c);
	smf_expect(&gateway, 1, "event=termination");
	ck_assert_int_eq(smf_count("event=enabled"), 0);
	ck_assert_int_eq(smf_dump(&gateway, "records.1", smf_records, sizeof(smf_records)), 0);
	ck_assert_int_eq(smf_count("event=enabled"), 1);
	smf_stop(&gateway, "records.1");
}
END_TEST

static const char as_nobody[] = "; no user of the test's\n[gateway]\nsysid = HOST1\nworkers = 1\nuser = 65534\n"
                                "[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = only\n"
                                "[service s]\naddress = builtin:echo\n"
                                "[notifier z]\nkind = smf\npath = %s/records\n";

/* The file is made by root, and opened anew by nobody; with or without a new name. */
START_TEST(the_file_goes_with_the_user)
{
	struct gateway gateway;
	char folder[] = "/tmp/cci-smf-XXXXXX", path[64], old[64];
	struct stat status;

	if (getuid() != 0)
		return;
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chown(folder, 65534, 65534), 0);
	(void)snprintf(path, sizeof(path), "%s/records", folder);
	(void)snprintf(old, sizeof(old), "%s/old", folder);
	gateway_start(&gateway, "ccissl", as_nobody, folder);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_uint_eq(status.st_uid, 65534);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(rename(path, old), 0);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	for (int i = 0; i < 500 && access(path, F_OK) != 0; i++)
		usleep(10000);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0600);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "id=CCI1101E", NULL, NULL), 0);
	gateway_stop(&gateway);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(unlink(old), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

static const char with_path[] = "[gateway]\nsysid = HOST1\nworkers = 1\n"
                                "[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
                                "[service s]\naddress = builtin:echo\n" SMF_TLS_SECTION "[notifier z]\nkind = smf\npath = %s\n";

static void put_file(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "wb");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
	ck_assert_int_eq(fclose(file), 0);
}

static const char refusing[] = "[gateway]\nsysid = HOST1\nworkers = 1\n"
                               "[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = allow\n"
                               "[service s]\naddress = builtin:echo\n" SMF_TLS_SECTION SMF_SECTION "on_error = refuse\n";

/* Does a connection in the clear get through? */
static bool gets_through(const struct gateway *gateway)
{
	uint8_t offer[4096], answer[4096];
	int fd = peer_connect(gateway->ports[0]), got;
	char back[5];
	bool echoed;

	got = peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer);
	echoed = got > 0 && peer_type(answer) == 2 && peer_write(fd, NULL, "hello", 5) && peer_read(fd, NULL, back, 5);
	close(fd);
	return echoed;
}

/* Somebody writes a text into the file, and takes it away again. */
START_TEST(what_cannot_be_recorded_is_refused)
{
	struct gateway gateway;
	char path[128];
	FILE *file;

	gateway_start(&gateway, "ccissl", refusing, "15m");
	smf_expect(&gateway, 1, "event=enabled");
	ck_assert(gets_through(&gateway));
	smf_expect(&gateway, 1, "event=short");
	(void)snprintf(path, sizeof(path), "%s/records", gateway.folder);
	file = fopen(path, "ab");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs("this is no record", file), 0);
	ck_assert_int_eq(fclose(file), 0);
	for (int i = 0; i < 100 && gets_through(&gateway); i++)
		usleep(50000);
	ck_assert(!gets_through(&gateway));
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1101E", "is no SMF record: move the file away", NULL), 1);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI3026E", NULL, NULL), 1);
	ck_assert_int_eq(truncate(path, 344 + 276), 0);
	for (int i = 0; i < 100 && !gets_through(&gateway); i++)
		usleep(50000);
	ck_assert(gets_through(&gateway));
	smf_stop(&gateway, NULL);
}
END_TEST

START_TEST(half_a_record_is_cut_off_and_said)
{
	static const uint8_t whole[444] = {0x01, 0xbc, 0, 0, 0, 119};
	struct gateway gateway;
	char path[64];
	struct stat status;

	(void)snprintf(path, sizeof(path), "/tmp/cci-smf-torn-%d", (int)getpid());
	put_file(path, whole, 100);
	gateway_start(&gateway, "ccissl", with_path, path);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1100W", "number=100", path), 1);
	gateway_stop(&gateway);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_eq(status.st_size, 2 * 344);
	ck_assert_int_eq(unlink(path), 0);
}
END_TEST

/* Each has one clear error with its place, and the file is left as it is. */
START_TEST(what_is_no_smf_file_is_refused)
{
	struct gateway gateway;
	char path[64], command[512], output[4096];
	size_t used;
	FILE *out;

	(void)snprintf(path, sizeof(path), "/tmp/cci-smf-text-%d", (int)getpid());
	gateway_start(&gateway, "ccissl", with_path, path);
	(void)snprintf(command, sizeof(command), "cp %s %s.ini; timeout 10 %s/ccissl -c %s.ini 2>&1", gateway.config, path,
	               gateway_build(), path);
	gateway_rewrite(&gateway, with_path, path);
	ck_assert_int_eq(unlink(path), 0);
	put_file(path, "a text file\n", 12);
	for (int check = 0; check < 2; check++) {
		out = popen(command, "r");
		ck_assert_ptr_nonnull(out);
		used = fread(output, 1, sizeof(output) - 1, out);
		output[used] = '\0';
		ck_assert_int_ne(pclose(out), 0);
		ck_assert_msg(strstr(output, check ? ": [notifier z] path: " : "[notifier z] cannot be opened") != NULL &&
		                  strstr(output, "byte 0 is no SMF record: move the file away") != NULL,
		              "%s", output);
		(void)snprintf(command, sizeof(command), "%s/ccissl -c %s.ini --check 2>&1", gateway_build(), path);
	}
	gateway_stop(&gateway);
	ck_assert_int_eq(unlink(path), 0);
	(void)strcat(path, ".ini");
	(void)unlink(path);
}
END_TEST

/* The reader itself: later versions are no error, all else is. */
static const struct {
	const char *name, *bytes;
	size_t size;
	int status;
} samples[] = {
    {"another subtype", "\x00\x18\0\0\0\x77\0\0\0\0\x01\x26\x32\x8f\xc1\x40\x40\x40\x40\x40\x40\x40\x00\x63", 24, 0},
    {"another type", "\x00\x18\0\0\0\x1e\0\0\0\0\x01\x26\x32\x8f\xc1\x40\x40\x40\x40\x40\x40\x40\x00\x0b", 24, 0},
    {"half a record", "\x00\x18\0\0\0\x77\0\0\0\0\x01\x26", 12, 1},
    {"another segment", "\x00\x18\x01\0\0\x77\0\0\0\0\x01\x26\x32\x8f\xc1\x40\x40\x40\x40\x40\x40\x40\x00\x63", 24, 1},
    {"no packed date", "\x00\x18\0\0\0\x77\0\0\0\0\x01\x2a\x32\x8f\xc1\x40\x40\x40\x40\x40\x40\x40\x00\x63", 24, 1},
    {"no triplets", "\x00\x1c\0\0\0\x77\0\0\0\0\x01\x26\x32\x8f\xc1\x40\x40\x40\x40\x40\x40\x40\x00\x0b\0\0\0\0", 28, 1},
};

START_TEST(the_reader_knows_what_is_wrong)
{
	char path[64], command[128];

	(void)snprintf(path, sizeof(path), "/tmp/cci-smf-sample-%d", (int)getpid());
	put_file(path, samples[_i].bytes, samples[_i].size);
	(void)snprintf(command, sizeof(command), "etc/smf-dump --fields %s >/dev/null 2>&1", path);
	ck_assert_msg(WEXITSTATUS(system(command)) == samples[_i].status, "%s", samples[_i].name);
	ck_assert_int_eq(unlink(path), 0);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("smf file scenarios");
	TCase *tests = tcase_create("smf_file");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_renamed_file);
	tcase_add_test(tests, the_file_goes_with_the_user);
	tcase_add_test(tests, what_cannot_be_recorded_is_refused);
	tcase_add_test(tests, half_a_record_is_cut_off_and_said);
	tcase_add_test(tests, what_is_no_smf_file_is_refused);
	tcase_add_loop_test(tests, the_reader_knows_what_is_wrong, 0, sizeof(samples) / sizeof(samples[0]));
	suite_add_tcase(suite, tests);
	return suite;
}
