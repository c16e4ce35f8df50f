/* Keys that are elsewhere: what is signed through the provider, and verified by plain OpenSSL; and what libssl asks of them. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "keyprovider.h"
#include "suite.h"
#include "tlspair.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const struct kind {
	const char *type, *curve, *digest;
	int bits;
} kinds[] = {
    {"RSA", NULL, "SHA256", 2048},  {"RSA-PSS", NULL, "SHA256", 2048}, {"EC", "P-256", "SHA256", 0},
    {"EC", "P-384", "SHA384", 0},   {"EC", "P-521", "SHA512", 0},      {"ED25519", NULL, NULL, 0},
    {"ED448", NULL, NULL, 0},
};

/* The other side: plain keys by handle, in no library context of the provider's. */
static EVP_PKEY *held[32];
static bool is_held[32];
static int released;
static enum keywire_result answer_with;
static bool judging; /* what is to be signed has to be a handshake's */

static EVP_PKEY *make_plain(const struct kind *kind)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, kind->type, NULL);
	EVP_PKEY *key = NULL;

	ck_assert_int_eq(EVP_PKEY_keygen_init(context), 1);
	if (kind->curve != NULL)
		ck_assert_int_eq(EVP_PKEY_CTX_set_group_name(context, kind->curve), 1);
	if (kind->bits != 0)
		ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_keygen_bits(context, kind->bits), 0);
	ck_assert_int_eq(EVP_PKEY_keygen(context, &key), 1);
	EVP_PKEY_CTX_free(context);
	return key;
}

static int sign_plain(const struct keyprovider_request *request, uint8_t *signature, size_t *size)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *padding;
	int done = EVP_DigestSignInit_ex(context, &padding, keywire_digest_name(request->digest), NULL, NULL,
	                                 held[request->handle], NULL);

	if (done == 1 && request->padding == KEYWIRE_PSS)
		done = EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) > 0 &&
		       EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST) > 0;
	*size = KEYWIRE_SIGNATURE_MOST;
	done = done == 1 && EVP_DigestSign(context, signature, size, request->bytes, request->size) == 1;
	EVP_MD_CTX_free(context);
	return done;
}

static enum keywire_result sign(const struct keyprovider_request *request, uint8_t *signature, size_t *size)
{
	ck_assert(is_held[request->handle]);
	if (judging)
		ck_assert(keywire_is_handshake(request->bytes, request->size));
	if (answer_with != KEYWIRE_DONE)
		return answer_with;
	return sign_plain(request, signature, size) ? KEYWIRE_DONE : KEYWIRE_FAILED;
}

static void release(uint64_t handle)
{
	ck_assert(is_held[handle]);
	is_held[handle] = false;
	EVP_PKEY_free(held[handle]);
	held[handle] = NULL;
	released++;
}

static const struct keyprovider_hooks hooks = {sign, release};
static OSSL_LIB_CTX *library;
static OSSL_PROVIDER *provider;

static void begin(void)
{
	struct error error;

	keyprovider_use(&hooks);
	answer_with = KEYWIRE_DONE;
	released = 0;
	library = OSSL_LIB_CTX_new();
	provider = keyprovider_add(library, &error);
	ck_assert_msg(provider != NULL, "%s", error.text);
}

static void end(void)
{
	for (int i = 0; i < COUNT(held); i++)
		ck_assert(!is_held[i]);
	ck_assert_int_eq(OSSL_PROVIDER_unload(provider), 1);
	OSSL_LIB_CTX_free(library);
}

/* A key of ours for `plain`, which is the other side's from now on. */
static EVP_PKEY *wrap(EVP_PKEY *plain)
{
	unsigned char *public_key = NULL;
	int size = i2d_PUBKEY(plain, &public_key), handle = 0;
	struct error error;
	EVP_PKEY *key;

	while (is_held[handle])
		handle++;
	held[handle] = plain;
	is_held[handle] = true;
	key = keyprovider_key(library, (uint64_t)handle, public_key, (size_t)size, &error);
	ck_assert_msg(key != NULL, "%s", error.text);
	OPENSSL_free(public_key);
	return key;
}

struct scheme {
	int kind;
	const char *digest;
	int padding; /* 0: what the key's type does by itself */
};

