/* Events by HTTP: as they happen, and what was missed. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../unit/promtext.h"
#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"
#include "web.h"

#define CONFIG \
	"[gateway]\nsysid = HOST1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n" \
	"unsecured_connections = only\n[service s]\naddress = builtin:echo\n[control]\nhttp = 127.0.0.1:0\n"

static struct gateway gateway;
static int port;

/* One who listens, and what it has heard. */
struct listener {
	int fd;
	size_t size;
	char heard[1 << 20];
};

static struct listener first, second;

static void start(void)
{
	gateway_start(&gateway, "ccissl", CONFIG);
	port = web_port(&gateway, 1);
}

static void stop(void)
{
	gateway_stop(&gateway);
}

/* Wait until `words` were heard. */
static const char *hear(struct listener *listener, const char *words)
{
	const char *found;

	while ((found = strstr(listener->heard, words)) == NULL) {
		ssize_t got = recv(listener->fd, listener->heard + listener->size, sizeof(listener->heard) - 1 - listener->size, 0);

		ck_assert_msg(got > 0, "%s was not heard, %d (%s) after %zu: %.900s", words, (int)got, strerror(errno), listener->size,
		              listener->heard + (listener->size > 900 ? listener->size - 900 : 0));
		listener->size += (size_t)got;
		listener->heard[listener->size] = '\0';
	}
	return found;
}

static void listen_from(struct listener *listener, const char *last)
{
	char request[256];

	listener->fd = peer_connect(port);
	listener->size = 0;
	listener->heard[0] = '\0';
	(void)snprintf(request, sizeof(request), "GET /events HTTP/1.1\r\nHost: localhost\r\n%s%s%s\r\n", last != NULL ? "Last-Event-ID: " : "",
	               last != NULL ? last : "", last != NULL ? "\r\n" : "");
	ck_assert(peer_write(listener->fd, NULL, request, strlen(request)));
	(void)hear(listener, "events as they come\n\n");
	ck_assert_ptr_nonnull(strstr(listener->heard, "\r\nContent-Type: text/event-stream; charset=utf-8\r\n"));
}

/* The id before `words`. */
static void id_of(struct listener *listener, const char *words, char *id, size_t size)
{
	const char *at = hear(listener, words);

	while (at > listener->heard && strncmp(at, "\nid: ", 5) != 0)
		at--;
	ck_assert_int_eq(strncmp(at, "\nid: ", 5), 0);
	(void)snprintf(id, size, "%.*s", (int)strcspn(at + 5, "\n"), at + 5);
}

static void come(const char *sysid)
{
	uint8_t offer[4096], answer[4096];
	int fd = peer_connect(gateway.ports[0]);

	ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, sysid, NULL), answer), 0);
	close(fd);
}

START_TEST(events_come_as_they_happen)
{
	listen_from(&first, NULL);
	listen_from(&second, NULL);
	come("PC1");
	(void)hear(&first, "\"event\":\"closed\"");
	(void)hear(&second, "\"event\":\"closed\"");
	ck_assert_ptr_nonnull(strstr(first.heard, "\ndata: {\"event\":\"unsecured\","));
	ck_assert_ptr_nonnull(strstr(first.heard, "\"sysid\":\"PC1\""));
	ck_assert_ptr_null(strstr(first.heard, "\"event\":\"record\""));
	close(first.fd);
	close(second.fd);
}
END_TEST

START_TEST(who_comes_again_hears_what_it_missed)
{
	char id[64], later[64];
	const char *at;

	listen_from(&first, NULL);
	come("ONE");
	id_of(&first, "\"sysid\":\"ONE\"", id, sizeof(id));
	(void)hear(&first, "\"event\":\"closed\"");
	close(first.fd);
	come("TWO");
	listen_from(&first, id);
	at = hear(&first, "\"sysid\":\"TWO\"");
	/* The one that was heard does not come again; the rest does, in order. */
	ck_assert_ptr_nonnull(strstr(first.heard, "\"event\":\"closed\""));
	ck_assert(strstr(first.heard, "\"event\":\"closed\"") < at);
	ck_assert_ptr_eq(strstr(first.heard, "\"event\":\"unsecured\"") != NULL ? strstr(strstr(first.heard, "\"event\":\"unsecured\""), "ONE") : NULL, NULL);
	id_of(&first, "\"sysid\":\"TWO\"", later, sizeof(later));
	ck_assert_str_ne(id, later);
	close(first.fd);
}
END_TEST

/* Ids of another process, and what is none: from now on. */
static const char *const strange[] = {"1-1", "", "x", "99999999999999999999999-1", "-1", "1-99999999999999999999999", "1-1-1"};

START_TEST(a_strange_id_is_no_id)
{
	listen_from(&first, NULL);
	come("ONE");
	(void)hear(&first, "\"event\":\"closed\"");
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		listen_from(&second, strange[i]);
		come("TWO");
		(void)hear(&second, "\"sysid\":\"TWO\"");
		ck_assert_ptr_null(strstr(second.heard, "\"sysid\":\"ONE\""));
		close(second.fd);
	}
	close(first.fd);
}
END_TEST

START_TEST(eight_may_listen)
{
	static struct listener others[8];
	char *answer;

	for (size_t i = 0; i < 8; i++)
		listen_from(&others[i], NULL);
	answer = web_get(port, "/events");
	ck_assert_int_eq(web_status(answer), 503);
	free(answer);
	free(web_await(port, "/metrics", "\ncci_http_listeners 8\n"));
	for (size_t i = 0; i < 8; i++)
		close(others[i].fd);
	/* Places are free again as soon as it is seen that they are gone. */
	free(web_await(port, "/metrics", "\ncci_http_listeners 0\n"));
	listen_from(&first, NULL);
	close(first.fd);
}
END_TEST

/* Far more than its socket and the ring hold: it misses lines, and is told how many. */
START_TEST(who_is_slow_misses_lines_and_is_told)
{
	int heard = 0, missed = 0;

	listen_from(&first, NULL);
	for (int i = 0; i < 1500; i++)
		come("MANY");
	come("LAST");
	(void)hear(&first, "\"sysid\":\"LAST\"");
	for (const char *at = first.heard; (at = strstr(at, "\ndata: ")) != NULL; at++)
		heard++;
	for (const char *at = first.heard; (at = strstr(at, "{\"event\":\"missed\",\"missed\":")) != NULL; at++) {
		missed += atoi(at + strlen("{\"event\":\"missed\",\"missed\":"));
		heard--;
	}
	/* The last one's end may not have come yet. */
	ck_assert_int_gt(missed, 100);
	ck_assert_int_ge(heard + missed, 2 * 1501 - 1);
	ck_assert_int_le(heard + missed, 2 * 1501);
	close(first.fd);
}
END_TEST

START_TEST(the_end_ends_them)
{
	char bytes[4096];
	ssize_t got;

	listen_from(&first, NULL);
	ck_assert_int_eq(kill(gateway.pid, SIGTERM), 0);
	do
		got = recv(first.fd, bytes, sizeof(bytes), 0);
	while (got > 0);
	ck_assert_int_eq(got, 0);
	close(first.fd);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("http_events");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, start, stop);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, events_come_as_they_happen);
	tcase_add_test(tests, who_comes_again_hears_what_it_missed);
	tcase_add_test(tests, a_strange_id_is_no_id);
	tcase_add_test(tests, eight_may_listen);
	tcase_add_test(tests, who_is_slow_misses_lines_and_is_told);
	tcase_add_test(tests, the_end_ends_them);
	suite_add_tcase(suite, tests);
	return suite;
}
