/* What one worker has of TLS: a library context, what is loaded into it, and the contexts of the connecting side. */
#include "tlscontext.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keyclient.h"
#include "log.h"
#include "tlscontext_load.h"
#include "tlsverdict.h"
#include "tlsworker.h"

#define SESSIONS_KEPT 4 /* for each peer: a TLS 1.3 session is used once */

struct kept {
	SSL_SESSION *session; /* owned; NULL: free */
	size_t address;
};

struct tls_client {
	struct tls_owner owner;
	SSL_CTX *context;
	struct tls_trust *trust;        /* owned; NULL: the worker's */
	const struct config_peer *peer; /* borrowed; NULL: from options */
	const char *server_name;        /* borrowed; NULL: the host of the address */
	char *own_name;                 /* owned */
	struct kept kept[SESSIONS_KEPT];
	size_t next;
};

int tls_init(struct error *error)
{
	return tls_tickets_init(error);
}

int tls_rotate(struct error *error)
{
	return tls_tickets_rotate(error);
}

/* --- the connecting side --- */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_client *client = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct kept *kept = &client->kept[client->next];

	client->next = (client->next + 1) % SESSIONS_KEPT;
	SSL_SESSION_free(kept->session);
	kept->session = session;
	kept->address = (size_t)(uintptr_t)SSL_get_app_data(ssl);
	return 1;
}

/* The newest session that this address gave; the owner frees it. */
static SSL_SESSION *take_session(struct tls_client *client, size_t address)
{
	for (size_t i = 1; i <= SESSIONS_KEPT; i++) {
		struct kept *kept = &client->kept[(client->next + SESSIONS_KEPT - i) % SESSIONS_KEPT];
		SSL_SESSION *session = kept->session;

		if (session == NULL || kept->address != address)
			continue;
		kept->session = NULL;
		return session;
	}
	return NULL;
}

/* The peer's own authorities or lists, each that of [tls] where it has none; nothing where both are those of [tls]. */
static int load_trust(const struct tls_worker *worker, struct tls_client *client, const struct config_tls *tls,
                      struct error *error)
{
	const struct config_peer *peer = client->peer;
	const struct tls_place ours = {.section = peer != NULL ? "tls" : NULL};
	const struct tls_place own = {.section = "peer", .name = peer != NULL ? peer->place.name : NULL};
	bool own_ca = peer != NULL && peer->ca != NULL, own_crl = peer != NULL && peer->crl != NULL;
	struct tls_trust_files files = {.ca_place = own_ca ? own : ours,
	                                .crl_place = own_crl ? own : ours,
	                                .ca = own_ca ? peer->ca : tls->ca,
	                                .crl = own_crl ? peer->crl : tls->crl,
	                                .crl_check = tls->crl_check};

	if (worker->trust != NULL && !own_ca && !own_crl)
		return 0;
	client->trust = tls_trust_load(worker->library, &files, error);
	return client->trust != NULL ? 0 : -1;
}

static int set_client_sessions(SSL_CTX *context, const struct config_tls *tls)
{
	if (tls->resumption == CHOICE_NO) {
		SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
		SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
		return 0;
	}
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, keep_session);
	return 0;
}

static int client_context(struct tls_worker *worker, struct tls_client *client, const struct config_tls *tls,
                          enum tls_start start, struct error *error)
{
	unsigned size;
	const uint8_t *alpn = tls_alpn_wire(start, &size);
	SSL_CTX *context = SSL_CTX_new_ex(worker->library, NULL, TLS_client_method());

	client->owner.worker = worker;
	client->context = context;
	if (context == NULL)
		return tls_error(error, "cannot make a TLS context");
	if (tls_worker_set(worker, context, tls, error) != 0 || load_trust(worker, client, tls, error) != 0)
		return -1;
	if (worker->own != NULL && tls_credential_use(context, worker->own, error) != 0)
		return -1;
	tls_trust_use(context, client->trust != NULL ? client->trust : worker->trust);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_set_alpn_protos(context, alpn, size) != 0)
		return tls_error(error, "cannot set ALPN");
	if (SSL_CTX_set_app_data(context, client) != 1)
		return tls_error(error, "cannot make a TLS context");
	return set_client_sessions(context, tls);
}

