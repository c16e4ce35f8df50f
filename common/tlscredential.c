/* A certificate with its chain, key and OCSP response: loaded, checked, shown. */
#include "tlscredential.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "keyclient.h"
#include "log.h"

/* A label is a whole name's part or *; what the subject says is no name of a host. */
#define NAME_FLAGS (X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)

/* --- certificate and chain --- */

static int read_chain(struct tls_credential *credential, OSSL_LIB_CTX *library, BIO *pem)
{
	X509 *next;
	int got = tls_next_certificate(pem, library, &credential->certificate);

	credential->chain = sk_X509_new_null();
	if (got != 1 || credential->chain == NULL)
		return -1;
	while ((got = tls_next_certificate(pem, library, &next)) == 1) {
		if (sk_X509_push(credential->chain, next) > 0)
			continue;
		X509_free(next);
		return -1;
	}
	return got;
}

static int load_chain(struct tls_credential *credential, OSSL_LIB_CTX *library, struct error *error)
{
	const struct tls_credential_files *files = &credential->files;
	char what[TLS_WHAT_SIZE];
	struct tls_bytes bytes;
	unsigned size = 0;
	BIO *pem;
	int result = -1;

	if (tls_read(&files->place, "certificate", files->certificate, &bytes, error) != 0)
		return -1;
	pem = BIO_new_mem_buf(bytes.at, (int)bytes.size);
	if (pem != NULL)
		result = read_chain(credential, library, pem);
	BIO_free(pem);
	tls_wipe(&bytes);
	if (result == 0 && X509_digest(credential->certificate, EVP_sha256(), credential->digest, &size) == 1)
		return 0;
	return tls_fail(&files->place, "certificate", error, "%s = %s is not a PEM certificate chain",
	                tls_what(&files->place, "certificate", what), files->certificate);
}

/* --- key --- */

/* From the process that holds the keys, where there is one. */
static int load_key(struct tls_credential *credential, OSSL_LIB_CTX *library, struct error *error)
{
	const struct tls_credential_files *files = &credential->files;
	bool is_unneeded = false;
	char what[TLS_WHAT_SIZE];

	credential->key = keyclient_is_open() ? keyclient_load(library, files, &is_unneeded, error)
	                                      : tls_key_load(library, files, &is_unneeded, error);
	if (credential->key == NULL)
		return -1;
	if (files->passphrase_file != NULL)
		tls_warn_exposed(&files->place, "passphrase_file", files->passphrase_file);
	tls_warn_exposed(&files->place, "private_key", files->private_key);
	if (X509_check_private_key(credential->certificate, credential->key) != 1)
		return tls_fail(&files->place, "private_key", error, "%s = %s does not belong to certificate = %s",
		                tls_what(&files->place, "private_key", what), files->private_key, files->certificate);
	if (is_unneeded)
		log_say(MESSAGE_CONFIG_WARNING, "%s is not needed: %s is not encrypted",
		        tls_what(&files->place, "passphrase_file", what), files->private_key);
	return 0;
}

/* --- OCSP --- */

/* Serial and issuer: all that can be told without the issuer's own certificate. */
static bool is_about(OCSP_SINGLERESP *single, const X509 *certificate)
{
	ASN1_OCTET_STRING *name_hash;
	ASN1_OBJECT *method;
	ASN1_INTEGER *serial;
	const EVP_MD *hash;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	if (OCSP_id_get0_info(&name_hash, &method, NULL, &serial,
	                      (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single)) != 1)
		return false;
	hash = EVP_get_digestbyobj(method);
	return hash != NULL && ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) == 0 &&
	       X509_NAME_digest(X509_get_issuer_name(certificate), hash, digest, &size) == 1 &&
	       (int)size == ASN1_STRING_length(name_hash) && memcmp(ASN1_STRING_get0_data(name_hash), digest, size) == 0;
}

/* What is wrong with the one that is about the certificate; NULL: nothing. */
static const char *judge_single(OCSP_SINGLERESP *single, struct tls_credential *credential)
{
	ASN1_GENERALIZEDTIME *from, *until;
	time_t now = tls_now();

	if (OCSP_single_get0_status(single, NULL, NULL, &from, &until) != V_OCSP_CERTSTATUS_GOOD)
		return "does not say good: the certificate is revoked, or unknown to its authority";
	if (tls_seconds_of(from) > now + 300)
		return "is not valid yet: correct the clock";
	credential->ocsp_from = tls_seconds_of(from);
	credential->ocsp_until = tls_seconds_of(until);
	if (until != NULL && credential->ocsp_until <= now)
		return "has expired: fetch a new one";
	return NULL;
}

