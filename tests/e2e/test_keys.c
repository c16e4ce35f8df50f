/* Scenarios of keys in a process of their own: where they are, what they sign, and what becomes of a gateway without them. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "certfiles.h"
#include "compiler.h"
#include "gateway.h"
#include "memory.h"
#include "peer.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define KEYS "[keys]\nprocess = %s\n"
#define TWO_KEYS                                                                                       \
	"[certificate rsa]\ncertificate = @CERTS@/rsa.pem\nprivate_key = @CERTS@/rsa.key\n"                \
	"[certificate e]\ncertificate = @CERTS@/encrypted.pem\nprivate_key = @CERTS@/encrypted.key\n"      \
	"passphrase_file = @CERTS@/encrypted.pass\n"

static const struct peer_tls known = {.ca = CERTS "ca.pem"};

static void use_all(const struct gateway *gateway)
{
	certfiles_check_shown(gateway->ports[0], &known, "server");
	certfiles_check_shown(gateway->ports[0], &(struct peer_tls){.ca = CERTS "ca.pem", .sigalgs = "RSA-PSS+SHA256"}, "rsa");
}

/* In the gateway without a key process, so that the test can fail; in that process alone with it. */
START_TEST(a_key_is_in_no_memory_but_one)
{
	bool beside = _i == 1;
	struct gateway gateway;
	struct memory_secret secrets[2];

	memory_take(CERTS "server.key", OSSL_PKEY_PARAM_RSA_FACTOR1, &secrets[0]);
	memory_take(CERTS "rsa.key", OSSL_PKEY_PARAM_RSA_FACTOR1, &secrets[1]);
	gateway_start(&gateway, "ccissl", HEAD LISTENER("l") PLAIN_TLS TWO_KEYS KEYS, beside ? "yes" : "no");
	ck_assert_int_eq(memory_child(gateway.pid, "cci-keys") != 0, beside);
	use_all(&gateway);
	(void)kill(gateway.pid, SIGHUP);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	use_all(&gateway);
	for (int i = 0; i < COUNT(secrets); i++) {
		ck_assert_int_eq(memory_holds(gateway.pid, &secrets[i]), !beside);
		ck_assert(!memory_holds(memory_child(gateway.pid, "cci-starter"), &secrets[i]));
		if (beside)
			ck_assert(memory_holds(memory_child(gateway.pid, "cci-keys"), &secrets[i]));
	}
	gateway_stop(&gateway);
}
END_TEST

/* --- errors --- */

/* The file and the reason, without the time and the process. */
static void reason_of(const char *keys, char *reason, size_t size)
{
	char command[400], text[4096], config[128], certs[4096];
	FILE *stream;

	(void)snprintf(config, sizeof(config), "%s", certfiles_path("part"));
	ck_assert_ptr_nonnull(realpath("build/test-certs", certs));
	stream = fopen(config, "w");
	(void)fprintf(stream, "[gateway]\nsysid = H\nworkers = 1\n%s[service echo]\naddress = builtin:echo\n" LISTENER("l")
	                      "[certificate e]\ncertificate = %s/encrypted.pem\nprivate_key = %s/encrypted.key\n"
	                      "passphrase_file = %s/wrong.pass\n[keys]\nprocess = %s\n",
	              getuid() == 0 ? "user = root\n" : "", certs, certs, certs, keys);
	(void)fclose(stream);
	(void)snprintf(command, sizeof(command), "timeout 20 %s/ccissl -c %s 2>&1", gateway_build(), config);
	stream = popen(command, "r");
	text[fread(text, 1, sizeof(text) - 1, stream)] = '\0';
	ck_assert_int_eq(WEXITSTATUS(pclose(stream)), 1);
	ck_assert_msg(strstr(text, "id=CCI1010E") != NULL, "%s", text);
	(void)snprintf(reason, size, "%s", strstr(text, "id=CCI1010E"));
}

