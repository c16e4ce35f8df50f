/* ccisslgw connect and ping against a running ccissl: exit status, what comes back, what is said. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define CA "--ca build/test-certs/ca.pem "

static const char configuration[] = "[gateway]\nsysid = HOST1\n"
                                    "[listener pc]\naddress = 127.0.0.1:0\nunsecured_connections = nonssl\n"
                                    "service = ECHO\n"
                                    "[service ECHO]\naddress = builtin:echo\n"
                                    "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\n";

/* In a command @PORT@ stands for the gateway's port, @DEAD@ for one where nobody listens, G for the program. */
struct row {
	const char *command;
	int status;
	const char *said; /* on standard output or error; NULL: anything */
	const char *also;
	const char *never; /* must not be there */
};

static const struct row rows[] = {
    {"echo payroll | G connect 127.0.0.1:@PORT@ " CA, 0, "payroll", "confirmed inside TLS", NULL},
    {"echo payroll | G connect 127.0.0.1:@PORT@ --quiet " CA, 0, "payroll", NULL, "connected"},
    {"echo payroll | G connect 127.0.0.1:@PORT@ --security direct " CA, 0, "payroll", "first byte", NULL},
    {"echo payroll | G connect 127.0.0.1:@PORT@ --security none", 0, "payroll", "unsecured", "TLS 1"},
    {"echo payroll | G connect 127.0.0.1:@PORT@", 1, "not trusted", "check ca", "payroll"},
    {"echo payroll | G connect 127.0.0.1:@PORT@ --server-name other.example " CA, 1, "another name", NULL, "payroll"},
    {"echo payroll | G connect 127.0.0.1:@PORT@ --target NOBODY " CA, 1, NULL, NULL, "payroll"},
    {"G connect 127.0.0.1:@PORT@ " CA "<&-", 0, "connected", NULL, NULL},
    {"G connect 127.0.0.1:@PORT@ " CA "</", 1, "standard input cannot be read", NULL, NULL},
    {"(echo payroll; sleep 5) | G connect 127.0.0.1:@PORT@ " CA ">/dev/full", 1, "standard output cannot be written",
     NULL, NULL},
    {"echo payroll | G connect 127.0.0.1:@DEAD@ " CA, 1, "refused", NULL, "payroll"},
    {"G connect", 2, "HOST:PORT", "--help", NULL},
    {"G connect 127.0.0.1:99999", 2, "--help", NULL, NULL},
    {"G connect builtin:echo", 2, "no gateway", NULL, NULL},
    {"G connect 127.0.0.1:1 --bogus", 2, "no option --bogus", NULL, NULL},
    {"G connect 127.0.0.1:1 --ca", 2, "--ca needs a value", NULL, NULL},
    {"G connect 127.0.0.1:1 --sysid 'a b'", 2, "--sysid is not a CCI name", NULL, NULL},
    {"G connect 127.0.0.1:1 --security maybe", 2, "none, off, on, required, direct", NULL, NULL},
    {"G connect 127.0.0.1:1 --timeout 5", 2, "such as 5s", NULL, NULL},
    {"G connect 127.0.0.1:1 --cert x.pem", 2, "belong together", NULL, NULL},
    {"G connect 127.0.0.1:1 --ca /no/such.pem", 1, "/no/such.pem", NULL, NULL},
    {"G connect unix:/no/such", 2, "add --server-name", NULL, NULL},
    {"G connect --help", 0, "Exit status", NULL, NULL},
    {"G ping 127.0.0.1:@PORT@ " CA, 0, "response:  64 bytes from HOST1 (TLS, confirmed), right", "requested:", NULL},
    {"G ping 127.0.0.1:@PORT@ --security none", 0, "(in the clear), right", NULL, NULL},
    {"G ping 127.0.0.1:@PORT@ --security direct " CA, 0, "(TLS from the first byte), right", NULL, NULL},
    {"G ping 127.0.0.1:@PORT@ --count 64 " CA, 0, "response:", NULL, NULL},
    {"G ping 127.0.0.1:@PORT@ --count 2 --interval 50ms " CA, 0, "response:", NULL, NULL},
    {"G ping 127.0.0.1:@PORT@", 1, "not trusted", NULL, "response:"},
    {"G ping 127.0.0.1:@DEAD@ " CA, 1, "refused", NULL, "response:"},
    {"G ping 127.0.0.1:1 --sysid '*PING'", 2, "not a CCI name", NULL, NULL},
    {"printf '[gateway]\\nsysid = H\\n[listener l]\\naddress = 127.0.0.1:0\\n[tls]\\ncertificate = /no/x.pem\\n"
     "private_key = /no/x.key\\n' | G -c /dev/stdin --check",
     1, "stdin:6: ", "/no/x.pem cannot be opened", NULL},
    {"printf '[gateway]\\nsysid = H\\n[listener l]\\naddress = 127.0.0.1:0\\nunsecon = only\\n[notifier n]\\nkind = x\\n' | "
     "G -c /dev/stdin --check",
     1, "stdin:7: [notifier n] kind = x is not known; there is: log", NULL, NULL},
    {"printf '[gateway]\\nsysid = H\\n[listener l]\\naddress = 127.0.0.1:0\\n[tls]\\ncertificate = %s/expired.pem\\n"
     "private_key = %s/expired.key\\n' $PWD/build/test-certs $PWD/build/test-certs | G -c /dev/stdin --check",
     0, "CCI1054E", "expired.pem", NULL},
    {"printf '[gateway]\\nsysid = H\\n[listener l]\\naddress = unix:/etc/passwd, unix:/no/such/s\\nunsecon = only\\n' | "
     "G -c /dev/stdin --check",
     1, "stdin:4: [listener l] address: /etc/passwd is there and is no socket", "stdin:4: warning: ", NULL},
    {"G ping 127.0.0.1:1 --count 0", 2, "--count 0", NULL, NULL},
    {"G ping 127.0.0.1:1 --count 65", 2, "--count 65 is not a number from 1 to 64", NULL, NULL},
};

