/* Which address is taken, what is remembered of the others, deadlines, cancel. */
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/un.h>

#include "../e2e/peer.h"
#include "loop.h"
#include "suite.h"
#include "target.h"

#define PATIENT_MS 5000
#define SHORT_MS 200
#define ADDRESSES 3

struct trial {
	struct test_loop test;
	struct address addresses[ADDRESSES];
	struct address_list list;
	struct target_memory *memory;
	struct target_options options;
	struct target *target;
	int listening[ADDRESSES];
	bool started, done;
	enum reason reason;
	struct channel *channel;
	size_t address;
	char detail[200];
};

static void on_done(void *owner, enum reason reason, struct channel *channel, size_t address, const char *detail)
{
	struct trial *trial = owner;

	ck_assert(trial->started && !trial->done);
	trial->done = true;
	trial->reason = reason;
	trial->channel = channel;
	trial->address = address;
	ck_assert_ptr_nonnull(detail);
	(void)snprintf(trial->detail, sizeof(trial->detail), "%s", detail);
}

static void set_address(struct trial *trial, size_t number, const char *text)
{
	struct error error;

	ck_assert_msg(address_parse(text, 0, &trial->addresses[number], &error) == 0, "%s", error.text);
	trial->list.count = number + 1;
}

static int free_port(void)
{
	int port, fd = peer_listen(&port);

	close(fd);
	return port;
}

/* `states`: a letter an address: L listens, D does not, S is silent (a full backlog), N a name that listens, U an
 * unknown name, E the builtin echo. */
static void set_state(struct trial *trial, size_t number, char state)
{
	char text[80];
	int port = 0;

	trial->listening[number] = -1;
	if (strchr("LSN", state) != NULL)
		trial->listening[number] = peer_listen(&port);
	(void)snprintf(text, sizeof(text), "%s:%d",
	               state == 'N'   ? "localhost"
	               : state == 'U' ? "no-such.invalid"
	                              : "127.0.0.1",
	               port != 0 ? port : free_port());
	set_address(trial, number, state == 'E' ? "builtin:echo" : text);
	if (state != 'S')
		return;
	/* The kernel drops a connect to a backlog that is full. */
	ck_assert_int_eq(listen(trial->listening[number], 0), 0);
	for (int i = 0; i < 4; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		(void)connect(fd, &trial->addresses[number].socket.any, sizeof(struct sockaddr_in));
	}
	usleep(10000);
}

static void open_trial(struct trial *trial, const char *states)
{
	memset(trial, 0, sizeof(*trial));
	test_loop_open(&trial->test);
	trial->list.at = trial->addresses;
	for (size_t i = 0; i < ADDRESSES; i++)
		trial->listening[i] = -1;
	for (size_t i = 0; states[i] != '\0'; i++)
		set_state(trial, i, states[i]);
	trial->memory = target_memory_new("PAYROLL", &trial->list);
	ck_assert_ptr_nonnull(trial->memory);
	trial->options = (struct target_options){.addresses = &trial->list,
	                                         .memory = trial->memory,
	                                         .retry_ms = 60000,
	                                         .connect_ms = strchr(states, 'S') != NULL ? SHORT_MS : PATIENT_MS};
}

static void start_trial(struct trial *trial)
{
	trial->started = trial->done = false;
	trial->target = target_start(trial->test.io, &trial->options, on_done, trial);
	ck_assert_ptr_nonnull(trial->target);
	trial->started = true;
}

static void run_trial(struct trial *trial)
{
	start_trial(trial);
	test_loop_until(&trial->test, &trial->done);
	channel_close(trial->channel);
	trial->channel = NULL;
}

static void close_trial(struct trial *trial)
{
	test_loop_close(&trial->test);
	target_memory_free(trial->memory);
	for (size_t i = 0; i < ADDRESSES; i++)
		if (trial->listening[i] >= 0)
			close(trial->listening[i]);
}

static bool is_left_out(const struct trial *trial, size_t address)
{
	struct target_state state;

	target_memory_state(trial->memory, address, &state);
	return state.left_out_until_ms != 0;
}

struct row {
	const char *states, *marked; /* marked: x for an address that failed before */
	uint64_t never;
	size_t first;
	enum reason reason;
	size_t address;
	const char *after; /* who is marked afterwards */
};

static const struct row rows[] = {
    {"L", ".", 0, 0, REASON_NONE, 0, "."},
    {"LL", "..", 0, 0, REASON_NONE, 0, ".."},
    {"DL", "..", 0, 0, REASON_NONE, 1, "x."},
    {"DDL", "...", 0, 0, REASON_NONE, 2, "xx."},
    {"LL", "x.", 0, 0, REASON_NONE, 1, "x."}, /* left out although it would do */
    {"LL", "xx", 0, 0, REASON_NONE, 0, ".x"}, /* all are: all are tried */
    {"DL", "xx", 0, 0, REASON_NONE, 1, "x."},
    {"DD", "..", 0, 0, REASON_CONNECT_REFUSED, 1, "xx"},
    {"DD", "xx", 0, 0, REASON_CONNECT_REFUSED, 1, "xx"},
    {"LL", "..", 0, 1, REASON_NONE, 1, ".."},
    {"LD", "..", 0, 1, REASON_NONE, 0, ".x"}, /* round the end */
    {"LL", "..", 1, 0, REASON_NONE, 1, ".."},
    {"LL", ".x", 1, 0, REASON_NONE, 1, ".."}, /* the only one that may be tried */
    {"LL", "..", 3, 0, REASON_CONNECT_REFUSED, 1, ".."},
    {"SL", "..", 0, 0, REASON_NONE, 1, "x."},
    {"S", ".", 0, 0, REASON_CONNECT_TIMEOUT, 0, "x"},
    {"UL", "..", 0, 0, REASON_NONE, 1, "x."},
    {"U", ".", 0, 0, REASON_NAME_NOT_FOUND, 0, "x"},
    {"N", ".", 0, 0, REASON_NONE, 0, "."},
    {"DN", "..", 0, 0, REASON_NONE, 1, "x."},
    {"E", ".", 0, 0, REASON_NONE, 0, "."},
};

