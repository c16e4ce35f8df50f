/* SMF records, byte by byte against golden ones; and whatever the event. */
#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "smf.h"
#include "smf_tls.h"
#include "suite.h"

static const struct smf_origin origin = {.system_id = "HOST",
                                         .system = "gw-north",
                                         .stack = "HOST1",
                                         .release = "0.1.0",
                                         .component = "ccissl",
                                         .job = "ccissl",
                                         .job_id = "4711",
                                         .user = "cci",
                                         .provider = "OpenSSL 3.0.17",
                                         .asid = 4711,
                                         .offset_s = 3600};

static const struct cci_certificate server = {.size = sizeof(server),
                                              .key_bits = 2048,
                                              .serial = "0102FF",
                                              .not_after = "2027-03-04T05:06:07Z",
                                              .key = "RSA",
                                              .signature = "RSA-PSS",
                                              .digest = "SHA256"};
static const struct cci_certificate client = {.size = sizeof(client),
                                              .key_bits = 256,
                                              .serial = "A1B",
                                              .not_after = "2050-01-02T03:04:05Z",
                                              .key = "EC",
                                              .signature = "ECDSA",
                                              .digest = "SHA384"};

static struct sockaddr_in remote4, local4;

/* Started 2026-11-24T23:00:00.050Z, a Tuesday and day 328; the event is 2.5 s later. */
#define STARTED UINT64_C(1795561200050000)

static struct cci_event make_event(enum cci_event_type type)
{
	struct cci_event event = {.size = sizeof(event), .version = CCI_NOTIFIER_VERSION, .type = (int32_t)type};

	remote4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(0xc001)};
	local4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(1202)};
	ck_assert_int_eq(inet_pton(AF_INET, "10.1.2.3", &remote4.sin_addr), 1);
	ck_assert_int_eq(inet_pton(AF_INET, "192.0.2.9", &local4.sin_addr), 1);
	event.role = CCI_ACCEPTING;
	event.fd = -1;
	memcpy(event.connection, "\xde\xad\xbe\xef fedcba98765", 16);
	event.started_us = STARTED;
	event.time_us = STARTED + 2500000;
	event.remote = (const struct sockaddr *)&remote4;
	event.local = (const struct sockaddr *)&local4;
	event.clear_in = 70;
	event.clear_out = 50;
	return event;
}

static struct cci_event make_secured(enum cci_event_type type)
{
	struct cci_event event = make_event(type);

	event.secured = 1;
	event.secured_us = STARTED + 100000;
	event.tls_start = "upgrade";
	event.tls_version = "1.2";
	event.tls_version_number = 0x0303;
	event.tls_suite_number = 0xc02f;
	event.tls_session_id_size = 4;
	memcpy(event.tls_session_id, "\x09\x08\x07\x06", 4);
	event.tls_encrypt_then_mac = 1;
	event.own_certificate = &server;
	event.peer_certificate = &client;
	event.bytes_in = 1000;
	event.bytes_out = 2000;
	event.segments_in = 5;
	event.segments_out = 6;
	return event;
}

/* --- golden bytes: hexadecimal, blanks and what stands behind # are left out --- */

static size_t from_text(const char *text, uint8_t *bytes)
{
	size_t size = 0;

	while (*text != '\0') {
		if (*text == '#')
			text += strcspn(text, "\n");
		else if (isxdigit((unsigned char)*text)) {
			char pair[3] = {text[0], text[1], '\0'};

			bytes[size++] = (uint8_t)strtoul(pair, NULL, 16);
			text += 2;
		} else
			text++;
	}
	return size;
}

#define ZERO8 "0000000000000000"
#define ZERO16 ZERO8 ZERO8
#define BLANK8 "4040404040404040"

/* Written 2026-11-25T00:00:02.550 local time (an hour ahead of UTC): day 329. */
#define HEADER(length, subtype)                                                                                       \
	length "0000 # length, segment\n"                                                                                 \
	       "00 77 # flag, type 119\n"                                                                                 \
	       "000000ff 0126329f # 2.55 s after midnight, 2026 day 329\n"                                                \
	       "c8d6e2e3 40404040 # system HOST, subsystem blank\n" subtype "# subtype\n"
