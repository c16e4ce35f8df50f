/* Scenarios of the sandbox: what must not work is tried from inside a real gateway, by a plug-in. */
#include <check.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "compiler.h"
#include "gateway.h"
#include "peer.h"

#define CONFIG                                                                                         \
	"[gateway]\nsysid = HOST1\nworkers = 2\n%s[listener l]\naddress = 127.0.0.1:0\nservice = s\n"       \
	"unsecured_connections = allow\n[service s]\naddress = builtin:echo\n"                             \
	"[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n%s"
#define PLUGIN "[notifier n]\nkind = plugin\npath = %s/inside.so\nargument = %s\n"
#define OPEN "sandbox = no\n"

/* --- the plug-in --- */

/* Does what its argument says when a client comes, and says in the gateway's log what came of it. */
static const char source[] =
    "#define _GNU_SOURCE\n"
    "#include <arpa/inet.h>\n#include <errno.h>\n#include <fcntl.h>\n#include <linux/if_ether.h>\n#include <netdb.h>\n"
    "#include <netinet/in.h>\n#include <pthread.h>\n#include <signal.h>\n#include <stdio.h>\n#include <string.h>\n"
    "#include <sys/mman.h>\n#include <sys/ptrace.h>\n#include <sys/socket.h>\n#include <sys/stat.h>\n#include <sys/syscall.h>\n#include <sys/uio.h>\n"
    "#include <sys/un.h>\n#include <unistd.h>\n#include \"cci/notifier.h\"\n"
    "static char what[64], path[256];\n"
    "static void say(long result) { dprintf(2, \"attempt=%s result=%d\\n\", what, result >= 0 ? 0 : errno); }\n"
    "static void *thread(void *unused) { return unused; }\n"
    "static int tcp(void) { return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); }\n"
    "static void on_thread(void) { pthread_t t; say(pthread_create(&t, NULL, thread, NULL) == 0 ? pthread_join(t, NULL) : -1); }\n"
    "static void run(void) {\n"
    "    char *words[] = {\"sh\", \"-c\", \"echo attempt=exec result=0 >&2\", NULL};\n"
    "    execv(\"/bin/sh\", words); say(-1); }\n"
    "static void split(void) { pid_t p = fork(); if (p == 0) { say(0); _exit(0); } if (p < 0) say(-1); }\n"
    "static void bound(void) {\n"
    "    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};\n"
    "    say(bind(tcp(), (struct sockaddr *)&a, sizeof(a))); }\n"
    "static void local(void) {\n"
    "    struct sockaddr_un a = {.sun_family = AF_UNIX};\n"
    "    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); strcpy(a.sun_path, path);\n"
    "    say(bind(fd, (struct sockaddr *)&a, sizeof(a))); }\n"
    "static void look(void) {\n"
    "    char to[4], from[4] = \"abc\"; struct iovec a = {to, 4}, b = {from, 4};\n"
    "    say(process_vm_readv(getpid(), &a, 1, &b, 1, 0)); }\n"
    "static void resolve(void) {\n"
    "    struct addrinfo hints = {.ai_flags = AI_ADDRCONFIG, .ai_socktype = SOCK_STREAM}, *list; errno = 0;\n"
    "    if (getaddrinfo(\"localhost\", \"80\", &hints, &list) != 0) { say(-1); return; }\n"
    "    freeaddrinfo(list); say(0); }\n"
    "static int made(void *p) { return p == MAP_FAILED ? -1 : 0; }\n"
    "static void act(void) {\n"
    "    if (!strcmp(what, \"exec\")) run();\n"
    "    else if (!strcmp(what, \"fork\")) split();\n"
    "    else if (!strcmp(what, \"read\")) say(open(path, O_RDONLY | O_CLOEXEC));\n"
    "    else if (!strcmp(what, \"write\")) say(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));\n"
    "    else if (!strcmp(what, \"remove\")) say(unlink(path));\n"
    "    else if (!strcmp(what, \"bind\")) bound();\n"
    "    else if (!strcmp(what, \"bind-unix\")) local();\n"
    "    else if (!strcmp(what, \"listen\")) say(listen(tcp(), 1));\n"
    "    else if (!strcmp(what, \"packet\")) say(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));\n"
    "    else if (!strcmp(what, \"raw\")) say(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));\n"
    "    else if (!strcmp(what, \"tcp\")) say(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));\n"
    "    else if (!strcmp(what, \"mptcp\")) say(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 262) < 0 && errno == EPERM ? -1 : 0);\n"
    "    else if (!strcmp(what, \"udplite\")) say(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 136) < 0 && errno == EPERM ? -1 : 0);\n"
    "    else if (!strcmp(what, \"make-setuid\")) say(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 04700));\n"
    "    else if (!strcmp(what, \"setgid\")) say(chmod(path, 02700));\n"
    "    else if (!strcmp(what, \"mode\")) say(chmod(path, 0600));\n"
    "    else if (!strcmp(what, \"trace\")) say(ptrace(PTRACE_SEIZE, getppid(), 0, 0));\n"
    "    else if (!strcmp(what, \"memory\")) look();\n"
    "    else if (!strcmp(what, \"signal\")) say(kill(getppid(), 0));\n"
    "    else if (!strcmp(what, \"thread-signal\")) say(syscall(SYS_tgkill, getppid(), getppid(), 0));\n"
    "    else if (!strcmp(what, \"own-signal\")) say(syscall(SYS_tgkill, getpid(), getpid(), 0));\n"
    "    else if (!strcmp(what, \"owner\")) say(fcntl(0, F_SETOWN, getppid()));\n"
    "    else if (!strcmp(what, \"descriptors\")) say(fcntl(fcntl(0, F_DUPFD_CLOEXEC, 3), F_SETFL, fcntl(0, F_GETFL)));\n"
    "    else if (!strcmp(what, \"map\")) say(made(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));\n"
    "    else if (!strcmp(what, \"protect\")) say(mprotect(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096, PROT_READ | PROT_EXEC));\n"
    "    else if (!strcmp(what, \"memfd\")) say(memfd_create(\"x\", MFD_CLOEXEC));\n"
    "    else if (!strcmp(what, \"unshare\")) say(syscall(SYS_unshare, 0));\n"
    "    else if (!strcmp(what, \"bpf\")) say(syscall(SYS_bpf, -1, NULL, 0) < 0 && errno == EINVAL ? 0 : -1);\n"
    "    else if (!strcmp(what, \"thread\")) on_thread();\n"
    "    else if (!strcmp(what, \"names\")) resolve(); }\n"
    "static int open_it(const struct cci_notifier_options *options, void **state, char *error, size_t size) {\n"
    "    (void)error; (void)size; *state = what;\n"
    "    sscanf(options->argument, \"%63s %255s\", what, path); return 0; }\n"
    "static int notify(void *state, const struct cci_event *event) { (void)state; (void)event; act(); return CCI_NOTIFIED; }\n"
    "static void close_it(void *state) { (void)state; }\n"
    "const struct cci_notifier_kind cci_notifier_plugin = {sizeof(cci_notifier_plugin), CCI_NOTIFIER_VERSION, \"inside\",\n"
    "    CCI_WANTS(CCI_UNSECURED), 0, open_it, notify, close_it, NULL, NULL, NULL};\n";

