/* Scenarios of kind = socket: who subscribes hears what the real programs do, through reloads, upgrades and other
 * users. */
#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define CERTS "build/test-certs/"
#define REST                                                                                           \
	"sysid = HOST1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"                   \
	"unsecured_connections = allow\n[service s]\naddress = builtin:echo\n[timeouts]\ndrain = 10s\n"    \
	"[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n" \
	"[notifier watch]\nkind = socket\npath = %s\nqueue = %s\n%s"
#define CONFIG "[gateway]\n" REST

static char folder[64], path[96];

static void make_folder(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/cci-subscribers-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/events.sock", folder);
}

static void remove_folder(void)
{
	ck_assert_int_eq(rmdir(folder), 0);
}

/* --- a subscriber --- */

struct subscriber {
	FILE *stream;
	char line[65536];
};

static void subscribe(struct subscriber *subscriber)
{
	int fd = peer_connect_unix(path);

	ck_assert_int_ge(fd, 0);
	subscriber->stream = fdopen(fd, "r");
	ck_assert_ptr_nonnull(subscriber->stream);
}

static void leave(struct subscriber *subscriber)
{
	(void)fclose(subscriber->stream);
}

static bool hear(struct subscriber *subscriber)
{
	subscriber->line[0] = '\0';
	return fgets(subscriber->line, sizeof(subscriber->line), subscriber->stream) != NULL;
}

/* The next line has "event":"EVENT", and both texts. */
static void expect(struct subscriber *subscriber, const char *event, const char *a, const char *b)
{
	char word[64];

	(void)snprintf(word, sizeof(word), "{\"event\":\"%s\",", event);
	ck_assert_msg(hear(subscriber), "the end, and not %s", event);
	ck_assert_msg(strncmp(subscriber->line, word, strlen(word)) == 0 && strstr(subscriber->line, a) != NULL &&
	                  strstr(subscriber->line, b) != NULL,
	              "not %s %s %s: %s", word, a, b, subscriber->line);
}

static void expect_end(struct subscriber *subscriber)
{
	ck_assert_msg(!hear(subscriber), "not the end, but %s", subscriber->line);
}

/* --- a client --- */

struct client {
	int fd;
	SSL *ssl;
};

/* Secured or in the clear, and relayed: all is told that there is to tell. */
static struct client connect_as(const struct gateway *gateway, const char *sysid, bool secured)
{
	struct client client = {.fd = peer_connect(gateway->ports[0])};

	ck_assert(peer_open(client.fd, secured ? 2 : 0, sysid, &client.ssl) && (client.ssl != NULL) == secured);
	ck_assert(peer_echoes(client.fd, client.ssl));
	return client;
}

static void part(struct client *client)
{
	peer_free(client->fd, client->ssl);
}

/* --- scenarios --- */

START_TEST(a_subscriber_hears_of_all_connections_through_reloads)
{
	struct client clear, other;
	struct subscriber one, two;
	struct gateway gateway;
	struct stat found;

	make_folder();
	gateway_start(&gateway, "ccissl", CONFIG, path, "1M", "");
	ck_assert_int_eq(lstat(path, &found), 0);
	ck_assert_uint_eq(found.st_mode, S_IFSOCK | 0600);
	clear = connect_as(&gateway, "OLD1", false);
	subscribe(&one);
	expect(&one, "open", "\"secured\":false", "\"sysid\":\"OLD1\"");
	expect(&one, "now", "\"open\":1", "");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1110I", "notifier=watch uid=", NULL), 1);
	/* Other settings: the same socket, and nobody is cut. */
	gateway_rewrite(&gateway, CONFIG, path, "2M", "mode = 0660\n");
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	ck_assert_int_eq(lstat(path, &found), 0);
	ck_assert_uint_eq(found.st_mode, S_IFSOCK | 0660);
	other = connect_as(&gateway, "NEW1", false);
	expect(&one, "unsecured", "\"sysid\":\"NEW1\"", "\"listener\":\"l\"");
	part(&clear);
	expect(&one, "closed", "\"sysid\":\"OLD1\"", "\"secured\":false");
	subscribe(&two);
	expect(&two, "open", "\"sysid\":\"NEW1\"", "");
	expect(&two, "now", "\"open\":1", "");
	/* One that comes to nothing changes nothing. */
	gateway_rewrite(&gateway, CONFIG, path, "4M", "mode = 0600\n[notifier no]\nkind = nothing\n");
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1007E", NULL, NULL), 1);
	for (int i = 0; i < 500 && (lstat(path, &found) != 0 || found.st_mode != (S_IFSOCK | 0660)); i++)
		usleep(10000);
	ck_assert_uint_eq(found.st_mode, S_IFSOCK | 0660);
	part(&other);
	expect(&one, "closed", "\"sysid\":\"NEW1\"", "");
	expect(&two, "closed", "\"sysid\":\"NEW1\"", "");
	gateway_stop(&gateway);
	expect_end(&one);
	expect_end(&two);
	leave(&one);
	leave(&two);
	ck_assert_int_eq(access(path, F_OK), -1);
	remove_folder();
}
END_TEST

