/* Scenarios of secrets: they stay in the memory of a process that nobody can look into, and no longer than they are needed. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define PASSPHRASE "a horse, a battery and 17 staples"
#define CONFIG                                                                                         \
	"[gateway]\nsysid = HOST1\nworkers = 2\n%s[listener l]\naddress = 127.0.0.1:0\nservice = s\ndirect = yes\n"      \
	"unsecured_connections = allow\n[service s]\naddress = builtin:echo\n[log]\nlevel = debug\n"       \
	"[tls]\ncertificate = %s/cert.pem\nprivate_key = %s/key.pem\npassphrase_file = %s/word\n"   \
	"[notifier f]\nkind = file\npath = %s/events.json\n[control]\nsocket = %s/control\n"

static char folder[64], key_line[80];

/* The first line of the key's text that is all its own. */
static void read_key_line(void)
{
	FILE *stream = popen("openssl pkey -in build/test-certs/server.key | sed -n 3p", "r");

	ck_assert_ptr_nonnull(stream);
	ck_assert_ptr_nonnull(fgets(key_line, sizeof(key_line), stream));
	(void)pclose(stream);
	key_line[strcspn(key_line, "\n")] = '\0';
	ck_assert_int_ge((int)strlen(key_line), 16);
}

static void prepare(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/cci-secrets-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chmod(folder, 0711), 0);
	ck_assert_int_eq(gateway_shell("umask 077; printf '%%s\\n' '%s' >%s/word && openssl pkey -in build/test-certs/server.key "
	                     "-aes-256-cbc -passout file:%s/word -out %s/key.pem && cp build/test-certs/server.pem %s/cert.pem",
	                     PASSPHRASE, folder, folder, folder, folder),
	                 0);
	read_key_line();
}

static void clean(void)
{
	ck_assert_int_eq(gateway_shell("rm -rf %s", folder), 0);
}

/* A connection, secured from its first byte. */
static void talk(const struct gateway *gateway)
{
	ck_assert_int_eq(gateway_shell("echo x | timeout 10 openssl s_client -connect 127.0.0.1:%d -alpn cci/1 -servername host1.example "
	                     ">%s/client.out 2>&1; grep -q 'BEGIN CERTIFICATE' %s/client.out && rm %s/client.out",
	                     gateway->ports[0], folder, folder, folder),
	                 0);
}

static void allow_cores(void)
{
	const struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	(void)setrlimit(RLIMIT_CORE, &limit);
}

START_TEST(no_core_is_left)
{
	struct gateway gateway;
	int status = 0;

	prepare();
	gateway_before_exec = allow_cores;
	/* A sandbox would not let a core be written either. */
	gateway_start(&gateway, "ccissl", CONFIG, "sandbox = no\n", folder, folder, folder, folder, folder);
	ck_assert_int_eq(kill(gateway.pid, SIGABRT), 0);
	ck_assert_int_eq(waitpid(gateway.pid, &status, 0), gateway.pid);
	ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
	ck_assert(!WIFSIGNALED(status) || !WCOREDUMP(status));
	ck_assert_int_eq(gateway_shell("rm -rf %s", gateway.folder), 0);
	gateway_before_exec = NULL;
	clean();
}
END_TEST

/* --- who may look --- */

static int open_of(pid_t pid, const char *name, int flags)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return open(path, flags | O_CLOEXEC);
}

/* The process, and those that it has started. */
static size_t family(pid_t pid, pid_t *pids, size_t most)
{
	char path[64], text[512] = "";
	FILE *stream;
	size_t count = 1;

	pids[0] = pid;
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	stream = fopen(path, "r");
	if (stream != NULL && fgets(text, sizeof(text), stream) != NULL)
		for (char *at = strtok(text, " \n"); at != NULL && count < most; at = strtok(NULL, " \n"))
			pids[count++] = atoi(at);
	if (stream != NULL)
		(void)fclose(stream);
	return count;
}

/* As the gateway's own user. Exit status: how many of the looks into it succeed, and 100 where even one into a process of
 * ours does not. */
static int look(const pid_t *pids, size_t count, const struct passwd *user)
{
	static const char *const names[] = {"mem", "environ", "maps"};
	int seen = 0;
	pid_t ours;

	if (geteuid() == 0 && (setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
		return 101;
	ours = fork();
	if (ours == 0) {
		(void)execl("/bin/sleep", "sleep", "20", (char *)NULL);
		_exit(0);
	}
	usleep(200000);
	if (open_of(ours, "environ", O_RDONLY) < 0)
		seen = 100;
	(void)kill(ours, SIGKILL);
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++)
			seen += open_of(pids[i], names[j], O_RDONLY) >= 0;
		seen += ptrace(PTRACE_SEIZE, pids[i], NULL, NULL) == 0;
	}
	return seen;
}

