/* The accepting side's contexts: ALPN, which certificate is shown, what is stapled to it, what a session is bound to.
 */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "tlscontext_load.h"
#include "tlsworker.h"

/* --- ALPN --- */

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

/* --- certificates --- */

/* Of those that fit, one of each type of key is chosen: the first. */
static void choose(const struct tls_server *server, const bool *fits, bool *chosen)
{
	for (size_t i = 0; i < server->credential_count; i++) {
		chosen[i] = fits[i];
		for (size_t j = 0; j < i && chosen[i]; j++)
			chosen[i] = !chosen[j] || !tls_credential_same_type(server->credentials[i], server->credentials[j]);
	}
}

/* What is shown without a known name: the first, and beside it those with another type of key and a name in common.
 * Which of them, OpenSSL decides by the client's signature algorithms. */
static int use_default(SSL_CTX *context, struct tls_server *server, struct error *error)
{
	bool fits[TLS_CREDENTIALS_MOST];

	for (size_t i = 0; i < server->credential_count; i++)
		fits[i] = i == 0 || tls_credential_shares_name(server->credentials[0], server->credentials[i]);
	choose(server, fits, server->defaults);
	for (size_t i = 0; i < server->credential_count; i++)
		if (server->defaults[i] && tls_credential_use(context, server->credentials[i], error) != 0)
			return -1;
	return 0;
}

/* Where SNI names a certificate, those that are for this name take the place of the default. */
static int choose_certificate(SSL *ssl, void *context)
{
	const struct tls_server *server = context;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	bool fits[TLS_CREDENTIALS_MOST], chosen[TLS_CREDENTIALS_MOST], any = false;

	for (size_t i = 0; name != NULL && i < server->credential_count; i++) {
		fits[i] = tls_credential_is_for(server->credentials[i], name);
		any = any || fits[i];
	}
	ERR_clear_error();
	if (!any)
		return 1;
	choose(server, fits, chosen);
	if (memcmp(chosen, server->defaults, server->credential_count * sizeof(chosen[0])) == 0)
		return 1;
	SSL_certs_clear(ssl);
	for (size_t i = 0; i < server->credential_count; i++)
		if (chosen[i] && tls_credential_use_once(ssl, server->credentials[i]) != 0)
			return 0;
	return 1;
}

/* Staple the response of the certificate that is shown, while it is valid. */
static int staple(SSL *ssl, void *context)
{
	const struct tls_server *server = context;
	const X509 *shown = SSL_get_certificate(ssl);
	const struct tls_credential *credential = NULL;
	uint8_t *copy;

	for (size_t i = 0; i < server->credential_count && credential == NULL; i++)
		if (server->credentials[i]->certificate == shown)
			credential = server->credentials[i];
	if (credential == NULL || credential->ocsp == NULL ||
	    (credential->ocsp_until != 0 && credential->ocsp_until <= tls_now()))
		return SSL_TLSEXT_ERR_NOACK;
	copy = OPENSSL_memdup(credential->ocsp, credential->ocsp_size);
	if (copy == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)credential->ocsp_size);
	return SSL_TLSEXT_ERR_OK;
}

/* --- sessions --- */

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

/* The reverse: what this one connection asks for. */
static int auth_of(const SSL *ssl)
{
	int mode = SSL_get_verify_mode(ssl);

	if ((mode & SSL_VERIFY_PEER) == 0)
		return CLIENT_AUTH_NO;
	return (mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) != 0 ? CLIENT_AUTH_REQUIRE : CLIENT_AUTH_REQUEST;
}

static int answer_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                         int seal)
{
	const struct tls_acceptor *acceptor = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	int auth = auth_of(ssl);

	/* A full handshake then, in which nobody passes lists that have expired. */
	if (!seal && auth != CLIENT_AUTH_NO && !tls_trust_is_current(acceptor->owner.worker->trust))
		return 0;
	return tls_ticket_answer(acceptor->tickets[auth],
	                         &(struct tls_ticket_request){.name = name,
	                                                      .iv = iv,
	                                                      .cipher = cipher,
	                                                      .mac = mac,
	                                                      .seal = seal,
	                                                      .single_use = SSL_version(ssl) == TLS1_3_VERSION});
}

/* What a session is bound to: one made under another policy is not taken, and its ticket not even opened. Nothing of it
 * is known to this process alone, so that machines with the same settings and the same ticket keys take each other's.
 */
