/* The one verdict on a TLS peer, and the facts that are recorded of it. */
#include "tlsverdict.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void refuse(struct verdict *verdict, enum reason reason, const char *detail)
{
	verdict->reason = reason;
	(void)snprintf(verdict->detail, sizeof(verdict->detail), "%s", detail);
}

static bool alpn_is(SSL *ssl, const char *wanted)
{
	const unsigned char *name;
	unsigned size;

	SSL_get0_alpn_selected(ssl, &name, &size);
	return size == strlen(wanted) && memcmp(name, wanted, size) == 0;
}

static bool alpn_is_none(SSL *ssl)
{
	const unsigned char *name;
	unsigned size;

	SSL_get0_alpn_selected(ssl, &name, &size);
	return size == 0;
}

/* Does the certificate still say what it must? A resumed session is not verified again by the library. */
static bool name_holds(SSL *ssl, X509 *certificate)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	const char *host = X509_VERIFY_PARAM_get0_host(param, 0);
	char *ip = X509_VERIFY_PARAM_get1_ip_asc(param);
	unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
	bool holds = (host != NULL || ip != NULL) &&
	             (host == NULL || X509_check_host(certificate, host, 0, flags, NULL) == 1) &&
	             (ip == NULL || X509_check_ip_asc(certificate, ip, 0) == 1);

	OPENSSL_free(ip);
	return holds;
}

/* A certificate of a resumed session may have expired since. */
static bool in_time(const X509 *certificate)
{
	return X509_cmp_current_time(X509_get0_notBefore(certificate)) < 0 &&
	       X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
}

static void judge_peer(SSL *ssl, const struct tls_expectation *expectation, struct verdict *verdict)
{
	X509 *certificate = SSL_get0_peer_certificate(ssl);
	bool asked = !expectation->is_server || expectation->client_auth == CLIENT_AUTH_REQUEST ||
	             expectation->client_auth == CLIENT_AUTH_REQUIRE;
	bool needed = !expectation->is_server || expectation->client_auth == CLIENT_AUTH_REQUIRE;
	long result = SSL_get_verify_result(ssl);

	if (!asked)
		return;
	if (certificate == NULL && needed)
		refuse(verdict, REASON_PEER_CERTIFICATE_MISSING, "the peer showed no certificate");
	else if (certificate == NULL)
		return;
	else if (result != X509_V_OK)
		refuse(verdict, REASON_PEER_CERTIFICATE_UNTRUSTED, X509_verify_cert_error_string(result));
	else if (!in_time(certificate))
		refuse(verdict, REASON_PEER_CERTIFICATE_UNTRUSTED, "the certificate is not valid at this time");
	else if (!expectation->is_server && !name_holds(ssl, certificate))
		refuse(verdict, REASON_PEER_NAME_MISMATCH, "the certificate does not hold the name that was asked for");
}

static void judge_alpn(SSL *ssl, const struct tls_expectation *expectation, struct verdict *verdict)
{
	if (expectation->start == TLS_START_DIRECT) {
		if (!alpn_is(ssl, TLS_ALPN_DIRECT))
			refuse(verdict, REASON_ALPN_MISMATCH, "a direct start must negotiate " TLS_ALPN_DIRECT);
	} else if (alpn_is(ssl, TLS_ALPN_UPGRADE)) {
		verdict->confirm = true;
	} else if (!alpn_is_none(ssl)) {
		refuse(verdict, REASON_ALPN_MISMATCH, "an upgrade must negotiate " TLS_ALPN_UPGRADE);
	} else if (expectation->confirm == CONFIRM_REQUIRE) {
		refuse(verdict, REASON_CONFIRM_MISSING, "the peer negotiates no ALPN, and so cannot confirm");
	}
}

/* A subject alternative name of a kind that is known here. */
struct san {
	enum identity_kind kind;
	const char *bytes; /* borrowed */
	size_t size;
	char address[INET6_ADDRSTRLEN]; /* what `bytes` points to, where it is an IP address */
};

