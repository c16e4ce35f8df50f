/* What a failed handshake is said to have failed for, where libraries use the same numbers, or lack memory. */
#include <openssl/err.h>

#include "suite.h"
#include "tlsverdict.h"

/* The numbers of reasons are each library's own: 134 of EVP is no certificate that was not verified. */
static const struct {
	int library, code;
	enum reason reason;
} cases[] = {
    {ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, REASON_PEER_CERTIFICATE_UNTRUSTED},
    {ERR_LIB_EVP, SSL_R_CERTIFICATE_VERIFY_FAILED, REASON_HANDSHAKE_FAILED},
    {ERR_LIB_EVP, SSL_R_NO_APPLICATION_PROTOCOL, REASON_HANDSHAKE_FAILED},
    {ERR_LIB_EVP, ERR_R_MALLOC_FAILURE, REASON_NO_MEMORY},
    {ERR_LIB_SSL, ERR_R_INTERNAL_ERROR, REASON_NO_MEMORY},
};

START_TEST(reasons_of_other_libraries_are_not_taken_for_ours)
{
	struct tls_expectation expectation = {.is_server = true, .client_auth = CLIENT_AUTH_NO};
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	SSL *ssl = SSL_new(context);
	struct verdict verdict;

	ERR_clear_error();
	ERR_raise(cases[_i].library, cases[_i].code);
	/* What failed for it stands before it. */
	if (cases[_i].reason == REASON_NO_MEMORY)
		ERR_raise(ERR_LIB_EVP, ERR_R_MALLOC_FAILURE);
	tls_verdict_failed(ssl, &expectation, &verdict);
	ck_assert_int_eq(verdict.reason, cases[_i].reason);
	ck_assert_uint_eq(ERR_peek_error(), 0);
	SSL_free(ssl);
	SSL_CTX_free(context);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("tlsverdict_reason");
	TCase *tests = tcase_create("reasons");

	tcase_add_loop_test(tests, reasons_of_other_libraries_are_not_taken_for_ours, 0,
	                    (int)(sizeof(cases) / sizeof(cases[0])));
	suite_add_tcase(suite, tests);
	return suite;
}
