/*
 * TLS settings of one snapshot, once for each worker: an OSSL_LIB_CTX of its own and the SSL_CTXs made in it. Built
 * by the main thread, used by one worker, freed when the last session that uses the snapshot is gone. Knows the
 * configuration, no socket.
 */
#ifndef TLSCONTEXT_H
#define TLSCONTEXT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "compiler.h"
#include "config.h"
#include "text.h"

/* ALPN names: after a clear exchange (protocol, section 4), and from the first byte (section 6). */
#define TLS_ALPN_UPGRADE "cci-upgrade/1"
#define TLS_ALPN_DIRECT "cci/1"

/* How a connection came to its handshake. */
enum tls_start { TLS_START_UPGRADE, TLS_START_DIRECT };

/* AEAD suites only, unless the configuration says otherwise. */
#define DEFAULT_CIPHERS                                                                                           \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"                        \
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define DEFAULT_CIPHERSUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define DEFAULT_GROUPS "X25519:P-256:P-384"

struct tls_worker;

/* Make the first ticket key in memory: the same for all workers and across reloads, so that a ticket from one worker is
 * taken by another. 0 or -1 with `error`. */
int tls_init(struct error *error) MUST_CHECK;

/* Make a new ticket key in memory; the one before still opens tickets. Main thread only. 0 or -1 with `error`. */
int tls_rotate(struct error *error) MUST_CHECK;

/* All contexts of one worker for `config` (borrowed: must outlive the result): for each listener two server contexts
 * (upgrade and direct), for each peer a client context. Reads certificate, key, CA, CRL, OCSP and ticket key files;
 * every fault names section, key, file and remedy (and struct error the place). Rehearses a handshake in memory between
 * each server context and a client with each certificate, so that a key that does not fit, or suites that cannot work,
 * are found here. A client is shown the certificate whose name it asks for (SNI), or the listener's first. NULL with
 * `error`. Reads openssl.cnf of the system into the library context, so that the site's policy holds. Main thread only.
 */
struct tls_worker *tls_worker_new(const struct config *config, struct error *error) MUST_CHECK;
void tls_worker_free(struct tls_worker *worker);

/* What the accepting side of a connection is to be. */
struct tls_server_options {
	size_t listener; /* its number */
	enum tls_start start;
	int client_auth; /* enum client_auth: what this handshake asks for; INHERIT: as the listener says */
};

/* A new SSL for the accepting side of a connection, or for the connecting side to peer number `peer` (its address being
 * number `address` of the peer: its host is what the certificate must say where server_name is not set). The SSL is set
 * to accept or connect state, with ALPN, verification and (peer) a session to resume; owned by the caller. Sessions are
 * bound to what the handshake asked for: one made without a certificate is not resumed where one is required. NULL
 * without memory, or (server) where the listener has no TLS. */
SSL *tls_server_new(struct tls_worker *worker, const struct tls_server_options *options) MUST_CHECK;
SSL *tls_client_new(struct tls_worker *worker, size_t peer, size_t address, enum tls_start start) MUST_CHECK;

/* The calling thread will use `worker` no more: release what OpenSSL keeps for the thread in its library context. Has
 * to be called by each thread that used it, before anybody frees it (OPENSSL_thread_stop_ex(3)). */
void tls_worker_leave(struct tls_worker *worker);

/* Settings of a connecting side outside of a configuration (the command line). NULL members: not set. */
struct tls_client_options {
	const char *ca, *certificate, *private_key, *server_name;
	int min_version; /* 0: 0x0303 */
};

/* A tls_worker with exactly one peer, number 0, from options, that starts in the one way given. Without `ca` the
 * system's store is used. */
struct tls_worker *tls_worker_new_client(const struct tls_client_options *options, enum tls_start start,
                                         struct error *error) MUST_CHECK;

/* Log what of our own is in use: each certificate with subject, names, serial and days left
 * (MESSAGE_CERTIFICATE_IN_USE), and a warning where secrets are written to a file. */
void tls_worker_log(const struct tls_worker *worker);

/* Warn of what will refuse everybody, though each file is right by itself: revocation lists of other authorities. */
void tls_worker_warn(const struct tls_worker *worker);

/* A certificate that this side shows; all borrowed from the worker. */
struct tls_shown {
	const X509 *certificate;
	const char *file;
	const char *name; /* of [certificate NAME]; NULL: that of [tls] */
};

/* Number `number`, from 0. False: there are not so many. */
bool tls_worker_shown(const struct tls_worker *worker, size_t number, struct tls_shown *shown) MUST_CHECK;

/* Something that expires; all borrowed for the time of the call. */
struct tls_expiry {
	const char *setting; /* "[tls] crl" */
	const char *file;
	time_t until;       /* seconds since 1970 */
	time_t from;        /* the same, of what lives shortly by its nature; 0: of what does not */
	const char *effect; /* what follows, in words */
};
typedef void tls_expiry_seen(void *context, const struct tls_expiry *expiry);

/* Tell of all certificates, revocation lists and OCSP responses in use, before the return. */
void tls_worker_expiries(const struct tls_worker *worker, tls_expiry_seen *seen, void *context);

#endif
