/* The PROXY protocol's codec: what is taken, each way to break it, each truncation, and what is written read back by a
 * decoder of the test's own. */
#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proxyheader.h"
#include "suite.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4_BLOCK "\xc0\x00\x02\x01\xc6\x33\x64\x02\x04\x00\x04\xb2"
#define V6_ADDRESS "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"

struct bytes {
	const char *name;
	const char *at;
	size_t size;
	const char *source, *destination; /* as socket_format writes them; NULL: not known */
};
#define BYTES(name, literal, source, destination)               \
	{                                                           \
		name, literal, sizeof(literal) - 1, source, destination \
	}
#define FAULT(name, literal, words) BYTES(name, literal, words, NULL) /* of the fault */

static const struct bytes good[] = {
    BYTES("v1 TCP4", "PROXY TCP4 192.0.2.1 198.51.100.2 1024 1202\r\n", "192.0.2.1:1024", "198.51.100.2:1202"),
    BYTES("v1 bounds", "PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", "255.255.255.255:65535", "0.0.0.0:0"),
    BYTES("v1 TCP6", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "[2001:db8::1]:1", "[::1]:2"),
    BYTES("v1 longest TCP6",
          "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65535\r\n",
          "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535"),
    BYTES("v1 UNKNOWN", "PROXY UNKNOWN\r\n", NULL, NULL),
    BYTES(
        "v1 longest UNKNOWN",
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        NULL, NULL),
    BYTES("v2 TCP4", SIGNATURE "\x21\x11\0\x0c" V4_BLOCK, "192.0.2.1:1024", "198.51.100.2:1202"),
    BYTES("v2 TCP6", SIGNATURE "\x21\x21\0\x24" V6_ADDRESS V6_ADDRESS "\0\x01\0\x02", "[2001:db8::1]:1",
          "[2001:db8::1]:2"),
    BYTES("v2 UNSPEC", SIGNATURE "\x21\0\0\0", NULL, NULL),
    BYTES("v2 UNSPEC with a TLV", SIGNATURE "\x21\0\0\x04\x04\0\x01x", NULL, NULL),
    BYTES("v2 LOCAL", SIGNATURE "\x20\0\0\0", NULL, NULL),
    BYTES("v2 LOCAL, the rest is ignored", SIGNATURE "\x20\x99\0\x05\x01\xff\xff\0\0", NULL, NULL),
    BYTES("v2 TLVs", SIGNATURE "\x21\x11\0\x1d" V4_BLOCK "\x02\0\x02hi\x05\0\x01u\xe0\0\x05\1\2\3\4\5",
          "192.0.2.1:1024", "198.51.100.2:1202"),
    BYTES("v2 TLS", SIGNATURE "\x21\x11\0\x17" V4_BLOCK "\x20\0\x08\x01\0\0\0\0\x21\0\0", "192.0.2.1:1024",
          "198.51.100.2:1202"),
};
#define GOOD ((int)(sizeof(good) / sizeof(good[0])))

static enum proxy_result parse(const struct bytes *bytes, size_t have, struct proxy_header *header, const char **what)
{
	/* To the byte, so that a sanitizer sees a read behind it. */
	uint8_t *copy = malloc(have);
	enum proxy_result result;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes->at, have);
	*what = NULL;
	result = proxy_header_parse(copy, have, header, what);
	ck_assert_ptr_nonnull(*what);
	free(copy);
	return result;
}

START_TEST(whole_headers_are_taken)
{
	const struct bytes *row = &good[_i];
	struct proxy_header header;
	char text[ADDRESS_TEXT_SIZE];
	const char *what;

	ck_assert_msg(parse(row, row->size, &header, &what) == PROXY_OK, "%s: %s", row->name, what);
	ck_assert_uint_eq(header.length, row->size);
	ck_assert_uint_eq(header.version, row->at[0] == 'P' ? 1 : 2);
	ck_assert_int_eq(header.known, row->source != NULL);
	if (row->source == NULL)
		return;
	ck_assert_str_eq(socket_format(&header.source, text), row->source);
	ck_assert_str_eq(socket_format(&header.destination, text), row->destination);
}
END_TEST