static int policy_digest(const struct tls_worker *worker, const struct tls_server *server, const char *words,
                         uint8_t digest[32])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned size = 0;
	int done = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
	           EVP_DigestUpdate(context, words, strlen(words)) == 1;

	if (worker->trust != NULL)
		done = done && EVP_DigestUpdate(context, worker->trust->digest, sizeof(worker->trust->digest)) == 1;
	for (size_t i = 0; i < server->credential_count; i++)
		done = done && EVP_DigestUpdate(context, server->credentials[i]->digest, 32) == 1;
	done = done && EVP_DigestFinal_ex(context, digest, &size) == 1;
	EVP_MD_CTX_free(context);
	return done ? 0 : -1;
}

static int make_policies(struct tls_acceptor *acceptor, const struct config *config,
                         const struct config_listener *listener, enum tls_start start, struct error *error)
{
	struct tls_worker *worker = acceptor->owner.worker;

	for (int auth = CLIENT_AUTH_NO; auth < TLS_AUTHS; auth++) {
		char words[256];
		struct text text;

		text_init(&text, words, sizeof(words));
		text_printf(&text, "%s|%s|%d|%d|%d|%d|", config->gateway.sysid, listener->place.name, (int)start, auth,
		            config->tls.min_version, listener->unsecured);
		if (policy_digest(worker, acceptor->server, words, acceptor->policies[auth]) != 0)
			return error_set(error, "cannot derive a ticket key: not enough memory");
		if (worker->tickets == NULL)
			continue;
		acceptor->tickets[auth] = tls_ticket_policy_new(worker->tickets, acceptor->policies[auth]);
		if (acceptor->tickets[auth] == NULL)
			return error_set(error, "not enough memory");
	}
	return 0;
}

static int set_sessions(SSL_CTX *context, const struct tls_worker *worker, struct error *error)
{
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	if (worker->tickets == NULL) {
		SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
		(void)SSL_CTX_set_num_tickets(context, 0);
		return 0;
	}
	if (SSL_CTX_set_tlsext_ticket_key_evp_cb(context, answer_ticket) != 1 || SSL_CTX_set_num_tickets(context, 1) != 1)
		return tls_error(error, "cannot set a ticket key");
	return 0;
}

/* --- contexts --- */

/* Also where the listener asks for no certificate: a rule may. */
static int set_trust(SSL_CTX *context, const struct tls_trust *trust, struct error *error)
{
	STACK_OF(X509_NAME) *names = SSL_dup_CA_list(trust->names);

	if (names == NULL)
		return tls_error(error, "cannot name the authorities to clients");
	tls_trust_use(context, trust);
	SSL_CTX_set_client_CA_list(context, names);
	return 0;
}

static int fill_context(SSL_CTX *context, struct tls_server *server, const struct config_tls *tls, enum tls_start start,
                        struct error *error)
{
	static const enum tls_start starts[] = {TLS_START_UPGRADE, TLS_START_DIRECT};
	const struct tls_acceptor *acceptor = &server->starts[start];
	const struct tls_worker *worker = acceptor->owner.worker;

	/* The callbacks' arguments are only read. */
	if (SSL_CTX_set_app_data(context, (void *)(uintptr_t)acceptor) != 1)
		return tls_error(error, "cannot make a TLS context");
	if (tls_worker_set(worker, context, tls, error) != 0 || use_default(context, server, error) != 0 ||
	    set_sessions(context, worker, error) != 0)
		return -1;
	if (worker->trust != NULL && set_trust(context, worker->trust, error) != 0)
		return -1;
	if (server->credential_count > 1)
		SSL_CTX_set_cert_cb(context, choose_certificate, (void *)(uintptr_t)server);
	SSL_CTX_set_tlsext_status_cb(context, staple);
	SSL_CTX_set_tlsext_status_arg(context, (void *)(uintptr_t)server);
	SSL_CTX_set_alpn_select_cb(context, select_alpn, (void *)(uintptr_t)&starts[start]);
	if (start == TLS_START_DIRECT || tls->confirm == CONFIRM_REQUIRE)
		SSL_CTX_set_client_hello_cb(context, require_alpn, NULL);
	return 0;
}

/* Each certificate has to work with a client of our kind; where old clients are taken, one of them with such a client.
 */
static int rehearse(const struct tls_worker *worker, const struct tls_server *server, const struct config *config,
                    enum tls_start start, struct error *error)
{
	struct tls_rehearsal rehearsal = {.server = server->starts[start].context,
	                                  .library = worker->library,
	                                  .tls = &config->tls,
	                                  .start = start,
	                                  .highest = TLS1_3_VERSION};
	bool works = config->tls.min_version > TLS1_2_VERSION || server->credential_count == 0;