static char folder[64], outside[64];

static void build(void)
{
	char path[96];
	FILE *stream;

	(void)snprintf(folder, sizeof(folder), "/tmp/cci-inside-XXXXXX");
	(void)snprintf(outside, sizeof(outside), "/tmp/cci-outside-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_ptr_nonnull(mkdtemp(outside));
	(void)snprintf(path, sizeof(path), "%s/inside.c", folder);
	stream = fopen(path, "w");
	ck_assert_ptr_nonnull(stream);
	(void)fputs(source, stream);
	ck_assert_int_eq(fclose(stream), 0);
	ck_assert_int_eq(gateway_shell("${CC:-cc} -std=gnu11 -O1 -Wall -Wno-unused-result -shared -fPIC -pthread -Iinclude -o %s/inside.so %s", folder, path), 0);
}

static void clean(void)
{
	ck_assert_int_eq(gateway_shell("rm -rf %s %s", folder, outside), 0);
}

/* --- what this kernel has --- */

static int landlock(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u);

	return abi > 0 ? (int)abi : 0;
}

/* Make `number` fail with `error` for this process and its children, as a container does. */
static void forbid(unsigned number, unsigned error)
{
	struct sock_filter filter[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L);
	(void)prctl(PR_SET_SECCOMP, (unsigned long)SECCOMP_MODE_FILTER, &program, 0L, 0L);
}