static const struct scheme schemes[] = {
    {0, "SHA256", RSA_PKCS1_PADDING},     {0, "SHA384", RSA_PKCS1_PADDING},     {0, "SHA512", RSA_PKCS1_PADDING},
    {0, "SHA256", RSA_PKCS1_PSS_PADDING}, {0, "SHA384", RSA_PKCS1_PSS_PADDING}, {0, "SHA512", RSA_PKCS1_PSS_PADDING},
    {0, "SHA224", RSA_PKCS1_PADDING},     {0, "SHA256", 0},
    {1, "SHA256", 0},                     {1, "SHA384", RSA_PKCS1_PSS_PADDING}, {1, "SHA512", RSA_PKCS1_PSS_PADDING},
    {2, "SHA256", 0},                     {2, "SHA384", 0},                     {3, "SHA384", 0},
    {4, "SHA512", 0},                     {5, NULL, 0},                         {6, NULL, 0},
};

static void set_up(EVP_PKEY_CTX *context, const struct scheme *scheme)
{
	if (scheme->padding != 0)
		ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_padding(context, scheme->padding), 0);
	if (scheme->padding == RSA_PKCS1_PSS_PADDING)
		ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST), 0);
}

/* As libssl does it, and then with nothing but the public key. */
START_TEST(signatures_verify)
{
	const struct scheme *scheme = &schemes[_i];
	EVP_PKEY *plain = make_plain(&kinds[scheme->kind]), *key;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *padding;
	unsigned char signature[KEYWIRE_SIGNATURE_MOST];
	size_t size = 0;

	begin();
	ck_assert_int_eq(EVP_PKEY_up_ref(plain), 1);
	key = wrap(plain);
	ck_assert_int_eq(EVP_DigestSignInit_ex(context, &padding, scheme->digest, library, NULL, key, NULL), 1);
	set_up(padding, scheme);
	ck_assert_int_eq(EVP_DigestSign(context, NULL, &size, (const uint8_t *)"text", 4), 1);
	ck_assert_uint_eq(size, (size_t)EVP_PKEY_get_size(plain));
	ck_assert_int_eq(EVP_DigestSign(context, signature, &size, (const uint8_t *)"text", 4), 1);
	EVP_MD_CTX_free(context);
	context = EVP_MD_CTX_new();
	ck_assert_int_eq(EVP_DigestVerifyInit_ex(context, &padding, scheme->digest, NULL, NULL, plain, NULL), 1);
	set_up(padding, scheme);
	ck_assert_int_eq(EVP_DigestVerify(context, signature, size, (const uint8_t *)"text", 4), 1);
	signature[size / 2] ^= 1;
	ck_assert_int_ne(EVP_DigestVerify(context, signature, size, (const uint8_t *)"text", 4), 1);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	ck_assert_int_eq(released, 1);
	EVP_PKEY_free(plain);
	end();
}
END_TEST

/* What does not belong together is refused before anybody is asked. */
START_TEST(wrong_settings_are_refused)
{
	EVP_PKEY *rsa, *edwards;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *padding;

	begin();
	rsa = wrap(make_plain(&kinds[0]));
	edwards = wrap(make_plain(&kinds[5]));
	ck_assert_int_ne(EVP_DigestSignInit_ex(context, NULL, "SHA256", library, NULL, edwards, NULL), 1);
	ck_assert_int_ne(EVP_DigestSignInit_ex(context, NULL, "MD5", library, NULL, rsa, NULL), 1);
	EVP_MD_CTX_free(context);
	context = EVP_MD_CTX_new();
	ck_assert_int_eq(EVP_DigestSignInit_ex(context, &padding, "SHA256", library, NULL, rsa, NULL), 1);
	ck_assert_int_le(EVP_PKEY_CTX_set_rsa_padding(padding, RSA_NO_PADDING), 0);
	ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING), 0);
	ck_assert_int_le(EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, 8), 0);
	ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, 32), 0);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(edwards);
	ERR_clear_error();
	end();
}
END_TEST

