/* The starter binds what the file names and nothing else, and starts the one program; and whole messages between processes. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "binding.h"
#include "sidecar.h"
#include "starter.h"
#include "suite.h"
#include "unixsocket.h"

static char folder[] = "/tmp/cci-starter-XXXXXX";
static char file[64], path[64], out[64];
static struct config *config;

static void write_file(const char *address)
{
	FILE *stream = fopen(file, "w");

	ck_assert_ptr_nonnull(stream);
	(void)fprintf(stream,
	              "[gateway]\nsysid = A\n%s[listener a]\naddress = %s\nunsecured_connections = only\nservice = s\n"
	              "[service s]\naddress = builtin:echo\n[control]\nsocket = %s/ctl\n",
	              geteuid() == 0 ? "user = root\n" : "", address, folder);
	(void)fclose(stream);
}

static void report(void *context, bool is_error, const char *name, unsigned line, const char *text)
{
	(void)context;
	ck_assert_msg(!is_error, "%s:%u: %s", name, line, text);
}

/* A starter that has settled, for a gateway that listens at `address`. `script`: what a shell does as the program. */
static void open_starter(const char *address, const char *script)
{
	static char *argv[4];
	const struct starter_program program = {"/bin/sh", folder, argv};
	struct error error;

	argv[0] = (char *)(uintptr_t) "sh";
	argv[1] = (char *)(uintptr_t) "-c";
	argv[2] = (char *)(uintptr_t)script;
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(file, sizeof(file), "%s/a.ini", folder);
	(void)snprintf(path, sizeof(path), "%s/s", folder);
	(void)snprintf(out, sizeof(out), "%s/out", folder);
	write_file(address);
	config = config_load(file, PROGRAM_CCISSL, report, NULL);
	ck_assert_ptr_nonnull(config);
	ck_assert_int_eq(starter_open(config, &program, &error), 0);
	ck_assert_msg(starter_settle(&error) == 0, "%s", error.text);
}

static void close_starter(void)
{
	starter_close();
	config_free(config);
	(void)unlink(file);
	(void)unlink(path);
	(void)unlink(out);
	(void)rmdir(folder);
}

/* 0 or errno. */
static int try(const char *host, uint16_t port, uint16_t *bound)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), result;

	ck_assert_int_eq(inet_pton(AF_INET, host, &address.sin_addr), 1);
	result = binding_bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 && binding_listen(fd, 5) == 0 ? 0 : errno;
	if (result == 0 && bound != NULL) {
		ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
		*bound = ntohs(address.sin_port);
	}
	if (result == 0) { /* it does listen */
		int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
		ck_assert_int_eq(connect(client, (const struct sockaddr *)&address, sizeof(address)), 0);
		close(client);
	}
	close(fd);
	return result;
}

START_TEST(what_the_file_names_is_bound)
{
	uint16_t port = 0;

	open_starter("127.0.0.1:0", "exit");
	ck_assert_int_eq(try("127.0.0.1", 0, &port), 0);
	ck_assert_int_ne(port, 0);
	ck_assert_int_eq(try("127.0.0.1", port, NULL), 0);
	close_starter();
}
END_TEST

/* Valgrind's own stand far above. */
static unsigned count_descriptors(pid_t pid)
{
	char name[64];
	unsigned count = 0;
	DIR *fds;

	(void)snprintf(name, sizeof(name), "/proc/%d/fd", (int)pid);
	fds = opendir(name);
	ck_assert_ptr_nonnull(fds);
	for (const struct dirent *entry; (entry = readdir(fds)) != NULL;)
		count += entry->d_name[0] != '.' && atoi(entry->d_name) < 256;
	(void)closedir(fds);
	return count;
}

/* Our one child. */
static pid_t child(void)
{
	char text[64] = "";
	FILE *stream;

	(void)snprintf(text, sizeof(text), "/proc/%d/task/%d/children", (int)getpid(), (int)getpid());
	stream = fopen(text, "r");
	ck_assert_ptr_nonnull(stream);
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), stream));
	(void)fclose(stream);
	return atoi(text);
}

