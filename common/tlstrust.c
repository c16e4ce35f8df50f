/* Authorities and revocation lists. */
#include "tlstrust.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "log.h"

/* Its name is told to clients, once. */
static int add_name(STACK_OF(X509_NAME) *names, X509 *authority)
{
	X509_NAME *name;

	for (int i = 0; i < sk_X509_NAME_num(names); i++)
		if (X509_NAME_cmp(sk_X509_NAME_value(names, i), X509_get_subject_name(authority)) == 0)
			return 0;
	name = X509_NAME_dup(X509_get_subject_name(authority));
	if (name != NULL && sk_X509_NAME_push(names, name) > 0)
		return 0;
	X509_NAME_free(name);
	return -1;
}

/* How many were read; -1: one is damaged. */
static int read_authorities(struct tls_trust *trust, OSSL_LIB_CTX *library, BIO *pem)
{
	X509 *authority;
	int got, count = 0;

	while ((got = tls_next_certificate(pem, library, &authority)) == 1) {
		int added = X509_STORE_add_cert(trust->store, authority) == 1 && add_name(trust->names, authority) == 0;

		X509_free(authority);
		if (!added)
			return -1;
		count++;
	}
	return got == 0 ? count : -1;
}

static int load_ca(struct tls_trust *trust, OSSL_LIB_CTX *library, EVP_MD_CTX *digest, struct error *error)
{
	const struct tls_trust_files *files = &trust->files;
	char what[TLS_WHAT_SIZE];
	struct tls_bytes bytes;
	int count;
	BIO *pem;

	if (files->ca == NULL)
		return X509_STORE_set_default_paths_ex(trust->store, library, NULL) == 1
		           ? 0
		           : tls_fail(&files->ca_place, "ca", error, "the system's authorities cannot be loaded");
	if (tls_read(&files->ca_place, "ca", files->ca, &bytes, error) != 0)
		return -1;
	pem = BIO_new_mem_buf(bytes.at, (int)bytes.size);
	count =
	    pem != NULL && EVP_DigestUpdate(digest, bytes.at, bytes.size) == 1 ? read_authorities(trust, library, pem) : -1;
	BIO_free(pem);
	tls_wipe(&bytes);
	if (count > 0)
		return 0;
	return tls_fail(&files->ca_place, "ca", error, "%s = %s holds %s", tls_what(&files->ca_place, "ca", what),
	                files->ca, count == 0 ? "no PEM certificate" : "a damaged certificate, or no PEM certificate");
}

/* --- revocation lists --- */

/* A list in the name of one of our authorities must be that authority's. */
static const char *judge_list(const struct tls_trust *trust, X509_CRL *list)
{
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(trust->store);

	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		X509 *authority = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));

		if (authority != NULL && X509_NAME_cmp(X509_get_subject_name(authority), X509_CRL_get_issuer(list)) == 0)
			return X509_CRL_verify(list, X509_get0_pubkey(authority)) == 1
			           ? NULL
			           : "holds a list that its authority in ca has not signed";
	}
	return NULL;
}

static const char *add_list(struct tls_trust *trust, X509_CRL *list)
{
	time_t until = tls_seconds_of(X509_CRL_get0_nextUpdate(list));
	const char *words = judge_list(trust, list);

	if (words != NULL)
		return words;
	if (X509_STORE_add_crl(trust->store, list) != 1)
		return "cannot be used";
	if (until != 0 && (trust->crl_until == 0 || until < trust->crl_until)) {
		trust->crl_until = until;
		trust->crl_from = tls_seconds_of(X509_CRL_get0_lastUpdate(list));
	}
	return NULL;
}

/* What is wrong; NULL: nothing. */
static const char *read_lists(struct tls_trust *trust, OSSL_LIB_CTX *library, BIO *pem)
{
	const char *words = NULL;
	int count = 0;

	for (; words == NULL; count++) {
		X509_CRL *list = X509_CRL_new_ex(library, NULL);

		ERR_clear_error();
		if (list == NULL || PEM_read_bio_X509_CRL(pem, &list, NULL, NULL) == NULL) {
			X509_CRL_free(list);
			if (!tls_pem_is_over())
				return "holds a damaged revocation list";
			return count > 0 ? NULL : "holds no PEM revocation list (X509 CRL)";
		}
		words = add_list(trust, list);
		X509_CRL_free(list);
	}
	return words;
}

