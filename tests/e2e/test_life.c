/* Scenarios of traffic and of life: half-close, back-pressure, the pair, failover, rings, limits, reload, drain. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define CERTS "build/test-certs/"
#define TLS_SECTION "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"

static const char to_service[] = "[gateway]\nsysid = HOST1\nworkers = %d\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
                                 "unsecured_connections = allow\n[service s]\naddress = %s\n"
                                 "[limits]\nconnections = %d\n[timeouts]\nidle = %s\ndrain = %s\n" TLS_SECTION;

static const char to_peer[] = "[gateway]\nsysid = %s\nworkers = 1\n"
                              "[listener raw]\naddress = 127.0.0.1:0\ntarget = %s\nexchange = none\n"
                              "unsecured_connections = only\n"
                              "[listener cci]\naddress = 127.0.0.1:0\nunsecured_connections = allow\n"
                              "[peer HOST1]\naddress = %s\nsecurity = %s\nserver_name = host1.example\ntargets = S*\n"
                              "retry = 500ms\n" TLS_SECTION;

/* Through the exchange, clear or secured as is offered. */
static SSL *open_connection(int fd, int security)
{
	SSL *ssl;

	ck_assert(peer_open(fd, security, "PC1", &ssl) && (ssl != NULL) == (security > 0));
	return ssl;
}

static void end_writing(int fd, SSL *ssl)
{
	if (ssl != NULL)
		SSL_shutdown(ssl);
	else
		shutdown(fd, SHUT_WR);
}

START_TEST(each_direction_ends_by_itself)
{
	struct gateway gateway;
	int port, listening = peer_listen(&port), fd, service;
	char address[32], bytes[6];
	SSL *ssl;

	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	gateway_start(&gateway, "ccissl", to_service, 1, address, 10, "1h", "1s");
	fd = peer_connect(gateway.ports[0]);
	ssl = open_connection(fd, _i % 2 == 0 ? 0 : 2);
	service = peer_accept(listening);
	if (_i < 2) {
		/* The client ends first; the service still answers. */
		ck_assert(peer_write(fd, ssl, "asked?", 6));
		end_writing(fd, ssl);
		ck_assert(peer_read(service, NULL, bytes, 6) && peer_ends(service, NULL));
		ck_assert(peer_write(service, NULL, "answer", 6));
		shutdown(service, SHUT_WR);
		ck_assert(peer_read(fd, ssl, bytes, 6) && peer_ends(fd, ssl));
	} else {
		ck_assert(peer_write(service, NULL, "hello!", 6));
		shutdown(service, SHUT_WR);
		ck_assert(peer_read(fd, ssl, bytes, 6) && peer_ends(fd, ssl));
		ck_assert(peer_write(fd, ssl, "thanks", 6));
		end_writing(fd, ssl);
		ck_assert(peer_read(service, NULL, bytes, 6) && peer_ends(service, NULL));
	}
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3000I", "up=6 down=6", NULL), 1);
	peer_free(fd, ssl);
	close(service);
	close(listening);
	gateway_stop(&gateway);
}
END_TEST

