/* Deadlines of each phase, by listener and rule, and those of a connection that runs. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define TLS_SECTION "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"

static unsigned now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

/* Connected onward by a client called `sysid`. */
static int open_connection(int port, const char *sysid)
{
	uint8_t offer[4096], answer[4096];
	int fd = peer_connect(port);

	ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, sysid, NULL), answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	return fd;
}

/* --- the relay --- */

#define RELAY \
	"[gateway]\nsysid = HOST1\nworkers = 1\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n" \
	"unsecured_connections = only\n%s[service s]\naddress = 127.0.0.1:%d\n[timeouts]\n%s"

#define RELAYS (sizeof(relays) / sizeof(relays[0]))

enum act { SILENT, SENDS, RECEIVES, BOTH, SENDS_AFTER_END, RECEIVES_AFTER_END };

/* How it ends, not before `at_ms`; NULL: it lives. */
static const struct {
	const char *listener, *timeouts;
	enum act act;
	const char *reason;
	unsigned at_ms;
} relays[] = {
    {"", "idle = 600ms\n", SILENT, "reason=idle ", 600},
    {"", "idle = 600ms\n", SENDS, NULL, 0},
    {"", "idle = 600ms\n", RECEIVES, NULL, 0},
    {"", "idle_up = 600ms\n", RECEIVES, "reason=idle-up ", 600},
    {"", "idle_up = 600ms\n", SENDS, NULL, 0},
    {"", "idle_down = 600ms\n", SENDS, "reason=idle-down ", 600},
    {"", "idle_down = 600ms\n", RECEIVES, NULL, 0},
    {"", "lifetime = 500ms\n", BOTH, "reason=lifetime ", 500},
    {"", "idle = 1h\nidle_up = 900ms\nidle_down = 600ms\nlifetime = 1h\n", SILENT, "reason=idle-down ", 600},
    /* A direction that has ended has no bound any more. */
    {"", "idle_up = 600ms\n", RECEIVES_AFTER_END, NULL, 0},
    {"", "idle_down = 600ms\n", SENDS_AFTER_END, NULL, 0},
    {"", "idle = 600ms\n", RECEIVES_AFTER_END, NULL, 0},
    /* The listener's before that of all, and the rule's before it. */
    {"idle = 600ms\n", "idle = 1h\n", SILENT, "reason=idle ", 600},
    {"lifetime = 1h\n[rule r]\nsysid = PC*\nlifetime = 500ms\n", "", BOTH, "reason=lifetime ", 500},
    {"idle_up = 300ms\n[rule r]\nsysid = PC*\nidle_up = 0s\n", "", RECEIVES, NULL, 0},
};

/* A connection through a gateway of its own; all of them run at the same time. */
struct trial {
	struct gateway gateway;
	int listening, client, service;
	unsigned began, took; /* ms; how long it has lived */
	bool lives;
};