START_TEST(each_truncation_waits_for_more)
{
	const struct bytes *row = &good[_i];
	struct proxy_header header;
	const char *what;

	for (size_t have = 1; have < row->size; have++)
		ck_assert_msg(parse(row, have, &header, &what) == PROXY_MORE, "%s cut at %zu: %s", row->name, have, what);
}
END_TEST

START_TEST(what_follows_is_not_part_of_it)
{
	const struct bytes *row = &good[_i];
	char longer[300];
	struct bytes with = {row->name, longer, row->size + 9, NULL, NULL};
	struct proxy_header header;
	const char *what;

	memcpy(longer, row->at, row->size);
	memcpy(longer + row->size, "\r\nCCIP\r\n\x16", 9);
	ck_assert_int_eq(parse(&with, with.size, &header, &what), PROXY_OK);
	ck_assert_uint_eq(header.length, row->size);
}
END_TEST

static const struct bytes bad[] = {
    FAULT("two spaces", "PROXY TCP4  192.0.2.1 198.51.100.2 1024 1202\r\n", "two addresses"),
    FAULT("a space at the end", "PROXY TCP4 192.0.2.1 198.51.100.2 1024 1202 \r\n", "two addresses"),
    FAULT("one port", "PROXY TCP4 192.0.2.1 198.51.100.2 1024\r\n", "two addresses"),
    FAULT("three ports", "PROXY TCP4 192.0.2.1 198.51.100.2 1024 1202 3\r\n", "two addresses"),
    FAULT("no address", "PROXY TCP4\r\n", "protocol"),
    FAULT("a tab", "PROXY TCP4 192.0.2.1\t198.51.100.2 1024 1202\r\n", "two addresses"),
    FAULT("zero before a port", "PROXY TCP4 192.0.2.1 198.51.100.2 01024 1202\r\n", "port"),
    FAULT("a sign", "PROXY TCP4 192.0.2.1 198.51.100.2 +102 1202\r\n", "port"),
    FAULT("port 65536", "PROXY TCP4 192.0.2.1 198.51.100.2 65536 1202\r\n", "port"),
    FAULT("a port in hex", "PROXY TCP4 192.0.2.1 198.51.100.2 0x50 1202\r\n", "port"),
    FAULT("zero before an octet", "PROXY TCP4 192.0.02.1 198.51.100.2 1024 1202\r\n", "address"),
    FAULT("octet 256", "PROXY TCP4 192.0.2.256 198.51.100.2 1024 1202\r\n", "address"),
    FAULT("three octets", "PROXY TCP4 192.0.2 198.51.100.2 1024 1202\r\n", "address"),
    FAULT("IPv6 in TCP4", "PROXY TCP4 ::1 198.51.100.2 1024 1202\r\n", "address"),
    FAULT("IPv4 in TCP6", "PROXY TCP6 192.0.2.1 ::1 1024 1202\r\n", "address"),
    FAULT("seven groups", "PROXY TCP6 1:2:3:4:5:6:7 ::1 1024 1202\r\n", "address"),
    FAULT("two double colons", "PROXY TCP6 1::2::3 ::1 1024 1202\r\n", "address"),
    FAULT("a zone", "PROXY TCP6 fe80::1%lo ::1 1024 1202\r\n", "address"),
    FAULT("a host name", "PROXY TCP4 localhost 198.51.100.2 1024 1202\r\n", "address"),
    FAULT("UDP4", "PROXY UDP4 192.0.2.1 198.51.100.2 1024 1202\r\n", "protocol"),
    FAULT("lower case", "PROXY tcp4 192.0.2.1 198.51.100.2 1024 1202\r\n", "protocol"),
    FAULT("UNKNOWNS", "PROXY UNKNOWNS\r\n", "protocol"),
    FAULT("an empty line", "PROXY \r\n", "protocol"),
    FAULT("LF alone", "PROXY TCP4 192.0.2.1 198.51.100.2 1024 1202\n", "CR or LF"),
    FAULT("CR alone", "PROXY TCP4 192.0.2.1 198.51.100.2 1024 1202\r.", "CR or LF"),
    FAULT("CR inside UNKNOWN", "PROXY UNKNOWN \rx\r\n", "CR or LF"),
    FAULT("a null byte", "PROXY UNKNOWN\0\r\n", "null"),
    FAULT("a null byte in a port", "PROXY TCP4 192.0.2.1 198.51.100.2 1024 12\0\r\n", "null"),
    FAULT("108 bytes",
          "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
          "65535x\r\n",
          "107"),
    FAULT("no end",
          "PROXY UNKNOWN "
          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
          "107"),
    FAULT("version 1 in version 2", SIGNATURE "\x11", "version"),
    FAULT("version 3", SIGNATURE "\x31", "version"),
    FAULT("command 2", SIGNATURE "\x22", "command"),
    FAULT("UDP", SIGNATURE "\x21\x12", "stream"),
    FAULT("a unix datagram", SIGNATURE "\x21\x32", "stream"),
    FAULT("family 4", SIGNATURE "\x21\x41", "stream"),
    FAULT("unspecified family, stream", SIGNATURE "\x21\x01", "stream"),
    FAULT("4097 bytes", SIGNATURE "\x21\x11\x0f\xf1", "4096"),
    FAULT("65551 bytes", SIGNATURE "\x20\x00\xff\xff", "4096"),
    FAULT("11 bytes of IPv4", SIGNATURE "\x21\x11\0\x0b", "too short"),
    FAULT("IPv4 for IPv6", SIGNATURE "\x21\x21\0\x0c", "too short"),
    FAULT("IPv6 for unix", SIGNATURE "\x21\x31\0\x24", "too short"),
    FAULT("a TLV without its length", SIGNATURE "\x21\x11\0\x0e" V4_BLOCK "\x04\0", "past the end"),
    FAULT("a TLV too long", SIGNATURE "\x21\x11\0\x10" V4_BLOCK "\x04\0\x02x", "past the end"),
    FAULT("a short checksum", SIGNATURE "\x21\x11\0\x12" V4_BLOCK "\x03\0\x03xxx", "checksum"),
    FAULT("a wrong checksum", SIGNATURE "\x21\x11\0\x13" V4_BLOCK "\x03\0\x04xxxx", "checksum is wrong"),
    FAULT("two checksums", SIGNATURE "\x21\0\0\x0e\x03\0\x04xxxx\x03\0\x04xxxx", "checksum"),
    FAULT("short facts of TLS", SIGNATURE "\x21\x11\0\x13" V4_BLOCK "\x20\0\x04\x01\0\0\0", "not whole"),
    FAULT("a TLV inside too long", SIGNATURE "\x21\x11\0\x17" V4_BLOCK "\x20\0\x08\x01\0\0\0\0\x21\0\x01", "not whole"),
};
#define BAD ((int)(sizeof(bad) / sizeof(bad[0])))

