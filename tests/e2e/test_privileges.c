/* Whom a gateway becomes, what its threads may still do, and what a reload can read afterwards. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define NOBODY 65534ul

/* Behind a comment the runner adds no user of its own. */
#define CONFIG \
	"; whom it becomes\n[gateway]\nsysid = HOST1\nworkers = 2\n%s[listener l]\naddress = 127.0.0.1:0%s\nservice = s\n" \
	"unsecured_connections = nonssl\n[service s]\naddress = %s\n[tls]\ncertificate = %s\nprivate_key = %s\n"
#define SERVER "@CERTS@/server.pem", "@CERTS@/server.key"

static bool is_root(void)
{
	if (geteuid() == 0)
		return true;
	(void)printf("not root: what root becomes is not tried\n");
	return false;
}

static void read_file(const char *path, char *text, size_t size)
{
	FILE *stream = fopen(path, "r");

	ck_assert_msg(stream != NULL, "%s", path);
	text[fread(text, 1, size - 1, stream)] = '\0';
	(void)fclose(stream);
}

/* The number behind `key` in a status file. */
static unsigned long long value_of(const char *status, const char *key, int base)
{
	const char *at = strstr(status, key);

	ck_assert_msg(at != NULL, "no %s in %s", key, status);
	return strtoull(at + strlen(key), NULL, base);
}

struct expected {
	unsigned long long uid, gid, capabilities; /* of the main thread */
};

static void check_thread(const char *status, bool is_main, const struct expected *expected)
{
	char ids[64];

	(void)snprintf(ids, sizeof(ids), "\nUid:\t%llu\t%llu\t%llu\t%llu\n", expected->uid, expected->uid, expected->uid,
	               expected->uid);
	ck_assert_msg(strstr(status, ids) != NULL, "not %s in %s", ids, status);
	(void)snprintf(ids, sizeof(ids), "\nGid:\t%llu\t%llu\t%llu\t%llu\n", expected->gid, expected->gid, expected->gid,
	               expected->gid);
	ck_assert_msg(strstr(status, ids) != NULL, "not %s in %s", ids, status);
	if (expected->uid == 0)
		return;
	/* Only its own group beside, or none. */
	ck_assert(strstr(status, "\nGroups:\t \n") != NULL || value_of(status, "\nGroups:", 10) == expected->gid);
	ck_assert_uint_eq(value_of(status, "\nNoNewPrivs:", 10), 1);
	ck_assert_uint_eq(value_of(status, "\nCapInh:", 16), is_main ? expected->capabilities : 0);
	ck_assert_uint_eq(value_of(status, "\nCapAmb:", 16), 0);
	ck_assert_uint_eq(value_of(status, "\nCapBnd:", 16), 0);
	ck_assert_uint_eq(value_of(status, "\nCapPrm:", 16), is_main ? expected->capabilities : 0);
	ck_assert_uint_eq(value_of(status, "\nCapEff:", 16), is_main ? expected->capabilities : 0);
}

/* The thread sanitizer has a thread of its own, which it starts as the one that it finds first: the main thread. */
static bool is_sanitizers(const char *status, bool *seen)
{
	bool is_it = strstr(gateway_build(), "thread") != NULL && strncmp(status, "Name:\tworker", 12) != 0 && !*seen &&
	             value_of(status, "\nCapInh:", 16) != 0;

	*seen = *seen || is_it;
	return is_it;
}

/* All of them; their number. */
static int check_threads(pid_t pid, const struct expected *expected)
{
	char path[400], status[4096];
	bool seen = false;
	DIR *folder;
	int count = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	folder = opendir(path);
	ck_assert_ptr_nonnull(folder);
	for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, entry->d_name);
		read_file(path, status, sizeof(status));
		if (atoi(entry->d_name) == (int)pid || !is_sanitizers(status, &seen))
			check_thread(status, atoi(entry->d_name) == (int)pid, expected);
		count++;
	}
	(void)closedir(folder);
	return count;
}

