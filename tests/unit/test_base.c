/* Text, names, numbers, addresses, networks, EBCDIC, and the tables of messages and reasons. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "ebcdic.h"
#include "file.h"
#include "reason.h"
#include "suite.h"

static const struct {
	const char *pattern, *name;
	bool matches;
} patterns[] = {
    {"BR*", "BR01", true},
    {"br*", "BR01", true},
    {"BR*", "XBR", false},
    {"*", "", true},
    {"?", "A", true},
    {"?", "", false},
    {"A?C", "abc", true},
    {"*A*B*", "xaxxbx", true},
    {"*A*B", "ab-b", true},
    {"*A*B", "ab-", false},
    {"LEDGER*", "LEDGER", true},
    {"A*", "B", false},
    {"a**b", "ab", true},
    {"*aaaaaaaaab", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
};

START_TEST(patterns_match)
{
	ck_assert_int_eq(name_match(patterns[_i].pattern, patterns[_i].name), patterns[_i].matches);
}
END_TEST

static const struct {
	const char *text;
	long long ms; /* -1: an error */
} durations[] = {{"5s", 5000},
                 {"100ms", 100},
                 {"1h", 3600000},
                 {"0", 0},
                 {"2d", 172800000},
                 {"5", -1},
                 {"", -1},
                 {"-1s", -1},
                 {"1.5s", -1},
                 {"s", -1},
                 {"5 s", -1},
                 {"99999999999999999999s", -1},
                 {"18446744073709551615d", -1}};

START_TEST(durations_parse)
{
	struct error error;
	uint64_t ms;
	int result = text_to_duration(durations[_i].text, &ms, &error);

	ck_assert_int_eq(result, durations[_i].ms < 0 ? -1 : 0);
	if (result == 0)
		ck_assert_uint_eq(ms, (uint64_t)durations[_i].ms);
}
END_TEST

START_TEST(texts_are_bounded_and_escaped)
{
	char buffer[16];
	struct text text;
	uint8_t bytes[4];

	text_init(&text, buffer, sizeof(buffer));
	text_put_escaped(&text, "a\"\n\\", 4);
	ck_assert_str_eq(buffer, "a\\\"\\x0a\\\\");
	text_printf(&text, "%s", "far too long for what is left");
	ck_assert(text.cut);
	ck_assert_uint_eq(strlen(buffer), sizeof(buffer) - 1);
	ck_assert_int_eq(text_from_hex("0aFF", bytes, sizeof(bytes)), 2);
	ck_assert_int_eq(bytes[1], 0xff);
	ck_assert_int_eq(text_from_hex("0a0", bytes, sizeof(bytes)), -1);
	ck_assert_int_eq(text_from_hex("0102030405", bytes, sizeof(bytes)), -1);
	ck_assert(name_valid("A@#$._-9z", 9) && !name_valid("", 0) && !name_valid("a b", 3) && !name_valid("*", 1));
	ck_assert(name_equal("Abc", "aBC") && !name_equal("Abc", "Abcd"));
}
END_TEST

static const struct {
	const char *text, *written; /* NULL: an error */
} addresses[] = {
    {"127.0.0.1:80", "127.0.0.1:80"},
    {"127.0.0.1", "127.0.0.1:1202"},
    {"[::1]:5", "[::1]:5"},
    {"[::1]", "[::1]:1202"},
    {"host.example:7", "host.example:7"},
    {"unix:/run/x", "unix:/run/x"},
    {"builtin:echo", "builtin:echo"},
    {"builtin:x", NULL},
    {"::1", NULL},
    {"[::1", NULL},
    {"[1.2.3.4]:5", NULL},
    {"1.2.3:4", NULL},
    {"host:70000", NULL},
    {"host:x", NULL},
    {"ho st:1", NULL},
    {"unix:relative", NULL},
    {"-bad:1", NULL},
    {"a..b:1", NULL},
    {"", NULL},
    {":5", NULL},
};

START_TEST(addresses_parse)
{
	struct address address;
	struct error error;
	char buffer[ADDRESS_TEXT_SIZE];
	int result = address_parse(addresses[_i].text, 1202, &address, &error);

	ck_assert_msg((result == 0) == (addresses[_i].written != NULL), "%s", addresses[_i].text);
	if (result == 0)
		ck_assert_str_eq(address_format(&address, buffer), addresses[_i].written);
}
END_TEST

