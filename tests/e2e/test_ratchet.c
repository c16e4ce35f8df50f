/* Scenarios of the ratchet: what outlives a restart, what a command lifts, what damage costs; clients and peers. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define CERTS "build/test-certs/"
#define TLS_SECTION "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"

static const char accepting[] = "[gateway]\nsysid = HOST1\nworkers = 2\nratchet_file = %s/names\n"
                                "[listener l]\naddress = 127.0.0.1:0\nunsecured_connections = allow\nratchet = yes\n"
                                "[service ECHO]\naddress = builtin:echo\n" TLS_SECTION;

static const char *const programs[] = {"ccissl", "ccisslgw"};

/* A folder that outlives the gateways of a test. */
static char folder[64];

static void make_folder(void)
{
	(void)strcpy(folder, "/tmp/cci-ratchet-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
	static const char *const names[] = {"names", "names.damaged"};
	char path[96];

	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		(void)unlink(path);
	}
	ck_assert_int_eq(rmdir(folder), 0);
}

/* `PROGRAM ratchet -c CONFIG WORDS`: its exit status; both its outputs in `said`. */
static int command(const struct gateway *gateway, const char *program, const char *words, char said[4096])
{
	char line[512];
	FILE *stream;
	size_t got;
	int status;

	(void)snprintf(line, sizeof(line), "%s/%s ratchet -c %s %s 2>&1", gateway_build(), program, gateway->config, words);
	stream = popen(line, "r");
	ck_assert_ptr_nonnull(stream);
	got = fread(said, 1, 4095, stream);
	said[got] = '\0';
	status = pclose(stream);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Wait until the command lists this. */
static void wait_listed(const struct gateway *gateway, const char *program, const char *text)
{
	char said[4096] = "";

	for (int i = 0; i < 200 && strstr(said, text) == NULL; i++) {
		usleep(50000);
		(void)command(gateway, program, "list", said);
	}
	ck_assert_msg(strstr(said, text) != NULL, "%s is not in: %s", text, said);
}

static void secure(int port, const char *sysid)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, 2, sysid, "ECHO");
	int fd = peer_connect(port), got = peer_exchange(fd, NULL, offer, size, answer);
	char back[5];
	SSL *ssl;

	ck_assert_int_gt(got, 0);
	ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci-upgrade/1", .ca = CERTS "ca.pem"});
	ck_assert_ptr_nonnull(ssl);
	ck_assert(peer_confirm_both(ssl, offer, size, answer, (size_t)got));
	ck_assert(peer_write(fd, ssl, "hello", 5) && peer_read(fd, ssl, back, 5));
	peer_free(fd, ssl);
}

/* What a client in the clear is told: 0 accepted, or the reason of the REFUSE. */
static int in_the_clear(int port, const char *sysid)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, 0, sysid, "ECHO");
	int fd = peer_connect(port), got = peer_exchange(fd, NULL, offer, size, answer);

	ck_assert_int_gt(got, 0);
	peer_free(fd, NULL);
	return peer_type(answer) == 2 ? 0 : peer_reason(answer);
}

/* Secured, after an exchange or from the first byte, and refused for a target that nobody knows. */
static void secure_for_nobody(int port, const char *sysid, bool direct)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, direct ? 4 : 2, sysid, "NOBODY");
	int fd = peer_connect(port), got = direct ? 0 : peer_exchange(fd, NULL, offer, size, answer);
	SSL *ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = direct ? "cci/1" : "cci-upgrade/1", .ca = CERTS "ca.pem"});

	ck_assert_ptr_nonnull(ssl);
	if (direct) {
		ck_assert_int_gt(peer_exchange(fd, ssl, offer, size, answer), 0);
		ck_assert_int_eq(peer_type(answer), 3);
		ck_assert_int_eq(peer_reason(answer), 5);
	} else {
		ck_assert(peer_confirm_both(ssl, offer, size, answer, (size_t)got));
	}
	peer_free(fd, ssl);
}