START_TEST(a_wrong_passphrase_is_the_same_error)
{
	char here[4096], there[4096];

	reason_of("no", here, sizeof(here));
	reason_of("yes", there, sizeof(there));
	ck_assert_ptr_nonnull(strstr(here, "does not open with the passphrase"));
	ck_assert_str_eq(here, there);
}
END_TEST

/* --- what changes while it runs --- */

static const char *const renewed[] = {"server", "second", "rsa"};

START_TEST(renewed_files_and_reloads_are_taken)
{
	struct gateway gateway;
	char certificate[128], key[128], file[32];

	certfiles_put("server.pem", "server.pem");
	certfiles_put("server.key", "server.key");
	(void)snprintf(certificate, sizeof(certificate), "%s", certfiles_path("server.pem"));
	(void)snprintf(key, sizeof(key), "%s", certfiles_path("server.key"));
	gateway_start(&gateway, "ccissl", CHANGING "[keys]\nprocess = yes\n", certificate, key);
	for (int i = 1; i < COUNT(renewed); i++) {
		certfiles_check_shown(gateway.ports[0], &known, renewed[i - 1]);
		(void)snprintf(file, sizeof(file), "%s.key", renewed[i]);
		certfiles_put(file, "server.key");
		(void)snprintf(file, sizeof(file), "%s.pem", renewed[i]);
		certfiles_put(file, "server.pem");
		ck_assert_int_ge(gateway_lines(&gateway, i, "id=CCI1051I", NULL, NULL), i);
		certfiles_check_shown(gateway.ports[0], &known, renewed[i]);
	}
	/* Another file altogether: the key process reads the configuration again by itself. */
	certfiles_put("rsa.key", "part");
	gateway_rewrite(&gateway, CHANGING "[keys]\nprocess = yes\n", certificate, certfiles_path("part"));
	(void)kill(gateway.pid, SIGHUP);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	gateway_stop(&gateway);
}
END_TEST

#define CONTAINED                                                                                               \
	"[gateway]\nsysid = HOST1\nworkers = 2\nsandbox = %s\n[service echo]\naddress = builtin:echo\n" LISTENER("l") \
	"[keys]\nprocess = yes\n[control]\nsocket = control\n[tls]\nca = @CERTS@/ca.pem\n"

/* Root's process, which no permission keeps from a file: the kernel does, unless it is told not to. */
START_TEST(other_folders_are_out_of_its_reach)
{
	static const char *const words[] = {"yes", "no"};
	struct gateway gateway;
	char certificate[128], key[128];

	certfiles_put("server.pem", "server.pem");
	certfiles_put("server.key", "server.key");
	(void)snprintf(certificate, sizeof(certificate), "%s", certfiles_path("server.pem"));
	(void)snprintf(key, sizeof(key), "%s", certfiles_path("server.key"));
	gateway_start(&gateway, "ccissl", CONTAINED "certificate = %s\nprivate_key = %s\n", words[_i], certificate, key);
	ck_assert_int_eq(gateway_shell("%s/ccissl ctl -c %s status | grep -q 'key process  *%s'", gateway_build(), gateway.config,
	                               _i == 0 ? "seccomp" : "none"),
	                 0);
	gateway_rewrite(&gateway, CONTAINED "certificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\n", words[_i]);
	(void)kill(gateway.pid, SIGHUP);
	if (_i == 0 && gateway_lines(&gateway, 0, "id=CCI1001I", "landlock", NULL) == 1) {
		ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1007E", "outside of the folders that the key process has kept",
		                               "Permission denied"),
		                 1);
		certfiles_check_shown(gateway.ports[0], &known, "server");
	} else {
		ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	}
	gateway_stop(&gateway);
}
END_TEST

