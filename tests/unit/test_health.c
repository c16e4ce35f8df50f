/* Pings of peers: what counts as an answer, one address at a time, changes, stopping at every moment. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../e2e/peer.h"
#include "acceptor.h"
#include "configtext.h"
#include "health.h"
#include "loop.h"
#include "suite.h"

#define INTERVAL_MS 40

static struct certificates files;

static void make_files(void)
{
	certificates_make(&files);
	(void)chmod(files.key[0], 0600);
}

static void remove_files(void)
{
	certificates_remove(&files);
}

struct trial {
	struct test_loop test;
	struct snapshot *snapshot;
	struct health *health;
};

static struct snapshot *make_snapshot(const char *addresses, const char *security, const char *rest)
{
	static const struct cci_notifier_kind *const kinds[] = {NULL};
	char text[2000];
	struct config *config;
	struct snapshot *snapshot;
	struct error error;

	(void)snprintf(text, sizeof(text),
	               "[gateway]\nsysid = HERE\n[listener l]\naddress = 127.0.0.1:0\nunsecured_connections = allow\n"
	               "[tls]\ncertificate = %s\nprivate_key = %s\nca = %s\n"
	               "[timeouts]\nexchange = 1s\nconnect = 300ms\n"
	               "[peer FAR]\naddress = %s\nsecurity = %s\n%s",
	               files.certificate[0], files.key[0], files.ca, addresses, security, rest);
	config = config_from(PROGRAM_CCISSLGW, text);
	snapshot = snapshot_new(config, 1, &(const struct notifier_source){.kinds = kinds}, &error);
	ck_assert_msg(snapshot != NULL, "%s", error.text);
	return snapshot;
}

static void open_trial(struct trial *trial, const char *addresses, const char *security, const char *rest)
{
	struct error error;

	ck_assert_int_eq(tls_init(&error), 0);
	test_loop_open(&trial->test);
	trial->snapshot = make_snapshot(addresses, security, rest);
	trial->health = health_start(trial->test.io, trial->snapshot, 0, NULL);
}

static void close_trial(struct trial *trial)
{
	health_stop(trial->health);
	test_loop_close(&trial->test);
	ck_assert_uint_eq(atomic_load(&trial->snapshot->references), 1);
	snapshot_release(trial->snapshot);
}

static enum target_health health_of(struct trial *trial, size_t address, struct target_state *state)
{
	target_memory_state(trial->snapshot->peers[0], address, state);
	return state->health;
}

/* Run until the address stands so; at most ten seconds. */
static void wait_for(struct trial *trial, size_t address, enum target_health health)
{
	uint64_t until_ns = uv_hrtime() + UINT64_C(10000000000);
	struct target_state state;

	while (health_of(trial, address, &state) != health && uv_hrtime() < until_ns) {
		(void)iocontext_turn(trial->test.io, 0);
		usleep(200);
	}
	ck_assert_msg(state.health == health, "%s: %s", target_health_word(state.health), state.detail);
}

#define EVERY "health_interval = 40ms\n"

struct row {
	const char *name, *security;
	struct plan plan;
	enum reason reason; /* NONE: up */
};

/* The acceptor echoes what it gets after the exchange. */
static const struct row rows[] = {
    {"clear", "none", {.answer = 0}, REASON_NONE},
    {"upgrade", "required", {.answer = 1}, REASON_NONE},
    {"direct", "direct", {.answer = 2, .direct = true}, REASON_NONE},
    {"refused", "on", {.type = 3, .reason = 7}, REASON_PEER_REFUSED},
    {"stopping", "on", {.type = 3, .reason = 9}, REASON_PEER_REFUSED},
    {"silent", "on", {.type = -1, .then = THEN_SILENT}, REASON_EXCHANGE_TIMEOUT},
    {"closed", "on", {.type = -1, .then = THEN_CLOSE}, REASON_CLOSED_EARLY},
    {"not secured", "required", {.answer = 0}, REASON_PEER_BROKE_OFFER},
    {"no trust", "on", {.answer = 1, .certificate = CERTIFICATE_UNTRUSTED}, REASON_PEER_CERTIFICATE_UNTRUSTED},
    {"another name", "required", {.answer = 1, .certificate = CERTIFICATE_WRONG_NAME}, REASON_PEER_NAME_MISMATCH},
    {"wrong verifier", "on", {.answer = 1, .confirm = WITH_WRONG_VERIFIER}, REASON_ALTERED},
};

