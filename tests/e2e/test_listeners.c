/* Scenarios of listening: unix sockets, IPv6 as written, sockets passed by a service manager, services on unix sockets. */
#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

static char folder[64], path[96];

static void make_folder(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/cci-listen-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/l.sock", folder);
}

static void remove_folder(void)
{
	gateway_before_exec = NULL;
	ck_assert_int_eq(rmdir(folder), 0);
}

/* A clear connection through the exchange, and some bytes back. */
static bool converses(int fd)
{
	uint8_t offer[4096], answer[4096];
	char back[5];

	return fd >= 0 && peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer) > 0 &&
	       peer_type(answer) == 2 && peer_write(fd, NULL, "hello", 5) && peer_read(fd, NULL, back, 5) &&
	       memcmp(back, "hello", 5) == 0;
}

static const char unix_listener[] = "[gateway]\nsysid = HOST1\nworkers = 2\n"
                                    "[listener l]\naddress = unix:%s, 127.0.0.1:0\nservice = s\n"
                                    "unsecured_connections = only\n%s"
                                    "[rule local]\nsource = unix\n"
                                    "[service s]\naddress = builtin:echo\n";

static mode_t mode_of(const char *file)
{
	struct stat status;

	return stat(file, &status) == 0 ? status.st_mode & 07777 : 0;
}

