/* Scenarios of faults: no descriptors left, peers that vanish at each byte, reloads under load, pending work cut short. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define TLS_SECTION "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"

static const char config[] = "[gateway]\nsysid = HOST1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
                             "unsecured_connections = allow\n[service s]\naddress = %s\n"
                             "[timeouts]\nconnect = %s\ndrain = 1s\n" TLS_SECTION;

static bool works(int port)
{
	uint8_t offer[4096], answer[4096], bytes[10] = "123456789", back[10] = "";
	int fd = peer_connect(port);
	bool fine = fd >= 0 && peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer) > 0 &&
	            peer_type(answer) == 2 && peer_write(fd, NULL, bytes, 10) && peer_read(fd, NULL, back, 10) &&
	            memcmp(bytes, back, 10) == 0;

	peer_free(fd, NULL);
	return fine;
}

/* Of the processor, that it has had. */
static unsigned long ticks_of(pid_t pid)
{
	char path[64], text[1024] = "";
	unsigned long user = 0, system = 0;
	FILE *stream;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	stream = fopen(path, "r");
	ck_assert_ptr_nonnull(stream);
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), stream));
	(void)fclose(stream);
	ck_assert_int_eq(sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
	return user + system;
}

START_TEST(without_descriptors_it_goes_on_and_recovers)
{
	struct gateway gateway;
	unsigned long ticks;
	int fds[120];

	gateway_descriptors = 60;
	gateway_start(&gateway, "ccissl", config, "builtin:echo", "1s");
	gateway_descriptors = 0;
	for (int i = 0; i < 120; i++)
		fds[i] = peer_connect(gateway.ports[0]);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1013E", NULL, NULL), 1);
	/* It waits, and does not turn round and round. */
	ticks = ticks_of(gateway.pid);
	usleep(1000000);
	ck_assert_uint_le(ticks_of(gateway.pid) - ticks, (unsigned long)sysconf(_SC_CLK_TCK) / 8);
	for (int i = 0; i < 120; i++)
		peer_free(fds[i], NULL);
	usleep(500000);
	ck_assert(works(gateway.ports[0]));
	gateway_stop(&gateway);
}
END_TEST

/* Closed, or reset, after each byte of the OFFER and into the ClientHello. */
START_TEST(a_peer_may_vanish_at_any_byte)
{
	struct gateway gateway;
	uint8_t offer[4096], answer[4096];
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	size_t size = peer_offer(offer, 1, 2, "PC1", NULL);

	gateway_start(&gateway, "ccissl", config, "builtin:echo", "1s");
	for (size_t cut = 0; cut <= size + 10; cut++) {
		int fd = peer_connect(gateway.ports[0]);

		ck_assert(peer_write(fd, NULL, offer, cut < size ? cut : size));
		if (cut >= size) {
			ck_assert_int_gt(peer_receive(fd, NULL, answer), 0);
			ck_assert(peer_write(fd, NULL, "\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03", cut - size));
		}
		if (_i == 1)
			(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd);
	}
	ck_assert(works(gateway.ports[0]));
	gateway_stop(&gateway);
}
END_TEST

START_TEST(reloads_under_load_lose_nothing)
{
	struct gateway gateway;

	gateway_start(&gateway, "ccissl", config, "builtin:echo", "1s");
	/* The port was 0: it stays what it became. */
	for (int i = 0; i < 60; i++) {
		if (i % 3 == 0)
			ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
		ck_assert(works(gateway.ports[0]));
	}
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	gateway_stop(&gateway);
}
END_TEST

/* The program ends while look-ups and connects are pending: nothing lands on freed memory. */
START_TEST(pending_work_may_be_cut_short)
{
	static const char *const services[] = {"no-such-host.invalid:1", "192.0.2.1:9", "127.0.0.1:1"};
	struct gateway gateway;
	uint8_t offer[4096];
	int fds[8];

	gateway_start(&gateway, "ccissl", config, services[_i], "30s");
	for (int i = 0; i < 8; i++) {
		fds[i] = peer_connect(gateway.ports[0]);
		ck_assert(peer_write(fds[i], NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL)));
		if (i % 2 == 0)
			peer_free(fds[i], NULL);
	}
	usleep(50000);
	gateway_stop(&gateway);
	for (int i = 1; i < 8; i += 2)
		peer_free(fds[i], NULL);
}
END_TEST

START_TEST(a_silent_service_and_client_end_by_their_deadlines)
{
	struct gateway gateway;
	uint8_t answer[4096];
	int fd;

	gateway_start(&gateway, "ccissl",
	              "[gateway]\nsysid = H\n[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecon = allow\n"
	              "[service s]\naddress = 192.0.2.1:9\n[timeouts]\nexchange = 300ms\nhandshake = 300ms\nconnect = 300ms\n"
	              TLS_SECTION);
	fd = peer_connect(gateway.ports[0]);
	if (_i == 0) {
		ck_assert_int_gt(peer_receive(fd, NULL, answer), 0);
		ck_assert_int_eq(peer_reason(answer), 11);
	} else if (_i == 1) {
		uint8_t offer[4096];

		ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer), 0);
		ck_assert_int_eq(peer_reason(answer), 6);
	} else {
		uint8_t offer[4096];

		ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 2, "PC1", NULL), answer), 0);
		ck_assert_int_eq(peer_type(answer), 2);
		ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3018W", NULL, NULL), 1);
	}
	peer_free(fd, NULL);
	gateway_stop(&gateway);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("fault scenarios");
	TCase *tests = tcase_create("faults");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, without_descriptors_it_goes_on_and_recovers);
	tcase_add_loop_test(tests, a_peer_may_vanish_at_any_byte, 0, 2);
	tcase_add_test(tests, reloads_under_load_lose_nothing);
	tcase_add_loop_test(tests, pending_work_may_be_cut_short, 0, 3);
	tcase_add_loop_test(tests, a_silent_service_and_client_end_by_their_deadlines, 0, 3);
	suite_add_tcase(suite, tests);
	return suite;
}
