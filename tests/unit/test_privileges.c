/* Accounts that do not exist, and the change itself, in processes of their own. */
#include "privileges.h"

#include <cap-ng.h>
#include <check.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "suite.h"

struct findings {
	int errors, warnings;
	unsigned line;
	char text[600];
};

static void note(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	struct findings *findings = context;

	(void)file;
	findings->warnings += !is_error;
	if (!is_error)
		return;
	findings->errors++;
	findings->line = line;
	(void)snprintf(findings->text, sizeof(findings->text), "%s", text);
}

/* A configuration with these lines in [gateway], the first of them on line 3. */
static struct config *load(const char *lines)
{
	struct findings findings = {0};
	char text[1024];
	struct config *config;
	FILE *stream;
	int size = snprintf(text, sizeof(text),
	                    "[gateway]\nsysid = H\n%s[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
	                    "unsecured_connections = only\n[service s]\naddress = builtin:echo\n",
	                    lines);

	stream = fmemopen(text, (size_t)size, "r");
	config = config_load_stream(stream, "test.ini", PROGRAM_CCISSL, note, &findings);
	(void)fclose(stream);
	ck_assert_msg(config != NULL, "%s", findings.text);
	return config;
}

static const struct {
	const char *lines;
	int errors;
	unsigned line;
	const char *says;
} rows[] = {
    {"", 0, 0, ""},
    {"user = nobody\n", 0, 0, ""},
    {"user = root\ngroup = root\nchroot = /tmp\n", 0, 0, ""},
    {"user = 4000000001\ngroup = 4000000001\n", 0, 0, ""},
    {"group = 12\n", 0, 0, ""},
    {"user = no-such-user\n", 1, 3, "user = no-such-user: there is no such user: make it"},
    {"group = nogroup\nuser = no-such-user\n", 1, 4, "no such user"},
    {"user = 4000000001\n", 1, 3, "set group too"},
    {"user = 4294967295\n", 1, 3, "no such user"},
    {"user = -1\n", 1, 3, "no such user"},
    {"group = no-such-group\n", 1, 3, "group = no-such-group: there is no such group"},
    {"chroot = /no/such/folder\n", 1, 3, "chroot = /no/such/folder"},
    {"chroot = /etc/passwd\n", 1, 3, "is not a directory"},
    {"user = no-such-user\ngroup = no-such-group\nchroot = /no/such\n", 3, 5, "chroot"},
};

START_TEST(what_does_not_exist_is_named_with_its_line)
{
	struct config *config = load(rows[_i].lines);
	struct findings findings = {0};

	ck_assert_int_eq(privileges_check(config, note, &findings), rows[_i].errors > 0 ? -1 : 0);
	ck_assert_int_eq(findings.errors, rows[_i].errors);
	ck_assert_uint_eq(findings.line, rows[_i].line);
	ck_assert_msg(strstr(findings.text, rows[_i].says) != NULL, "%s", findings.text);
	config_free(config);
}
END_TEST

/* Numbers of what is wrong after the change. */
static int try_all(const struct config *config, bool keeps)
{
	struct error error;
	bool allowed;

	if (privileges_drop(config, &error) != 0)
		return 1;
	if (getuid() == 0 || geteuid() == 0 || getgid() == 0)
		return 2;
	if (setuid(0) == 0 || setresuid(0, 0, 0) == 0 || setgid(0) == 0)
		return 3;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L) != 1)
		return 4;
	allowed = access("/root", R_OK) == 0; /* by the real user: never */
	if (allowed)
		return 5;
	(void)capng_get_caps_process();
	if ((capng_have_capability(CAPNG_EFFECTIVE, CAP_DAC_READ_SEARCH) == 1) != keeps)
		return 6;
	for (unsigned i = 0; i <= CAP_LAST_CAP; i++)
		if (i != CAP_DAC_READ_SEARCH && i != CAP_NET_BIND_SERVICE && capng_have_capability(CAPNG_PERMITTED, i) == 1)
			return 7;
	privileges_pass_on(true);
	if ((prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, (long)CAP_DAC_READ_SEARCH, 0L, 0L) == 1) != keeps)
		return 8;
	privileges_pass_on(false);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, (long)CAP_DAC_READ_SEARCH, 0L, 0L) != 0)
		return 9;
	privileges_drop_thread();
	(void)capng_get_caps_process();
	return capng_have_capabilities(CAPNG_SELECT_CAPS) == CAPNG_NONE ? 0 : 10;
}

static const char *const changes[] = {
    "", "user = nobody\n", "user = 4000000001\ngroup = 4000000002\n", "group = daemon\n", "keep_capabilities = no\n"};

START_TEST(root_is_left_for_good)
{
	struct config *config = load(changes[_i]);
	int status = -1;
	pid_t child;

	if (geteuid() != 0) {
		(void)printf("not root: nothing to leave\n");
	} else {
		child = fork();
		if (child == 0) /* without a last word of the leak sanitizer, which cannot work after the change */
			_exit(try_all(config, strstr(changes[_i], "= no\n") == NULL));
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_int_eq(status, 0);
	}
	config_free(config);
}
END_TEST

