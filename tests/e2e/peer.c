/* The protocol a second time, for scenarios. */
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static void set_timeouts(int fd)
{
	struct timeval ten = {10, 0};
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &ten, sizeof(ten));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &ten, sizeof(ten));
}

static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

int peer_listen(int *port)
{
	struct sockaddr_in address = loopback(0);
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 64) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) != 0)
		return -1;
	set_timeouts(fd);
	*port = ntohs(address.sin_port);
	return fd;
}

int peer_connect(int port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		close(fd);
		return -1;
	}
	set_timeouts(fd);
	return fd;
}

int peer_connect_from(const char *source, int port)
{
	struct sockaddr_in from = {.sin_family = AF_INET}, address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && (inet_pton(AF_INET, source, &from.sin_addr) != 1 ||
	                bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
	                connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)) {
		close(fd);
		return -1;
	}
	set_timeouts(fd);
	return fd;
}

int peer_connect_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		close(fd);
		return -1;
	}
	set_timeouts(fd);
	return fd;
}

int peer_connect_v6(int port)
{
	struct sockaddr_in6 address = {
	    .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		close(fd);
		return -1;
	}
	set_timeouts(fd);
	return fd;
}

int peer_accept(int listening)
{
	int fd = accept(listening, NULL, NULL);

	if (fd >= 0)
		set_timeouts(fd);
	return fd;
}

static uint8_t ebcdic(char c)
{
	static const char from[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789*_-.";
	static const uint8_t to[] = {0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5,
	                             0xd6, 0xd7, 0xd8, 0xd9, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xf0, 0xf1,
	                             0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0x5c, 0x6d, 0x60, 0x4b};
	const char *at = strchr(from, c);

	return at != NULL ? to[at - from] : 0x6f;
}

size_t peer_add(uint8_t *bytes, size_t size, unsigned id, const void *value, size_t value_size)
{
	bytes[size] = (uint8_t)(id >> 8);
	bytes[size + 1] = (uint8_t)id;
	bytes[size + 2] = (uint8_t)(value_size >> 8);
	bytes[size + 3] = (uint8_t)value_size;
	memcpy(bytes + size + 4, value, value_size);
	size += 4 + value_size;
	bytes[8] = (uint8_t)(size >> 8);
	bytes[9] = (uint8_t)size;
	return size;
}

static size_t add_text(uint8_t *bytes, size_t size, unsigned id, const char *text)
{
	uint8_t converted[64];
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++)
		converted[i] = bytes[6] == 2 ? ebcdic(text[i]) : (uint8_t)text[i];
	return peer_add(bytes, size, id, converted, length);
}

size_t peer_offer(uint8_t *bytes, int cpu, int security, const char *sysid, const char *target)
{
	static const uint8_t head[16] = {0x43, 0x43, 0x49, 0x50, 1, 1, 1, 0, 0, 16, 0, 0, 0, 0, 0x10, 0};
	uint8_t value = (uint8_t)security;
	size_t size = 16;

	memcpy(bytes, head, 16);
	bytes[6] = (uint8_t)cpu;
	size = peer_add(bytes, size, 1, &value, 1);
	size = add_text(bytes, size, 2, sysid);
	return target != NULL ? add_text(bytes, size, 3, target) : size;
}

bool peer_write(int fd, SSL *ssl, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	while (size > 0) {
		int most = size > 100000 ? 100000 : (int)size;
		ssize_t went = ssl != NULL ? SSL_write(ssl, at, most) : send(fd, at, (size_t)most, MSG_NOSIGNAL);

		if (went <= 0)
			return false;
		at += went;
		size -= (size_t)went;
	}
	return true;
}

bool peer_read(int fd, SSL *ssl, void *bytes, size_t size)
{
	uint8_t *at = bytes;

	while (size > 0) {
		int most = size > 100000 ? 100000 : (int)size;
		ssize_t came = ssl != NULL ? SSL_read(ssl, at, most) : recv(fd, at, (size_t)most, 0);

		if (came <= 0)
			return false;
		at += came;
		size -= (size_t)came;
	}
	return true;
}

int peer_receive(int fd, SSL *ssl, uint8_t *bytes)
{
	size_t size;

	if (!peer_read(fd, ssl, bytes, 1))
		return 0;
	if (!peer_read(fd, ssl, bytes + 1, 15))
		return -1;
	size = (size_t)bytes[8] << 8 | bytes[9];
	if (memcmp(bytes, "\x43\x43\x49\x50\x01", 5) != 0 || size < 16 || size > 4096)
		return -1;
	return peer_read(fd, ssl, bytes + 16, size - 16) ? (int)size : -1;
}

int peer_type(const uint8_t *bytes)
{
	return bytes[5];
}

int peer_reason(const uint8_t *bytes)
{
	return bytes[10] << 8 | bytes[11];
}

int peer_answer(const uint8_t *bytes, int size)
{
	for (int at = 16; at + 4 <= size; at += 4 + (bytes[at + 2] << 8 | bytes[at + 3]))
		if (bytes[at] == 0 && bytes[at + 1] == 1)
			return bytes[at + 4];
	return -1;
}

int peer_exchange(int fd, SSL *ssl, const uint8_t *offer, size_t size, uint8_t *answer)
{
	return peer_write(fd, ssl, offer, size) ? peer_receive(fd, ssl, answer) : -1;
}

static void wire_name(uint8_t *wire, const char *alpn)
{
	wire[0] = (uint8_t)strlen(alpn);
	memcpy(wire + 1, alpn, wire[0]);
}

