/* What is served by HTTP moves with what happens: numbers, health, and where it listens. */
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

static struct gateway gateway;
static int port;

/* As RuntimeDirectory= of a unit does: unix sockets that a reload brings may stand there. */
static void name_folder(void)
{
	(void)setenv("RUNTIME_DIRECTORY", gateway.folder, 1);
}

static void start(void)
{
	gateway_before_exec = name_folder;
	gateway_start(&gateway, "ccissl", CONFIG, "127.0.0.1:0");
	port = web_port(&gateway, 1);
}

static void stop(void)
{
	gateway_stop(&gateway);
}

/* --- numbers --- */

static int open_clear(const char *sysid)
{
	int fd = peer_connect(gateway.ports[0]);
	SSL *ssl;

	ck_assert(peer_open(fd, 0, sysid, &ssl));
	return fd;
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
	SSL *ssl;
	char bytes[100] = "x";
	uint8_t refused[4096];

	ck_assert(peer_open(fd, 2, "PC2", &ssl) && ssl != NULL);
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
	ck_assert(peer_write(fd, NULL, "CCIP\x01\x01\x09\0\0\x10\0\0\0\0\x10", 16));
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

/* promtool comes with Prometheus, which is too large to be installed for this alone. */
START_TEST(promtool_finds_nothing_wrong)
{
	char *answer;
	FILE *stream;

	if (system("command -v promtool >/dev/null") != 0)
		return;
	answer = web_get(port, "/metrics");
	stream = popen("promtool check metrics", "w");
	ck_assert_ptr_nonnull(stream);
	(void)fputs(web_body(answer), stream);
	ck_assert_int_eq(pclose(stream), 0);
	ck_assert_int_eq(system("promtool check rules etc/prometheus/ccissl.rules.yml >/dev/null"), 0);
	free(answer);
}
END_TEST

/* What the rules ask for is there. */
START_TEST(the_rules_ask_for_what_there_is)
{
	char *answer = web_get(port, "/metrics"), rules[32768] = "", name[128], line[160];
	FILE *stream = fopen("etc/prometheus/ccissl.rules.yml", "r");

	ck_assert_ptr_nonnull(stream);
	ck_assert_uint_gt(fread(rules, 1, sizeof(rules) - 1, stream), 0);
	(void)fclose(stream);
	for (const char *at = rules; (at = strstr(at, "cci_")) != NULL; at += 4) {
		ck_assert_int_eq(sscanf(at, "%120[a-z_]", name), 1);
		(void)snprintf(line, sizeof(line), "# TYPE %s ", name);
		ck_assert_msg(strstr(answer, line) != NULL, "no %s", name);
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

START_TEST(an_upgrade_hands_it_over)
{
	int fd = open_clear("PC1");
	pid_t old = gateway.pid; /* its successor comes to us */
	char *answer;

	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	ck_assert_int_eq(kill(old, SIGUSR2), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1061I", NULL, NULL), 1);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1001I", NULL, NULL), 2);
	gateway.pid = gateway_successor(&gateway);
	ck_assert_int_eq(web_port(&gateway, 2), port);
	/* All that asks is answered, by the new one: which has no session. */
	for (int i = 0; i < 20; i++) {
		answer = web_get(port, "/readyz");
		ck_assert_msg(web_status(answer) == 200, "%.100s", answer);
		free(answer);
		ck_assert(value("cci_sessions_open{security=\"clear\"}") == 0);
	}
	close(fd);
	gateway_ends(old);
	answer = web_get(port, "/readyz");
	ck_assert_int_eq(web_status(answer), 200);
	free(answer);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("http_life");
	TCase *tests = tcase_create("served"), *others = tcase_create("others");

	tcase_add_checked_fixture(tests, start, stop);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, numbers_move);
	tcase_add_test(tests, the_document_names_each_metric);
	tcase_add_test(tests, promtool_finds_nothing_wrong);
	tcase_add_test(tests, the_rules_ask_for_what_there_is);
	tcase_add_test(tests, it_is_not_ready_while_it_drains);
	tcase_add_test(tests, a_stuck_worker_is_no_health);
	tcase_add_test(tests, a_reload_moves_it);
	tcase_add_test(tests, an_upgrade_hands_it_over);
	suite_add_tcase(suite, tests);
	tcase_set_timeout(others, 60);
	tcase_add_test(others, the_file_has_a_mode_and_goes);
	suite_add_tcase(suite, others);
	return suite;
}