static void without_landlock(void)
{
	forbid(SYS_landlock_create_ruleset, ENOSYS);
}

static void without_seccomp(void)
{
	forbid(SYS_seccomp, ENOSYS);
}

/* --- one attempt --- */

struct attempt {
	const char *what;
	bool needs_landlock;
	bool not_sanitized; /* their run-time libraries need it */
	int result;         /* errno; -1: the process is ended by SIGSYS */
	int open_result;    /* without a sandbox */
	const char *path;   /* what is there on any machine, and root's; NULL: in a folder of the test */
};

static const struct attempt attempts[] = {
    {"exec", false, false, -1, 0, NULL},        {"fork", false, true, -1, 0, NULL},
    {"bind", false, false, -1, 0, NULL},        {"bind-unix", false, false, -1, 0, NULL},
    {"listen", false, false, -1, 0, NULL},      {"trace", false, true, -1, 0, NULL},
    {"memory", false, false, -1, 0, NULL},      {"unshare", false, false, -1, 0, NULL},
    {"bpf", false, false, -1, 0, NULL},         {"packet", false, false, EPERM, 0, NULL},
    {"raw", false, false, EPERM, 0, NULL},      {"map", false, false, EPERM, 0, NULL},
    {"protect", false, false, EPERM, 0, NULL},  {"memfd", false, false, EPERM, 0, NULL},
    {"read", true, false, EACCES, 0, NULL},     {"write", true, false, EACCES, 0, NULL},
    {"remove", true, false, EACCES, 0, NULL},   {"signal", false, true, EPERM, 0, NULL},
    {"thread-signal", false, false, EPERM, 0, NULL}, {"own-signal", false, false, 0, 0, NULL},
    {"owner", false, false, EPERM, 0, NULL},    {"descriptors", false, false, 0, 0, NULL},
    {"tcp", false, false, 0, 0, NULL},          {"mptcp", false, false, EPERM, 0, NULL},
    {"udplite", false, false, EPERM, 0, NULL},  {"make-setuid", false, false, EPERM, 0, NULL},
    {"setgid", false, false, EPERM, 0, NULL},   {"mode", false, false, 0, 0, NULL},
    {"thread", false, false, 0, 0, NULL},       {"names", false, false, 0, 0, NULL},
    {"read", true, false, EACCES, 0, "/var"},     {"read", true, false, EACCES, 0, "/root"},
    {"read", true, false, EACCES, 0, "/home"},    {"read", true, true, EACCES, 0, "/proc/1"},
    {"read", true, false, EACCES, 0, "/"},        {"write", true, false, EACCES, 0, "/etc/passwd"},
    {"write", true, false, EACCES, 0, "/dev/zero"}, {"write", true, false, EACCES, 0, "/usr/lib/os-release"},
};

/* A client in the clear is answered, and so is what it says. */
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

static void expect_killed(struct gateway *gateway)
{
	int status = 0;

	ck_assert_int_eq(waitpid(gateway->pid, &status, 0), gateway->pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "it ended with status %x", (unsigned)status);
	ck_assert(!WCOREDUMP(status));
	ck_assert_int_eq(gateway_shell("rm -rf %s", gateway->folder), 0);
}