static bool san_of(const GENERAL_NAME *name, struct san *san)
{
	int type;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);

	if (type != GEN_DNS && type != GEN_URI && type != GEN_EMAIL && type != GEN_IPADD)
		return false;
	san->kind = type == GEN_DNS ? IDENTITY_DNS : type == GEN_URI ? IDENTITY_URI : IDENTITY_EMAIL;
	san->bytes = (const char *)ASN1_STRING_get0_data(value);
	san->size = (size_t)ASN1_STRING_length(value);
	if (type != GEN_IPADD)
		return true;
	if ((san->size != 4 && san->size != 16) ||
	    inet_ntop(san->size == 4 ? AF_INET : AF_INET6, san->bytes, san->address, sizeof(san->address)) == NULL)
		return false;
	san->kind = IDENTITY_IP;
	san->bytes = san->address;
	san->size = strlen(san->address);
	return true;
}

static void add_name(struct identity *identity, const GENERAL_NAME *name)
{
	struct san san;

	if (san_of(name, &san))
		identity_add(identity, san.kind, san.bytes, san.size);
}

static void add_common_names(struct identity *identity, const X509 *certificate)
{
	const X509_NAME *subject = X509_get_subject_name(certificate);

	for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) {
		unsigned char *utf8 = NULL;
		int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));

		if (size >= 0)
			identity_add(identity, IDENTITY_CN, (const char *)utf8, (size_t)size);
		else
			identity->partial = true;
		OPENSSL_free(utf8);
	}
}

void tls_identity_of(SSL *ssl, struct identity *identity)
{
	const X509 *certificate = SSL_get0_peer_certificate(ssl);
	GENERAL_NAMES *names;
	int there;

	memset(identity, 0, sizeof(*identity));
	if (certificate == NULL || SSL_get_verify_result(ssl) != X509_V_OK ||
	    (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) == 0)
		return;
	identity->verified = true;
	names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &there, NULL);
	identity->partial = names == NULL && there != -1;
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
		add_name(identity, sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
	add_common_names(identity, certificate);
	ERR_clear_error();
}

void tls_verdict_decide(SSL *ssl, const struct policy_question *question, struct decision *decision,
                        struct verdict *verdict)
{
	struct policy_question known = *question;
	struct identity identity;

	tls_identity_of(ssl, &identity);
	known.identity = &identity;
	policy_decide(&known, decision);
	if (decision->outcome == OUTCOME_REFUSE)
		refuse(verdict, decision->reason,
		       identity.partial ? "the certificate has names that a rule cannot judge: too many, or too long"
		                        : "a rule decided by the client's certificate");
}

void tls_verdict(SSL *ssl, const struct tls_expectation *expectation, struct verdict *verdict)
{
	*verdict = (struct verdict){.reason = REASON_NONE};
	judge_alpn(ssl, expectation, verdict);
	if (verdict->reason == REASON_NONE)
		judge_peer(ssl, expectation, verdict);
	if (verdict->reason == REASON_NONE && expectation->question.config != NULL)
		tls_verdict_decide(ssl, &expectation->question, expectation->decision, verdict);
}

static enum reason verify_reason(long result)
{
	if (result == X509_V_ERR_HOSTNAME_MISMATCH || result == X509_V_ERR_IP_ADDRESS_MISMATCH)
		return REASON_PEER_NAME_MISMATCH;
	return REASON_PEER_CERTIFICATE_UNTRUSTED;
}

/* Wherever in the queue: what failed for it may stand first. */
static bool lacked_memory(void)
{
	bool lacked = false;

	for (unsigned long code; (code = ERR_get_error()) != 0;)
		lacked = lacked || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
	return lacked;
}

void tls_verdict_failed(SSL *ssl, const struct tls_expectation *expectation, struct verdict *verdict)
{
	unsigned long code = ERR_peek_error();
	const char *words = ERR_reason_error_string(code);
	long result = SSL_get_verify_result(ssl);

	*verdict = (struct verdict){.reason = REASON_HANDSHAKE_FAILED};
	/* Other libraries use the same numbers for other reasons. */
	switch (ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0) {
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		refuse(verdict, REASON_PEER_CERTIFICATE_MISSING, words);
		break;
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		refuse(verdict, verify_reason(result), X509_verify_cert_error_string(result));
		break;
	case SSL_R_NO_APPLICATION_PROTOCOL:
	case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
		refuse(verdict, REASON_ALPN_MISMATCH, words);
		break;
	case SSL_R_CALLBACK_FAILED:
		/* Only the callback that requires ALPN can fail. */
		refuse(verdict, expectation->start == TLS_START_DIRECT ? REASON_ALPN_MISMATCH : REASON_CONFIRM_MISSING,
		       "the ClientHello has no ALPN");
		break;
	default:
		refuse(verdict, REASON_HANDSHAKE_FAILED, words != NULL ? words : "the peer closed in the handshake");
		break;
	}
	if (lacked_memory())
		refuse(verdict, REASON_NO_MEMORY, "not enough memory for the handshake");
}

