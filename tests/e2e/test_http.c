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
    {"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404, 0, NULL},
    {"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404, 400, NULL},
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

/* A byte now and then is no reason to wait: ten seconds are for the whole request. */
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
	ck_assert_int_ge(over.tv_sec - begun.tv_sec, 9);
	close(fd);
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

/* --- numbers --- */

static int open_clear(const char *sysid)
{
	uint8_t offer[4096], answer[4096];
	int fd = peer_connect(gateway.ports[0]);

	ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, sysid, NULL), answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	return fd;
}

static SSL *open_tls(int fd)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, 2, "PC2", NULL);
	int got = peer_exchange(fd, NULL, offer, size, answer);
	SSL *ssl;

	ck_assert_int_gt(got, 0);
	ck_assert_int_eq(peer_answer(answer, got), 1);
	ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci-upgrade/1", .ca = CERTS "ca.pem"});
	ck_assert_ptr_nonnull(ssl);
	ck_assert(peer_confirm_both(ssl, offer, size, answer, (size_t)got));
	return ssl;
}

static double value(const char *series)
{
	char *answer = web_get(port, "/metrics");
	double number;

	ck_assert_int_eq(web_status(answer), 200);
	promtext_check(web_body(answer));
	number = promtext_value(web_body(answer), series);
	free(answer);
	return number;
}

static void await_value(const char *series, double wanted)
{
	double number = value(series);

	for (int i = 0; i < 200 && number != wanted; i++) {
		usleep(50000);
		number = value(series);
	}
	ck_assert_msg(number == wanted, "%s is %g, not %g", series, number, wanted);
}

START_TEST(numbers_move)
{
	int clear = open_clear("PC1"), fd = peer_connect(gateway.ports[0]);
	SSL *ssl = open_tls(fd);
	char bytes[100] = "x";
	uint8_t refused[4096];

	ck_assert(peer_write(clear, NULL, bytes, sizeof(bytes)) && peer_read(clear, NULL, bytes, sizeof(bytes)));
	ck_assert(peer_write(fd, ssl, bytes, 1) && peer_read(fd, ssl, bytes, 1));
	await_value("cci_sessions_open{security=\"secured\"}", 1);
	await_value("cci_sessions_open{security=\"clear\"}", 1);
	await_value("cci_offers_total{asked=\"none\",answer=\"clear\"}", 1);
	await_value("cci_offers_total{asked=\"on\",answer=\"tls\"}", 1);
	await_value("cci_policy_outcomes_total{policy=\"allow\",outcome=\"clear\"}", 1);
	await_value("cci_audit_outcomes_total{audit_policy=\"never\",outcome=\"refuse\"}", 1);
	await_value("cci_audit_outcomes_total{audit_policy=\"never\",outcome=\"tls\"}", 1);
	await_value("cci_confirmations_total{role=\"accepting\"}", 1);
	await_value("cci_handshakes_total{role=\"accepting\",version=\"1.3\",suite=\"TLS_AES_128_GCM_SHA256\",resumption=\"full\"}", 1);
	peer_free(fd, ssl);
	close(clear);
	await_value("cci_sessions_open{security=\"clear\"}", 0);
	await_value("cci_sessions_open{security=\"secured\"}", 0);
	await_value("cci_relayed_bytes_total{direction=\"up\"}", 101);
	await_value("cci_stage_seconds_count{stage=\"exchange\"}", 2);
	await_value("cci_stage_seconds_count{stage=\"handshake\"}", 1);
	await_value("cci_session_seconds_count", 2);
	await_value("cci_connections_accepted_total", 2);
	ck_assert(value("cci_expiry_timestamp_seconds{setting=\"[tls] certificate\"}") < 0); /* it has the file too */
	/* What is refused: a message that is none, and a handshake that is none. */
	fd = peer_connect(gateway.ports[0]);
	ck_assert(peer_write(fd, NULL, "CCIP\x01\x01\x09", 16));
	ck_assert_int_gt(peer_receive(fd, NULL, refused), 0);
	close(fd);
	await_value("cci_refusals_total{reason=\"bad-message\"}", 1);
	fd = peer_connect(gateway.ports[0]);
	ck_assert(peer_write(fd, NULL, "\x16\x03\x01\x00\x05hello", 10));
	await_value("cci_direct_starts_total", 1);
	await_value("cci_handshakes_failed_total{role=\"accepting\",reason=\"handshake-failed\"}", 1);
	await_value("cci_sessions_open{security=\"undecided\"}", 0);
	close(fd);
}
END_TEST

