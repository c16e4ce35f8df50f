/*
 * The one verdict on a TLS peer, and what is recorded of it. A relay can start only from VERDICT_ACCEPTED. Holds
 * for full and for resumed handshakes alike: chain, name and ALPN are looked at again every time.
 */
#ifndef TLSVERDICT_H
#define TLSVERDICT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "identity.h"
#include "policy.h"
#include "reason.h"
#include "tlscontext.h"

/* What is recorded of a certificate. */
struct tls_certificate {
	char subject[256];  /* RFC 2253 */
	char names[256];    /* SAN, comma separated: DNS:a,IP:b */
	char serial[64];    /* hex */
	char not_after[24]; /* 2026-11-24T08:00:00Z */
	int days_left;      /* negative: expired */
};

/* The serial number alone. */
void tls_serial_of(const X509 *certificate, char serial[64]);

void tls_certificate_of(const X509 *certificate, struct tls_certificate *facts);

/* What is known of a finished handshake; texts are terminated, cut where too long, and a stranger's: escape them. */
struct tls_facts {
	char version[8]; /* "1.3" */
	char suite[48];  /* IANA name */
	char group[24];  /* key exchange group */
	char alpn[24];   /* "" where none */
	bool resumed;
	bool has_peer;      /* a peer certificate was shown */
	char subject[256];  /* RFC 2253 */
	char names[256];    /* SAN, comma separated: DNS:a,IP:b */
	char serial[64];    /* hex */
	char not_after[24]; /* 2026-11-24T08:00:00Z */
	char verify[64];    /* "ok", "no certificate", or the library's words */
};

/* What this side insists on. */
struct tls_expectation {
	enum tls_start start;
	bool is_server;
	int client_auth; /* enum client_auth, server only */
	int confirm;     /* enum confirm_mode: with REQUIRE an upgrade without ALPN is refused */
	struct policy_question
	    question;              /* server only: to be decided again with the identity; .config NULL: nothing is due */
	struct decision *decision; /* into which; borrowed until the verdict */
};

struct verdict {
	enum reason reason; /* REASON_NONE: accepted */
	bool confirm;       /* ALPN cci-upgrade/1 was negotiated: both send CONFIRM */
	char detail[160];   /* words for the log where it was refused */
};

/* Judge the finished handshake on `ssl`. */
void tls_verdict(SSL *ssl, const struct tls_expectation *expectation, struct verdict *verdict);

/* The part of the verdict that is the rules': decide `question` with the identity that the certificate on `ssl` proves,
 * also of a resumed session. A refusal becomes the verdict's. tls_verdict calls it where a question is due; for an
 * OFFER inside TLS the session does. */
void tls_verdict_decide(SSL *ssl, const struct policy_question *question, struct decision *decision,
                        struct verdict *verdict);

/* Judge a handshake that failed: the most telling reason (certificate missing, untrusted, name, ALPN, no shared
 * version...) from the error queue and the verify result. */
void tls_verdict_failed(SSL *ssl, const struct tls_expectation *expectation, struct verdict *verdict);

/* The names that the peer's certificate proves: DNS, URI, email and IP of its subject alternative names, and the common
 * names of its subject. Verified only where the chain was checked and holds (also at a resumed session's first
 * handshake). */
void tls_identity_of(SSL *ssl, struct identity *identity);

void tls_facts_of(SSL *ssl, struct tls_facts *facts);

#endif
