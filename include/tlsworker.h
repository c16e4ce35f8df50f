/* What tlscontext.c (workers, the connecting side) and tlsserver.c (the accepting side) share. Nobody else includes it.
 */
#ifndef TLSWORKER_H
#define TLSWORKER_H

#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <stdint.h>

#include "compiler.h"
#include "config.h"
#include "text.h"
#include "tlscontext.h"
#include "tlscredential.h"
#include "tlstickets.h"
#include "tlstrust.h"

#define TLS_CREDENTIALS_MOST (CONFIG_CERTIFICATES_MOST + 1)
#define TLS_AUTHS (CLIENT_AUTH_REQUIRE + 1) /* by enum client_auth */

/* First in whatever is the application data of an SSL_CTX. */
struct tls_owner {
	struct tls_worker *worker;
};

/* One way of starting on one listener. */
struct tls_acceptor {
	struct tls_owner owner;
	SSL_CTX *context; /* NULL: it never comes to TLS */
	const struct tls_server *server;
	uint8_t policies[TLS_AUTHS][32]; /* what a session is bound to: also its session id context */
	struct tls_ticket_policy *tickets[TLS_AUTHS];
};

/* A listener. */
struct tls_server {
	struct tls_acceptor starts[2]; /* by enum tls_start */
	const struct tls_credential **credentials; /* owned list of borrowed ones; the first is the default */
	size_t credential_count;
	bool defaults[TLS_CREDENTIALS_MOST]; /* which of them are shown without a known name */
	int client_auth;
};

struct tls_client;

struct tls_worker {
	OSSL_LIB_CTX *library;
	OSSL_PROVIDER *keys; /* keyprovider.h; NULL: the keys are here */
	int key_log; /* descriptor; -1: none */
	struct tls_credential **credentials; /* that of [tls] first, where it has one; then each [certificate] */
	size_t credential_count;
	struct tls_credential *own;  /* that of [tls], borrowed from the list; NULL: none */
	struct tls_trust *trust;     /* of [tls]; NULL: no ca there */
	struct tls_tickets *tickets; /* NULL: no resumption */
	struct tls_server *servers;
	size_t server_count;
	struct tls_client *clients;
	size_t client_count;
};

/* Fill in worker->servers: a context for each listener that exchanges and has a certificate, and each way of starting.
 * All else in `worker` is there. 0 or -1 with `error`; tls_servers_free in both cases. */
int tls_servers_make(struct tls_worker *worker, const struct config *config, struct error *error) MUST_CHECK;
void tls_servers_free(struct tls_worker *worker);

/* The settings of all contexts of `worker`: tls_load_settings, and the key log. 0 or -1 with `error`. */
int tls_worker_set(const struct tls_worker *worker, SSL_CTX *context, const struct config_tls *tls,
                   struct error *error) MUST_CHECK;

#endif