START_TEST(each_fault_is_named)
{
	const struct bytes *row = &bad[_i];
	struct proxy_header header;
	const char *what;

	ck_assert_msg(parse(row, row->size, &header, &what) == PROXY_BAD, "%s was taken", row->name);
	ck_assert_msg(strstr(what, row->source) != NULL, "%s: %s", row->name, what);
	/* No byte before shows that it is good after all. */
	for (size_t have = 1; have < row->size; have++)
		ck_assert_msg(parse(row, have, &header, &what) != PROXY_OK, "%s cut at %zu", row->name, have);
}
END_TEST

static const struct bytes foreign[] = {
    FAULT("HTTP", "GET / HTTP/1.0\r\n\r\n", NULL),
    FAULT("CCI", "CCIP\x01\x01", NULL),
    FAULT("TLS", "\x16\x03\x01", NULL),
    FAULT("POST", "POST / HTTP/1.0\r\n", NULL),
    FAULT("lower case", "proxy", NULL),
    FAULT("PROXYTCP4", "PROXYT", NULL),
    FAULT("an empty line", "\r\n\r\n\r\n", NULL),
    FAULT("zero", "\0", NULL),
};

START_TEST(what_is_no_header_is_seen_at_once)
{
	const struct bytes *row = &foreign[_i];
	struct proxy_header header;
	const char *what;

	ck_assert_msg(parse(row, row->size, &header, &what) == PROXY_FOREIGN, "%s", row->name);
}
END_TEST

