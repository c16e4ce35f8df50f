/* The real programs, started and ended for scenarios. */
#include "gateway.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

unsigned long gateway_descriptors;
void (*gateway_before_exec)(void);

const char *gateway_build(void)
{
	const char *build = getenv("CCI_BUILD");

	return build != NULL ? build : "build";
}

static void write_config(const struct gateway *gateway, const char *text)
{
	FILE *stream = fopen(gateway->config, "w");
	char certs[4096];

	ck_assert_ptr_nonnull(stream);
	ck_assert_ptr_nonnull(realpath("build/test-certs", certs));
	/* Started by root, a gateway becomes somebody else, who could not read the folder of the test. */
	if (getuid() == 0 && strncmp(text, "[gateway]\n", 10) == 0 && strstr(text, "\nuser = ") == NULL) {
		(void)fputs("[gateway]\nuser = root\n", stream);
		text += 10;
	}
	for (const char *at; (at = strstr(text, "@CERTS@")) != NULL; text = at + 7)
		(void)fprintf(stream, "%.*s%s", (int)(at - text), text, certs);
	(void)fputs(text, stream);
	/* Any suite can be run with the keys in a process of their own: CCI_TEST_KEYS=1 build/tests/e2e_tls. */
	if (getenv("CCI_TEST_KEYS") != NULL && strstr(text, "[keys]") == NULL)
		(void)fputs("\n[keys]\nprocess = yes\n", stream);
	ck_assert_int_eq(fclose(stream), 0);
}

static void run_child(const struct gateway *gateway, const char *program)
{
	char path[256];
	int fd = open(gateway->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)signal(SIGPIPE, SIG_DFL);
	if (gateway_descriptors != 0)
		(void)setrlimit(RLIMIT_NOFILE, &(struct rlimit){gateway_descriptors, gateway_descriptors});
	(void)dup2(fd, STDERR_FILENO);
	(void)snprintf(path, sizeof(path), "%s%s%s", program[0] == '/' ? "" : gateway_build(), program[0] == '/' ? "" : "/",
	               program);
	if (gateway_before_exec != NULL)
		gateway_before_exec();
	(void)execl(path, path, "-c", gateway->config, (char *)NULL);
	_exit(127);
}

/* The port in address=HOST:PORT, or address="[HOST]:PORT"; 0: none, as of a unix socket. */
static int port_in(const char *line)
{
	const char *at = strstr(line, "id=CCI1002I") != NULL ? strstr(line, " address=") : NULL;
	char address[256];

	if (at == NULL || sscanf(at, " address=%255s", address) != 1 || strstr(address, "unix:") != NULL)
		return 0;
	at = strrchr(address, ':');
	return at != NULL ? atoi(at + 1) : 0;
}

void gateway_ports(struct gateway *gateway)
{
	FILE *stream = fopen(gateway->log, "r");
	char line[4096];
	int count = 0;

	ck_assert_ptr_nonnull(stream);
	while (fgets(line, sizeof(line), stream) != NULL && count < 4) {
		int port = port_in(line);

		if (port > 0)
			gateway->ports[count++] = port;
	}
	(void)fclose(stream);
}

void gateway_start(struct gateway *gateway, const char *program, const char *config, ...)
{
	char text[4096];
	va_list arguments;

	memset(gateway, 0, sizeof(*gateway));
	(void)signal(SIGPIPE, SIG_IGN);
	(void)snprintf(gateway->folder, sizeof(gateway->folder), "/tmp/cci-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(gateway->folder));
	(void)snprintf(gateway->log, sizeof(gateway->log), "%s/log", gateway->folder);
	(void)snprintf(gateway->config, sizeof(gateway->config), "%s/config.ini", gateway->folder);
	va_start(arguments, config);
	(void)vsnprintf(text, sizeof(text), config, arguments);
	va_end(arguments);
	write_config(gateway, text);
	gateway->pid = fork();
	ck_assert_int_ge(gateway->pid, 0);
	if (gateway->pid == 0)
		run_child(gateway, program);
	ck_assert_int_ge(gateway_lines(gateway, 1, "id=CCI1002I", NULL, NULL), 1);
	usleep(20000);
	gateway_ports(gateway);
}

void gateway_rewrite(struct gateway *gateway, const char *config, ...)
{
	char text[4096];
	va_list arguments;

	va_start(arguments, config);
	(void)vsnprintf(text, sizeof(text), config, arguments);
	va_end(arguments);
	write_config(gateway, text);
}

static int count_lines(const struct gateway *gateway, const char *a, const char *b, const char *c)
{
	FILE *stream = fopen(gateway->log, "r");
	char line[8192];
	int count = 0;

	while (stream != NULL && fgets(line, sizeof(line), stream) != NULL)
		count += strstr(line, a) != NULL && (b == NULL || strstr(line, b) != NULL) &&
		         (c == NULL || strstr(line, c) != NULL);
	if (stream != NULL)
		(void)fclose(stream);
	return count;
}

int gateway_lines(const struct gateway *gateway, int least, const char *a, const char *b, const char *c)
{
	int count = 0;

	for (int i = 0; i < 1000; i++) {
		count = count_lines(gateway, a, b, c);
		if (count >= least)
			break;
		usleep(10000);
	}
	return count;
}

pid_t gateway_successor(const struct gateway *gateway)
{
	FILE *stream = fopen(gateway->log, "r");
	char line[8192];
	pid_t pid = -1;

	ck_assert_ptr_nonnull(stream);
	while (fgets(line, sizeof(line), stream) != NULL)
		if (strstr(line, "id=CCI1061I") != NULL)
			pid = atoi(strstr(line, " pid=") + 5);
	(void)fclose(stream);
	return pid;
}

static int status_of(pid_t pid)
{
	int status = -1;

	for (int i = 0; i < 1500 && waitpid(pid, &status, WNOHANG) != pid; i++)
		usleep(10000);
	return status;
}

void gateway_ends(pid_t pid)
{
	int status = status_of(pid);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the program ended with status %x", (unsigned)status);
}

int gateway_shell(const char *format, ...)
{
	char command[2048];
	va_list arguments;

	va_start(arguments, format);
	ck_assert_int_lt(vsnprintf(command, sizeof(command), format, arguments), (int)sizeof(command));
	va_end(arguments);
	return system(command);
}

static void remove_folder(const struct gateway *gateway)
{
	(void)unlink(gateway->log);
	(void)unlink(gateway->config);
	(void)rmdir(gateway->folder);
}

void gateway_kill(struct gateway *gateway)
{
	ck_assert_int_eq(kill(gateway->pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(gateway->pid, NULL, 0), gateway->pid);
	remove_folder(gateway);
}

void gateway_stop(struct gateway *gateway)
{
	int status;

	ck_assert_int_eq(kill(gateway->pid, SIGTERM), 0);
	status = status_of(gateway->pid);
	ck_assert_int_eq(count_lines(gateway, "Sanitizer", NULL, NULL), 0);
	ck_assert_int_eq(count_lines(gateway, "runtime error", NULL, NULL), 0);
	ck_assert_int_eq(count_lines(gateway, "reason=internal", NULL, NULL), 0);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the program ended with status %x", (unsigned)status);
	remove_folder(gateway);
}