static int make_clients(struct tls_worker *worker, const struct config *config, struct error *error)
{
	worker->clients = calloc(config->peer_count + 1, sizeof(*worker->clients));
	if (worker->clients == NULL)
		return error_set(error, "not enough memory");
	worker->client_count = config->peer_count;
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];
		enum tls_start start = peer->security == PEER_DIRECT ? TLS_START_DIRECT : TLS_START_UPGRADE;

		worker->clients[i].peer = peer;
		worker->clients[i].server_name = peer->server_name;
		if (peer->security == PEER_NONE || client_context(worker, &worker->clients[i], &config->tls, start, error) == 0)
			continue;
		/* A file of its own is already said to be. */
		return error->name != NULL ? -1 : error_prefix(error, "[peer %s]", peer->place.name);
	}
	return 0;
}

/* --- a worker --- */

static struct tls_worker *empty_worker(struct error *error)
{
	struct tls_worker *worker = calloc(1, sizeof(*worker));

	if (worker == NULL) {
		error_set(error, "not enough memory");
		return NULL;
	}
	worker->key_log = -1;
	worker->library = tls_load_library(error);
	if (worker->library != NULL && keyclient_is_open())
		worker->keys = keyprovider_add(worker->library, error);
	if (worker->library != NULL && (worker->keys != NULL || !keyclient_is_open()))
		return worker;
	tls_worker_free(worker);
	return NULL;
}

/* Owned by the worker from then on; NULL with `error`. */
static struct tls_credential *add_credential(struct tls_worker *worker, const struct tls_credential_files *files,
                                             struct error *error)
{
	struct tls_credential *credential = tls_credential_load(worker->library, files, error);

	if (credential != NULL)
		worker->credentials[worker->credential_count++] = credential;
	return credential;
}

static int load_credentials(struct tls_worker *worker, const struct config *config, struct error *error)
{
	const struct config_tls *tls = &config->tls;

	worker->credentials = calloc(config->certificate_count + 1, sizeof(struct tls_credential *));
	if (worker->credentials == NULL)
		return error_set(error, "not enough memory");
	if (tls->certificate != NULL) {
		worker->own = add_credential(worker,
		                             &(struct tls_credential_files){.place = {.section = "tls"},
		                                                            .certificate = tls->certificate,
		                                                            .private_key = tls->private_key,
		                                                            .passphrase_file = tls->passphrase_file,
		                                                            .ocsp_response = tls->ocsp_response},
		                             error);
		if (worker->own == NULL)
			return -1;
	}
	for (size_t i = 0; i < config->certificate_count; i++) {
		const struct config_certificate *one = &config->certificates[i];
		const struct tls_credential_files files = {.place = {.section = "certificate", .name = one->place.name},
		                                           .certificate = one->certificate,
		                                           .private_key = one->private_key,
		                                           .passphrase_file = one->passphrase_file,
		                                           .ocsp_response = one->ocsp_response};

		if (add_credential(worker, &files, error) == NULL)
			return -1;
	}
	return 0;
}

static int load_all(struct tls_worker *worker, const struct config *config, struct error *error)
{
	const struct config_tls *tls = &config->tls;
	const struct tls_trust_files files = {.ca_place = {.section = "tls"},
	                                      .crl_place = {.section = "tls"},
	                                      .ca = tls->ca,
	                                      .crl = tls->crl,
	                                      .crl_check = tls->crl_check};

	if (tls->insecure_key_log != NULL && (worker->key_log = tls_open_key_log(tls->insecure_key_log, error)) < 0)
		return -1;
	/* Also where nobody is asked for a certificate today: a wrong file is found before somebody is. */
	if (tls->ca != NULL && (worker->trust = tls_trust_load(worker->library, &files, error)) == NULL)
		return -1;
	if (tls->resumption != CHOICE_NO &&
	    (worker->tickets = tls_tickets_new(worker->library, tls->ticket_keys, error)) == NULL)
		return -1;
	if (load_credentials(worker, config, error) != 0 || tls_check_settings(worker->library, tls, error) != 0)
		return -1;
	if (config->keys.process == CHOICE_YES && tls_check_key_exchange(worker->library, tls, error) != 0)
		return -1;
	return tls_servers_make(worker, config, error) == 0 && make_clients(worker, config, error) == 0 ? 0 : -1;
}

