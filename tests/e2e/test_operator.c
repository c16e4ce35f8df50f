/* Scenarios of operators' words and traces, with the real pair. */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "controlling.h"

static struct gateway far, near;

static void start(void)
{
	control_make_folder();
	gateway_start(&far, "ccissl",
	              "[gateway]\nsysid = HOST1\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
	              "[service s]\naddress = builtin:echo\n" TLS_SECTION);
	gateway_start(&near, "ccisslgw",
	              "[gateway]\nsysid = GW1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nunsecured_connections = allow\n"
	              "target = HOST1\n[peer P]\naddress = 127.0.0.1:%d\ntargets = HOST1\nsecurity = required\n"
	              "server_name = localhost\n" TLS_SECTION "[control]\nsocket = %s\n",
	              far.ports[0], control_path);
}

static void stop(void)
{
	gateway_stop(&near);
	gateway_stop(&far);
	control_remove_folder();
}

/* ctl of the near one. */
static void say(const char *words, int status, const char *out, const char *err)
{
	char line[256];
	int got;

	(void)snprintf(line, sizeof(line), "--socket %s %s", control_path, words);
	got = control_command_line("ccisslgw", "", line);
	ck_assert_msg(got == status, "%s: %d, %s%s", words, got, control_out, control_err);
	ck_assert_msg(out == NULL || strstr(control_out, out) != NULL, "%s: %s", words, control_out);
	ck_assert_msg(err == NULL || strstr(control_err, err) != NULL, "%s: %s", words, control_err);
}

static int refusal(void)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, 0, "LEG2", "HOST1");
	int fd = peer_connect(near.ports[0]), reason = 0;

	if (peer_exchange(fd, NULL, offer, size, answer) > 0 && peer_type(answer) == 3)
		reason = peer_reason(answer);
	close(fd);
	return reason;
}

START_TEST(a_disconnected_peer_is_not_used_until_connect)
{
	struct control_client client;

	start();
	client = control_client(&near, "LEG1", NULL, false);
	say("ping HOST1", 0, "response received: P calls itself HOST1, TLS, confirmed", NULL);
	say("disconnect HOST1", 0, "1 connections ended", NULL);
	ck_assert_int_eq(gateway_lines(&near, 1, "id=CCI3054I", "reason=disconnected", NULL), 1);
	ck_assert_int_eq(refusal(), 6);
	ck_assert_int_eq(gateway_lines(&near, 1, "reason=peer-down", "disconnected by the operator", NULL), 1);
	say("peers", 0, "peer P: disconnected", NULL);
	say("connect P", 0, "response received", NULL);
	ck_assert_int_eq(refusal(), 0);
	say("ping NOBODY", 1, NULL, "is no peer");
	control_part(&client);
	stop();
}
END_TEST

START_TEST(a_trace_in_the_log_shows_both_sides)
{
	struct control_client client;

	start();
	say("trace source 127.0.0.0/8 on", 0, "the log gets the trace", NULL);
	client = control_client(&near, "LEG1", NULL, false);
	control_part(&client);
	ck_assert_int_ge(gateway_lines(&near, 1, "id=CCI1130I", "side=front", "OFFER cpu=utf-8"), 1);
	ck_assert_int_ge(gateway_lines(&near, 1, "id=CCI1130I", "side=back", "security=required"), 1);
	ck_assert_int_ge(gateway_lines(&near, 1, "id=CCI1130I", "stage=ended", NULL), 1);
	say("trace", 0, "127.0.0.0/8", NULL);
	say("trace 127.0.0.0/8 off", 0, "no more", NULL);
	say("trace", 0, "nothing is traced", NULL);
	say("trace 00112233", 1, NULL, "no connection");
	stop();
}
END_TEST

/* A trace keeps its place at the socket for as long as it is followed; the other places stay. */
START_TEST(traces_leave_room_for_others)
{
	static const char request[] = "trace 127.0.0.0/8\n";
	char answer[512];
	int fds[20];

	start();
	for (int i = 0; i < 20; i++) {
		ssize_t got;

		fds[i] = control_connect();
		ck_assert(peer_write(fds[i], NULL, request, strlen(request)));
		got = read(fds[i], answer, sizeof(answer) - 1);
		ck_assert_int_gt(got, 0);
		answer[got] = '\0';
		ck_assert_msg(strstr(answer, i < 8 ? "\"tracing\":" : "8 traces are followed already") != NULL, "%d: %s", i, answer);
	}
	say("status", 0, NULL, NULL);
	say("trace 127.0.0.0/8 on", 0, NULL, NULL);
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	/* Those who go make room. */
	do
		say("trace", 0, NULL, NULL);
	while (strstr(control_out, "reader") != NULL);
	fds[0] = control_connect();
	ck_assert(peer_write(fds[0], NULL, request, strlen(request)));
	ck_assert_int_gt(read(fds[0], answer, sizeof(answer)), 0);
	ck_assert(strncmp(answer, "{\"ok\":true", 10) == 0);
	close(fds[0]);
	stop();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("operator");
	TCase *tests = tcase_create("operator");

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, a_disconnected_peer_is_not_used_until_connect);
	tcase_add_test(tests, a_trace_in_the_log_shows_both_sides);
	tcase_add_test(tests, traces_leave_room_for_others);
	suite_add_tcase(suite, tests);
	return suite;
}
