/* The SSL_CTXs of one worker: two for each listener, one for each peer, in a library context of their own. */
#include "tlscontext.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "tlscontext_load.h"
#include "tlsverdict.h"

#define SESSIONS_KEPT 4 /* for each peer: a TLS 1.3 session is used once */

/* A listener. */
struct server {
	SSL_CTX *contexts[2]; /* by enum tls_start; NULL: this listener never comes to TLS */
	uint8_t policies[2][CLIENT_AUTH_REQUIRE + 1][32]; /* session id contexts, by enum tls_start and client_auth */
	int client_auth;
};

struct kept {
	SSL_SESSION *session; /* owned; NULL: free */
	size_t address;
};

struct client {
	SSL_CTX *context;
	const struct config_peer *peer; /* borrowed; NULL: from options */
	const char *server_name;        /* borrowed; NULL: the host of the address */
	char *own_name;                 /* owned */
	struct kept kept[SESSIONS_KEPT];
	size_t next;
};

struct tls_worker {
	OSSL_LIB_CTX *library;
	struct server *servers;
	size_t server_count;
	struct client *clients;
	size_t client_count;
};

/* From which ticket keys are derived: the same for all workers and across reloads, never written anywhere. */
static uint8_t secret[32];

int tls_init(struct error *error)
{
	if (RAND_priv_bytes(secret, sizeof(secret)) != 1)
		return error_set(error, "the system gives no random numbers");
	return 0;
}

/* --- the accepting side --- */

/* Select our one name for this way of starting, or refuse (protocol, section 6). */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *in,
                       unsigned in_size, void *start)
{
	unsigned size;
	const uint8_t *wanted = tls_alpn_wire(*(const enum tls_start *)start, &size);

	(void)ssl;
	for (unsigned at = 0; at < in_size; at += 1u + in[at]) {
		if (at + size > in_size || memcmp(in + at, wanted, size) != 0)
			continue;
		*out = in + at + 1;
		*out_size = in[at];
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A start that needs ALPN and has none is refused before a certificate is shown. */
static int require_alpn(SSL *ssl, int *alert, void *unused)
{
	const unsigned char *extension;
	size_t size;

	(void)unused;
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &extension, &size) == 1)
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
	return SSL_CLIENT_HELLO_ERROR;
}

/* What a session is bound to: one made under another policy is not taken (and its ticket not even opened). */
static int policy_digest(const struct config *config, const struct config_listener *listener, enum tls_start start,
                         int client_auth, uint8_t digest[32], struct error *error)
{
	const struct config_tls *tls = &config->tls;
	uint8_t files[2][32];
	char text[1024];
	unsigned size = 0;
	struct text policy;

	if (tls_file_digest("[tls] ca", tls->ca, files[0], error) != 0)
		return error_about(error, "ca");
	if (tls_file_digest("[tls] certificate", tls->certificate, files[1], error) != 0)
		return error_about(error, "certificate");
	text_init(&policy, text, sizeof(text));
	text_printf(&policy, "%s|%s|%d|%d|%d|%d|", config->gateway.sysid, listener->place.name, (int)start,
	            client_auth, tls->min_version, listener->unsecured);
	text_put_hex(&policy, files[0], sizeof(files[0]));
	text_put_hex(&policy, files[1], sizeof(files[1]));
	if (HMAC(EVP_sha256(), secret, sizeof(secret), (const uint8_t *)text, policy.used, digest, &size) == NULL)
		return tls_error(error, "cannot derive a ticket key");
	return 0;
}

static int make_policies(struct server *server, const struct config *config, const struct config_listener *listener,
                         struct error *error)
{
	for (int start = 0; start < 2; start++)
		for (int auth = CLIENT_AUTH_NO; auth <= CLIENT_AUTH_REQUIRE; auth++)
			if (policy_digest(config, listener, (enum tls_start)start, auth, server->policies[start][auth], error) != 0)
				return -1;
	server->client_auth = listener->client_auth != CLIENT_AUTH_INHERIT ? listener->client_auth : CLIENT_AUTH_NO;
	return 0;
}

static int set_sessions(SSL_CTX *context, const struct config *config, const uint8_t digest[32], struct error *error)
{
	uint8_t keys[3][32];
	unsigned size = 0;
	int result = -1;

	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	if (config->tls.resumption == CHOICE_NO) {
		SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
		(void)SSL_CTX_set_num_tickets(context, 0);
		return 0;
	}
	for (uint8_t i = 0; i < 3; i++) {
		uint8_t text[33];

		memcpy(text, digest, 32);
		text[32] = i;
		if (HMAC(EVP_sha256(), secret, sizeof(secret), text, sizeof(text), keys[i], &size) == NULL)
			return tls_error(error, "cannot derive a ticket key");
	}
	/* 16 bytes of name, 32 for HMAC-SHA-256, 32 for AES-256. */
	memmove((uint8_t *)keys + 16, keys[1], 64);
	if (SSL_CTX_set_tlsext_ticket_keys(context, keys, 80) == 1 && SSL_CTX_set_num_tickets(context, 1) == 1)
		result = 0;
	else
		tls_error(error, "cannot set a ticket key");
	OPENSSL_cleanse(keys, sizeof(keys));
	return result;
}