static int load_crl(struct tls_trust *trust, OSSL_LIB_CTX *library, EVP_MD_CTX *digest, struct error *error)
{
	const struct tls_trust_files *files = &trust->files;
	const char *words = "cannot be used";
	char what[TLS_WHAT_SIZE];
	struct tls_bytes bytes;
	BIO *pem;

	if (files->crl == NULL)
		return 0;
	if (tls_read(&files->crl_place, "crl", files->crl, &bytes, error) != 0)
		return -1;
	pem = BIO_new_mem_buf(bytes.at, (int)bytes.size);
	if (pem != NULL && EVP_DigestUpdate(digest, bytes.at, bytes.size) == 1)
		words = read_lists(trust, library, pem);
	BIO_free(pem);
	tls_wipe(&bytes);
	if (words != NULL)
		return tls_fail(&files->crl_place, "crl", error, "%s = %s %s", tls_what(&files->crl_place, "crl", what),
		                files->crl, words);
	(void)X509_STORE_set_flags(
	    trust->store, X509_V_FLAG_CRL_CHECK | (files->crl_check == CRL_CHECK_CHAIN ? X509_V_FLAG_CRL_CHECK_ALL : 0ul));
	return 0;
}

static int load(struct tls_trust *trust, OSSL_LIB_CTX *library, EVP_MD_CTX *digest, struct error *error)
{
	uint8_t kind[2] = {trust->files.crl != NULL, (uint8_t)trust->files.crl_check};

	if (EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1 || EVP_DigestUpdate(digest, kind, sizeof(kind)) != 1)
		return error_set(error, "not enough memory");
	if (load_ca(trust, library, digest, error) != 0 || load_crl(trust, library, digest, error) != 0)
		return -1;
	return EVP_DigestFinal_ex(digest, trust->digest, NULL) == 1 ? 0 : error_set(error, "not enough memory");
}

struct tls_trust *tls_trust_load(OSSL_LIB_CTX *library, const struct tls_trust_files *files, struct error *error)
{
	struct tls_trust *trust = calloc(1, sizeof(*trust));
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	int result = -1;

	if (trust != NULL) {
		trust->files = *files;
		trust->store = X509_STORE_new();
		trust->names = sk_X509_NAME_new_null();
	}
	if (trust == NULL || digest == NULL || trust->store == NULL || trust->names == NULL)
		error_set(error, "not enough memory");
	else
		result = load(trust, library, digest, error);
	EVP_MD_CTX_free(digest);
	if (result == 0)
		return trust;
	tls_trust_free(trust);
	return NULL;
}

void tls_trust_free(struct tls_trust *trust)
{
	if (trust == NULL)
		return;
	X509_STORE_free(trust->store);
	sk_X509_NAME_pop_free(trust->names, X509_NAME_free);
	free(trust);
}

void tls_trust_use(SSL_CTX *context, const struct tls_trust *trust)
{
	SSL_CTX_set1_cert_store(context, trust->store);
}

/* --- lists that are not there --- */

static bool has_list(const struct tls_trust *trust, X509 *authority)
{
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(trust->store);
	bool has = false;

	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		X509_CRL *list = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(objects, i));

		has = has || (list != NULL && X509_NAME_cmp(X509_get_subject_name(authority), X509_CRL_get_issuer(list)) == 0);
	}
	return has;
}

static void warn_of(const struct tls_trust *trust, X509 *authority, const char *effect)
{
	const struct tls_trust_files *files = &trust->files;
	char what[TLS_WHAT_SIZE], name[256];

	log_say(MESSAGE_CONFIG_WARNING, "%s = %s holds no list of %s in ca: %s", tls_what(&files->crl_place, "crl", what),
	        files->crl, X509_NAME_oneline(X509_get_subject_name(authority), name, sizeof(name)), effect);
}

unsigned tls_trust_warn(const struct tls_trust *trust)
{
	bool watched = trust != NULL && trust->files.crl != NULL && trust->files.ca != NULL;
	STACK_OF(X509_OBJECT) *objects = watched ? X509_STORE_get0_objects(trust->store) : NULL;
	bool chain = watched && trust->files.crl_check == CRL_CHECK_CHAIN;
	X509 *without = NULL;
	unsigned missing = 0, there = 0;

	for (int i = 0; watched && i < sk_X509_OBJECT_num(objects); i++) {
		X509 *authority = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));

		if (authority == NULL)
			continue;
		if (has_list(trust, authority)) {
			there++;
			continue;
		}
		without = authority;
		missing++;
		if (chain)
			warn_of(trust, authority, "whoever has a certificate under it is refused (crl_check = chain)");
	}
	if (chain || there > 0 || without == NULL)
		return missing;
	warn_of(trust, without,
	        "nor of any other one: only who sends the certificate of an authority that has one gets in");
	return missing;
}

bool tls_trust_is_current(const struct tls_trust *trust)
{
	return trust == NULL || trust->crl_until == 0 || time(NULL) < trust->crl_until;
}
