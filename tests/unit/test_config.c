/* Configurations: what is taken, and every error with its place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "rows.h"
#include "suite.h"

struct findings {
	char text[8192];
	int errors;
};

static void collect(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	struct findings *findings = context;
	size_t used = strlen(findings->text);

	(void)file;
	findings->errors += is_error;
	(void)snprintf(findings->text + used, sizeof(findings->text) - used, "%u: %s%s\n", line, is_error ? "" : "warning: ",
	               text);
}

static struct config *load(const char *text, size_t size, enum program program, struct findings *findings)
{
	FILE *stream = fmemopen((void *)(uintptr_t)text, size, "r");
	struct config *config;

	memset(findings, 0, sizeof(*findings));
	ck_assert_ptr_nonnull(stream);
	config = config_load_stream(stream, "test.ini", program, collect, findings);
	(void)fclose(stream);
	ck_assert_int_eq(config == NULL, findings->errors > 0);
	return config;
}

#define TLS "[tls]\ncertificate = a.pem\nprivate_key = a.key\nca = ca.pem\n"
#define BASE "[gateway]\nsysid = H\n[listener l]\naddress = 127.0.0.1:1\nunsecured_connections = only\n"

static const struct wrong {
	enum program program;
	const char *text;
	const char *finding; /* part of a line of the findings */
} wrongs[] = {
    {PROGRAM_CCISSL, "[gateway]\nsysid = H\n", "0: there is no [listener NAME]"},
    {PROGRAM_CCISSL, "[listener l]\naddress = 127.0.0.1:1\nunsecon = only\n", "0: there is no [gateway]"},
    {PROGRAM_CCISSL, BASE "[gatewya]\n", "6: unknown section [gatewya]: did you mean [gateway]?"},
    {PROGRAM_CCISSL, BASE "servise = x\n", "6: unknown key servise in [listener l]: did you mean service?"},
    {PROGRAM_CCISSL, BASE "address = 127.0.0.1:2\n", "6: address stands twice in [listener l]: first on line 4"},
    {PROGRAM_CCISSL, BASE "unsecon = only\n", "6: unsecon stands twice in [listener l]: first on line 5"},
    {PROGRAM_CCISSL, BASE "[gateway]\nsysid = X\n", "6: [gateway] stands twice: first on line 1"},
    {PROGRAM_CCISSL, BASE "[listener L]\naddress = 127.0.0.1:2\n", "6: [listener L] stands twice: first on line 3"},
    {PROGRAM_CCISSL, BASE "[listener]\n", "6: [listener] needs a name"},
    {PROGRAM_CCISSL, BASE "[log x]\n", "6: [log] takes no name"},
    {PROGRAM_CCISSL, BASE "[peer P]\naddress = 127.0.0.1:2\n", "6: [peer] is a section of ccisslgw, not of ccissl"},
    {PROGRAM_CCISSL, BASE "target = X\n", "6: target in [listener l] is a key of ccisslgw, not of ccissl"},
    {PROGRAM_CCISSL, BASE "direct = maybe\n", "6: direct in [listener l]: \"maybe\" is not one of: yes, no"},
    {PROGRAM_CCISSL, BASE "[control]\nhttp = unix:/x/y\n[notifier n]\nkind = socket\npath = /x/y\n",
     "[control] http = unix:/x/y is the path of [notifier n] already"},
    {PROGRAM_CCISSL, BASE "direct = yes\n", "6: [listener l] direct = yes contradicts unsecured_connections = only"},
    {PROGRAM_CCISSL, BASE "service = x\n", "6: [listener l] service = x: there is no [service x]"},
    {PROGRAM_CCISSL, BASE "exchange = none\n", "6: [listener l] exchange = none needs a service"},
    {PROGRAM_CCISSL, BASE "[limits]\nconnections = 0\n", "7: connections in [limits]: \"0\" is not a whole number from 1"},
    {PROGRAM_CCISSL, BASE "[timeouts]\nidle = 5\n", "7: idle in [timeouts]: \"5\" is not a duration"},
    {PROGRAM_CCISSL, BASE "[timeouts]\nidle = 1ms\n", "7: idle in [timeouts]: the duration is not from 100ms"},
    {PROGRAM_CCISSL, BASE "[rule r]\nsource = 10.0.0.1/8\n", "10.0.0.0/8 is the network"},
    {PROGRAM_CCISSL, BASE "[rule r]\nsource = banana, ::1/129\n", "\"banana\" is not a network"},
    {PROGRAM_CCISSL, BASE "[rule r]\nsource = banana, ::1/129\n", "\"129\" is not a whole number from 0 to 128"},
    {PROGRAM_CCISSL, BASE "proxy_from = unix, 10.0.0.1/8\n", "6: proxy_from in [listener l]: \"10.0.0.1/8\" has bits set"},
    {PROGRAM_CCISSL, BASE "[service s]\naddress = builtin:echo\nsend_proxy = v1\n",
     "8: [service s] send_proxy contradicts builtin:echo"},
    {PROGRAM_CCISSL, BASE "[rule r]\nidentity = IP:unix\n", "\"IP:unix\": no certificate holds a unix socket"},
    {PROGRAM_CCISSL, BASE "[rule r]\nlistener = m\n", "7: [rule r] listener = m: there is no [listener m]"},
    {PROGRAM_CCISSL, BASE "[rule r]\naction = refuse\nunsecon = allow\n", "action = refuse contradicts"},
    {PROGRAM_CCISSL, BASE "[service s]\naddress = builtin:nothing\n", "the one builtin service is builtin:echo"},
    {PROGRAM_CCISSL, BASE "[service s]\naddress = 127.0.0.1:2,\n", "7: address in [service s]: an item of the list is empty"},
    {PROGRAM_CCISSL, BASE "no equals sign\n", "6: expected `key = value`"},
    {PROGRAM_CCISSL, BASE "service: x\n", "6: expected `key = value`"},
    {PROGRAM_CCISSL, BASE "[tls\n", "6: a section is written as"},
    {PROGRAM_CCISSL, "sysid = H\n" BASE, "1: a key before any [section]"},
    {PROGRAM_CCISSL, "  sysid = H\n" BASE, "1: an indented line continues a value, and there is none"},
    {PROGRAM_CCISSL, BASE TLS "ciphers = ABC\n  min_version = 1.3\n", "11: this looks like a key"},
    {PROGRAM_CCISSL, BASE "service =\n", "6: service in [listener l]: the value is empty"},
    {PROGRAM_CCISSL, "[gateway]\nsysid = H\n[listener l]\naddress = 127.0.0.1:1\n",
     "3: [listener l] can turn connections to TLS, and [tls] has no certificate"},
    {PROGRAM_CCISSL, BASE "[tls]\ncertificate = a\n", "7: [tls] certificate and private_key belong together"},
    {PROGRAM_CCISSL, BASE "[tls]\nprivate_key = a\n", "7: [tls] certificate and private_key belong together"},
    {PROGRAM_CCISSL, BASE "[tls]\npassphrase_file = a\n", "7: [tls] passphrase_file opens private_key, which is not set"},
    {PROGRAM_CCISSL, BASE "[tls]\nocsp_response = a\n", "7: [tls] ocsp_response belongs to certificate, which is not set"},
    {PROGRAM_CCISSL, BASE "[tls]\ncrl = a\n", "7: [tls] crl needs ca"},
    {PROGRAM_CCISSL, BASE TLS "ticket_keys = a\nresumption = no\nx = 1\n", "10: warning: [tls] ticket_keys says nothing"},
    {PROGRAM_CCISSL, BASE TLS "insecure_key_log = /tmp/x\nx = 1\n", "10: warning: [tls] insecure_key_log writes the secrets"},
    {PROGRAM_CCISSL, BASE "certificates = c\n" TLS, "6: [listener l] certificates = c: there is no [certificate c]"},
    {PROGRAM_CCISSL, BASE "certificates = c, d, C\n[certificate c]\ncertificate = a\nprivate_key = b\n",
     "6: [listener l] certificates names C twice"},
    {PROGRAM_CCISSL, BASE "certificates = c\n[certificate c]\ncertificate = a\nprivate_key = b\n"
                          "[certificate d]\ncertificate = a\nprivate_key = b\nx = 1\n",
     "10: warning: [certificate d] is shown by no listener"},
    {PROGRAM_CCISSL, BASE "[certificate c]\ncertificate = a\n", "private_key"},
    {PROGRAM_CCISSL, "[gateway]\nsysid = H\n[listener l]\naddress = 127.0.0.1:1\n[tls]\ncertificate = a\n"
                     "private_key = b\nclient_auth = require\n", "client_auth needs ca"},
    {PROGRAM_CCISSL, BASE "[listener m]\naddress = 127.0.0.1:1\nunsecon = only\n",
     "7: [listener m] address 127.0.0.1:1 is taken by [listener l]"},
    {PROGRAM_CCISSLGW, BASE "[peer P]\naddress = 127.0.0.1:2\n", "6: [peer P] security = required needs ca"},
    {PROGRAM_CCISSLGW, BASE "[peer h]\naddress = 127.0.0.1:2\nsecurity = none\n", "[peer h] has our own sysid"},
    {PROGRAM_CCISSLGW, BASE "[peer p]\naddress = 127.0.0.1:2\nserver_name = .example\n", "is not a host name"},
    {PROGRAM_CCISSLGW, BASE "exchange = none\n", "exchange = none needs a target"},
    {PROGRAM_CCISSLGW, BASE "target = NOBODY\n", "target = NOBODY: no [service], no [peer]"},
    {PROGRAM_CCISSL, BASE "proxy_from = ::1, 0.0.0.0/0\nx = 1\n", "6: warning: [listener l] proxy_from takes everybody's word"},
    {PROGRAM_CCISSL, BASE "proxy_from = unix\nx = 1\n", "6: warning: [listener l] proxy_from = unix says nothing"},
    {PROGRAM_CCISSL, BASE "[rule a]\n[rule b]\nsysid = X\nnonsense = 1\n", "warning: [rule b] is never reached"},
    {PROGRAM_CCISSL, BASE "client_auth = require\nx = 1\n", "6: warning: [listener l] client_auth says nothing under unsecured"},
    {PROGRAM_CCISSL, BASE "exchange = none\nservice = s\nratchet = yes\nx = 1\n[service s]\naddress = builtin:echo\n",
     "8: warning: [listener l] ratchet says nothing under exchange = none"},
    {PROGRAM_CCISSL, BASE "[rule a]\nsysid = X\naction = refuse\nconnections = 5\nx = 1\n",
     "9: warning: [rule a] connections says nothing beside action = refuse"},
    {PROGRAM_CCISSL, BASE "exchange = none\nservice = s\nx = 1\n[rule a]\nsysid = *\naction = refuse\n[service s]\naddress = builtin:echo\n",
     "10: warning: [rule a] sysid matches nobody at [listener l], who gives no name"},
    {PROGRAM_CCISSL, BASE "exchange = none\nservice = s\nx = 1\n[rule a]\ntarget = *\nlistener = L\n[service s]\naddress = builtin:echo\n",
     "10: warning: [rule a] target matches nobody at [listener l], who gives no name"},
    {PROGRAM_CCISSLGW, BASE "[peer P]\naddress = 127.0.0.1:2\nsecurity = none\nserver_name = h\nx = 1\n",
     "9: warning: [peer P] server_name says nothing under security = none"},
    {PROGRAM_CCISSLGW, BASE "[peer P]\naddress = 127.0.0.1:2\nsecurity = none\nhealth_interval = 1ms\nx = 1\n",
     "9: warning: [peer P] health_interval is very short"},
    {PROGRAM_CCISSL, BASE TLS "crl_check = chain\nx = 1\n", "warning: [tls] crl_check says nothing without crl"},
    {PROGRAM_CCISSL, BASE TLS "min_version = 1.3\nciphers = A\nx = 1\n", "warning: [tls] ciphers says nothing under"},
    {PROGRAM_CCISSL, "[gateway]\nratchet_days = 5\nsysid = H\nx = 1\n", "2: warning: [gateway] ratchet_days says nothing"},
    {PROGRAM_CCISSL, BASE "[limits]\nconnection_burst = 5\nx = 1\n", "7: warning: [limits] connection_burst says nothing"},
    {PROGRAM_CCISSL, BASE "[limits]\nhandshake_burst = 5\nx = 1\n", "7: warning: [limits] handshake_burst says nothing"},
    {PROGRAM_CCISSL, BASE "[limits]\nbuffers = 5\nx = 1\n", "7: warning: [limits] buffers = 5 bytes is less"},
};

