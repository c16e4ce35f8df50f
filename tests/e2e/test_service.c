/* What the service manager hears of the real programs, and the units for it. */
#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define CONFIG \
	"[gateway]\nsysid = HOST1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nservice = %s\n" \
	"unsecured_connections = only\n[service s]\naddress = builtin:echo\n[timeouts]\ndrain = 2s\n"

static char path[64], heard[1024];
static int manager;

static void open_manager(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)snprintf(path, sizeof(path), "/tmp/cci-manager-%d", (int)getpid());
	memcpy(address.sun_path, path, strlen(path) + 1);
	manager = socket(AF_UNIX, SOCK_DGRAM, 0);
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(chmod(path, 0666), 0); /* as systemd's is */
	(void)setenv("NOTIFY_SOCKET", path, 1);
}

static void close_manager(void)
{
	close(manager);
	(void)unlink(path);
}

/* Receive within `for_ms`; is there something? */
static bool hear(int for_ms)
{
	struct timeval wait = {.tv_sec = for_ms / 1000, .tv_usec = for_ms % 1000 * 1000};
	ssize_t got;

	(void)setsockopt(manager, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	got = recv(manager, heard, sizeof(heard) - 1, 0);
	heard[got > 0 ? got : 0] = '\0';
	return got > 0;
}

/* Wait for a message that has both; others than WATCHDOG=1 before it are a fault. */
static void expect(const char *a, const char *b)
{
	do
		ck_assert_msg(hear(10000), "no %s", a);
	while (strcmp(heard, "WATCHDOG=1") == 0 && strcmp(a, "WATCHDOG=1") != 0);
	ck_assert_msg(strstr(heard, a) != NULL && strstr(heard, b) != NULL, "%s%s in: %s", a, b, heard);
}

static int open_connection(int port)
{
	uint8_t offer[4096], answer[4096];
	int fd = peer_connect(port);

	ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	return fd;
}

START_TEST(the_manager_hears_of_start_reload_and_end)
{
	struct gateway gateway;
	int fd;

	open_manager();
	gateway_start(&gateway, "ccissl", CONFIG, "s");
	expect("READY=1\n", "STATUS=Serving 0 connections, 0 accepted so far, on 1 address; ccissl ");
	fd = open_connection(gateway.ports[0]);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	expect("RELOADING=1\n", "MONOTONIC_USEC=");
	expect("READY=1\n", "Serving 1 connection, 1 accepted");
	/* One that fails is over, too. */
	gateway_rewrite(&gateway, CONFIG, "nobody");
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	expect("RELOADING=1\n", "MONOTONIC_USEC=");
	expect("READY=1\n", "Serving 1 connection");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1007E", NULL, NULL), 1);
	ck_assert_int_eq(kill(gateway.pid, SIGTERM), 0);
	expect("STOPPING=1\n", "EXTEND_TIMEOUT_USEC=7000000\nSTATUS=Stopping: waiting for 1 connection;");
	close(fd);
	ck_assert_int_eq(waitpid(gateway.pid, NULL, 0), gateway.pid);
	close_manager();
}
END_TEST

/* A thread of the gateway that is not its first. */
static pid_t a_worker(const struct gateway *gateway)
{
	char folder_path[64], file[400], name[32] = "";
	DIR *folder;
	pid_t found = 0;

	(void)snprintf(folder_path, sizeof(folder_path), "/proc/%d/task", (int)gateway->pid);
	folder = opendir(folder_path);
	ck_assert_ptr_nonnull(folder);
	for (const struct dirent *entry; found == 0 && (entry = readdir(folder)) != NULL;) {
		FILE *stream;

		(void)snprintf(file, sizeof(file), "%s/%s/comm", folder_path, entry->d_name);
		stream = entry->d_name[0] != '.' ? fopen(file, "r") : NULL;
		if (stream == NULL)
			continue;
		if (fgets(name, sizeof(name), stream) != NULL && strcmp(name, "worker 1\n") == 0)
			found = (pid_t)atoi(entry->d_name);
		(void)fclose(stream);
	}
	(void)closedir(folder);
	ck_assert_int_gt(found, 0);
	return found;
}

START_TEST(the_watchdog_starves_while_a_worker_is_stuck)
{
	struct gateway gateway;
	pid_t worker;

	open_manager();
	(void)setenv("WATCHDOG_USEC", "400000", 1);
	gateway_start(&gateway, "ccissl", CONFIG, "s");
	expect("READY=1\n", "STATUS=");
	expect("WATCHDOG=1", "");
	expect("WATCHDOG=1", "");
	worker = a_worker(&gateway);
	if (ptrace(PTRACE_SEIZE, worker, NULL, NULL) != 0) {
		(void)printf("ptrace is not permitted: a stuck thread is not tried\n");
	} else {
		ck_assert_int_eq(ptrace(PTRACE_INTERRUPT, worker, NULL, NULL), 0);
		ck_assert_int_eq(waitpid(worker, NULL, __WALL), worker);
		ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1043E", "worker 1", NULL), 1);
		while (hear(1))
			continue;
		ck_assert_msg(!hear(600), "heard: %s", heard);
		ck_assert_int_eq(ptrace(PTRACE_DETACH, worker, NULL, NULL), 0);
		expect("WATCHDOG=1", "");
		ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1044I", NULL, NULL), 1);
	}
	gateway_stop(&gateway);
	close_manager();
	(void)unsetenv("WATCHDOG_USEC");
}
END_TEST

/* Number 0: the manager cannot be reached. Number 1: nobody wants to hear. */
START_TEST(a_manager_that_cannot_be_told_is_no_hindrance)
{
	struct gateway gateway;

	if (_i == 0)
		(void)setenv("NOTIFY_SOCKET", "/no/such/socket", 1);
	else
		(void)unsetenv("NOTIFY_SOCKET");
	gateway_start(&gateway, "ccissl", CONFIG, "s");
	close(open_connection(gateway.ports[0]));
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	ck_assert_int_eq(gateway_lines(&gateway, _i == 0, "id=CCI1042W", "/no/such/socket", NULL), _i == 0);
	gateway_stop(&gateway);
}
END_TEST

/* The units as they stand, save that the programs are elsewhere here. */
START_TEST(the_units_are_in_order)
{
	char command[1024], folder[] = "/tmp/cci-units-XXXXXX", line[512];
	FILE *out;
	int lines = 0, status;

	if (system("command -v systemd-analyze >/dev/null") != 0) {
		(void)printf("no systemd-analyze: the units are not looked at\n");
		return;
	}
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(command, sizeof(command),
	               "cp etc/systemd/*.service etc/systemd/*.socket %s && sed -i 's|/usr/local/sbin/[a-z]*|/bin/true|' %s/* && "
	               "cd %s && systemd-analyze verify --man=no ./ccissl.service ./ccissl.socket ./ccisslgw.service 2>&1",
	               folder, folder, folder);
	out = popen(command, "r");
	ck_assert_ptr_nonnull(out);
	/* What it says about other units of this machine is none of ours. */
	while (fgets(line, sizeof(line), out) != NULL)
		if (strstr(line, "ccissl") != NULL && lines++ >= 0)
			(void)printf("%s", line);
	status = pclose(out);
	(void)snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(lines, 0);
	(void)status;
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("service scenarios");
	TCase *tests = tcase_create("service");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, the_manager_hears_of_start_reload_and_end);
	tcase_add_test(tests, the_watchdog_starves_while_a_worker_is_stuck);
	tcase_add_loop_test(tests, a_manager_that_cannot_be_told_is_no_hindrance, 0, 2);
	tcase_add_test(tests, the_units_are_in_order);
	suite_add_tcase(suite, tests);
	return suite;
}
