/* Scenarios of the command `ctl`: connections are closed in each stage, and all verbs answer while others come and go.
 */
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "controlling.h"

static struct gateway gateway;

static void start(void)
{
	control_make_folder();
	gateway_start(&gateway, "ccissl", CONTROL_CONFIG, "", control_path);
}

static void stop(void)
{
	gateway_stop(&gateway);
	control_remove_folder();
}

/* The id in the first line of a JSON array of connections. */
static void id_of(const char *filter, char id[33])
{
	const char *at;
	char words[128];

	(void)snprintf(words, sizeof(words), "connections %s --json", filter);
	ck_assert_int_eq(control_run(&gateway, words), 0);
	at = strstr(control_out, "\"id\":\"");
	ck_assert_ptr_nonnull(at);
	(void)snprintf(id, 33, "%.32s", at + 6);
}

/* Close what is in this stage; the closing record says so. */
static void close_in(const char *stage, int fd)
{
	char text[64], id[33], words[64], rest[256];
	ssize_t got;

	(void)snprintf(text, sizeof(text), " %s ", stage);
	control_wait(&gateway, "", text);
	id_of("", id);
	(void)snprintf(words, sizeof(words), "close %.8s", id);
	control_expect(&gateway, words, 0, "is closed", NULL);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3053I", id, "reason=operator"), 1);
	control_expect(&gateway, "--json connections", 0, "[]\n", NULL);
	/* The client hears of it. */
	while ((got = read(fd, rest, sizeof(rest))) > 0)
		;
	ck_assert_msg(got == 0 || errno == ECONNRESET, "%s: %d", stage, errno);
	close(fd);
}

/* A socket whose backlog is full: who connects waits. */
static int full_listener(int *port, int *fillers)
{
	int fd = peer_listen(port);

	ck_assert_int_eq(listen(fd, 0), 0);
	for (int i = 0; i < 4; i++) {
		struct sockaddr_in address;
		socklen_t size = sizeof(address);

		ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fillers[i], (struct sockaddr *)&address, size);
	}
	return fd;
}

START_TEST(a_connection_is_closed_in_each_stage)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, 2, "S1", NULL), clear_size;
	int fd, port, fillers[4], listening = full_listener(&port, fillers);
	uint8_t clear[4096];
	SSL *ssl;

	control_make_folder();
	gateway_start(&gateway, "ccissl",
	              "[gateway]\nsysid = HOST1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
	              "unsecured_connections = allow\ndirect = yes\n[listener p]\naddress = 127.0.0.1:0\nservice = s\n"
	              "unsecured_connections = allow\nproxy_from = 127.0.0.1\n[service s]\naddress = 127.0.0.1:%d\n"
	              "[timeouts]\nconnect = 30s\n" TLS_SECTION "[control]\nsocket = %s\n",
	              port, control_path);
	close_in("offer", peer_connect(gateway.ports[0]));
	close_in("proxy", peer_connect(gateway.ports[1]));
	fd = peer_connect(gateway.ports[0]);
	ck_assert_int_gt(peer_exchange(fd, NULL, offer, size, answer), 0);
	close_in("handshake", fd);
	fd = peer_connect(gateway.ports[0]);
	ck_assert_int_gt(peer_exchange(fd, NULL, offer, size, answer), 0);
	ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci-upgrade/1", .ca = CERTS "ca.pem"});
	ck_assert_ptr_nonnull(ssl);
	close_in("confirm", fd);
	SSL_free(ssl);
	fd = peer_connect(gateway.ports[0]);
	ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci/1", .ca = CERTS "ca.pem"});
	ck_assert_ptr_nonnull(ssl);
	close_in("inside-offer", fd);
	SSL_free(ssl);
	fd = peer_connect(gateway.ports[0]);
	clear_size = peer_offer(clear, 1, 0, "C1", NULL);
	ck_assert(peer_write(fd, NULL, clear, clear_size));
	close_in("connect", fd);
	gateway_stop(&gateway);
	for (int i = 0; i < 4; i++)
		close(fillers[i]);
	close(listening);
	control_remove_folder();
}
END_TEST

