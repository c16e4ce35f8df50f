/* Scenarios of rules: identities in both ways of starting, also resumed; dry runs; and --explain against the real thing. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define CERTS "build/test-certs/"
#define TLS_SECTION "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"

/* Known by its certificate: to the inner service. Everybody else: not at all. */
static const char office[] = "[gateway]\nsysid = HOST1\nworkers = 1\n"
                             "[listener l]\naddress = 127.0.0.1:0\nservice = outer\nunsecured_connections = allow\n"
                             "[rule office]\nidentity = %s\nservice = inner\n"
                             "[rule rest]\naction = refuse\naudit_policy = never\n"
                             "[service outer]\naddress = 127.0.0.1:1\n"
                             "[service inner]\naddress = builtin:echo\n" TLS_SECTION;

/* Up to the point where bytes may be relayed; NULL where the gateway ends it. */
static SSL *secured(int fd, bool direct, const struct peer_tls *tls, const char *sysid)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, direct ? 4 : 2, sysid, NULL);
	SSL *ssl = direct ? peer_tls_client(fd, tls) : NULL;
	int got = direct && ssl == NULL ? -1 : peer_exchange(fd, ssl, offer, size, answer);

	if (got > 0 && peer_type(answer) == 2 && !direct)
		ssl = peer_tls_client(fd, tls);
	if (got > 0 && peer_type(answer) == 2 && ssl != NULL &&
	    (direct || peer_confirm_both(ssl, offer, size, answer, (size_t)got)))
		return ssl;
	SSL_free(ssl);
	return NULL;
}

static bool echoes(int fd, SSL *ssl)
{
	char back[5];

	return peer_write(fd, ssl, "hello", 5) && peer_read(fd, ssl, back, 5) && memcmp(back, "hello", 5) == 0;
}

static struct peer_tls tls_of(bool direct, const char *certificate)
{
	static char pem[64], key[64];
	struct peer_tls tls = {.alpn = direct ? "cci/1" : "cci-upgrade/1", .ca = CERTS "ca.pem"};

	(void)snprintf(pem, sizeof(pem), CERTS "%s.pem", certificate != NULL ? certificate : "");
	(void)snprintf(key, sizeof(key), CERTS "%s.key", certificate != NULL ? certificate : "");
	tls.certificate = certificate != NULL ? pem : NULL;
	tls.key = certificate != NULL ? key : NULL;
	return tls;
}

static const struct {
	const char *certificate, *pattern;
	bool works;
	const char *record;
} identities[] = {
    {"client", "DNS:client1.*", true, "id=CCI3000I"},
    {"client", "CN:CLIENT1.example", true, "id=CCI3000I"},
    {"client", "URI:x, DNS:client?.example", true, "id=CCI3000I"},
    {"client", "DNS:client2.*", false, "id=CCI3007W"},
    {"client", "EMAIL:client1.*", false, "id=CCI3007W"},
    {NULL, "DNS:*", false, "id=CCI3007W"},
    {"other-client", "DNS:*", false, "id=CCI3022W"},
};
#define IDENTITIES ((int)(sizeof(identities) / sizeof(identities[0])))

START_TEST(an_identity_decides)
{
	struct gateway gateway;
	bool direct = _i >= IDENTITIES, works = identities[_i % IDENTITIES].works;
	struct peer_tls tls = tls_of(direct, identities[_i % IDENTITIES].certificate);
	int fd;
	SSL *ssl;

	gateway_start(&gateway, "ccissl", office, identities[_i % IDENTITIES].pattern);
	fd = peer_connect(gateway.ports[0]);
	ssl = secured(fd, direct, &tls, "PC1");
	if (works)
		ck_assert(ssl != NULL && echoes(fd, ssl));
	else
		ck_assert(ssl == NULL || !echoes(fd, ssl));
	if (ssl != NULL)
		SSL_shutdown(ssl);
	peer_free(fd, ssl);
	ck_assert_int_eq(
	    gateway_lines(&gateway, 1, identities[_i % IDENTITIES].record, works ? "rule=office:" : "up=0", NULL), 1);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "to_name=outer", "to=127", NULL), 0);
	/* What the rule that decided in the end has on trial, and nothing of the one before. */
	if (works)
		ck_assert_int_eq(gateway_lines(&gateway, 0, "rule=office:", "audit_policy=", NULL), 0);
	else if (!direct && tls.certificate != NULL)
		ck_assert_int_eq(gateway_lines(&gateway, 1, "rule=rest:", "audit_policy=never", NULL), 1);
	gateway_stop(&gateway);
}
END_TEST