static void carry(int port)
{
	uint8_t offer[4096], answer[4096], bytes[1000] = {1, 2, 3}, back[1000] = {0};
	int fd = peer_connect(port);

	ck_assert_int_gt(peer_exchange(fd, NULL, offer, peer_offer(offer, 1, 0, "PC1", NULL), answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	ck_assert(peer_write(fd, NULL, bytes, sizeof(bytes)) && peer_read(fd, NULL, back, sizeof(back)));
	ck_assert_int_eq(memcmp(bytes, back, sizeof(bytes)), 0);
	close(fd);
}

#define KEPT ((1ull << 2) | (1ull << 10)) /* CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE */

static const struct {
	const char *lines;
	struct expected expected;
} starts[] = {
    {"", {NOBODY, NOBODY, KEPT}},
    {"user = nobody\n", {NOBODY, NOBODY, KEPT}},
    {"user = nobody\ngroup = daemon\n", {NOBODY, 1, KEPT}},
    {"user = 4000000001\ngroup = 4000000002\n", {4000000001, 4000000002, KEPT}},
    {"keep_capabilities = no\n", {NOBODY, NOBODY, 0}},
    {"user = root\n", {0, 0, 0}},
};

/* Root is often in groups of others, which are to be left too. */
static void join_groups(void)
{
	(void)setgroups(2, (const gid_t[]){4, 4711});
}

/* A name to look up brings the pool's threads to work, too. */
START_TEST(every_thread_becomes_the_user)
{
	struct gateway gateway;
	int threads;

	if (!is_root())
		return;
	gateway_before_exec = join_groups;
	gateway_start(&gateway, "ccissl", CONFIG, starts[_i].lines, "", "builtin:echo", SERVER);
	gateway_before_exec = NULL;
	carry(gateway.ports[0]);
	threads = check_threads(gateway.pid, &starts[_i].expected);
	ck_assert_int_ge(threads, 3);
	if (starts[_i].expected.capabilities != 0)
		ck_assert_int_ge(threads, 4); /* the pool is there before anybody uses it */
	ck_assert_int_eq(gateway_lines(&gateway, 1, starts[_i].expected.uid == 0 ? "CCI1041W" : "CCI1040I", NULL, NULL), 1);
	gateway_stop(&gateway);
}
END_TEST

static void copy_file(const char *from, const char *to)
{
	char text[65536];
	int fd;

	read_file(from, text, sizeof(text));
	fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(close(fd), 0);
}

/* Number 0 keeps what it takes to read a key of root's and to bind a port of root's again; number 1 does not. */
START_TEST(a_reload_reads_what_is_roots_if_it_may)
{
	const char *lines = _i == 0 ? "" : "keep_capabilities = no\n";
	char certificate[128], key[128], lower[64] = "";
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(address);
	struct gateway gateway;

	if (!is_root())
		return;
	gateway_start(&gateway, "ccissl", CONFIG, lines, "", "builtin:echo", SERVER);
	(void)snprintf(certificate, sizeof(certificate), "%s/cert.pem", gateway.folder);
	(void)snprintf(key, sizeof(key), "%s/key.pem", gateway.folder);
	copy_file("build/test-certs/server.pem", certificate);
	copy_file("build/test-certs/server.key", key);
	/* A free port below 1024. */
	for (int port = 1023; port > 900 && lower[0] == '\0'; port--) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		address.sin_port = htons((uint16_t)port);
		if (bind(fd, (struct sockaddr *)&address, size) == 0)
			(void)snprintf(lower, sizeof(lower), ", 127.0.0.1:%d", port);
		close(fd);
	}
	gateway_rewrite(&gateway, CONFIG, lines, lower, "builtin:echo", certificate, key);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, _i == 0 ? "id=CCI1006I" : "id=CCI1007E", NULL, NULL), 1);
	if (_i == 1)
		ck_assert_int_ge(gateway_lines(&gateway, 1, "ermission denied", NULL, NULL), 1);
	carry(gateway.ports[0]);
	check_threads(gateway.pid, &(struct expected){NOBODY, NOBODY, _i == 0 ? KEPT : 0});
	(void)unlink(certificate);
	(void)unlink(key);
	gateway_stop(&gateway);
}
END_TEST