#define IDENTIFICATION(reason)                                                                                        \
	"c7e660d5d6d9e3c8 # system GW-NORTH\n" BLANK8 "# sysplex\n"                                                       \
	"c8d6e2e3f1404040 # stack HOST1\n"                                                                                \
	"f04bf14bf0404040 # release 0.1.0\n"                                                                              \
	"c3c3c9e2e2d34040 # component CCISSL\n"                                                                           \
	"c3c3c9e2e2d34040 # address space CCISSL\n"                                                                       \
	"c3c3c94040404040 # user CCI\n"                                                                                   \
	"0000 1267 # reserved, asid 4711\n" reason "000000 # reason, reserved\n"
#define TRIPLETS_11(tls)                                                                                              \
	"0007 0000 # seven triplets\n"                                                                                    \
	"00000054 0040 0001 # identification: at 84, 64 bytes, one\n"                                                     \
	"00000094 0080 0001 # common: at 148, 128 bytes, one\n" ZERO8 "# IP filter: none\n" tls "# TLS\n" ZERO8           \
	"# SSH\n" ZERO8 "# IPSec\n" ZERO8 "# names\n"
#define COMMON_11(event_and_flags, end)                                                                               \
	event_and_flags "# event, protection, flags, security flags, TCP, reserved\n"                                     \
	                "c3c3c9e2e2d34040 # job CCISSL\n"                                                                 \
	                "f4f7f1f140404040 # job id 4711\n"                                                                \
	                "c3c3c94040404040 # user CCI\n"                                                                   \
	                "007e57c5 0126328f # start: 23:00:00.05 UTC, day 328\n" end "# end\n"                             \
	                "0a010203 0000 0000 " ZERO8 "# remote\n"                                                          \
	                "c0000209 0000 0000 " ZERO8 "# local\n"                                                           \
	                "c001 04b2 # ports\n"                                                                             \
	                "deadbeef # connection id: the first bytes of ours\n"

static const char golden_initiation[] = HEADER("0114", "000b") TRIPLETS_11(ZERO8) IDENTIFICATION("08")
    COMMON_11("01 00 00 00 06 000000", ZERO8) "0000000000000046 # bytes in 70\n"
                                              "0000000000000032 # bytes out 50\n" ZERO16
                                              "# segments: not known yet\n" ZERO8;

#define TLS_11                                                                                                        \
	"0303 02 01 03 0000 # TLS 1.2, told by the provider, full, server with client authentication\n"                   \
	"04 09080706 " ZERO16 ZERO8 "00000000 # session id\n"                                                             \
	"d6d7c5d5e2e2d340f34bf04bf1f74040"                                                                                \
	"# provider\n"                                                                                                    \
	"c3f0f2c64040 # suite C02F\n"                                                                                     \
	"0000 0000 0000 # encryption, message authentication, key exchange: no code is confirmed\n"                       \
	"00 80 0000 # FIPS not known, encrypt-then-MAC\n"                                                                 \
	"0000 0002 0006 # server certificate: signature not coded, RSA, SHA-256\n"                                        \
	"00 03 0102ff 0000000000000000000000000000000000 # serial\n"                                                      \
	"01 f2f7f0f3f0f4f0f5f0f6f0f7e94040 # UTC time 270304050607Z\n"                                                    \
	"0002 0800 # RSA, 2048\n"                                                                                         \
	"0000 0004 0007 # client certificate: signature not coded, ECDSA, SHA-384\n"                                      \
	"00 02 0a1b 000000000000000000000000000000000000 # serial\n"                                                      \
	"02 f2f0f5f0f0f1f0f2f0f3f0f4f0f5e9 # generalized time 20500102030405Z\n"                                          \
	"0005 0100 # ECC, 256\n"
