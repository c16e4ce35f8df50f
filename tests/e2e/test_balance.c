/* Scenarios of services with several addresses: order, turn and counts, failures, reload, connects that are pending. */
#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define BACK_ENDS 3

static const char balanced[] = "[gateway]\nsysid = HOST1\nworkers = %d\n"
                               "[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = only\n"
                               "[service s]\naddress = %s\nbalance = %s\nretry = %s\n";

static int listen_at(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	return fd;
}

/* --- several back ends --- */

struct back_ends {
	int listening[BACK_ENDS], ports[BACK_ENDS];
	char addresses[120];
	int accepted[256], count; /* open connections */
};

static void open_back_ends(struct back_ends *ends)
{
	memset(ends, 0, sizeof(*ends));
	for (int i = 0; i < BACK_ENDS; i++)
		ends->listening[i] = peer_listen(&ends->ports[i]);
	(void)snprintf(ends->addresses, sizeof(ends->addresses), "127.0.0.1:%d, 127.0.0.1:%d, 127.0.0.1:%d", ends->ports[0],
	               ends->ports[1], ends->ports[2]);
}

static void close_back_ends(struct back_ends *ends)
{
	for (int i = 0; i < ends->count; i++)
		close(ends->accepted[i]);
	for (int i = 0; i < BACK_ENDS; i++)
		if (ends->listening[i] >= 0)
			close(ends->listening[i]);
}