/* A unix socket has no such option. */
static void expect_no_delay(int fd)
{
	int on = 0;
	socklen_t size = sizeof(on);

	if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size) == 0)
		ck_assert_int_ne(on, 0);
}

START_TEST(first_that_can_be_reached)
{
	const struct row *row = &rows[_i];
	struct trial trial;

	open_trial(&trial, row->states);
	trial.options.never = row->never;
	trial.options.first = row->first;
	for (size_t i = 0; row->marked[i] != '\0'; i++)
		if (row->marked[i] == 'x')
			target_memory_failed(trial.memory, i, uv_now(&trial.test.loop), 60000, "marked");
	start_trial(&trial);
	test_loop_until(&trial.test, &trial.done);
	ck_assert_msg(trial.reason == row->reason, "%d: %s: %s", _i, reason_word(trial.reason), trial.detail);
	ck_assert_msg(trial.address == row->address || row->never == 3, "%d: address %zu", _i, trial.address);
	ck_assert_int_eq(trial.channel != NULL, row->reason == REASON_NONE && row->states[0] != 'E');
	if (trial.channel != NULL)
		expect_no_delay(channel_fd(trial.channel));
	ck_assert_int_eq(trial.detail[0] != '\0', row->reason != REASON_NONE);
	for (size_t i = 0; row->after[i] != '\0'; i++)
		ck_assert_msg(is_left_out(&trial, i) == (row->after[i] == 'x'), "%d: mark of %zu", _i, i);
	channel_close(trial.channel);
	close_trial(&trial);
}
END_TEST

START_TEST(primary_comes_back_after_retry)
{
	struct trial trial;
	int port = free_port();
	struct sockaddr_in address;
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[40];

	open_trial(&trial, "LL");
	trial.options.retry_ms = 300;
	(void)snprintf(text, sizeof(text), "127.0.0.1:%d", port);
	set_address(&trial, 0, text);
	trial.list.count = 2;
	run_trial(&trial);
	ck_assert_uint_eq(trial.address, 1);
	/* It listens again at once, and is asked only after the pause. */
	address = trial.addresses[0].socket.v4;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	run_trial(&trial);
	ck_assert_uint_eq(trial.address, 1);
	usleep(350000);
	uv_update_time(&trial.test.loop);
	run_trial(&trial);
	ck_assert_uint_eq(trial.address, 0);
	ck_assert(!is_left_out(&trial, 0));
	close_trial(&trial);
	close(fd);
}
END_TEST

START_TEST(connects_to_a_unix_socket)
{
	struct trial trial;
	struct sockaddr_un *local;
	char text[80];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	open_trial(&trial, "L");
	(void)snprintf(text, sizeof(text), "unix:/tmp/test-target-%d.sock", (int)getpid());
	set_address(&trial, 0, text);
	local = &trial.addresses[0].socket.local;
	unlink(local->sun_path);
	run_trial(&trial);
	ck_assert_int_eq(trial.reason, REASON_CONNECT_REFUSED);
	ck_assert_ptr_nonnull(strstr(trial.detail, text));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)local, sizeof(*local)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	run_trial(&trial);
	ck_assert_int_eq(trial.reason, REASON_NONE);
	unlink(local->sun_path);
	close_trial(&trial);
	close(fd);
}
END_TEST

/* Another one may be marked from outside; numbers beyond the list do no harm. */
START_TEST(marks_from_outside)
{
	struct trial trial;

	open_trial(&trial, "LL");
	target_memory_failed(NULL, 0, 1, 1, "");
	target_memory_failed(trial.memory, ADDRESSES, 1, 1, "");
	target_memory_failed(trial.memory, 0, uv_now(&trial.test.loop), 60000, "");
	run_trial(&trial);
	ck_assert_uint_eq(trial.address, 1);
	trial.options.memory = NULL;
	run_trial(&trial);
	ck_assert_uint_eq(trial.address, 0);
	close_trial(&trial);
}
END_TEST

/* `_i` turns of the loop after the start: in the queue, looking up, connecting. */
START_TEST(cancelled_at_any_moment)
{
	static const char *const states[] = {"L", "S", "N", "U", "DDL", "E"};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct trial trial;

		open_trial(&trial, states[i]);
		start_trial(&trial);
		for (int turn = 0; turn < _i && !trial.done; turn++)
			(void)iocontext_turn(trial.test.io, 0);
		trial.started = false;
		if (!trial.done)
			target_cancel(trial.target);
		channel_close(trial.channel);
		close_trial(&trial);
	}
	target_cancel(NULL);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("target");
	TCase *tests = tcase_create("target");

	(void)signal(SIGPIPE, SIG_IGN);
	tcase_set_timeout(tests, 30);
	tcase_add_loop_test(tests, first_that_can_be_reached, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(tests, primary_comes_back_after_retry);
	tcase_add_test(tests, connects_to_a_unix_socket);
	tcase_add_test(tests, marks_from_outside);
	tcase_add_loop_test(tests, cancelled_at_any_moment, 0, 8);
	suite_add_tcase(suite, tests);
	return suite;
}