/* Whatever comes: an answer, and never more bytes than there are. */
START_TEST(mutations_never_read_past_the_end)
{
	unsigned seed = 20261125;

	for (int round = 0; round < 20000; round++) {
		const struct bytes *row = &good[round % GOOD];
		char changed[300];
		struct bytes with = {row->name, changed, row->size, NULL, NULL};
		struct proxy_header header;
		const char *what;

		memcpy(changed, row->at, row->size);
		for (int i = 0; i < 1 + round % 3; i++)
			changed[(unsigned)rand_r(&seed) % row->size] = (char)rand_r(&seed);
		with.size = 1 + (unsigned)rand_r(&seed) % row->size;
		if (parse(&with, with.size, &header, &what) == PROXY_OK)
			ck_assert_uint_le(header.length, with.size);
	}
}
END_TEST

START_TEST(the_longest_header_is_taken)
{
	static uint8_t bytes[PROXY_HEADER_MOST] = SIGNATURE "\x21\0\x0f\xf0\x04\x0f\xed";
	struct proxy_header header;
	const char *what;

	ck_assert_int_eq(proxy_header_parse(bytes, sizeof(bytes) - 1, &header, &what), PROXY_MORE);
	ck_assert_int_eq(proxy_header_parse(bytes, sizeof(bytes), &header, &what), PROXY_OK);
	ck_assert_uint_eq(header.length, sizeof(bytes));
}
END_TEST

START_TEST(unix_paths_are_terminated)
{
	uint8_t bytes[16 + 216] = SIGNATURE "\x21\x31\0\xd8";
	struct proxy_header header;
	const char *what;

	memset(bytes + 16, '/', 216);
	ck_assert_int_eq(proxy_header_parse(bytes, sizeof(bytes), &header, &what), PROXY_OK);
	ck_assert_int_eq(header.source.any.sa_family, AF_UNIX);
	ck_assert_uint_eq(strnlen(header.source.local.sun_path, 108), 107);
	ck_assert_uint_eq(strnlen(header.destination.local.sun_path, 108), 107);
}
END_TEST

/* What is said of a local client is the kernel's word, which no name in a header may imitate. */
START_TEST(names_that_are_no_path_are_left_out)
{
	static const char *const names[] = {"\0uid=0,pid=1", "uid=0,pid=1"};
	uint8_t bytes[16 + 216] = SIGNATURE "\x21\x31\0\xd8";
	struct proxy_header header;
	char text[ADDRESS_TEXT_SIZE];
	const char *what;

	memcpy(bytes + 16, names[_i], 11);
	ck_assert_int_eq(proxy_header_parse(bytes, sizeof(bytes), &header, &what), PROXY_OK);
	ck_assert(header.known);
	ck_assert_str_eq(socket_format(&header.source, text), "unix");
}
END_TEST

START_TEST(checksum_of_the_standard)
{
	ck_assert_uint_eq(proxy_crc32c((const uint8_t *)"123456789", 9), 0xe3069283);
}
END_TEST

/* --- writing --- */

