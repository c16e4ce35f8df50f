/* Scenarios of operators' words with the real pair: disconnect, connect, recycle, ping. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "following.h"
#include "web.h"

#define PEER(name) "[peer " name "]\nserver_name = localhost\nsecurity = required\naddress = 127.0.0.1:%d"

/* Listening and mute, the second one for health pings; a port where nobody is. */
static int silent, asked, dead;

static void start(const char *exchange)
{
	int silent_port, asked_port;

	control_make_folder();
	silent = peer_listen(&silent_port);
	asked = peer_listen(&asked_port);
	close(peer_listen(&dead));
	gateway_start(&far, "ccissl",
	              "[gateway]\nsysid = HOST1\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
	              "[listener never]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = never\n"
	              "[service s]\naddress = builtin:echo\n[service HOST2]\naddress = builtin:echo\n" TLS_SECTION);
	gateway_start(
	    &near, "ccisslgw",
	    "[gateway]\nsysid = GW1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nunsecured_connections = allow\n"
	    "target = HOST1\n[timeouts]\nexchange = %s\n" PEER("P") "\ntargets = HOST1\n" PEER(
	        "Q") "\ntargets = HOST2\n" PEER("DEAD") "\n" PEER("SILENT") "\n" PEER("TWO") ", 127.0.0.1:%d\n"
	                                                                                     "[peer CLEAR]\naddress = "
	                                                                                     "127.0.0.1:%d\nsecurity = "
	                                                                                     "none\n" PEER(
	                                                                                         "ASKED") "\nhealth_"
	                                                                                                  "interval = "
	                                                                                                  "100ms\n"
	                                                                                                  "[peer "
	                                                                                                  "WRONG]\naddress "
	                                                                                                  "= "
	                                                                                                  "127.0.0.1:%"
	                                                                                                  "d\nsecurity = "
	                                                                                                  "required\nserver"
	                                                                                                  "_name = "
	                                                                                                  "wrong."
	                                                                                                  "example"
	                                                                                                  "\n" TLS_SECTION
	                                                                                                  "[control]"
	                                                                                                  "\nsocket = "
	                                                                                                  "%s\nhttp "
	                                                                                                  "= 127.0.0.1:0\n",
	    exchange, far.ports[0], far.ports[0], dead, silent_port, dead, far.ports[0], far.ports[1], asked_port,
	    far.ports[0], control_path);
}

static void stop(void)
{
	pair_stop();
	close(silent);
	close(asked);
}

/* What an OFFER of `sysid` to `target` is answered: 0 is ACCEPT. */
static int refusal(const char *sysid, const char *target)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, 0, sysid, target);
	int fd = peer_connect(near.ports[0]), reason = 0;

	ck_assert_int_gt(peer_exchange(fd, NULL, offer, size, answer), 0);
	if (peer_type(answer) == 3)
		reason = peer_reason(answer);
	close(fd);
	return reason;
}

/* --- disconnect, connect, recycle --- */

START_TEST(a_disconnected_peer_is_not_used_until_connect)
{
	struct control_client client;

	start("10s");
	client = control_client(&near, "LEG1", NULL, false);
	/* In the clear from the client, secured between the hosts: both are said. */
	say("status", 0, "open now         0 secured, 1 clear, 0 undecided\nbetween hosts    1 secured, 0 clear\n", NULL);
	say("ping HOST1", 0, "response received: P calls itself HOST1, TLS, confirmed", NULL);
	say("disconnect HOST1", 0, "1 connection ended", NULL);
	ck_assert_int_eq(gateway_lines(&near, 1, "id=CCI3054I", "reason=disconnected", NULL), 1);
	ck_assert_int_eq(refusal("LEG2", "HOST1"), 6);
	ck_assert_int_eq(gateway_lines(&near, 1, "reason=peer-down", "disconnected by the operator", NULL), 1);
	say("peers", 0, "peer P: disconnected", NULL);
	say("disconnect P", 0, "disconnected as it was; 0 connections ended", NULL);
	/* A ping asks all the same, and changes nothing. */
	say("ping P", 0, "response received", NULL);
	ck_assert_int_eq(refusal("LEG2", "HOST1"), 6);
	say("connect P", 0, "peer P may be used again", NULL);
	ck_assert_ptr_nonnull(strstr(control_out, "response received"));
	ck_assert_int_eq(refusal("LEG2", "HOST1"), 0);
	say("connect P", 0, "as before", NULL);
	say("connect NOBODY", 1, NULL, "is no peer");
	say("disconnect", 2, NULL, "takes other words");
	ck_assert_int_eq(gateway_lines(&near, 2, "id=CCI1131W", "uid=", "pid="), 2);
	ck_assert_int_eq(gateway_lines(&near, 2, "id=CCI1132I", "uid=", "pid="), 2);
	control_part(&client);
	stop();
}
END_TEST