START_TEST(each_error_names_place_and_remedy)
{
	struct findings findings;
	struct config *config = load(wrongs[_i].text, strlen(wrongs[_i].text), wrongs[_i].program, &findings);

	ck_assert_msg(config == NULL && strstr(findings.text, wrongs[_i].finding) != NULL, "%s\nfound:\n%s", wrongs[_i].finding,
	              findings.text);
}
END_TEST

START_TEST(all_errors_are_told_not_the_first)
{
	struct findings findings;
	static const char text[] = BASE "x = 1\ny = 2\n[limits]\nconnections = -1\n";

	ck_assert_ptr_null(load(text, sizeof(text) - 1, PROGRAM_CCISSL, &findings));
	ck_assert_int_eq(findings.errors, 3);
}
END_TEST

START_TEST(lines_that_inih_would_cut_are_errors)
{
	char text[1024], value[400];
	struct findings findings;
	struct config *config;

	memset(value, 'a', sizeof(value));
	for (int length = 180; length <= 210; length++) {
		int size = snprintf(text, sizeof(text), BASE "[tls]\nciphers = %.*s\n", length - 10, value);

		config = load(text, (size_t)size, PROGRAM_CCISSL, &findings);
		ck_assert_int_eq(config != NULL, length <= 199);
		if (config == NULL)
			ck_assert_ptr_nonnull(strstr(findings.text, "7: the line has more than 199 characters"));
		else
			ck_assert_uint_eq(strlen(config->tls.ciphers), (size_t)length - 10);
		config_free(config);
	}
}
END_TEST