static const struct {
	const char *file, *part;
} given_up[] = {
    {CERTS "server.key", ""},
    {CERTS "encrypted.key", ""},
    {CERTS "rsa.key", OSSL_PKEY_PARAM_RSA_FACTOR1},
    {CERTS "rsa.key", OSSL_PKEY_PARAM_RSA_FACTOR2},
    {CERTS "rsa.key", OSSL_PKEY_PARAM_RSA_EXPONENT1},
    {CERTS "rsa.key", OSSL_PKEY_PARAM_RSA_EXPONENT2},
    {CERTS "rsa.key", OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
};

/* Neither of it, nor of what it was read from. */
START_TEST(a_key_that_is_given_up_leaves_no_trace)
{
	static const struct peer_tls second = {.ca = CERTS "ca.pem"};
	const char *process = _i == 0 ? "yes" : "no";
	struct gateway gateway;
	pid_t holder;

	gateway_start(&gateway, "ccissl", HEAD LISTENER("l") PLAIN_TLS TWO_KEYS KEYS, process);
	holder = memory_child(gateway.pid, "cci-keys");
	ck_assert_int_eq(holder != 0, _i == 0);
	use_all(&gateway);
	gateway_rewrite(&gateway, HEAD LISTENER("l") "[tls]\ncertificate = @CERTS@/second.pem\nprivate_key = @CERTS@/second.key\n" KEYS,
	                process);
	for (int i = 1; i <= 3; i++) {
		(void)kill(gateway.pid, SIGHUP);
		ck_assert_int_ge(gateway_lines(&gateway, i, "id=CCI1006I", NULL, NULL), i);
		certfiles_check_shown(gateway.ports[0], &second, "second");
	}
	for (int i = 0; i < COUNT(given_up); i++) {
		struct memory_secret secret;
		bool there = true;

		memory_take(given_up[i].file, given_up[i].part, &secret);
		/* It goes with the last connection that it was used for. */
		for (int wait = 0; wait < 50 && there; wait++) {
			there = memory_holds(gateway.pid, &secret) || (holder != 0 && memory_holds(holder, &secret));
			if (there)
				usleep(100000);
		}
		ck_assert_msg(!there, "%s %s", given_up[i].file, given_up[i].part);
	}
	gateway_stop(&gateway);
}
END_TEST

START_TEST(suites_that_decrypt_with_the_key_are_refused)
{
	char command[300], text[4096], config[128], certs[4096];
	FILE *stream;

	ck_assert_ptr_nonnull(realpath("build/test-certs", certs));
	(void)snprintf(config, sizeof(config), "%s", certfiles_path("part"));
	stream = fopen(config, "w");
	(void)fprintf(stream, HEAD LISTENER("l") "[tls]\ncertificate = %s/rsa.pem\nprivate_key = %s/rsa.key\nciphers = AES128-GCM-SHA256\n"
	                      "[keys]\nprocess = yes\n",
	              certs, certs);
	(void)fclose(stream);
	(void)snprintf(command, sizeof(command), "%s/ccissl -c %s --check 2>&1", gateway_build(), config);
	stream = popen(command, "r");
	text[fread(text, 1, sizeof(text) - 1, stream)] = '\0';
	ck_assert_int_eq(WEXITSTATUS(pclose(stream)), 1);
	ck_assert_msg(strstr(text, ":12: ") != NULL && strstr(text, "AES128-GCM-SHA256, whose key exchange") != NULL, "%s", text);
}
END_TEST

/* --- many at once --- */

#define THREADS 20
#define EACH 10

static void *shake_many(void *port)
{
	intptr_t done = 0;

	for (int i = 0; i < EACH; i++) {
		int fd = peer_connect(*(const int *)port);
		SSL *ssl = certfiles_direct(fd, &known);

		done += ssl != NULL;
		peer_free(fd, ssl);
	}
	return (void *)done;
}

START_TEST(two_hundred_handshakes_at_once)
{
	struct gateway gateway;
	pthread_t threads[THREADS];
	intptr_t all = 0;
	void *done;

	gateway_start(&gateway, "ccissl", HEAD LISTENER("l") PLAIN_TLS TWO_KEYS KEYS, "yes");
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, shake_many, &gateway.ports[0]), 0);
	for (int i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], &done), 0);
		all += (intptr_t)done;
	}
	ck_assert_int_eq((int)all, THREADS * EACH);
	gateway_stop(&gateway);
}
END_TEST