START_TEST(what_the_file_does_not_name_is_not)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	open_starter("127.0.0.1:1", "exit");
	/* Not bound, and not only not listened at. */
	ck_assert_int_eq(binding_bind(fd, (const struct sockaddr *)&address, sizeof(address)), -1);
	ck_assert_int_eq(errno, EPERM);
	close(fd);
	ck_assert_int_eq(try("127.0.0.1", 0, NULL), EPERM);
	ck_assert_int_eq(try("127.0.0.2", 1, NULL), EPERM);
	ck_assert_int_eq(try("0.0.0.0", 1, NULL), EPERM);
	/* Nor does what came for that stay open there: beside the standard ones it has its socket. */
	ck_assert_uint_le(count_descriptors(child()), 4);
	close_starter();
}
END_TEST

START_TEST(the_file_is_read_as_it_is_now)
{
	open_starter("127.0.0.1:1", "exit");
	ck_assert_int_eq(try("127.0.0.3", 0, NULL), EPERM);
	write_file("127.0.0.3:0");
	ck_assert_int_eq(try("127.0.0.3", 0, NULL), 0);
	write_file("nonsense");
	ck_assert_int_eq(try("127.0.0.3", 0, NULL), EPERM);
	(void)unlink(file);
	ck_assert_int_eq(try("127.0.0.3", 0, NULL), EPERM);
	close_starter();
}
END_TEST

START_TEST(a_socket_that_is_bound_elsewhere_does_not_listen)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	open_starter("127.0.0.1:1", "exit");
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(binding_listen(fd, 5), -1);
	ck_assert_int_eq(errno, EPERM);
	close(fd);
	close_starter();
}
END_TEST

START_TEST(unix_sockets_are_bound_with_their_mode)
{
	struct unixsocket_file made;
	struct error error;
	struct stat status;
	char elsewhere[80], wanted[80];
	int fd;

	open_starter("127.0.0.1:0", "exit");
	(void)snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", folder);
	(void)snprintf(wanted, sizeof(wanted), "%s/ctl", folder);
	ck_assert_int_eq(unixsocket_listen(elsewhere, 0600, &made, &error), -1);
	ck_assert_int_ne(access(elsewhere, F_OK), 0);
	fd = unixsocket_listen(wanted, 0640, &made, &error);
	ck_assert_msg(fd >= 0, "%s", error.text);
	ck_assert_int_eq(stat(wanted, &status), 0);
	ck_assert_int_eq(status.st_mode & 0777, 0640);
	close(fd);
	unixsocket_remove(wanted, &made);
	close_starter();
}
END_TEST

/* 0 or errno. */
static int give(const char *of, int fd, uid_t uid)
{
	return binding_own(of, fd, uid, (gid_t)-1) == 0 ? 0 : errno;
}

/* Only the listener's own socket, and only to whom the file says. */
START_TEST(a_socket_is_given_to_whom_the_file_says)
{
	char address[400], stranger[80];
	struct unixsocket_file made;
	struct error error;
	struct stat status;
	int fd, socket_fd, file_fd, folder_fd;

	open_starter("127.0.0.1:0", "exit");
	(void)snprintf(address, sizeof(address), "unix:%s\nunix_owner = daemon", path);
	(void)snprintf(stranger, sizeof(stranger), "%s/ctl", folder);
	write_file(address);
	fd = unixsocket_listen(path, 0600, &made, &error);
	ck_assert_msg(fd >= 0, "%s", error.text);
	socket_fd = open(path, O_PATH | O_CLOEXEC);
	file_fd = open(file, O_PATH | O_CLOEXEC);
	folder_fd = open(folder, O_PATH | O_CLOEXEC);
	ck_assert_int_eq(give(path, socket_fd, 2), EPERM);
	ck_assert_int_eq(give(path, file_fd, 1), EPERM);
	ck_assert_int_eq(give(path, folder_fd, 1), EPERM);
	ck_assert_int_eq(give(stranger, socket_fd, 1), EPERM);
	ck_assert_int_eq(give(file, file_fd, 1), EPERM);
	ck_assert_int_eq(give(path, socket_fd, 1), geteuid() == 0 ? 0 : EPERM);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_uint_eq(status.st_uid, geteuid() == 0 ? 1 : geteuid());
	ck_assert_int_eq(stat(file, &status), 0);
	ck_assert_uint_eq(status.st_uid, geteuid());
	close(fd);
	close(socket_fd);
	close(file_fd);
	close(folder_fd);
	close_starter();
}
END_TEST