START_TEST(long_values_go_on_in_indented_lines)
{
	static const char text[] = "\xef\xbb\xbf[gateway]\r\nsysid = H\r\n[listener l]\r\naddress = 127.0.0.1:1, ; first\r\n"
	                           "   ; a comment\r\n\t[::1]:1,\r\n    127.0.0.2:1 ; last\r\nunsecured_connections = only";
	struct findings findings;
	struct config *config = load(text, sizeof(text) - 1, PROGRAM_CCISSL, &findings);

	ck_assert_msg(config != NULL, "%s", findings.text);
	ck_assert_uint_eq(config->listeners[0].address.count, 3);
	config_free(config);
}
END_TEST

START_TEST(what_is_no_text_file_is_refused)
{
	static const char nul[] = "[gateway]\nsys\0id = H\n";
	struct findings findings = {.errors = 0};

	ck_assert_ptr_null(load(nul, sizeof(nul) - 1, PROGRAM_CCISSL, &findings));
	ck_assert_ptr_nonnull(strstr(findings.text, "2: the line holds a NUL byte"));
	memset(&findings, 0, sizeof(findings));
	ck_assert_ptr_null(config_load("/tmp", PROGRAM_CCISSL, collect, &findings));
	ck_assert_ptr_nonnull(strstr(findings.text, "directory"));
	ck_assert_ptr_null(config_load("/nowhere/at/all", PROGRAM_CCISSL, collect, &findings));
	ck_assert_ptr_nonnull(strstr(findings.text, "cannot be opened"));
}
END_TEST

