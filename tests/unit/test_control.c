/* The control socket by itself: framing, answers in parts, who leaves early; filters; the table of verbs; tables for
 * people. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "control_print.h"
#include "daemon_parts.h"
#include "inspect.h"
#include "suite.h"

#define NAMES 1500 /* of the ratchet: more than one part */

static struct daemon gateway;
static struct config config;
static struct snapshot snapshot;
static struct control *control;
static char folder[64], path[96];

static void open_control(void)
{
	struct error error;

	(void)signal(SIGPIPE, SIG_IGN);
	memset(&gateway, 0, sizeof(gateway));
	memset(&config, 0, sizeof(config));
	(void)strcpy(folder, "/tmp/cci-control-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/s", folder);
	ck_assert_int_eq(uv_loop_init(&gateway.loop), 0);
	gateway.program = PROGRAM_CCISSL;
	gateway.snapshot = &snapshot;
	snapshot.config = &config;
	config.file = (char *)(uintptr_t) "test.ini";
	config.control.socket = path;
	config.control.mode = 0600;
	gateway.shared.ratchet = ratchet_new(NAMES);
	gateway.shared.peer_ratchet = ratchet_new(1);
	control = control_new(&gateway, &error);
	ck_assert_ptr_nonnull(control);
	ck_assert_msg(control_prepare(control, &config, NULL, &error) == 0, "%s", error.text);
	control_use(control);
}

static void close_control(void)
{
	control_close(control, false);
	(void)uv_run(&gateway.loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&gateway.loop), 0);
	control_free(control);
	ratchet_free(gateway.shared.ratchet);
	ratchet_free(gateway.shared.peer_ratchet);
	ck_assert_int_eq(rmdir(folder), 0);
}

static int connect_there(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void turn(void)
{
	for (int i = 0; i < 5; i++)
		(void)uv_run(&gateway.loop, UV_RUN_NOWAIT);
}

static char answer[1024 * 1024];

/* All of the answer, and the end. */
static const char *read_answer(int fd)
{
	size_t used = 0;

	for (int i = 0; i < 10000; i++) {
		ssize_t got = read(fd, answer + used, sizeof(answer) - 1 - used);

		if (got == 0)
			break;
		if (got > 0)
			used += (size_t)got;
		else
			ck_assert_msg(errno == EAGAIN, "%d", errno);
		if (got < 0)
			usleep(500);
		(void)uv_run(&gateway.loop, UV_RUN_NOWAIT);
	}
	answer[used] = '\0';
	close(fd);
	return answer;
}

static void say(int fd, const char *words)
{
	ck_assert_int_eq(write(fd, words, strlen(words)), (ssize_t)strlen(words));
}

/* --- requests --- */

START_TEST(a_request_comes_in_any_pieces)
{
	static const char request[] = "ratchet list\n";
	int fd;

	open_control();
	for (size_t cut = 0; cut < sizeof(request) - 1; cut++) {
		fd = connect_there();
		ck_assert_int_eq(write(fd, request, cut), (ssize_t)cut);
		turn();
		ck_assert_int_lt(read(fd, answer, 1), 0);
		say(fd, request + cut);
		ck_assert_str_eq(read_answer(fd), "{\"ok\":true,\"answer\":[]}\n");
	}
	fd = connect_there();
	for (size_t i = 0; i < sizeof(request) - 1; i++) {
		ck_assert_int_eq(write(fd, request + i, 1), 1);
		turn();
	}
	ck_assert_str_eq(read_answer(fd), "{\"ok\":true,\"answer\":[]}\n");
	close_control();
}
END_TEST

START_TEST(malformed_requests_get_one_error)
{
	static const char *const requests[] = {"\n",
	                                       " \t\n",
	                                       "nothing\n",
	                                       "status extra\n",
	                                       "close\n",
	                                       "\x01\n",
	                                       "stat\x7fus\n",
	                                       "ratchet lift a b c\n",
	                                       "\xff\xfe\n",
	                                       "ratchet lift\n",
	                                       "ratchet x\n",
	                                       "connections id\n",
	                                       "connections =\n",
	                                       "trace a b c d\n"};
	json_t *whole;
	int fd;

	open_control();
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		fd = connect_there();
		say(fd, requests[i]);
		whole = json_loads(read_answer(fd), 0, NULL);
		ck_assert_msg(json_is_false(json_object_get(whole, "ok")), "%s: %s", requests[i], answer);
		ck_assert(json_is_string(json_object_get(whole, "error")));
		ck_assert_ptr_null(json_object_get(whole, "answer"));
		json_decref(whole);
	}
	/* Exactly as long as may be, and one more. */
	for (size_t extra = 0; extra < 2; extra++) {
		char line[CONTROL_REQUEST_BYTES + 1];

		memset(line, 'a', sizeof(line));
		line[CONTROL_REQUEST_BYTES - 1 + extra] = '\n';
		fd = connect_there();
		ck_assert_int_gt(write(fd, line, CONTROL_REQUEST_BYTES), 0);
		ck_assert_ptr_nonnull(strstr(read_answer(fd), extra == 0 ? "is not known" : "too long"));
	}
	close_control();
}
END_TEST

