/* The provider's signatures: what is to be signed, and how, is handed to a hook. */
#include "keyprovider_parts.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct signing {
	struct provided_key *key; /* shared */
	enum keywire_padding padding;
	enum keywire_digest digest;
};

static void *new_signing(void *library, const char *properties)
{
	(void)library;
	(void)properties;
	return calloc(1, sizeof(struct signing));
}

static void free_signing(void *data)
{
	struct signing *signing = data;

	if (signing != NULL)
		keyprovider_drop(signing->key);
	free(signing);
}

static void *copy_signing(void *data)
{
	const struct signing *from = data;
	struct signing *copy = malloc(sizeof(*copy));

	if (copy == NULL)
		return NULL;
	*copy = *from;
	if (copy->key != NULL)
		(void)keyprovider_share(copy->key);
	return copy;
}

static bool is_rsa(const struct provided_key *key)
{
	return strncmp(key->type, "RSA", 3) == 0;
}

static bool is_edwards(const struct provided_key *key)
{
	return strncmp(key->type, "ED", 2) == 0;
}

/* --- settings --- */

/* OpenSSL gives these as numbers or as words. */
static bool is_value(const OSSL_PARAM *param, int number, const char *word)
{
	int given;

	if (param->data_type == OSSL_PARAM_UTF8_STRING)
		return param->data != NULL && strcasecmp(param->data, word) == 0;
	return OSSL_PARAM_get_int(param, &given) == 1 && given == number;
}

static int set_padding(struct signing *signing, const OSSL_PARAM *param)
{
	if (param == NULL)
		return 1;
	if (is_value(param, RSA_PKCS1_PSS_PADDING, OSSL_PKEY_RSA_PAD_MODE_PSS))
		signing->padding = KEYWIRE_PSS;
	else if (is_value(param, RSA_PKCS1_PADDING, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) &&
	         strcmp(signing->key->type, "RSA") == 0)
		signing->padding = KEYWIRE_PKCS1;
	else
		return 0;
	return 1;
}

/* TLS knows one length of the salt, and one digest for all. */
static bool is_salt(const struct signing *signing, const OSSL_PARAM *param)
{
	static const int sizes[KEYWIRE_DIGESTS] = {0, 28, 32, 48, 64};
	char size[8];

	(void)snprintf(size, sizeof(size), "%d", sizes[signing->digest]);
	return param == NULL || is_value(param, RSA_PSS_SALTLEN_DIGEST, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) ||
	       is_value(param, sizes[signing->digest], size);
}

static bool is_digest(const struct signing *signing, const OSSL_PARAM *param)
{
	return param == NULL ||
	       (param->data_type == OSSL_PARAM_UTF8_STRING && keywire_digest_named(param->data) == (int)signing->digest);
}

static int set_params(void *data, const OSSL_PARAM params[])
{
	struct signing *signing = data;

	if (params == NULL)
		return 1;
	if (signing->key == NULL)
		return 0;
	if (is_rsa(signing->key) &&
	    set_padding(signing, OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE)) != 1)
		return 0;
	return is_salt(signing, OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN)) &&
	       is_digest(signing, OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_MGF1_DIGEST)) &&
	       is_digest(signing, OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST));
}

static const OSSL_PARAM *settable_params(void *signing, void *library)
{
	static const OSSL_PARAM settable[] = {OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
	                                      OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
	                                      OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
	                                      OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0), OSSL_PARAM_END};

	(void)signing;
	(void)library;
	return settable;
}

/* --- signing --- */

static int init_signing(void *data, const char *digest, void *held, const OSSL_PARAM params[])
{
	struct signing *signing = data;
	struct provided_key *key = held != NULL ? held : signing->key;
	int number = keywire_digest_named(digest);

	if (key == NULL || !key->is_held || number < 0 || is_edwards(key) != (number == KEYWIRE_NONE))
		return 0;
	if (key != signing->key) {
		keyprovider_drop(signing->key);
		signing->key = keyprovider_share(key);
	}
	signing->digest = (enum keywire_digest)number;
	signing->padding = KEYWIRE_PLAIN;
	if (is_rsa(key))
		signing->padding = strcmp(key->type, "RSA") == 0 ? KEYWIRE_PKCS1 : KEYWIRE_PSS;
	return set_params(signing, params);
}

static enum keywire_result ask(const struct signing *signing, const unsigned char *text, size_t text_size,
                               uint8_t *signature, size_t *size)
{
	const struct keyprovider_hooks *hooks = keyprovider_hooks();
	const struct keyprovider_request request = {.handle = signing->key->handle,
	                                            .padding = signing->padding,
	                                            .digest = signing->digest,
	                                            .bytes = text,
	                                            .size = text_size};

	if (text_size > KEYWIRE_SIGNED_MOST)
		return KEYWIRE_REFUSED;
	return hooks != NULL ? hooks->sign(&request, signature, size) : KEYWIRE_GONE;
}

/* A NULL signature asks for the most bytes that it can have. */
static int sign(void *data, unsigned char *signature, size_t *size, size_t room, const unsigned char *text,
                size_t text_size)
{
	const struct signing *signing = data;
	uint8_t answer[KEYWIRE_SIGNATURE_MOST];
	int most = signing->key != NULL ? EVP_PKEY_get_size(signing->key->shown) : 0;
	enum keywire_result result;

	if (most <= 0)
		return 0;
	*size = (size_t)most;
	if (signature == NULL)
		return 1;
	result = ask(signing, text, text_size, answer, size);
	if (result == KEYWIRE_DONE && (*size > room || *size > (size_t)most))
		result = KEYWIRE_FAILED;
	if (result == KEYWIRE_DONE) {
		memcpy(signature, answer, *size);
		return 1;
	}
	keyprovider_raise(result);
	return 0;
}

#define FUNCTION(id, name)       \
	{                            \
		id, (void (*)(void))name \
	}
const OSSL_DISPATCH keyprovider_signature[] = {
    FUNCTION(OSSL_FUNC_SIGNATURE_NEWCTX, new_signing),
    FUNCTION(OSSL_FUNC_SIGNATURE_FREECTX, free_signing),
    FUNCTION(OSSL_FUNC_SIGNATURE_DUPCTX, copy_signing),
    FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, init_signing),
    FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, sign),
    FUNCTION(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, set_params),
    FUNCTION(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, settable_params),
    {0, NULL},
};
