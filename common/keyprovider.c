/* The provider: its keys, which are public keys with a handle. What is public is answered by a key of another provider.
 */
#include "keyprovider_parts.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define OURS "provider=" KEYPROVIDER_NAME
#define OTHERS "provider!=" KEYPROVIDER_NAME
#define PARAM_HANDLE "cci-handle"
#define PARAM_PUBLIC "cci-public"

static const struct keyprovider_hooks *hooks_in_use;
static int error_library;

void keyprovider_use(const struct keyprovider_hooks *hooks)
{
	hooks_in_use = hooks;
}

const struct keyprovider_hooks *keyprovider_hooks(void)
{
	return hooks_in_use;
}

/* --- errors --- */

static ERR_STRING_DATA error_words[KEYWIRE_RESULTS];
static CRYPTO_ONCE errors_once = CRYPTO_ONCE_STATIC_INIT;

static void load_errors(void)
{
	error_library = ERR_get_next_error_library();
	for (int i = KEYWIRE_FAILED; i < KEYWIRE_RESULTS; i++)
		error_words[i - KEYWIRE_FAILED] =
		    (ERR_STRING_DATA){ERR_PACK(error_library, 0, i), keywire_words((enum keywire_result)i)};
	(void)ERR_load_strings(error_library, error_words);
}

void keyprovider_raise(enum keywire_result result)
{
	ERR_raise(error_library, (int)result);
}

/* --- keys --- */

static void *new_key(void *library, const char *type)
{
	struct provided_key *key = calloc(1, sizeof(*key));

	if (key == NULL)
		return NULL;
	atomic_init(&key->references, 1);
	key->type = type;
	key->library = library;
	return key;
}

/* OpenSSL does not tell which of the algorithms it makes a key for. */
#define NEW_KEY(name, type)             \
	static void *name(void *library)    \
	{                                   \
		return new_key(library, type);  \
	}
NEW_KEY(new_rsa, "RSA")
NEW_KEY(new_pss, "RSA-PSS")
NEW_KEY(new_ec, "EC")
NEW_KEY(new_ed25519, "ED25519")
NEW_KEY(new_ed448, "ED448")

struct provided_key *keyprovider_share(struct provided_key *key)
{
	(void)atomic_fetch_add_explicit(&key->references, 1, memory_order_relaxed);
	return key;
}

void keyprovider_drop(struct provided_key *key)
{
	if (key == NULL || atomic_fetch_sub_explicit(&key->references, 1, memory_order_acq_rel) != 1)
		return;
	if (key->is_held && hooks_in_use != NULL)
		hooks_in_use->release(key->handle);
	EVP_PKEY_free(key->shown);
	free(key);
}

static void free_key(void *key)
{
	keyprovider_drop(key);
}

static int has(const void *data, int selection)
{
	const struct provided_key *key = data;

	if (key == NULL || key->shown == NULL)
		return 0;
	return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0 || key->is_held;
}

static int match(const void *a, const void *b, int selection)
{
	const struct provided_key *first = a, *second = b;

	(void)selection;
	return first->shown != NULL && second->shown != NULL && EVP_PKEY_eq(first->shown, second->shown) == 1;
}

/* Ours, by keyprovider_key. */
static int import_handle(struct provided_key *key, const OSSL_PARAM *handle, const OSSL_PARAM *shown)
{
	const unsigned char *at = shown != NULL ? shown->data : NULL;

	if (at == NULL || shown->data_type != OSSL_PARAM_OCTET_STRING || OSSL_PARAM_get_uint64(handle, &key->handle) != 1)
		return 0;
	key->shown = d2i_PUBKEY_ex(NULL, &at, (long)shown->data_size, key->library, OTHERS);
	key->is_held = key->shown != NULL && EVP_PKEY_is_a(key->shown, key->type);
	return key->is_held;
}

