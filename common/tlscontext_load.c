/* Settings into an SSL_CTX, the key log, and the rehearsal that finds what does not work together. */
#include "tlscontext_load.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tlsworker.h"

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
	return error_set(error, "%s%s%s", text, reason != NULL ? ": " : "", reason != NULL ? reason : "");
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
	/* The chain stands in the certificate's file: OpenSSL would otherwise look for one in each handshake. */
	SSL_CTX_set_mode(context,
	                 SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
}

static int setting_error(struct error *error, const char *key, const char *value)
{
	tls_error(error, "[tls] %s = %.200s is not taken by the TLS library", key, value);
	return error_at(error, "tls", NULL, key);
}

/* The first of the context's suites that `is_bad` says is; NULL: none. */
static const char *find_suite(SSL_CTX *context, bool (*is_bad)(const SSL_CIPHER *suite))
{
	SSL *probe = SSL_new(context);
	STACK_OF(SSL_CIPHER) *suites = probe != NULL ? SSL_get1_supported_ciphers(probe) : NULL;
	const char *bad = NULL;

	for (int i = 0; i < sk_SSL_CIPHER_num(suites) && bad == NULL; i++)
		if (is_bad(sk_SSL_CIPHER_value(suites, i)))
			bad = SSL_CIPHER_get_name(sk_SSL_CIPHER_value(suites, i));
	sk_SSL_CIPHER_free(suites);
	SSL_free(probe);
	return bad;
}

static bool hides_nothing(const SSL_CIPHER *suite)
{
	return SSL_CIPHER_get_cipher_nid(suite) == NID_undef || SSL_CIPHER_get_auth_nid(suite) == NID_auth_null;
}

static bool decrypts_with_key(const SSL_CIPHER *suite)
{
	int exchange = SSL_CIPHER_get_kx_nid(suite);

	return exchange == NID_kx_rsa || exchange == NID_kx_rsa_psk;
}

/* Suites that hide nothing, or prove nobody's identity, are no TLS: @SECLEVEL=0 would let them in. */
static int check_suites(SSL_CTX *context, const char *ciphers, struct error *error)
{
	const char *bad = find_suite(context, hides_nothing);

	if (bad == NULL)
		return 0;
	error_set(error, "[tls] ciphers = %.200s lets in %s, which does not encrypt or authenticate: take it out", ciphers,
	          bad);
	return error_at(error, "tls", NULL, "ciphers");
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
	if (tls->sigalgs != NULL && SSL_CTX_set1_sigalgs_list(context, tls->sigalgs) != 1)
		return setting_error(error, "sigalgs", tls->sigalgs);
	return tls->ciphers != NULL ? check_suites(context, ciphers, error) : 0;
}

int tls_check_settings(OSSL_LIB_CTX *library, const struct config_tls *tls, struct error *error)
{
	SSL_CTX *context = SSL_CTX_new_ex(library, NULL, TLS_server_method());
	int result =
	    context != NULL ? tls_load_settings(context, tls, error) : tls_error(error, "cannot make a TLS context");

	SSL_CTX_free(context);
	return result;
}

int tls_check_key_exchange(OSSL_LIB_CTX *library, const struct config_tls *tls, struct error *error)
{
	SSL_CTX *context = SSL_CTX_new_ex(library, NULL, TLS_server_method());
	int result =
	    context != NULL ? tls_load_settings(context, tls, error) : tls_error(error, "cannot make a TLS context");
	const char *bad = result == 0 ? find_suite(context, decrypts_with_key) : NULL;

	SSL_CTX_free(context);
	if (bad == NULL)
		return result;
	error_set(
	    error,
	    "[tls] ciphers = %.200s lets in %s, whose key exchange decrypts with the private key, and the key process "
	    "only signs: take it out (kRSA), or set process = no in [keys]",
	    tls->ciphers, bad);
	return error_at(error, "tls", NULL, "ciphers");
}

/* --- the key log --- */