#define TLS_TRIPLET_11 "00000114 00a8 0001"

static const char golden_change[] = HEADER("01bc", "000b") TRIPLETS_11(TLS_TRIPLET_11) IDENTIFICATION("08")
    COMMON_11("02 80 00 00 06 000000", ZERO8) "0000000000000046 0000000000000032 # bytes: before TLS\n" ZERO16 ZERO8
                                              TLS_11;

#define ENDED "007e58bf 0126328f"
#define ALL_BYTES                                                                                                     \
	"000000000000042e 0000000000000802 # bytes: 70 + 1000, 50 + 2000\n"                                               \
	"0000000000000005 0000000000000006 # segments\n" ZERO8

static const char golden_termination[] = HEADER("01bc", "000b") TRIPLETS_11(TLS_TRIPLET_11) IDENTIFICATION("08")
    COMMON_11("03 80 00 00 06 000000", ENDED) ALL_BYTES TLS_11;

static const char golden_short[] = HEADER("0114", "000b") TRIPLETS_11(ZERO8) IDENTIFICATION("08")
    COMMON_11("04 00 00 00 06 000000", ENDED) "0000000000000046 0000000000000032 # bytes\n" ZERO16 ZERO8;

#define TRIPLETS_12(tls)                                                                                              \
	"0006 0000 # six triplets\n"                                                                                      \
	"0000004c 0040 0001 # identification: at 76, 64 bytes, one\n"                                                     \
	"0000008c 00cc 0001 # common: at 140, 204 bytes, one\n" tls "# TLS\n" ZERO8 "# SSH\n" ZERO8 "# IPSec\n" ZERO8     \
	"# names\n"

static const char golden_interval[] = HEADER("017c", "000c") TRIPLETS_12("00000158 0024 0001") IDENTIFICATION("c0")
    "0000035a4e900000 # interval: 900 s; bit 51 is a microsecond\n"
    "01 40 80 # interval, local side is the server, TLS\n"
    "c3c3c9e2e2d34040 c3c3c94040404040 06 # job, user, TCP\n"
    "c0000209 0000 0000 " ZERO8 "# server\n"
    "0a010203 0000 0000 " ZERO8 "# client\n"
    "04b2 04b2 # server port from, to\n"
    "%s # session id: 40 digits of a digest\n"
    "4040 0000 # its two last characters; reserved\n"
    "00000001 00000002 00000003 00000004 0000000000000005 0000000000000006 0000000000000007 0000000000000008\n"
    "00000011 00000012 00000013 00000014 0000000000000015 0000000000000016 0000000000000017 0000000000000018\n"
    "02 80 0303 c3f0f2c64040 0000 0000 0000 # TLS: provider, encrypt-then-MAC, 1.2, suite\n"
    "0000 0002 0006 0002 0800 # server certificate\n"
    "0000 0004 0007 0005 0100 # client certificate\n";

static const char golden_enabled[] = HEADER("0158", "000c") TRIPLETS_12(ZERO8) IDENTIFICATION("08") ZERO8
    "# interval\n"
    "%s 00 00 # enabled or disabled\n"
    "c3c3c9e2e2d34040 c3c3c94040404040 00 # job, user\n" ZERO16 ZERO16 "0000 0000"
    BLANK8 BLANK8 BLANK8 BLANK8 BLANK8 "4040 0000"
    "# no session\n" ZERO16 ZERO16 ZERO16 ZERO16 ZERO16 ZERO16;

static void check_bytes(const char *golden, const uint8_t *record, size_t size)
{
	uint8_t expected[1024];
	size_t expected_size = from_text(golden, expected);

	for (size_t i = 0; i < expected_size && i < size; i++)
		ck_assert_msg(expected[i] == record[i], "byte %zu is %02x, not %02x", i, record[i], expected[i]);
	ck_assert_uint_eq(size, expected_size);
	ck_assert_uint_eq(size, (size_t)record[0] << 8 | record[1]);
}

