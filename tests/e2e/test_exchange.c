/* Scenarios of the exchange: the policy table through real sockets, refusals, injection, slow and foreign peers. */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway.h"
#include "peer.h"
#include "../unit/suite.h"

#define TLS_SECTION                                                                                                   \
	"[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"                \
	"[notifier n]\nkind = log\n"

static const char one_listener[] = "[gateway]\nsysid = HOST1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\n"
                                   "service = echo\nunsecured_connections = %s\n[service echo]\naddress = builtin:echo\n"
                                   "[service dead]\naddress = 127.0.0.1:1\n"
                                   "%s[timeouts]\nexchange = 600ms\nhandshake = 800ms\nconfirm = 800ms\n" TLS_SECTION;

static void start(struct gateway *gateway, const char *policy, const char *more)
{
	gateway_start(gateway, "ccissl", one_listener, policy, more);
}

static void echo_works(int fd, SSL *ssl)
{
	uint8_t bytes[20000], back[20000];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 13);
	ck_assert(peer_write(fd, ssl, bytes, sizeof(bytes)));
	ck_assert(peer_read(fd, ssl, back, sizeof(back)));
	ck_assert_mem_eq(bytes, back, sizeof(bytes));
}

static SSL *upgrade(int fd, const uint8_t *offer, size_t offer_size, const uint8_t *answer, int size)
{
	SSL *ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci-upgrade/1", .ca = "build/test-certs/ca.pem"});

	ck_assert_ptr_nonnull(ssl);
	ck_assert(peer_confirm_both(ssl, offer, offer_size, answer, (size_t)size));
	return ssl;
}

/* Rows: policy; columns: what is offered. 0 to 2: the answer's security; negative: the reason of a REFUSE. */
static const struct {
	const char *policy;
	int cells[4];
} table[] = {
    {"never", {-3, 1, 1, 1}}, {"nonssl", {0, 1, 1, 1}}, {"allow", {0, 0, 1, 1}}, {"only", {0, 0, 0, -4}}};

START_TEST(each_cell_of_the_policy_table)
{
	struct gateway gateway;
	uint8_t offer[4096], answer[4096];

	start(&gateway, table[_i].policy, "");
	for (int cell = 0; cell < 8; cell++) {
		int wanted = table[_i].cells[cell % 4], cpu = 1 + cell / 4;
		int fd = peer_connect(gateway.ports[0]);
		size_t size = peer_offer(offer, cpu, cell % 4, "PC1", NULL);
		int got = peer_exchange(fd, NULL, offer, size, answer);
		SSL *ssl = NULL;

		ck_assert_int_gt(got, 0);
		ck_assert_int_eq(answer[6], cpu);
		if (wanted < 0) {
			ck_assert_int_eq(peer_type(answer), 3);
			ck_assert_int_eq(peer_reason(answer), -wanted);
			ck_assert(peer_ends(fd, NULL));
		} else {
			ck_assert_int_eq(peer_type(answer), 2);
			ck_assert_int_eq(peer_answer(answer, got), wanted);
			if (wanted == 1)
				ssl = upgrade(fd, offer, size, answer, got);
			echo_works(fd, ssl);
			if (ssl != NULL)
				SSL_shutdown(ssl);
			else
				shutdown(fd, SHUT_WR);
			ck_assert(peer_ends(fd, ssl));
		}
		peer_free(fd, ssl);
	}
	/* One closing record each. */
	ck_assert_int_eq(gateway_lines(&gateway, 8, "id=CCI30", NULL, NULL), 8);
	gateway_stop(&gateway);
}
END_TEST

static const struct bad {
	const char *name;
	const char *bytes;
	size_t size;
	int reason; /* of the REFUSE; 0: closed without an answer */
} bad[] = {
    {"version 2", "CCIP\x02\x01\x01\0\0\x10\0\0\0\0\x10\0", 16, 2},
    {"type 9", "CCIP\x01\x09\x01\0\0\x10\0\0\0\0\x10\0", 16, 1},
    {"a CONFIRM first", "CCIP\x01\x04\x01\0\0\x10\0\0\0\0\0\0", 16, 1},
    {"no parameters", "CCIP\x01\x01\x01\0\0\x10\0\0\0\0\x10\0", 16, 1},
    {"length 15", "CCIP\x01\x01\x01\0\0\x0f\0\0\0\0\x10\0", 16, 1},
    {"HTTP", "GET / HTTP/1.0\r\n\r\n", 18, 0},
    {"binary", "\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0", 19, 0},
};