static const char *judge_ocsp(OCSP_RESPONSE *response, struct tls_credential *credential)
{
	const char *words = "is not about this certificate: fetch the one for it";
	OCSP_BASICRESP *basic;

	if (response == NULL)
		return "is not an OCSP response in DER";
	if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		return "is the answer of a responder that failed: fetch a new one";
	basic = OCSP_response_get1_basic(response);
	if (basic == NULL)
		return "is not a basic OCSP response";
	for (int i = 0; i < OCSP_resp_count(basic); i++) {
		OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);

		if (!is_about(single, credential->certificate))
			continue;
		words = judge_single(single, credential);
		break;
	}
	OCSP_BASICRESP_free(basic);
	return words;
}

static int load_ocsp(struct tls_credential *credential, struct error *error)
{
	const struct tls_credential_files *files = &credential->files;
	char what[TLS_WHAT_SIZE];
	struct tls_bytes bytes;
	OCSP_RESPONSE *response;
	const unsigned char *at;
	const char *words;

	if (files->ocsp_response == NULL)
		return 0;
	if (tls_read(&files->place, "ocsp_response", files->ocsp_response, &bytes, error) != 0)
		return -1;
	at = bytes.at;
	response = d2i_OCSP_RESPONSE(NULL, &at, (long)bytes.size);
	words = judge_ocsp(response, credential);
	OCSP_RESPONSE_free(response);
	ERR_clear_error();
	credential->ocsp = bytes.at;
	credential->ocsp_size = bytes.size;
	if (words == NULL)
		return 0;
	return tls_fail(&files->place, "ocsp_response", error, "%s = %s %s",
	                tls_what(&files->place, "ocsp_response", what), files->ocsp_response, words);
}

struct tls_credential *tls_credential_load(OSSL_LIB_CTX *library, const struct tls_credential_files *files,
                                           struct error *error)
{
	struct tls_credential *credential = calloc(1, sizeof(*credential));

	if (credential == NULL) {
		error_set(error, "not enough memory");
		return NULL;
	}
	credential->files = *files;
	if (load_chain(credential, library, error) == 0 && load_key(credential, library, error) == 0 &&
	    load_ocsp(credential, error) == 0)
		return credential;
	tls_credential_free(credential);
	return NULL;
}

void tls_credential_free(struct tls_credential *credential)
{
	if (credential == NULL)
		return;
	X509_free(credential->certificate);
	sk_X509_pop_free(credential->chain, X509_free);
	EVP_PKEY_free(credential->key);
	free(credential->ocsp);
	free(credential);
}

/* --- use --- */

int tls_credential_use(SSL_CTX *context, const struct tls_credential *credential, struct error *error)
{
	const struct tls_credential_files *files = &credential->files;
	char what[TLS_WHAT_SIZE];

	ERR_clear_error();
	if (SSL_CTX_use_cert_and_key(context, credential->certificate, credential->key, credential->chain, 1) == 1)
		return 0;
	return tls_fail(&files->place, "certificate", error, "%s = %s cannot be used",
	                tls_what(&files->place, "certificate", what), files->certificate);
}

int tls_credential_use_once(SSL *ssl, const struct tls_credential *credential)
{
	return SSL_use_cert_and_key(ssl, credential->certificate, credential->key, credential->chain, 1) == 1 ? 0 : -1;
}

bool tls_credential_is_for(const struct tls_credential *credential, const char *name)
{
	/* To X509_check_host a name with a dot before it stands for all below it. */
	if (name[0] == '\0' || name[0] == '.' || strchr(name, '*') != NULL)
		return false;
	return X509_check_host(credential->certificate, name, 0, NAME_FLAGS, NULL) == 1;
}

/* Is a name of `names` one of the certificate too, to the letter or by its wildcard? */
static bool has_one_of(const X509 *certificate, const GENERAL_NAMES *names)
{
	GENERAL_NAMES *own = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	bool found = false;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
		GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			found =
			    X509_check_host((X509 *)(uintptr_t)certificate, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
			                    (size_t)ASN1_STRING_length(name->d.dNSName), NAME_FLAGS, NULL) == 1;
		for (int j = 0; (name->type == GEN_DNS || name->type == GEN_IPADD) && j < sk_GENERAL_NAME_num(own); j++)
			found = found || GENERAL_NAME_cmp(name, sk_GENERAL_NAME_value(own, j)) == 0;
	}
	GENERAL_NAMES_free(own);
	return found;
}

bool tls_credential_shares_name(const struct tls_credential *a, const struct tls_credential *b)
{
	GENERAL_NAMES *of_a = X509_get_ext_d2i(a->certificate, NID_subject_alt_name, NULL, NULL);
	GENERAL_NAMES *of_b = X509_get_ext_d2i(b->certificate, NID_subject_alt_name, NULL, NULL);
	bool shares = has_one_of(b->certificate, of_a) || has_one_of(a->certificate, of_b);

	GENERAL_NAMES_free(of_a);
	GENERAL_NAMES_free(of_b);
	ERR_clear_error();
	return shares;
}

bool tls_credential_same_type(const struct tls_credential *a, const struct tls_credential *b)
{
	return EVP_PKEY_get_base_id(a->key) == EVP_PKEY_get_base_id(b->key);
}
