/* --explain: what it says of described connections, and of words that describe none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explain.h"
#include "ratchet_file.h"
#include "suite.h"

static const char file[] = "[gateway]\nsysid = HOST1\n"                                       /* 1 */
                           "[listener clients]\naddress = 127.0.0.1:1202\nservice = payroll\n" /* 3 */
                           "[listener plain]\naddress = 127.0.0.1:1203\nservice = payroll\n"   /* 6 */
                           "exchange = none\nunsecured_connections = only\n"
                           "[rule office]\nidentity = DNS:*.office.example\nservice = inner\n" /* 11 */
                           "[rule branches]\nsource = 10.20.0.0/16\nsysid = BR*\n"             /* 14 */
                           "unsecured_connections = allow\naudit_policy = never\nratchet = yes\n"
                           "[rule bad]\nsysid = EVIL*\naction = refuse\n" /* 20 */
                           "[service payroll]\naddress = 127.0.0.1:7001\n"
                           "[service inner]\naddress = builtin:echo\n"
                           "[tls]\ncertificate = a.pem\nprivate_key = a.key\nca = ca.pem\n";

static void collect(void *context, bool is_error, const char *name, unsigned line, const char *text)
{
	(void)context;
	ck_assert_msg(!is_error, "%s:%u: %s", name, line, text);
}

static bool is_held;

static int ratcheted(const struct config *config, const char *sysid, bool *held, struct error *error)
{
	(void)config;
	(void)error;
	*held = is_held && name_equal(sysid, "BR01");
	return 0;
}

/* The words of one line, separated by blanks, as main would get them. */
static int ask(const char *line, char *answer, size_t size, struct error *error)
{
	struct config *config;
	FILE *in = fmemopen((void *)(uintptr_t)file, sizeof(file) - 1, "r"), *out = fmemopen(answer, size, "w");
	char copy[256], *words[16], *rest = copy;
	int count = 0, result;

	config = config_load_stream(in, "f.ini", PROGRAM_CCISSL, collect, NULL);
	ck_assert_ptr_nonnull(config);
	(void)snprintf(copy, sizeof(copy), "%s", line);
	for (char *word; (word = strsep(&rest, " ")) != NULL;)
		words[count++] = word;
	result = explain(config, out, count, words, ratcheted, error);
	(void)fclose(in);
	(void)fclose(out);
	config_free(config);
	return result;
}

static const struct {
	const char *line;
	bool held;
	const char *says[4];
	const char *never;
} rows[] = {
    {"source=10.20.1.7 sysid=BR01 security=off", false,
     {"[listener clients] at f.ini:3: the connection goes on in the clear", "[rule branches] at f.ini:14",
      "audit_policy never would say: tls", "[listener plain] at f.ini:6: the connection goes on in the clear"}, "refused"},
    {"source=10.20.1.7 sysid=BR01 security=off listener=clients", true,
     {"is refused", "(REFUSE 12)", "[rule branches]", "yes: the name was secured before"}, "plain"},
    {"source=10.20.1.7 sysid=BR01 security=off listener=clients ratcheted=yes", false,
     {"is refused", "(REFUSE 12)", "yes: the name was secured before"}, "not secured"},
    {"source=10.20.1.7 sysid=BR02 security=off listener=clients", false, {"only the running gateway knows"}, "refused"},
    {"source=10.20.1.7 sysid=BR01 security=off listener=clients ratcheted=no", true, {"goes on in the clear"}, "refused"},
    {"source=10.21.1.7 sysid=BR01 security=none listener=clients", false,
     {"is refused", "(REFUSE 3)", "[listener clients] at f.ini:3, as no rule matches"}, "goes to"},
    {"source=10.20.1.7 sysid=EVIL1 listener=clients", false,
     {"is refused", "[rule bad] at f.ini:20", "after the TLS handshake"}, "REFUSE"},
    {"source=10.20.1.7 sysid=EVIL1 listener=clients identity=CN:x,DNS:a.office.example", false,
     {"turns to TLS", "[rule office] at f.ini:11", "service inner (builtin:echo)", "certificate  asked for"}, "refused"},
    {"source=::1 sysid=EVIL1 security=none listener=clients", false, {"is refused", "(REFUSE 7)"}, "TLS handshake"},
    {"source=::1 sysid=PC1 security=direct target=inner listener=clients", false,
     {"is secured from the first byte", "service inner"}, NULL},
    {"source=::1 sysid=PC1 target=nothing listener=clients", false, {"turns to TLS", "goes to      nobody: unknown target; it is closed after the TLS handshake"}, NULL},
    {"source=10.20.1.7 sysid=BR01 security=off target=nothing listener=clients", false,
     {"is refused", "unknown target (REFUSE 5)", "[rule branches]"}, "goes "},
    {"source=::1 sysid=PC1 security=direct target=nothing listener=clients", false,
     {"is refused", "unknown target (REFUSE 5)"}, "goes "},
    {"source=::1 sysid=PC1 security=direct listener=clients", false, {"certificate  asked for"}, "not asked for"},
    {"source=::1 sysid=PC1 security=on listener=clients", false, {"[listener clients]", "certificate  asked for"}, "not asked for"},
    {"source=::1 sysid=PC1 target=*PING listener=clients", false, {"goes to      ping"}, NULL},
    {"source=unix listener=plain", false, {"exchange = none", "payroll (127.0.0.1:7001)"}, NULL},
};

