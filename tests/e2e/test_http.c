/* The page, metrics, health and events of the real programs. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <dirent.h>
#include <unistd.h>

#include "../unit/promtext.h"
#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"
#include "web.h"

#define CERTS "build/test-certs/"
#define CONFIG \
	"[gateway]\nsysid = HOST1\nworkers = 2\n" \
	"[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = allow\naudit_policy = never\n" \
	"[service s]\naddress = builtin:echo\n[timeouts]\ndrain = 20s\n" \
	"[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n" \
	"[control]\nhttp = %s\n"

#define PAGE_CSP \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " \
	"form-action 'none'; frame-ancestors 'none'"

static struct gateway gateway;
static int port;

static void start(void)
{
	gateway_start(&gateway, "ccissl", CONFIG, "127.0.0.1:0");
	port = web_port(&gateway, 1);
}

static void stop(void)
{
	gateway_stop(&gateway);
}

/* --- paths --- */

static const struct path {
	const char *path, *type, *words;
} paths[] = {
    {"/", "text/html; charset=utf-8", "<!doctype html>"},
    {"/page.css", "text/css; charset=utf-8", "{"},
    {"/page.js", "text/javascript; charset=utf-8", "/status.json"},
    {"/page.svg", "image/svg+xml", "<svg"},
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", "cci_build_info{program=\"ccissl\","},
    {"/metrics?from=prometheus", "text/plain; version=0.0.4; charset=utf-8", "# TYPE "},
    {"/healthz", "text/plain; charset=utf-8", "ok: 2 workers answer\n"},
    {"/readyz", "text/plain; charset=utf-8", "ready\n"},
    {"/status.json", "application/json; charset=utf-8", "\"history\":{\"hour\":{\"step_s\":5"},
};

static void has_header(const char *answer, const char *name, const char *value)
{
	const char *end = strstr(answer, "\r\n\r\n");
	char line[512];
	const char *at;

	(void)snprintf(line, sizeof(line), "\r\n%s: %s\r\n", name, value);
	at = strstr(answer, line);
	ck_assert_msg(at != NULL && at < end, "no %s in %.900s", line, answer);
}

static void has_our_headers(const char *answer)
{
	has_header(answer, "Content-Security-Policy", PAGE_CSP);
	has_header(answer, "X-Content-Type-Options", "nosniff");
	has_header(answer, "Referrer-Policy", "no-referrer");
	has_header(answer, "Cache-Control", "no-store");
	has_header(answer, "Cross-Origin-Opener-Policy", "same-origin");
	has_header(answer, "Cross-Origin-Resource-Policy", "same-origin");
	ck_assert_ptr_null(strstr(answer, "Access-Control"));
}

START_TEST(each_path_is_served)
{
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char *answer = web_get(port, paths[i].path), *head, request[256], length[32];

		ck_assert_msg(web_status(answer) == 200, "%s: %.300s", paths[i].path, answer);
		has_our_headers(answer);
		has_header(answer, "Content-Type", paths[i].type);
		ck_assert_msg(strstr(web_body(answer), paths[i].words) != NULL, "%s: %s", paths[i].path, answer);
		(void)snprintf(length, sizeof(length), "%zu", strlen(web_body(answer)));
		has_header(answer, "Content-Length", length);
		(void)snprintf(request, sizeof(request), "HEAD %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", paths[i].path);
		head = web_raw(peer_connect(port), request);
		ck_assert_int_eq(web_status(head), 200);
		ck_assert_str_eq(web_body(head), "");
		has_our_headers(head);
		free(head);
		free(answer);
	}
}
END_TEST

/* What `name="..."` names must be served; nothing may come from elsewhere, nor stand in the page itself. */
static void check_links(const char *page, const char *name)
{
	for (const char *at = page; (at = strstr(at, name)) != NULL; at++) {
		char path[128] = "", *answer;

		(void)sscanf(at + strlen(name), "\"%127[^\"]\"", path);
		ck_assert_msg(path[0] == '/' && path[1] != '/', "not ours: %.80s", at);
		answer = web_get(port, path);
		ck_assert_msg(web_status(answer) == 200, "%s: %.80s", path, answer);
		free(answer);
	}
}