START_TEST(a_secured_connection_is_told_with_its_facts)
{
	struct client client;
	struct subscriber one, two;
	struct gateway gateway;

	make_folder();
	gateway_start(&gateway, "ccissl", CONFIG, path, "1M", "");
	subscribe(&one);
	expect(&one, "now", "\"open\":0", "");
	client = connect_as(&gateway, "PC1", true);
	expect(&one, "handshake-starting", "\"sysid\":\"PC1\"", "");
	expect(&one, "handshake-done", "\"tls_version\":\"1.3\"", "\"tls_suite\":\"TLS_");
	subscribe(&two);
	expect(&two, "open", "\"secured\":true", "\"tls_version\":\"1.3\"");
	expect(&two, "now", "\"open\":1", "");
	part(&client);
	ck_assert(hear(&one));
	ck_assert_ptr_nonnull(strstr(one.line, "\"sysid\":\"PC1\""));
	ck_assert(hear(&two));
	ck_assert_str_eq(one.line, two.line);
	leave(&one);
	leave(&two);
	gateway_stop(&gateway);
	remove_folder();
}
END_TEST

/* What is no CCI inside of TLS is noise in the log, and yet ends what was told of as open. */
START_TEST(what_was_told_as_open_is_told_as_over)
{
	struct subscriber one;
	struct gateway gateway;
	SSL *ssl;
	int fd;

	make_folder();
	gateway_start(&gateway, "ccissl", CONFIG, path, "1M", "");
	subscribe(&one);
	expect(&one, "now", "\"open\":0", "");
	fd = peer_connect(gateway.ports[0]);
	ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci/1", .ca = CERTS "ca.pem"});
	ck_assert_ptr_nonnull(ssl);
	expect(&one, "handshake-done", "", "");
	ck_assert(peer_write(fd, ssl, "GET / HTTP/1.0\r\n\r\n", 18));
	expect(&one, "refused", "\"reason\":\"not-cci\"", "");
	peer_free(fd, ssl);
	leave(&one);
	gateway_stop(&gateway);
	remove_folder();
}
END_TEST

/* A session has two sides. The one to the peer is secured, and cut before it is used. */
START_TEST(each_side_of_a_session_has_its_end)
{
	int port, listening = peer_listen(&port), client, peer;
	uint8_t offer[4096], bytes[4096];
	struct subscriber one;
	struct gateway gateway;
	char conn[48];
	SSL *ssl;

	make_folder();
	gateway_start(&gateway, "ccisslgw",
	              "[gateway]\nsysid = GW1\nworkers = 1\n[listener l]\naddress = 127.0.0.1:0\n"
	              "unsecured_connections = allow\n[timeouts]\ndrain = 100ms\n[peer HOST1]\naddress = 127.0.0.1:%d\n"
	              "security = direct\nserver_name = host1.example\n[tls]\ncertificate = @CERTS@/server.pem\n"
	              "private_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n[notifier watch]\nkind = socket\npath = %s\n",
	              port, path);
	subscribe(&one);
	expect(&one, "now", "\"open\":0", "");
	client = peer_connect(gateway.ports[0]);
	ck_assert(peer_write(client, NULL, offer, peer_offer(offer, 1, 0, "PC1", "HOST1")));
	peer = peer_accept(listening);
	ssl = peer_tls_server(peer, CERTS "server.pem", CERTS "server.key", "cci/1");
	ck_assert_ptr_nonnull(ssl);
	ck_assert_int_gt(peer_receive(peer, ssl, bytes), 0);
	expect(&one, "handshake-done", "\"role\":\"connecting\"", "\"listener\":\"HOST1\"");
	ck_assert_int_eq(sscanf(strstr(one.line, "\"conn\":"), "\"conn\":\"%32s", conn), 1);
	ck_assert_int_eq(kill(gateway.pid, SIGTERM), 0);
	expect(&one, "refused", conn, "\"role\":\"accepting\"");
	expect(&one, "refused", conn, "\"role\":\"connecting\"");
	expect_end(&one);
	leave(&one);
	peer_free(peer, ssl);
	close(client);
	close(listening);
	ck_assert_int_eq(waitpid(gateway.pid, NULL, 0), gateway.pid);
	(void)unlink(gateway.log);
	(void)unlink(gateway.config);
	ck_assert_int_eq(rmdir(gateway.folder), 0);
	remove_folder();
}
END_TEST