START_TEST(the_deciding_rule_is_named_with_its_place)
{
	char answer[4096] = "";
	struct error error;

	is_held = rows[_i].held;
	ck_assert_int_eq(ask(rows[_i].line, answer, sizeof(answer), &error), 0);
	for (int i = 0; i < 4 && rows[_i].says[i] != NULL; i++)
		ck_assert_msg(strstr(answer, rows[_i].says[i]) != NULL, "%s\nlacks: %s\n%s", rows[_i].line, rows[_i].says[i],
		              answer);
	ck_assert_msg(rows[_i].never == NULL || strstr(answer, rows[_i].never) == NULL, "%s\nhas: %s\n%s", rows[_i].line,
	              rows[_i].never, answer);
}
END_TEST

static const struct {
	const char *line, *says;
} wrongs[] = {
    {"sysid=PC1", "source=ADDRESS is missing"},
    {"source=::1", "sysid=NAME is missing"},
    {"source=localhost sysid=PC1", "source=localhost is not an IP address"},
    {"source=::1 sysid=P/C", "sysid=P/C is not a CCI name"},
    {"source=::1 sysid=PC1 security=maybe", "security=maybe is not one of"},
    {"source=::1 sysid=PC1 security=inside", "security=inside is not one of"},
    {"source=::1 sysid=PC1 listener=none", "there is no [listener none]"},
    {"source=::1 sysid=PC1 tls=1.1", "tls=1.1 is not"},
    {"source=::1 sysid=PC1 identity=a.example", "begins with DNS:"},
    {"source=::1 sysid=PC1 ratcheted=often", "is not yes or no"},
    {"source=::1 sysid=PC1 colour=red", "\"colour=red\" is not understood"},
    {"source=::1 sysid=PC1 source=::2", "source is there twice"},
    {"source=::1 sysid=PC1 source", "\"source\" is not understood"},
};

START_TEST(words_that_say_nothing_are_refused)
{
	char answer[4096] = "";
	struct error error;

	ck_assert_int_eq(ask(wrongs[_i].line, answer, sizeof(answer), &error), -1);
	ck_assert_msg(strstr(error.text, wrongs[_i].says) != NULL, "%s", error.text);
}
END_TEST

/* The path in the configuration is that of the gateway, which may have another root. */
START_TEST(the_ratchet_file_is_found_below_a_chroot)
{
	struct ratchet_entry entry = {.kind = RATCHET_CLIENT, .name = "BR01", .first_s = 1, .last_s = 2};
	char folder[] = "/tmp/cci-root-XXXXXX", path[64], below[] = "/names";
	struct config config = {.gateway = {.ratchet_file = path, .chroot = _i == 0 ? NULL : folder}};
	struct error error;
	bool held = false;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s%s", folder, below);
	ck_assert_int_eq(ratchet_file_write(path, &(struct ratchet_entries){&entry, 1}, &error), 0);
	if (_i == 1)
		config.gateway.ratchet_file = below;
	ck_assert_int_eq(explain_ratcheted_in_file(&config, "br01", &held, &error), 0);
	ck_assert(held);
	ck_assert_int_eq(explain_ratcheted_in_file(&config, "BR02", &held, &error), 0);
	ck_assert(!held);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("explain");
	TCase *tests = tcase_create("explain");

	tcase_add_loop_test(tests, the_deciding_rule_is_named_with_its_place, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_loop_test(tests, words_that_say_nothing_are_refused, 0, sizeof(wrongs) / sizeof(wrongs[0]));
	tcase_add_loop_test(tests, the_ratchet_file_is_found_below_a_chroot, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