/* The program has what it is given: descriptors in their order (also where they are more than one message takes), words, folder,
 * signals as they are by default (save 32 and 33, which the C library keeps to itself, as it was given them). */
START_TEST(a_program_gets_all_that_is_meant_for_it)
{
	enum { COUNT = 3 * SIDECAR_DESCRIPTORS_MAX };
	int fds[COUNT], pair[2], status;
	char got[256], last[16];
	struct error error;
	ssize_t length;
	pid_t pid;

	open_starter("127.0.0.1:0", "pwd >&3; echo $CCI_UPGRADE >&3; readlink /proc/$$/fd/752 >&3; "
	                            "grep SigIgn /proc/self/status >&3; ls /proc/$$/fd | sort -n | tail -n 1 >&3; [ ! -e /proc/$$/fd/753 ] && "
	                            "grep -q 'SigIgn:.0000000[01][08]0000000' /proc/self/status && exit 5");
	ck_assert_int_eq(pipe(pair), 0);
	fds[0] = pair[1];
	for (int i = 1; i < COUNT; i++)
		fds[i] = STDIN_FILENO;
	fds[COUNT - 1] = memfd_create("the last", 0);
	(void)snprintf(last, sizeof(last), "the last");
	pid = starter_start("CCI_UPGRADE=words", fds, COUNT, &error);
	ck_assert_msg(pid > 0, "%s", error.text);
	ck_assert(starter_has_ended(pid, 5000, &status));
	ck_assert(WIFEXITED(status));
	length = read(pair[0], got, sizeof(got) - 1);
	ck_assert_int_gt(length, 0);
	got[length] = '\0';
	ck_assert_ptr_nonnull(strstr(got, folder));
	ck_assert_ptr_nonnull(strstr(got, "\nwords\n"));
	ck_assert_msg(strstr(got, last) != NULL, "%s", got);
	ck_assert_msg(WEXITSTATUS(status) == 5, "status %d: %s", WEXITSTATUS(status), got);
	close(pair[0]);
	close(pair[1]);
	close(fds[COUNT - 1]);
	close_starter();
}
END_TEST

START_TEST(what_runs_can_be_killed_and_outlives_the_starter)
{
	struct error error;
	int status;
	pid_t pid, other;

	open_starter("127.0.0.1:0", "exec sleep 30");
	pid = starter_start("CCI_UPGRADE=b", NULL, 0, &error);
	other = starter_start("CCI_UPGRADE=b", NULL, 0, &error);
	ck_assert(pid > 0 && other > 0);
	ck_assert(!starter_has_ended(pid, 20, &status));
	starter_kill(getpid()); /* none of its own */
	starter_kill(pid);
	ck_assert(starter_has_ended(pid, 5000, &status));
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close_starter();
	ck_assert_int_eq(kill(other, 0), 0);
	ck_assert_int_eq(kill(other, SIGKILL), 0);
}
END_TEST

/* An intruder in the gateway may ask too: code of his own (LD_PRELOAD) is not to be had, nor any number of processes. */
START_TEST(no_other_variable_is_taken)
{
	static const char *const hostile[] = {"LD_PRELOAD=/tmp/evil.so", "CCI_UPGRADE", "CCI_UPGRADEX=1", "", "=", "XCCI_UPGRADE=1"};
	struct error error;

	open_starter("127.0.0.1:0", "exit");
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		ck_assert_int_eq(starter_start(hostile[i], NULL, 0, &error), -1);
		ck_assert_ptr_nonnull(strstr(error.text, "a request that is none"));
	}
	ck_assert_int_gt(starter_start("CCI_UPGRADE=", NULL, 0, &error), 0);
	close_starter();
}
END_TEST