/* A comma ends a name in the list, so that one inside of a name must not look like it. */
static void put_listed(struct text *text, const char *bytes, size_t size)
{
	const char *comma;

	while ((comma = memchr(bytes, ',', size)) != NULL) {
		text_put_escaped(text, bytes, (size_t)(comma - bytes));
		text_puts(text, "\\x2c");
		size -= (size_t)(comma - bytes) + 1;
		bytes = comma + 1;
	}
	text_put_escaped(text, bytes, size);
}

static void put_name(struct text *text, const GENERAL_NAME *name)
{
	static const char *const words[] = {"DNS:", "URI:", "email:", "IP:"};
	struct san san;

	if (!san_of(name, &san))
		return;
	text_puts(text, text->used > 0 ? "," : "");
	text_puts(text, words[san.kind]);
	put_listed(text, san.bytes, san.size);
}

static void put_names(const X509 *certificate, char *buffer, size_t size)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	struct text text;

	text_init(&text, buffer, size);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
		put_name(&text, sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
}

static void put_subject(const X509 *certificate, char *buffer, size_t size)
{
	BIO *memory = BIO_new(BIO_s_mem());
	int got = -1;

	if (memory != NULL && X509_NAME_print_ex(memory, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0)
		got = BIO_read(memory, buffer, (int)size - 1);
	buffer[got > 0 ? got : 0] = '\0';
	BIO_free(memory);
}

void tls_serial_of(const X509 *certificate, char serial[64])
{
	const ASN1_INTEGER *number = X509_get0_serialNumber(certificate);
	struct text text;

	text_init(&text, serial, 64);
	text_put_hex(&text, ASN1_STRING_get0_data(number), (size_t)ASN1_STRING_length(number));
}

void tls_certificate_of(const X509 *certificate, struct tls_certificate *facts)
{
	struct tm utc;
	int days = 0, seconds = 0;

	memset(facts, 0, sizeof(*facts));
	put_subject(certificate, facts->subject, sizeof(facts->subject));
	put_names(certificate, facts->names, sizeof(facts->names));
	tls_serial_of(certificate, facts->serial);
	if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &utc) == 1)
		(void)strftime(facts->not_after, sizeof(facts->not_after), "%Y-%m-%dT%H:%M:%SZ", &utc);
	if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) == 1)
		facts->days_left = days - (seconds < 0);
	ERR_clear_error();
}

static void put_group(SSL *ssl, struct tls_facts *facts)
{
	int group = (int)SSL_get_negotiated_group(ssl);
	const char *name = group > 0 ? SSL_group_to_name(ssl, group) : NULL;

	(void)snprintf(facts->group, sizeof(facts->group), "%s", name != NULL ? name : "");
}

void tls_facts_of(SSL *ssl, struct tls_facts *facts)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	const X509 *certificate = SSL_get0_peer_certificate(ssl);
	const char *suite = cipher != NULL ? SSL_CIPHER_standard_name(cipher) : NULL;
	const unsigned char *alpn;
	struct tls_certificate peer;
	unsigned size;

	memset(facts, 0, sizeof(*facts));
	(void)snprintf(facts->version, sizeof(facts->version), "%s", SSL_version(ssl) == TLS1_3_VERSION ? "1.3" : "1.2");
	(void)snprintf(facts->suite, sizeof(facts->suite), "%s", suite != NULL ? suite : "");
	SSL_get0_alpn_selected(ssl, &alpn, &size);
	(void)snprintf(facts->alpn, sizeof(facts->alpn), "%.*s", (int)size, size > 0 ? (const char *)alpn : "");
	put_group(ssl, facts);
	facts->resumed = SSL_session_reused(ssl) == 1;
	facts->has_peer = certificate != NULL;
	(void)snprintf(facts->verify, sizeof(facts->verify), "%s",
	               certificate == NULL ? "no certificate" : X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
	if (certificate == NULL)
		return;
	tls_certificate_of(certificate, &peer);
	memcpy(facts->subject, peer.subject, sizeof(facts->subject));
	memcpy(facts->names, peer.names, sizeof(facts->names));
	memcpy(facts->serial, peer.serial, sizeof(facts->serial));
	memcpy(facts->not_after, peer.not_after, sizeof(facts->not_after));
}