static size_t detail(uint8_t *record, const struct cci_event *event, enum smf_moment moment)
{
	struct smf_connection connection;

	smf_connection_of(&connection, &origin, event);
	return smf_detail(record, &origin, &connection, moment, STARTED + 2500000);
}

START_TEST(details_are_these_bytes)
{
	struct cci_event event = make_event(CCI_HANDSHAKE_STARTING);
	uint8_t record[SMF_DETAIL_SIZE];

	check_bytes(golden_initiation, record, detail(record, &event, SMF_INITIATION));
	event = make_secured(CCI_HANDSHAKE_DONE);
	event.bytes_in = event.bytes_out = event.segments_in = event.segments_out = 0;
	check_bytes(golden_change, record, detail(record, &event, SMF_CHANGE));
	/* Of what it was before. */
	check_bytes(golden_initiation, record, detail(record, &event, SMF_INITIATION));
	event = make_secured(CCI_CLOSED);
	check_bytes(golden_termination, record, detail(record, &event, SMF_TERMINATION));
	event = make_event(CCI_REFUSED);
	check_bytes(golden_short, record, detail(record, &event, SMF_SHORT));
}
END_TEST

START_TEST(a_summary_is_these_bytes)
{
	static const struct smf_totals start = {1, 2, 3, 4, 5, 6, 7, 8};
	static const struct smf_totals end = {0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18};
	struct cci_event event = make_secured(CCI_CLOSED);
	struct smf_connection connection;
	struct smf_session session;
	struct smf_summary summary = {SMF_INTERVAL, true, UINT64_C(900000000), &session, &start, &end};
	uint8_t record[SMF_SUMMARY_SIZE];
	char id[81], golden[8192];
	size_t size;

	smf_connection_of(&connection, &origin, &event);
	smf_session_of(&session, &connection, true);
	size = smf_summary(record, &origin, &summary, STARTED + 2500000);
	for (size_t i = 0; i < 40; i++)
		(void)snprintf(id + 2 * i, 3, "%02x", record[204 + i]);
	/* Digits and A to F of EBCDIC. */
	for (size_t i = 0; i < 40; i++)
		ck_assert((record[204 + i] >= 0xf0 && record[204 + i] <= 0xf9) || (record[204 + i] >= 0xc1 && record[204 + i] <= 0xc6));
	(void)snprintf(golden, sizeof(golden), golden_interval, id);
	check_bytes(golden, record, size);
	summary = (struct smf_summary){.event = SMF_ENABLED};
	(void)snprintf(golden, sizeof(golden), golden_enabled, "02");
	check_bytes(golden, record, smf_summary(record, &origin, &summary, STARTED + 2500000));
	summary.event = SMF_DISABLED;
	(void)snprintf(golden, sizeof(golden), golden_enabled, "03");
	check_bytes(golden, record, smf_summary(record, &origin, &summary, STARTED + 2500000));
}
END_TEST

/* --- single fields --- */

static uint8_t record[SMF_DETAIL_SIZE];

static const uint8_t *tls_of(const struct cci_event *event)
{
	ck_assert_uint_eq(detail(record, event, SMF_TERMINATION), SMF_DETAIL_SIZE);
	return record + 276;
}

static const uint8_t *common_of(const struct cci_event *event)
{
	(void)detail(record, event, SMF_TERMINATION);
	return record + 148;
}