START_TEST(an_answer_in_parts_is_one_array)
{
	char name[32];
	json_t *whole;
	int fd;

	open_control();
	for (int i = 0; i < NAMES; i++) {
		(void)snprintf(name, sizeof(name), "NAME%d", i);
		ck_assert(ratchet_add(gateway.shared.ratchet, name));
	}
	ck_assert(ratchet_add(gateway.shared.peer_ratchet, "PEER1"));
	fd = connect_there();
	say(fd, "ratchet\n");
	whole = json_loads(read_answer(fd), 0, NULL);
	ck_assert(json_is_true(json_object_get(whole, "ok")));
	ck_assert_uint_eq(json_array_size(json_object_get(whole, "answer")), NAMES + 1);
	ck_assert_str_eq(
	    json_string_value(json_object_get(json_array_get(json_object_get(whole, "answer"), NAMES), "kind")), "peer");
	json_decref(whole);
	/* Who leaves in the middle of it, or before it, leaves nothing behind. */
	for (int i = 0; i < 20; i++) {
		fd = connect_there();
		say(fd, "ratchet\n");
		for (int j = 0; j < i; j++)
			(void)uv_run(&gateway.loop, UV_RUN_NOWAIT);
		close(fd);
		turn();
	}
	/* And so does who is cut. */
	fd = connect_there();
	say(fd, "ratchet\n");
	turn();
	close_control();
	close(fd);
}
END_TEST

/* Whoever asks waits for those who do not, and not for long: the oldest of them gives way. */
START_TEST(more_clients_than_may_be_wait)
{
	int fds[CONTROL_CLIENTS + 5];

	open_control();
	for (size_t i = 0; i < CONTROL_CLIENTS + 5; i++) {
		fds[i] = connect_there();
		if (i >= CONTROL_CLIENTS)
			say(fds[i], "ratchet\n");
		turn();
	}
	for (size_t i = CONTROL_CLIENTS; i < CONTROL_CLIENTS + 5; i++)
		ck_assert_str_eq(read_answer(fds[i]), "{\"ok\":true,\"answer\":[]}\n");
	/* Those who were answered have left room. */
	ck_assert_ptr_nonnull(strstr(read_answer(fds[0]), "others wait"));
	say(fds[CONTROL_CLIENTS - 1], "ratchet\n");
	ck_assert_str_eq(read_answer(fds[CONTROL_CLIENTS - 1]), "{\"ok\":true,\"answer\":[]}\n");
	for (size_t i = 1; i < CONTROL_CLIENTS - 1; i++)
		close(fds[i]);
	close_control();
}
END_TEST

START_TEST(what_is_handed_over_is_answered_still)
{
	int fd;

	open_control();
	fd = connect_there();
	turn();
	control_hand_over(control);
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_uint_eq(control_listeners(control)->count, 0);
	say(fd, "ratchet\n");
	ck_assert_str_eq(read_answer(fd), "{\"ok\":true,\"answer\":[]}\n");
	ck_assert_int_eq(unlink(path), 0);
	close_control();
}
END_TEST