/* --- without the key process --- */

/* Stopped, with all of its threads: kill(2) does not wait for that. */
static void halt(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	for (int i = 0; i < 5000; i++) {
		char path[64], state = '?';
		FILE *stream;

		(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		stream = fopen(path, "r");
		ck_assert_ptr_nonnull(stream);
		ck_assert_int_eq(fscanf(stream, "%*d (%*[^)]) %c", &state), 1);
		(void)fclose(stream);
		if (state == 'T')
			return;
		usleep(1000);
	}
	ck_abort_msg("process %d does not stop", (int)pid);
}

/* It is stopped: handshakes fail, each worker has waited once, and all is well when it goes on. */
START_TEST(a_process_that_hangs_costs_handshakes_alone)
{
	struct gateway gateway;
	SSL *running;
	char echo[4] = "";
	time_t started;
	pid_t keys;
	int fd;

	gateway_start(&gateway, "ccissl", HEAD LISTENER("l") PLAIN_TLS TWO_KEYS KEYS, "yes");
	keys = memory_child(gateway.pid, "cci-keys");
	fd = peer_connect(gateway.ports[0]);
	running = certfiles_direct(fd, &known);
	ck_assert_ptr_nonnull(running);
	halt(keys);
	for (int i = 0; i < 4; i++)
		certfiles_check_shown(gateway.ports[0], &known, NULL);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "the key process does not answer", NULL, NULL), 1);
	started = time(NULL);
	for (int i = 0; i < 20; i++)
		certfiles_check_shown(gateway.ports[0], &known, NULL);
	ck_assert_int_le(time(NULL) - started, 6);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1160E", NULL, NULL), 1);
	/* What is secured already needs no key. */
	ck_assert(peer_write(fd, running, "ping", 4) && peer_read(fd, running, echo, 4));
	ck_assert_int_eq(memcmp(echo, "ping", 4), 0);
	ck_assert_int_eq(kill(keys, SIGCONT), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1161I", NULL, NULL), 1);
	for (int i = 0; i < 8; i++)
		certfiles_check_shown(gateway.ports[0], &known, "server");
	peer_free(fd, running);
	gateway_stop(&gateway);
}
END_TEST