struct tls_worker *tls_worker_new(const struct config *config, struct error *error)
{
	struct tls_worker *worker = empty_worker(error);

	if (worker == NULL)
		return NULL;
	if (load_all(worker, config, error) == 0) {
		tls_worker_leave(worker);
		return worker;
	}
	tls_worker_free(worker);
	return NULL;
}

static int fill_client(struct tls_worker *worker, const struct tls_client_options *options, enum tls_start start,
                       struct error *error)
{
	const struct config_tls tls = {.ca = (char *)(uintptr_t)options->ca,
	                               .min_version = options->min_version != 0 ? options->min_version : TLS1_2_VERSION,
	                               .resumption = CHOICE_YES};

	worker->clients = calloc(1, sizeof(*worker->clients));
	worker->credentials = calloc(1, sizeof(struct tls_credential *));
	if (worker->clients == NULL || worker->credentials == NULL)
		return error_set(error, "not enough memory");
	worker->client_count = 1;
	if (options->server_name != NULL) {
		worker->clients->server_name = worker->clients->own_name = strdup(options->server_name);
		if (worker->clients->own_name == NULL)
			return error_set(error, "not enough memory");
	}
	if (options->certificate != NULL) {
		worker->own = add_credential(
		    worker,
		    &(struct tls_credential_files){.certificate = options->certificate, .private_key = options->private_key},
		    error);
		if (worker->own == NULL)
			return -1;
	}
	return client_context(worker, worker->clients, &tls, start, error);
}

struct tls_worker *tls_worker_new_client(const struct tls_client_options *options, enum tls_start start,
                                         struct error *error)
{
	struct tls_worker *worker = empty_worker(error);

	if (worker == NULL || fill_client(worker, options, start, error) == 0)
		return worker;
	tls_worker_free(worker);
	return NULL;
}

void tls_worker_leave(struct tls_worker *worker)
{
	OPENSSL_thread_stop_ex(worker->library);
}

void tls_worker_free(struct tls_worker *worker)
{
	if (worker == NULL)
		return;
	tls_servers_free(worker);
	for (size_t i = 0; i < worker->client_count; i++) {
		for (size_t j = 0; j < SESSIONS_KEPT; j++)
			SSL_SESSION_free(worker->clients[i].kept[j].session);
		SSL_CTX_free(worker->clients[i].context);
		tls_trust_free(worker->clients[i].trust);
		free(worker->clients[i].own_name);
	}
	free(worker->clients);
	for (size_t i = 0; i < worker->credential_count; i++)
		tls_credential_free(worker->credentials[i]);
	free(worker->credentials);
	tls_trust_free(worker->trust);
	tls_tickets_free(worker->tickets);
	if (worker->key_log >= 0)
		(void)close(worker->key_log);
	if (worker->keys != NULL)
		(void)OSSL_PROVIDER_unload(worker->keys);
	OSSL_LIB_CTX_free(worker->library);
	free(worker);
}

/* --- connections --- */

/* What the certificate must say: a name in its SAN, or an IP address there. */
static int expect_name(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1)
		return 0;
	if (X509_VERIFY_PARAM_set1_host(param, name, 0) != 1)
		return -1;
	return SSL_set_tlsext_host_name(ssl, name) == 1 ? 0 : -1;
}