START_TEST(a_preparation_that_is_forgotten_changes_nothing)
{
	struct config other = config;
	struct error error;
	char there[96];

	open_control();
	other = config;
	(void)snprintf(there, sizeof(there), "%.60s/t", folder);
	other.control.socket = there;
	ck_assert_int_eq(control_prepare(control, &other, NULL, &error), 0);
	ck_assert_int_eq(access(there, F_OK), 0);
	control_forget(control);
	ck_assert_int_lt(access(there, F_OK), 0);
	ck_assert_int_eq(access(path, F_OK), 0);
	other.control.socket = (char *)(uintptr_t) "/proc/none/s";
	ck_assert_int_ne(control_prepare(control, &other, NULL, &error), 0);
	ck_assert_ptr_nonnull(strstr(error.text, "[control] socket: unix:/proc/none/s"));
	/* Under chroot a path leads elsewhere once we run. */
	other.control.socket = there;
	other.gateway.chroot = folder;
	gateway.serving = true;
	ck_assert_int_ne(control_prepare(control, &other, NULL, &error), 0);
	ck_assert_ptr_nonnull(strstr(error.text, "restart"));
	ck_assert_int_lt(access(there, F_OK), 0);
	ck_assert_int_eq(access(path, F_OK), 0);
	close_control();
	control_forget(NULL);
	control_close(NULL, false);
	control_tick(NULL);
	control_free(NULL);
}
END_TEST

/* --- filters --- */

static const struct {
	const char *word, *error; /* NULL: it is taken */
} filters[] = {
    {"id=0123", NULL},
    {"sysid=BRANCH*", NULL},
    {"sysid=a?c", NULL},
    {"listener=l", NULL},
    {"rule=r", NULL},
    {"to=s", NULL},
    {"source=10.0.0.0/8", NULL},
    {"source=fe80::/10", NULL},
    {"secured=yes", NULL},
    {"secured=no", NULL},
    {"most=1", NULL},
    {"most=10000000", NULL},
    {"secured=maybe", "secured=maybe is not known"},
    {"secured=", "not known"},
    {"most=0", "most: "},
    {"most=-1", "most: "},
    {"most=x", "most: "},
    {"source=", ""},
    {"source=10.0.0.0/33", ""},
    {"sysid=", "is no pattern"},
    {"sysid=a b", "is no pattern"},
    {"colour=red", "colour=red is not known"},
    {"", "is not known"},
    {"id", "is not known"},
    {"=", "is not known"},
};

START_TEST(filters_are_taken_or_named)
{
	char *word = (char *)(uintptr_t)filters[_i].word;
	struct connection_filter filter;
	struct network network;
	struct error error;
	int result = connection_filter_parse(1, &word, &filter, &network, &error);

	ck_assert_msg((result == 0) == (filters[_i].error == NULL), "%s", word);
	ck_assert(result == 0 || strstr(error.text, filters[_i].error) != NULL);
}
END_TEST

/* --- the table of verbs --- */

START_TEST(verbs_fit_the_help)
{
	for (size_t i = 0; i < control_verb_count; i++) {
		const struct control_verb *verb = &control_verbs[i];

		ck_assert_uint_eq(strspn(verb->name, "abcdefghijklmnopqrstuvwxyz-"), strlen(verb->name));
		ck_assert_msg(strlen(verb->help) > 0 && strlen(verb->help) <= 51, "%s", verb->name);
		ck_assert_ptr_nonnull(verb->words);
		ck_assert(verb->programs != 0 && verb->least <= verb->most && verb->run != NULL);
		ck_assert_msg((verb->most > 0) == (verb->words[0] != '\0'), "%s", verb->name);
		for (size_t j = 0; j < i; j++)
			ck_assert_msg(strcmp(control_verbs[j].name, verb->name) != 0 ||
			                  (control_verbs[j].programs & verb->programs) == 0,
			              "%s stands twice", verb->name);
		if (verb->programs & PROGRAM_CCISSL)
			ck_assert_ptr_eq(control_verb_find(verb->name, PROGRAM_CCISSL), verb);
		else
			ck_assert_ptr_ne(control_verb_find(verb->name, PROGRAM_CCISSL), verb);
	}
	ck_assert_ptr_null(control_verb_find("", PROGRAM_CCISSL));
	ck_assert_ptr_null(control_verb_find("statu", PROGRAM_CCISSLGW));
}
END_TEST

/* --- tables --- */