START_TEST(a_unix_socket_serves_beside_a_port)
{
	struct gateway gateway;
	char back[3];
	int kept;

	gateway_start(&gateway, "ccissl", unix_listener, path, "unix_mode = 0600\n");
	ck_assert_uint_eq(mode_of(path), 0600);
	for (int i = 0; i < 20; i++) {
		int fd = i % 2 == 0 ? peer_connect_unix(path) : peer_connect(gateway.ports[0]);

		ck_assert(converses(fd));
		close(fd);
	}
	ck_assert_int_eq(gateway_lines(&gateway, 10, "id=CCI3000I", "from=\"unix:uid=", "rule=local:"), 10);
	/* A reload keeps the socket, and a connection on it; the mode follows. */
	kept = peer_connect_unix(path);
	ck_assert(converses(kept));
	gateway_rewrite(&gateway, unix_listener, path, "");
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	ck_assert_uint_eq(mode_of(path), 0660);
	ck_assert(peer_write(kept, NULL, "and", 3) && peer_read(kept, NULL, back, 3));
	close(kept);
	gateway_stop(&gateway);
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(what_a_killed_gateway_left_is_replaced)
{
	struct gateway gateway, second;
	int fd;

	gateway_start(&gateway, "ccissl", unix_listener, path, "");
	ck_assert_int_eq(kill(gateway.pid, SIGKILL), 0);
	(void)waitpid(gateway.pid, NULL, 0);
	(void)unlink(gateway.log);
	(void)unlink(gateway.config);
	(void)rmdir(gateway.folder);
	ck_assert_int_eq(access(path, F_OK), 0);
	gateway_start(&second, "ccissl", unix_listener, path, "");
	fd = peer_connect_unix(path);
	ck_assert(converses(fd));
	close(fd);
	gateway_stop(&second);
}
END_TEST

/* Run `program` on a configuration that it must not start with; what it says. */
static void refused(const struct gateway *gateway, const char *says)
{
	char command[512], output[4096];
	size_t size;
	FILE *out;

	(void)snprintf(command, sizeof(command), "timeout 10 %s/ccissl -c %s 2>&1", gateway_build(), gateway->config);
	out = popen(command, "r");
	ck_assert_ptr_nonnull(out);
	size = fread(output, 1, sizeof(output) - 1, out);
	output[size] = '\0';
	ck_assert_int_eq(WEXITSTATUS(pclose(out)), 1);
	ck_assert_msg(strstr(output, says) != NULL, "%s", output);
}

START_TEST(a_socket_in_use_is_left_alone)
{
	struct gateway gateway;
	int fd;

	gateway_start(&gateway, "ccissl", unix_listener, path, "");
	refused(&gateway, "is in use");
	fd = peer_connect_unix(path);
	ck_assert(converses(fd));
	close(fd);
	gateway_stop(&gateway);
}
END_TEST

/* --- IPv6 --- */

static const char on_v6[] = "[gateway]\nsysid = HOST1\nworkers = 2\n"
                            "[listener l]\naddress = [::]:0\ndual_stack = %s\nservice = s\nunsecured_connections = allow\n"
                            "[rule lo]\nsource = 127.0.0.0/8\n"
                            "[service s]\naddress = builtin:echo\n"
                            "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\n";

START_TEST(an_ipv6_address_is_what_is_written)
{
	bool dual = _i == 1;
	struct gateway gateway;
	int fd;

	gateway_start(&gateway, "ccissl", on_v6, dual ? "yes" : "no");
	fd = peer_connect_v6(gateway.ports[0]);
	ck_assert(converses(fd));
	close(fd);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3000I", "from=[::1]:", "rule=-"), 1);
	fd = peer_connect(gateway.ports[0]);
	ck_assert_int_eq(converses(fd), dual);
	if (fd >= 0)
		close(fd);
	/* An IPv4 client is one wherever it comes in. */
	ck_assert_int_eq(gateway_lines(&gateway, dual, "id=CCI3000I", "from=127.0.0.1:", "rule=lo:"), dual);
	gateway_stop(&gateway);
}
END_TEST

/* --- sockets that are passed --- */

static int passed_fds[2];

/* As a service manager does it (sd_listen_fds(3)): from descriptor 3 on. */
static void pass_sockets(void)
{
	char pid[16];

	/* Both out of the way of 3 and 4 first. */
	int a = fcntl(passed_fds[0], F_DUPFD, 20), b = fcntl(passed_fds[1], F_DUPFD, 20);

	(void)dup2(a, 3);
	(void)dup2(b, 4);
	(void)snprintf(pid, sizeof(pid), "%d", getpid());
	(void)setenv("LISTEN_PID", pid, 1);
	(void)setenv("LISTEN_FDS", "2", 1);
	(void)setenv("LISTEN_FDNAMES", "clients:local", 1);
}

static int listen_unix(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

static const char activated[] = "[gateway]\nsysid = HOST1\nworkers = 3\n"
                                "[listener l]\naddress = systemd:%s, systemd:local\nservice = s\n"
                                "unsecured_connections = only\n[service s]\naddress = builtin:echo\n";

START_TEST(sockets_are_passed_by_name)
{
	struct gateway gateway;
	int port, fd;

	passed_fds[0] = peer_listen(&port);
	passed_fds[1] = listen_unix();
	gateway_before_exec = pass_sockets;
	gateway_start(&gateway, "ccissl", activated, "clients");
	for (int i = 0; i < 12; i++) {
		fd = i % 2 == 0 ? peer_connect(port) : peer_connect_unix(path);
		ck_assert(converses(fd));
		close(fd);
		if (i == 5) {
			ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
			ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
		}
	}
	gateway_stop(&gateway);
	/* They are the manager's: the file stays, and so do the sockets. */
	ck_assert_int_eq(access(path, F_OK), 0);
	fd = peer_connect(port);
	ck_assert_int_ge(fd, 0);
	close(fd);
	close(passed_fds[0]);
	close(passed_fds[1]);
	ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(a_name_that_was_not_passed_is_an_error)
{
	struct gateway gateway;

	gateway_start(&gateway, "ccissl", unix_listener, path, "");
	gateway_rewrite(&gateway, activated, "clients");
	refused(&gateway, "systemd:clients");
	gateway_rewrite(&gateway, unix_listener, path, "");
	gateway_stop(&gateway);
}
END_TEST

/* --- services --- */

static const char to_unix[] = "[gateway]\nsysid = HOST1\nworkers = 1\n"
                              "[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = only\n"
                              "[service s]\naddress = unix:%s\n";

START_TEST(a_service_may_be_on_a_unix_socket)
{
	struct gateway gateway;
	int listening = listen_unix(), fd, service;
	uint8_t offer[4096], answer[4096];
	char bytes[5];

	gateway_start(&gateway, "ccissl", to_unix, path);
	fd = peer_connect(gateway.ports[0]);
	ck_assert(peer_write(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL)));
	service = peer_accept(listening);
	ck_assert_int_ge(service, 0);
	ck_assert_int_gt(peer_receive(fd, NULL, answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	ck_assert(peer_write(fd, NULL, "up up", 5) && peer_read(service, NULL, bytes, 5));
	ck_assert(peer_write(service, NULL, "down!", 5) && peer_read(fd, NULL, bytes, 5));
	close(fd);
	close(service);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI30", "to=unix:", NULL), 1);
	close(listening);
	ck_assert_int_eq(unlink(path), 0);
	gateway_stop(&gateway);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("listening scenarios");
	TCase *tests = tcase_create("listeners");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, make_folder, remove_folder);
	tcase_add_test(tests, a_unix_socket_serves_beside_a_port);
	tcase_add_test(tests, what_a_killed_gateway_left_is_replaced);
	tcase_add_test(tests, a_socket_in_use_is_left_alone);
	tcase_add_loop_test(tests, an_ipv6_address_is_what_is_written, 0, 2);
	tcase_add_test(tests, sockets_are_passed_by_name);
	tcase_add_test(tests, a_name_that_was_not_passed_is_an_error);
	tcase_add_test(tests, a_service_may_be_on_a_unix_socket);
	suite_add_tcase(suite, tests);
	return suite;
}