/* It must not look as if all had come: no close_notify, and a reset in the clear. */
static bool ends_in_order(const struct control_client *client)
{
	char bytes[4096];
	ssize_t got;

	do
		got =
		    client->ssl != NULL ? SSL_read(client->ssl, bytes, sizeof(bytes)) : read(client->fd, bytes, sizeof(bytes));
	while (got > 0);
	if (client->ssl != NULL)
		return SSL_get_error(client->ssl, (int)got) == SSL_ERROR_ZERO_RETURN;
	return got == 0 || errno != ECONNRESET;
}

START_TEST(a_running_transfer_is_cut)
{
	static char much[60000];
	struct control_client client, other;
	uint8_t offer[4096], answer[4096];
	char back[4];

	start("10s");
	client = control_client(&near, "LEG1", NULL, _i == 1);
	other = control_client(&near, "LEG2", NULL, true);
	close(other.fd);
	SSL_free(other.ssl);
	/* One that goes elsewhere stays. */
	other = (struct control_client){.fd = peer_connect(near.ports[0])};
	ck_assert_int_gt(peer_exchange(other.fd, NULL, offer, peer_offer(offer, 1, 0, "LEG3", "HOST2"), answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	ck_assert_int_eq(gateway_lines(&near, 1, "sysid=LEG2", "reason=", NULL), 1);
	ck_assert(peer_write(client.fd, client.ssl, much, sizeof(much)));
	ck_assert(peer_read(client.fd, client.ssl, back, sizeof(back)));
	say("disconnect HOST1", 0, "1 connection ended", NULL);
	ck_assert(!ends_in_order(&client));
	ck_assert_int_eq(gateway_lines(&near, 1, "id=CCI3054I", "sysid=LEG1", "reason=disconnected"), 1);
	ck_assert(peer_write(other.fd, NULL, "ping", 4) && peer_read(other.fd, NULL, back, 4));
	free(web_await(web_port(&near, 1), "/metrics", "cci_sessions_ended_total{reason=\"disconnected\"} 1\n"));
	control_part(&client);
	control_part(&other);
	stop();
}
END_TEST

/* What the peer connects to us is its own affair. */
START_TEST(the_disconnected_peer_may_come)
{
	start("10s");
	say("disconnect HOST1", 0, NULL, NULL);
	ck_assert_int_eq(refusal("HOST1", "HOST2"), 0);
	ck_assert_int_eq(refusal("HOST1", "*PING"), 0);
	ck_assert_int_eq(refusal("HOST1", "HOST1"), 6);
	stop();
}
END_TEST

START_TEST(recycle_is_both)
{
	struct control_client client;

	start("10s");
	client = control_client(&near, "LEG1", NULL, true);
	say("recycle HOST1", 0, "peer P is disconnected; 1 connection ended; peer P may be used again", NULL);
	ck_assert_ptr_nonnull(strstr(control_out, "response received: P calls itself HOST1"));
	ck_assert(!ends_in_order(&client));
	control_part(&client);
	client = control_client(&near, "LEG1", NULL, true);
	control_part(&client);
	say("--json recycle P", 0, "{\"text\":\"", NULL);
	/* It was done, though nobody answers. */
	say("recycle DEAD", 1, "peer DEAD may be used again", "no response: connect-refused");
	stop();
}
END_TEST

/* And not only silent until the wait is over. */
static bool is_cut(int fd)
{
	uint8_t byte;
	ssize_t got = recv(fd, &byte, 1, 0);

	return got == 0 || (got < 0 && errno == ECONNRESET);
}

/* A health ping that waits is one of them: it goes, and says nothing of the peer. */
START_TEST(health_pings_are_cut)
{
	struct pollfd more = {.events = POLLIN};
	uint8_t offer[4096];
	int taken;

	start("60s");
	taken = peer_accept(asked);
	ck_assert_int_gt(peer_receive(taken, NULL, offer), 0);
	say("disconnect ASKED", 0, "peer ASKED is disconnected; 0 connections ended", NULL);
	ck_assert(is_cut(taken));
	close(taken);
	more.fd = asked;
	ck_assert_int_eq(poll(&more, 1, 400), 0);
	ck_assert_int_eq(gateway_lines(&near, 0, "name=ASKED", "reason=", NULL), 0);
	stop();
}
END_TEST

/* --- ping --- */

static const struct {
	const char *name;
	int status;
	const char *out, *err;
} outcomes[] = {
    {"HOST1", 0, "response received: P calls itself HOST1, TLS, confirmed, ", NULL},
    {"DEAD", 1, "sent: to 127.0.0.1:", "no response: connect-refused: "},
    {"SILENT", 1, "requested: *PING of peer SILENT\nsent: to ", "no response: exchange-timeout"},
    {"WRONG", 1, NULL, "no response: peer-name-mismatch"},
    {"CLEAR", 1, NULL, "no response: peer-refused"},
    {"TWO", 0, "no response: connect-refused", NULL},
    {"TWO", 0, "response received: TWO calls itself HOST1", NULL},
    {"NOBODY", 1, NULL, "NOBODY is no peer, and none has it in targets; peers lists them"},
};
#define OUTCOMES (sizeof(outcomes) / sizeof(outcomes[0]))

START_TEST(each_outcome_of_a_ping)
{
	char words[64];

	start("300ms");
	for (size_t i = 0; i < OUTCOMES; i++) {
		(void)snprintf(words, sizeof(words), "ping %s", outcomes[i].name);
		say(words, outcomes[i].status, outcomes[i].out, outcomes[i].err);
	}
	/* Nothing is remembered of it. */
	say("peers", 0, NULL, NULL);
	ck_assert_ptr_null(strstr(control_out, "connect-refused"));
	stop();
}
END_TEST

/* A ping of SILENT, until it was sent; its connection there is *taken. */
static int begin_ping(int *taken)
{
	static const char request[] = "ping SILENT\n";
	uint8_t offer[4096];
	int fd = control_connect();

	ck_assert(peer_write(fd, NULL, request, sizeof(request) - 1));
	*taken = peer_accept(silent);
	ck_assert_int_gt(peer_receive(*taken, NULL, offer), 0);
	return fd;
}

START_TEST(one_ping_at_a_time)
{
	int taken, fd;

	start("60s");
	fd = begin_ping(&taken);
	say("ping P", 1, NULL, "another ping runs");
	say("disconnect P", 0, "peer P is disconnected", NULL);
	/* What was asked for is done; only the answer lacks. */
	say("connect P", 0, "peer P may be used again; not asked for an answer, as another ping runs", NULL);
	ck_assert_int_eq(refusal("LEG1", "HOST1"), 0);
	say("recycle P", 0, "may be used again; not asked", NULL);
	/* Who does not wait for the answer takes the ping along. */
	close(fd);
	ck_assert(is_cut(taken));
	close(taken);
	say("ping P", 0, "response received", NULL);
	stop();
}
END_TEST

/* The process ends while a ping waits (a connection holds it for a while, _i 1): whoever waits is told, and nothing is
 * waited for. */
START_TEST(the_end_does_not_wait_for_a_ping)
{
	struct control_client client;
	siginfo_t ended;
	char answer[4096];
	size_t used = 0;
	ssize_t got;
	int taken, fd;

	start("60s");
	if (_i == 1)
		client = control_client(&near, "LEG1", NULL, false);
	fd = begin_ping(&taken);
	if (_i == 1) {
		say("drain", 0, NULL, NULL);
		while ((got = read(fd, answer + used, sizeof(answer) - 1 - used)) > 0)
			used += (size_t)got;
		answer[used] = '\0';
		ck_assert_msg(strstr(answer, "no response: shutting-down") != NULL, "%s", answer);
		say("ping P", 1, NULL, "the gateway is stopping, and asks nobody");
	} else {
		gateway_stop(&near);
	}
	close(fd);
	close(taken);
	close(silent);
	close(asked);
	/* It ends by itself, with the last connection. */
	if (_i == 1) {
		control_part(&client);
		ck_assert_int_eq(waitid(P_PID, (id_t)near.pid, &ended, WEXITED | WNOWAIT), 0);
		gateway_stop(&near);
	}
	gateway_stop(&far);
	control_remove_folder();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("operator");
	TCase *tests = tcase_create("operator");

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, a_disconnected_peer_is_not_used_until_connect);
	tcase_add_loop_test(tests, a_running_transfer_is_cut, 0, 2);
	tcase_add_test(tests, the_disconnected_peer_may_come);
	tcase_add_test(tests, recycle_is_both);
	tcase_add_test(tests, health_pings_are_cut);
	tcase_add_test(tests, each_outcome_of_a_ping);
	tcase_add_test(tests, one_ping_at_a_time);
	tcase_add_loop_test(tests, the_end_does_not_wait_for_a_ping, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