/* What a certificate proves holds for the rules of today, not for those of the first handshake. */
START_TEST(an_identity_is_judged_again_when_a_session_is_resumed)
{
	struct gateway gateway;
	bool direct = _i == 1;
	struct peer_tls tls = tls_of(direct, "client");
	int fd;
	SSL *ssl;

	gateway_start(&gateway, "ccissl", office, "DNS:client1.example");
	for (int round = 0; round < 2; round++) {
		fd = peer_connect(gateway.ports[0]);
		ssl = secured(fd, direct, &tls, "PC1");
		ck_assert(ssl != NULL && echoes(fd, ssl));
		ck_assert_int_eq(SSL_session_reused(ssl), round);
		SSL_SESSION_free(tls.session);
		tls.session = SSL_get1_session(ssl);
		SSL_shutdown(ssl);
		peer_free(fd, ssl);
	}
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3000I", "tls_resumed=yes", "rule=office:"), 1);
	gateway_rewrite(&gateway, office, "DNS:client2.example");
	ck_assert_int_eq(kill(gateway.pid, SIGHUP), 0);
	ck_assert_int_ge(gateway_lines(&gateway, 1, "id=CCI1006I", NULL, NULL), 1);
	fd = peer_connect(gateway.ports[0]);
	ssl = secured(fd, direct, &tls, "PC1");
	ck_assert(ssl == NULL || !echoes(fd, ssl));
	peer_free(fd, ssl);
	SSL_SESSION_free(tls.session);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3007W", "up=0", NULL), 1);
	gateway_stop(&gateway);
}
END_TEST

static const char by_sysid[] = "[gateway]\nsysid = HOST1\nworkers = 1\n"
                               "[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
                               "[rule branches]\nsysid = BR*\nclient_auth = require\n"
                               "[service s]\naddress = builtin:echo\n" TLS_SECTION;

/* A rule can ask for more than its listener does; a session made without is no way around it. */
START_TEST(a_rule_requires_a_certificate)
{
	struct gateway gateway;
	bool direct = _i == 1;
	struct peer_tls with = tls_of(direct, "client"), without = tls_of(direct, NULL);
	int fd;
	SSL *ssl;

	gateway_start(&gateway, "ccissl", by_sysid);
	fd = peer_connect(gateway.ports[0]);
	ssl = secured(fd, direct, &without, "PC1");
	ck_assert(ssl != NULL && echoes(fd, ssl));
	without.session = SSL_get1_session(ssl);
	SSL_shutdown(ssl);
	peer_free(fd, ssl);
	for (int round = 0; round < 2; round++) {
		fd = peer_connect(gateway.ports[0]);
		ssl = secured(fd, direct, &without, "BR1");
		ck_assert(ssl == NULL || !echoes(fd, ssl));
		peer_free(fd, ssl);
		SSL_SESSION_free(without.session);
		without.session = NULL;
	}
	ck_assert_int_eq(gateway_lines(&gateway, 2, "id=CCI3021W", "up=0", NULL), 2);
	fd = peer_connect(gateway.ports[0]);
	with = tls_of(direct, "client");
	ssl = secured(fd, direct, &with, "BR1");
	ck_assert(ssl != NULL && echoes(fd, ssl));
	SSL_shutdown(ssl);
	peer_free(fd, ssl);
	gateway_stop(&gateway);
}
END_TEST