SSL *tls_client_new(struct tls_worker *worker, size_t peer, size_t address, enum tls_start start)
{
	struct tls_client *client = &worker->clients[peer];
	const char *name = client->server_name;
	SSL *ssl = client->context != NULL ? SSL_new(client->context) : NULL;
	SSL_SESSION *session;

	(void)start; /* a peer is always started in the one way that its security says */
	if (name == NULL && client->peer != NULL)
		name = client->peer->address.at[address].host;
	if (ssl == NULL || name == NULL || name[0] == '\0' || expect_name(ssl, name) != 0 ||
	    SSL_set_app_data(ssl, (void *)(uintptr_t)address) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	session = take_session(client, address);
	if (session != NULL && tls_trust_is_current(client->trust != NULL ? client->trust : worker->trust))
		(void)SSL_set_session(ssl, session);
	SSL_SESSION_free(session);
	SSL_set_connect_state(ssl);
	return ssl;
}

/* --- what is in use --- */

static void log_credential(const struct tls_credential *credential)
{
	char what[TLS_WHAT_SIZE];
	struct tls_certificate facts;
	struct logline line;

	tls_certificate_of(credential->certificate, &facts);
	log_begin(&line, MESSAGE_CERTIFICATE_IN_USE, NULL);
	log_text(&line, "setting", tls_what(&credential->files.place, "certificate", what));
	log_text(&line, "key", EVP_PKEY_get0_type_name(credential->key));
	log_text(&line, "subject", facts.subject);
	log_text(&line, "names", facts.names);
	log_text(&line, "serial", facts.serial);
	log_text(&line, "not_after", facts.not_after);
	log_format(&line, "days_left", "%d", facts.days_left);
	log_end(&line);
}

void tls_worker_log(const struct tls_worker *worker)
{
	for (size_t i = 0; i < worker->credential_count; i++)
		log_credential(worker->credentials[i]);
	if (worker->key_log >= 0)
		log_say(MESSAGE_KEY_LOG, "[tls] insecure_key_log is set");
}

bool tls_worker_shown(const struct tls_worker *worker, size_t number, struct tls_shown *shown)
{
	const struct tls_credential *credential;

	if (number >= worker->credential_count)
		return false;
	credential = worker->credentials[number];
	*shown = (struct tls_shown){.certificate = credential->certificate,
	                            .file = credential->files.certificate,
	                            .name = credential->files.place.name};
	return true;
}

void tls_worker_warn(const struct tls_worker *worker)
{
	(void)tls_trust_warn(worker->trust);
	for (size_t i = 0; i < worker->client_count; i++) /* NULL: that of the worker */
		(void)tls_trust_warn(worker->clients[i].trust);
}

static void see_trust(const struct tls_trust *trust, tls_expiry_seen *seen, void *context)
{
	char what[TLS_WHAT_SIZE];

	if (trust != NULL && trust->crl_until != 0)
		seen(context, &(struct tls_expiry){.setting = tls_what(&trust->files.crl_place, "crl", what),
		                                   .file = trust->files.crl,
		                                   .until = trust->crl_until,
		                                   .from = trust->crl_from,
		                                   .effect = "nobody is believed without a new one"});
}

void tls_worker_expiries(const struct tls_worker *worker, tls_expiry_seen *seen, void *context)
{
	char what[TLS_WHAT_SIZE];

	for (size_t i = 0; i < worker->credential_count; i++) {
		const struct tls_credential *credential = worker->credentials[i];
		const struct tls_credential_files *files = &credential->files;

		seen(context, &(struct tls_expiry){.setting = tls_what(&files->place, "certificate", what),
		                                   .file = files->certificate,
		                                   .until = tls_seconds_of(X509_get0_notAfter(credential->certificate)),
		                                   .effect = "peers refuse it"});
		if (credential->ocsp_until != 0)
			seen(context, &(struct tls_expiry){.setting = tls_what(&files->place, "ocsp_response", what),
			                                   .file = files->ocsp_response,
			                                   .until = credential->ocsp_until,
			                                   .from = credential->ocsp_from,
			                                   .effect = "it is not stapled any more"});
	}
	see_trust(worker->trust, seen, context);
	for (size_t i = 0; i < worker->client_count; i++)
		see_trust(worker->clients[i].trust, seen, context);
}