/* Sizes, names, groups and digests are those of the key; nothing private is there, by whatever way it is asked for. */
START_TEST(a_key_tells_what_libssl_asks)
{
	EVP_PKEY *plain = make_plain(&kinds[_i]), *key, *public_key = NULL;
	BIO *out = BIO_new(BIO_s_mem());
	char group[64] = "", expected[64] = "";
	OSSL_PARAM *params = NULL;
	BIGNUM *number = NULL;
	uint8_t bytes[128];
	size_t size;

	begin();
	ck_assert_int_eq(EVP_PKEY_up_ref(plain), 1);
	key = wrap(plain);
	ck_assert_int_eq(EVP_PKEY_is_a(key, kinds[_i].type), 1);
	ck_assert_int_eq(EVP_PKEY_get_base_id(key), EVP_PKEY_get_base_id(plain));
	ck_assert_str_eq(EVP_PKEY_get0_type_name(key), EVP_PKEY_get0_type_name(plain));
	ck_assert_int_eq(EVP_PKEY_get_bits(key), EVP_PKEY_get_bits(plain));
	ck_assert_int_eq(EVP_PKEY_get_security_bits(key), EVP_PKEY_get_security_bits(plain));
	ck_assert_int_eq(EVP_PKEY_get_size(key), EVP_PKEY_get_size(plain));
	ck_assert_int_eq(EVP_PKEY_missing_parameters(key), 0);
	ck_assert_int_eq(EVP_PKEY_eq(key, plain), 1);
	ck_assert_int_eq(EVP_PKEY_eq(plain, key), 1);
	ck_assert_int_eq(EVP_PKEY_digestsign_supports_digest(key, library, kinds[_i].digest, NULL), 1);
	ck_assert_int_eq(EVP_PKEY_get_group_name(key, group, sizeof(group), &size),
	                 EVP_PKEY_get_group_name(plain, expected, sizeof(expected), &size));
	ck_assert_str_eq(group, expected);
	ck_assert_int_eq(i2d_PUBKEY(key, NULL), i2d_PUBKEY(plain, NULL));
	ck_assert_int_eq(EVP_PKEY_todata(key, EVP_PKEY_PUBLIC_KEY, &params), 1);
	OSSL_PARAM_free(params);
	params = NULL;
	ck_assert_int_ne(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params), 1);
	ck_assert_int_ne(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &number), 1);
	ck_assert_int_ne(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_D, &number), 1);
	ck_assert_int_ne(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_FACTOR1, &number), 1);
	size = sizeof(bytes);
	ck_assert_int_ne(EVP_PKEY_get_raw_private_key(key, bytes, &size), 1);
	ck_assert_int_ne(PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
	ck_assert_int_le(i2d_PrivateKey(key, NULL), 0);
	BIO_free(out);
	EVP_PKEY_free(public_key);
	EVP_PKEY_free(plain);
	EVP_PKEY_free(key);
	ERR_clear_error();
	end();
}
END_TEST

START_TEST(another_key_is_not_equal)
{
	EVP_PKEY *other = make_plain(&kinds[_i]), *key, *stranger = make_plain(&kinds[_i == 0 ? 2 : 0]);

	begin();
	key = wrap(make_plain(&kinds[_i]));
	ck_assert_int_ne(EVP_PKEY_eq(key, other), 1);
	ck_assert_int_ne(EVP_PKEY_eq(other, key), 1);
	ck_assert_int_ne(EVP_PKEY_eq(key, stranger), 1);
	EVP_PKEY_free(other);
	EVP_PKEY_free(stranger);
	EVP_PKEY_free(key);
	ERR_clear_error();
	end();
}
END_TEST

/* Keys of peers, and keys that are read from files, stay the other providers'. */
START_TEST(others_are_not_ours)
{
	EVP_PKEY *plain = make_plain(&kinds[_i]), *read_back;
	BIO *file = BIO_new(BIO_s_mem());
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char *der = NULL;
	const unsigned char *at;
	int size = i2d_PUBKEY(plain, &der);

	begin();
	at = der;
	read_back = d2i_PUBKEY_ex(NULL, &at, size, library, NULL);
	ck_assert_ptr_nonnull(read_back);
	ck_assert_str_eq(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(read_back)), "default");
	EVP_PKEY_free(read_back);
	ck_assert_int_eq(PEM_write_bio_PrivateKey(file, plain, NULL, NULL, 0, NULL, NULL), 1);
	read_back = PEM_read_bio_PrivateKey_ex(file, NULL, NULL, NULL, library, NULL);
	ck_assert_ptr_nonnull(read_back);
	ck_assert_str_eq(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(read_back)), "default");
	ck_assert_int_eq(EVP_DigestSignInit_ex(context, NULL, kinds[_i].digest, library, NULL, read_back, NULL), 1);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(read_back);
	OPENSSL_free(der);
	BIO_free(file);
	EVP_PKEY_free(plain);
	end();
}
END_TEST

/* --- in handshakes --- */

