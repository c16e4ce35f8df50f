/* Scenarios of traces with the real pair: what they show of each kind of connection, to whom, and for how long. */
#include <check.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "controlling.h"

#define BALANCER "127.0.0.2"

static struct gateway far, near;

static void start(void)
{
	control_make_folder();
	gateway_start(&far, "ccissl",
	              "[gateway]\nsysid = HOST1\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
	              "[service s]\naddress = builtin:echo\n" TLS_SECTION);
	gateway_start(
	    &near, "ccisslgw",
	    "[gateway]\nsysid = GW1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nunsecured_connections = allow\n"
	    "direct = yes\ntarget = HOST1\n[listener b]\naddress = 127.0.0.1:0\nunsecured_connections = allow\n"
	    "target = HOST1\nproxy_from = " BALANCER "\n"
	    "[rule no]\nsysid = BAD*\naction = refuse\n[peer P]\naddress = 127.0.0.1:%d\ntargets = HOST1\n"
	    "security = required\nserver_name = localhost\n" TLS_SECTION "[control]\nsocket = %s\n",
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

/* Until the gateway knows that its readers have gone. */
static void wait_for_silence(void)
{
	for (int i = 0; i < 500; i++) {
		say("trace", 0, NULL, NULL);
		if (strcmp(control_out, "nothing is traced\n") == 0)
			return;
		usleep(10000);
	}
	ck_abort_msg("%s", control_out);
}

/* --- a ctl that follows --- */

struct follower {
	pid_t pid;
	FILE *lines;
	char text[256 * 1024]; /* all that it has printed so far */
	size_t used;
};

static struct follower follower;

/* The next line, without its end; NULL when there is none any more. */
static const char *next_line(void)
{
	char *line = follower.text + follower.used;

	if (fgets(line, (int)(sizeof(follower.text) - follower.used), follower.lines) == NULL)
		return NULL;
	follower.used += strlen(line);
	return line;
}

/* `ctl [--json] trace WHAT`, until it says that it traces. */
static void follow(const char *what, bool json)
{
	char program[128];
	int ends[2];

	(void)snprintf(program, sizeof(program), "%s/ccisslgw", gateway_build());
	ck_assert_int_eq(pipe(ends), 0);
	follower.used = 0;
	follower.pid = fork();
	ck_assert_int_ge(follower.pid, 0);
	if (follower.pid == 0) {
		(void)dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		if (json)
			(void)execl(program, program, "ctl", "--socket", control_path, "--json", "trace", what, NULL);
		else
			(void)execl(program, program, "ctl", "--socket", control_path, "trace", what, NULL);
		_exit(127);
	}
	close(ends[1]);
	follower.lines = fdopen(ends[0], "r");
	ck_assert_ptr_nonnull(follower.lines);
	ck_assert_ptr_nonnull(next_line());
	ck_assert_msg(strstr(follower.text, "tracing") != NULL, "%s", follower.text);
}

/* Until a line has `text`. */
static const char *line_with(const char *text)
{
	const char *line;

	while ((line = next_line()) != NULL)
		if (strstr(line, text) != NULL)
			return line;
	ck_abort_msg("no %s in: %s", text, follower.text);
}

/* Ended by a signal, or (0) by itself: the exit status, or the signal. */
static int unfollow(int signal_number)
{
	int status;

	if (signal_number != 0)
		ck_assert_int_eq(kill(follower.pid, signal_number), 0);
	while (next_line() != NULL)
		;
	(void)fclose(follower.lines);
	ck_assert_int_eq(waitpid(follower.pid, &status, 0), follower.pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
}

/* These, in this order. */
static void expect_in_order(const char *const *texts)
{
	const char *at = follower.text;

	for (; *texts != NULL; texts++) {
		const char *found = strstr(at, *texts);

		ck_assert_msg(found != NULL, "no %s, in its order, in: %s", *texts, follower.text);
		at = found + strlen(*texts);
	}
}

static void expect_printable(void)
{
	for (size_t i = 0; i < follower.used; i++) {
		unsigned char byte = (unsigned char)follower.text[i];

		ck_assert_msg(byte == '\n' || (byte >= 0x20 && byte <= 0x7e), "%02x in %s", byte, follower.text);
	}
}

/* --- what comes --- */

/* An OFFER, and the type of the answer to it. */
static int offer_to(int port, const char *sysid, const char *agent, int security)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, security, sysid, NULL);
	int fd = peer_connect(port), type = 0;

	if (agent != NULL)
		size = peer_add(offer, size, 4, agent, strlen(agent));
	if (peer_exchange(fd, NULL, offer, size, answer) > 0)
		type = peer_type(answer);
	if (type == 2 && security == 2)
		ck_assert(peer_write(fd, NULL, "this is no ClientHello, this is no ClientHello", 46));
	close(fd);
	return type;
}

START_TEST(both_legs_are_in_one_trace)
{
	static const char *const order[] = {"front  accepted: from 127.0.0.1:",
	                                    "front  received: OFFER cpu=utf-8",
	                                    "sysid=\"LEG1\"",
	                                    " 43434950", /* its bytes */
	                                    "front  decided: tls by",
	                                    "back   target chosen: peer P",
	                                    "front  sent: ACCEPT",
	                                    "front  handshake starts: after a clear exchange",
	                                    "front  handshake done: TLS 1.3",
	                                    "front  sent: CONFIRM",
	                                    "... verifier not shown",
	                                    "front  received: CONFIRM",
	                                    "front  confirmed",
	                                    "back   connected",
	                                    "back   sent: OFFER",
	                                    "back   received: ACCEPT",
	                                    "back   handshake done: TLS",
	                                    "back   confirmed",
	                                    "relay starts: secured to the client, secured",
	                                    "first bytes: ",
	                                    "ended: ",
	                                    NULL};
	static const char *const by[] = {"127.0.0.0/8", "sysid=leg?"};
	struct control_client client;

	start();
	follow(by[_i], false);
	client = control_client(&near, "LEG1", NULL, true);
	control_part(&client);
	(void)line_with("ended: ");
	ck_assert_int_eq(unfollow(SIGINT), SIGINT);
	expect_in_order(order);
	ck_assert_ptr_null(strstr(follower.text, "70696e67")); /* the payload */
	wait_for_silence();
	stop();
}
END_TEST

START_TEST(each_line_is_an_object)
{
	struct control_client client;
	size_t count = 0;
	char id[64] = "";
	char *save = NULL;

	start();
	follow("127.0.0.0/8", true);
	client = control_client(&near, "LEG1", "\xe2\x80\xae\"x", true);
	control_part(&client);
	(void)line_with("\"ended\"");
	ck_assert_int_eq(unfollow(SIGINT), SIGINT);
	expect_printable();
	for (char *line = strtok_r(follower.text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		json_t *object = json_loads(line, 0, NULL);
		const char *connection = json_string_value(json_object_get(object, "connection"));

		ck_assert_msg(json_is_object(object), "%s", line);
		if (count++ > 0) {
			ck_assert_ptr_nonnull(connection);
			if (id[0] == '\0')
				(void)snprintf(id, sizeof(id), "%s", connection);
			ck_assert_str_eq(connection, id);
			ck_assert(json_is_integer(json_object_get(object, "us")));
			ck_assert(json_is_string(json_object_get(object, "stage")) &&
			          json_is_string(json_object_get(object, "detail")));
		}
		json_decref(object);
	}
	ck_assert_uint_gt(count, 15);
	stop();
}
END_TEST

START_TEST(a_direct_start)
{
	static const char *const order[] = {"front  accepted: from",
	                                    "handshake starts: TLS from the first byte",
	                                    "front  handshake done: TLS",
	                                    "received: OFFER",
	                                    "decided: inside",
	                                    "sent: ACCEPT",
	                                    "relay starts: secured to the client",
	                                    "ended: ",
	                                    NULL};
	uint8_t offer[4096], answer[4096];
	int fd;
	SSL *ssl;

	start();
	follow("sysid=LEG1", false);
	fd = peer_connect(near.ports[0]);
	ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci/1", .ca = CERTS "ca.pem"});
	ck_assert_ptr_nonnull(ssl);
	ck_assert_int_gt(peer_exchange(fd, ssl, offer, peer_offer(offer, 1, 4, "LEG1", NULL), answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	peer_free(fd, ssl);
	(void)line_with("ended: ");
	(void)unfollow(SIGINT);
	expect_in_order(order);
	stop();
}
END_TEST

START_TEST(a_refusal)
{
	static const char *const order[] = {"accepted: from",
	                                    "received: OFFER",
	                                    "decided: refuse by rule no",
	                                    "sent: REFUSE cpu=utf-8 reason=7(not-permitted)",
	                                    "ended: not-permitted",
	                                    NULL};

	start();
	follow("sysid=BAD*", false);
	ck_assert_int_eq(offer_to(near.ports[0], "LEG1", NULL, 0), 2);
	ck_assert_int_eq(offer_to(near.ports[0], "BAD1", NULL, 0), 3);
	(void)line_with("ended: ");
	(void)unfollow(SIGINT);
	expect_in_order(order);
	ck_assert_ptr_null(strstr(follower.text, "LEG1"));
	stop();
}
END_TEST

/* Nothing of it reaches a terminal, in words or in the log. */
START_TEST(a_hostile_offer)
{
	start();
	say("trace 127.0.0.1 on", 0, NULL, NULL);
	follow("127.0.0.1", false);
	ck_assert_int_eq(offer_to(near.ports[0], "LEG1", "\"\\\xc3\xa9\xe2\x80\xae", 0), 2);
	(void)line_with("agent=\"\\\"\\\\\\xc3\\xa9\\xe2\\x80\\xae\"");
	(void)line_with("ended: ");
	ck_assert_int_eq(offer_to(near.ports[0], "\033[31m", NULL, 0), 3);
	(void)line_with("bytes that are no message: the sysid is not a CCI name");
	(void)line_with("1b5b33316d");
	(void)line_with("ended: bad-message");
	ck_assert_int_eq(offer_to(near.ports[0], "LEG1", "\033[2J", 0), 3);
	(void)line_with("bytes that are no message: the agent is not a text");
	(void)line_with("1b5b324a");
	(void)line_with("ended: bad-message");
	(void)unfollow(SIGINT);
	expect_printable();
	ck_assert_int_ge(gateway_lines(&near, 1, "id=CCI1130I", "OFFER", "xc3"), 1);
	ck_assert_int_eq(gateway_lines(&near, 0, "\033", NULL, NULL), 0);
	stop();
}
END_TEST

START_TEST(a_failed_handshake)
{
	static const char *const order[] = {"accepted: from",
	                                    "received: OFFER",
	                                    "sent: ACCEPT",
	                                    "handshake starts",
	                                    "handshake failed: handshake-failed: ",
	                                    "ended: handshake-failed",
	                                    NULL};

	start();
	follow("sysid=LEG1", false);
	ck_assert_int_eq(offer_to(near.ports[0], "LEG1", NULL, 2), 2);
	(void)line_with("ended: ");
	(void)unfollow(SIGINT);
	expect_in_order(order);
	stop();
}
END_TEST

/* By the first digits of its id; it ends with the connection, and says nothing of others. */
START_TEST(one_connection_until_it_ends)
{
	struct control_client client, other;
	char id[9];

	start();
	client = control_client(&near, "LEG1", NULL, true);
	say("connections sysid=LEG1", 0, "LEG1", NULL);
	say("--json connections sysid=LEG1", 0, "\"id\":\"", NULL);
	(void)snprintf(id, sizeof(id), "%s", strstr(control_out, "\"id\":\"") + 6);
	say("trace 0000", 1, NULL, "no connection");
	follow(id, false);
	say("trace", 0, "to reader", NULL);
	other = control_client(&near, "LEG2", NULL, true);
	control_part(&other);
	control_part(&client);
	ck_assert_int_eq(unfollow(0), 0);
	ck_assert_ptr_nonnull(strstr(follower.text, "ended: "));
	for (char *save = NULL, *line = strtok_r(strchr(follower.text, '\n'), "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save))
		ck_assert_msg(strncmp(line, id, 8) == 0, "%s: %s", id, line);
	wait_for_silence();
	stop();
}
END_TEST

/* The header and what was before it are in the trace of the client, not of the other ones. */
START_TEST(a_client_behind_a_balancer)
{
	static const char *const order[] = {"accepted: from " BALANCER ":",
	                                    "PROXY header: from 192.0.2.9:1024 by way of " BALANCER, "received: OFFER",
	                                    "ended: ", NULL};
	static const char *const what[] = {"192.0.2.0/24", "sysid=LEG1"};
	static const char *const clients[] = {"198.51.100.9", "192.0.2.9"};

	start();
	follow(what[_i], false);
	for (int i = 0; i < 2; i++) {
		uint8_t bytes[4096];
		int size = snprintf((char *)bytes, 108, "PROXY TCP4 %s 198.51.100.2 1024 1202\r\n", clients[i]);
		int fd = peer_connect_from(BALANCER, near.ports[1]);

		/* First a part of it: the header is awaited. */
		ck_assert(peer_write(fd, NULL, bytes, 5));
		usleep(20000);
		size += (int)peer_offer(bytes + size, 1, 0, i == 0 ? "LEG0" : "LEG1", NULL);
		ck_assert(peer_write(fd, NULL, bytes + 5, (size_t)size - 5));
		ck_assert_int_gt(peer_receive(fd, NULL, bytes), 0);
		ck_assert_int_eq(peer_type(bytes), 2);
		close(fd);
	}
	(void)line_with("ended: ");
	(void)unfollow(SIGINT);
	expect_in_order(order);
	ck_assert_ptr_null(strstr(follower.text, "198.51.100.9"));
	stop();
}
END_TEST

/* --- who does not read, who leaves --- */

static int ask_raw(const char *request)
{
	int fd = control_connect(), small = 4096;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	ck_assert(peer_write(fd, NULL, request, strlen(request)));
	ck_assert(peer_read(fd, NULL, control_out, 1)); /* it traces */
	return fd;
}

#define MANY 1200 /* connections; more lines than the gateway keeps for a client */

/* Every line was read, or said to be missed. */
START_TEST(who_reads_too_slowly_is_told)
{
	long long told = 0, lines = -1, missed = 0; /* the first one says what is traced */
	size_t used = 0;
	ssize_t got;
	int fd;

	start();
	fd = ask_raw("trace 127.0.0.0/8\n");
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(
		    offer_to(near.ports[0], "BAD1", "an agent that makes lines longer, much longer, as long as can be", 0), 3);
	do {
		say("--json connections", 0, NULL, NULL);
	} while (strcmp(control_out, "[]\n") != 0);
	say("trace", 0, "to reader", NULL);
	told = strtoll(strstr(control_out, "to reader") + 9, NULL, 10);
	ck_assert_int_gt(told, MANY * 4);
	/* What it takes now makes room; a last connection says what was missed. */
	used = 1;
	for (bool asked = false; lines + missed < told;) {
		got = recv(fd, control_out + used, sizeof(control_out) - 1 - used, MSG_DONTWAIT);
		if (got > 0) {
			used += (size_t)got;
			continue;
		}
		control_out[used] = '\0';
		lines = -1;
		missed = 0;
		for (const char *at = control_out; (at = strstr(at, "\n")) != NULL; at++)
			lines++;
		for (const char *at = control_out; (at = strstr(at, "\"missed\":")) != NULL; at += 9, lines--)
			missed += strtoll(at + 9, NULL, 10);
		if (!asked)
			ck_assert_int_eq(offer_to(near.ports[0], "BAD1", NULL, 0), 3);
		asked = true;
		usleep(5000);
	}
	ck_assert_int_gt(missed, 0);
	ck_assert_int_gt(lines, 10);
	close(fd);
	wait_for_silence();
	stop();
}
END_TEST

/* Whoever follows can leave at any time; the connections do not notice. */
START_TEST(who_leaves_is_forgotten)
{
	struct control_client client;

	start();
	client = control_client(&near, "LEG1", NULL, true);
	for (int i = 0; i < 10; i++) {
		int fd = ask_raw(i % 2 == 0 ? "trace 127.0.0.0/8\n" : "trace sysid=*\n");

		ck_assert_int_eq(offer_to(near.ports[0], "LEG2", NULL, 0), 2);
		close(fd);
		ck_assert_int_eq(offer_to(near.ports[0], "LEG3", NULL, 2), 2);
	}
	wait_for_silence();
	follow("sysid=LEG1", false);
	ck_assert_int_eq(unfollow(SIGKILL), SIGKILL);
	wait_for_silence();
	control_part(&client);
	stop();
}
END_TEST

/* The gateway ends while one follows: so does ctl. */
START_TEST(the_gateway_ends_first)
{
	start();
	follow("127.0.0.0/8", false);
	gateway_stop(&near);
	(void)unfollow(0);
	gateway_stop(&far);
	control_remove_folder();
}
END_TEST

/* --- into the log, and the list --- */

START_TEST(on_and_off)
{
	struct control_client client;

	start();
	say("trace", 0, "nothing is traced", NULL);
	say("--json trace", 0, "[]", NULL);
	ck_assert_int_eq(gateway_lines(&near, 0, "id=CCI1080I", NULL, NULL), 0);
	say("trace sysid=LEG* on", 0, "the log gets the trace of sysid=LEG* until it is switched off", NULL);
	say("trace sysid=LEG* on", 0, NULL, NULL);
	say("trace source 192.0.2.0/24 on", 0, NULL, NULL);
	ck_assert_int_eq(gateway_lines(&near, 3, "id=CCI1080I", "trace ", NULL), 3);
	ck_assert_int_eq(offer_to(near.ports[0], "BAD1", NULL, 0), 3);
	client = control_client(&near, "LEG1", NULL, false);
	ck_assert_int_eq(gateway_lines(&near, 1, "id=CCI1130I", "stage=accepted", NULL), 1);
	ck_assert_int_eq(gateway_lines(&near, 1, "id=CCI1130I", "received", "sysid=\\\"LEG1"), 1);
	ck_assert_int_eq(gateway_lines(&near, 0, "id=CCI1130I", "BAD1", NULL), 0);
	say("trace", 0, "sysid=LEG*                               to log ", NULL);
	say("--json trace", 0, "\"trace\":\"192.0.2.0/24\",\"to\":\"log\",\"lines\":0", NULL);
	say("--json connections", 0, "\"id\":\"", NULL);
	{
		char words[64], id[33];

		(void)snprintf(id, sizeof(id), "%s", strstr(control_out, "\"id\":\"") + 6);
		(void)snprintf(words, sizeof(words), "trace %.8s on", id);
		say(words, 0, "until it ends", NULL);
		say("trace", 0, id, NULL);
		control_part(&client);
		ck_assert_int_ge(gateway_lines(&near, 1, "id=CCI1130I", "stage=ended", NULL), 1);
		say("trace", 0, NULL, NULL);
		ck_assert_ptr_null(strstr(control_out, id));
	}
	say("trace sysid=LEG* off", 0, "no more", NULL);
	say("trace sysid=LEG* off", 1, NULL, "is not traced");
	say("trace 192.0.2.0/24 off", 0, "no more", NULL);
	say("trace", 0, "nothing is traced", NULL);
	say("trace sysid=%x on", 1, NULL, "no name");
	say("trace 300.1.1.1/8 on", 1, NULL, NULL);
	say("trace sysid=LEG1 perhaps", 1, NULL, "takes other words");
	stop();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("traces");
	TCase *tests = tcase_create("traces");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, both_legs_are_in_one_trace, 0, 2);
	tcase_add_test(tests, each_line_is_an_object);
	tcase_add_test(tests, a_direct_start);
	tcase_add_test(tests, a_refusal);
	tcase_add_test(tests, a_hostile_offer);
	tcase_add_test(tests, a_failed_handshake);
	tcase_add_test(tests, one_connection_until_it_ends);
	tcase_add_loop_test(tests, a_client_behind_a_balancer, 0, 2);
	tcase_add_test(tests, who_reads_too_slowly_is_told);
	tcase_add_test(tests, who_leaves_is_forgotten);
	tcase_add_test(tests, the_gateway_ends_first);
	tcase_add_test(tests, on_and_off);
	suite_add_tcase(suite, tests);
	return suite;
}
