/* Scenarios of session tickets: keys that machines share, rotation, policies; and of the key log. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "certfiles.h"
#include "gateway.h"
#include "peer.h"

static const char shared[] = HEAD LISTENER("l") "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\n"
                                                "ca = @CERTS@/ca.pem\nticket_keys = %s\n%s";

static void write_keys(const char *first, const char *second)
{
	char text[512];
	int size = snprintf(text, sizeof(text), "# keys\n%s%s\n%s%s\n", first, first, second, second);

	certfiles_write("part", text, (size_t)size);
	ck_assert_int_eq(rename(certfiles_path("part"), certfiles_path("tickets")), 0);
}

#define KEY_A "00112233445566778899aabbccddeeff"
#define KEY_B "102132435465768798a9bacbdcedfe0f"

/* Connect with `session` (NULL: none); was it resumed? `fresh` (NULL: not wanted) is the session that came. */
static bool resumes(int port, int version, SSL_SESSION *session, SSL_SESSION **fresh)
{
	int fd = peer_connect(port);
	SSL *ssl = certfiles_direct(fd, &(struct peer_tls){.ca = CERTS "ca.pem", .max_version = version, .session = session});
	bool resumed;

	ck_assert_ptr_nonnull(ssl);
	resumed = SSL_session_reused(ssl) == 1;
	if (fresh != NULL)
		*fresh = SSL_get1_session(ssl);
	(void)SSL_shutdown(ssl);
	peer_free(fd, ssl);
	return resumed;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

START_TEST(machines_with_the_same_keys_take_each_others_tickets)
{
	struct gateway first, second, strict, other;
	SSL_SESSION *session;

	write_keys(KEY_A, "");
	gateway_start(&first, "ccissl", shared, certfiles_path("tickets"), "");
	gateway_start(&second, "ccissl", shared, certfiles_path("tickets"), "");
	gateway_start(&strict, "ccissl", shared, certfiles_path("tickets"), "client_auth = request\n");
	gateway_start(&other, "ccissl", HEAD LISTENER("l") PLAIN_TLS);
	ck_assert(!resumes(first.ports[0], versions[_i], NULL, &session));
	ck_assert(resumes(first.ports[0], versions[_i], session, NULL));
	ck_assert(resumes(second.ports[0], versions[_i], session, NULL));
	/* Another policy, and no keys in common: full handshakes. */
	ck_assert(!resumes(strict.ports[0], versions[_i], session, NULL));
	ck_assert(!resumes(other.ports[0], versions[_i], session, NULL));
	SSL_SESSION_free(session);
	gateway_stop(&first);
	gateway_stop(&second);
	gateway_stop(&strict);
	gateway_stop(&other);
}
END_TEST

START_TEST(ticket_keys_are_rotated_by_their_file)
{
	struct gateway gateway;
	SSL_SESSION *of_a, *of_b;

	write_keys(KEY_A, "");
	gateway_start(&gateway, "ccissl", shared, certfiles_path("tickets"), "");
	ck_assert(!resumes(gateway.ports[0], versions[_i], NULL, &of_a));
	/* The new one seals, the old one still opens, and what it has opened is sealed anew. */
	write_keys(KEY_B, KEY_A);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1051I", NULL, NULL), 1);
	ck_assert(resumes(gateway.ports[0], versions[_i], of_a, &of_b));
	write_keys(KEY_B, "");
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1051I", NULL, NULL), 2);
	ck_assert(!resumes(gateway.ports[0], versions[_i], of_a, NULL));
	ck_assert(resumes(gateway.ports[0], versions[_i], of_b, NULL));
	SSL_SESSION_free(of_a);
	SSL_SESSION_free(of_b);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(tickets_outlive_a_reload_and_a_change_of_files)
{
	struct gateway gateway;
	SSL_SESSION *session;

	certfiles_put("server.pem", "server.pem");
	certfiles_put("server.key", "server.key");
	gateway_start(&gateway, "ccissl", CHANGING, certfiles_path("server.pem"), certfiles_path("server.key"));
	ck_assert(!resumes(gateway.ports[0], 0, NULL, &session));
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	ck_assert(resumes(gateway.ports[0], 0, session, NULL));
	/* The same certificate once more; another one ends its sessions. */
	certfiles_put("server.pem", "server.pem");
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1051I", NULL, NULL), 1);
	ck_assert(resumes(gateway.ports[0], 0, session, NULL));
	certfiles_put("soon.key", "server.key");
	certfiles_put("soon.pem", "server.pem");
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI1051I", NULL, NULL), 2);
	ck_assert(!resumes(gateway.ports[0], 0, session, NULL));
	SSL_SESSION_free(session);
	gateway_stop(&gateway);
}
END_TEST

/* --- the key log --- */

START_TEST(secrets_are_written_only_where_it_is_said)
{
	struct gateway gateway;
	char text[16384], setting[128];
	struct stat status;

	(void)snprintf(setting, sizeof(setting), "insecure_key_log = %s\n", certfiles_path("secrets"));
	write_keys(KEY_A, "");
	gateway_start(&gateway, "ccissl", shared, certfiles_path("tickets"), _i == 0 ? "" : setting);
	certfiles_check_shown(gateway.ports[0], &(struct peer_tls){.ca = CERTS "ca.pem"}, "server");
	gateway_stop(&gateway);
	if (_i == 0) {
		ck_assert_int_ne(access(certfiles_path("secrets"), F_OK), 0);
		return;
	}
	text[certfiles_read(certfiles_path("secrets"), text, sizeof(text) - 1)] = '\0';
	ck_assert_ptr_nonnull(strstr(text, "CLIENT_TRAFFIC_SECRET_0 "));
	ck_assert_int_eq(stat(certfiles_path("secrets"), &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0600);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("tickets");
	TCase *tests = tcase_create("tickets");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, certfiles_open, certfiles_close);
	tcase_add_loop_test(tests, machines_with_the_same_keys_take_each_others_tickets, 0, 2);
	tcase_add_loop_test(tests, ticket_keys_are_rotated_by_their_file, 0, 2);
	tcase_add_test(tests, tickets_outlive_a_reload_and_a_change_of_files);
	tcase_add_loop_test(tests, secrets_are_written_only_where_it_is_said, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