/* The file that was opened last. A process that is no longer root could not open it again. */
static struct {
	dev_t device;
	ino_t inode;
	int fd;
} kept_log = {.fd = -1};

static bool is_kept(const char *path)
{
	struct stat status;

	return kept_log.fd >= 0 && lstat(path, &status) == 0 && status.st_dev == kept_log.device &&
	       status.st_ino == kept_log.inode;
}

static void keep_log(int fd)
{
	struct stat status;
	int copy = fstat(fd, &status) == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : -1;

	if (copy < 0)
		return;
	if (kept_log.fd >= 0)
		(void)close(kept_log.fd);
	kept_log.fd = copy;
	kept_log.device = status.st_dev;
	kept_log.inode = status.st_ino;
}

int tls_open_key_log(const char *path, struct error *error)
{
	int fd;

	if (is_kept(path))
		fd = fcntl(kept_log.fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	else
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
	if (fd >= 0) {
		if (!is_kept(path))
			keep_log(fd);
		return fd;
	}
	error_set(error, "[tls] insecure_key_log = %s cannot be written: %s", path, strerrordesc_np(errno));
	return error_at(error, "tls", NULL, "insecure_key_log");
}

/* One write for one line, so that those of several workers do not mix. What a full disk has cut short is ended by the
 * next. */
static void write_key(const SSL *ssl, const char *line)
{
	static atomic_bool torn;
	const struct tls_owner *owner = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	size_t length = strlen(line), mend = atomic_exchange(&torn, false);
	struct iovec parts[] = {
	    {(void *)(uintptr_t) "\n", mend}, {(void *)(uintptr_t)line, length}, {(void *)(uintptr_t) "\n", 1}};
	ssize_t went = writev(owner->worker->key_log, parts, 3);

	if (went <= 0 ? mend > 0 : (size_t)went < mend + length + 1)
		atomic_store(&torn, true);
}

int tls_worker_set(const struct tls_worker *worker, SSL_CTX *context, const struct config_tls *tls, struct error *error)
{
	if (worker->key_log >= 0)
		SSL_CTX_set_keylog_callback(context, write_key);
	return tls_load_settings(context, tls, error);
}

/* --- the rehearsal --- */

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

static bool was_shown(SSL *client, const struct tls_credential *credential)
{
	X509 *shown = SSL_get0_peer_certificate(client);

	return shown != NULL && X509_cmp(shown, credential->certificate) == 0;
}

/* With this credential alone: each one has to work, whatever the client's choice. */
static SSL *rehearsal_server(SSL_CTX *context, const struct tls_credential *credential)
{
	SSL *server = SSL_new(context);

	if (server == NULL)
		return NULL;
	SSL_set_verify(server, SSL_VERIFY_NONE, NULL);
	SSL_set_cert_cb(server, NULL, NULL);
	SSL_certs_clear(server);
	if (tls_credential_use_once(server, credential) == 0)
		return server;
	SSL_free(server);
	return NULL;
}

int tls_rehearse(const struct tls_rehearsal *rehearsal, const struct tls_credential *credential, struct error *error)
{
	const struct tls_credential_files *files = &credential->files;
	char what[TLS_WHAT_SIZE];
	SSL_CTX *context = SSL_CTX_new_ex(rehearsal->library, NULL, TLS_client_method());
	SSL *client = NULL, *server = rehearsal_server(rehearsal->server, credential);
	int result = -1;

	if (context != NULL && server != NULL && tls_load_settings(context, rehearsal->tls, error) == 0 &&
	    SSL_CTX_set_max_proto_version(context, rehearsal->highest) == 1 &&
	    (client = insecure_rehearsal_client(context, rehearsal->start)) != NULL && shake_hands(client, server) &&
	    was_shown(client, credential))
		result = 0;
	else
		tls_fail(&files->place, "certificate", error,
		         "%s = %s: a handshake with it fails; look at ciphers, groups and sigalgs",
		         tls_what(&files->place, "certificate", what), files->certificate);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(context);
	ERR_clear_error();
	return result;
}