START_TEST(an_answer_or_none)
{
	const struct row *row = &rows[_i];
	struct acceptor acceptor;
	struct target_state state;
	struct trial trial;
	char address[40];

	acceptor_start(&acceptor, &files, &row->plan, 1);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", acceptor.port);
	open_trial(&trial, address, row->security, EVERY);
	ck_assert_ptr_nonnull(trial.health);
	ck_assert_int_eq(health_of(&trial, 0, &state), TARGET_UNKNOWN);
	wait_for(&trial, 0, row->reason == REASON_NONE ? TARGET_UP : TARGET_DOWN);
	(void)health_of(&trial, 0, &state);
	ck_assert_msg(state.reason == row->reason, "%s: %s: %s", row->name, reason_word(state.reason), state.detail);
	ck_assert_int_eq(target_memory_all_down(trial.snapshot->peers[0]), row->reason != REASON_NONE);
	ck_assert_uint_eq(state.connections, 0);
	close_trial(&trial);
	acceptor_stop(&acceptor);
}
END_TEST

/* --- answers that are no echo --- */

static int listen_again(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

/* Accept within the loop of the test. */
static int accept_one(struct trial *trial, int listening)
{
	int fd = -1;

	for (int i = 0; i < 5000 && fd < 0; i++) {
		(void)iocontext_turn(trial->test.io, 0);
		fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		usleep(fd < 0 ? 1000 : 0);
	}
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* An ACCEPT in the clear, as a gateway HOST1 sends it. */
static void accept_offer(struct trial *trial, int fd)
{
	static const uint8_t accept_bytes[] = {'C', 'C', 'I', 'P', 1, 2, 1, 0, 0, 30, 0, 0, 0, 0, 16, 0, 0, 1,
	                                       0,   1,   0,   0,   2, 0, 5, 'H', 'O', 'S', 'T', '1'};
	uint8_t offer[4096];

	test_loop_turns(&trial->test, 20);
	ck_assert_int_gt(peer_receive(fd, NULL, offer), 0);
	ck_assert(memmem(offer, 200, "*PING", 5) != NULL);
	ck_assert(peer_write(fd, NULL, accept_bytes, sizeof(accept_bytes)));
}

START_TEST(an_echo_must_be_one)
{
	struct trial trial;
	struct target_state state;
	uint8_t bytes[32];
	char address[40];
	int port, listening = peer_listen(&port), fd;

	close(listening);
	listening = listen_again(port);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	open_trial(&trial, address, "none", EVERY);
	fd = accept_one(&trial, listening);
	accept_offer(&trial, fd);
	for (int i = 0; i < 20; i++) {
		(void)iocontext_turn(trial.test.io, 0);
		usleep(1000);
	}
	ck_assert(peer_read(fd, NULL, bytes, sizeof(bytes)));
	if (_i == 0) {
		bytes[31] ^= 1;
		ck_assert(peer_write(fd, NULL, bytes, sizeof(bytes)));
	} else if (_i == 1) {
		ck_assert(peer_write(fd, NULL, bytes, 31));
		shutdown(fd, SHUT_WR);
	} else if (_i == 2) {
		ck_assert(peer_write(fd, NULL, bytes, 31));
	} else {
		/* In two pieces it is one. */
		ck_assert(peer_write(fd, NULL, bytes, 31));
		test_loop_turns(&trial.test, 20);
		ck_assert(peer_write(fd, NULL, bytes + 31, 1));
	}
	wait_for(&trial, 0, _i < 3 ? TARGET_DOWN : TARGET_UP);
	(void)health_of(&trial, 0, &state);
	ck_assert_int_eq(state.reason, _i == 0   ? REASON_BAD_MESSAGE
	                               : _i == 1 ? REASON_CLOSED_EARLY
	                               : _i == 2 ? REASON_EXCHANGE_TIMEOUT
	                                         : REASON_NONE);
	close_trial(&trial);
	close(fd);
	close(listening);
}
END_TEST

/* Each address by itself: one that is dead does not make the other one's ping. Then it comes, and the peer is up. */
START_TEST(each_address_by_itself)
{
	static const struct plan right = {.answer = 1};
	struct acceptor acceptor;
	struct target_state state;
	struct trial trial;
	char addresses[80];
	int port, dead = peer_listen(&port);

	close(dead);
	acceptor_start(&acceptor, &files, &right, 1);
	(void)snprintf(addresses, sizeof(addresses), "127.0.0.1:%d, 127.0.0.1:%d", port, acceptor.port);
	open_trial(&trial, addresses, "required", EVERY);
	wait_for(&trial, 0, TARGET_DOWN);
	wait_for(&trial, 1, TARGET_UP);
	ck_assert(!target_memory_all_down(trial.snapshot->peers[0]));
	(void)health_of(&trial, 0, &state);
	ck_assert_int_eq(state.reason, REASON_CONNECT_REFUSED);
	ck_assert_ptr_null(strstr(state.detail, "127.0.0.1"));
	acceptor_stop(&acceptor);
	wait_for(&trial, 1, TARGET_DOWN);
	ck_assert(target_memory_all_down(trial.snapshot->peers[0]));
	close_trial(&trial);
}
END_TEST

/* Turns until a ping has come to `listening`. */
static int take_ping(struct trial *trial, int listening)
{
	int fd = -1;

	for (int i = 0; i < 5000 && fd < 0; i++) {
		(void)iocontext_turn(trial->test.io, 1);
		fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
	}
	ck_assert_int_ge(fd, 0);
	return fd;
}

static bool has_ended(int fd)
{
	char bytes[4096];
	ssize_t got;

	while ((got = read(fd, bytes, sizeof(bytes))) > 0)
		;
	return got == 0 || errno != EAGAIN;
}

/* What runs when the operator disconnects says nothing of the peer: it is cut off, or (_i 1) comes to its end first. */
START_TEST(a_disconnected_peer_is_not_judged)
{
	struct target_state state;
	struct trial trial;
	char address[32];
	int fd, port, listening = peer_listen(&port);

	(void)fcntl(listening, F_SETFL, O_NONBLOCK);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	open_trial(&trial, address, "on", "health_jitter = 0\n" EVERY);
	fd = take_ping(&trial, listening);
	health_cut(NULL, trial.snapshot->peers[0]);
	health_cut(trial.health, NULL);
	ck_assert(!has_ended(fd));
	ck_assert(target_memory_disconnect(trial.snapshot->peers[0], true));
	if (_i == 0)
		health_cut(trial.health, trial.snapshot->peers[0]);
	ck_assert_int_eq(has_ended(fd), _i == 0);
	close(fd);
	for (int i = 0; i < 4 * INTERVAL_MS; i++) {
		(void)iocontext_turn(trial.test.io, 1);
		usleep(1000);
	}
	ck_assert_int_eq(health_of(&trial, 0, &state), TARGET_UNKNOWN);
	ck_assert_int_lt(accept4(listening, NULL, NULL, 0), 0);
	ck_assert(target_memory_disconnect(trial.snapshot->peers[0], false));
	fd = take_ping(&trial, listening);
	close(fd);
	wait_for(&trial, 0, TARGET_DOWN);
	close_trial(&trial);
	close(listening);
}
END_TEST

/* No pings for a peer without an interval, and what was found before is forgotten. */
START_TEST(off_asks_nobody_and_forgets)
{
	const struct target_finding down = {REASON_RESET, "", 1};
	struct trial trial;
	struct target_state state;

	open_trial(&trial, "127.0.0.1:1", "none", "");
	ck_assert_ptr_null(trial.health);
	(void)target_memory_found(trial.snapshot->peers[0], 0, &down);
	ck_assert(target_memory_all_down(trial.snapshot->peers[0]));
	ck_assert_ptr_null(health_start(trial.test.io, trial.snapshot, 0, NULL));
	ck_assert_int_eq(health_of(&trial, 0, &state), TARGET_UNKNOWN);
	close_trial(&trial);
}
END_TEST

/* A configuration loaded anew keeps what is known where name and addresses are the same. */
START_TEST(another_snapshot_remembers)
{
	const struct target_finding down = {REASON_RESET, "", 1};
	struct snapshot *before = make_snapshot("127.0.0.1:1, 127.0.0.1:2", "none", EVERY);
	struct snapshot *same = make_snapshot("127.0.0.1:1, 127.0.0.1:2", "on", "retry = 1s\n" EVERY);
	struct snapshot *other = make_snapshot("127.0.0.1:1", "none", EVERY);

	(void)target_memory_found(before->peers[0], 0, &down);
	(void)target_memory_found(before->peers[0], 1, &down);
	snapshot_remember(same, before);
	snapshot_remember(other, before);
	ck_assert_ptr_eq(same->peers[0], before->peers[0]);
	ck_assert_ptr_ne(other->peers[0], before->peers[0]);
	snapshot_release(before);
	ck_assert(target_memory_all_down(same->peers[0]));
	ck_assert(!target_memory_all_down(other->peers[0]));
	snapshot_release(same);
	snapshot_release(other);
}
END_TEST

/* Stopped after `_i` turns, in whatever stage that is: nothing is left (a sanitizer says), and nothing hangs. */
START_TEST(stopped_at_any_moment)
{
	static const struct plan plans[] = {{.answer = 1}, {.type = -1, .then = THEN_SILENT}};

	for (size_t i = 0; i < 2; i++) {
		struct acceptor acceptor;
		struct trial trial;
		char address[80];

		acceptor_start(&acceptor, &files, &plans[i], 1);
		(void)snprintf(address, sizeof(address), "localhost:%d, 127.0.0.1:%d", acceptor.port, acceptor.port);
		open_trial(&trial, address, "on", "health_jitter = 0\n" EVERY);
		for (int turn = 0; turn < _i; turn++) {
			(void)iocontext_turn(trial.test.io, 0);
			usleep(turn < 10 ? 0 : 1000);
		}
		close_trial(&trial);
		acceptor_stop(&acceptor);
	}
	health_stop(NULL);
}
END_TEST

#define COUNT(rows) ((int)(sizeof(rows) / sizeof((rows)[0])))

Suite *module_suite(void)
{
	Suite *suite = suite_create("health");
	TCase *tests = tcase_create("health");

	(void)signal(SIGPIPE, SIG_IGN);
	tcase_set_timeout(tests, 30);
	tcase_add_unchecked_fixture(tests, make_files, remove_files);
	tcase_add_loop_test(tests, an_answer_or_none, 0, COUNT(rows));
	tcase_add_loop_test(tests, an_echo_must_be_one, 0, 4);
	tcase_add_test(tests, each_address_by_itself);
	tcase_add_loop_test(tests, a_disconnected_peer_is_not_judged, 0, 2);
	tcase_add_test(tests, off_asks_nobody_and_forgets);
	tcase_add_test(tests, another_snapshot_remembers);
	tcase_add_loop_test(tests, stopped_at_any_moment, 0, 24);
	suite_add_tcase(suite, tests);
	return suite;
}