static void kill_hard(struct gateway *gateway)
{
	char line[160];

	ck_assert_int_eq(kill(gateway->pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(gateway->pid, NULL, 0), gateway->pid);
	(void)snprintf(line, sizeof(line), "rm -r %s", gateway->folder);
	ck_assert_int_eq(system(line), 0);
}

/* What counts is that it was secured, and not what became of it, nor how it began. */
START_TEST(whoever_was_secured_for_nobody_stays_secured)
{
	struct gateway gateway;

	make_folder();
	gateway_start(&gateway, programs[_i / 2], accepting, folder);
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "BR1"), 0);
	secure_for_nobody(gateway.ports[0], "BR1", _i % 2 == 1);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "reason=target-unknown", NULL, NULL), 1);
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "BR1"), 12);
	gateway_stop(&gateway);
	remove_folder();
}
END_TEST

START_TEST(a_name_outlives_a_restart)
{
	const char *program = programs[_i % 2];
	struct gateway gateway;
	char said[4096];

	make_folder();
	gateway_start(&gateway, program, accepting, folder);
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "BR1"), 0);
	secure(gateway.ports[0], "BR1");
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "br1"), 12);
	if (_i < 2) {
		gateway_stop(&gateway);
	} else {
		wait_listed(&gateway, program, "client  BR1 ");
		kill_hard(&gateway);
	}
	gateway_start(&gateway, program, accepting, folder);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1030I", "clients=1", "peers=0"), 1);
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "BR1"), 12);
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "BR2"), 0);
	ck_assert_int_eq(command(&gateway, program, "list --json", said), 0);
	ck_assert_ptr_nonnull(strstr(said, "[\n {\"kind\":\"client\",\"name\":\"BR1\",\"first\":\"20"));
	ck_assert_ptr_nonnull(strstr(said, "Z\",\"until\":null}\n]\n"));
	gateway_stop(&gateway);
	remove_folder();
}
END_TEST

/* The last line that says that a gateway has started: its process. */
static pid_t last_started(const struct gateway *gateway)
{
	FILE *log = fopen(gateway->log, "r");
	char line[4096];
	pid_t pid = 0;

	ck_assert_ptr_nonnull(log);
	while (fgets(line, sizeof(line), log) != NULL)
		if (strstr(line, "id=CCI1001I") != NULL)
			pid = (pid_t)atoi(strstr(line, " pid=") + 5);
	(void)fclose(log);
	return pid;
}

/* One that was secured in the second before knows no way back over the successor, either. */
START_TEST(a_name_outlives_an_upgrade)
{
	struct gateway gateway;
	pid_t successor;
	char line[160];

	make_folder();
	gateway_start(&gateway, "ccissl", accepting, folder);
	secure(gateway.ports[0], "BR0");
	ck_assert_int_eq(kill(gateway.pid, SIGUSR2), 0);
	secure(gateway.ports[0], "BR1");
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1001I", NULL, NULL), 2);
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "BR0"), 12);
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "BR1"), 12);
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "BR2"), 0);
	ck_assert_int_eq(waitpid(gateway.pid, NULL, 0), gateway.pid);
	successor = last_started(&gateway);
	ck_assert(successor > 0 && successor != gateway.pid);
	ck_assert_int_eq(kill(successor, SIGTERM), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1003I", NULL, NULL), 2);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "Sanitizer", NULL, NULL), 0);
	(void)snprintf(line, sizeof(line), "rm -r %s", gateway.folder);
	ck_assert_int_eq(system(line), 0);
	remove_folder();
}
END_TEST

