/*
 * An independent client and service for scenarios: the protocol written down a second time from its document, OpenSSL
 * used directly, blocking sockets with timeouts. Shares no code with the programs.
 */
#ifndef PEER_H
#define PEER_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A listening TCP socket on a free port of 127.0.0.1. */
int peer_listen(int *port);

/* Connected to 127.0.0.1:port, or -1; reads and writes give up after 10 seconds. */
int peer_connect(int port);

/* The same from this IPv4 address. */
int peer_connect_from(const char *source, int port);

/* Connected to a unix socket, or -1. */
int peer_connect_unix(const char *path);

/* The same to [::1]:port. */
int peer_connect_v6(int port);

/* Accept one, as peer_connect would. */
int peer_accept(int listening);

/* An OFFER: security 0 to 4, sysid, target (NULL: none), in UTF-8 (cpu 1) or EBCDIC (cpu 2). Its length. */
size_t peer_offer(uint8_t *bytes, int cpu, int security, const char *sysid, const char *target);

/* Append a parameter to a message and correct its length. */
size_t peer_add(uint8_t *bytes, size_t size, unsigned id, const void *value, size_t value_size);

/* Receive one message; its length, 0 at an end before a byte, -1 on errors. Over TLS where ssl is not NULL. */
int peer_receive(int fd, SSL *ssl, uint8_t *bytes);

/* Type and reason of a message. */
int peer_type(const uint8_t *bytes);
int peer_reason(const uint8_t *bytes);

/* The answer's security value (parameter 1), or -1. */
int peer_answer(const uint8_t *bytes, int size);

/* Send an OFFER, receive the answer into `answer` (4096 bytes). Its length or -1. */
int peer_exchange(int fd, SSL *ssl, const uint8_t *offer, size_t size, uint8_t *answer);

struct peer_tls {
	const char *alpn;        /* NULL: none */
	const char *ca;          /* NULL: verify nothing */
	const char *certificate; /* with key; NULL: none */
	const char *key;
	int max_version;         /* 0: the newest */
	SSL_SESSION *session;    /* to resume; NULL: none */
	const char *server_name; /* asked for (SNI); NULL: none */
	const char *sigalgs;     /* signature algorithms; NULL: the library's */
	bool status;             /* ask for an OCSP response */
};

/* A TLS client on `fd`; NULL when the handshake fails. */
SSL *peer_tls_client(int fd, const struct peer_tls *tls);

/* A TLS server on `fd` with this certificate and ALPN name. */
SSL *peer_tls_server(int fd, const char *certificate, const char *key, const char *alpn);

/* The authority that has signed the certificates of build/test-certs. */
#define PEER_CA "build/test-certs/ca.pem"

/* Offer 0 to 3 as `sysid` on `fd` (-1: nothing is done), and upgrade to TLS, verified by PEER_CA, where the ACCEPT says so. *ssl
 * is NULL in the clear. False where the gateway refuses or ends it: *ssl is NULL. */
bool peer_open(int fd, int security, const char *sysid, SSL **ssl);

/* The same for a connection that starts with TLS, by these wishes, up to the ACCEPT inside; NULL where one of them fails. */
SSL *peer_open_direct(int fd, const struct peer_tls *tls);

/* Is what is written, here some words, what comes back? */
bool peer_echoes(int fd, SSL *ssl);

/* Say that nothing more comes: does the other side end in order then? */
bool peer_closes(int fd, SSL *ssl);

/* The clear messages of a connection. */
struct peer_clear {
	const uint8_t *offer;
	size_t offer_size;
	const uint8_t *accept;
	size_t accept_size;
};

/* CONFIRM for this connection: `role` is "client" or "server". Its length. */
size_t peer_confirm(uint8_t *bytes, SSL *ssl, const char *role, const struct peer_clear *clear);

/* Send CONFIRM as a client, and check the server's. */
bool peer_confirm_both(SSL *ssl, const uint8_t *offer, size_t offer_size, const uint8_t *accept, size_t accept_size);

/* Write all; read exactly `size`. */
bool peer_write(int fd, SSL *ssl, const void *bytes, size_t size);
bool peer_read(int fd, SSL *ssl, void *bytes, size_t size);

/* Does the stream end in order now (FIN, close_notify)? */
bool peer_ends(int fd, SSL *ssl);

void peer_free(int fd, SSL *ssl);

#endif
