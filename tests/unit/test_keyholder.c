/* The key process by itself, asked by somebody who has taken over the gateway: which files it opens, and which requests
 * it takes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler.h"
#include "keyholder_parts.h"
#include "sidecar.h"
#include "suite.h"
#include "tlspair.h"

static char folder[] = "/tmp/cci-keyholder-XXXXXX";
static char file[64], certificate[64], named[64], other[64];
static struct config *config;
static struct sidecar sidecar;

static void report(void *context, bool is_error, const char *name, unsigned line, const char *text)
{
	(void)context;
	ck_assert_msg(!is_error, "%s:%u: %s", name, line, text);
}

/* `security` of its peer; NULL: of a gateway without one. */
static void write_config_of(const char *key, const char *security)
{
	FILE *stream = fopen(file, "w");

	ck_assert_ptr_nonnull(stream);
	(void)fprintf(stream, "[gateway]\nsysid = A\n%s[listener a]\naddress = 127.0.0.1:0\n",
	              geteuid() == 0 ? "user = root\n" : "");
	if (security != NULL)
		(void)fprintf(stream, "[peer b]\naddress = 127.0.0.1:9\nsecurity = %s\n", security);
	else
		(void)fprintf(stream, "service = s\n[service s]\naddress = builtin:echo\n");
	(void)fprintf(stream, "[tls]\ncertificate = %s\nprivate_key = %s\nca = %s\n[keys]\nprocess = yes\n", certificate,
	              key, certificate);
	(void)fclose(stream);
}

static void write_config(const char *key)
{
	write_config_of(key, NULL);
}

static void open_holder_of(enum program program, const char *security)
{
	struct keyholder_task task = {.channels = 2};
	struct party party;
	struct error error;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(file, sizeof(file), "%s/a.ini", folder);
	(void)snprintf(certificate, sizeof(certificate), "%s/a.pem", folder);
	(void)snprintf(named, sizeof(named), "%s/a.key", folder);
	(void)snprintf(other, sizeof(other), "%s/b.key", folder);
	party_make(&party, &(struct party_wish){.common_name = "host", .names = "DNS:host"});
	identity_write(&party, certificate, named);
	identity_write(&party, NULL, other);
	party_close(&party);
	write_config_of(named, security);
	config = config_load(file, program, report, NULL);
	ck_assert_ptr_nonnull(config);
	task.config = config;
	ck_assert_msg(sidecar_start(&sidecar, "cci-keys", keyholder_serve, &task, &error) == 0, "%s", error.text);
}

static void open_holder(void)
{
	open_holder_of(PROGRAM_CCISSL, NULL);
}

static void close_holder(void)
{
	sidecar_stop(&sidecar);
	config_free(config);
	(void)unlink(file);
	(void)unlink(certificate);
	(void)unlink(named);
	(void)unlink(other);
	(void)rmdir(folder);
}

static uint64_t loaded; /* the handle of the last */

/* The result of a load by worker `slot`; with `cut` bytes of the texts left out. */
static enum keywire_result load(const char *key, uint32_t slot, size_t cut)
{
	struct {
		struct keywire_request head;
		char texts[512];
	} request = {.head = {.kind = KEYWIRE_LOAD, .sequence = 7, .slot = slot}};
	struct {
		struct keywire_answer head;
		uint8_t rest[KEYWIRE_TEXT_MOST];
	} answer;
	const char *const texts[KEYWIRE_TEXTS] = {"tls", "", key, "", certificate};
	size_t size = 0;

	for (int i = 0; i < KEYWIRE_TEXTS; i++)
		size += (size_t)snprintf(request.texts + size, sizeof(request.texts) - size, "%s", texts[i]) + 1;
	ck_assert_int_eq(sidecar_send(sidecar.fd, &request, sizeof(request.head) + size - cut, NULL, 0), 0);
	ck_assert_int_ge((int)sidecar_receive(sidecar.fd, &answer, sizeof(answer), NULL, NULL), (int)sizeof(answer.head));
	ck_assert_uint_eq(answer.head.sequence, 7);
	loaded = answer.head.handle;
	return (enum keywire_result)answer.head.result;
}

START_TEST(only_named_keys_are_loaded)
{
	open_holder();
	ck_assert_int_eq(load(named, 0, 0), KEYWIRE_DONE);
	ck_assert_int_eq(load(other, 0, 0), KEYWIRE_REFUSED);
	ck_assert_int_eq(load("/etc/hostname", 0, 0), KEYWIRE_REFUSED);
	ck_assert_int_eq(load("", 0, 0), KEYWIRE_REFUSED);
	/* By what the file names now: a reload of the gateway is under way. */
	write_config(other);
	ck_assert_int_eq(load(other, 0, 0), KEYWIRE_DONE);
	ck_assert_int_eq(load(named, 0, 0), KEYWIRE_REFUSED);
	close_holder();
}
END_TEST

