/* Each n-th allocation fails of what a gateway does besides its connections: start, reload, renewal, answers, events. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "controlling.h"
#include "faulting.h"
#include "gateway.h"
#include "peer.h"
#include "web.h"

static const char all_of_it[] =
    "[gateway]\nsysid = HOST1\nworkers = 1\nratchet_file = %s/names\n"
    "[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = allow\nratchet = yes\n"
    "[service s]\naddress = builtin:echo\n[rule r]\nsysid = P*\nconnections = 100\naction = accept\n"
    "[timeouts]\ndrain = 1s\n"
    "[tls]\ncertificate = %s/server.pem\nprivate_key = %s/server.key\nca = @CERTS@/ca.pem\nwatch_interval = 50ms\n"
    "[notifier log]\nkind = log\n[notifier file]\nkind = file\npath = %s/events\nchain = yes\n"
    "[notifier smf]\nkind = smf\npath = %s/smf\n[notifier socket]\nkind = socket\npath = %s/subscribe\n"
    "[control]\nsocket = %s/control\nhttp = 127.0.0.1:0\n";

static struct gateway gateway;
static struct faults_board *board;

static void copy(const char *from, const char *to)
{
	char command[512];

	(void)snprintf(command, sizeof(command), "cp build/test-certs/%s %s/new && mv %s/new %s/%s", from, control_folder,
	               control_folder, control_folder, to);
	ck_assert_int_eq(system(command), 0);
}

static void start(void)
{
	const char *in = control_folder;

	control_make_folder();
	copy("server.pem", "server.pem");
	copy("server.key", "server.key");
	board = faulting_next("memory");
	gateway_start(&gateway, "ccissl", all_of_it, in, in, in, in, in, in, in);
	faulting_started();
}

static void remove_folders(void)
{
	char command[256];

	(void)snprintf(command, sizeof(command), "rm -rf %s %s", control_folder, gateway.folder);
	ck_assert_int_eq(system(command), 0);
}

static void stop(void)
{
	gateway_stop(&gateway);
	remove_folders();
}

static bool serves(int port, bool secured)
{
	int fd = peer_connect(port);
	SSL *ssl;
	bool fine = peer_open(fd, secured ? 3 : 0, secured ? "SAFE" : "PC1", &ssl) && (ssl != NULL) == secured &&
	            peer_echoes(fd, ssl);

	peer_free(fd, ssl);
	return fine;
}

/* With CCI_FAULTS_TRACE in the environment the gateway's log says where an allocation fails. */
static unsigned tracing(void)
{
	return getenv("CCI_FAULTS_TRACE") != NULL;
}

/* --- start --- */