/* With the keys in another process the right to read them is that process's alone, and a reload still finds new ones. What the
 * gateway could read itself it says. */
START_TEST(keys_that_are_roots_are_not_the_gateways)
{
	char certificate[128], key[128];
	struct gateway gateway;

	if (!is_root())
		return;
	gateway_start(&gateway, "ccissl", CONFIG "[keys]\nprocess = yes\n", "", "", "builtin:echo", SERVER);
	check_threads(gateway.pid, &(struct expected){NOBODY, NOBODY, 1ull << 10});
	ck_assert_int_eq(gateway_lines(&gateway, 0, "id=CCI1163W", NULL, NULL), 0);
	/* Nor can it read its certificate again, which is root's as well. */
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1165W", "server.pem", NULL), 1);
	(void)snprintf(certificate, sizeof(certificate), "%s/cert.pem", gateway.folder);
	(void)snprintf(key, sizeof(key), "%s/key.pem", gateway.folder);
	copy_file("build/test-certs/server.pem", certificate);
	copy_file("build/test-certs/server.key", key);
	/* All but the key is the user's to read. */
	ck_assert_int_eq(chmod(certificate, 0644), 0);
	ck_assert_int_eq(chmod(gateway.folder, 0755), 0);
	gateway_rewrite(&gateway, CONFIG "[keys]\nprocess = yes\n", "", "", "builtin:echo", certificate, key);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "id=CCI1163W", NULL, NULL), 0);
	ck_assert_int_eq(chmod(key, 0644), 0);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1006I", NULL, NULL), 2);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1163W", key, NULL), 1);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "id=CCI1165W", certificate, NULL), 0);
	carry(gateway.ports[0]);
	(void)unlink(certificate);
	(void)unlink(key);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(chroot_shuts_it_in)
{
	char jail[] = "/tmp/cci-jail-XXXXXX", lines[100], path[64], root[128] = "";
	struct gateway gateway;

	if (!is_root())
		return;
	ck_assert_ptr_nonnull(mkdtemp(jail));
	ck_assert_int_eq(chmod(jail, 0755), 0);
	(void)snprintf(lines, sizeof(lines), "chroot = %s\n", jail);
	gateway_start(&gateway, "ccissl", CONFIG, lines, "", "builtin:echo", SERVER);
	carry(gateway.ports[0]);
	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)gateway.pid);
	ck_assert_int_gt(readlink(path, root, sizeof(root) - 1), 0);
	ck_assert_str_eq(root, jail);
	(void)snprintf(path, sizeof(path), "/proc/%d/cwd", (int)gateway.pid);
	ck_assert_int_gt(readlink(path, root, sizeof(root) - 1), 0);
	ck_assert_str_eq(root, jail);
	check_threads(gateway.pid, &(struct expected){NOBODY, NOBODY, KEPT});
	/* Nothing of the configuration is in there: a reload fails as a whole, and it serves on. */
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1007E", NULL, NULL), 1);
	carry(gateway.ports[0]);
	gateway_stop(&gateway);
	(void)rmdir(jail);
}
END_TEST

