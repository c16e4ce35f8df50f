/* Numbers and certificates of a TLS connection, segments of a TCP one. */
#include "event_tls.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct word {
	int nid;
	const char *word;
};

static const struct word keys[] = {
    {NID_rsaEncryption, "RSA"}, {NID_rsassaPss, "RSA-PSS"}, {NID_dsa, "DSA"},  {NID_X9_62_id_ecPublicKey, "EC"},
    {NID_ED25519, "ED25519"},   {NID_ED448, "ED448"},       {NID_undef, NULL},
};

/* The digest of PSS stands in the parameters: X509_get_signature_info knows them. */
static const struct word signatures[] = {
    {NID_rsaEncryption, "RSA"}, {NID_rsassaPss, "RSA-PSS"}, {NID_dsa, "DSA"},  {NID_X9_62_id_ecPublicKey, "ECDSA"},
    {NID_ED25519, "ED25519"},   {NID_ED448, "ED448"},       {NID_undef, NULL},
};

static const struct word digests[] = {
    {NID_sha1, "SHA1"},     {NID_sha224, "SHA224"}, {NID_sha256, "SHA256"},
    {NID_sha384, "SHA384"}, {NID_sha512, "SHA512"}, {NID_undef, NULL},
};

static const char *word_of(const struct word *words, int nid)
{
	while (words->word != NULL && words->nid != nid)
		words++;
	return words->word;
}

static void fill_certificate(struct event_certificate *to, X509 *certificate)
{
	const EVP_PKEY *key = X509_get0_pubkey(certificate);
	int digest = NID_undef, signature = NID_undef, bits = key != NULL ? EVP_PKEY_get_bits(key) : 0;
	BIO *memory = BIO_new(BIO_s_mem());
	int got = -1;

	tls_certificate_of(certificate, &to->facts);
	if (memory != NULL && X509_NAME_print_ex(memory, X509_get_issuer_name(certificate), 0, XN_FLAG_RFC2253) >= 0)
		got = BIO_read(memory, to->issuer, (int)sizeof(to->issuer) - 1);
	to->issuer[got > 0 ? got : 0] = '\0';
	BIO_free(memory);
	(void)X509_get_signature_info(certificate, &digest, &signature, NULL, NULL);
	to->certificate = (struct cci_certificate){
	    .size = sizeof(to->certificate),
	    .key_bits = bits > 0 ? (uint32_t)bits : 0,
	    .subject = to->facts.subject,
	    .issuer = to->issuer,
	    .names = to->facts.names,
	    .serial = to->facts.serial,
	    .not_after = to->facts.not_after,
	    .key = key != NULL ? word_of(keys, EVP_PKEY_get_base_id(key)) : NULL,
	    .signature = word_of(signatures, signature),
	    .digest = signature == NID_ED25519 || signature == NID_ED448 ? "" : word_of(digests, digest),
	};
}

/* --- our own certificate: what is said of it never changes, and each worker has a copy of its own --- */

static int kept_index = -1;
static pthread_once_t kept_once = PTHREAD_ONCE_INIT;

static void free_kept(void *parent, void *kept, CRYPTO_EX_DATA *data, int index, long argument, void *more)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)argument;
	(void)more;
	free(kept);
}

static void make_index(void)
{
	kept_index = X509_get_ex_new_index(0, NULL, NULL, NULL, free_kept);
}

/* NULL without memory. */
static const struct event_certificate *kept_of(X509 *certificate)
{
	struct event_certificate *kept;

	(void)pthread_once(&kept_once, make_index);
	kept = kept_index >= 0 ? X509_get_ex_data(certificate, kept_index) : NULL;
	if (kept != NULL || kept_index < 0)
		return kept;
	kept = malloc(sizeof(*kept));
	if (kept == NULL)
		return NULL;
	fill_certificate(kept, certificate);
	if (X509_set_ex_data(certificate, kept_index, kept) == 1)
		return kept;
	free(kept);
	return NULL;
}

/* Of what a client has, it may have been asked for nothing. */
X509 *event_tls_own(SSL *ssl)
{
	int nid = NID_undef;

	if (!SSL_is_server(ssl) && (SSL_get_signature_type_nid(ssl, &nid) != 1 || nid == NID_undef))
		return NULL;
	return SSL_get_certificate(ssl);
}

static void fill_numbers(struct cci_event *event, SSL *ssl)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	const SSL_SESSION *session = SSL_get0_session(ssl);
	const unsigned char *id = NULL;
	unsigned size = 0;

	event->tls_version_number = (uint16_t)SSL_version(ssl);
	event->tls_suite_number = cipher != NULL ? SSL_CIPHER_get_protocol_id(cipher) : 0;
	if (session != NULL)
		id = SSL_SESSION_get_id(session, &size);
	if (id == NULL || size > sizeof(event->tls_session_id))
		return;
	event->tls_session_id_size = (uint8_t)size;
	memcpy(event->tls_session_id, id, size);
}

void event_tls_fill(struct cci_event *event, SSL *ssl, struct event_certificate *said)
{
	X509 *own = event_tls_own(ssl), *peer = SSL_get0_peer_certificate(ssl);
	const struct event_certificate *kept = own != NULL ? kept_of(own) : NULL;

	fill_numbers(event, ssl);
	if (kept != NULL)
		event->own_certificate = &kept->certificate;
	if (peer != NULL) {
		fill_certificate(said, peer);
		event->peer_certificate = &said->certificate;
	}
	ERR_clear_error();
}

void event_tcp_fill(struct cci_event *event)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	memset(&info, 0, sizeof(info));
	if (event->fd < 0 || getsockopt(event->fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
		return;
	/* An older kernel writes less, and the rest stays 0. */
	event->segments_in = info.tcpi_segs_in;
	event->segments_out = info.tcpi_segs_out;
}