/* Another provider's public key, to be held against one of ours. What it may say of private parts is not taken. */
static int import_shown(struct provided_key *key, const OSSL_PARAM params[])
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(key->library, key->type, OTHERS);
	int done = context != NULL && EVP_PKEY_fromdata_init(context) == 1 &&
	           EVP_PKEY_fromdata(context, &key->shown, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)(uintptr_t)params) == 1;

	EVP_PKEY_CTX_free(context);
	return done;
}

static int import(void *data, int selection, const OSSL_PARAM params[])
{
	struct provided_key *key = data;
	const OSSL_PARAM *handle = OSSL_PARAM_locate_const(params, PARAM_HANDLE);

	(void)selection;
	if (key->shown != NULL)
		return 0;
	if (handle != NULL)
		return import_handle(key, handle, OSSL_PARAM_locate_const(params, PARAM_PUBLIC));
	return import_shown(key, params);
}

/* Never a private part; asked for one, nothing, or its lack could go unnoticed. */
static int export(void *data, int selection, OSSL_CALLBACK *callback, void *context)
{
	const struct provided_key *key = data;
	OSSL_PARAM *params = NULL;
	int done;

	if (key->shown == NULL || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0)
		return 0;
	done = EVP_PKEY_todata(key->shown, EVP_PKEY_PUBLIC_KEY, &params) == 1 && callback(params, context) == 1;
	OSSL_PARAM_free(params);
	return done;
}

static const OSSL_PARAM *key_types(int selection)
{
	static const OSSL_PARAM types[] = {OSSL_PARAM_uint64(PARAM_HANDLE, NULL),
	                                   OSSL_PARAM_octet_string(PARAM_PUBLIC, NULL, 0),
	                                   OSSL_PARAM_END};

	(void)selection;
	return types;
}

static int get_params(void *data, OSSL_PARAM params[])
{
	const struct provided_key *key = data;

	return key->shown != NULL && EVP_PKEY_get_params(key->shown, params) == 1;
}

static const OSSL_PARAM *gettable_params(void *library)
{
	static const OSSL_PARAM gettable[] = {OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
	                                      OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
	                                      OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
	                                      OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
	                                      OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
	                                      OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
	                                      OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
	                                      OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
	                                      OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
	                                      OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
	                                      OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
	                                      OSSL_PARAM_END};

	(void)library;
	return gettable;
}

static const char *operation_name(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? KEYPROVIDER_SIGNATURE : NULL;
}

/* --- the provider --- */

#define FUNCTION(id, name) {id, (void (*)(void))name}
#define KEYS(name, new)                                                    \
	static const OSSL_DISPATCH name[] = {                                  \
	    FUNCTION(OSSL_FUNC_KEYMGMT_NEW, new),                              \
	    FUNCTION(OSSL_FUNC_KEYMGMT_FREE, free_key),                        \
	    FUNCTION(OSSL_FUNC_KEYMGMT_HAS, has),                              \
	    FUNCTION(OSSL_FUNC_KEYMGMT_MATCH, match),                          \
	    FUNCTION(OSSL_FUNC_KEYMGMT_IMPORT, import),                        \
	    FUNCTION(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_types),               \
	    FUNCTION(OSSL_FUNC_KEYMGMT_EXPORT, export),                        \
	    FUNCTION(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_types),               \
	    FUNCTION(OSSL_FUNC_KEYMGMT_GET_PARAMS, get_params),                \
	    FUNCTION(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, gettable_params),      \
	    FUNCTION(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation_name),  \
	    {0, NULL},                                                         \
	}
KEYS(rsa_keys, new_rsa);
KEYS(pss_keys, new_pss);
KEYS(ec_keys, new_ec);
KEYS(ed25519_keys, new_ed25519);
KEYS(ed448_keys, new_ed448);