SSL *peer_tls_client(int fd, const struct peer_tls *tls)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	uint8_t wire[64];
	SSL *ssl;

	if (tls->max_version != 0)
		SSL_CTX_set_max_proto_version(context, tls->max_version);
	if (tls->ca != NULL) {
		SSL_CTX_load_verify_file(context, tls->ca);
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	}
	if (tls->certificate != NULL) {
		SSL_CTX_use_certificate_chain_file(context, tls->certificate);
		SSL_CTX_use_PrivateKey_file(context, tls->key, SSL_FILETYPE_PEM);
	}
	ssl = SSL_new(context);
	SSL_CTX_free(context);
	if (tls->alpn != NULL) {
		wire_name(wire, tls->alpn);
		SSL_set_alpn_protos(ssl, wire, 1u + wire[0]);
	}
	if (tls->server_name != NULL)
		SSL_set_tlsext_host_name(ssl, tls->server_name);
	if (tls->sigalgs != NULL)
		SSL_set1_sigalgs_list(ssl, tls->sigalgs);
	if (tls->status)
		SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
	if (tls->session != NULL)
		SSL_set_session(ssl, tls->session);
	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) == 1)
		return ssl;
	SSL_free(ssl);
	ERR_clear_error();
	return NULL;
}

static int select_name(SSL *ssl, const unsigned char **out, unsigned char *size, const unsigned char *in, unsigned in_size,
                       void *alpn)
{
	(void)ssl;
	(void)in;
	(void)in_size;
	*out = alpn;
	*size = (unsigned char)strlen(alpn);
	return SSL_TLSEXT_ERR_OK;
}

SSL *peer_tls_server(int fd, const char *certificate, const char *key, const char *alpn)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	SSL *ssl;

	SSL_CTX_use_certificate_chain_file(context, certificate);
	SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM);
	if (alpn != NULL)
		SSL_CTX_set_alpn_select_cb(context, select_name, (void *)(uintptr_t)alpn);
	ssl = SSL_new(context);
	SSL_CTX_free(context);
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1)
		return ssl;
	SSL_free(ssl);
	ERR_clear_error();
	return NULL;
}

size_t peer_confirm(uint8_t *bytes, SSL *ssl, const char *role, const struct peer_clear *clear)
{
	static const uint8_t head[16] = {0x43, 0x43, 0x49, 0x50, 1, 4, 1, 0, 0, 16};
	uint8_t both[8192], key[32], text[38], verifier[32];
	unsigned size = 32;

	memcpy(both, clear->offer, clear->offer_size);
	memcpy(both + clear->offer_size, clear->accept, clear->accept_size);
	memcpy(text, role, 6);
	SHA256(both, clear->offer_size + clear->accept_size, text + 6);
	SSL_export_keying_material(ssl, key, 32, "EXPORTER-CCI-Confirm", 20, NULL, 0, 0);
	HMAC(EVP_sha256(), key, 32, text, 38, verifier, &size);
	memcpy(bytes, head, 16);
	return peer_add(bytes, 16, 6, verifier, 32);
}

bool peer_confirm_both(SSL *ssl, const uint8_t *offer, size_t offer_size, const uint8_t *accept, size_t accept_size)
{
	struct peer_clear clear = {offer, offer_size, accept, accept_size};
	uint8_t ours[64], theirs[4096], expected[64];
	size_t size = peer_confirm(ours, ssl, "client", &clear);

	if (!peer_write(-1, ssl, ours, size) || peer_receive(-1, ssl, theirs) != (int)size)
		return false;
	(void)peer_confirm(expected, ssl, "server", &clear);
	/* The cpu type may differ: a CONFIRM holds no text. */
	return memcmp(expected + 16, theirs + 16, size - 16) == 0;
}

bool peer_ends(int fd, SSL *ssl)
{
	uint8_t byte;

	if (ssl == NULL)
		return recv(fd, &byte, 1, 0) == 0;
	ERR_clear_error();
	return SSL_get_error(ssl, SSL_read(ssl, &byte, 1)) == SSL_ERROR_ZERO_RETURN;
}

void peer_free(int fd, SSL *ssl)
{
	SSL_free(ssl);
	if (fd >= 0)
		close(fd);
}

bool peer_open(int fd, int security, const char *sysid, SSL **ssl)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, security, sysid, NULL);
	int got = fd >= 0 ? peer_exchange(fd, NULL, offer, size, answer) : -1;

	*ssl = NULL;
	if (got <= 0 || peer_type(answer) != 2)
		return false;
	if (peer_answer(answer, got) == 0)
		return true;
	*ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci-upgrade/1", .ca = PEER_CA});
	if (*ssl != NULL && peer_confirm_both(*ssl, offer, size, answer, (size_t)got))
		return true;
	SSL_free(*ssl);
	*ssl = NULL;
	return false;
}

SSL *peer_open_direct(int fd, const struct peer_tls *tls)
{
	uint8_t offer[4096], answer[4096];
	SSL *ssl = peer_tls_client(fd, tls);
	int got;

	if (ssl == NULL)
		return NULL;
	got = peer_exchange(fd, ssl, offer, peer_offer(offer, 1, 4, "PC1", NULL), answer);
	if (got > 0 && peer_type(answer) == 2 && peer_answer(answer, got) == 2)
		return ssl;
	SSL_free(ssl);
	return NULL;
}

bool peer_echoes(int fd, SSL *ssl)
{
	static const char words[] = "what is said comes back";
	char back[sizeof(words)] = "";

	return peer_write(fd, ssl, words, sizeof(words)) && peer_read(fd, ssl, back, sizeof(back)) &&
	       memcmp(words, back, sizeof(words)) == 0;
}

bool peer_closes(int fd, SSL *ssl)
{
	if (ssl != NULL)
		(void)SSL_shutdown(ssl);
	else
		(void)shutdown(fd, SHUT_WR);
	return peer_ends(fd, ssl);
}