static X509 *certify(EVP_PKEY *plain, const struct kind *kind)
{
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);

	(void)ASN1_INTEGER_set(X509_get_serialNumber(certificate), 7);
	(void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"self", -1, -1, 0);
	(void)X509_set_issuer_name(certificate, name);
	(void)X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
	(void)X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	(void)X509_set_pubkey(certificate, plain);
	ck_assert_int_gt(X509_sign(certificate, plain, kind->digest != NULL ? EVP_get_digestbyname(kind->digest) : NULL), 0);
	return certificate;
}

static int believe(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

static SSL_CTX *context_of(bool is_server, int version, X509 *certificate, EVP_PKEY *key)
{
	SSL_CTX *context = SSL_CTX_new_ex(library, NULL, is_server ? TLS_server_method() : TLS_client_method());

	ck_assert_ptr_nonnull(context);
	ck_assert_int_eq(SSL_CTX_set_min_proto_version(context, version), 1);
	ck_assert_int_eq(SSL_CTX_set_max_proto_version(context, version), 1);
	ck_assert_int_eq(SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384:P-521"), 1);
	ck_assert_int_eq(SSL_CTX_use_cert_and_key(context, certificate, key, NULL, 1), 1);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, believe);
	return context;
}

static const char *first_error; /* of the last handshake */

static enum met shake_hands(int version, const struct kind *kind, bool *was_signed)
{
	EVP_PKEY *plain = make_plain(kind), *key;
	X509 *certificate = certify(plain, kind);
	SSL_CTX *server, *client;
	struct meeting meeting;
	enum met met;

	key = wrap(plain);
	ck_assert_int_eq(X509_check_private_key(certificate, key), 1);
	server = context_of(true, version, certificate, key);
	client = context_of(false, version, certificate, key);
	meeting_open(&meeting, plain_on_socket(client, false, -1), plain_on_socket(server, true, -1));
	met = meeting_run(&meeting);
	first_error = ERR_reason_error_string(ERR_peek_error());
	*was_signed = met == MET_BOTH && SSL_get0_peer_certificate(meeting.server) != NULL;
	meeting_close(&meeting);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return met;
}

/* Both sides show the certificate, so that both sign. */
START_TEST(handshakes_end_well)
{
	int version = _i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
	bool was_signed = false;

	begin();
	judging = true;
	ck_assert_int_eq(shake_hands(version, &kinds[_i / 2], &was_signed), MET_BOTH);
	judging = false;
	ck_assert(was_signed);
	ck_assert_int_eq(released, 1);
	end();
}
END_TEST

/* The first error that is queued says why. */
START_TEST(a_signature_that_fails_fails_the_handshake)
{
	bool was_signed = false;

	begin();
	for (int result = KEYWIRE_FAILED; result < KEYWIRE_RESULTS; result++) {
		answer_with = (enum keywire_result)result;
		ck_assert_int_ne(shake_hands(TLS1_3_VERSION, &kinds[2], &was_signed), MET_BOTH);
		ck_assert_str_eq(first_error, keywire_words(answer_with));
	}
	ERR_clear_error();
	end();
}
END_TEST

START_TEST(what_is_no_key_makes_none)
{
	static const uint8_t noise[64] = {0x30, 0x3e};
	EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	unsigned char *der = NULL;
	int size = i2d_PUBKEY(other, &der);
	struct error error = {.text = ""};

	begin();
	ck_assert_ptr_null(keyprovider_key(library, 1, noise, sizeof(noise), &error));
	ck_assert_ptr_null(keyprovider_key(library, 1, der, (size_t)size, &error));
	ck_assert_ptr_nonnull(strstr(error.text, "process = no"));
	ck_assert_int_eq(released, 0);
	OPENSSL_free(der);
	EVP_PKEY_free(other);
	end();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("keyprovider");
	TCase *one = tcase_create("keys");

	tcase_set_timeout(one, 60);
	tcase_add_loop_test(one, signatures_verify, 0, COUNT(schemes));
	tcase_add_test(one, wrong_settings_are_refused);
	tcase_add_loop_test(one, a_key_tells_what_libssl_asks, 0, COUNT(kinds));
	tcase_add_loop_test(one, another_key_is_not_equal, 0, COUNT(kinds));
	tcase_add_loop_test(one, others_are_not_ours, 0, COUNT(kinds));
	tcase_add_loop_test(one, handshakes_end_well, 0, 2 * COUNT(kinds));
	tcase_add_test(one, a_signature_that_fails_fails_the_handshake);
	tcase_add_test(one, what_is_no_key_makes_none);
	suite_add_tcase(suite, one);
	return suite;
}