static union socket_address ip(const char *text)
{
	struct address address;
	struct error error;

	ck_assert_int_eq(address_parse(text, 0, &address, &error), 0);
	return address.socket;
}

static const struct {
	const char *source, *destination, *line;
	int family;
} pairs[] = {
    {"192.0.2.1:1024", "198.51.100.2:1202", "PROXY TCP4 192.0.2.1 198.51.100.2 1024 1202\r\n", 0x11},
    {"[2001:db8::1]:1", "[::1]:2", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n", 0x21},
    {"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 0x11},
    {"192.0.2.1:1", "[2001:db8::1]:2", "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n", 0x21},
    {"[2001:db8::1]:2", "192.0.2.1:1", "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 2 1\r\n", 0x21},
    {"unix:/run/a", "192.0.2.1:1", "PROXY UNKNOWN\r\n", 0},
    {"192.0.2.1:1", "unix:/run/a", "PROXY UNKNOWN\r\n", 0},
};

START_TEST(addresses_are_written)
{
	union socket_address source = ip(pairs[_i].source), destination = ip(pairs[_i].destination);
	struct proxy_facts facts = {.source = &source, .destination = &destination};
	uint8_t v1[PROXY_HEADER_WRITE_SIZE], v2[PROXY_HEADER_WRITE_SIZE];
	struct proxy_header one, two;
	size_t size = proxy_header_v1(&facts, v1), size_2 = proxy_header_v2(&facts, v2);
	char a[ADDRESS_TEXT_SIZE], b[ADDRESS_TEXT_SIZE];
	const char *what;

	ck_assert_uint_eq(size, strlen(pairs[_i].line));
	ck_assert_mem_eq(v1, pairs[_i].line, size);
	ck_assert_int_eq(v2[12], 0x21);
	ck_assert_int_eq(v2[13], pairs[_i].family);
	ck_assert_int_eq(proxy_header_parse(v1, size, &one, &what), PROXY_OK);
	ck_assert_msg(proxy_header_parse(v2, size_2, &two, &what) == PROXY_OK, "%s", what);
	ck_assert_int_eq(one.known, two.known);
	if (!one.known)
		return;
	ck_assert_str_eq(socket_format(&one.source, a), socket_format(&two.source, b));
	ck_assert_str_eq(socket_format(&one.destination, a), socket_format(&two.destination, b));
}
END_TEST

/* The TLV of this type between two places, found anew from the specification. */
static const uint8_t *tlv(const uint8_t *at, const uint8_t *end, int type, size_t *size)
{
	for (; at < end; at += 3 + *size) {
		*size = (size_t)at[1] << 8 | at[2];
		if (at[0] == type)
			return at + 3;
	}
	return NULL;
}

static void has_text(const uint8_t *at, const uint8_t *end, int type, const char *text)
{
	size_t size = 0;
	const uint8_t *value = tlv(at, end, type, &size);

	if (text == NULL) {
		ck_assert_ptr_null(value);
		return;
	}
	ck_assert_ptr_nonnull(value);
	ck_assert_uint_eq(size, strlen(text));
	ck_assert_mem_eq(value, text, size);
}

START_TEST(all_facts_are_written)
{
	union socket_address source = ip("192.0.2.1:1024"), destination = ip("198.51.100.2:1202");
	struct proxy_facts facts = {.source = &source,
	                            .destination = &destination,
	                            .alpn = "cci/1",
	                            .tls = true,
	                            .unique_id = (const uint8_t *)"0123456789abcdef",
	                            .unique_id_size = 16,
	                            .authority = "host1.example",
	                            .certificate = true,
	                            .certificate_here = _i == 1,
	                            .verify = 0x01020304,
	                            .tls_version = "TLSv1.3",
	                            .cipher = "TLS_AES_128_GCM_SHA256",
	                            .common_name = "PC 1"};
	uint8_t bytes[PROXY_HEADER_WRITE_SIZE];
	size_t size = proxy_header_v2(&facts, bytes), length = 0;
	const uint8_t *at = bytes + 28, *end = bytes + size, *ssl;
	struct proxy_header header;
	const char *what;

	ck_assert_uint_eq(size, 16u + ((unsigned)bytes[14] << 8 | bytes[15]));
	has_text(at, end, 0x01, "cci/1");
	has_text(at, end, 0x02, "host1.example");
	has_text(at, end, 0x05, "0123456789abcdef");
	ssl = tlv(at, end, 0x20, &length);
	ck_assert_ptr_nonnull(ssl);
	ck_assert_int_eq(ssl[0], _i == 1 ? 7 : 5);
	ck_assert_mem_eq(ssl + 1, "\1\2\3\4", 4);
	has_text(ssl + 5, ssl + length, 0x21, "TLSv1.3");
	has_text(ssl + 5, ssl + length, 0x22, "PC 1");
	has_text(ssl + 5, ssl + length, 0x23, "TLS_AES_128_GCM_SHA256");
	ck_assert_ptr_nonnull(tlv(at, end, 0x03, &length));
	ck_assert_int_eq(proxy_header_parse(bytes, size, &header, &what), PROXY_OK);
	/* Each bit is under the checksum, save those that say that there is one. */
	for (size_t bit = 0; bit < 8 * size; bit++) {
		if (bit / 8 == size - 7)
			continue;
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert_int_ne(proxy_header_parse(bytes, size, &header, &what) == PROXY_OK && header.known, true);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

START_TEST(what_is_not_known_or_too_long_is_left_out)
{
	union socket_address source = ip("192.0.2.1:1024"), destination = ip("198.51.100.2:1202");
	struct proxy_facts facts = {.source = &source, .destination = &destination, .alpn = "", .authority = NULL};
	uint8_t bytes[PROXY_HEADER_WRITE_SIZE];
	char name[257];
	size_t size;

	memset(name, 'n', 256);
	name[256] = '\0';
	facts.common_name = name;
	ck_assert_uint_eq(proxy_header_v2(&facts, bytes), 28 + 7);
	facts.tls = true;
	facts.authority = facts.alpn = facts.cipher = facts.tls_version = name + 1;
	size = proxy_header_v2(&facts, bytes);
	ck_assert_uint_eq(size, 28 + 2 * 258 + 8 + 2 * 258 + 7);
	has_text(bytes + 28, bytes + size, 0x02, name + 1);
	has_text(bytes + 28 + 2 * 258 + 8, bytes + size - 7, 0x22, NULL);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("proxyheader");
	TCase *tests = tcase_create("proxyheader");

	tcase_add_loop_test(tests, whole_headers_are_taken, 0, GOOD);
	tcase_add_loop_test(tests, each_truncation_waits_for_more, 0, GOOD);
	tcase_add_loop_test(tests, what_follows_is_not_part_of_it, 0, GOOD);
	tcase_add_loop_test(tests, each_fault_is_named, 0, BAD);
	tcase_add_loop_test(tests, what_is_no_header_is_seen_at_once, 0, (int)(sizeof(foreign) / sizeof(foreign[0])));
	tcase_add_test(tests, mutations_never_read_past_the_end);
	tcase_add_test(tests, the_longest_header_is_taken);
	tcase_add_test(tests, unix_paths_are_terminated);
	tcase_add_loop_test(tests, names_that_are_no_path_are_left_out, 0, 2);
	tcase_add_test(tests, checksum_of_the_standard);
	tcase_add_loop_test(tests, addresses_are_written, 0, (int)(sizeof(pairs) / sizeof(pairs[0])));
	tcase_add_loop_test(tests, all_facts_are_written, 0, 2);
	tcase_add_test(tests, what_is_not_known_or_too_long_is_left_out);
	suite_add_tcase(suite, tests);
	return suite;
}