/* As a unit of systemd starts it: another user, and capabilities that outlive exec. One of them is none of ours. */
static int as_unit(const struct config *config)
{
	struct error error;

	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE, CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE,
	                  CAP_NET_RAW, -1) != 0 ||
	    capng_change_id(65534, 65534, CAPNG_DROP_SUPP_GRP) != 0)
		return 1;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (long)CAP_NET_RAW, 0L, 0L) != 0 || privileges_drop(config, &error) != 0)
		return 2;
	(void)capng_get_caps_process();
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_DAC_READ_SEARCH) != 1 ||
	    capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_BIND_SERVICE) != 1)
		return 3;
	if (capng_have_capability(CAPNG_PERMITTED, CAP_NET_RAW) == 1 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, (long)CAP_NET_RAW, 0L, 0L) != 0)
		return 4;
	privileges_pass_on(true);
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, (long)CAP_NET_BIND_SERVICE, 0L, 0L) == 1 ? 0 : 5;
}

START_TEST(what_a_unit_gives_is_kept_by_the_main_thread)
{
	struct config *config = load("");
	int status = 0;
	pid_t child = geteuid() == 0 ? fork() : -1;

	if (child == 0)
		_exit(as_unit(config));
	ck_assert(child < 0 || waitpid(child, &status, 0) == child);
	ck_assert_int_eq(status, 0);
	config_free(config);
}
END_TEST

/* Number 0: the change is refused, with this text in the error. */
static int as_nobody(const struct config *config, const char *says)
{
	struct error error = {.text = ""};
	int result;

	if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
		return 1;
	result = privileges_drop(config, &error);
	if (says == NULL)
		return result == 0 ? 0 : 2;
	return result != 0 && strstr(error.text, says) != NULL ? 0 : 3;
}

START_TEST(who_is_not_root_can_only_stay)
{
	static const struct {
		const char *lines, *says;
	} cases[] = {
	    {"", NULL},
	    {"user = 1\n", "test.ini:3: [gateway] user = 1: only root can become"},
	    {"user = root\n", "another user: start it as root, or remove user"},
	    {"group = 4000000001\n", "test.ini:3: [gateway] group = 4000000001: only root"},
	    {"chroot = /tmp\n", "test.ini:3: [gateway] chroot needs root"},
	};
	struct config *config = load(cases[_i].lines);
	int status = -1;
	pid_t child = fork();

	if (child == 0)
		_exit(as_nobody(config, cases[_i].says));
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	config_free(config);
}
END_TEST

/* Root may write everywhere: who it becomes is asked, before the start finds out. */
START_TEST(root_asks_for_the_user_whether_the_ratchet_can_be_kept)
{
	char folder[] = "/tmp/cci-folder-XXXXXX", lines[128];
	struct findings findings = {0};
	struct config *config;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(lines, sizeof(lines), "user = nobody\nratchet_file = %s/names\n", folder);
	config = load(lines);
	ck_assert_int_eq(privileges_check(config, note, &findings), geteuid() == 0 ? -1 : 0);
	ck_assert(geteuid() != 0 || (findings.line == 4 && strstr(findings.text, "user nobody cannot write in") != NULL));
	ck_assert_int_eq(chmod(folder, 0777), 0);
	ck_assert_int_eq(privileges_check(config, note, &findings), 0);
	config_free(config);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

/* Without capabilities a reload reads as the user does. */
START_TEST(root_asks_for_the_user_whether_a_reload_could_read)
{
	char path[] = "/tmp/cci-key-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	for (int i = 0; i < 3; i++) {
		struct findings findings = {0};
		struct config *config = load(i == 0 ? "user = nobody\n" : "user = nobody\nkeep_capabilities = no\n");

		config->tls.private_key = strdup(path);
		ck_assert_int_eq(chmod(path, i == 2 ? 0644 : 0600), 0);
		ck_assert_int_eq(privileges_check(config, note, &findings), 0);
		ck_assert_int_eq(findings.warnings, i == 1 && geteuid() == 0 ? 1 : 0);
		config_free(config);
	}
	ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(a_chroot_that_holds_no_configuration_is_warned_of)
{
	char folder[] = "/tmp/cci-folder-XXXXXX", lines[128], path[64];
	struct findings findings = {0};
	struct config *config;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(lines, sizeof(lines), "chroot = %s\n", folder);
	(void)snprintf(path, sizeof(path), "%s/test.ini", folder);
	config = load(lines);
	ck_assert_int_eq(privileges_check(config, note, &findings), 0);
	ck_assert_int_eq(findings.warnings, 1);
	ck_assert_int_eq(symlink("/dev/null", path), 0);
	ck_assert_int_eq(privileges_check(config, note, &findings), 0);
	ck_assert_int_eq(findings.warnings, 1);
	config_free(config);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("privileges");
	TCase *tests = tcase_create("privileges");

	tcase_add_loop_test(tests, what_does_not_exist_is_named_with_its_line, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_loop_test(tests, root_is_left_for_good, 0, (int)(sizeof(changes) / sizeof(changes[0])));
	tcase_add_test(tests, what_a_unit_gives_is_kept_by_the_main_thread);
	tcase_add_loop_test(tests, who_is_not_root_can_only_stay, 0, 5);
	tcase_add_test(tests, root_asks_for_the_user_whether_the_ratchet_can_be_kept);
	tcase_add_test(tests, root_asks_for_the_user_whether_a_reload_could_read);
	tcase_add_test(tests, a_chroot_that_holds_no_configuration_is_warned_of);
	suite_add_tcase(suite, tests);
	return suite;
}
