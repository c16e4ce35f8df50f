/* Files and settings into an SSL_CTX, and the rehearsal that finds what does not work together. */
#include "tlscontext_load.h"

#include <errno.h>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define READ_AHEAD_SIZE (34 * 1024) /* two records with one read of the socket; more only leaves the cache (measured) */
#define REHEARSAL_STEPS 16

int tls_error(struct error *error, const char *format, ...)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);
	char text[400];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	ERR_clear_error();
	return error_set(error, "%s: %s", text, reason != NULL ? reason : "no reason given");
}

OSSL_LIB_CTX *tls_load_library(struct error *error)
{
	OSSL_LIB_CTX *library = OSSL_LIB_CTX_new();
	char *file = CONF_get1_default_config_file();

	if (library == NULL || file == NULL) {
		tls_error(error, "cannot make a TLS library context");
	} else if (access(file, F_OK) != 0 || OSSL_LIB_CTX_load_config(library, file) == 1) {
		OPENSSL_free(file);
		return library;
	} else {
		tls_error(error, "%s cannot be loaded: correct it", file);
	}
	OPENSSL_free(file);
	OSSL_LIB_CTX_free(library);
	return NULL;
}

/* What makes it fast: several records a read, and no buffers while idle. */
static void tune(SSL_CTX *context)
{
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD_SIZE);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static int setting_error(struct error *error, const char *key, const char *value)
{
	tls_error(error, "[tls] %s = %.200s", key, value);
	return error_about(error, key);
}

int tls_load_settings(SSL_CTX *context, const struct config_tls *tls, struct error *error)
{
	const char *ciphers = tls->ciphers != NULL ? tls->ciphers : DEFAULT_CIPHERS;
	const char *suites = tls->ciphersuites != NULL ? tls->ciphersuites : DEFAULT_CIPHERSUITES;
	const char *groups = tls->groups != NULL ? tls->groups : DEFAULT_GROUPS;

	ERR_clear_error();
	tune(context);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
	                                 SSL_OP_PRIORITIZE_CHACHA);
	if (SSL_CTX_set_min_proto_version(context, tls->min_version) != 1 ||
	    SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1)
		return tls_error(error, "[tls] min_version cannot be set");
	if (SSL_CTX_set_cipher_list(context, ciphers) != 1)
		return setting_error(error, "ciphers", ciphers);
	if (SSL_CTX_set_ciphersuites(context, suites) != 1)
		return setting_error(error, "ciphersuites", suites);
	if (SSL_CTX_set1_groups_list(context, groups) != 1)
		return setting_error(error, "groups", groups);
	return 0;
}