/* The names that libssl asks by (EVP_PKEY_is_a). */
static const OSSL_ALGORITHM all_keys[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", OURS, rsa_keys, NULL},
    {"RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10", OURS, pss_keys, NULL},
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", OURS, ec_keys, NULL},
    {"ED25519:1.3.101.112", OURS, ed25519_keys, NULL},
    {"ED448:1.3.101.113", OURS, ed448_keys, NULL},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM all_signatures[] = {{KEYPROVIDER_SIGNATURE, OURS, keyprovider_signature, NULL},
                                                {NULL, NULL, NULL, NULL}};

static const OSSL_ALGORITHM *query(void *library, int operation, int *no_cache)
{
	(void)library;
	*no_cache = 0;
	if (operation == OSSL_OP_KEYMGMT)
		return all_keys;
	return operation == OSSL_OP_SIGNATURE ? all_signatures : NULL;
}

/* What is built in lives in the library context that it is loaded into. */
static int open_provider(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                         void **context)
{
	static const OSSL_DISPATCH functions[] = {FUNCTION(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query), {0, NULL}};

	for (; in->function_id != 0; in++)
		if (in->function_id == OSSL_FUNC_CORE_GET_LIBCTX)
			*context = OSSL_FUNC_core_get_libctx(in)(core);
	*out = functions;
	return 1;
}

static bool is_ours(OSSL_LIB_CTX *library, const char *type)
{
	EVP_KEYMGMT *keys = EVP_KEYMGMT_fetch(library, type, NULL);
	bool ours = keys != NULL && strcmp(OSSL_PROVIDER_get0_name(EVP_KEYMGMT_get0_provider(keys)), KEYPROVIDER_NAME) == 0;

	EVP_KEYMGMT_free(keys);
	return ours;
}

/* Of two providers with the same algorithm OpenSSL takes the one that it has met first: that is to be the other for all
 * that is not asked of us by name, such as the keys of peers. */
OSSL_PROVIDER *keyprovider_add(OSSL_LIB_CTX *library, struct error *error)
{
	static const char *const types[] = {"RSA", "RSA-PSS", "EC", "ED25519", "ED448"};
	OSSL_PROVIDER *provider = NULL;
	bool taken = false;

	(void)CRYPTO_THREAD_run_once(&errors_once, load_errors);
	(void)is_ours(library, types[0]);
	if (OSSL_PROVIDER_add_builtin(library, KEYPROVIDER_NAME, open_provider) == 1)
		provider = OSSL_PROVIDER_try_load(library, KEYPROVIDER_NAME, 1);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		taken = taken || is_ours(library, types[i]);
	ERR_clear_error();
	if (provider == NULL) {
		error_set(error, "the TLS library does not take the provider of keys: not enough memory");
	} else if (taken) {
		(void)OSSL_PROVIDER_unload(provider);
		provider = NULL;
		error_set(error,
		          "the TLS library has no keys of its own beside ours: activate its default provider in openssl.cnf, "
		          "or set process = no in [keys]");
	}
	return provider;
}

EVP_PKEY *keyprovider_key(OSSL_LIB_CTX *library, uint64_t handle, const uint8_t *public_key, size_t size,
                          struct error *error)
{
	const unsigned char *at = public_key;
	EVP_PKEY *shown = d2i_PUBKEY_ex(NULL, &at, (long)size, library, OTHERS), *key = NULL;
	OSSL_PARAM params[] = {OSSL_PARAM_construct_uint64(PARAM_HANDLE, &handle),
	                       OSSL_PARAM_construct_octet_string(PARAM_PUBLIC, (void *)(uintptr_t)public_key, size),
	                       OSSL_PARAM_construct_end()};
	EVP_PKEY_CTX *context =
	    shown != NULL ? EVP_PKEY_CTX_new_from_name(library, EVP_PKEY_get0_type_name(shown), OURS) : NULL;

	if (context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params) != 1) {
		key = NULL;
		error_set(error, "a key of this type cannot be held by the key process: use RSA, EC, Ed25519 or Ed448, or set "
		                 "process = no in [keys]");
	}
	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(shown);
	ERR_clear_error();
	return key;
}