static const char on_trial[] = "[gateway]\nsysid = HOST1\nworkers = 1\n"
                               "[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = allow\n"
                               "audit_policy = never\n"
                               "[listener raw]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = only\n"
                               "exchange = none\naudit_policy = never\n"
                               "[rule exempt]\nsysid = EX*\naudit_policy = nonssl\n"
                               "[service s]\naddress = builtin:echo\n" TLS_SECTION;

START_TEST(a_policy_on_trial_is_recorded_and_enforces_nothing)
{
	static const char *const sysids[] = {"PC1", "PC2", "EX1"};
	static const int securities[] = {0, 1, 0};
	static const char *const says[] = {"audit_policy=never audit_outcome=refuse audit_reason=security-required",
	                                   "audit_policy=never audit_outcome=tls",
	                                   "audit_policy=nonssl audit_outcome=clear"};
	struct gateway gateway;
	uint8_t offer[4096], answer[4096];
	int fd;

	gateway_start(&gateway, "ccissl", on_trial);
	for (int i = 0; i < 3; i++) {
		char sysid[16];

		fd = peer_connect(gateway.ports[0]);
		ck_assert_int_gt(
		    peer_exchange(fd, NULL, offer, peer_offer(offer, 1, securities[i], sysids[i], NULL), answer), 0);
		ck_assert_int_eq(peer_type(answer), 2);
		ck_assert(echoes(fd, NULL));
		close(fd);
		(void)snprintf(sysid, sizeof(sysid), "sysid=%s", sysids[i]);
		ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3000I", says[i], sysid), 1);
	}
	fd = peer_connect(gateway.ports[1]);
	ck_assert(echoes(fd, NULL));
	close(fd);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI3000I", "asked=raw", says[0]), 1);
	gateway_stop(&gateway);
}
END_TEST

/* --- --explain --- */

static const char explained[] = "[gateway]\nsysid = HOST1\nworkers = 1\n"
                                "[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = %s\n"
                                "[rule evil]\nsysid = EVIL*\naction = refuse\n"
                                "[rule lab]\nsource = 127.0.0.2/32\naction = refuse\n"
                                "[rule legacy]\nsysid = OLD*\nsource = 127.0.0.0/8\nunsecured_connections = allow\n"
                                "[service s]\naddress = builtin:echo\n" TLS_SECTION;

static const char *const policies[] = {"never", "nonssl", "allow", "only"};
static const char *const offers[] = {"none", "off", "on", "required"};
static const char *const names[] = {"PC1", "EVIL9", "OLDPC"};

static const char ratcheted[] = "[gateway]\nsysid = HOST1\nworkers = 1\nratchet_file = names\n"
                                "[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = allow\n"
                                "ratchet = yes\n[service s]\naddress = builtin:echo\n" TLS_SECTION;

static void explain(const struct gateway *gateway, const char *sysid, int security, int promise[2]);

START_TEST(a_name_in_the_ratchet_file_is_known_to_explain)
{
	struct gateway gateway;
	struct peer_tls tls = tls_of(false, NULL);
	int fd, promise[2];
	char names_file[128];
	SSL *ssl;

	gateway_start(&gateway, "ccissl", ratcheted);
	explain(&gateway, "PC1", 0, promise);
	ck_assert_int_eq(promise[0], 2);
	fd = peer_connect(gateway.ports[0]);
	ssl = secured(fd, false, &tls, "PC1");
	ck_assert(ssl != NULL && echoes(fd, ssl));
	peer_free(fd, ssl);
	for (int i = 0; i < 500 && promise[0] == 2; i++) {
		usleep(10000);
		explain(&gateway, "PC1", 0, promise);
	}
	ck_assert_int_eq(promise[0], 3);
	explain(&gateway, "PC2", 0, promise);
	ck_assert_int_eq(promise[0], 2);
	(void)snprintf(names_file, sizeof(names_file), "%s/names", gateway.folder);
	gateway_stop(&gateway);
	ck_assert_int_eq(unlink(names_file), 0);
	(void)rmdir(gateway.folder);
}
END_TEST