START_TEST(bad_messages_are_answered_and_closed)
{
	struct gateway gateway;
	uint8_t answer[4096];

	start(&gateway, "allow", "");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t bytes[32];
		int fd = peer_connect(gateway.ports[0]);
		int got;

		memcpy(bytes, bad[i].bytes, bad[i].size);
		ck_assert(peer_write(fd, NULL, bytes, bad[i].size));
		got = peer_receive(fd, NULL, answer);
		if (bad[i].reason == 0) {
			ck_assert_msg(got == 0, "%s was answered", bad[i].name);
		} else {
			ck_assert_msg(got > 0 && peer_type(answer) == 3, "%s was not refused", bad[i].name);
			ck_assert_int_eq(peer_reason(answer), bad[i].reason);
		}
		peer_free(fd, NULL);
	}
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1017I", "count=1", NULL), 1);
	ck_assert_int_eq(gateway_lines(&gateway, 5, "id=CCI30", NULL, NULL), 5);
	gateway_stop(&gateway);
}
END_TEST

#define CASES_WITH_BYTES_BEHIND 7

START_TEST(clear_bytes_after_the_offer_are_refused)
{
	/* The last three would be refused for another reason. */
	static const struct {
		const char *policy, *target;
		int security;
	} cases[CASES_WITH_BYTES_BEHIND] = {{"allow", NULL, 0}, {"allow", NULL, 1}, {"allow", NULL, 2},     {"allow", NULL, 3},
	                                    {"never", NULL, 0}, {"only", NULL, 3},  {"allow", "NOWHERE", 0}};
	struct gateway gateway;
	uint8_t offer[4096], answer[4096];
	char clear[64];
	size_t size;
	int fd, came;

	start(&gateway, cases[_i].policy, "");
	fd = peer_connect(gateway.ports[0]);
	size = peer_offer(offer, 1, cases[_i].security, "PC1", cases[_i].target);
	memcpy(offer + size, "EHLO injected\r\n", 15);
	came = peer_exchange(fd, NULL, offer, size + 15, answer);
	ck_assert_int_gt(came, 0);
	/* What was injected stays unread. */
	(void)snprintf(clear, sizeof(clear), "clear_in=%zu clear_out=%d ", size, came);
	ck_assert_int_eq(peer_type(answer), 3);
	ck_assert_int_eq(peer_reason(answer), 10);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "reason=data-before-answer", "up=0", clear), 1);
	peer_free(fd, NULL);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(a_drip_of_bytes_does_not_move_the_deadline)
{
	struct gateway gateway;
	uint8_t offer[4096], answer[4096], byte;
	size_t size = peer_offer(offer, 1, 2, "PC1", "SOMETHING.LONG"), sent = 0;
	int fd;

	start(&gateway, "never", "");
	fd = peer_connect(gateway.ports[0]);
	/* The whole of it would take four seconds. */
	while (sent < size && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0 && peer_write(fd, NULL, offer + sent, 1)) {
		sent++;
		usleep(100000);
	}
	ck_assert_uint_lt(sent, size);
	ck_assert_int_gt(peer_receive(fd, NULL, answer), 0);
	ck_assert_int_eq(peer_reason(answer), 11);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3011W", "reason=exchange-timeout", NULL), 1);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "id=CCI3011W", "exchange_us=0 ", NULL), 0);
	peer_free(fd, NULL);
	gateway_stop(&gateway);
}
END_TEST

/* Targets and what is refused with a reason; security 0 under allow. */
static const struct {
	const char *target, *sysid;
	int reason; /* 0: works */
} targets[] = {{NULL, "PC1", 0},  {"HOST1", "PC1", 0},   {"ECHO", "PC1", 0},
               {"host1", "PC1", 0}, {"NOBODY", "PC1", 5}, {"DEAD", "PC1", 6}, {"ECHO", "LAB7", 7}};

START_TEST(targets_are_reached_or_refused)
{
	struct gateway gateway;
	uint8_t offer[4096], answer[4096];

	start(&gateway, "allow", "[rule lab]\nsysid = LAB*\naction = refuse\n");
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		int fd = peer_connect(gateway.ports[0]);
		size_t size = peer_offer(offer, 1, 0, targets[i].sysid, targets[i].target);

		ck_assert_int_gt(peer_exchange(fd, NULL, offer, size, answer), 0);
		ck_assert_int_eq(peer_type(answer), targets[i].reason == 0 ? 2 : 3);
		ck_assert_int_eq(peer_reason(answer), targets[i].reason);
		if (targets[i].reason == 0)
			echo_works(fd, NULL);
		peer_free(fd, NULL);
	}
	gateway_stop(&gateway);
}
END_TEST