static struct gateway *to_be_nobody_s;

/* From the start, so that the kernel has no change of the user to be careful about. */
static void become_nobody(void)
{
	const struct passwd *user = getpwnam("nobody");

	if (chown(to_be_nobody_s->folder, user->pw_uid, user->pw_gid) != 0 || chmod(to_be_nobody_s->config, 0644) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
		_exit(126);
}

/* Number 0 begins as root, and becomes somebody else; number 1 is him from the start. Its starter and its key process, too. */
START_TEST(nobody_looks_into_it)
{
	const struct passwd *user = getpwnam("nobody");
	bool from_start = _i == 1 && geteuid() == 0;
	struct gateway gateway;
	pid_t pids[8], child;
	size_t count;
	int status = 0;

	prepare();
	ck_assert_ptr_nonnull(user);
	ck_assert_int_eq(gateway_shell("chmod 755 %s; rm -f %s/events.json", folder, folder), 0);
	ck_assert_int_eq(gateway_shell("chown -R nobody %s", folder), geteuid() == 0 ? 0 : 256);
	to_be_nobody_s = &gateway;
	gateway_before_exec = from_start ? become_nobody : NULL;
	gateway_start(&gateway, "ccissl", CONFIG "[keys]\nprocess = yes\n", geteuid() == 0 ? "user = nobody\n" : "", folder, folder, folder,
	              folder, folder);
	gateway_before_exec = NULL;
	count = family(gateway.pid, pids, 8);
	ck_assert_int_ge((int)count, 3);
	child = fork();
	if (child == 0)
		_exit(look(pids, count, user));
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d looks were possible", WEXITSTATUS(status));
	gateway_stop(&gateway);
	clean();
}
END_TEST

/* --- what is left where --- */

/* Is `text` in the memory of the process? */
static bool remembers(pid_t pid, const char *text)
{
	int memory = open_of(pid, "mem", O_RDONLY);
	int list = open_of(pid, "maps", O_RDONLY);
	FILE *maps = list >= 0 ? fdopen(list, "r") : NULL;
	unsigned long from, to;
	char line[512], mode[8];
	bool found = false;

	ck_assert(memory >= 0 && maps != NULL);
	while (!found && fgets(line, sizeof(line), maps) != NULL) {
		char *bytes;
		ssize_t got;

		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[1] != 'w' || to - from > (64ul << 20))
			continue;
		bytes = malloc(to - from);
		got = pread(memory, bytes, to - from, (off_t)from);
		found = got > 0 && memmem(bytes, (size_t)got, text, strlen(text)) != NULL;
		free(bytes);
	}
	(void)fclose(maps);
	close(memory);
	return found;
}

START_TEST(they_are_wiped_and_written_nowhere)
{
	struct gateway gateway;
	int memory;

	prepare();
	gateway_start(&gateway, "ccissl", CONFIG, "", folder, folder, folder, folder, folder);
	talk(&gateway);
	ck_assert_int_eq(gateway_shell("%s/ccissl ctl -c %s certificates --json >%s/told", gateway_build(), gateway.config, folder), 0);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	talk(&gateway);
	ck_assert_int_eq(gateway_lines(&gateway, 2, " conn=", NULL, NULL) >= 2, 1);
	memory = open_of(gateway.pid, "mem", O_RDONLY);
	if (memory < 0) {
		(void)printf("the memory of another process cannot be read here: that is not tried\n");
	} else {
		close(memory);
		ck_assert(remembers(gateway.pid, "host1.example"));
		ck_assert(!remembers(gateway.pid, PASSPHRASE));
		ck_assert(!remembers(gateway.pid, key_line));
	}
	ck_assert_int_eq(gateway_shell("cp %s %s/log", gateway.log, folder), 0);
	gateway_stop(&gateway);
	ck_assert_int_eq(gateway_shell("test -s %s/log && test -s %s/events.json && test -s %s/told", folder, folder, folder), 0);
	ck_assert_int_eq(gateway_shell("rm %s/word && ! grep -rqF -e '%s' -e '%s' -e 'PRIVATE KEY' %s/log %s/events.json %s/told", folder, PASSPHRASE,
	                     key_line, folder, folder, folder),
	                 0);
	clean();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("secrets");
	TCase *tests = tcase_create("secrets");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, no_core_is_left);
	tcase_add_loop_test(tests, nobody_looks_into_it, 0, 2);
	tcase_add_test(tests, they_are_wiped_and_written_nowhere);
	suite_add_tcase(suite, tests);
	return suite;
}