static long resident_kib(pid_t pid)
{
	char path[64], line[256];
	long kib = 0;
	FILE *stream;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	stream = fopen(path, "r");
	while (stream != NULL && fgets(line, sizeof(line), stream) != NULL)
		if (strncmp(line, "VmRSS:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	if (stream != NULL)
		(void)fclose(stream);
	return kib;
}

#define BULK (24 * 1024 * 1024)

/* A sender that is faster than its reader: every byte comes, and the gateway holds few of them. */
START_TEST(bulk_comes_whole_past_a_slow_reader)
{
	struct gateway gateway;
	int port, listening = peer_listen(&port), fd, service, status;
	char address[32];
	uint8_t *bytes = malloc(BULK), *back = malloc(BULK);
	long before;
	pid_t sender;
	SSL *ssl;

	for (size_t i = 0; i < BULK; i++)
		bytes[i] = (uint8_t)(i * 31 + i / 4099);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	gateway_start(&gateway, "ccissl", to_service, 1, address, 10, "1h", "1s");
	fd = peer_connect(gateway.ports[0]);
	ssl = open_connection(fd, _i % 2 == 0 ? 0 : 2);
	service = peer_accept(listening);
	before = resident_kib(gateway.pid);
	sender = fork();
	if (sender == 0)
		_exit(_i < 2 ? !peer_write(fd, ssl, bytes, BULK) : !peer_write(service, NULL, bytes, BULK));
	usleep(300000);
	if (strcmp(gateway_build(), "build") == 0)
		ck_assert_int_lt(resident_kib(gateway.pid) - before, 4096);
	ck_assert(_i < 2 ? peer_read(service, NULL, back, BULK) : peer_read(fd, ssl, back, BULK));
	ck_assert(memcmp(bytes, back, BULK) == 0);
	ck_assert_int_eq(waitpid(sender, &status, 0), sender);
	ck_assert_int_eq(status, 0);
	peer_free(fd, ssl);
	close(service);
	close(listening);
	gateway_stop(&gateway);
	free(bytes);
	free(back);
}
END_TEST

START_TEST(the_pair_carries_raw_clients_by_tls_and_joins_its_records)
{
	static const char *const securities[] = {"required", "on", "direct"};
	struct gateway ssl, gw;
	char address[32], conn[64], *at, line[8192];
	uint8_t bytes[50000], back[50000];
	FILE *stream;
	int fd;

	memset(bytes, 0x77, sizeof(bytes));
	gateway_start(&ssl, "ccissl", to_service, 2, "builtin:echo", 10, "1h", "1s");
	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", ssl.ports[0]);
	gateway_start(&gw, "ccisslgw", to_peer, "GW1", "HOST1", address, securities[_i]);
	for (int i = 0; i < 2; i++) {
		fd = peer_connect(gw.ports[0]);
		ck_assert(peer_write(fd, NULL, bytes, sizeof(bytes)));
		ck_assert(peer_read(fd, NULL, back, sizeof(back)));
		ck_assert_mem_eq(bytes, back, sizeof(bytes));
		shutdown(fd, SHUT_WR);
		ck_assert(peer_ends(fd, NULL));
		close(fd);
	}
	ck_assert_int_eq(gateway_lines(&gw, 2, "id=CCI3000I", "to_secured=yes", "asked=raw"), 2);
	/* The second one resumed the session of the first. */
	ck_assert_int_eq(gateway_lines(&ssl, 1, "id=CCI3000I", "tls_resumed=yes", NULL), 1);
	stream = fopen(gw.log, "r");
	while (fgets(line, sizeof(line), stream) != NULL && strstr(line, "id=CCI3000I") == NULL)
		;
	(void)fclose(stream);
	at = strstr(line, " conn=");
	ck_assert_ptr_nonnull(at);
	(void)snprintf(conn, sizeof(conn), "client_%.37s", at + 1);
	ck_assert_int_eq(gateway_lines(&ssl, 1, "id=CCI3000I", conn, NULL), 1);
	gateway_stop(&gw);
	gateway_stop(&ssl);
}
END_TEST

START_TEST(an_alternate_takes_over_and_the_primary_comes_back)
{
	struct gateway gw;
	char address[64];
	int first, second, one = peer_listen(&first), two = peer_listen(&second), fd, peer;
	uint8_t offer[4096];

	close(one);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%d, 127.0.0.1:%d", first, second);
	gateway_start(&gw, "ccisslgw", to_peer, "GW1", "HOST1", address, "none");
	fd = peer_connect(gw.ports[0]);
	peer = peer_accept(two);
	ck_assert_int_ge(peer, 0);
	ck_assert_int_gt(peer_receive(peer, NULL, offer), 0);
	ck_assert_int_eq(gateway_lines(&gw, 1, "id=CCI1015W", NULL, NULL), 1);
	close(peer);
	close(fd);
	gateway_stop(&gw);
	close(two);
}
END_TEST

START_TEST(a_ring_of_gateways_ends)
{
	struct gateway gw;
	int fd;
	uint8_t byte;

	/* It is its own peer: its port is only known once it runs, so it is told by a reload. */
	gateway_start(&gw, "ccisslgw", to_peer, "GW1", "HOST1", "127.0.0.1:1", "none");
	{
		char address[32];

		(void)snprintf(address, sizeof(address), "127.0.0.1:%d", gw.ports[1]);
		gateway_rewrite(&gw, to_peer, "GW1", "HOST1", address, "none");
	}
	ck_assert_int_eq(kill(gw.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gw, 1, "id=CCI1006I", NULL, NULL), 1);
	fd = peer_connect(gw.ports[0]);
	ck_assert_int_le((int)recv(fd, &byte, 1, 0), 0);
	ck_assert_int_eq(gateway_lines(&gw, 1, "reason=hops-exhausted", NULL, NULL), 1);
	close(fd);
	gateway_stop(&gw);
}
END_TEST

START_TEST(at_the_limit_connections_are_told_so_and_it_recovers)
{
	struct gateway gateway;
	uint8_t offer[4096], answer[4096];
	int fds[3], extra;

	gateway_start(&gateway, "ccissl", to_service, 2, "builtin:echo", 3, "1h", "1s");
	for (int i = 0; i < 3; i++) {
		fds[i] = peer_connect(gateway.ports[0]);
		(void)open_connection(fds[i], 0);
	}
	extra = peer_connect(gateway.ports[0]);
	ck_assert_int_gt(peer_exchange(extra, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer), 0);
	ck_assert_int_eq(peer_reason(answer), 8);
	close(extra);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	ck_assert_int_eq(gateway_lines(&gateway, 3, "id=CCI3000I", NULL, NULL), 3);
	usleep(50000);
	extra = peer_connect(gateway.ports[0]);
	(void)open_connection(extra, 0);
	close(extra);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(an_idle_connection_is_ended)
{
	struct gateway gateway;
	uint8_t byte;
	int fd;

	gateway_start(&gateway, "ccissl", to_service, 1, "builtin:echo", 3, "300ms", "1s");
	fd = peer_connect(gateway.ports[0]);
	(void)open_connection(fd, 0);
	ck_assert_int_eq((int)recv(fd, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3036I", NULL, NULL), 1);
	close(fd);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(a_reload_keeps_connections_and_a_bad_one_changes_nothing)
{
	struct gateway gateway;
	uint8_t offer[4096], answer[4096], bytes[100] = {1}, back[100];
	int fd, other;

	gateway_start(&gateway, "ccissl", to_service, 2, "builtin:echo", 10, "1h", "1s");
	fd = peer_connect(gateway.ports[0]);
	(void)open_connection(fd, 0);
	gateway_rewrite(&gateway, "[gateway]\nsysid = HOST1\nnonsense = 1\n");
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1007E", NULL, NULL), 1);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1008E", getuid() == 0 ? "config.ini:4" : "config.ini:3", "nonsense"), 1);
	other = peer_connect(gateway.ports[0]);
	(void)open_connection(other, 0);
	close(other);
	/* A good one: the service has another name, the old connection lives on. */
	gateway_rewrite(&gateway,
	                "[gateway]\nsysid = HOST1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nservice = t\n"
	                "[service t]\naddress = builtin:echo\n" TLS_SECTION);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	other = peer_connect(gateway.ports[0]);
	ck_assert_int_gt(peer_exchange(other, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer), 0);
	ck_assert_int_eq(peer_reason(answer), 3);
	close(other);
	ck_assert(peer_write(fd, NULL, bytes, sizeof(bytes)) && peer_read(fd, NULL, back, sizeof(back)));
	close(fd);
	gateway_stop(&gateway);
}
END_TEST

static unsigned count_descriptors(pid_t pid)
{
	char path[64];
	unsigned count = 0;
	DIR *fds;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	fds = opendir(path);
	ck_assert_ptr_nonnull(fds);
	for (const struct dirent *entry; (entry = readdir(fds)) != NULL;)
		count += entry->d_name[0] != '.';
	(void)closedir(fds);
	return count;
}

/* How many connections are served at once. */
static int count_served(int port, int most)
{
	uint8_t offer[4096], answer[4096];
	int fds[8], served = 0;

	for (int i = 0; i < most; i++) {
		fds[i] = peer_connect(port);
		if (peer_exchange(fds[i], NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer) > 0)
			served += peer_type(answer) == 2;
	}
	for (int i = 0; i < most; i++)
		close(fds[i]);
	return served;
}

/* One that has opened its listeners before it finds out that it cannot be taken leaves nothing of them, and none of its limits; and
 * then the same, when it can. */
START_TEST(a_reload_takes_all_or_nothing)
{
	static const char next[] = "[gateway]\nsysid = HOST1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0, 127.0.0.2:0\n"
	                           "service = s\nunsecured_connections = allow\n[service s]\naddress = builtin:echo\n"
	                           "[limits]\nconnections = 1\n[control]\nhttp = 127.0.0.1:%d\n" TLS_SECTION;
	int taken, holder = peer_listen(&taken);
	struct gateway gateway;
	unsigned before;

	gateway_start(&gateway, "ccissl", to_service, 2, "builtin:echo", 10, "1h", "1s");
	ck_assert_int_eq(count_served(gateway.ports[0], 3), 3);
	ck_assert_int_eq(gateway_lines(&gateway, 3, "id=CCI30", NULL, NULL), 3);
	usleep(200000);
	before = count_descriptors(gateway.pid);
	gateway_rewrite(&gateway, next, taken);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1007E", NULL, NULL), 1);
	usleep(200000);
	ck_assert_uint_eq(count_descriptors(gateway.pid), before);
	ck_assert_int_eq(count_served(gateway.ports[0], 3), 3);
	close(holder);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	usleep(200000);
	ck_assert_int_eq(count_served(gateway.ports[0], 3), 1);
	gateway_stop(&gateway);
}
END_TEST

/* Whoever opens a FIFO waits for its writer: the main thread would see no signal any more, not even SIGTERM. */
START_TEST(a_fifo_in_place_of_a_file_stops_nothing)
{
	struct gateway gateway;
	char path[128];
	int fd;

	gateway_start(&gateway, "ccissl", to_service, 2, "builtin:echo", 10, "1h", "1s");
	(void)snprintf(path, sizeof(path), "%s/fifo", gateway.folder);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	gateway_rewrite(&gateway,
	                "[gateway]\nsysid = HOST1\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
	                "[service s]\naddress = builtin:echo\n[tls]\ncertificate = %s\nprivate_key = @CERTS@/server.key\n",
	                path);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1007E", "[tls] certificate", "a FIFO"), 1);
	ck_assert_int_eq(rename(path, gateway.config), 0);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1007E", NULL, NULL), 2);
	fd = peer_connect(gateway.ports[0]);
	(void)open_connection(fd, 0);
	close(fd);
	gateway_stop(&gateway);
}
END_TEST

/* A program that has not seen to its signals yet would be ended by them. */
START_TEST(a_signal_that_comes_early_waits)
{
	struct gateway gateway;
	sigset_t hangup;
	pid_t early;
	int status;

	gateway_start(&gateway, "ccissl", to_service, 2, "builtin:echo", 10, "1h", "1s");
	early = fork();
	ck_assert_int_ge(early, 0);
	if (early == 0) {
		char program[128];

		(void)sigemptyset(&hangup);
		(void)sigaddset(&hangup, SIGHUP);
		(void)sigprocmask(SIG_BLOCK, &hangup, NULL);
		(void)kill(getpid(), SIGHUP);
		(void)snprintf(program, sizeof(program), "%s/ccissl", gateway_build());
		if (freopen(gateway.log, "a", stderr) != NULL)
			execl(program, "ccissl", "-c", gateway.config, (char *)NULL);
		_exit(127);
	}
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	ck_assert_int_eq(kill(early, SIGTERM), 0);
	ck_assert_int_eq(waitpid(early, &status, 0), early);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	gateway_stop(&gateway);
}
END_TEST

/* Nor may they end one that is about to end, which still has names to write. */
START_TEST(signals_that_come_late_change_nothing)
{
	struct gateway gateway;
	pid_t storm;

	gateway_start(&gateway, "ccissl", to_service, 2, "builtin:echo", 10, "1h", "1s");
	storm = fork();
	ck_assert_int_ge(storm, 0);
	while (storm == 0)
		(void)kill(gateway.pid, SIGHUP);
	gateway_stop(&gateway);
	ck_assert_int_eq(kill(storm, SIGKILL), 0);
	ck_assert_int_eq(waitpid(storm, NULL, 0), storm);
}
END_TEST

START_TEST(a_drain_lets_running_connections_finish)
{
	struct gateway gateway;
	uint8_t bytes[100] = {1}, back[100], offer[4096], answer[4096];
	int fd, late, status = -1;

	gateway_start(&gateway, "ccissl", to_service, 2, "builtin:echo", 10, "1h", "20s");
	late = peer_connect(gateway.ports[0]);
	fd = peer_connect(gateway.ports[0]);
	(void)open_connection(fd, 0);
	ck_assert_int_eq(kill(gateway.pid, SIGTERM), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1004I", NULL, NULL), 1);
	usleep(100000);
	ck_assert_int_eq(peer_connect(gateway.ports[0]), -1);
	/* Who has come before, and asks now. */
	ck_assert_int_gt(peer_exchange(late, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer), 0);
	ck_assert_int_eq(peer_reason(answer), 9);
	ck_assert(peer_write(fd, NULL, bytes, sizeof(bytes)) && peer_read(fd, NULL, back, sizeof(back)));
	ck_assert_int_eq(waitpid(gateway.pid, &status, WNOHANG), 0);
	if (_i == 0) {
		shutdown(fd, SHUT_WR);
		ck_assert(peer_ends(fd, NULL));
	} else {
		ck_assert_int_eq(kill(gateway.pid, SIGINT), 0);
	}
	ck_assert_int_eq(waitpid(gateway.pid, &status, 0), gateway.pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), _i == 0 ? 0 : 3);
	close(fd), close(late);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("life scenarios");
	TCase *tests = tcase_create("life");

	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, each_direction_ends_by_itself, 0, 4);
	tcase_add_loop_test(tests, bulk_comes_whole_past_a_slow_reader, 0, 4);
	tcase_add_loop_test(tests, the_pair_carries_raw_clients_by_tls_and_joins_its_records, 0, 3);
	tcase_add_test(tests, an_alternate_takes_over_and_the_primary_comes_back);
	tcase_add_test(tests, a_ring_of_gateways_ends);
	tcase_add_test(tests, at_the_limit_connections_are_told_so_and_it_recovers);
	tcase_add_test(tests, an_idle_connection_is_ended);
	tcase_add_test(tests, a_reload_keeps_connections_and_a_bad_one_changes_nothing);
	tcase_add_test(tests, a_reload_takes_all_or_nothing);
	tcase_add_test(tests, a_fifo_in_place_of_a_file_stops_nothing);
	tcase_add_test(tests, a_signal_that_comes_early_waits);
	tcase_add_test(tests, signals_that_come_late_change_nothing);
	tcase_add_loop_test(tests, a_drain_lets_running_connections_finish, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