static char *read_whole(const char *path, size_t *size)
{
	FILE *stream = fopen(path, "r");
	char *text = calloc(1, 65536);

	ck_assert_ptr_nonnull(stream);
	*size = fread(text, 1, 65535, stream);
	(void)fclose(stream);
	return text;
}

static const struct {
	const char *path;
	enum program program;
} files[] = {{"etc/ccissl.ini", PROGRAM_CCISSL},
             {"etc/ccisslgw.ini", PROGRAM_CCISSLGW},
             {"tests/vectors/ccissl.ini", PROGRAM_CCISSL},
             {"tests/vectors/ccisslgw.ini", PROGRAM_CCISSLGW}};

START_TEST(files_load_and_dump_to_the_same)
{
	struct findings findings = {.errors = 0};
	struct config *config = config_load(files[_i].path, files[_i].program, collect, &findings), *again;
	char *first = NULL, *second = NULL;
	size_t size, second_size;
	FILE *stream;

	ck_assert_msg(config != NULL, "%s", findings.text);
	stream = open_memstream(&first, &size);
	ck_assert_int_eq(config_dump(config, stream), 0);
	(void)fclose(stream);
	again = load(first, size, files[_i].program, &findings);
	ck_assert_msg(again != NULL, "%s", findings.text);
	stream = open_memstream(&second, &second_size);
	ck_assert_int_eq(config_dump(again, stream), 0);
	(void)fclose(stream);
	ck_assert_str_eq(first, second);
	free(first);
	free(second);
	config_free(config);
	config_free(again);
}
END_TEST

/* A path that was relative outgrows its line once it is absolute; a text may hold what would be a comment or a key if a line began with
 * it; an identity may be longer than a line. */