static int verify_mode(int client_auth)
{
	switch (client_auth) {
	case CLIENT_AUTH_REQUEST:
		return SSL_VERIFY_PEER;
	case CLIENT_AUTH_REQUIRE:
		return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	default:
		return SSL_VERIFY_NONE;
	}
}

static SSL_CTX *server_context(const struct tls_worker *worker, const struct config *config,
                               const struct server *server, enum tls_start start, struct error *error)
{
	static const enum tls_start starts[] = {TLS_START_UPGRADE, TLS_START_DIRECT};
	const struct config_tls *tls = &config->tls;
	SSL_CTX *context = SSL_CTX_new_ex(worker->library, NULL, TLS_server_method());

	if (context == NULL) {
		tls_error(error, "cannot make a TLS context");
		return NULL;
	}
	if (tls_load_settings(context, tls, error) != 0 ||
	    tls_load_identity(context, tls->certificate, tls->private_key, error) != 0 ||
	    set_sessions(context, config, server->policies[start][server->client_auth], error) != 0)
		goto err;
	/* A rule may ask for a certificate where the listener does not. */
	if (tls->ca != NULL) {
		if (tls_load_ca(context, tls->ca, "[tls] ca", error) != 0)
			goto err;
		SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file_ex(tls->ca, worker->library, NULL));
	}
	/* The callback's argument is only read. */
	SSL_CTX_set_alpn_select_cb(context, select_alpn, (void *)(uintptr_t)&starts[start]);
	if (start == TLS_START_DIRECT || tls->confirm == CONFIRM_REQUIRE)
		SSL_CTX_set_client_hello_cb(context, require_alpn, NULL);
	if (tls_rehearse(context, worker->library, tls, start, error) == 0)
		return context;
err:
	SSL_CTX_free(context);
	return NULL;
}

/* Also where no listener asks for certificates today: a wrong file is found before one does. */
static int check_ca(const struct tls_worker *worker, const struct config_tls *tls, struct error *error)
{
	SSL_CTX *context;
	int result;

	if (tls->ca == NULL)
		return 0;
	context = SSL_CTX_new_ex(worker->library, NULL, TLS_server_method());
	if (context == NULL)
		return tls_error(error, "cannot make a TLS context");
	result = tls_load_ca(context, tls->ca, "[tls] ca", error);
	SSL_CTX_free(context);
	return result == 0 ? 0 : error_about(error, "ca");
}

static int make_servers(struct tls_worker *worker, const struct config *config, struct error *error)
{
	worker->servers = calloc(config->listener_count + 1, sizeof(*worker->servers));
	if (worker->servers == NULL)
		return error_set(error, "not enough memory");
	worker->server_count = config->listener_count;
	for (size_t i = 0; config->tls.certificate != NULL && i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		struct server *server = &worker->servers[i];

		if (make_policies(server, config, listener, error) != 0)
			return error_prefix(error, "[listener %s]", listener->place.name);
		for (int start = 0; listener->exchange == EXCHANGE_CCI && start < 2; start++) {
			server->contexts[start] = server_context(worker, config, server, (enum tls_start)start, error);
			if (server->contexts[start] == NULL)
				return error_prefix(error, "[listener %s]", listener->place.name);
		}
	}
	return 0;
}

/* --- the connecting side --- */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct client *client = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct kept *kept = &client->kept[client->next];

	client->next = (client->next + 1) % SESSIONS_KEPT;
	SSL_SESSION_free(kept->session);
	kept->session = session;
	kept->address = (size_t)(uintptr_t)SSL_get_app_data(ssl);
	return 1;
}

/* The newest session that this address gave; the owner frees it. */
static SSL_SESSION *take_session(struct client *client, size_t address)
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

static int client_context(struct tls_worker *worker, struct client *client, const struct config_tls *tls,
                          enum tls_start start, struct error *error)
{
	unsigned size;
	const uint8_t *alpn = tls_alpn_wire(start, &size);
	const char *ca = client->peer != NULL && client->peer->ca != NULL ? client->peer->ca : tls->ca;
	SSL_CTX *context = SSL_CTX_new_ex(worker->library, NULL, TLS_client_method());

	client->context = context;
	if (context == NULL)
		return tls_error(error, "cannot make a TLS context");
	if (tls_load_settings(context, tls, error) != 0)
		return -1;
	if (tls->certificate != NULL && tls_load_identity(context, tls->certificate, tls->private_key, error) != 0)
		return -1;
	if (ca != NULL && tls_load_ca(context, ca, "ca", error) != 0)
		return ca == tls->ca ? error_about(error, "ca") : -1;
	if (ca == NULL && SSL_CTX_set_default_verify_paths(context) != 1)
		return tls_error(error, "the system's authorities cannot be loaded");
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_set_alpn_protos(context, alpn, size) != 0)
		return tls_error(error, "cannot set ALPN");
	SSL_CTX_set_app_data(context, client);
	if (tls->resumption == CHOICE_NO) {
		SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
		SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
		return 0;
	}
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, keep_session);
	return 0;
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
		if (peer->security != PEER_NONE && client_context(worker, &worker->clients[i], &config->tls, start, error) != 0)
			return error_prefix(error, "[peer %s]", peer->place.name);
	}
	return 0;
}