/* An OFFER in the clear; was it taken? */
static bool is_taken(const struct gateway *gateway)
{
	uint8_t offer[4096], answer[4096];
	int fd = peer_connect(gateway->ports[0]);
	int got = peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer);
	bool taken = got > 0 && peer_type(answer) == 2 && peer_write(fd, NULL, "ping", 4) && peer_read(fd, NULL, offer, 4);

	close(fd);
	return taken;
}

START_TEST(with_refuse_a_slow_subscriber_costs_one_connection)
{
	struct subscriber slow;
	struct gateway gateway;
	int refused = 0;

	make_folder();
	gateway_start(&gateway, "ccissl", CONFIG, path, "4k", "on_error = refuse\n");
	ck_assert(is_taken(&gateway));
	subscribe(&slow);
	do
		ck_assert(hear(&slow));
	while (strstr(slow.line, "\"event\":\"now\"") == NULL);
	for (int i = 0; i < 1000 && gateway_lines(&gateway, 0, "id=CCI1112W", NULL, NULL) == 0; i++)
		refused += !is_taken(&gateway);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1112W", "notifier=watch", "too slow"), 1);
	/* At its end nothing depends on the answer any more: it may have been such an event that found no room. */
	ck_assert_int_le(refused, 1);
	ck_assert_int_eq(gateway_lines(&gateway, refused, "reason=notifier-refused", NULL, NULL), refused);
	for (int i = 0; i < 10; i++)
		ck_assert(is_taken(&gateway));
	while (hear(&slow) && strstr(slow.line, "\"event\":\"dropped-subscriber\"") == NULL)
		continue;
	ck_assert_msg(strstr(slow.line, "\"reason\":\"too slow\",\"missed\":") != NULL, "%s", slow.line);
	expect_end(&slow);
	leave(&slow);
	gateway_stop(&gateway);
	remove_folder();
}
END_TEST

/* --- upgrade --- */

START_TEST(an_upgrade_takes_the_path_and_says_so)
{
	struct client old_one, new_one;
	struct subscriber of_old, of_new;
	struct gateway gateway;
	pid_t old;

	make_folder();
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	gateway_start(&gateway, "ccissl", CONFIG, path, "1M", "");
	old_one = connect_as(&gateway, "OLD1", false);
	subscribe(&of_old);
	expect(&of_old, "open", "OLD1", "");
	expect(&of_old, "now", "", "");
	/* One that fails first. */
	gateway_rewrite(&gateway, CONFIG, path, "1M", "[notifier no]\nkind = nothing\n");
	ck_assert_int_eq(kill(gateway.pid, SIGUSR2), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1062E", NULL, NULL), 1);
	subscribe(&of_new);
	expect(&of_new, "open", "OLD1", "");
	leave(&of_new);
	gateway_rewrite(&gateway, CONFIG, path, "1M", "");
	old = gateway.pid;
	ck_assert_int_eq(kill(old, SIGUSR2), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1001I", NULL, NULL), 2);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1061I", NULL, NULL), 1);
	gateway.pid = gateway_successor(&gateway);
	expect(&of_old, "handed-over", "\"pid\":", "");
	ck_assert_int_eq(atoi(strstr(of_old.line, "\"pid\":") + 6), gateway.pid);
	subscribe(&of_new);
	expect(&of_new, "now", "\"open\":0", "");
	new_one = connect_as(&gateway, "NEW1", false);
	expect(&of_new, "unsecured", "NEW1", "");
	/* Each tells of its own; the old one goes with its last. */
	part(&old_one);
	expect(&of_old, "closed", "OLD1", "");
	expect_end(&of_old);
	gateway_ends(old);
	ck_assert_int_eq(access(path, F_OK), 0);
	part(&new_one);
	expect(&of_new, "closed", "NEW1", "");
	leave(&of_old);
	leave(&of_new);
	gateway_stop(&gateway);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "id=CCI1115E", NULL, NULL), 0);
	ck_assert_int_eq(access(path, F_OK), -1);
	remove_folder();
}
END_TEST

/* --- another user --- */

static unsigned long long value_of(const char *status, const char *key, int base)
{
	const char *at = strstr(status, key);

	ck_assert_msg(at != NULL, "no %s in %s", key, status);
	return strtoull(at + strlen(key), NULL, base);
}

/* The status of the thread that serves subscribers. */
static void find_thread(pid_t pid, char *status, size_t size)
{
	char file[400];
	bool found = false;
	DIR *tasks;

	(void)snprintf(file, sizeof(file), "/proc/%d/task", (int)pid);
	tasks = opendir(file);
	ck_assert_ptr_nonnull(tasks);
	for (const struct dirent *entry; !found && (entry = readdir(tasks)) != NULL;) {
		FILE *stream;

		(void)snprintf(file, sizeof(file), "/proc/%d/task/%s/status", (int)pid, entry->d_name);
		stream = entry->d_name[0] != '.' ? fopen(file, "r") : NULL;
		if (stream == NULL)
			continue;
		status[fread(status, 1, size - 1, stream)] = '\0';
		(void)fclose(stream);
		found = strncmp(status, "Name:\tsubscribers\n", 18) == 0;
	}
	(void)closedir(tasks);
	ck_assert(found);
}