/* A byte in each direction that is not to be silent. False when the connection is over. */
static bool act(const struct trial *trial, enum act act)
{
	uint8_t byte = 1;
	bool fine = true;

	if (act == SENDS || act == BOTH || act == SENDS_AFTER_END)
		fine = send(trial->client, &byte, 1, MSG_NOSIGNAL) == 1 && recv(trial->service, &byte, 1, 0) == 1;
	if (act == RECEIVES || act == BOTH || act == RECEIVES_AFTER_END)
		fine = fine && send(trial->service, &byte, 1, MSG_NOSIGNAL) == 1 && recv(trial->client, &byte, 1, 0) == 1;
	if (act == SILENT)
		fine = recv(trial->client, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
	return fine;
}

static void start_trial(struct trial *trial, const char *listener, const char *timeouts, enum act act)
{
	int port;

	trial->listening = peer_listen(&port);
	gateway_start(&trial->gateway, "ccissl", RELAY, listener, port, timeouts);
	trial->began = now_ms();
	trial->client = open_connection(trial->gateway.ports[0], "PC1");
	trial->service = peer_accept(trial->listening);
	trial->lives = true;
	if (act == RECEIVES_AFTER_END)
		shutdown(trial->client, SHUT_WR);
	if (act == SENDS_AFTER_END)
		shutdown(trial->service, SHUT_WR);
}

static void end_trial(struct trial *trial)
{
	/* Gateways that were started later have inherited the descriptors. */
	shutdown(trial->client, SHUT_RDWR);
	shutdown(trial->service, SHUT_RDWR);
	close(trial->client);
	close(trial->service);
	close(trial->listening);
	gateway_stop(&trial->gateway);
}

/* Each is kept alive for as long as it takes the last of them to end, and then for a second. */
START_TEST(a_running_connection_keeps_its_bounds)
{
	static struct trial trials[RELAYS];
	unsigned last = 0;

	for (size_t i = 0; i < RELAYS; i++) {
		start_trial(&trials[i], relays[i].listener, relays[i].timeouts, relays[i].act);
		/* Those before must not fall silent meanwhile. */
		for (size_t j = 0; j < i; j++)
			if (relays[j].act != SILENT && trials[j].lives)
				trials[j].lives = act(&trials[j], relays[j].act);
		last = now_ms();
	}
	while (now_ms() - last < 1500) {
		for (size_t i = 0; i < RELAYS; i++) {
			if (!trials[i].lives)
				continue;
			trials[i].lives = act(&trials[i], relays[i].act);
			trials[i].took = now_ms() - trials[i].began;
		}
		usleep(50000);
	}
	for (size_t i = 0; i < RELAYS; i++) {
		const char *reason = relays[i].reason;

		ck_assert_msg(trials[i].lives == (reason == NULL), "number %zu: %s after %u ms", i,
		              trials[i].lives ? "still there" : "over", trials[i].took);
		if (reason != NULL)
			ck_assert_int_eq(gateway_lines(&trials[i].gateway, 1, "id=CCI30", reason, NULL), 1);
		if (reason != NULL && relays[i].act == SILENT)
			ck_assert_uint_ge(trials[i].took + 1, relays[i].at_ms);
		end_trial(&trials[i]);
	}
}
END_TEST

/* A receiver that takes little at a time is not a silent one. */
START_TEST(a_slow_receiver_is_not_idle)
{
	static uint8_t bytes[65536];
	struct gateway gateway;
	int port, listening = peer_listen(&port), client, service, small = 65536;
	unsigned began;
	size_t sent = 0, received = 0;
	ssize_t went;

	gateway_start(&gateway, "ccissl", RELAY, "", port, "idle = 500ms\nidle_down = 500ms\n");
	client = open_connection(gateway.ports[0], "PC1");
	(void)setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	service = peer_accept(listening);
	/* Until nothing more is taken. */
	for (int idle = 0; idle < 20;) {
		went = send(service, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += went > 0 ? (size_t)went : 0;
		idle = went > 0 ? 0 : idle + 1;
		usleep(2000);
	}
	shutdown(service, SHUT_WR);
	for (began = now_ms(); now_ms() - began < 1500; usleep(20000)) {
		went = recv(client, bytes, 8192, MSG_DONTWAIT);
		received += went > 0 ? (size_t)went : 0;
	}
	while ((went = recv(client, bytes, sizeof(bytes), 0)) > 0)
		received += (size_t)went;
	ck_assert_uint_eq(received, sent);
	ck_assert_int_eq(went, 0);
	close(client);
	close(service);
	close(listening);
	gateway_stop(&gateway);
}
END_TEST

/* --- the phases before --- */

#define PHASES \
	"[gateway]\nsysid = HOST1\nworkers = 1\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n" \
	"unsecured_connections = allow\n%s[service s]\naddress = %s\n[timeouts]\n%s" TLS_SECTION

/* How far the client goes before it falls silent. */
enum silence { AT_ONCE, BEFORE_HANDSHAKE, BEFORE_CONFIRM, WHILE_CONNECTING, INSIDE };

static const struct {
	const char *listener, *timeouts;
	enum silence silence;
	const char *reason;
} phases[] = {
    {"exchange_timeout = 300ms\n", "", AT_ONCE, "exchange-timeout"},
    {"", "exchange = 300ms\n", AT_ONCE, "exchange-timeout"},
    {"handshake = 300ms\n", "", BEFORE_HANDSHAKE, "handshake-timeout"},
    {"handshake = 1h\n[rule r]\nsysid = PC*\nhandshake = 300ms\n", "", BEFORE_HANDSHAKE, "handshake-timeout"},
    {"", "handshake = 300ms\n", BEFORE_HANDSHAKE, "handshake-timeout"},
    {"confirm = 300ms\n", "", BEFORE_CONFIRM, "confirm-timeout"},
    {"", "exchange = 1s\n", INSIDE, "exchange-timeout"},
    {"[rule r]\nsysid = PC*\nconfirm = 300ms\n", "", BEFORE_CONFIRM, "confirm-timeout"},
    {"connect = 300ms\n", "", WHILE_CONNECTING, "connect-timeout"},
    {"[rule r]\nsysid = PC*\nconnect = 300ms\n", "connect = 1h\n", WHILE_CONNECTING, "connect-timeout"},
};

/* A socket that listens and whose queue is full: the next one that connects waits. Fills `fds`. */
static int full_listener(int *port, int fds[2])
{
	int listening = peer_listen(port);

	ck_assert_int_eq(listen(listening, 0), 0);
	fds[0] = peer_connect(*port);
	fds[1] = -1;
	return listening;
}

struct phase {
	struct gateway gateway;
	int fd, listening, fds[2];
	SSL *ssl;
	unsigned began;
};

static void start_phase(struct phase *phase, const char *listener, const char *timeouts, enum silence silence)
{
	struct peer_tls tls = {.alpn = "cci-upgrade/1"};
	uint8_t offer[4096], answer[4096];
	char service[64] = "builtin:echo";
	int port;

	*phase = (struct phase){.listening = -1, .fds = {-1, -1}};
	if (silence == WHILE_CONNECTING) {
		phase->listening = full_listener(&port, phase->fds);
		(void)snprintf(service, sizeof(service), "127.0.0.1:%d", port);
	}
	gateway_start(&phase->gateway, "ccissl", PHASES, listener, service, timeouts);
	phase->began = now_ms();
	phase->fd = peer_connect(phase->gateway.ports[0]);
	if (silence != AT_ONCE && silence != INSIDE) {
		ck_assert(peer_write(phase->fd, NULL, offer, peer_offer(offer, 1, silence == WHILE_CONNECTING ? 0 : 2, "PC1", NULL)));
		if (silence != WHILE_CONNECTING)
			ck_assert_int_gt(peer_receive(phase->fd, NULL, answer), 0);
	}
	if (silence == INSIDE)
		tls.alpn = "cci/1";
	if (silence == BEFORE_CONFIRM || silence == INSIDE)
		phase->ssl = peer_tls_client(phase->fd, &tls);
	ck_assert((silence != BEFORE_CONFIRM && silence != INSIDE) || phase->ssl != NULL);
}

static void end_phase(struct phase *phase)
{
	peer_free(phase->fd, phase->ssl);
	for (int i = 0; i < 2; i++)
		if (phase->fds[i] >= 0)
			close(phase->fds[i]);
	if (phase->listening >= 0)
		close(phase->listening);
	gateway_stop(&phase->gateway);
}

#define PHASE_COUNT (sizeof(phases) / sizeof(phases[0]))

START_TEST(each_phase_has_the_wait_of_listener_or_rule)
{
	static struct phase running[PHASE_COUNT];

	for (size_t i = 0; i < PHASE_COUNT; i++)
		start_phase(&running[i], phases[i].listener, phases[i].timeouts, phases[i].silence);
	for (size_t i = 0; i < PHASE_COUNT; i++) {
		/* The waits that are not set here are too long for this. */
		ck_assert_msg(gateway_lines(&running[i].gateway, 1, "id=CCI30", phases[i].reason, NULL) == 1, "number %zu", i);
		ck_assert_uint_ge(now_ms() - running[i].began + 1, 300);
		end_phase(&running[i]);
	}
}
END_TEST

/* A byte that comes behind the OFFER while the service is still being connected: it was in no message, and goes nowhere. */
START_TEST(what_comes_while_connecting_is_refused)
{
	int port, fds[2], listening = full_listener(&port, fds), fd, first, second;
	uint8_t offer[4096], answer[4096], byte;
	struct gateway gateway;
	char service[64];

	(void)snprintf(service, sizeof(service), "127.0.0.1:%d", port);
	gateway_start(&gateway, "ccissl", PHASES, "", service, "");
	fd = peer_connect(gateway.ports[0]);
	ck_assert(peer_write(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL)));
	usleep(300000);
	ck_assert(peer_write(fd, NULL, "x", 1));
	/* Now there is room. */
	first = peer_accept(listening);
	ck_assert_int_gt(peer_receive(fd, NULL, answer), 0);
	ck_assert_int_eq(peer_reason(answer), 10);
	second = peer_accept(listening);
	ck_assert_int_le((int)recv(second, &byte, 1, 0), 0);
	close(first);
	close(second);
	close(fds[0]);
	close(listening);
	peer_free(fd, NULL);
	gateway_stop(&gateway);
}
END_TEST

/* --- the kernel's own --- */

/* The line of `ss` about the gateway's own end of the connection from (to) this port. */
static void socket_line(int port, bool outgoing, char *line, size_t size)
{
	char command[128];
	FILE *out;

	(void)snprintf(command, sizeof(command), "ss -Htno state established '%s = :%d'", outgoing ? "dport" : "sport", port);
	line[0] = '\0';
	out = popen(command, "r");
	ck_assert_ptr_nonnull(out);
	if (fgets(line, (int)size, out) == NULL)
		line[0] = '\0';
	(void)pclose(out);
}

/* Number 0: unset. Number 1: set for all. Number 2: by a rule. */
START_TEST(the_kernel_watches_where_it_is_set)
{
	static const char *const lines[] = {"", "keepalive = 120s\nuser_timeout = 30s\n",
	                                    "[rule r]\nsysid = PC*\nkeepalive = 120s\nuser_timeout = 30s\n"};
	struct gateway gateway;
	int port, listening = peer_listen(&port), client, service;
	char line[512];

	if (system("command -v ss >/dev/null") != 0) {
		(void)printf("no ss: what the kernel watches is not looked at\n");
		close(listening);
		return;
	}
	gateway_start(&gateway, "ccissl", RELAY, lines[_i], port, "");
	client = open_connection(gateway.ports[0], "PC1");
	service = peer_accept(listening);
	/* What is set with the relay is set when a byte has passed. */
	ck_assert(peer_write(client, NULL, "1", 1) && peer_read(service, NULL, line, 1));
	for (int outgoing = 0; outgoing < 2; outgoing++) {
		socket_line(outgoing ? port : gateway.ports[0], outgoing != 0, line, sizeof(line));
		ck_assert_msg((strstr(line, "timer:(keepalive,") != NULL) == (_i > 0), "%s", line);
	}
	close(client);
	close(service);
	close(listening);
	gateway_stop(&gateway);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("deadline scenarios");
	TCase *tests = tcase_create("deadlines");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_running_connection_keeps_its_bounds);
	tcase_add_test(tests, a_slow_receiver_is_not_idle);
	tcase_add_test(tests, each_phase_has_the_wait_of_listener_or_rule);
	tcase_add_test(tests, what_comes_while_connecting_is_refused);
	tcase_add_loop_test(tests, the_kernel_watches_where_it_is_set, 0, 3);
	suite_add_tcase(suite, tests);
	return suite;
}
