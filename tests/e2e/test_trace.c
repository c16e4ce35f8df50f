/* Scenarios of traces with the real pair: what they show of each kind of connection. */
#include <check.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "following.h"

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

	pair_start();
	follow(by[_i], false);
	client = control_client(&near, "LEG1", NULL, true);
	control_part(&client);
	(void)line_with("ended: ");
	ck_assert_int_eq(unfollow(SIGINT), SIGINT);
	expect_in_order(order);
	ck_assert_ptr_null(strstr(follower.text, "70696e67")); /* the payload */
	wait_for_silence();
	pair_stop();
}
END_TEST

START_TEST(each_line_is_an_object)
{
	struct control_client client;
	size_t count = 0;
	char id[64] = "";
	char *save = NULL;

	pair_start();
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
	pair_stop();
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

	pair_start();
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
	pair_stop();
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

	pair_start();
	follow("sysid=BAD*", false);
	ck_assert_int_eq(offer_to(near.ports[0], "LEG1", NULL, 0), 2);
	ck_assert_int_eq(offer_to(near.ports[0], "BAD1", NULL, 0), 3);
	(void)line_with("ended: ");
	(void)unfollow(SIGINT);
	expect_in_order(order);
	ck_assert_ptr_null(strstr(follower.text, "LEG1"));
	pair_stop();
}
END_TEST

/* Nothing of it reaches a terminal, in words or in the log. */
START_TEST(a_hostile_offer)
{
	pair_start();
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
	pair_stop();
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

	pair_start();
	follow("sysid=LEG1", false);
	ck_assert_int_eq(offer_to(near.ports[0], "LEG1", NULL, 2), 2);
	(void)line_with("ended: ");
	(void)unfollow(SIGINT);
	expect_in_order(order);
	pair_stop();
}
END_TEST

/* By the first digits of its id; it ends with the connection, and says nothing of others. */
START_TEST(one_connection_until_it_ends)
{
	struct control_client client, other;
	char id[9];

	pair_start();
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
	pair_stop();
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

	pair_start();
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
	pair_stop();
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
	suite_add_tcase(suite, tests);
	return suite;
}