START_TEST(the_document_names_each_metric)
{
	char *answer = web_get(port, "/metrics"), names[8192], name[160], document[65536] = "";
	FILE *stream = fopen("docs/http.md", "r");

	ck_assert_ptr_nonnull(stream);
	ck_assert_uint_gt(fread(document, 1, sizeof(document) - 1, stream), 0);
	(void)fclose(stream);
	promtext_families(web_body(answer), names, sizeof(names));
	for (char *at = strtok(names, " "); at != NULL; at = strtok(NULL, " ")) {
		(void)snprintf(name, sizeof(name), "| `%s` |", at);
		ck_assert_msg(strstr(document, name) != NULL, "docs/http.md lacks %s", at);
	}
	for (const char *at = document; (at = strstr(at, "\n| `cci_")) != NULL; at++) {
		char line[200];

		ck_assert_int_eq(sscanf(at, "\n| `%150[a-z_]`", name), 1);
		(void)snprintf(line, sizeof(line), "# TYPE %s ", name);
		ck_assert_msg(strstr(answer, line) != NULL, "docs/http.md has %s, which is none", name);
	}
	free(answer);
}
END_TEST

/* --- health --- */

START_TEST(it_is_not_ready_while_it_drains)
{
	int fd = open_clear("PC1");
	char *answer;

	ck_assert_int_eq(kill(gateway.pid, SIGTERM), 0);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1004I", NULL, NULL), 1);
	answer = web_await(port, "/readyz", "draining");
	ck_assert_int_eq(web_status(answer), 503);
	free(answer);
	answer = web_get(port, "/healthz");
	ck_assert_int_eq(web_status(answer), 200);
	free(answer);
	await_value("cci_ready", 0);
	close(fd);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1003I", NULL, NULL), 1);
}
END_TEST

static pid_t a_worker(void)
{
	char path[64], name[32] = "";
	struct dirent *entry;
	pid_t found = 0;
	DIR *folder;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)gateway.pid);
	folder = opendir(path);
	ck_assert_ptr_nonnull(folder);
	while (found == 0 && (entry = readdir(folder)) != NULL) {
		char file[400];
		FILE *stream;

		(void)snprintf(file, sizeof(file), "%s/%s/comm", path, entry->d_name);
		stream = fopen(file, "r");
		if (stream == NULL)
			continue;
		if (fgets(name, sizeof(name), stream) != NULL && strcmp(name, "worker 1\n") == 0)
			found = atoi(entry->d_name);
		(void)fclose(stream);
	}
	(void)closedir(folder);
	return found;
}

START_TEST(a_stuck_worker_is_no_health)
{
	pid_t worker = a_worker();
	char *answer;

	ck_assert_int_gt(worker, 0);
	if (ptrace(PTRACE_SEIZE, worker, NULL, NULL) != 0) {
		(void)printf("ptrace is not permitted: a stuck thread is not tried\n");
		return;
	}
	ck_assert_int_eq(ptrace(PTRACE_INTERRUPT, worker, NULL, NULL), 0);
	ck_assert_int_eq(waitpid(worker, NULL, __WALL), worker);
	answer = web_await(port, "/healthz", "worker 1 has not answered for");
	ck_assert_int_eq(web_status(answer), 503);
	free(answer);
	ck_assert_int_eq(ptrace(PTRACE_DETACH, worker, NULL, NULL), 0);
	answer = web_await(port, "/healthz", "ok: 2 workers answer");
	ck_assert_int_eq(web_status(answer), 200);
	free(answer);
}
END_TEST

/* --- where it listens --- */