START_TEST(a_lift_reaches_a_running_gateway)
{
	const char *program = programs[_i];
	struct gateway gateway;
	char said[4096];

	make_folder();
	gateway_start(&gateway, program, accepting, folder);
	secure(gateway.ports[0], "BR1");
	secure(gateway.ports[0], "BR2");
	wait_listed(&gateway, program, "client  BR2 ");
	ck_assert_int_eq(command(&gateway, program, "lift br1", said), 0);
	ck_assert_str_eq(said, "client br1 is lifted\n");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1034I", "kind=client", "name=BR1"), 1);
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "BR1"), 0);
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "BR2"), 12);
	ck_assert_int_eq(command(&gateway, program, "lift BR1", said), 1);
	ck_assert_ptr_nonnull(strstr(said, "names holds no client BR1\n"));
	/* Once: secured again, it is held again. */
	secure(gateway.ports[0], "BR1");
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "BR1"), 12);
	gateway_stop(&gateway);
	remove_folder();
}
END_TEST

/* One digit of one line. */
static void damage(const char *name)
{
	char path[96], text[4096], *at;
	FILE *stream;
	size_t got;

	(void)snprintf(path, sizeof(path), "%s/names", folder);
	stream = fopen(path, "r+");
	ck_assert_ptr_nonnull(stream);
	got = fread(text, 1, sizeof(text) - 1, stream);
	text[got] = '\0';
	at = strstr(text, name);
	ck_assert_ptr_nonnull(at);
	ck_assert_int_eq(fseek(stream, at - text, SEEK_SET), 0);
	ck_assert_int_eq(fputc('X', stream), 'X');
	ck_assert_int_eq(fclose(stream), 0);
}

START_TEST(damage_costs_one_name_and_is_said)
{
	struct gateway gateway;
	char said[4096], path[96];

	make_folder();
	gateway_start(&gateway, "ccisslgw", accepting, folder);
	secure(gateway.ports[0], "BR1");
	secure(gateway.ports[0], "BR2");
	wait_listed(&gateway, "ccisslgw", "client  BR2 ");
	/* While it runs nothing is lost at all. */
	damage("BR1");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1031E", "1 line damaged, 1 of 2 names are lost, 1 name is intact", NULL), 1);
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "BR1"), 12);
	gateway_stop(&gateway);
	/* At the start it costs what is damaged. */
	damage("BR1");
	gateway_start(&gateway, "ccisslgw", accepting, folder);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1031E", "1 line damaged", "names.damaged"), 1);
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "BR2"), 12);
	ck_assert_int_eq(in_the_clear(gateway.ports[0], "BR1"), 0);
	ck_assert_int_eq(command(&gateway, "ccisslgw", "list", said), 0);
	(void)snprintf(path, sizeof(path), "%s/names.damaged", folder);
	ck_assert_int_eq(access(path, F_OK), 0);
	gateway_stop(&gateway);
	remove_folder();
}
END_TEST

static const struct usage {
	const char *file, *words;
	int status;
	const char *said;
} usages[] = {
    {"ratchet_file = /no-such-folder/names\n", "--check", 1,
     ": ratchet_file: the directory /no-such-folder: No such file or directory: make it, writable for the gateway's user\n"},
    {"ratchet_file = /tmp\n", "--check", 1, ":4: ratchet_file: /tmp is not a regular file"},
    {"ratchet_file = /no-such-folder/names\n", "", 1, "id=CCI1010E"},
    {"ratchet_file = /proc/self/cwd/build/test-certs/ca.pem\n", "ratchet list", 1, "ca.pem is damaged: "},
    {"ratchet_file = /proc/self/cwd/build/test-certs/ca.pem\n", "ratchet lift BR1", 1, "ca.pem is damaged: "},
    {"ratchet_file = /tmp/cci-no-such-file\n", "ratchet list --json", 0, "[]\n"},
    {"ratchet_file = /tmp/cci-no-such-file\n", "ratchet lift BR1 --peer", 1, "cci-no-such-file holds no peer BR1\n"},
    {"", "ratchet list", 1, "no ratchet_file in [gateway]"},
    {"", "ratchet lift", 2, "lift needs a NAME; see "},
    {"", "ratchet", 2, "list or lift is missing"},
    {"", "ratchet drop BR1", 2, "drop is not known"},
    {"", "ratchet lift 'a b'", 2, "a b is not a CCI name"},
    {"", "ratchet list --peer", 2, "--peer does not go with list"},
    {"", "ratchet list --all", 2, "there is no option --all"},
    {"", "ratchet list BR1", 2, "BR1 is not expected here"},
    {"", "ratchet --help", 0, "Exit status"},
    {"bogus = 1\n", "ratchet list", 1, "bogus"},
};