START_TEST(it_follows_the_process_to_another_user)
{
	struct subscriber one;
	struct gateway gateway;
	char status[4096];
	struct stat found;

	if (geteuid() != 0) {
		(void)printf("not root: what root becomes is not tried\n");
		return;
	}
	make_folder();
	ck_assert_int_eq(chown(folder, 65534, 65534), 0);
	/* Behind a comment the runner adds no user of its own. */
	gateway_start(&gateway, "ccissl", "; whom it becomes\n[gateway]\nuser = nobody\n" REST, path, "1M", "");
	ck_assert_int_eq(lstat(path, &found), 0);
	ck_assert_uint_eq(found.st_uid, 65534);
	ck_assert_uint_eq(found.st_mode, S_IFSOCK | 0600);
	find_thread(gateway.pid, status, sizeof(status));
	ck_assert_uint_eq(value_of(status, "\nUid:", 10), 65534);
	ck_assert_uint_eq(value_of(status, "\nNoNewPrivs:", 10), 1);
	ck_assert_uint_eq(value_of(status, "\nCapPrm:", 16), 0);
	ck_assert_uint_eq(value_of(status, "\nCapEff:", 16), 0);
	ck_assert_uint_eq(value_of(status, "\nCapBnd:", 16), 0);
	ck_assert_uint_eq(value_of(status, "\nSigBlk:", 16) & 1 << (SIGTERM - 1), 1 << (SIGTERM - 1));
	subscribe(&one);
	expect(&one, "now", "\"open\":0", "");
	leave(&one);
	gateway_stop(&gateway);
	ck_assert_int_eq(access(path, F_OK), -1);
	remove_folder();
}
END_TEST

/* Somebody tidied up: a reload makes the sockets anew, also from inside the sandbox, and who listens already hears on. */
START_TEST(a_removed_socket_comes_back_with_a_reload)
{
	char paths[3][96], config[1024], command[256];
	struct subscriber before, after;
	struct gateway gateway;
	struct client client;

	make_folder();
	ck_assert_int_eq(chmod(folder, 0777), 0); /* for the user that the gateway becomes */
	(void)snprintf(paths[0], sizeof(paths[0]), "%s", path);
	(void)snprintf(paths[1], sizeof(paths[1]), "%s/http.sock", folder);
	(void)snprintf(paths[2], sizeof(paths[2]), "%s/control.sock", folder);
	(void)snprintf(config, sizeof(config), "[control]\nhttp = unix:%s\nsocket = %s\n" CONFIG, paths[1], paths[2], path, "1M",
	               "mode = 0640\n");
	gateway_start(&gateway, "ccissl", "%s", config);
	subscribe(&before);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(unlink(paths[i]), 0);
		ck_assert_int_lt(peer_connect_unix(paths[i]), 0);
	}
	/* What somebody else has put there stays. */
	(void)snprintf(command, sizeof(command), "echo mine >%s", path);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1115E", "is no socket", NULL), 1);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1006I", NULL, NULL), 2);
	for (int i = 0; i < 3; i++) {
		struct stat found;
		int fd = peer_connect_unix(paths[i]);

		ck_assert_msg(fd >= 0, "%s", paths[i]);
		close(fd);
		ck_assert_int_eq(stat(paths[i], &found), 0);
		ck_assert_uint_eq(found.st_mode & 07777, i == 0 ? 0640 : i == 1 ? 0660 : 0600);
	}
	subscribe(&after);
	expect(&before, "now", "\"open\":0", "");
	expect(&after, "now", "\"open\":0", "");
	client = connect_as(&gateway, "OLD1", false);
	expect(&before, "unsecured", "OLD1", "");
	expect(&after, "unsecured", "OLD1", "");
	part(&client);
	gateway_stop(&gateway);
	leave(&before);
	leave(&after);
	remove_folder();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("subscribers");
	TCase *tests = tcase_create("subscribers");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_subscriber_hears_of_all_connections_through_reloads);
	tcase_add_test(tests, a_secured_connection_is_told_with_its_facts);
	tcase_add_test(tests, what_was_told_as_open_is_told_as_over);
	tcase_add_test(tests, each_side_of_a_session_has_its_end);
	tcase_add_test(tests, with_refuse_a_slow_subscriber_costs_one_connection);
	tcase_add_test(tests, an_upgrade_takes_the_path_and_says_so);
	tcase_add_test(tests, a_removed_socket_comes_back_with_a_reload);
	tcase_add_test(tests, it_follows_the_process_to_another_user);
	suite_add_tcase(suite, tests);
	return suite;
}