START_TEST(the_page_needs_nothing_from_elsewhere)
{
	char *page = web_get(port, "/"), *style = web_get(port, "/page.css");

	check_links(page, " href=");
	check_links(page, " src=");
	ck_assert_ptr_nonnull(strstr(page, " src=\"/page.js\""));
	ck_assert_ptr_null(strstr(page, "<script>"));
	ck_assert_ptr_null(strstr(page, "<style"));
	ck_assert_ptr_null(strstr(page, " style="));
	ck_assert_ptr_null(strstr(page, " onclick="));
	ck_assert_ptr_null(strstr(style, "url("));
	ck_assert_ptr_null(strstr(style, "@import"));
	free(page);
	free(style);
}
END_TEST

/* --- requests that are wrong --- */

static const struct wrong {
	const char *request;
	int status, or_status;
	const char *header;
} wrongs[] = {
    {"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na=b", 405, 0, "\r\nAllow: GET, HEAD\r\n"},
    {"PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, 0, "\r\nAllow: GET, HEAD\r\n"},
    {"DELETE /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, 0, NULL},
    {"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n", 405, 0, NULL},
    {"get /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, 0, NULL},
    {"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na=b", 400, 0, NULL},
    {"GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 0, NULL},
    {"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 30\r\n\r\nGET / HTTP/1.1\r\nHost: foo\r\n\r\n", 400, 0, NULL},
    {"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404, 0, NULL},
    {"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404, 400, NULL},
    {"GET /healthz%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404, 0, NULL},
    {"GET /%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404, 0, NULL},
    {"GET /page.html HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404, 0, NULL},
    {"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, 0, NULL},
    {"GET /status.json HTTP/1.1\r\nHost: 192.0.2.7:80\r\n\r\n", 403, 0, NULL},
    {"GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 403, 0, NULL},
    {"GET / HTTP/1.1\r\nHost: localhost.evil.example:80\r\n\r\n", 403, 0, NULL},
    {"GET / HTTP/1.1\r\nHost: localhost:80.evil.example\r\n\r\n", 403, 0, NULL},
    {"GET / HTTP/1.1\r\nHost: [::2]\r\n\r\n", 403, 0, NULL},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 403, 0, NULL},
    {"GET / HTTP/1.1\r\nHost: \r\n\r\n", 403, 400, NULL},
    {"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400, 0, NULL},
    {"GET / HTTP/1.1\r\n\r\n", 400, 0, NULL},
    {"GET /events HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n", 403, 0, NULL},
    {"GET /status.json HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-site\r\n\r\n", 403, 0, NULL},
    /* These are right. */
    {"GET /health%7a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200, 0, NULL},
    {"GET / HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\nConnection: close\r\n\r\n", 200, 0, NULL},
    {"GET / HTTP/1.1\r\nHost: LOCALHOST:9\r\nConnection: close\r\n\r\n", 200, 0, NULL},
    {"GET / HTTP/1.1\r\nHost: [::1]:9090\r\nConnection: close\r\n\r\n", 200, 0, NULL},
    {"GET / HTTP/1.1\r\nHost: 127.9.9.9\r\nConnection: close\r\n\r\n", 200, 0, NULL},
    {"GET /healthz HTTP/1.0\r\n\r\n", 200, 0, NULL},
    {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 200, 0, NULL},
};

START_TEST(what_is_wrong_is_refused)
{
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		const struct wrong *wrong = &wrongs[i];
		char *answer = web_raw(peer_connect(port), wrong->request);

		ck_assert_msg(web_status(answer) == wrong->status || (wrong->or_status != 0 && web_status(answer) == wrong->or_status),
		              "%s: %.300s", wrong->request, answer);
		ck_assert_msg(wrong->header == NULL || strstr(answer, wrong->header) != NULL, "%s: %s", wrong->request, answer);
		/* The library itself answers where there is no Host. */
		if (strstr(wrong->request, "Host: l") != NULL && web_status(answer) == wrong->status)
			has_our_headers(answer);
		free(answer);
	}
}
END_TEST

START_TEST(rubbish_is_refused)
{
	size_t size = 300000;
	char *huge = malloc(size), *answer;
	int status;

	(void)snprintf(huge, size, "GET / HTTP/1.1\r\nHost: localhost\r\nX: ");
	memset(huge + strlen(huge), 'a', size - strlen(huge) - 5);
	memcpy(huge + size - 5, "\r\n\r\n", 5);
	answer = web_raw(peer_connect(port), huge);
	status = web_status(answer);
	ck_assert_msg(status == 431 || status == 413 || status == 400 || answer[0] == '\0', "%.200s", answer);
	free(answer);
	(void)snprintf(huge, size, "GET /");
	memset(huge + 5, 'a', 60000);
	(void)snprintf(huge + 60005, 64, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
	answer = web_raw(peer_connect(port), huge);
	status = web_status(answer);
	ck_assert_msg(status == 414 || status == 431 || status == 413 || answer[0] == '\0', "%.200s", answer);
	free(answer);
	free(huge);
	free(web_raw(peer_connect(port), "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"));
	answer = web_get(port, "/healthz");
	ck_assert_int_eq(web_status(answer), 200);
	free(answer);
}
END_TEST

START_TEST(a_hundred_at_once_are_served)
{
	static const char request[] = "GET /status.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	int fds[100];

	for (int i = 0; i < 100; i++) {
		fds[i] = peer_connect(port);
		ck_assert_int_ge(fds[i], 0);
	}
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(send(fds[i], request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
	for (int i = 0; i < 100; i++) {
		char *answer = web_raw(fds[i], "");

		ck_assert_msg(web_status(answer) == 200, "%d: %.100s", i, answer);
		free(answer);
	}
}
END_TEST

/* A byte now and then is no reason to wait: four seconds are for the whole request. */
START_TEST(a_slow_client_is_cut)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\nX: ";
	struct timeval wait = {.tv_usec = 500000}, begun, over;
	int fd = peer_connect(port);
	char byte;
	bool cut = false;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	(void)gettimeofday(&begun, NULL);
	(void)send(fd, request, strlen(request), MSG_NOSIGNAL);
	for (int i = 0; i < 40 && !cut; i++)
		cut = send(fd, "a", 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, 0) == 0;
	(void)gettimeofday(&over, NULL);
	ck_assert(cut);
	ck_assert_int_ge(over.tv_sec - begun.tv_sec, 3);
	ck_assert_int_le(over.tv_sec - begun.tv_sec, 8);
	close(fd);
}
END_TEST

/* More than an address takes, none of whom says all: who asks for health waits for seconds, and not until each had his time. */
START_TEST(halves_do_not_keep_others_out)
{
	static const char half[] = "GET / HTTP/1.1\r\nHost: local";
	struct timeval begun, over;
	char *answer;
	int fds[150];

	for (int i = 0; i < 150; i++) {
		fds[i] = peer_connect(port);
		ck_assert_int_ge(fds[i], 0);
		(void)send(fds[i], half, strlen(half), MSG_NOSIGNAL);
	}
	(void)gettimeofday(&begun, NULL);
	answer = web_get(port, "/healthz");
	(void)gettimeofday(&over, NULL);
	ck_assert_int_eq(web_status(answer), 200);
	ck_assert_int_le(over.tv_sec - begun.tv_sec, 8);
	free(answer);
	for (int i = 0; i < 150; i++)
		close(fds[i]);
}
END_TEST

START_TEST(a_connection_serves_several_requests)
{
	static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /readyz HTTP/1.1\r\nHost: localhost\r\n"
	                              "Connection: close\r\n\r\n";
	char *answer = web_raw(peer_connect(port), request);

	ck_assert_ptr_nonnull(strstr(answer, "workers answer\n"));
	ck_assert_ptr_nonnull(strstr(answer, "ready\n"));
	free(answer);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("http");
	TCase *tests = tcase_create("served");

	tcase_add_checked_fixture(tests, start, stop);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, each_path_is_served);
	tcase_add_test(tests, the_page_needs_nothing_from_elsewhere);
	tcase_add_test(tests, what_is_wrong_is_refused);
	tcase_add_test(tests, rubbish_is_refused);
	tcase_add_test(tests, a_hundred_at_once_are_served);
	tcase_add_test(tests, a_slow_client_is_cut);
	tcase_add_test(tests, halves_do_not_keep_others_out);
	tcase_add_test(tests, a_connection_serves_several_requests);
	suite_add_tcase(suite, tests);
	return suite;
}