START_TEST(a_reload_moves_it)
{
	char path[128], request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", *answer;
	int taken, port_taken, streaming = peer_connect(port), got;
	char bytes[4096];

	(void)snprintf(path, sizeof(path), "unix:%s/web.sock", gateway.folder);
	/* Where another program listens it cannot: everything is as before. */
	taken = peer_listen(&port_taken);
	(void)snprintf(bytes, sizeof(bytes), "%s, 127.0.0.1:%d", path, port_taken);
	gateway_rewrite(&gateway, CONFIG, bytes);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1007E", "[control] http", "in use"), 1);
	ck_assert_int_ne(access(path + 5, F_OK), 0);
	close(taken);
	answer = web_get(port, "/healthz");
	ck_assert_int_eq(web_status(answer), 200);
	free(answer);
	await_value("cci_reload_successful", 0);
	/* A second address beside the first: what listens to events is not disturbed. */
	ck_assert(peer_write(streaming, NULL, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n", 42));
	ck_assert_int_gt(recv(streaming, bytes, sizeof(bytes), 0), 0);
	(void)snprintf(bytes, sizeof(bytes), "127.0.0.1:0, %s", path);
	gateway_rewrite(&gateway, CONFIG, bytes);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	answer = web_raw(peer_connect_unix(path + 5), request);
	ck_assert_int_eq(web_status(answer), 200);
	free(answer);
	await_value("cci_http_listeners", 1);
	await_value("cci_reload_successful", 1);
	/* The first one goes, with its listener; the other stays. */
	gateway_rewrite(&gateway, CONFIG, path);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1006I", NULL, NULL), 2);
	do
		got = (int)recv(streaming, bytes, sizeof(bytes), 0);
	while (got > 0);
	close(streaming);
	ck_assert_int_eq(peer_connect(port), -1);
	answer = web_raw(peer_connect_unix(path + 5), request);
	ck_assert_int_eq(web_status(answer), 200);
	free(answer);
}
END_TEST

START_TEST(the_file_has_a_mode_and_goes)
{
	char config[256], folder[] = "/tmp/cci-web-XXXXXX", path[64];
	struct stat found;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/s", folder);
	(void)snprintf(config, sizeof(config), "unix:%s", path);
	gateway_start(&gateway, "ccissl", CONFIG, config);
	ck_assert_int_eq(stat(path, &found), 0);
	ck_assert_int_eq(found.st_mode & 07777, 0660);
	gateway_stop(&gateway);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

static pid_t last_successor(void)
{
	FILE *stream = fopen(gateway.log, "r");
	char line[8192];
	pid_t pid = -1;

	while (fgets(line, sizeof(line), stream) != NULL)
		if (strstr(line, "id=CCI1061I") != NULL)
			pid = atoi(strstr(line, " pid=") + 5);
	(void)fclose(stream);
	return pid;
}

START_TEST(an_upgrade_hands_it_over)
{
	int fd = open_clear("PC1");
	pid_t old = gateway.pid; /* its successor comes to us */
	int status = -1;
	char *answer;

	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	ck_assert_int_eq(kill(old, SIGUSR2), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1061I", NULL, NULL), 1);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1001I", NULL, NULL), 2);
	gateway.pid = last_successor();
	ck_assert_int_eq(web_port(&gateway, 2), port);
	/* All that asks is answered, by the new one: which has no session. */
	for (int i = 0; i < 20; i++) {
		answer = web_get(port, "/readyz");
		ck_assert_msg(web_status(answer) == 200, "%.100s", answer);
		free(answer);
		ck_assert(value("cci_sessions_open{security=\"clear\"}") == 0);
	}
	close(fd);
	for (int i = 0; i < 500 && waitpid(old, &status, WNOHANG) != old; i++)
		usleep(10000);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	answer = web_get(port, "/readyz");
	ck_assert_int_eq(web_status(answer), 200);
	free(answer);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("http");
	TCase *tests = tcase_create("served"), *others = tcase_create("others");

	tcase_add_checked_fixture(tests, start, stop);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, each_path_is_served);
	tcase_add_test(tests, the_page_needs_nothing_from_elsewhere);
	tcase_add_test(tests, what_is_wrong_is_refused);
	tcase_add_test(tests, rubbish_is_refused);
	tcase_add_test(tests, a_hundred_at_once_are_served);
	tcase_add_test(tests, a_slow_client_is_cut);
	tcase_add_test(tests, a_connection_serves_several_requests);
	tcase_add_test(tests, numbers_move);
	tcase_add_test(tests, the_document_names_each_metric);
	tcase_add_test(tests, it_is_not_ready_while_it_drains);
	tcase_add_test(tests, a_stuck_worker_is_no_health);
	tcase_add_test(tests, a_reload_moves_it);
	tcase_add_test(tests, an_upgrade_hands_it_over);
	tcase_set_timeout(others, 60);
	tcase_add_test(others, the_file_has_a_mode_and_goes);
	suite_add_tcase(suite, tests);
	suite_add_tcase(suite, others);
	return suite;
}
