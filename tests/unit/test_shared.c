/* What workers share: quota, ratchet, noise and log, also from several threads; and the notifier's three errors. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "noise.h"
#include "notifier.h"
#include "quota.h"
#include "ratchet.h"
#include "suite.h"

START_TEST(quota_bounds_all_and_each_source)
{
	struct quota *quota = quota_new();
	struct source_key a = {{1}}, b = {{2}};

	quota_set(quota, 3, 2);
	ck_assert_int_eq(quota_enter(quota, &a), QUOTA_OK);
	ck_assert_int_eq(quota_enter(quota, &a), QUOTA_OK);
	ck_assert_int_eq(quota_enter(quota, &a), QUOTA_OVER);
	ck_assert_int_eq(quota_enter(quota, &b), QUOTA_OK);
	ck_assert_int_eq(quota_enter(quota, &b), QUOTA_OVER);
	quota_leave(quota, &a, QUOTA_OK);
	quota_leave(quota, &a, QUOTA_OVER);
	ck_assert_int_eq(quota_enter(quota, &b), QUOTA_OK);
	/* Beyond the overflow of 16 a source is closed at once. */
	for (int i = 0; i < 16; i++)
		(void)!quota_enter(quota, &b);
	ck_assert_int_eq(quota_enter(quota, &b), QUOTA_CLOSE);
	/* All leave, and nothing is counted any more. */
	for (int i = 0; i < 16; i++)
		quota_leave(quota, &b, QUOTA_OVER);
	ck_assert_uint_eq(quota_count(quota), 3);
	quota_leave(quota, &a, QUOTA_OK);
	quota_leave(quota, &b, QUOTA_OK);
	quota_leave(quota, &b, QUOTA_OK);
	ck_assert_uint_eq(quota_count(quota), 0);
	quota_free(quota);
}
END_TEST

/* A balancer stands for many: it counts in all, and is no source. */
START_TEST(a_balancer_has_no_bound_of_its_own)
{
	struct network network;
	struct network_list balancers = {&network, 1};
	union socket_address balancer = {.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	union socket_address other = {.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001)}};
	struct quota *quota = quota_new();
	struct source_key key, plain;
	struct error error;

	ck_assert_int_eq(network_parse("127.0.0.0/8", &network, &error), 0);
	quota_key_of(&balancers, &other, &key);
	source_key_of(&other, &plain);
	ck_assert_mem_eq(&key, &plain, sizeof(key));
	quota_key_of(&balancers, &balancer, &key);
	source_key_of(&balancer, &plain);
	ck_assert_mem_ne(&key, &plain, sizeof(key));
	quota_set(quota, 5, 2);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(quota_enter(quota, &key), QUOTA_OK);
	ck_assert_int_eq(quota_enter(quota, &key), QUOTA_OVER);
	quota_leave(quota, &key, QUOTA_OVER);
	for (int i = 0; i < 5; i++)
		quota_leave(quota, &key, QUOTA_OK);
	ck_assert_uint_eq(quota_count(quota), 0);
	quota_free(quota);
}
END_TEST

struct crowd {
	struct quota *quota;
	struct ratchet *ratchet;
	struct noise *noise;
	unsigned number;
};

static void *work(void *argument)
{
	struct crowd *crowd = argument;
	union socket_address socket = {.v4.sin_family = AF_INET};
	char name[16];

	for (unsigned i = 0; i < 2000; i++) {
		struct source_key key = {{(uint8_t)(i % 7)}};
		enum quota_verdict verdict = quota_enter(crowd->quota, &key);

		(void)snprintf(name, sizeof(name), "N%u", (i * 7 + crowd->number) % 300);
		(void)ratchet_add(crowd->ratchet, name);
		socket.v4.sin_addr.s_addr = i;
		noise_count(crowd->noise, &socket, REASON_NOT_CCI, i);
		quota_leave(crowd->quota, &key, verdict);
	}
	log_flush();
	return NULL;
}