/* Whoever answers: nothing but printable ASCII comes to a terminal, and nothing breaks. */
START_TEST(answers_are_printed_whatever_they_are)
{
	static const char *const answers[] = {
	    "null",
	    "[]",
	    "{}",
	    "7",
	    "\"a\\u001b[31mb\\u00e9\"",
	    "[null,7,\"x\",{},[]]",
	    "{\"text\":\"a\\nb\\u009b\",\"findings\":[\"c\\u0007\",7,null]}",
	    "[{\"id\":\"\\u001b]0;x\\u0007\",\"sysid\":[\"\\u202e\",\"b\"],\"up\":-1,\"down\":\"\\r\",\"started\":1.5}]",
	    "[{\"kind\":\"\\u001bk\",\"name\":\"\\u001bn\",\"state\":\"\\u001bs\",\"security\":\"\\u001b\",\"addresses\":[{"
	    "\"address\":"
	    "\"\\u001b\",\"health\":\"\\u0000x\",\"reason\":\"\\u001b\",\"detail\":\"\\u001b\",\"left_out_for_s\":"
	    "\"\\u001b\"}]}]",
	    "[{\"name\":\"\\u001b\",\"matches\":{\"\\u001bkey\":\"\\u001b\"},\"sets\":[\"\\u001b\"],\"connections\":"
	    "\"\\u001b\"}]",
	    "{\"connection\":\"\\u001b[2J\",\"side\":\"\\u009b\",\"stage\":\"\\u007f\",\"detail\":\"\\u001b\",\"hex\":\"\\u001b\"}",
	    "{\"tracing\":\"\\u001b[2J\"}",
	    "[{\"trace\":\"\\u001b[2J\",\"to\":\"\\u001b\"}]",
	    "[[\"a\\u007fb\"]]",
	    "{\"program\":\"\\u001b\",\"version\":\"\\u001b\",\"sysid\":\"\\u001b\",\"config\":\"\\u001b\",\"listeners\":[{"
	    "\"name\":"
	    "\"\\u001b\",\"addresses\":[\"\\u001b\"],\"policy\":\"\\u001b\",\"audit_policy\":\"\\u001b\"}],\"open\":"
	    "\"\\u001b\"}",
	};
	char *text;
	size_t size;

	for (size_t i = 0; i <= control_verb_count; i++)
		for (size_t j = 0; j < sizeof(answers) / sizeof(answers[0]); j++) {
			json_t *value = json_loads(answers[j], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
			int (*print)(const json_t *, FILE *) = i < control_verb_count ? control_verbs[i].print : control_print_text;
			FILE *stream = open_memstream(&text, &size);

			ck_assert_msg(value != NULL, "%s", answers[j]);
			if (print != NULL)
				(void)print(value, stream);
			(void)fclose(stream);
			for (size_t k = 0; k < size; k++)
				ck_assert_msg(text[k] == '\n' || (text[k] >= ' ' && text[k] <= '~'), "%s: %02x from %s",
				              i < control_verb_count ? control_verbs[i].name : "text", (unsigned char)text[k],
				              answers[j]);
			free(text);
			json_decref(value);
		}
}
END_TEST

START_TEST(tables_are_aligned)
{
	json_t *value = json_loads("[{\"kind\":\"client\",\"name\":\"A\",\"first\":\"F\"},"
	                           "{\"kind\":\"peer\",\"name\":\"LONGER\",\"last\":\"L\",\"until\":\"U\"}]",
	                           0, NULL);
	FILE *stream;
	char *text;
	size_t size;

	stream = open_memstream(&text, &size);
	ck_assert_int_eq(control_print_ratchet(value, stream), 0);
	(void)fclose(stream);
	ck_assert_str_eq(text, "KIND    NAME    FIRST SECURED  LAST SECURED  HOLDS UNTIL\n"
	                       "client  A       F              -             -\n"
	                       "peer    LONGER  -              L             U\n");
	free(text);
	json_decref(value);
	stream = fopen("/dev/full", "w");
	value = json_array();
	ck_assert_int_ne(control_print_ratchet(value, stream), 0);
	(void)fclose(stream);
	json_decref(value);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("control");
	TCase *tests = tcase_create("control");

	tcase_add_test(tests, a_request_comes_in_any_pieces);
	tcase_add_test(tests, malformed_requests_get_one_error);
	tcase_add_test(tests, an_answer_in_parts_is_one_array);
	tcase_add_test(tests, more_clients_than_may_be_wait);
	tcase_add_test(tests, what_is_handed_over_is_answered_still);
	tcase_add_test(tests, a_preparation_that_is_forgotten_changes_nothing);
	tcase_add_loop_test(tests, filters_are_taken_or_named, 0, (int)(sizeof(filters) / sizeof(filters[0])));
	tcase_add_test(tests, verbs_fit_the_help);
	tcase_add_test(tests, answers_are_printed_whatever_they_are);
	tcase_add_test(tests, tables_are_aligned);
	suite_add_tcase(suite, tests);
	return suite;
}