/* Connect through the gateway, and say at which back end that arrives; the client's end into *fd. */
static int arrive(struct back_ends *ends, const struct gateway *gateway, int *fd)
{
	struct pollfd polls[BACK_ENDS];
	uint8_t offer[4096], answer[4096];

	*fd = peer_connect(gateway->ports[0]);
	ck_assert_int_ge(*fd, 0);
	ck_assert_int_gt(peer_exchange(*fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	for (int i = 0; i < BACK_ENDS; i++)
		polls[i] = (struct pollfd){.fd = ends->listening[i], .events = POLLIN};
	ck_assert_int_eq(poll(polls, BACK_ENDS, 5000), 1);
	for (int i = 0; i < BACK_ENDS; i++) {
		if ((polls[i].revents & POLLIN) == 0)
			continue;
		ends->accepted[ends->count++] = peer_accept(ends->listening[i]);
		return i;
	}
	ck_abort_msg("nobody was reached");
	return -1;
}

START_TEST(round_robin_takes_each_in_turn)
{
	struct back_ends ends;
	struct gateway gateway;
	int fds[30], counts[BACK_ENDS] = {0};

	open_back_ends(&ends);
	/* The turn is that of all workers. */
	gateway_start(&gateway, "ccissl", balanced, 3, ends.addresses, "round-robin", "10s");
	for (int i = 0; i < 30; i++) {
		int at = arrive(&ends, &gateway, &fds[i]);

		counts[at]++;
		ck_assert_int_eq(at, i % BACK_ENDS);
	}
	for (int i = 0; i < BACK_ENDS; i++)
		ck_assert_int_eq(counts[i], 10);
	for (int i = 0; i < 30; i++)
		close(fds[i]);
	close_back_ends(&ends);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(order_takes_the_first)
{
	struct back_ends ends;
	struct gateway gateway;
	int fds[6];

	open_back_ends(&ends);
	gateway_start(&gateway, "ccissl", balanced, 2, ends.addresses, "order", "10s");
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(arrive(&ends, &gateway, &fds[i]), 0);
	for (int i = 0; i < 6; i++)
		close(fds[i]);
	close_back_ends(&ends);
	gateway_stop(&gateway);
}
END_TEST

/* The descriptor stays, without a connection. */
static void reset(int fd)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)dup2(other, fd);
	close(other);
}

/* Wherever they ended, connections that are gone count no more. */
START_TEST(least_takes_the_one_with_the_fewest)
{
	struct back_ends ends;
	struct gateway gateway;
	int fds[36], at[36], counts[BACK_ENDS] = {0}, kept = -1;

	open_back_ends(&ends);
	gateway_start(&gateway, "ccissl", balanced, 2, ends.addresses, "least", "10s");
	for (int i = 0; i < 18; i++) {
		at[i] = arrive(&ends, &gateway, &fds[i]);
		counts[at[i]]++;
	}
	for (int i = 0; i < BACK_ENDS; i++)
		ck_assert_int_eq(counts[i], 6);
	/* Back end 1 loses all of its connections but one: some by the client, some by itself. */
	for (int i = 0, gone = 0; i < 18; i++) {
		if (at[i] != 1)
			continue;
		if (kept < 0) {
			kept = i;
			continue;
		}
		reset(gone++ % 2 == 0 ? fds[i] : ends.accepted[i]);
	}
	ck_assert_int_eq(gateway_lines(&gateway, 5, "id=CCI3", "to_name=s", NULL), 5);
	for (int i = 18; i < 23; i++)
		ck_assert_int_eq(arrive(&ends, &gateway, &fds[i]), 1);
	for (int i = 23; i < 26; i++)
		counts[arrive(&ends, &gateway, &fds[i])]++;
	for (int i = 0; i < BACK_ENDS; i++)
		ck_assert_int_eq(counts[i], 7);
	for (int i = 0; i < 26; i++)
		close(fds[i]);
	close_back_ends(&ends);
	gateway_stop(&gateway);
}
END_TEST

/* What one worker found dead, all leave out, and its share goes to both others; after retry it is taken again. */
START_TEST(a_dead_back_end_is_left_out_for_retry)
{
	struct back_ends ends;
	struct gateway gateway;
	int fds[60], counts[BACK_ENDS] = {0}, used = 0;

	open_back_ends(&ends);
	close(ends.listening[1]);
	ends.listening[1] = -1;
	gateway_start(&gateway, "ccissl", balanced, 3, ends.addresses, "round-robin", "1s");
	for (; used < 20; used++)
		counts[arrive(&ends, &gateway, &fds[used])]++;
	ck_assert_int_eq(counts[1], 0);
	ck_assert_int_ge(counts[0], 9);
	ck_assert_int_ge(counts[2], 9);
	/* Said once, whoever found it. */
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1015W", NULL, NULL), 1);
	ends.listening[1] = listen_at(ends.ports[1]);
	for (; counts[1] == 0 && used < 60; used++) {
		counts[arrive(&ends, &gateway, &fds[used])]++;
		usleep(50000);
	}
	ck_assert_int_eq(counts[1], 1);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1016I", NULL, NULL), 1);
	for (int i = 0; i < used; i++)
		close(fds[i]);
	close_back_ends(&ends);
	gateway_stop(&gateway);
}
END_TEST

/* A reload that leaves a service as it is keeps what is known of it. */
START_TEST(a_reload_keeps_what_is_known)
{
	struct back_ends ends;
	struct gateway gateway;
	int fds[8];

	open_back_ends(&ends);
	close(ends.listening[0]);
	ends.listening[0] = -1;
	gateway_start(&gateway, "ccissl", balanced, 2, ends.addresses, "order", "1h");
	ck_assert_int_eq(arrive(&ends, &gateway, &fds[0]), 1);
	ends.listening[0] = listen_at(ends.ports[0]);
	gateway_rewrite(&gateway, balanced, 2, ends.addresses, "least", "1h");
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	/* Still left out, and the connection from before still counts. */
	ck_assert_int_eq(arrive(&ends, &gateway, &fds[1]), 2);
	/* Other addresses are another service. */
	(void)snprintf(ends.addresses, sizeof(ends.addresses), "127.0.0.1:%d, 127.0.0.1:%d", ends.ports[0], ends.ports[1]);
	gateway_rewrite(&gateway, balanced, 2, ends.addresses, "order", "1h");
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1006I", NULL, NULL), 2);
	ck_assert_int_eq(arrive(&ends, &gateway, &fds[2]), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close_back_ends(&ends);
	gateway_stop(&gateway);
}
END_TEST

/* --- services that do not answer --- */

/* A port whose backlog is full: the kernel answers no further SYN. */
static int listen_silently(int *port, int fillers[4])
{
	int listening = peer_listen(port);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(listen(listening, 0), 0);
	for (int i = 0; i < 4; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fillers[i], (struct sockaddr *)&address, sizeof(address));
	}
	usleep(10000);
	return listening;
}

static bool may_look_into(pid_t pid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	return access(path, R_OK | X_OK) == 0;
}

static int descriptors_of(pid_t pid)
{
	char path[64];
	int count = 0;
	DIR *folder;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	folder = opendir(path);
	ck_assert_ptr_nonnull(folder);
	while (readdir(folder) != NULL)
		count++;
	(void)closedir(folder);
	return count;
}

/* Clients that leave while their connect is pending, and ones that wait; at last the whole gateway stops in the midst of it,
 * or (1) each connect reaches its deadline. No socket is left, and a sanitizer finds nothing. */
START_TEST(connects_that_are_pending_leave_nothing)
{
	static const char silent[] = "[gateway]\nsysid = HOST1\nworkers = 2\n"
	                             "[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = only\n"
	                             "[service s]\naddress = localhost:%d, 127.0.0.1:%d\nbalance = least\n"
	                             "[timeouts]\nconnect = %s\ndrain = 100ms\n";
	int port, fillers[4], listening = listen_silently(&port, fillers), fds[8], before;
	struct gateway gateway;
	uint8_t offer[4096];
	size_t size = peer_offer(offer, 1, 0, "PC1", NULL);

	gateway_start(&gateway, "ccissl", silent, port, port, _i == 0 ? "30s" : "400ms");
	if (!may_look_into(gateway.pid)) {
		(void)printf("only root may look into a gateway: its descriptors are not counted\n");
		gateway_stop(&gateway);
		return;
	}
	before = descriptors_of(gateway.pid);
	for (int i = 0; i < 8; i++) {
		fds[i] = peer_connect(gateway.ports[0]);
		ck_assert(peer_write(fds[i], NULL, offer, size));
	}
	for (int i = 0; i < 1000 && descriptors_of(gateway.pid) < before + 16; i++)
		usleep(5000);
	ck_assert_int_ge(descriptors_of(gateway.pid), before + 16);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	if (_i == 1) {
		ck_assert_int_eq(gateway_lines(&gateway, 8, "reason=connect-timeout", NULL, NULL), 8);
		for (int i = 4; i < 8; i++)
			close(fds[i]);
		for (int i = 0; i < 1000 && descriptors_of(gateway.pid) > before; i++)
			usleep(5000);
		ck_assert_int_eq(descriptors_of(gateway.pid), before);
	}
	gateway_stop(&gateway);
	for (int i = 4; i < 8 && _i == 0; i++)
		close(fds[i]);
	for (int i = 0; i < 4; i++)
		close(fillers[i]);
	close(listening);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("balance scenarios");
	TCase *tests = tcase_create("balance");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, round_robin_takes_each_in_turn);
	tcase_add_test(tests, order_takes_the_first);
	tcase_add_test(tests, least_takes_the_one_with_the_fewest);
	tcase_add_test(tests, a_dead_back_end_is_left_out_for_retry);
	tcase_add_test(tests, a_reload_keeps_what_is_known);
	tcase_add_loop_test(tests, connects_that_are_pending_leave_nothing, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