START_TEST(roles_and_certificates)
{
	struct cci_event event = make_secured(CCI_CLOSED);
	struct cci_certificate odd = server;
	const uint8_t *tls;

	event.peer_certificate = NULL;
	event.tls_resumed = 1;
	tls = tls_of(&event);
	ck_assert_uint_eq(tls[3], 2);
	ck_assert_uint_eq(tls[4], 2);
	ck_assert_mem_eq(tls + 120, "\x00\x01\x00\x01\x00\x01\x00\x00", 8);
	ck_assert_mem_eq(tls + 164, "\x00\x01\x00\x00", 4);
	event.role = CCI_CONNECTING;
	event.peer_certificate = &odd;
	event.own_certificate = &client;
	odd.signature = odd.key = "ED25519";
	odd.digest = "";
	odd.key_bits = 256;
	odd.serial = "0102030405060708090a0b0c0d0e0f101112131415"; /* 21 bytes */
	odd.not_after = "some day";
	tls = tls_of(&event);
	ck_assert_uint_eq(tls[4], 1);
	ck_assert_mem_eq(tls + 72, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 10);
	ck_assert_uint_eq(tls[100], 0);
	ck_assert_mem_eq(tls + 116, "\x00\x00\x01\x00", 4);
	ck_assert_mem_eq(tls + 120, "\x00\x00\x00\x04\x00\x07", 6);
	odd.serial = "not hex";
	event.tls_version_number = 0x0304;
	odd.key_bits = (1 << 20) + 5;
	tls = tls_of(&event);
	ck_assert_uint_eq(tls[79], 0);
	ck_assert_uint_eq(tls[80], 0);
	ck_assert_mem_eq(tls + 118, "\x00\x00", 2);
	ck_assert_mem_eq(tls, "\x03\x04\x02\x02\x01\x00\x00\x00\x00\x00", 10);
}
END_TEST

