/* An ACCEPT that its client does not take: nothing is agreed, told or relayed before all of it is with the kernel. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "configtext.h"
#include "loop.h"
#include "noise.h"
#include "params.h"
#include "session.h"
#include "session_view.h"
#include "snapshot.h"
#include "suite.h"

static struct test_loop loop;
static struct session_host host;
static struct metrics *metrics;
static struct snapshot *snapshot;
static int client;
static size_t before; /* bytes that the client has to read before the ACCEPT */
static unsigned told[8];
static char last_reason[32];

/* --- what the notifiers are told --- */

static int on_open(const struct cci_notifier_options *options, void **state, char *error, size_t error_size)
{
	(void)options, (void)state, (void)error, (void)error_size;
	return 0;
}

static void on_close(void *state)
{
	(void)state;
}

static int on_notify(void *state, const struct cci_event *event)
{
	(void)state;
	told[event->type]++;
	if (event->reason != NULL)
		(void)snprintf(last_reason, sizeof(last_reason), "%s", event->reason);
	return CCI_NOTIFIED;
}

static const struct cci_notifier_kind watcher = {.size = sizeof(watcher),
                                                 .version = CCI_NOTIFIER_VERSION,
                                                 .kind = "watch",
                                                 .wants = CCI_WANTS_ALL,
                                                 .open = on_open,
                                                 .notify = on_notify,
                                                 .close = on_close};

/* --- a session whose client reads nothing --- */

static void open_host(void)
{
	static const struct cci_notifier_kind *const kinds[] = {&watcher, NULL};
	struct config *config = config_from(
	    PROGRAM_CCISSL, "[gateway]\nsysid = HERE\n[timeouts]\nexchange = 1s\n[notifier w]\nkind = watch\n"
	                    "[listener l]\naddress = 127.0.0.1:0\nunsecured_connections = only\nservice = s\n"
	                    "[service s]\naddress = builtin:echo\n");
	struct error error;

	memset(told, 0, sizeof(told));
	memset(&host, 0, sizeof(host));
	snapshot = snapshot_new(config, 1, &(const struct notifier_source){.kinds = kinds}, &error);
	ck_assert_msg(snapshot != NULL, "%s", error.text);
	test_loop_open(&loop);
	metrics = metrics_new(1);
	host.io = loop.io;
	host.noise = noise_new();
	host.metrics = metrics_part(metrics, 0);
	host.admission.quota = quota_new();
	host.admission.metrics = host.metrics;
	quota_set(host.admission.quota, 10, 10);
}

static void close_host(void)
{
	for (int i = 0; i < 5000 && host.count > 0; i++) {
		(void)iocontext_turn(loop.io, 0);
		usleep(1000);
	}
	ck_assert_uint_eq(host.count, 0);
	test_loop_close(&loop);
	quota_free(host.admission.quota);
	noise_free(host.noise);
	metrics_free(metrics);
	snapshot_release(snapshot);
}

static void send_offer(void)
{
	struct params offer = {.type = PARAMS_OFFER, .cpu = PARAMS_UTF8, .security = SECURITY_NONE, .maxru = 4096, .sysid = "PC1"};
	uint8_t bytes[PARAMS_MESSAGE_SIZE];
	size_t size = params_encode(&offer, bytes);

	ck_assert_int_eq((int)send(client, bytes, size, MSG_NOSIGNAL), (int)size);
}

static void start_session(void)
{
	union socket_address remote = {.v4 = {.sin_family = AF_INET, .sin_port = 1, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	struct source_key source;
	struct admission_who who = {.source = &source, .remote = &remote};
	int ends[2];

	test_pair(ends);
	client = ends[1];
	for (before = 0; send(ends[0], "x", 1, MSG_NOSIGNAL) == 1;)
		before++;
	ck_assert_int_eq(errno, EAGAIN);
	quota_key_of(&snapshot->config->listeners[0].proxy_from, &remote, &source);
	ck_assert_int_eq(admission_enter(&host.admission, &who), QUOTA_OK);
	ck_assert_int_eq(session_start(&host, snapshot, 0, ends[0], &remote, QUOTA_OK), 0);
	send_offer();
}

static void await_answer_stage(void)
{
	struct session_view view;

	for (int i = 0; i < 1000; i++) {
		(void)iocontext_turn(loop.io, 0);
		if (session_view_slice(&host, UINT64_MAX, &view, 1) == 1 && strcmp(view.stage, "answer") == 0)
			break;
		usleep(1000);
	}
	ck_assert_str_eq(view.stage, "answer");
	ck_assert_uint_eq(told[CCI_UNSECURED], 0);
}

static void await_bytes(uint8_t *bytes, size_t size)
{
	size_t have = 0;

	for (int i = 0; i < 10000 && have < size; i++) {
		ssize_t got = recv(client, bytes + have, size - have, 0);

		if (got > 0) {
			have += (size_t)got;
			continue;
		}
		(void)iocontext_turn(loop.io, 0);
		usleep(500);
	}
	ck_assert_uint_eq(have, size);
}

static void read_accept(void)
{
	uint8_t bytes[PARAMS_MESSAGE_SIZE];
	struct params message;
	const char *fault;
	size_t length;

	for (size_t i = 0; i < before; i++)
		await_bytes(bytes, 1);
	await_bytes(bytes, PARAMS_HEADER_SIZE);
	ck_assert_int_eq(params_header(bytes, PARAMS_HEADER_SIZE, &length, &fault), PARAMS_OK);
	await_bytes(bytes + PARAMS_HEADER_SIZE, length - PARAMS_HEADER_SIZE);
	ck_assert_int_eq(params_decode(bytes, length, &message, &fault), PARAMS_OK);
	ck_assert_int_eq(message.type, PARAMS_ACCEPT);
	ck_assert_int_eq(message.security, ANSWER_CLEAR);
}

START_TEST(it_relays_once_the_accept_has_gone)
{
	uint8_t word[5];

	open_host();
	start_session();
	await_answer_stage();
	read_accept();
	ck_assert_int_eq((int)send(client, "hello", 5, MSG_NOSIGNAL), 5);
	await_bytes(word, sizeof(word));
	ck_assert_mem_eq(word, "hello", 5);
	ck_assert_uint_eq(told[CCI_UNSECURED], 1);
	close(client);
	close_host();
	ck_assert_uint_eq(told[CCI_CLOSED], 1);
	ck_assert_uint_eq(told[CCI_REFUSED], 0);
}
END_TEST

static void client_goes(void)
{
	close(client);
}

static void time_passes(void)
{
}

static void operator_ends(void)
{
	session_end_all(&host, REASON_DRAIN_EXPIRED);
}

START_TEST(what_was_not_accepted_in_full_was_not_agreed)
{
	static const struct {
		void (*happens)(void);
		const char *reason;
	} ends[] = {{client_goes, "reset"}, {time_passes, "exchange-timeout"}, {operator_ends, "drain-expired"}};

	open_host();
	start_session();
	await_answer_stage();
	ends[_i].happens();
	close_host();
	ck_assert_str_eq(last_reason, ends[_i].reason);
	ck_assert_uint_eq(told[CCI_REFUSED], 1);
	ck_assert_uint_eq(told[CCI_CLOSED] + told[CCI_UNSECURED], 0);
	if (ends[_i].happens != client_goes)
		close(client);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("session");
	TCase *tests = tcase_create("the answer");

	tcase_add_test(tests, it_relays_once_the_accept_has_gone);
	tcase_add_loop_test(tests, what_was_not_accepted_in_full_was_not_agreed, 0, 3);
	suite_add_tcase(suite, tests);
	return suite;
}