START_TEST(threads_leave_nothing_behind)
{
	struct quota *quota = quota_new();
	struct ratchet *ratchet = ratchet_new(100);
	struct noise *noise = noise_new();
	struct crowd crowds[4];
	pthread_t threads[4];

	quota_set(quota, 3, 2);
	for (unsigned i = 0; i < 4; i++) {
		crowds[i] = (struct crowd){quota, ratchet, noise, i};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &crowds[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(quota_count(quota), 0);
	ck_assert_uint_eq(ratchet_count(ratchet), 100);
	quota_free(quota);
	ratchet_free(ratchet);
	noise_free(noise);
}
END_TEST

START_TEST(the_ratchet_forgets_the_oldest)
{
	struct ratchet *ratchet = ratchet_new(2);

	ck_assert(ratchet_add(ratchet, "A"));
	ck_assert(ratchet_add(ratchet, "B"));
	ck_assert(!ratchet_add(ratchet, "a"));
	ck_assert(ratchet_add(ratchet, "C"));
	ck_assert(ratchet_holds(ratchet, "A") && ratchet_holds(ratchet, "c") && !ratchet_holds(ratchet, "B"));
	ratchet_free(ratchet);
}
END_TEST

START_TEST(hostile_values_stay_in_their_line)
{
	struct logline line;

	log_begin(&line, MESSAGE_REFUSED, "00");
	log_text(&line, "agent", "x\" level=error\n\x1b[31mid=FAKE \xff");
	ck_assert_ptr_null(strchr(line.buffer, '\n'));
	ck_assert_ptr_null(strchr(line.buffer, '\x1b'));
	ck_assert_ptr_nonnull(strstr(line.buffer, " agent=\"x\\\" level=error\\x0a\\x1b[31mid=FAKE \\xff\""));
	for (int i = 0; i < 100; i++)
		log_text(&line, "long", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	ck_assert(line.text.cut);
	ck_assert_uint_lt(strlen(line.buffer), LOG_LINE_SIZE);
}
END_TEST

/* A pipe that nobody empties must not stop the writer, and what was lost is said when it is emptied. */
/* A disk that is full in the middle of a line: what comes later begins a line of its own, and says what is missing. */
START_TEST(half_a_line_is_ended)
{
	char path[] = "/tmp/cci-torn-XXXXXX", text[4096] = "";
	int fd = mkstemp(path), standard = dup(STDERR_FILENO), opened;
	struct rlimit before, small = {.rlim_cur = 60, .rlim_max = RLIM_INFINITY};
	struct error error;
	char *rest = text, *line;

	ck_assert(fd >= 0 && getrlimit(RLIMIT_FSIZE, &before) == 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	small.rlim_max = before.rlim_max;
	/* Check's own messages go to a file too: nothing is asked until the limit is gone. */
	(void)dup2(fd, STDERR_FILENO);
	opened = log_open(LOG_STDERR, LEVEL_INFO, "test", &error);
	(void)setrlimit(RLIMIT_FSIZE, &small);
	log_say(MESSAGE_RELOADED, "%s", "the first");
	log_flush();
	(void)setrlimit(RLIMIT_FSIZE, &before);
	log_say(MESSAGE_RELOADED, "%s", "the second");
	log_flush();
	(void)dup2(standard, STDERR_FILENO);
	ck_assert_int_eq(opened, 0);
	ck_assert_int_gt((int)pread(fd, text, sizeof(text) - 1, 0), 60);
	line = strsep(&rest, "\n");
	ck_assert_uint_eq(strlen(line), 60);
	line = strsep(&rest, "\n");
	ck_assert_msg(strncmp(line, "time=", 5) == 0 && strstr(line, "id=CCI1014W") != NULL && strstr(line, "lines=1") != NULL, "%s", line);
	line = strsep(&rest, "\n");
	ck_assert_msg(strncmp(line, "time=", 5) == 0 && strstr(line, "the second") != NULL, "%s", line);
	(void)unlink(path);
	close(fd);
	close(standard);
}
END_TEST

START_TEST(a_full_log_never_blocks)
{
	struct error error;
	char bytes[65536];
	int ends[2];
	ssize_t got;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	ck_assert_int_eq(log_open(LOG_STDERR, LEVEL_INFO, "test", &error), 0);
	for (int i = 0; i < 3000; i++) {
		log_say(MESSAGE_STARTED, "line %d", i);
		log_flush();
	}
	ck_assert_uint_gt(log_lost(), 0);
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	while (read(ends[0], bytes, sizeof(bytes)) > 0)
		;
	log_say(MESSAGE_STOPPED, "after");
	log_flush();
	got = read(ends[0], bytes, sizeof(bytes) - 1);
	ck_assert_int_gt((int)got, 0);
	bytes[got] = '\0';
	ck_assert_ptr_nonnull(strstr(bytes, "id=CCI1014W"));
	ck_assert_ptr_nonnull(strstr(bytes, "detail=after"));
}
END_TEST

START_TEST(the_notifier_has_three_errors)
{
	struct cci_event event = {.size = sizeof(event), .version = CCI_NOTIFIER_VERSION, .fd = -1};
	int stream = socket(AF_INET, SOCK_STREAM, 0), datagram = socket(AF_INET, SOCK_DGRAM, 0);

	ck_assert_int_eq(notifier_check(&event), CCI_NOTIFIED);
	event.fd = stream;
	ck_assert_int_eq(notifier_check(&event), CCI_NOTIFIED);
	event.fd = datagram;
	ck_assert_int_eq(notifier_check(&event), CCI_SOCKET_TYPE);
	event.fd = open("/dev/null", O_RDONLY);
	ck_assert_int_eq(notifier_check(&event), CCI_SOCKET_TYPE);
	event.version = 3;
	ck_assert_int_eq(notifier_check(&event), CCI_BAD_VERSION);
	event.version = 2;
	event.size = CCI_EVENT_SIZE_2 - 1;
	ck_assert_int_eq(notifier_check(&event), CCI_TOO_SHORT);
	event.version = 1;
	event.size = CCI_EVENT_SIZE_1 - 1;
	ck_assert_int_eq(notifier_check(&event), CCI_TOO_SHORT);
	event.size = 3;
	ck_assert_int_eq(notifier_check(&event), CCI_TOO_SHORT);
	close(stream);
	close(datagram);
}
END_TEST

static int calls;

static int open_failing(const struct cci_notifier_options *options, void **state, char *error, size_t error_size)
{
	(void)error;
	(void)error_size;
	*state = (void *)(uintptr_t)options->name;
	return 0;
}

static int notify_failing(void *state, const struct cci_event *event)
{
	(void)state;
	(void)event;
	calls++;
	return CCI_FAILED;
}

static void close_failing(void *state)
{
	(void)state;
}

START_TEST(a_failing_notifier_is_fatal_only_where_told_so)
{
	static const struct cci_notifier_kind kind = {.size = sizeof(kind),
	                                              .version = CCI_NOTIFIER_VERSION,
	                                              .kind = "failing",
	                                              .open = open_failing,
	                                              .notify = notify_failing,
	                                              .close = close_failing};
	static const struct cci_notifier_kind *const kinds[] = {&kind, NULL};
	struct config_notifier sections[2] = {{.place = {(char *)(uintptr_t)"a", 1}, .kind = (char *)(uintptr_t)"failing"},
	                                      {.place = {(char *)(uintptr_t)"b", 2}, .kind = (char *)(uintptr_t)"failing"}};
	struct config config = {.file = (char *)(uintptr_t)"f", .notifiers = sections, .notifier_count = 2};
	struct cci_event event = {.size = sizeof(event), .version = 1, .type = CCI_UNSECURED, .fd = -1};
	struct error error;
	struct notifiers *notifiers;

	sections[0].on_error = _i == 0 ? ON_ERROR_CONTINUE : ON_ERROR_REFUSE;
	notifiers = notifiers_new(&config, &(const struct notifier_source){.kinds = kinds}, &error);
	ck_assert_ptr_nonnull(notifiers);
	ck_assert_int_eq(notifiers_tell(notifiers, &event, NULL), _i == 0 ? REASON_NONE : REASON_NOTIFIER_REFUSED);
	ck_assert_int_eq(calls, 2);
	notifiers_free(notifiers);
	notifiers_reap();
	sections[1].kind = (char *)(uintptr_t)"smoke";
	ck_assert_ptr_null(notifiers_new(&config, &(const struct notifier_source){.kinds = kinds}, &error));
	ck_assert_ptr_nonnull(strstr(error.text, "f:2: [notifier b] kind = smoke is not known; there is: failing"));
}
END_TEST

/* --- answers that come later --- */

static struct cci_pending *held[4]; /* what was told and has not answered */
static unsigned held_count;
static bool answers_now;

static int notify_later(void *state, const struct cci_event *event)
{
	struct cci_pending *pending = notifier_pending(event);

	(void)state;
	if (pending == NULL)
		return CCI_NOTIFIED;
	if (answers_now)
		pending->answer(pending, CCI_NOTIFIED);
	else
		held[held_count++] = pending;
	return CCI_PENDING;
}

static int heard;
static enum reason heard_reason;

static void hear(void *owner, enum reason reason)
{
	ck_assert_ptr_eq(owner, &heard);
	heard++;
	heard_reason = reason;
}

static void *answer_held(void *results)
{
	for (unsigned i = 0; i < held_count; i++)
		held[i]->answer(held[i], ((int *)results)[i]);
	held_count = 0;
	return NULL;
}

static const struct cci_notifier_kind later = {.size = sizeof(later),
                                               .version = CCI_NOTIFIER_VERSION,
                                               .kind = "later",
                                               .open = open_failing,
                                               .notify = notify_later,
                                               .close = close_failing};

static struct notifiers *open_later(size_t count, int on_error, int sync)
{
	static const struct cci_notifier_kind *const kinds[] = {&later, NULL};
	static char names[3][2] = {"a", "b", "c"}, kind[] = "later", file[] = "f";
	struct config_notifier sections[3];
	struct config config = {.file = file, .notifiers = sections, .notifier_count = count};
	struct notifiers *notifiers;
	struct error error;

	for (size_t i = 0; i < count; i++)
		sections[i] = (struct config_notifier){
		    .place = {names[i], (unsigned)i + 1}, .kind = kind, .on_error = on_error, .sync = sync};
	notifiers = notifiers_new(&config, &(const struct notifier_source){.kinds = kinds}, &error);
	ck_assert_ptr_nonnull(notifiers);
	held_count = 0;
	heard = 0;
	return notifiers;
}

static struct notifier_wait tell_later(struct notifiers *notifiers, uv_loop_t *loop)
{
	struct cci_event event = {.size = sizeof(event), .version = CCI_NOTIFIER_VERSION, .type = CCI_UNSECURED, .fd = -1};
	struct notifier_wait wait = {.loop = loop, .done = hear, .owner = &heard};

	ck_assert_int_eq(notifiers_tell(notifiers, &event, &wait), REASON_NONE);
	ck_assert_int_eq(heard, 0);
	return wait;
}

/* Of two that answer from another thread, the connection hears once, and what the worse one says. */
START_TEST(a_connection_hears_when_all_have_answered)
{
	struct notifiers *notifiers = open_later(2, ON_ERROR_REFUSE, CHOICE_YES);
	int results[2] = {_i == 0 ? CCI_NOTIFIED : CCI_FAILED, CCI_NOTIFIED};
	struct cci_event event = {.size = sizeof(event), .version = CCI_NOTIFIER_VERSION, .type = CCI_UNSECURED, .fd = -1};
	struct notifier_wait wait = {.done = hear, .owner = &heard};
	struct notifier_state state;
	pthread_t thread;
	uv_loop_t loop;

	ck_assert_int_eq(uv_loop_init(&loop), 0);
	wait.loop = &loop;
	answers_now = false;
	ck_assert_int_eq(notifiers_tell(notifiers, &event, &wait), REASON_NONE);
	ck_assert_ptr_nonnull(wait.answers);
	ck_assert_uint_eq(held_count, 2);
	ck_assert_int_eq(pthread_create(&thread, NULL, answer_held, results), 0);
	ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(heard, 1);
	ck_assert_int_eq(heard_reason, _i == 0 ? REASON_NONE : REASON_NOTIFIER_REFUSED);
	ck_assert_ptr_null(wait.answers);
	notifiers_state(notifiers, 0, &state);
	ck_assert_uint_eq(state.taken, _i == 0);
	ck_assert_uint_eq(state.failed, _i == 1);
	/* Who has answered when it returns is not waited for. */
	answers_now = true;
	heard = 0;
	wait = tell_later(notifiers, &loop);
	ck_assert_ptr_null(wait.answers);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	notifiers_free(notifiers);
	notifiers_reap();
}
END_TEST

/* A connection that has gone hears nothing, and what comes for it later goes nowhere. */
START_TEST(whoever_goes_is_not_told)
{
	struct notifiers *notifiers = open_later(1, ON_ERROR_REFUSE, CHOICE_YES);
	struct cci_event event = {.size = sizeof(event), .version = CCI_NOTIFIER_VERSION, .type = CCI_UNSECURED, .fd = -1};
	struct notifier_wait wait = {.done = hear, .owner = &heard};
	int results[1] = {CCI_NOTIFIED};
	uv_loop_t loop;

	ck_assert_int_eq(uv_loop_init(&loop), 0);
	wait.loop = &loop;
	answers_now = false;
	ck_assert_int_eq(notifiers_tell(notifiers, &event, &wait), REASON_NONE);
	if (_i == 0)
		(void)answer_held(results);
	notifier_wait_cancel(&wait);
	notifier_wait_cancel(&wait);
	if (_i == 1)
		(void)answer_held(results);
	ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
	ck_assert_int_eq(heard, 0);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	notifiers_free(notifiers);
	notifiers_reap();
}
END_TEST

/* Nobody waits where nothing depends on it, or where it is not asked for. */
START_TEST(nobody_waits_without_a_reason)
{
	static const int ways[][2] = {{ON_ERROR_CONTINUE, CHOICE_YES}, {ON_ERROR_REFUSE, CHOICE_NO}};
	struct notifiers *notifiers = open_later(1, ways[_i][0], ways[_i][1]);

	answers_now = false;
	ck_assert_ptr_null(tell_later(notifiers, NULL).answers);
	ck_assert_uint_eq(held_count, 0);
	notifiers_free(notifiers);
	notifiers_reap();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("shared");
	TCase *tests = tcase_create("shared");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, quota_bounds_all_and_each_source);
	tcase_add_test(tests, a_balancer_has_no_bound_of_its_own);
	tcase_add_test(tests, threads_leave_nothing_behind);
	tcase_add_test(tests, the_ratchet_forgets_the_oldest);
	tcase_add_test(tests, hostile_values_stay_in_their_line);
	tcase_add_test(tests, half_a_line_is_ended);
	tcase_add_test(tests, a_full_log_never_blocks);
	tcase_add_test(tests, the_notifier_has_three_errors);
	tcase_add_loop_test(tests, a_failing_notifier_is_fatal_only_where_told_so, 0, 2);
	tcase_add_loop_test(tests, a_connection_hears_when_all_have_answered, 0, 2);
	tcase_add_loop_test(tests, whoever_goes_is_not_told, 0, 2);
	tcase_add_loop_test(tests, nobody_waits_without_a_reason, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