START_TEST(addresses)
{
	static const uint8_t none[36];
	struct cci_event event = make_event(CCI_CLOSED);
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
	struct sockaddr_un path = {.sun_family = AF_UNIX};
	const uint8_t *common;

	ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::5", &v6.sin6_addr), 1);
	event.remote = (const struct sockaddr *)&v6;
	common = common_of(&event);
	ck_assert_uint_eq(common[2], 0x80);
	ck_assert_mem_eq(common + 48, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x05", 16);
	/* A PROXY header may mix them. */
	ck_assert_mem_eq(common + 64, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x09", 16);
	ck_assert_mem_eq(common + 80, "\x00\x07\x04\xb2", 4);
	ck_assert_int_eq(inet_pton(AF_INET6, "::ffff:10.9.8.7", &v6.sin6_addr), 1);
	common = common_of(&event);
	ck_assert_uint_eq(common[2], 0);
	ck_assert_mem_eq(common + 48, "\x0a\x09\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	event.remote = event.local = (const struct sockaddr *)&path;
	common = common_of(&event);
	ck_assert_uint_eq(common[4], 0);
	ck_assert_mem_eq(common + 48, none, 36);
	event.remote = NULL;
	event.local = (const struct sockaddr *)&v6;
	common = common_of(&event);
	ck_assert_uint_eq(common[4], 0);
	ck_assert_mem_eq(common + 48, none, 36);
}
END_TEST

START_TEST(what_goes_on_in_the_clear_counts_its_payload_once)
{
	struct cci_event event = make_event(CCI_CLOSED);

	event.bytes_in = 60;
	event.bytes_out = 500;
	ck_assert_mem_eq(common_of(&event) + 88, "\0\0\0\0\0\0\0\x46\0\0\0\0\0\0\x01\xf4", 16);
}
END_TEST

START_TEST(text_is_cut_and_what_has_no_place_is_a_question_mark)
{
	static const char names[] = "AZaz09@#$._- ~";
	static const uint8_t expected[] = {0xc1, 0xe9, 0xc1, 0xe9, 0xf0, 0xf9, 0x7c, 0x7b,
	                                   0x5b, 0x4b, 0x6d, 0x60, 0x40, 0xa1};
	uint8_t field[16];

	smf_put_text(field, sizeof(expected), names);
	ck_assert_mem_eq(field, expected, sizeof(expected));
	smf_put_text(field, 8, "@123456789012345678901234567890123456789012345678901234567890123");
	ck_assert_mem_eq(field, "\x7c\xf1\xf2\xf3\xf4\xf5\xf6\xf7", 8);
	smf_put_text(field, 4, "\xc3\xa9\n");
	ck_assert_mem_eq(field, "\x6f\x6f\x6f\x40", 4);
}
END_TEST

/* --- whatever the event --- */

static struct cci_event arbitrary(unsigned seed)
{
	struct cci_event event = seed % 2 ? make_secured(CCI_CLOSED) : make_event(CCI_CLOSED);
	static char text[65];
	static struct cci_certificate certificate;

	srand(seed);
	memset(text, "@#$Az09._-\xff\n"[seed % 12], 64);
	event.type = rand() % 9;
	event.role = rand() % 4 - 1;
	event.fd = rand() % 3 - 1;
	event.started_us = (uint64_t)rand() << (rand() % 34);
	event.time_us = (uint64_t)rand() << (rand() % 34);
	event.duration_us = seed % 3 ? UINT64_MAX : 0;
	event.clear_in = event.bytes_in = UINT64_MAX - (unsigned)rand();
	event.tls_session_id_size = (uint8_t)rand();
	event.tls_version_number = (uint16_t)rand();
	event.tls_start = seed % 5 ? text : NULL;
	event.tls_version = seed % 7 ? text : NULL;
	certificate = (struct cci_certificate){sizeof(certificate), (uint32_t)rand(), text, text, text, text, text, text, text, text};
	event.own_certificate = seed % 4 ? &certificate : NULL;
	event.peer_certificate = seed % 8 ? &certificate : NULL;
	event.secured = (uint32_t)rand() % 2;
	if (seed % 11 == 0)
		event.size = CCI_EVENT_SIZE_1;
	if (seed % 13 == 0)
		event.remote = event.local = NULL;
	return event;
}

START_TEST(any_event_gives_a_framed_record)
{
	for (unsigned seed = 0; seed < 5000; seed++)
		for (const struct smf_encoder *encoder = smf_encoders; encoder->name != NULL; encoder++) {
			struct cci_event event = arbitrary(seed);
			uint8_t bytes[SMF_DETAIL_SIZE + 1];
			size_t size;

			bytes[SMF_DETAIL_SIZE] = 0x5a;
			size = encoder->encode(bytes, &origin, &event);
			ck_assert(size == 276 || size == 444 || size == 344 || size == 380);
			ck_assert_uint_eq((size_t)bytes[0] << 8 | bytes[1], size);
			ck_assert_uint_eq(bytes[SMF_DETAIL_SIZE], 0x5a);
		}
}
END_TEST

/* An older writer's structure ends where it ended then. */
START_TEST(an_event_of_version_1_is_enough)
{
	struct cci_event *event = malloc(CCI_EVENT_SIZE_1), whole = make_secured(CCI_CLOSED);
	struct smf_connection connection;

	ck_assert_ptr_nonnull(event);
	whole.size = CCI_EVENT_SIZE_1;
	whole.version = CCI_NOTIFIER_VERSION_1;
	whole.duration_us = 2500000;
	memcpy(event, &whole, CCI_EVENT_SIZE_1);
	smf_connection_of(&connection, &origin, event);
	free(event);
	ck_assert_uint_eq(connection.started_us, STARTED);
	ck_assert(connection.secured && connection.upgraded);
	ck_assert_mem_eq(connection.tls, "\x03\x03\x02\x01", 4);
	ck_assert_mem_eq(connection.tls + 56, "\x40\x40\x40\x40\x40\x40", 6);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("smf");
	TCase *tests = tcase_create("smf");

	tcase_add_test(tests, details_are_these_bytes);
	tcase_add_test(tests, a_summary_is_these_bytes);
	tcase_add_test(tests, roles_and_certificates);
	tcase_add_test(tests, addresses);
	tcase_add_test(tests, what_goes_on_in_the_clear_counts_its_payload_once);
	tcase_add_test(tests, text_is_cut_and_what_has_no_place_is_a_question_mark);
	tcase_add_test(tests, any_event_gives_a_framed_record);
	tcase_add_test(tests, an_event_of_version_1_is_enough);
	suite_add_tcase(suite, tests);
	return suite;
}