/* A key with a passphrase would make OpenSSL ask on the terminal of a service. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
	(void)buffer;
	(void)size;
	(void)writing;
	*(bool *)context = true;
	return -1;
}

static int check_readable(const char *what, const char *path, struct error *error)
{
	FILE *stream = fopen(path, "re");

	if (stream == NULL)
		return error_set(error, "%s = %s cannot be opened: %s; correct the path or its permissions", what, path,
		                 strerrordesc_np(errno));
	(void)fclose(stream);
	return 0;
}

static void warn_of_readers(const char *path)
{
	struct stat status;

	if (stat(path, &status) == 0 && (status.st_mode & (S_IRGRP | S_IROTH)) != 0)
		log_say(MESSAGE_CONFIG_WARNING, "[tls] private_key = %s can be read by others: chmod 600 it", path);
}

static int load_chain(SSL_CTX *context, const char *certificate, struct error *error)
{
	if (check_readable("[tls] certificate", certificate, error) != 0)
		return -1;
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
		return tls_error(error, "[tls] certificate = %s is not a PEM certificate chain", certificate);
	return 0;
}

static int load_key(SSL_CTX *context, const char *certificate, const char *private_key, struct error *error)
{
	bool encrypted = false;

	if (check_readable("[tls] private_key", private_key, error) != 0)
		return -1;
	warn_of_readers(private_key);
	ERR_clear_error();
	SSL_CTX_set_default_passwd_cb(context, no_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(context, &encrypted);
	if (SSL_CTX_use_PrivateKey_file(context, private_key, SSL_FILETYPE_PEM) != 1) {
		if (encrypted)
			return error_set(error, "[tls] private_key = %s has a passphrase: store it without one", private_key);
		return tls_error(error, "[tls] private_key = %s is not a PEM key for %s", private_key, certificate);
	}
	SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
	if (SSL_CTX_check_private_key(context) != 1)
		return tls_error(error, "[tls] private_key = %s does not belong to certificate = %s", private_key, certificate);
	return 0;
}

int tls_load_identity(SSL_CTX *context, const char *certificate, const char *private_key, struct error *error)
{
	if (load_chain(context, certificate, error) != 0)
		return error_about(error, "certificate");
	if (load_key(context, certificate, private_key, error) != 0)
		return error_about(error, "private_key");
	return 0;
}

int tls_load_ca(SSL_CTX *context, const char *ca, const char *where, struct error *error)
{
	if (check_readable(where, ca, error) != 0)
		return -1;
	ERR_clear_error();
	if (SSL_CTX_load_verify_file(context, ca) != 1)
		return tls_error(error, "%s = %s holds no PEM certificate", where, ca);
	return 0;
}

static int digest_file(FILE *stream, uint8_t digest[32])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t bytes[4096];
	size_t got = 0;
	int done = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

	while (done && stream != NULL && (got = fread(bytes, 1, sizeof(bytes), stream)) > 0)
		done = EVP_DigestUpdate(context, bytes, got) == 1;
	done = done && (stream == NULL || !ferror(stream)) && EVP_DigestFinal_ex(context, digest, NULL) == 1;
	EVP_MD_CTX_free(context);
	return done ? 0 : -1;
}

int tls_file_digest(const char *what, const char *path, uint8_t digest[32], struct error *error)
{
	FILE *stream = NULL;
	int result;

	if (path != NULL && check_readable(what, path, error) != 0)
		return -1;
	if (path != NULL && (stream = fopen(path, "re")) == NULL)
		return error_set(error, "%s = %s cannot be read", what, path);
	result = digest_file(stream, digest);
	if (stream != NULL)
		(void)fclose(stream);
	return result == 0 ? 0 : error_set(error, "%s = %s cannot be read", what, path != NULL ? path : "nothing");
}

const uint8_t *tls_alpn_wire(enum tls_start start, unsigned *size)
{
	static const uint8_t upgrade[] = "\x0d" TLS_ALPN_UPGRADE, direct[] = "\x05" TLS_ALPN_DIRECT;

	*size = start == TLS_START_UPGRADE ? sizeof(upgrade) - 1 : sizeof(direct) - 1;
	return start == TLS_START_UPGRADE ? upgrade : direct;
}

/* Checks nothing: it only finds out whether our own server can finish a handshake at all. */
static SSL *insecure_rehearsal_client(SSL_CTX *context, enum tls_start start)
{
	unsigned size;
	const uint8_t *alpn = tls_alpn_wire(start, &size);
	SSL *client;

	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	client = SSL_new(context);
	if (client != NULL && SSL_set_alpn_protos(client, alpn, size) != 0) {
		SSL_free(client);
		client = NULL;
	}
	return client;
}

/* Cross the two over a pair of memory BIOs. True where both finish. */
static bool shake_hands(SSL *client, SSL *server)
{
	BIO *up = BIO_new(BIO_s_mem()), *down = BIO_new(BIO_s_mem());
	int a = 0, b = 0;

	if (up == NULL || down == NULL || BIO_up_ref(up) != 1 || BIO_up_ref(down) != 1) {
		BIO_free(up);
		BIO_free(down);
		return false;
	}
	SSL_set_bio(client, down, up);
	SSL_set_bio(server, up, down);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	for (int step = 0; step < REHEARSAL_STEPS && (a != 1 || b != 1); step++) {
		ERR_clear_error();
		a = SSL_do_handshake(client);
		if (a != 1 && SSL_get_error(client, a) != SSL_ERROR_WANT_READ)
			return false;
		ERR_clear_error();
		b = SSL_do_handshake(server);
		if (b != 1 && SSL_get_error(server, b) != SSL_ERROR_WANT_READ)
			return false;
	}
	return a == 1 && b == 1;
}

int tls_rehearse(SSL_CTX *server_context, OSSL_LIB_CTX *library, const struct config_tls *tls, enum tls_start start,
                 struct error *error)
{
	SSL_CTX *context = SSL_CTX_new_ex(library, NULL, TLS_client_method());
	SSL *client = NULL, *server = SSL_new(server_context);
	int result = -1;

	if (context == NULL || server == NULL || tls_load_settings(context, tls, error) != 0)
		goto err;
	SSL_set_verify(server, SSL_VERIFY_NONE, NULL);
	client = insecure_rehearsal_client(context, start);
	if (client != NULL && shake_hands(client, server))
		result = 0;
	else
		tls_error(error, "[tls] a handshake with certificate = %s fails", tls->certificate);
err:
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(context);
	ERR_clear_error();
	return result;
}
