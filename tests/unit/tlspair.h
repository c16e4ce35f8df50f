/* Certificates made in memory, plain contexts that show them, and handshakes in memory, for tests of TLS. */
#ifndef TEST_TLSPAIR_H
#define TEST_TLSPAIR_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

struct party {
	X509 *certificate;
	EVP_PKEY *key;
};

struct party_wish {
	const char *common_name;
	const char *names;   /* subjectAltName as openssl.cnf writes it; NULL: none */
	const char *usage;   /* extendedKeyUsage; NULL: none */
	const char *raw_dns; /* one DNS name more, of `raw_size` bytes that may be anything */
	size_t raw_size;
	long from_s, until_s;          /* from now on; both 0: from an hour ago for 90 days */
	const struct party *issuer; /* NULL: an authority, signed by itself */
};

/* Owned by the caller. A fault of the library ends the test. */
void party_make(struct party *identity, const struct party_wish *wish);
void party_close(struct party *identity);

/* As PEM; the key's file is for its owner alone. NULL: not that one. */
void identity_write(const struct party *identity, const char *certificate, const char *key);

/* FOLDER/NAME, in one of eight buffers. */
const char *path_in(const char *folder, const char *name);

/* A context that shows `own` (NULL: nothing) and verifies against `authority` (NULL: verifies nothing). TLS 1.2
 * and 1.3. */
SSL_CTX *plain_context(bool is_server, const struct party *own, const struct party *authority);

/* A TLS side on the socket `fd`; -1: on none yet. */
SSL *plain_on_socket(SSL_CTX *context, bool is_server, int fd);

struct meeting {
	SSL *client, *server; /* owned */
};

enum met { MET_BOTH, MET_CLIENT_FAILED, MET_SERVER_FAILED };

/* Join both (which it owns from now on) in memory. */
void meeting_open(struct meeting *meeting, SSL *client, SSL *server);

/* Shake hands until both are done or one has failed; its errors are in the thread's queue then. */
enum met meeting_run(struct meeting *meeting);
void meeting_close(struct meeting *meeting);

#endif