static const struct {
	const char *network, *address;
	int contains; /* -1: the network is an error */
} networks[] = {
    {"10.20.0.0/16", "10.20.255.1", 1},
    {"10.20.0.0/16", "10.21.0.1", 0},
    {"0.0.0.0/0", "1.2.3.4", 1},
    {"10.0.0.4/30", "10.0.0.7", 1},
    {"10.0.0.4/30", "10.0.0.8", 0},
    {"10.0.0.1", "10.0.0.1", 1},
    {"2001:db8::/32", "2001:db8:1::1", 1},
    {"2001:db8::/32", "2001:db9::1", 0},
    {"10.0.0.0/8", "::ffff:10.1.2.3", 1},
    {"10.0.0.1/8", "", -1},
    {"10.0.0.0/33", "", -1},
    {"10.0.0/8", "", -1},
    {"x", "", -1},
    {"10.0.0.0/", "", -1},
    {"unix", "unix", 1},
    {"unix", "127.0.0.1", 0},
    {"unix", "::", 0},
    {"0.0.0.0/0", "unix", 0},
    {"::/0", "unix", 0},
    {"unix:", "", -1},
    {"unix/0", "", -1},
};

START_TEST(networks_contain)
{
	struct network network, again;
	char text[ADDRESS_TEXT_SIZE];
	struct error error;
	union socket_address socket = {.v6.sin6_family = AF_INET6};

	ck_assert_int_eq(network_parse(networks[_i].network, &network, &error), networks[_i].contains < 0 ? -1 : 0);
	if (networks[_i].contains < 0)
		return;
	if (strcmp(networks[_i].address, "unix") == 0) {
		socket.any.sa_family = AF_UNIX;
	} else if (inet_pton(AF_INET6, networks[_i].address, &socket.v6.sin6_addr) != 1) {
		socket.v4.sin_family = AF_INET;
		ck_assert_int_eq(inet_pton(AF_INET, networks[_i].address, &socket.v4.sin_addr), 1);
	}
	ck_assert_int_eq(network_contains(&network, &socket), networks[_i].contains);
	ck_assert_int_eq(network_list_contains(&(struct network_list){&network, 1}, &socket), networks[_i].contains);
	ck_assert(!network_list_contains(&(struct network_list){&network, 0}, &socket));
	ck_assert_int_eq(network_parse(network_format(&network, text), &again, &error), 0);
	ck_assert_mem_eq(&network, &again, sizeof(network));
}
END_TEST

START_TEST(sources_are_counted_by_network)
{
	union socket_address a = {.v6.sin6_family = AF_INET6}, b = a;
	struct source_key one, two;

	(void)inet_pton(AF_INET6, "2001:db8:1:2::1", &a.v6.sin6_addr);
	(void)inet_pton(AF_INET6, "2001:db8:1:2:ffff::9", &b.v6.sin6_addr);
	source_key_of(&a, &one);
	source_key_of(&b, &two);
	ck_assert_mem_eq(&one, &two, sizeof(one));
	(void)inet_pton(AF_INET6, "2001:db8:1:3::1", &b.v6.sin6_addr);
	source_key_of(&b, &two);
	ck_assert_mem_ne(&one, &two, sizeof(one));
}
END_TEST

static int option_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	ck_assert_int_eq(getsockopt(fd, level, option, &value, &size), 0);
	return value;
}

START_TEST(the_kernel_is_told_in_its_units)
{
	static const struct {
		uint64_t keepalive_ms, user_timeout_ms;
		int on, idle, interval, unacknowledged;
	} cases[] = {
	    {0, 0, 0, 7200, 75, 0},         {120000, 30000, 1, 120, 20, 30000},   {1, 1, 1, 1, 1, 1},
	    {5500, 0, 1, 6, 1, 0},          {0, 2000, 0, 7200, 75, 2000},         {86400000, 86400000, 1, 32767, 14400, 86400000},
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);

	socket_keep_alive(other, cases[_i].keepalive_ms, cases[_i].user_timeout_ms);
	socket_keep_alive(fd, cases[_i].keepalive_ms, cases[_i].user_timeout_ms);
	ck_assert_int_eq(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), cases[_i].on);
	ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), cases[_i].unacknowledged);
	if (cases[_i].on) {
		ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), cases[_i].idle);
		ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), cases[_i].interval);
		ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 6);
	}
	close(fd);
	close(other);
}
END_TEST

START_TEST(ebcdic_goes_both_ways)
{
	uint8_t bytes[256], back[256];
	char text[513];
	int size = 0;

	for (int i = 0; i < 256; i++)
		if (i != 0)
			bytes[size++] = (uint8_t)i;
	ck_assert_int_gt(ebcdic_to_utf8(bytes, (size_t)size, text, sizeof(text)), 0);
	ck_assert_int_eq(ebcdic_from_utf8(text, back, sizeof(back)), size);
	ck_assert_mem_eq(bytes, back, (size_t)size);
	ck_assert_int_eq(ebcdic_to_utf8((const uint8_t *)"\xc8\xd6\xe2\xe3\xf1", 5, text, sizeof(text)), 5);
	ck_assert_str_eq(text, "HOST1");
	ck_assert_int_eq(ebcdic_to_utf8(bytes, 5, text, 3), -1);
	ck_assert_int_eq(ebcdic_from_utf8("\xe2\x82\xac", back, sizeof(back)), 1);
	ck_assert_int_eq(back[0], 0x6f);
	ck_assert_int_eq(ebcdic_from_utf8("\xe2\x82", back, sizeof(back)), -1);
}
END_TEST