START_TEST(what_cannot_be_done_is_said)
{
	const struct usage *usage = &usages[_i];
	bool is_ratchet = strncmp(usage->words, "ratchet", 7) == 0;
	char line[512], said[4096], certs[4096];
	FILE *stream;
	size_t got;
	int status;

	make_folder();
	(void)snprintf(line, sizeof(line), "%s/names", folder);
	stream = fopen(line, "w");
	ck_assert_ptr_nonnull(stream);
	ck_assert_ptr_nonnull(realpath("build/test-certs", certs));
	(void)fprintf(stream, "[gateway]\nsysid = HOST1\nuser = root\n%s[listener l]\naddress = 127.0.0.1:0\nservice = s\n[service s]\naddress = "
	                      "builtin:echo\n[tls]\ncertificate = %s/server.pem\nprivate_key = %s/server.key\n",
	              usage->file, certs, certs);
	(void)fclose(stream);
	(void)snprintf(line, sizeof(line), "%s/ccissl %s -c %s/names %s 2>&1", gateway_build(), is_ratchet ? "ratchet" : "",
	               folder, usage->words + (is_ratchet ? 7 : 0));
	stream = popen(line, "r");
	ck_assert_ptr_nonnull(stream);
	got = fread(said, 1, sizeof(said) - 1, stream);
	said[got] = '\0';
	status = pclose(stream);
	ck_assert_msg(WEXITSTATUS(status) == usage->status && strstr(said, usage->said) != NULL, "%s: %d %s", line, status,
	              said);
	remove_folder();
}
END_TEST

/* --- peers --- */

static const char connecting[] = "[gateway]\nsysid = GW1\nworkers = 1\nratchet_file = %s/names\n"
                                 "[listener raw]\naddress = 127.0.0.1:0\ntarget = HOST1\nexchange = none\n"
                                 "unsecured_connections = only\n"
                                 "[listener cci]\naddress = 127.0.0.1:0\nunsecured_connections = allow\nratchet = yes\n"
                                 "[peer HOST1]\naddress = 127.0.0.1:%d, 127.0.0.1:%d\nsecurity = on\n"
                                 "server_name = host1.example\nratchet = yes\n"
                                 "[service GW1]\naddress = builtin:echo\n" TLS_SECTION;

static const uint8_t accept_bytes[] = {0x43, 0x43, 0x49, 0x50, 1, 2, 1, 0, 0, 0x1e, 0, 0, 0, 0, 0x10, 0,
                                       0,    1,    0,    1,    1, 0, 2, 0, 5, 'H',  'O', 'S', 'T', '1'};

/* The peer: accepts one, answers with this security, and reads five bytes of the client. */
static void serve(int listening, bool secured)
{
	uint8_t offer[4096], answer[sizeof(accept_bytes)], bytes[64];
	int fd = peer_accept(listening), got = peer_receive(fd, NULL, offer);
	struct peer_clear clear = {offer, (size_t)got, answer, sizeof(answer)};
	SSL *ssl = NULL;

	ck_assert_int_gt(got, 0);
	memcpy(answer, accept_bytes, sizeof(answer));
	answer[20] = secured;
	ck_assert(peer_write(fd, NULL, answer, sizeof(answer)));
	if (secured) {
		ssl = peer_tls_server(fd, CERTS "server.pem", CERTS "server.key", "cci-upgrade/1");
		ck_assert_ptr_nonnull(ssl);
		ck_assert(peer_write(fd, ssl, bytes, peer_confirm(bytes, ssl, "server", &clear)));
		ck_assert_int_eq(peer_receive(fd, ssl, bytes), 52);
	}
	ck_assert(peer_read(fd, ssl, bytes, 5) && memcmp(bytes, "hello", 5) == 0);
	peer_free(fd, ssl);
}