START_TEST(a_relay_is_closed_in_the_clear_and_in_tls)
{
	struct control_client clear, secured;
	char byte;

	start();
	clear = control_client(&gateway, "C1", NULL, false);
	close_in("relay", dup(clear.fd));
	secured = control_client(&gateway, "S1", NULL, true);
	control_wait(&gateway, "", " relay ");
	{
		char id[33], words[64];

		id_of("sysid=S*", id);
		(void)snprintf(words, sizeof(words), "close %s", id);
		control_expect(&gateway, words, 0, id, NULL);
		/* Never presented as an orderly end. */
		ck_assert_int_le(SSL_read(secured.ssl, &byte, 1), 0);
		ck_assert_int_ne(SSL_get_shutdown(secured.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
		control_expect(&gateway, words, 1, NULL, "it may have ended");
	}
	control_part(&clear);
	control_part(&secured);
	stop();
}
END_TEST

/* --- load --- */

/* Connections come and go, secured and clear, until we are killed. What is closed by the operator meanwhile is no
 * fault. */
static pid_t churn(int port, int secured)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	while (pid == 0) {
		uint8_t offer[4096], answer[4096];
		size_t size = peer_offer(offer, 1, secured ? 2 : 0, secured ? "SECRET1" : "R1", NULL);
		int fd = peer_connect(port), got = fd >= 0 ? peer_exchange(fd, NULL, offer, size, answer) : -1;
		SSL *ssl = NULL;

		if (got > 0 && secured)
			ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci-upgrade/1", .ca = CERTS "ca.pem"});
		if (ssl != NULL)
			(void)!peer_confirm_both(ssl, offer, size, answer, (size_t)got);
		if (got > 0 && (ssl != NULL || !secured)) {
			(void)!peer_write(fd, ssl, "ping", 4);
			(void)!peer_read(fd, ssl, answer, 4);
		}
		if (fd >= 0)
			peer_free(fd, ssl);
	}
	return pid;
}

START_TEST(all_verbs_answer_while_connections_come_and_go)
{
	static const char *const verbs[] = {"status",  "connections", "connections secured=yes most=3",
	                                    "rules",   "peers",       "certificates",
	                                    "ratchet", "report",      "notifiers",
	                                    "reload",  "reopen",      "help"};
	pid_t pids[3];
	int closed = 0;

	start();
	for (int i = 0; i < 3; i++)
		pids[i] = churn(gateway.ports[0], i % 2);
	for (size_t i = 0; i < 4 * sizeof(verbs) / sizeof(verbs[0]); i++) {
		char words[96], id[33];
		const char *at;

		(void)snprintf(words, sizeof(words), "%s %s", i % 2 == 0 ? "--json" : "",
		               verbs[i % (sizeof(verbs) / sizeof(verbs[0]))]);
		control_expect(&gateway, words, 0, NULL, NULL);
		control_check_printable(control_out);
		if (control_run(&gateway, "--json connections most=1") == 0 &&
		    (at = strstr(control_out, "\"id\":\"")) != NULL) {
			(void)snprintf(id, sizeof(id), "%.32s", at + 6);
			(void)snprintf(words, sizeof(words), "close %s", id);
			closed += control_run(&gateway, words) == 0;
		}
	}
	for (int i = 0; i < 3; i++) {
		int status;

		ck_assert_int_eq(kill(pids[i], SIGKILL), 0);
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
	}
	if (closed > 0)
		ck_assert_int_ge(gateway_lines(&gateway, closed, "reason=operator", NULL, NULL), closed);
	stop();
}
END_TEST

/* --- a worker that does not come by --- */

/* A plug-in that does what none may: it waits, where the name is STUCK. */
static void build_plugin(const char *object)
{
	char line[512];
	FILE *stream;

	(void)snprintf(line, sizeof(line), "${CC:-cc} -std=c11 -D_GNU_SOURCE -Iinclude -shared -fPIC -x c -o %s -", object);
	stream = popen(line, "w");
	ck_assert_ptr_nonnull(stream);
	(void)fputs("#include <cci/notifier.h>\n#include <string.h>\n#include <unistd.h>\n"
	            "static int opened(const struct cci_notifier_options *o, void **s, char *e, size_t n)\n"
	            "{ (void)o; (void)s; (void)e; (void)n; return 0; }\n"
	            "static int told(void *s, const struct cci_event *e)\n"
	            "{ (void)s; if (e->type == CCI_UNSECURED && strcmp(e->sysid, \"STUCK\") == 0) sleep(6); return "
	            "CCI_NOTIFIED; }\n"
	            "static void closed(void *s) { (void)s; }\n"
	            "const struct cci_notifier_kind cci_notifier_plugin = {.size = sizeof(struct cci_notifier_kind),\n"
	            ".version = CCI_NOTIFIER_VERSION, .kind = \"stuck\", .wants = CCI_WANTS_EVENTS, .open = opened,\n"
	            ".notify = told, .close = closed};\n",
	            stream);
	ck_assert_int_eq(pclose(stream), 0);
}

/* The main thread does not wait with it: status still answers, and connections say why they do not. */
START_TEST(a_stuck_worker_is_named_and_not_waited_for)
{
	uint8_t offer[4096], answer[16];
	char object[128];
	size_t size = peer_offer(offer, 1, 0, "STUCK", NULL);
	bool named = false;
	int fd;

	control_make_folder();
	(void)snprintf(object, sizeof(object), "%s/stuck.so", control_folder);
	build_plugin(object);
	gateway_start(&gateway, "ccissl", CONTROL_CONFIG "[notifier stuck]\nkind = plugin\npath = %s\n", "", control_path, object);
	fd = peer_connect(gateway.ports[0]);
	ck_assert(peer_write(fd, NULL, offer, size));
	/* By then it is asked, and known not to come. */
	usleep(4500000);
	control_expect(&gateway, "status", 0, "HOST1", NULL);
	ck_assert_int_eq(control_run(&gateway, "connections"), 1);
	named = strstr(control_err, "has not come by for ") != NULL;
	control_expect(&gateway, "close 01234567", 1, NULL, "has not come by for ");
	ck_assert_msg(named, "%s", control_err);
	ck_assert(peer_read(fd, NULL, answer, sizeof(answer)));
	for (int i = 0; i < 100 && control_run(&gateway, "connections") != 0; i++)
		usleep(100000);
	control_wait(&gateway, "", " STUCK ");
	close(fd);
	gateway_stop(&gateway);
	ck_assert_int_eq(unlink(object), 0);
	control_remove_folder();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("control_close");
	TCase *tests = tcase_create("close");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_connection_is_closed_in_each_stage);
	tcase_add_test(tests, a_relay_is_closed_in_the_clear_and_in_tls);
	tcase_add_test(tests, all_verbs_answer_while_connections_come_and_go);
	tcase_add_test(tests, a_stuck_worker_is_named_and_not_waited_for);
	suite_add_tcase(suite, tests);
	return suite;
}