START_TEST(values_longer_than_a_line_are_dumped_to_the_same)
{
	static const char format[] = BASE "client_auth = no\n[tls]\ncertificate =\n %.150s/\n %.150s/%.40s\nprivate_key = a\nca = a\n"
	                                  "[rule r]\nidentity =\n DNS:%.180s, URI:\n %.190s\n"
	                                  "[notifier n]\nkind = plugin\npath = a\nargument = %.150s x=1 #c\n %.180s #d\n %.150s/\n d\n";
	char a[256], text[4096];
	struct findings findings;
	struct config *config, *again;
	char *first = NULL, *second = NULL;
	size_t size, second_size;
	FILE *stream;

	memset(a, 'a', sizeof(a));
	a[sizeof(a) - 1] = '\0';
	(void)snprintf(text, sizeof(text), format, a, a, a, a, a, a, a, a);
	config = load(text, strlen(text), PROGRAM_CCISSL, &findings);
	ck_assert_msg(config != NULL, "%s", findings.text);
	ck_assert_uint_gt(strlen(config->tls.certificate), 342);
	stream = open_memstream(&first, &size);
	ck_assert_int_eq(config_dump(config, stream), 0);
	(void)fclose(stream);
	again = load(first, size, PROGRAM_CCISSL, &findings);
	ck_assert_msg(again != NULL, "%s\n%s", findings.text, first);
	ck_assert_str_eq(config->tls.certificate, again->tls.certificate);
	ck_assert_str_eq(config->notifiers[0].argument, again->notifiers[0].argument);
	ck_assert_str_eq(config->rules[0].identity.at[0], again->rules[0].identity.at[0]);
	ck_assert_str_eq(config->rules[0].identity.at[1], again->rules[0].identity.at[1]);
	stream = open_memstream(&second, &second_size);
	ck_assert_int_eq(config_dump(again, stream), 0);
	(void)fclose(stream);
	ck_assert_str_eq(first, second);
	free(first);
	free(second);
	config_free(config);
	config_free(again);
}
END_TEST

START_TEST(a_finding_moves_no_cursor)
{
	static const char text[] = BASE "serv\033[2Jice = x\n[tls]\n[rule \033r]\nlistener = \r\rm\n";
	struct findings findings;

	ck_assert_ptr_null(load(text, sizeof(text) - 1, PROGRAM_CCISSL, &findings));
	ck_assert_ptr_nonnull(strstr(findings.text, "serv?[2Jice"));
	ck_assert_ptr_null(strchr(findings.text, '\033'));
}
END_TEST

/* The samples have every key of their program, and each default that they show is the table's. */
START_TEST(samples_have_every_row)
{
	size_t size;
	char *text = read_whole(files[_i].path, &size);

	for (size_t i = 0; i < row_count; i++) {
		char set[96], unset[96];

		if ((rows[i].programs & files[_i].program) == 0)
			continue;
		(void)snprintf(set, sizeof(set), "\n%s = ", rows[i].key);
		(void)snprintf(unset, sizeof(unset), "\n; %s =\n", rows[i].key);
		ck_assert_msg(strstr(text, set) != NULL || strstr(text, unset) != NULL, "%s lacks %s of [%s]", files[_i].path,
		              rows[i].key, rows[i].section);
	}
	free(text);
}
END_TEST

START_TEST(mutations_are_survived)
{
	size_t size;
	char *text = read_whole(files[_i].path, &size);
	struct findings findings;

	srandom((unsigned)_i + 7);
	for (int round = 0; round < 400; round++) {
		size_t at = (size_t)random() % size, cut = (size_t)random() % size + 1;
		char old = text[at];

		text[at] = (char)random();
		config_free(load(text, round % 3 == 0 ? cut : size, files[_i].program, &findings));
		text[at] = old;
	}
	free(text);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("config");
	TCase *tests = tcase_create("config");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, each_error_names_place_and_remedy, 0, sizeof(wrongs) / sizeof(wrongs[0]));
	tcase_add_test(tests, all_errors_are_told_not_the_first);
	tcase_add_test(tests, lines_that_inih_would_cut_are_errors);
	tcase_add_test(tests, long_values_go_on_in_indented_lines);
	tcase_add_test(tests, what_is_no_text_file_is_refused);
	tcase_add_loop_test(tests, files_load_and_dump_to_the_same, 0, 4);
	tcase_add_test(tests, values_longer_than_a_line_are_dumped_to_the_same);
	tcase_add_test(tests, a_finding_moves_no_cursor);
	tcase_add_loop_test(tests, samples_have_every_row, 0, 2);
	tcase_add_loop_test(tests, mutations_are_survived, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
