/* Certificates in a folder where they change, and what a gateway shows of them. */
#include "certfiles.h"

#include <check.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Files that a test replaces; they outlive its gateways. */
static char folder[64];
static const char *const names[] = {"server.pem", "server.key", "crl.pem", "tickets", "secrets", "server.ocsp", "part"};

void certfiles_open(void)
{
	(void)strcpy(folder, "/tmp/cci-certificates-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

const char *certfiles_path(const char *name)
{
	static char paths[4][96];
	static int next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

void certfiles_close(void)
{
	for (int i = 0; i < COUNT(names); i++)
		(void)unlink(certfiles_path(names[i]));
	ck_assert_int_eq(rmdir(folder), 0);
}

size_t certfiles_read(const char *path, char *bytes, size_t size)
{
	FILE *stream = fopen(path, "r");
	size_t got;

	ck_assert_msg(stream != NULL, "%s", path);
	got = fread(bytes, 1, size, stream);
	(void)fclose(stream);
	return got;
}

void certfiles_write(const char *name, const char *bytes, size_t size)
{
	FILE *stream = fopen(certfiles_path(name), "w");

	ck_assert_ptr_nonnull(stream);
	(void)fchmod(fileno(stream), 0600);
	ck_assert_uint_eq(fwrite(bytes, 1, size, stream), size);
	ck_assert_int_eq(fclose(stream), 0);
}

void certfiles_put(const char *from, const char *name)
{
	char bytes[16384], path[96];
	size_t size;

	(void)snprintf(path, sizeof(path), CERTS "%s", from);
	size = certfiles_read(path, bytes, sizeof(bytes));
	certfiles_write("part", bytes, size);
	ck_assert_int_eq(rename(certfiles_path("part"), certfiles_path(name)), 0);
}

SSL *certfiles_direct(int fd, const struct peer_tls *wish)
{
	struct peer_tls tls = *wish;

	tls.alpn = "cci/1";
	return peer_open_direct(fd, &tls);
}

static X509 *certificate_in(const char *name)
{
	char path[96];
	FILE *stream;
	X509 *certificate;

	(void)snprintf(path, sizeof(path), CERTS "%s.pem", name);
	stream = fopen(path, "r");
	ck_assert_msg(stream != NULL, "%s", path);
	certificate = PEM_read_X509(stream, NULL, NULL, NULL);
	(void)fclose(stream);
	ck_assert_ptr_nonnull(certificate);
	return certificate;
}

void certfiles_check_shown(int port, const struct peer_tls *wish, const char *name)
{
	int fd = peer_connect(port);
	SSL *ssl = certfiles_direct(fd, wish);
	X509 *wanted;

	ck_assert_msg((ssl != NULL) == (name != NULL), "%s", name != NULL ? name : "no certificate");
	if (name != NULL) {
		wanted = certificate_in(name);
		ck_assert_msg(X509_cmp(SSL_get0_peer_certificate(ssl), wanted) == 0, "not %s", name);
		X509_free(wanted);
		(void)SSL_shutdown(ssl);
	}
	peer_free(fd, ssl);
}