START_TEST(few_programs_run_at_once)
{
	pid_t pids[5];
	struct error error;
	int status;

	open_starter("127.0.0.1:0", "exec sleep 30");
	for (int i = 0; i < 4; i++) {
		pids[i] = starter_start("CCI_UPGRADE=b", NULL, 0, &error);
		ck_assert_int_gt(pids[i], 0);
	}
	ck_assert_int_eq(starter_start("CCI_UPGRADE=b", NULL, 0, &error), -1);
	ck_assert_ptr_nonnull(strstr(error.text, "have not ended yet"));
	starter_kill(pids[0]);
	ck_assert(starter_has_ended(pids[0], 5000, &status));
	pids[4] = starter_start("CCI_UPGRADE=b", NULL, 0, &error);
	ck_assert_int_gt(pids[4], 0);
	for (int i = 1; i < 5; i++)
		starter_kill(pids[i]);
	close_starter();
}
END_TEST

/* The path that is named, cut short: another file, or an abstract name. Nor a socket that needs nobody who listens. */
START_TEST(a_part_of_an_address_is_not_bound)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), datagram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char part[80];

	open_starter("127.0.0.1:0", "exit");
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/ctl", folder);
	(void)snprintf(part, sizeof(part), "%s/ct", folder);
	for (socklen_t size = 0; size < sizeof(address); size++)
		ck_assert(binding_bind(fd, (const struct sockaddr *)&address, size) == -1 && errno == EPERM);
	ck_assert_int_ne(access(part, F_OK), 0);
	ck_assert(binding_bind(datagram, (const struct sockaddr *)&address, sizeof(address)) == -1 && errno == EPERM);
	close(datagram);
	ck_assert_int_eq(binding_bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(unlink(address.sun_path), 0);
	close(fd);
	close_starter();
}
END_TEST

START_TEST(it_settles_once)
{
	struct error error;

	open_starter("127.0.0.1:0", "exit");
	ck_assert_int_eq(starter_settle(&error), -1);
	close_starter();
}
END_TEST

START_TEST(without_a_starter_there_is_an_error)
{
	struct error error;

	open_starter("127.0.0.1:0", "exit");
	starter_close();
	ck_assert_int_eq(starter_start("CCI_UPGRADE=b", NULL, 0, &error), -1);
	ck_assert_ptr_nonnull(strstr(error.text, "restart"));
	ck_assert_int_eq(try("127.0.0.1", 0, NULL), 0); /* by ourselves again */
	close_starter();
}
END_TEST

/* --- sidecars --- */

/* Sends each message back, with its descriptors. "slow" is answered by nothing, for ever. */
static int echo(int fd, void *context)
{
	char bytes[SIDECAR_MESSAGE_MAX];
	int fds[SIDECAR_DESCRIPTORS_MAX];
	size_t count;
	ssize_t got;

	(void)context;
	while ((got = sidecar_receive(fd, bytes, sizeof(bytes), fds, &count)) > 0) {
		while (got == 4 && memcmp(bytes, "slow", 4) == 0)
			(void)pause();
		if (sidecar_send(fd, bytes, (size_t)got, fds, count) != 0)
			return 1;
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
	}
	return 0;
}