/* Start the same once more, with another log. The status as waitpid has it; -1: it serves, and was ended in order. */
static int start_once(struct gateway *other)
{
	char program[128];
	int status = 0;

	(void)unlink(other->log);
	other->pid = fork();
	ck_assert_int_ge(other->pid, 0);
	if (other->pid == 0) {
		(void)dup2(open(other->log, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
		(void)snprintf(program, sizeof(program), "%s/ccissl", gateway_build());
		gateway_before_exec();
		execl(program, "ccissl", "-c", gateway.config, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 20000; i++) {
		if (waitpid(other->pid, &status, WNOHANG) != 0)
			return status;
		usleep(1000);
		if (gateway_lines(other, 0, "id=CCI1090I", NULL, NULL) == 0)
			continue;
		(void)faulting_disarm(board, FAULT_MEMORY);
		gateway_ports(other);
		/* Who has started lacks nothing. */
		ck_assert(serves(other->ports[0], false) && serves(other->ports[0], true));
		(void)kill(other->pid, SIGTERM);
		ck_assert_int_eq(waitpid(other->pid, &status, 0), other->pid);
		return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? -1 : status;
	}
	/* It neither ends nor serves. */
	(void)kill(other->pid, SIGKILL);
	(void)waitpid(other->pid, &status, 0);
	return status;
}

/* libuv aborts where it cannot grow its table of descriptors, libseccomp falls over, or never ends, where it compiles the
 * filter (docs/faults.md). Was it that? The log has the calls of the allocation that failed. */
static bool is_library_s(struct gateway *other, unsigned long long number, int status)
{
	int end = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (end != SIGABRT && end != SIGSEGV && end != SIGKILL)
		return false;
	atomic_store(&board->trace, 1);
	faulting_arm(board, &(struct faulting){.kind = FAULT_MEMORY, .error = 12, .first = number});
	status = start_once(other);
	atomic_store(&board->trace, tracing());
	if (!WIFSIGNALED(status) || WTERMSIG(status) != end)
		return false;
	return end != SIGABRT ? gateway_lines(other, 0, "libseccomp.so.2(seccomp_load+", NULL, NULL) == 1
	                      : gateway_lines(other, 0, "(realloc+", NULL, NULL) == 1 &&
	                            gateway_lines(other, 0, "(uv_", NULL, NULL) > 0;
}

static void check_start(struct gateway *other, unsigned long long number, unsigned long long *failed)
{
	int status;

	atomic_store(&board->trace, tracing());
	faulting_arm(board, &(struct faulting){.kind = FAULT_MEMORY, .error = 12, .first = number});
	status = start_once(other);
	if (status == -1)
		return;
	++*failed;
	if (is_library_s(other, number, status))
		return;
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 1, "allocation %llu of the start: status %x", number,
	              (unsigned)status);
	ck_assert_msg(gateway_lines(other, 0, "id=CCI1010E", NULL, NULL) == 1, "allocation %llu of the start: no error", number);
}

START_TEST(a_start_ends_with_one_error_or_serves)
{
	struct gateway other = {.pid = 0};
	unsigned long long count, step, failed = 0;

	start();
	ck_assert_int_eq(kill(gateway.pid, SIGTERM), 0);
	ck_assert_int_eq(waitpid(gateway.pid, NULL, 0), gateway.pid);
	board = faulting_next("memory");
	(void)snprintf(other.log, sizeof(other.log), "%s/log2", gateway.folder);
	ck_assert_int_eq(start_once(&other), -1);
	count = atomic_load(&board->faults[FAULT_MEMORY].calls);
	step = faulting_step(count, 60);
	for (unsigned long long n = faulting_first(); n <= count; n += step)
		check_start(&other, n, &failed);
	printf("start: %llu allocations, %llu ended it\n", count, failed);
	ck_assert_uint_gt(failed, 0);
	remove_folders();
}
END_TEST

/* --- what a running one does --- */

static unsigned long long number; /* of the allocation that fails; 0: none */

static void fail_nth(unsigned long long first, int thread)
{
	number = first;
	atomic_store(&board->trace, tracing());
	faulting_arm(board, &(struct faulting){.kind = FAULT_MEMORY, .error = 12, .first = first, .thread = thread});
}

static int reloads(void)
{
	return gateway_lines(&gateway, 0, "id=CCI1006I", NULL, NULL) + gateway_lines(&gateway, 0, "id=CCI1007E", NULL, NULL);
}

static bool reload(void)
{
	int before = reloads(), good = gateway_lines(&gateway, 0, "id=CCI1006I", NULL, NULL);

	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	for (int i = 0; i < 10000 && reloads() == before; i++)
		usleep(1000);
	ck_assert_int_eq(reloads(), before + 1);
	return gateway_lines(&gateway, 0, "id=CCI1006I", NULL, NULL) == good + 1;
}

static int renewals(void)
{
	return gateway_lines(&gateway, 0, "id=CCI1051I", NULL, NULL) + gateway_lines(&gateway, 0, "id=CCI1052E", NULL, NULL);
}

/* New files are noticed, loaded, and said to be; or not, and that is said. */
static bool renew(void)
{
	int before = renewals(), good = gateway_lines(&gateway, 0, "id=CCI1051I", NULL, NULL);

	copy("server.pem", "server.pem");
	for (int i = 0; i < 5000 && renewals() == before; i++)
		usleep(1000);
	ck_assert_msg(renewals() > before, "allocation %llu: new files, and not a word of them", number);
	return gateway_lines(&gateway, 0, "id=CCI1051I", NULL, NULL) > good;
}

static size_t converse(int fd, const char *words, char *back, size_t size)
{
	size_t used = 0;
	ssize_t came;

	(void)!write(fd, words, strlen(words));
	while (used < size - 1 && (came = recv(fd, back + used, size - 1 - used, 0)) > 0)
		used += (size_t)came;
	back[used] = '\0';
	close(fd);
	return used;
}

static const char *const requests[] = {"status\n", "connections\n", "report\n", "certificates\n", "log-level info\n"};
static unsigned turn;

/* How much the last answer told: names of members, and lines. Half of one is worse than none. */
static size_t told;

static void count_told(const char *text)
{
	told = 0;
	for (; *text != '\0'; text++)
		told += *text == '\n' || (text[0] == '"' && text[1] == ':');
}

static int connect_to(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", control_folder, name);
	return peer_connect_unix(path);
}

static bool control(void)
{
	static char back[1 << 20];
	int fd = connect_to("control");

	if (fd < 0 || converse(fd, requests[turn % 5], back, sizeof(back)) == 0 || strstr(back, "\"ok\":true") == NULL ||
	    strchr(back, '\n') == NULL)
		return false;
	count_told(back);
	return true;
}

static int http_port;

static bool http(void)
{
	static const char *const pages[] = {"/metrics", "/status.json", "/", "/healthz"};
	static char back[1 << 20];
	char request[128];

	(void)snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", pages[turn % 4]);
	if (converse(peer_connect(http_port), request, back, sizeof(back)) == 0 || strstr(back, " 200 ") == NULL)
		return false;
	count_told(back);
	return true;
}

/* A connection of each kind, and what its notifiers write: done when the record is there, and a moment has gone. */
static bool events(void)
{
	bool fine = serves(gateway.ports[0], turn % 2 == 1);

	usleep(20000);
	return fine;
}

static bool subscribe(void)
{
	char back[4096];
	int fd = connect_to("subscribe");
	ssize_t came = fd >= 0 ? recv(fd, back, sizeof(back) - 1, 0) : -1;

	close(fd);
	return came > 0;
}

static const struct doing {
	const char *what;
	bool (*act)(void);
	const char *thread; /* whose allocations fail; NULL: the main one */
	unsigned ways;
	unsigned long long most;
} doings[] = {
    {"reload", reload, NULL, 1, 60},           {"renewal", renew, NULL, 1, 12},
    {"control", control, NULL, 5, 40},         {"http", http, NULL, 4, 40},
    {"events file", events, "notifier-file", 2, 40},    {"events smf", events, "smf", 2, 40},
    {"subscriber", subscribe, "subscribers", 1, 40}, {"events", events, "worker 0", 2, 60},
};

/* A busy machine may keep it from an answer in time. */
static bool acts_at_last(const struct doing *doing)
{
	for (int i = 0; i < 5; i++)
		if (doing->act())
			return true;
	return false;
}

static void check_allocations(const struct doing *doing, int thread)
{
	unsigned long long count, step, failed = 0;
	size_t whole;

	for (int i = 0; i < 20; i++) {
		atomic_store(&board->faults[FAULT_MEMORY].thread, thread);
		atomic_store(&board->faults[FAULT_MEMORY].calls, 0);
		ck_assert_msg(acts_at_last(doing), "%s", doing->what);
	}
	usleep(50000);
	count = atomic_load(&board->faults[FAULT_MEMORY].calls);
	step = faulting_step(count, doing->most);
	whole = told;
	for (unsigned long long n = faulting_first(); n <= count; n += step) {
		fail_nth(n, thread);
		failed += !doing->act();
		/* /metrics goes without what /proc does not tell. */
		ck_assert_msg(told + (doing->act == http && turn == 0 ? 6 : 0) >= whole, "%s, allocation %llu: half an answer, %zu of %zu", doing->what, n, told, whole);
		(void)faulting_disarm(board, FAULT_MEMORY);
		ck_assert_msg(waitpid(gateway.pid, NULL, WNOHANG) == 0, "%s, allocation %llu: the gateway is gone", doing->what, n);
	}
	printf("%s (way %u): %llu allocations, %llu failed\n", doing->what, turn, count, failed);
	ck_assert_msg(acts_at_last(doing), "%s after all", doing->what);
}

START_TEST(each_allocation_of_what_it_does_may_fail)
{
	const struct doing *doing = &doings[_i];
	struct footprint before;
	int thread;

	start();
	thread = doing->thread != NULL ? faulting_thread(gateway.pid, doing->thread) : gateway.pid;
	ck_assert_int_gt(thread, 0);
	http_port = web_port(&gateway, 1);
	for (turn = 0; turn < doing->ways; turn++) {
		for (int i = 0; i < 10; i++)
			ck_assert(acts_at_last(doing));
		footprint_calm(gateway.pid, board, &before);
		check_allocations(doing, thread);
		/* OpenSSL keeps its last errors of each thread, a pool some buffers. */
		footprint_same(gateway.pid, board, &before, 80, doing->what);
	}
	ck_assert(serves(gateway.ports[0], false) && serves(gateway.ports[0], true));
	stop();
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
	TCase *tests = tcase_create(name);

	tcase_set_timeout(tests, 3600);
	suite_add_tcase(suite, tests);
	return tests;
}

Suite *module_suite(void)
{
	Suite *suite = suite_create("allocations of the process that fail");

	if (!faulting_possible())
		return suite;
	tcase_add_test(add_case(suite, "start"), a_start_ends_with_one_error_or_serves);
	for (int i = 0; i < (int)(sizeof(doings) / sizeof(doings[0])); i++)
		tcase_add_loop_test(add_case(suite, doings[i].what), each_allocation_of_what_it_does_may_fail, i, i + 1);
	return suite;
}