/* Whose its unix sockets are: its own, or what was asked for. */
START_TEST(unix_sockets_go_with_it)
{
	static const struct {
		const char *lines;
		uid_t uid;
		gid_t gid;
	} cases[] = {{"", NOBODY, NOBODY}, {"unix_group = daemon\n", NOBODY, 1}, {"unix_owner = daemon\n", 1, 0}};
	char folder[] = "/tmp/cci-unix-XXXXXX", path[64], address[160];
	struct gateway gateway;
	struct stat status;

	if (!is_root())
		return;
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chown(folder, NOBODY, NOBODY), 0);
	(void)snprintf(path, sizeof(path), "%s/in", folder);
	(void)snprintf(address, sizeof(address), ", unix:%s\n%s", path, cases[_i].lines);
	gateway_start(&gateway, "ccissl", CONFIG, "", address, "builtin:echo", SERVER);
	ck_assert_int_eq(lstat(path, &status), 0);
	ck_assert_uint_eq(status.st_uid, cases[_i].uid);
	ck_assert_uint_eq(status.st_gid, cases[_i].gid);
	ck_assert_int_eq(status.st_mode & 0777, 0660);
	/* Who gives them away is the starter: the gateway itself could give away any file. */
	check_threads(gateway.pid, &(struct expected){NOBODY, NOBODY, KEPT});
	/* A reload finds nothing that it may not do any more. */
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "level=error", NULL, NULL), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "not permitted", NULL, NULL), 0);
	/* And what it makes then becomes theirs in the same way. */
	(void)snprintf(address, sizeof(address), ", unix:%s, unix:%s/2\n%s", path, folder, cases[_i].lines);
	gateway_rewrite(&gateway, CONFIG, "", address, "builtin:echo", SERVER);
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1006I", NULL, NULL), 2);
	(void)snprintf(path, sizeof(path), "%s/2", folder);
	ck_assert_int_eq(lstat(path, &status), 0);
	ck_assert_uint_eq(status.st_uid, cases[_i].uid);
	ck_assert_int_eq(status.st_mode & 0777, 0660);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "not permitted", NULL, NULL), 0);
	gateway_stop(&gateway);
	ck_assert_int_ne(lstat(path, &status), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

/* A successor is no longer started by root, and still reads what is root's, and keeps nothing for its workers. */
START_TEST(a_successor_has_what_its_predecessor_kept)
{
	char certificate[128], key[128], line[4096];
	struct gateway gateway;
	int successor = 0, status;
	FILE *log;

	if (!is_root())
		return;
	gateway_start(&gateway, "ccissl", CONFIG, "", "", "builtin:echo", SERVER);
	(void)snprintf(certificate, sizeof(certificate), "%s/cert.pem", gateway.folder);
	(void)snprintf(key, sizeof(key), "%s/key.pem", gateway.folder);
	copy_file("build/test-certs/server.pem", certificate);
	copy_file("build/test-certs/server.key", key);
	gateway_rewrite(&gateway, CONFIG, "", "", "builtin:echo", certificate, key);
	ck_assert_int_eq(kill(gateway.pid, SIGUSR2), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1001I", NULL, NULL), 2);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "because=\"not started as root\"", NULL, NULL), 1);
	log = fopen(gateway.log, "r");
	ck_assert_ptr_nonnull(log);
	while (fgets(line, sizeof(line), log) != NULL)
		if (strstr(line, "id=CCI1001I") != NULL)
			successor = atoi(strstr(line, " pid=") + 5);
	(void)fclose(log);
	ck_assert_int_gt(successor, 0);
	ck_assert_int_ne(successor, gateway.pid);
	ck_assert_int_eq(waitpid(gateway.pid, &status, 0), gateway.pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	check_threads(successor, &(struct expected){NOBODY, NOBODY, KEPT});
	carry(gateway.ports[0]);
	ck_assert_int_eq(kill(successor, SIGTERM), 0);
	ck_assert_int_ge(gateway_lines(&gateway, 2, "id=CCI1003I", NULL, NULL), 2);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "Sanitizer", NULL, NULL), 0);
	(void)unlink(certificate);
	(void)unlink(key);
	(void)unlink(gateway.log);
	(void)unlink(gateway.config);
	(void)rmdir(gateway.folder);
}
END_TEST