START_TEST(messages_are_whole)
{
	static char sent[SIDECAR_MESSAGE_MAX], got[SIDECAR_MESSAGE_MAX];
	int fds[SIDECAR_DESCRIPTORS_MAX], back[SIDECAR_DESCRIPTORS_MAX];
	struct sidecar sidecar;
	struct error error;
	size_t count;
	unsigned open;

	ck_assert_int_eq(sidecar_start(&sidecar, "echo", echo, NULL, &error), 0);
	open = count_descriptors(getpid());
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (char)(i * 7);
	for (size_t i = 0; i < SIDECAR_DESCRIPTORS_MAX; i++)
		fds[i] = STDOUT_FILENO;
	ck_assert_int_eq(sidecar_send(sidecar.fd, sent, sizeof(sent), fds, SIDECAR_DESCRIPTORS_MAX), 0);
	ck_assert_int_eq(sidecar_receive(sidecar.fd, got, sizeof(got), back, &count), (int)sizeof(sent));
	ck_assert_uint_eq(count, SIDECAR_DESCRIPTORS_MAX);
	ck_assert_mem_eq(sent, got, sizeof(sent));
	for (size_t i = 0; i < count; i++)
		close(back[i]);
	/* One that is too long for its receiver, and descriptors that nobody wants. */
	ck_assert_int_eq(sidecar_send(sidecar.fd, sent, 100, fds, 3), 0);
	ck_assert_int_eq(sidecar_receive(sidecar.fd, got, 99, NULL, NULL), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_int_eq(sidecar_send(sidecar.fd, sent, 100, fds, 3), 0);
	ck_assert_int_eq(sidecar_receive(sidecar.fd, got, 100, NULL, NULL), 100);
	ck_assert_uint_eq(count_descriptors(getpid()), open);
	ck_assert_int_eq(sidecar_send(sidecar.fd, sent, sizeof(sent) + 1, NULL, 0), -1);
	ck_assert_int_eq(sidecar_send(sidecar.fd, sent, 0, NULL, 0), -1);
	sidecar_stop(&sidecar);
	ck_assert_int_eq(sidecar.pid, 0);
}
END_TEST

START_TEST(a_sidecar_ends_whatever_it_does)
{
	struct sidecar sidecar;
	struct error error;
	int ours = open("/dev/null", O_RDONLY);
	pid_t pid;

	ck_assert_int_ge(ours, 0);
	ck_assert_int_eq(sidecar_start(&sidecar, "echo", echo, NULL, &error), 0);
	pid = sidecar.pid;
	/* It answers, so that it has begun; of what we had open it has nothing. */
	ck_assert_int_eq(sidecar_send(sidecar.fd, "word", 4, NULL, 0), 0);
	ck_assert_int_eq(sidecar_receive(sidecar.fd, &(char[8]){0}, 8, NULL, NULL), 4);
	ck_assert_uint_le(count_descriptors(pid), 4);
	close(ours);
	/* What ends a gateway does not end it. */
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert_int_eq(kill(pid, SIGHUP), 0);
	ck_assert_int_eq(sidecar_send(sidecar.fd, "slow", 4, NULL, 0), 0);
	ck_assert_int_eq(kill(pid, 0), 0);
	sidecar_stop(&sidecar);
	ck_assert_int_ne(kill(pid, 0), 0);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("starter");
	TCase *tests = tcase_create("starter");

	tcase_set_timeout(tests, 20);
	tcase_add_test(tests, what_the_file_names_is_bound);
	tcase_add_test(tests, what_the_file_does_not_name_is_not);
	tcase_add_test(tests, the_file_is_read_as_it_is_now);
	tcase_add_test(tests, a_socket_that_is_bound_elsewhere_does_not_listen);
	tcase_add_test(tests, unix_sockets_are_bound_with_their_mode);
	tcase_add_test(tests, a_socket_is_given_to_whom_the_file_says);
	tcase_add_test(tests, a_program_gets_all_that_is_meant_for_it);
	tcase_add_test(tests, what_runs_can_be_killed_and_outlives_the_starter);
	tcase_add_test(tests, no_other_variable_is_taken);
	tcase_add_test(tests, few_programs_run_at_once);
	tcase_add_test(tests, a_part_of_an_address_is_not_bound);
	tcase_add_test(tests, it_settles_once);
	tcase_add_test(tests, without_a_starter_there_is_an_error);
	tcase_add_test(tests, messages_are_whole);
	tcase_add_test(tests, a_sidecar_ends_whatever_it_does);
	suite_add_tcase(suite, tests);
	return suite;
}