static void start_with(struct gateway *gateway, const struct attempt *attempt, const char *more)
{
	bool makes = strcmp(attempt->what, "write") == 0 || strcmp(attempt->what, "make-setuid") == 0 || strcmp(attempt->what, "bind-unix") == 0;
	char argument[160], path[96], plugin[512];

	(void)snprintf(path, sizeof(path), "%s/%s", outside, makes ? "made" : "there");
	(void)snprintf(argument, sizeof(argument), "%s %s", attempt->what, attempt->path != NULL ? attempt->path : path);
	ck_assert_int_eq(gateway_shell("rm -f %s/made; echo secret >%s/there", outside, outside), 0);
	(void)snprintf(plugin, sizeof(plugin), PLUGIN, folder, argument);
	gateway_start(gateway, "ccissl", CONFIG, more, plugin);
}

static void expect_line(const struct gateway *gateway, const char *what, int result)
{
	char words[64], value[32];

	(void)snprintf(words, sizeof(words), "attempt=%s ", what);
	(void)snprintf(value, sizeof(value), " result=%d\n", result);
	ck_assert_msg(gateway_lines(gateway, 1, words, value, NULL) == 1, "no %s%s", words, value);
}

START_TEST(what_must_not_work_does_not)
{
	const struct attempt *attempt = &attempts[_i];
	struct gateway gateway;

	if ((attempt->needs_landlock && landlock() == 0) || (attempt->not_sanitized && IS_SANITIZED)) {
		(void)printf("%s is not tried: no Landlock, or a build with a sanitizer\n", attempt->what);
		return;
	}
	build();
	start_with(&gateway, attempt, "");
	if (attempt->result < 0) {
		(void)converse(&gateway);
		expect_killed(&gateway);
	} else {
		ck_assert(converse(&gateway));
		expect_line(&gateway, attempt->what, attempt->result);
		ck_assert(converse(&gateway));
		gateway_stop(&gateway);
	}
	clean();
}
END_TEST

/* Landlock forbids signals to others as well, where it is new: the filter has to do so by itself. */
START_TEST(without_landlock_no_signal_goes_either)
{
	static const char *const signals[] = {"signal", "thread-signal", "owner"};
	const struct attempt attempt = {signals[_i], false, false, EPERM, 0, NULL};
	struct gateway gateway;

	if (IS_SANITIZED)
		return;
	build();
	gateway_before_exec = without_landlock;
	start_with(&gateway, &attempt, "");
	gateway_before_exec = NULL;
	ck_assert(converse(&gateway));
	expect_line(&gateway, attempt.what, attempt.result);
	gateway_stop(&gateway);
	clean();
}
END_TEST

/* The same attempts, so that the test above can fail. */
START_TEST(without_a_sandbox_it_works)
{
	const struct attempt *attempt = &attempts[_i];
	struct gateway gateway;

	if (geteuid() != 0 && (attempt->path != NULL || strcmp(attempt->what, "packet") == 0 || strcmp(attempt->what, "raw") == 0 || strcmp(attempt->what, "trace") == 0))
		return;
	build();
	start_with(&gateway, attempt, OPEN);
	(void)converse(&gateway);
	expect_line(&gateway, attempt->what, attempt->open_result);
	(void)kill(gateway.pid, SIGKILL);
	(void)waitpid(gateway.pid, NULL, 0);
	ck_assert_int_eq(gateway_shell("rm -rf %s", gateway.folder), 0);
	clean();
}
END_TEST

/* --- the default, and what a kernel lacks --- */

static void expect_words(const struct gateway *gateway, bool calls, int abi)
{
	char words[64];

	(void)snprintf(words, sizeof(words), " sandbox=%s%s%slandlock %d%s", calls || abi > 0 ? "\"" : "none", calls ? "seccomp" : "",
	               calls && abi > 0 ? ", " : "", abi, "\"");
	if (abi == 0)
		(void)snprintf(words, sizeof(words), " sandbox=%s", calls ? "seccomp" : "none");
	ck_assert_msg(gateway_lines(gateway, 1, "id=CCI1001I", words, NULL) == 1, "no%s", words);
}