/* Replace `word` in `text`, which has room. */
static void replace(char *text, size_t size, const char *word, const char *with)
{
	char *at = strstr(text, word);
	char rest[1024];

	if (at == NULL)
		return;
	(void)snprintf(rest, sizeof(rest), "%s", at + strlen(word));
	(void)snprintf(at, size - (size_t)(at - text), "%s%s", with, rest);
}

static int run(const struct row *row, const struct gateway *gateway, char *output, size_t size)
{
	char command[1024], program[256], number[16];
	int dead, fd = peer_listen(&dead);
	FILE *pipe;
	size_t got;

	peer_free(fd, NULL);
	(void)snprintf(command, sizeof(command), "exec 2>&1; timeout 30 bash -o pipefail -c \"%s\"", row->command);
	(void)snprintf(program, sizeof(program), "%s/ccisslgw ", gateway_build());
	replace(command, sizeof(command), "G ", program);
	(void)snprintf(number, sizeof(number), "%d", gateway->ports[0]);
	replace(command, sizeof(command), "@PORT@", number);
	(void)snprintf(number, sizeof(number), "%d", dead);
	replace(command, sizeof(command), "@DEAD@", number);
	pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	got = fread(output, 1, size - 1, pipe);
	output[got] = '\0';
	return WEXITSTATUS(pclose(pipe));
}

START_TEST(command_does_as_it_says)
{
	const struct row *row = &rows[_i];
	struct gateway gateway;
	char output[16384];
	int status;

	(void)signal(SIGPIPE, SIG_DFL);
	gateway_start(&gateway, "ccissl", "%s", configuration);
	status = run(row, &gateway, output, sizeof(output));
	ck_assert_msg(status == row->status, "%s: status %d: %s", row->command, status, output);
	ck_assert_msg(row->said == NULL || strstr(output, row->said) != NULL, "%s: %s", row->command, output);
	ck_assert_msg(row->also == NULL || strstr(output, row->also) != NULL, "%s: %s", row->command, output);
	ck_assert_msg(row->never == NULL || strstr(output, row->never) == NULL, "%s: %s", row->command, output);
	ck_assert_msg(strstr(output, "Sanitizer") == NULL && strstr(output, "runtime error") == NULL, "%s", output);
	gateway_stop(&gateway);
}
END_TEST

/* A peer that takes the offer and then says nothing ends the command at its own deadline. */
START_TEST(silent_gateway_times_out)
{
	struct row row = {.command = "G ping 127.0.0.1:@PORT@ --timeout 300ms --security none"};
	struct gateway gateway = {.pid = 0};
	char output[4096];
	int fd = peer_listen(&gateway.ports[0]);

	ck_assert_int_eq(run(&row, &gateway, output, sizeof(output)), 1);
	ck_assert_msg(strstr(output, "timed out") != NULL, "%s", output);
	peer_free(fd, NULL);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("commands");
	TCase *tests = tcase_create("command");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, command_does_as_it_says, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(tests, silent_gateway_times_out);
	suite_add_tcase(suite, tests);
	return suite;
}