START_TEST(requests_are_whole_and_of_a_worker_that_is_there)
{
	open_holder();
	ck_assert_int_eq(load(named, 1, 0), KEYWIRE_DONE);
	ck_assert_int_eq(load(named, 2, 0), KEYWIRE_REFUSED);
	ck_assert_int_eq(load(named, UINT32_MAX, 0), KEYWIRE_REFUSED);
	ck_assert_int_eq(load(named, 0, 1), KEYWIRE_REFUSED);
	ck_assert_int_eq(load(named, 0, 0), KEYWIRE_DONE);
	close_holder();
}
END_TEST

/* --- as a client --- */

static int open_channel(void)
{
	const struct keywire_request request = {.kind = KEYWIRE_CHANNELS, .sequence = 1};
	struct keywire_answer answer;
	int fds[SIDECAR_DESCRIPTORS_MAX];
	size_t count = 0;

	ck_assert_int_eq(sidecar_send(sidecar.fd, &request, sizeof(request), NULL, 0), 0);
	ck_assert_int_eq((int)sidecar_receive(sidecar.fd, &answer, sizeof(answer), fds, &count), (int)sizeof(answer));
	ck_assert_uint_eq(count, 2);
	close(fds[1]);
	return fds[0];
}

static enum keywire_result sign(int channel, const char *side)
{
	struct {
		struct keywire_request head;
		char text[64 + 34 + 32];
	} request = {.head = {.kind = KEYWIRE_SIGN, .handle = loaded, .digest = KEYWIRE_SHA256}};
	struct {
		struct keywire_answer head;
		uint8_t rest[KEYWIRE_SIGNATURE_MOST];
	} answer;

	memset(request.text, ' ', 64);
	(void)snprintf(request.text + 64, 34, "TLS 1.3, %s CertificateVerify", side);
	ck_assert_int_gt((int)send(channel, &request, sizeof(request.head) + sizeof(request.text), 0), 0);
	ck_assert_int_ge((int)recv(channel, &answer, sizeof(answer), 0), (int)sizeof(answer.head));
	return (enum keywire_result)answer.head.result;
}

/* A gateway that connects to no other with TLS is no client; once the file names a peer, the next load is for one. */
START_TEST(who_has_no_peer_signs_as_no_client)
{
	static const char *const securities[] = {"none", "required"};
	int channel;

	open_holder_of(PROGRAM_CCISSLGW, "none");
	channel = open_channel();
	for (int i = 0; i < 2; i++) {
		write_config_of(named, securities[i]);
		ck_assert_int_eq(load(named, 0, 0), KEYWIRE_DONE);
		ck_assert_int_eq(sign(channel, "server"), KEYWIRE_DONE);
		ck_assert_int_eq(sign(channel, "client"), i == 1 ? KEYWIRE_DONE : KEYWIRE_REFUSED);
	}
	close(channel);
	close_holder();
}
END_TEST

/* --- its filter --- */

static bool is_forbidden(long got)
{
	return got == -1 && errno == EPERM;
}

/* In a process of its own. 0, or which of the attempts came out otherwise. */
static int attempt_all(void)
{
	char *words[] = {file, NULL};
	void *memory;
	int fd;

	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 2;
	if (!is_forbidden(open(file, O_WRONLY)) || !is_forbidden(open(file, O_RDWR)))
		return 3;
	if (!is_forbidden(open(file, O_RDONLY | O_TRUNC)) || !is_forbidden(open(file, O_RDONLY | O_CREAT, 0600)))
		return 4;
	if (!is_forbidden(syscall(SYS_openat, AT_FDCWD, file, O_WRONLY)) || !is_forbidden(syscall(SYS_write, fd, file, 1)))
		return 5;
	if (!is_forbidden(socket(AF_INET, SOCK_STREAM, 0)) || !is_forbidden(socket(AF_UNIX, SOCK_STREAM, 0)))
		return 6;
	if (!is_forbidden(execve(file, words, words)) || !is_forbidden(syscall(SYS_fork)) || !is_forbidden(unlink(file)))
		return 7;
	if (!is_forbidden(kill(getppid(), 0)) || !is_forbidden(fcntl(fd, F_SETOWN, getppid())))
		return 8;
	memory = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory != MAP_FAILED || errno != EPERM)
		return 9;
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return memory != MAP_FAILED && is_forbidden(mprotect(memory, 4096, PROT_READ | PROT_EXEC)) ? 0 : 10;
}

/* Without it all of them work, but for execve of what is no program. */
START_TEST(it_reads_files_and_signs_and_no_more)
{
	struct error error;
	int status = 0;
	pid_t child;

	if (IS_SANITIZED)
		return;
	open_holder();
	child = fork();
	if (child == 0)
		_exit(keyholder_filter(config, &error) == 0 ? attempt_all() : 1);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
	close_holder();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("keyholder");
	TCase *tests = tcase_create("keyholder");

	tcase_add_test(tests, only_named_keys_are_loaded);
	tcase_add_test(tests, requests_are_whole_and_of_a_worker_that_is_there);
	tcase_add_test(tests, who_has_no_peer_signs_as_no_client);
	tcase_add_test(tests, it_reads_files_and_signs_and_no_more);
	suite_add_tcase(suite, tests);
	return suite;
}