/* It is killed: new connections are told to go elsewhere, running ones may end, and so does the gateway, failing. */
START_TEST(a_process_that_ends_takes_the_gateway_along)
{
	struct gateway gateway;
	SSL *running;
	char echo[4] = "", command[256];
	int fd, status;

	gateway_start(&gateway, "ccissl", HEAD LISTENER("l") PLAIN_TLS TWO_KEYS KEYS, "yes");
	fd = peer_connect(gateway.ports[0]);
	running = certfiles_direct(fd, &known);
	ck_assert_ptr_nonnull(running);
	ck_assert_int_eq(kill(memory_child(gateway.pid, "cci-keys"), SIGKILL), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1162E", NULL, NULL), 1);
	ck_assert(peer_write(fd, running, "ping", 4) && peer_read(fd, running, echo, 4));
	peer_free(fd, running);
	ck_assert_int_eq(waitpid(gateway.pid, &status, 0), gateway.pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1003I", "status=1", NULL), 1);
	(void)snprintf(command, sizeof(command), "rm -rf %s", gateway.folder);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

/* A gateway that is killed leaves nobody behind who holds keys. */
/* Without the starter there is no successor and no new address, but all that is served goes on. */
START_TEST(the_starters_end_is_said)
{
	struct gateway gateway;
	pid_t starter;

	gateway_start(&gateway, "ccissl", HEAD LISTENER("l") PLAIN_TLS);
	starter = memory_child(gateway.pid, "cci-starter");
	ck_assert_int_gt(starter, 0);
	ck_assert_int_eq(kill(starter, SIGKILL), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1164E", NULL, NULL), 1);
	/* No zombie stays. */
	ck_assert_int_eq(memory_child(gateway.pid, "cci-starter"), 0);
	certfiles_check_shown(gateway.ports[0], &known, "server");
	(void)kill(gateway.pid, SIGHUP);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	(void)kill(gateway.pid, SIGUSR2);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1062E", "the starter has ended", NULL), 1);
	certfiles_check_shown(gateway.ports[0], &known, "server");
	gateway_stop(&gateway);
}
END_TEST

START_TEST(it_ends_with_its_gateway)
{
	struct gateway gateway;
	char command[256];
	pid_t keys;

	gateway_start(&gateway, "ccissl", HEAD LISTENER("l") PLAIN_TLS KEYS, "yes");
	keys = memory_child(gateway.pid, "cci-keys");
	ck_assert_int_gt(keys, 0);
	for (int number = 1; number <= SIGUSR2; number++)
		if (number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGUSR2)
			ck_assert_int_eq(kill(keys, number), 0);
	certfiles_check_shown(gateway.ports[0], &known, "server");
	ck_assert_int_eq(kill(gateway.pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(gateway.pid, NULL, 0), gateway.pid);
	for (int i = 0; i < 500 && kill(keys, 0) == 0; i++)
		usleep(10000);
	(void)snprintf(command, sizeof(command), "grep -qs cci-keys /proc/%d/comm && ! grep -q 'State:.Z' /proc/%d/status", (int)keys,
	               (int)keys);
	ck_assert_int_ne(system(command), 0);
	(void)snprintf(command, sizeof(command), "rm -rf %s", gateway.folder);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

/* Its threads give up their rights as they begin, which takes calls that its filter forbids: with many of them, and as somebody
 * else than root, one was late, and aborted. */
START_TEST(no_thread_is_late_for_the_filter)
{
	struct gateway gateway;
	char command[128];
	pid_t keys;

	if (geteuid() != 0)
		return;
	gateway_start(&gateway, "ccissl",
	              "[gateway]\nsysid = HOST1\nuser = nobody\nworkers = 24\n[service echo]\naddress = builtin:echo\n" LISTENER("l")
	              PLAIN_TLS KEYS, "yes");
	keys = memory_child(gateway.pid, "cci-keys");
	ck_assert_int_gt(keys, 0);
	certfiles_check_shown(gateway.ports[0], &known, "server");
	ck_assert_int_eq(gateway_lines(&gateway, 0, "id=CCI1162E", NULL, NULL), 0);
	ck_assert_int_eq(kill(keys, 0), 0);
	/* Each of them has the filter. */
	(void)snprintf(command, sizeof(command), "! grep -LE '^Seccomp:.2$' /proc/%d/task/*/status | grep -q .", (int)keys);
	ck_assert(strstr(gateway_build(), "address") != NULL || strstr(gateway_build(), "thread") != NULL || system(command) == 0);
	gateway_stop(&gateway);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("keys");
	TCase *one = tcase_create("scenarios");

	tcase_set_timeout(one, 60);
	tcase_add_checked_fixture(one, certfiles_open, certfiles_close);
	tcase_add_loop_test(one, a_key_is_in_no_memory_but_one, 0, 2);
	tcase_add_test(one, a_wrong_passphrase_is_the_same_error);
	tcase_add_test(one, renewed_files_and_reloads_are_taken);
	tcase_add_loop_test(one, a_key_that_is_given_up_leaves_no_trace, 0, 2);
	tcase_add_loop_test(one, other_folders_are_out_of_its_reach, 0, IS_SANITIZED ? 0 : 2);
	tcase_add_test(one, suites_that_decrypt_with_the_key_are_refused);
	tcase_add_test(one, two_hundred_handshakes_at_once);
	tcase_add_test(one, a_process_that_hangs_costs_handshakes_alone);
	tcase_add_test(one, a_process_that_ends_takes_the_gateway_along);
	tcase_add_test(one, the_starters_end_is_said);
	tcase_add_test(one, it_ends_with_its_gateway);
	tcase_add_loop_test(one, no_thread_is_late_for_the_filter, 0, 6);
	suite_add_tcase(suite, one);
	return suite;
}