struct tls_worker *tls_worker_new(const struct config *config, struct error *error)
{
	struct tls_worker *worker = calloc(1, sizeof(*worker));

	if (worker == NULL) {
		error_set(error, "not enough memory");
		return NULL;
	}
	worker->library = tls_load_library(error);
	if (worker->library != NULL && check_ca(worker, &config->tls, error) == 0 &&
	    make_servers(worker, config, error) == 0 && make_clients(worker, config, error) == 0) {
		tls_worker_leave(worker);
		return worker;
	}
	tls_worker_free(worker);
	return NULL;
}

struct tls_worker *tls_worker_new_client(const struct tls_client_options *options, enum tls_start start,
                                         struct error *error)
{
	struct config_tls tls = {.ca = (char *)(uintptr_t)options->ca,
	                         .certificate = (char *)(uintptr_t)options->certificate,
	                         .private_key = (char *)(uintptr_t)options->private_key,
	                         .min_version = options->min_version != 0 ? options->min_version : TLS1_2_VERSION,
	                         .resumption = CHOICE_YES};
	struct tls_worker *worker = calloc(1, sizeof(*worker));
	struct client *client = calloc(1, sizeof(*client));

	if (worker == NULL || client == NULL) {
		free(worker);
		free(client);
		error_set(error, "not enough memory");
		return NULL;
	}
	worker->clients = client;
	worker->client_count = 1;
	if (options->server_name != NULL)
		client->server_name = client->own_name = strdup(options->server_name);
	worker->library = tls_load_library(error);
	if (worker->library != NULL && client_context(worker, client, &tls, start, error) == 0)
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
	for (size_t i = 0; i < worker->server_count; i++) {
		SSL_CTX_free(worker->servers[i].contexts[TLS_START_UPGRADE]);
		SSL_CTX_free(worker->servers[i].contexts[TLS_START_DIRECT]);
	}
	for (size_t i = 0; i < worker->client_count; i++) {
		for (size_t j = 0; j < SESSIONS_KEPT; j++)
			SSL_SESSION_free(worker->clients[i].kept[j].session);
		SSL_CTX_free(worker->clients[i].context);
		free(worker->clients[i].own_name);
	}
	free(worker->servers);
	free(worker->clients);
	OSSL_LIB_CTX_free(worker->library);
	free(worker);
}

SSL *tls_server_new(struct tls_worker *worker, const struct tls_server_options *options)
{
	const struct server *server = &worker->servers[options->listener];
	SSL_CTX *context = server->contexts[options->start];
	int auth = options->client_auth != CLIENT_AUTH_INHERIT ? options->client_auth : server->client_auth;
	SSL *ssl = context != NULL ? SSL_new(context) : NULL;

	if (ssl == NULL)
		return NULL;
	if (SSL_set_session_id_context(ssl, server->policies[options->start][auth], sizeof(server->policies[0][0])) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_verify(ssl, verify_mode(auth), NULL);
	SSL_set_accept_state(ssl);
	return ssl;
}

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
	struct client *client = &worker->clients[peer];
	const char *name = client->server_name;
	SSL *ssl = client->context != NULL ? SSL_new(client->context) : NULL;
	SSL_SESSION *session;

	(void)start; /* a peer is always started in the one way that its security says */
	if (name == NULL && client->peer != NULL)
		name = client->peer->address.at[address].host;
	if (ssl == NULL || name == NULL || name[0] == '\0' || expect_name(ssl, name) != 0) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_app_data(ssl, (void *)(uintptr_t)address);
	session = take_session(client, address);
	if (session != NULL)
		(void)SSL_set_session(ssl, session);
	SSL_SESSION_free(session);
	SSL_set_connect_state(ssl);
	return ssl;
}

void tls_worker_log(const struct tls_worker *worker)
{
	struct logline line;
	struct tls_certificate facts;

	for (size_t i = 0; i < worker->server_count; i++) {
		SSL_CTX *context = worker->servers[i].contexts[TLS_START_UPGRADE];

		if (context == NULL || SSL_CTX_get0_certificate(context) == NULL)
			continue;
		tls_certificate_of(SSL_CTX_get0_certificate(context), &facts);
		log_begin(&line, MESSAGE_CERTIFICATE_IN_USE, NULL);
		log_text(&line, "subject", facts.subject);
		log_text(&line, "names", facts.names);
		log_text(&line, "serial", facts.serial);
		log_text(&line, "not_after", facts.not_after);
		log_format(&line, "days_left", "%d", facts.days_left);
		log_end(&line);
		if (facts.days_left < 30)
			log_say(MESSAGE_CONFIG_WARNING, "the certificate in use expires in %d days: renew it", facts.days_left);
		return;
	}
}