START_TEST(tables_are_whole)
{
	for (int i = 0; i < MESSAGE_COUNT; i++) {
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(message_id((enum message)i), message_id((enum message)j));
		ck_assert_uint_eq(strlen(message_id((enum message)i)), 8);
	}
	for (int i = 0; i < REASON_COUNT; i++)
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(reason_word((enum reason)i), reason_word((enum reason)j));
	for (uint16_t code = 1; code <= 14; code++)
		ck_assert_uint_eq(reason_code(reason_from_code(code)), code);
	ck_assert_int_eq(reason_from_code(6), REASON_TARGET_UNREACHABLE);
	ck_assert_int_eq(reason_from_code(999), REASON_PEER_REFUSED);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))

/* Against the library's own calendar: leap years of each kind, ends of months, far years. */
START_TEST(utc_is_the_calendars)
{
	for (uint64_t seconds = 0; seconds < UINT64_C(16725225600); seconds += 86399 + seconds % 7) {
		char ours[64], theirs[64];
		time_t time = (time_t)seconds;
		struct text text;
		struct tm utc;

		text_init(&text, ours, sizeof(ours));
		text_put_utc(&text, seconds * 1000000 + seconds % 1000000);
		(void)gmtime_r(&time, &utc);
		(void)strftime(theirs, sizeof(theirs), "%Y-%m-%dT%H:%M:%S", &utc);
		(void)snprintf(theirs + strlen(theirs), 16, ".%06uZ", (unsigned)(seconds % 1000000));
		ck_assert_str_eq(ours, theirs);
	}
}
END_TEST

START_TEST(numbers_are_padded_and_whole)
{
	static const struct {
		uint64_t number;
		unsigned digits;
		const char *text;
	} cases[] = {
	    {0, 1, "0"}, {7, 2, "07"}, {1234, 2, "1234"}, {42, 6, "000042"}, {UINT64_MAX, 1, "18446744073709551615"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buffer[32];
		struct text text;

		text_init(&text, buffer, sizeof(buffer));
		text_put_number(&text, cases[i].number, cases[i].digits);
		ck_assert_str_eq(buffer, cases[i].text);
	}
}
END_TEST

START_TEST(what_would_have_to_be_waited_for_is_not_opened)
{
	char folder[] = "/tmp/cci-file-XXXXXX", path[64];
	const char *why = "";
	FILE *stream;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/x", folder);
	ck_assert_ptr_null(file_open(path, &why));
	ck_assert_str_eq(why, "No such file or directory");
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_ptr_null(file_open(path, &why));
	ck_assert_ptr_nonnull(strstr(why, "FIFO"));
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("/dev/zero", path), 0);
	ck_assert_ptr_null(file_open(path, &why));
	ck_assert_int_eq(unlink(path), 0);
	stream = fopen(path, "w");
	ck_assert(stream != NULL && fputs("text", stream) >= 0 && fclose(stream) == 0);
	stream = file_open(path, &why);
	ck_assert_ptr_nonnull(stream);
	ck_assert_int_eq(fgetc(stream), 't');
	(void)fclose(stream);
	stream = file_open("/dev/null", &why);
	ck_assert_ptr_nonnull(stream);
	(void)fclose(stream);
	(void)unlink(path);
	(void)rmdir(folder);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("base");
	TCase *tests = tcase_create("base");

	tcase_add_loop_test(tests, patterns_match, 0, COUNT(patterns));
	tcase_add_loop_test(tests, durations_parse, 0, COUNT(durations));
	tcase_add_test(tests, texts_are_bounded_and_escaped);
	tcase_add_loop_test(tests, addresses_parse, 0, COUNT(addresses));
	tcase_add_loop_test(tests, networks_contain, 0, COUNT(networks));
	tcase_add_test(tests, sources_are_counted_by_network);
	tcase_add_loop_test(tests, the_kernel_is_told_in_its_units, 0, 6);
	tcase_add_test(tests, ebcdic_goes_both_ways);
	tcase_add_test(tests, tables_are_whole);
	tcase_add_test(tests, utc_is_the_calendars);
	tcase_add_test(tests, numbers_are_padded_and_whole);
	tcase_add_test(tests, what_would_have_to_be_waited_for_is_not_opened);
	suite_add_tcase(suite, tests);
	return suite;
}
