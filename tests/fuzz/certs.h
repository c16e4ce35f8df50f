/* Certificates made at the start, and contexts for the other ends of a fuzzed session. */
#ifndef FUZZ_CERTS_H
#define FUZZ_CERTS_H

#include <openssl/ssl.h>

/* Who shows what. All have keys of Ed25519: their signatures always have the same length. */
enum cert { CERT_GATEWAY, CERT_PEER, CERT_CLIENT, CERT_OTHER_NAME, CERT_UNTRUSTED, CERT_NONE, CERTS };

/* Once. Writes ca.pem, gateway.pem and gateway.key into `folder`. */
void certs_make(const char *folder);

/* Borrowed; they live as long as the process. Neither verifies anything: whether the gateway is who it says is not the question. */
SSL_CTX *certs_context(enum cert cert, int is_server);

#endif