/* Start ccissl as `uid`, wait for its end; its status. */
static int run_as(uid_t uid, const char *config, char *said, size_t size)
{
	char path[300], file[] = "/tmp/cci-start-XXXXXX";
	int fd = mkstemp(file), out[2], program, status;
	size_t used = 0;
	ssize_t got;
	pid_t child;

	(void)snprintf(path, sizeof(path), "%s/ccissl", gateway_build());
	program = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert(fd >= 0 && program >= 0 && pipe(out) == 0);
	ck_assert_int_eq(write(fd, config, strlen(config)), (ssize_t)strlen(config));
	ck_assert_int_eq(fchmod(fd, 0644), 0);
	close(fd);
	child = fork();
	if (child == 0) {
		char *const argv[] = {(char *)(uintptr_t) "ccissl", (char *)(uintptr_t) "-c", file, NULL};

		(void)alarm(5);
		(void)dup2(out[1], STDERR_FILENO);
		close(out[1]);
		if (uid != geteuid() && (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0))
			_exit(99);
		(void)fexecve(program, argv, environ);
		_exit(98);
	}
	close(out[1]);
	close(program);
	while ((got = read(out[0], said + used, size - 1 - used)) > 0)
		used += (size_t)got;
	said[used] = '\0';
	close(out[0]);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	(void)unlink(file);
	return status;
}

#define CLEAR \
	"[gateway]\nsysid = H\n%s[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = only\n" \
	"[service s]\naddress = builtin:echo\n"

static const struct {
	uid_t uid;
	const char *lines, *says;
} faults[] = {
    {0, "user = no-such-user\n", ":3: [gateway] user = no-such-user: there is no such user"},
    {0, "group = no-such-group\n", ":3: [gateway] group = no-such-group"},
    {0, "chroot = /etc/passwd\n", ":3: [gateway] chroot = /etc/passwd is not a directory"},
    {0, "ratchet_file = /no/such/place/names\n", "user nobody cannot write in /no/such/place"},
    {0, "ratchet_file = /tmp/cci-roots/names\n", "user nobody cannot write in /tmp/cci-roots"},
    {65534, "user = daemon\n", ":3: [gateway] user = daemon: only root can become another user"},
    {65534, "group = daemon\n", ":3: [gateway] group = daemon: only root"},
    {65534, "chroot = /tmp\n", ":3: [gateway] chroot needs root"},
};

START_TEST(a_change_that_cannot_be_made_is_an_error_with_its_line)
{
	char config[1024], said[8192];
	int status;

	if (!is_root())
		return;
	(void)mkdir("/tmp/cci-roots", 0755);
	(void)snprintf(config, sizeof(config), CLEAR, faults[_i].lines);
	status = run_as(faults[_i].uid, config, said, sizeof(said));
	(void)rmdir("/tmp/cci-roots");
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status %x: %s", (unsigned)status, said);
	ck_assert_msg(strstr(said, faults[_i].says) != NULL, "%s", said);
	ck_assert(strstr(said, "CCI1010E") != NULL && strstr(said, "CCI1001I") == NULL);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("privileges scenarios");
	TCase *tests = tcase_create("privileges");

	/* The leak sanitizer cannot look into a process that has changed its user. */
	(void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, every_thread_becomes_the_user, 0, (int)(sizeof(starts) / sizeof(starts[0])));
	tcase_add_loop_test(tests, a_reload_reads_what_is_roots_if_it_may, 0, 2);
	tcase_add_test(tests, keys_that_are_roots_are_not_the_gateways);
	tcase_add_test(tests, chroot_shuts_it_in);
	tcase_add_loop_test(tests, unix_sockets_go_with_it, 0, 3);
	tcase_add_test(tests, a_successor_has_what_its_predecessor_kept);
	tcase_add_loop_test(tests, a_change_that_cannot_be_made_is_an_error_with_its_line, 0,
	                    (int)(sizeof(faults) / sizeof(faults[0])));
	suite_add_tcase(suite, tests);
	return suite;
}