static int raw_client(const struct gateway *gateway)
{
	int fd = peer_connect(gateway->ports[0]);

	ck_assert_int_ge(fd, 0);
	ck_assert(peer_write(fd, NULL, "hello", 5));
	return fd;
}

/* The peer strips: it gets nothing, the client gets nothing, and the other address is not tried. */
static void is_refused(const struct gateway *gateway, int listening, int other)
{
	int client = raw_client(gateway), fd = peer_accept(listening);
	uint8_t bytes[4096];

	ck_assert_int_gt(peer_receive(fd, NULL, bytes), 0);
	ck_assert(peer_write(fd, NULL, accept_bytes, 20) && peer_write(fd, NULL, "\0", 1) &&
	          peer_write(fd, NULL, accept_bytes + 21, sizeof(accept_bytes) - 21));
	ck_assert_int_le((int)recv(fd, bytes, 1, 0), 0);
	ck_assert_int_le((int)recv(client, bytes, 1, 0), 0);
	ck_assert_int_ge(gateway_lines(gateway, 1, "id=CCI3045E", "at=back", "up=0"), 1);
	(void)fcntl(other, F_SETFL, O_NONBLOCK);
	ck_assert_int_lt(accept(other, NULL, NULL), 0);
	peer_free(fd, NULL);
	peer_free(client, NULL);
}

START_TEST(a_peer_that_was_secured_may_not_answer_in_the_clear)
{
	int first, second, listening = peer_listen(&first), other = peer_listen(&second), client;
	struct gateway gateway;
	char said[4096];

	make_folder();
	gateway_start(&gateway, "ccisslgw", connecting, folder, first, second);
	client = raw_client(&gateway);
	serve(listening, false);
	peer_free(client, NULL);
	client = raw_client(&gateway);
	serve(listening, true);
	peer_free(client, NULL);
	is_refused(&gateway, listening, other);
	gateway_stop(&gateway);
	/* After a restart as well; and a client of the same name is somebody else. */
	gateway_start(&gateway, "ccisslgw", connecting, folder, first, second);
	is_refused(&gateway, listening, other);
	{
		uint8_t offer[4096], answer[4096];
		int fd = peer_connect(gateway.ports[1]);

		ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "HOST1", "GW1"), answer), 0);
		ck_assert_int_eq(peer_type(answer), 2);
		peer_free(fd, NULL);
	}
	ck_assert_int_eq(command(&gateway, "ccisslgw", "lift HOST1", said), 1);
	ck_assert_ptr_nonnull(strstr(said, "but a peer of that name: --peer"));
	ck_assert_int_eq(command(&gateway, "ccisslgw", "lift HOST1 --peer", said), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1034I", "kind=peer", "name=HOST1"), 1);
	client = raw_client(&gateway);
	serve(listening, false);
	peer_free(client, NULL);
	gateway_stop(&gateway);
	close(listening);
	close(other);
	remove_folder();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("ratchet scenarios");
	TCase *tests = tcase_create("ratchet");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, whoever_was_secured_for_nobody_stays_secured, 0, 4);
	tcase_add_loop_test(tests, a_name_outlives_a_restart, 0, 4);
	tcase_add_test(tests, a_name_outlives_an_upgrade);
	tcase_add_loop_test(tests, a_lift_reaches_a_running_gateway, 0, 2);
	tcase_add_test(tests, damage_costs_one_name_and_is_said);
	tcase_add_loop_test(tests, what_cannot_be_done_is_said, 0, sizeof(usages) / sizeof(usages[0]));
	tcase_add_test(tests, a_peer_that_was_secured_may_not_answer_in_the_clear);
	suite_add_tcase(suite, tests);
	return suite;
}