START_TEST(ping_gives_back_4096_bytes_and_closes)
{
	struct gateway gateway;
	uint8_t offer[4096], answer[4096], bytes[5000] = {7}, back[4096];
	int fd;

	start(&gateway, "allow", "");
	fd = peer_connect(gateway.ports[0]);
	ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", "*PING"), answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	ck_assert(peer_write(fd, NULL, bytes, sizeof(bytes)));
	ck_assert(peer_read(fd, NULL, back, sizeof(back)));
	ck_assert_mem_eq(bytes, back, sizeof(back));
	ck_assert(peer_ends(fd, NULL));
	peer_free(fd, NULL);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(no_tls_version_in_common_is_refused)
{
	struct gateway gateway;
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, 3, "PC1", NULL);
	int fd;

	start(&gateway, "never", "");
	fd = peer_connect(gateway.ports[0]);
	size = peer_add(offer, size, 7, "\x03\x01\x03\x02", 4);
	ck_assert_int_gt(peer_exchange(fd, NULL, offer, size, answer), 0);
	ck_assert_int_eq(peer_reason(answer), 14);
	peer_free(fd, NULL);
	gateway_stop(&gateway);
}
END_TEST

/* What a client sends in place of the right CONFIRM: all end in REFUSE 13 inside TLS, or the end. */
enum wrong { OTHER_OFFER, NOT_CONFIRM, GARBAGE, OTHER_ACCEPT, LAST_BYTE, REFLECTED, WRONGS };

START_TEST(an_altered_exchange_is_found_inside_tls)
{
	struct gateway gateway;
	uint8_t offer[4096], answer[4096], theirs[4096], confirm[4096];
	size_t size = peer_offer(offer, 1, 2, "PC1", NULL), confirm_size;
	SSL *ssl;
	int fd, got, their_size;

	start(&gateway, "never", "");
	fd = peer_connect(gateway.ports[0]);
	got = peer_exchange(fd, NULL, offer, size, answer);
	ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci-upgrade/1"});
	ck_assert_ptr_nonnull(ssl);
	their_size = peer_receive(-1, ssl, theirs);
	ck_assert_int_gt(their_size, 0);
	ck_assert_int_eq(peer_type(theirs), 4);
	/* The client believes it offered, or was answered, something else: someone changed it on the way. */
	offer[20] ^= _i == OTHER_OFFER;
	answer[got - 1] ^= _i == OTHER_ACCEPT;
	confirm_size = peer_confirm(confirm, ssl, "client", &(struct peer_clear){offer, size, answer, (size_t)got});
	confirm[confirm_size - 1] ^= _i == LAST_BYTE;
	if (_i == NOT_CONFIRM)
		confirm_size = peer_offer(confirm, 1, 2, "PC1", NULL);
	if (_i == GARBAGE)
		memset(confirm, 'x', confirm_size);
	if (_i == REFLECTED)
		memcpy(confirm, theirs, confirm_size = (size_t)their_size);
	ck_assert(peer_write(-1, ssl, confirm, confirm_size));
	ck_assert_int_gt(peer_receive(-1, ssl, answer), 0);
	ck_assert_int_eq(peer_type(answer), 3);
	ck_assert_int_eq(peer_reason(answer), 13);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "reason=altered", "up=0", NULL), 1);
	peer_free(fd, ssl);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(a_ratcheted_name_may_not_come_back_in_the_clear)
{
	struct gateway gateway;
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, 2, "BR1", NULL);
	int fd, got;
	SSL *ssl;

	start(&gateway, "allow", "[rule r]\nsysid = BR*\nratchet = yes\n");
	fd = peer_connect(gateway.ports[0]);
	got = peer_exchange(fd, NULL, offer, size, answer);
	ssl = upgrade(fd, offer, size, answer, got);
	echo_works(fd, ssl);
	peer_free(fd, ssl);
	fd = peer_connect(gateway.ports[0]);
	ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "br1", NULL), answer), 0);
	ck_assert_int_eq(peer_reason(answer), 12);
	peer_free(fd, NULL);
	gateway_stop(&gateway);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("exchange scenarios");
	TCase *tests = tcase_create("exchange");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, each_cell_of_the_policy_table, 0, 4);
	tcase_add_test(tests, bad_messages_are_answered_and_closed);
	tcase_add_loop_test(tests, clear_bytes_after_the_offer_are_refused, 0, CASES_WITH_BYTES_BEHIND);
	tcase_add_test(tests, a_drip_of_bytes_does_not_move_the_deadline);
	tcase_add_test(tests, targets_are_reached_or_refused);
	tcase_add_test(tests, ping_gives_back_4096_bytes_and_closes);
	tcase_add_test(tests, no_tls_version_in_common_is_refused);
	tcase_add_loop_test(tests, an_altered_exchange_is_found_inside_tls, 0, WRONGS);
	tcase_add_test(tests, a_ratcheted_name_may_not_come_back_in_the_clear);
	suite_add_tcase(suite, tests);
	return suite;
}
