/* Scenarios of kind = plugin: the example, built with the installed header and nothing else, in the real program. */
#include <check.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define CONFIG                                                                                         \
	"[gateway]\nsysid = HOST1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"        \
	"unsecured_connections = allow\n[service s]\naddress = builtin:echo\n"                             \
	"[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n" \
	"[notifier n]\nkind = plugin\npath = %s\nargument = %s\n%s"

static char folder[64], object[128], observer_path[96], heard[8192];
static int observer;

/* What a reader has: the header, and the example. */
static void build_example(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/cci-plugin-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(object, sizeof(object), "%s/datagram.so", folder);
	(void)snprintf(observer_path, sizeof(observer_path), "%s/observer.sock", folder);
	(void)umask(022);
	ck_assert_int_eq(gateway_shell("make -s install DESTDIR=%s/root PREFIX=/usr >%s/make.log 2>&1", folder, folder), 0);
	ck_assert_int_eq(
	    gateway_shell("cd %s && cp root/usr/share/doc/ccissl/plugin/datagram.c . && mkdir include && "
	        "cp -r root/usr/include/cci include/ && ${CC:-cc} -std=c11 -O2 -Wall -Wextra -Werror -shared -fPIC "
	        "-Iinclude -o datagram.so datagram.c",
	        folder),
	    0);
}

static void clean(void)
{
	ck_assert_int_eq(gateway_shell("rm -rf %s", folder), 0);
}

static void observe(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval wait = {.tv_sec = 10};

	memcpy(address.sun_path, observer_path, strlen(observer_path) + 1);
	observer = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(observer, (const struct sockaddr *)&address, sizeof(address)), 0);
	(void)setsockopt(observer, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
}

static void expect(const char *event, const char *a, const char *b)
{
	ssize_t got = recv(observer, heard, sizeof(heard) - 1, 0);

	ck_assert_msg(got > 0, "no %s", event);
	heard[got] = '\0';
	ck_assert_msg(strncmp(heard, "event=", 6) == 0 && strncmp(heard + 6, event, strlen(event)) == 0 &&
	                  strstr(heard, a) != NULL && strstr(heard, b) != NULL,
	              "not %s %s %s: %s", event, a, b, heard);
}

/* A client in the clear, relayed, and its end. Was it taken? */
static bool converse(const struct gateway *gateway)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, 0, "PC1", NULL);
	int fd = peer_connect(gateway->ports[0]), got;
	bool taken;

	got = peer_exchange(fd, NULL, offer, size, answer);
	taken = got > 0 && peer_type(answer) == 2 && peer_write(fd, NULL, "ping", 4) && peer_read(fd, NULL, answer, 4);
	close(fd);
	return taken;
}

START_TEST(the_example_tells_its_observer)
{
	struct gateway gateway;

	build_example();
	observe();
	gateway_start(&gateway, "ccissl", CONFIG, object, observer_path, "");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1114I", "notifier=n", "kind=datagram"), 1);
	ck_assert(converse(&gateway));
	expect("unsecured", " sysid=\"PC1\"", " listener=\"l\"");
	expect("closed", " secured=0 bytes_in=4 bytes_out=4", " reason=\"");
	/* What did not change is not loaded again. */
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1114I", NULL, NULL), 1);
	ck_assert(converse(&gateway));
	expect("unsecured", "", "");
	expect("closed", "", "");
	/* With nobody to tell, the connection goes on, and it is said. */
	close(observer);
	ck_assert_int_eq(unlink(observer_path), 0);
	ck_assert(converse(&gateway));
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1019W", "kind=plugin", "No such file or directory"), 1);
	/* Or it does not. */
	gateway_rewrite(&gateway, CONFIG, object, observer_path, "on_error = refuse\n");
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1006I", NULL, NULL), 2);
	ck_assert(!converse(&gateway));
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3026E", NULL, NULL), 1);
	gateway_stop(&gateway);
	clean();
}
END_TEST

/* What --check says of it, and that a start fails with the same words. */
START_TEST(what_cannot_be_loaded_is_found_before)
{
	struct gateway gateway;

	build_example();
	gateway_start(&gateway, "ccissl", CONFIG, object, observer_path, "");
	ck_assert_int_eq(gateway_shell("%s/ccissl -c %s --check >%s/out 2>&1", gateway_build(), gateway.config, folder), 0);
	ck_assert_int_eq(gateway_shell("sed -i s/CCI_NOTIFIER_VERSION,/CCI_NOTIFIER_VERSION_1,/ %s/datagram.c && "
	                     "${CC:-cc} -shared -fPIC -I%s/include -o %s/old.so %s/datagram.c",
	                     folder, folder, folder, folder),
	                 0);
	(void)snprintf(object, sizeof(object), "%s/old.so", folder);
	gateway_rewrite(&gateway, CONFIG, object, observer_path, "");
	ck_assert_int_ne(gateway_shell("%s/ccissl -c %s --check >%s/out 2>&1", gateway_build(), gateway.config, folder), 0);
	ck_assert_int_eq(
	    gateway_shell("grep -q 'config.ini:[0-9]*: .*\\[notifier n\\] path: .*/old.so was built against version 1 of "
	        "cci/notifier.h, and this gateway has version 2: build it anew' %s/out",
	        folder),
	    0);
	/* A reload leaves the one that works. */
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1007E", "was built against version 1 of", NULL), 1);
	observe();
	ck_assert(converse(&gateway));
	expect("unsecured", "", "");
	close(observer);
	gateway_stop(&gateway);
	clean();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("plugin");
	TCase *tests = tcase_create("plugin");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, the_example_tells_its_observer);
	tcase_add_test(tests, what_cannot_be_loaded_is_found_before);
	suite_add_tcase(suite, tests);
	return suite;
}