/* The first line that --explain prints, as the type and security of the answer that it promises. */
static void explain(const struct gateway *gateway, const char *sysid, int security, int promise[2])
{
	char command[512], line[512] = "";
	FILE *out;

	(void)snprintf(command, sizeof(command), "%s/ccissl -c %s --explain source=127.0.0.1 sysid=%s security=%s",
	               gateway_build(), gateway->config, sysid, offers[security]);
	out = popen(command, "r");
	ck_assert_ptr_nonnull(out);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), out));
	while (fgetc(out) != EOF)
		;
	ck_assert_int_eq(pclose(out), 0);
	promise[0] = strstr(line, "is refused") != NULL ? 3 : 2;
	promise[1] = strstr(line, "turns to TLS") != NULL ? 1 : strstr(line, "in the clear") != NULL ? 0 : -1;
}

START_TEST(what_is_explained_is_what_happens)
{
	struct gateway gateway;
	uint8_t offer[4096], answer[4096];

	gateway_start(&gateway, "ccissl", explained, policies[_i]);
	for (int i = 0; i < 12; i++) {
		const char *sysid = names[i / 4];
		int security = i % 4, promise[2], fd = peer_connect(gateway.ports[0]), got;

		got = peer_exchange(fd, NULL, offer, peer_offer(offer, 1, security, sysid, NULL), answer);
		ck_assert_int_gt(got, 0);
		explain(&gateway, sysid, security, promise);
		ck_assert_msg(peer_type(answer) == promise[0] && peer_answer(answer, got) == promise[1],
		              "%s offers %s under %s: promised %d %d, got %d %d", sysid, offers[security], policies[_i],
		              promise[0], promise[1], peer_type(answer), peer_answer(answer, got));
		close(fd);
	}
	gateway_stop(&gateway);
}
END_TEST

static const struct {
	const char *arguments, *says;
	int status;
} usages[] = {
    {"--explain source=127.0.0.1 sysid=PC1 listener=l", "decided by   [listener l] at ", 0},
    {"--explain sysid=PC1", "source=ADDRESS is missing", 2},
    {"--explain source=127.0.0.1 sysid=PC1 listener=m", "there is no [listener m]", 2},
    {"--explain --check", "only one of", 2},
    {"--explain source=127.0.0.1 sysid=EVIL1", "[rule evil] at ", 0},
};

START_TEST(explain_is_a_command)
{
	struct gateway gateway;
	char command[512], output[4096];
	size_t size;
	FILE *out;
	int status;

	gateway_start(&gateway, "ccissl", explained, "never");
	(void)snprintf(command, sizeof(command), "%s/ccissl -c %s %s 2>&1", gateway_build(), gateway.config,
	               usages[_i].arguments);
	out = popen(command, "r");
	ck_assert_ptr_nonnull(out);
	size = fread(output, 1, sizeof(output) - 1, out);
	output[size] = '\0';
	status = pclose(out);
	ck_assert_int_eq(WEXITSTATUS(status), usages[_i].status);
	ck_assert_msg(strstr(output, usages[_i].says) != NULL, "%s", output);
	gateway_stop(&gateway);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("rules");
	TCase *tests = tcase_create("rules");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, an_identity_decides, 0, 2 * IDENTITIES);
	tcase_add_loop_test(tests, an_identity_is_judged_again_when_a_session_is_resumed, 0, 2);
	tcase_add_loop_test(tests, a_rule_requires_a_certificate, 0, 2);
	tcase_add_test(tests, a_policy_on_trial_is_recorded_and_enforces_nothing);
	tcase_add_loop_test(tests, what_is_explained_is_what_happens, 0, 4);
	tcase_add_test(tests, a_name_in_the_ratchet_file_is_known_to_explain);
	tcase_add_loop_test(tests, explain_is_a_command, 0, sizeof(usages) / sizeof(usages[0]));
	suite_add_tcase(suite, tests);
	return suite;
}