	for (size_t i = 0; i < server->credential_count; i++)
		if (tls_rehearse(&rehearsal, server->credentials[i], error) != 0)
			return -1;
	rehearsal.highest = TLS1_2_VERSION;
	for (size_t i = 0; i < server->credential_count && !works; i++)
		works = tls_rehearse(&rehearsal, server->credentials[i], error) == 0;
	if (works)
		return 0;
	error_set(error,
	          "[tls] min_version = 1.2, but no client of TLS 1.2 can connect: look at ciphers, groups and sigalgs, or "
	          "set min_version = 1.3");
	return error_at(error, "tls", NULL,
	                config->tls.ciphers != NULL   ? "ciphers"
	                : config->tls.groups != NULL  ? "groups"
	                : config->tls.sigalgs != NULL ? "sigalgs"
	                                              : "min_version");
}

static int make_acceptor(struct tls_worker *worker, struct tls_server *server, const struct config *config,
                         const struct config_listener *listener, enum tls_start start, struct error *error)
{
	struct tls_acceptor *acceptor = &server->starts[start];

	acceptor->owner.worker = worker;
	acceptor->server = server;
	if (make_policies(acceptor, config, listener, start, error) != 0)
		return -1;
	acceptor->context = SSL_CTX_new_ex(worker->library, NULL, TLS_server_method());
	if (acceptor->context == NULL)
		return tls_error(error, "cannot make a TLS context");
	if (fill_context(acceptor->context, server, &config->tls, start, error) != 0)
		return -1;
	return rehearse(worker, server, config, start, error);
}

static const struct tls_credential *credential_named(const struct tls_worker *worker, const char *name)
{
	for (size_t i = 0; i < worker->credential_count; i++) {
		const char *own = worker->credentials[i]->files.place.name;

		if (own != NULL && name_equal(own, name))
			return worker->credentials[i];
	}
	return NULL;
}

static int list_credentials(const struct tls_worker *worker, struct tls_server *server,
                            const struct config_listener *listener, struct error *error)
{
	const struct text_list *names = &listener->certificates;
	size_t count = names->count > 0 ? names->count : worker->credential_count;

	if (count > TLS_CREDENTIALS_MOST)
		return error_set(error, "more than %d certificates", TLS_CREDENTIALS_MOST);
	server->credentials = calloc(count + 1, sizeof(*server->credentials));
	if (server->credentials == NULL)
		return error_set(error, "not enough memory");
	for (size_t i = 0; i < count; i++) {
		const struct tls_credential *credential =
		    names->count > 0 ? credential_named(worker, names->at[i]) : worker->credentials[i];

		if (credential != NULL)
			server->credentials[server->credential_count++] = credential;
	}
	return 0;
}

static int make_server(struct tls_worker *worker, struct tls_server *server, const struct config *config,
                       const struct config_listener *listener, struct error *error)
{
	server->client_auth = listener->client_auth != CLIENT_AUTH_INHERIT ? listener->client_auth : CLIENT_AUTH_NO;
	if (listener->exchange != EXCHANGE_CCI)
		return 0;
	if (list_credentials(worker, server, listener, error) != 0)
		return -1;
	for (int start = 0; server->credential_count > 0 && start < 2; start++)
		if (make_acceptor(worker, server, config, listener, (enum tls_start)start, error) != 0)
			return -1;
	return 0;
}

int tls_servers_make(struct tls_worker *worker, const struct config *config, struct error *error)
{
	worker->servers = calloc(config->listener_count + 1, sizeof(*worker->servers));
	if (worker->servers == NULL)
		return error_set(error, "not enough memory");
	worker->server_count = config->listener_count;
	for (size_t i = 0; i < config->listener_count; i++)
		if (make_server(worker, &worker->servers[i], config, &config->listeners[i], error) != 0)
			return error_prefix(error, "[listener %s]", config->listeners[i].place.name);
	return 0;
}

void tls_servers_free(struct tls_worker *worker)
{
	for (size_t i = 0; i < worker->server_count; i++) {
		struct tls_server *server = &worker->servers[i];

		for (int start = 0; start < 2; start++) {
			SSL_CTX_free(server->starts[start].context);
			for (int auth = 0; auth < TLS_AUTHS; auth++)
				tls_ticket_policy_free(server->starts[start].tickets[auth]);
		}
		free(server->credentials);
	}
	free(worker->servers);
}

SSL *tls_server_new(struct tls_worker *worker, const struct tls_server_options *options)
{
	const struct tls_server *server = &worker->servers[options->listener];
	const struct tls_acceptor *acceptor = &server->starts[options->start];
	int auth = options->client_auth != CLIENT_AUTH_INHERIT ? options->client_auth : server->client_auth;
	SSL *ssl = acceptor->context != NULL ? SSL_new(acceptor->context) : NULL;

	if (ssl == NULL)
		return NULL;
	if (SSL_set_session_id_context(ssl, acceptor->policies[auth], sizeof(acceptor->policies[auth])) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_verify(ssl, verify_mode(auth), NULL);
	SSL_set_accept_state(ssl);
	return ssl;
}