START_TEST(it_is_on_unless_it_is_switched_off)
{
	struct gateway gateway;

	gateway_start(&gateway, "ccissl", CONFIG, "", "");
	expect_words(&gateway, true, landlock());
	ck_assert_int_eq(gateway_lines(&gateway, 0, "id=CCI1150W", NULL, NULL), landlock() >= 3 ? 0 : 1);
	gateway_stop(&gateway);
	gateway_start(&gateway, "ccissl", CONFIG, OPEN, "");
	expect_words(&gateway, false, 0);
	gateway_stop(&gateway);
}
END_TEST

/* It serves where something is missing, and says what; or it does not start. */
START_TEST(what_the_kernel_lacks_is_said)
{
	void (*const lacking[])(void) = {without_landlock, without_seccomp};
	const char *const words[] = {"Landlock is not there", "seccomp is not there"};
	struct gateway gateway;

	gateway_before_exec = lacking[_i];
	gateway_start(&gateway, "ccissl", CONFIG, "", "");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1150W", words[_i], NULL), 1);
	expect_words(&gateway, _i == 0, _i == 0 ? 0 : landlock());
	ck_assert(converse(&gateway));
	gateway_rewrite(&gateway, CONFIG, "sandbox = require\n", "");
	ck_assert_int_eq(gateway_shell("%s/ccissl -c %s --check >/dev/null 2>&1", gateway_build(), gateway.config), 0);
	if (fork() == 0) {
		lacking[_i]();
		_exit(gateway_shell("%s/ccissl -c %s 2>%s.out", gateway_build(), gateway.config, gateway.config) == 1 << 8 ? 0 : 1);
	}
	ck_assert_int_eq(wait(&(int){0}) > 0, 1);
	ck_assert_int_eq(gateway_shell("test $(grep -c 'id=CCI1010E.*config.ini:5: .gateway. sandbox = require: %s: start it on' %s.out) = 1",
	                     words[_i], gateway.config),
	                 0);
	ck_assert_int_eq(gateway_shell("rm %s.out", gateway.config), 0);
	gateway_stop(&gateway);
	gateway_before_exec = NULL;
}
END_TEST

/* --- reloads --- */

