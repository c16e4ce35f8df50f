/* What an event says of TLS in numbers and certificates, and of TCP; asked of the connection when it is told. */
#ifndef EVENT_TLS_H
#define EVENT_TLS_H

#include <openssl/ssl.h>

#include "cci/notifier.h"
#include "tlsverdict.h"

/* Texts that an event borrows. */
struct event_certificate {
	struct cci_certificate certificate;
	struct tls_certificate facts;
	char issuer[256];
};

/* Fill in what follows a handshake that is done: tls_version_number to peer_certificate. `said` holds the peer's, and
 * has to live as long as the event; our own is decoded once for each worker, whose thread this has to be, and kept
 * beside its X509. Encrypt-then-MAC stays 0: OpenSSL does not tell. A client's own certificate is there only where it
 * proved that it has it, so not where a session was resumed. */
void event_tls_fill(struct cci_event *event, SSL *ssl, struct event_certificate *said);

/* The certificate that this side has proved to have; borrowed; NULL: none. */
X509 *event_tls_own(SSL *ssl);

/* Fill in the segments, where the descriptor is a TCP socket's. */
void event_tcp_fill(struct cci_event *event);

#endif