static void expect_refused(struct gateway *gateway, int times, const char *words)
{
	ck_assert_int_eq(kill(gateway->pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(gateway, times, "id=CCI1007E", NULL, NULL), times);
	ck_assert_msg(gateway_lines(gateway, 0, "id=CCI1007E", words, NULL) == 1, "no %s", words);
	ck_assert(converse(gateway));
}

/* One error, nothing changes; and a successor may. */
START_TEST(a_reload_stays_in_its_folders)
{
	struct gateway gateway;
	char more[512];

	if (landlock() == 0)
		return;
	build();
	ck_assert_int_eq(gateway_shell("cp build/test-certs/ca.pem %s/", outside), 0);
	gateway_start(&gateway, "ccissl", CONFIG, "", "");
	(void)snprintf(more, sizeof(more), "crl = %s/none.pem\n", outside);
	gateway_rewrite(&gateway, CONFIG, "", more);
	expect_refused(&gateway, 1, "is outside the folders that this process has kept");
	(void)snprintf(more, sizeof(more), "[notifier f]\nkind = file\npath = %s/events\n", outside);
	gateway_rewrite(&gateway, CONFIG, "", more);
	expect_refused(&gateway, 2, "/events is outside the folders that this process has kept for itself since its start: a "
	                            "restart, or SIGUSR2, lets another have it too");
	(void)snprintf(more, sizeof(more), "[notifier f]\nkind = socket\npath = %s/socket\n", outside);
	gateway_rewrite(&gateway, CONFIG, "", more);
	expect_refused(&gateway, 3, "/socket is outside");
	/* A link out of a folder that is kept leads outside too. */
	ck_assert_int_eq(gateway_shell("ln -s %s/ca.pem %s/ca.pem", outside, gateway.folder), 0);
	(void)snprintf(more, sizeof(more), "[certificate c]\ncertificate = %s/ca.pem\nprivate_key = %s/ca.pem\n", gateway.folder,
	               gateway.folder);
	gateway_rewrite(&gateway, CONFIG, "", more);
	expect_refused(&gateway, 4, "certificate = /tmp/cci-test-");
	gateway_rewrite(&gateway, CONFIG, "", "");
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	ck_assert_int_eq(gateway_shell("rm %s/ca.pem", gateway.folder), 0);
	gateway_stop(&gateway);
	clean();
}
END_TEST

/* Code is loaded at the start or not at all; with a plug-in there, another may come. */
START_TEST(a_first_plugin_needs_another_process)
{
	struct gateway gateway;
	char more[512];

	build();
	gateway_start(&gateway, "ccissl", CONFIG, "", "");
	(void)snprintf(more, sizeof(more), PLUGIN, folder, "thread");
	gateway_rewrite(&gateway, CONFIG, "", more);
	expect_refused(&gateway, 1, "this process can load no code any more");
	gateway_stop(&gateway);
	gateway_start(&gateway, "ccissl", CONFIG, "", more);
	ck_assert_int_eq(gateway_shell("cp %s/inside.so %s/other.so", folder, folder), 0);
	(void)snprintf(more, sizeof(more), "[notifier n]\nkind = plugin\npath = %s/other.so\nargument = names\n", folder);
	gateway_rewrite(&gateway, CONFIG, "", more);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	ck_assert(converse(&gateway));
	expect_line(&gateway, "names", 0);
	gateway_stop(&gateway);
	clean();
}
END_TEST

/* An event file beside the configuration: an intruder could write what a successor runs. */
START_TEST(what_is_run_lies_where_nothing_is_written)
{
	struct gateway gateway;
	char more[512];

	if (landlock() == 0)
		return;
	build();
	(void)snprintf(more, sizeof(more), "[notifier f]\nkind = file\npath = %s/events\n", outside);
	gateway_start(&gateway, "ccissl", CONFIG, "", more);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "id=CCI1151W", NULL, NULL), 0);
	gateway_stop(&gateway);
	(void)snprintf(more, sizeof(more), "[notifier f]\nkind = file\npath = %s/events\n" PLUGIN "[control]\nsocket = %s/control\n", folder, folder,
	               "thread", folder);
	gateway_start(&gateway, "ccissl", CONFIG, "", more);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1151W", folder, "/inside.so"), 1);
	ck_assert_int_eq(gateway_shell("%s/ccissl ctl --socket %s/control status | grep -q 'it can write .*/inside.so'", gateway_build(),
	                               folder), 0);
	gateway_rewrite(&gateway, CONFIG, "sandbox = require\n", "");
	ck_assert_int_eq(gateway_shell("printf '[notifier f]\\nkind = file\\npath = %s/events\\n' >>%s", gateway.folder, gateway.config), 0);
	ck_assert_int_eq(gateway_shell("%s/ccissl -c %s >%s/said 2>&1", gateway_build(), gateway.config, outside), 1 << 8);
	ck_assert_int_eq(gateway_shell("grep -q 'sandbox = require: .*config.ini lies in a folder that is written too' %s/said", outside), 0);
	gateway_stop(&gateway);
	clean();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("sandbox");
	TCase *tests = tcase_create("sandbox");
	const int count = (int)(sizeof(attempts) / sizeof(attempts[0]));

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, what_must_not_work_does_not, 0, count);
	tcase_add_loop_test(tests, without_landlock_no_signal_goes_either, 0, 3);
	tcase_add_loop_test(tests, without_a_sandbox_it_works, 0, count);
	tcase_add_test(tests, it_is_on_unless_it_is_switched_off);
	tcase_add_loop_test(tests, what_the_kernel_lacks_is_said, 0, 2);
	tcase_add_test(tests, a_reload_stays_in_its_folders);
	tcase_add_test(tests, what_is_run_lies_where_nothing_is_written);
	tcase_add_test(tests, a_first_plugin_needs_another_process);
	suite_add_tcase(suite, tests);
	return suite;
}
