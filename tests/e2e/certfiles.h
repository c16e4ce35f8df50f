/* Certificates in a folder where a scenario can replace them, and what a gateway shows of them. Shares no code with the
 * programs. */
#ifndef CERTFILES_H
#define CERTFILES_H

#include <openssl/ssl.h>
#include <stddef.h>

#include "peer.h"

/* Parts of configurations. */
#define CERTS "build/test-certs/"
#define HEAD "[gateway]\nsysid = HOST1\nworkers = 2\n[service echo]\naddress = builtin:echo\n"
#define LISTENER(name) "[listener " name "]\naddress = 127.0.0.1:0\nservice = echo\n"
#define PLAIN_TLS "[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\nca = @CERTS@/ca.pem\n"
#define CHANGING HEAD LISTENER("l") "[tls]\ncertificate = %s\nprivate_key = %s\nca = @CERTS@/ca.pem\n"

/* Make the folder, and remove it with all that is below: a fixture. */
void certfiles_open(void);
void certfiles_close(void);

/* The path of a file in the folder: server.pem, server.key, crl.pem, tickets, secrets or part; of the last four calls. */
const char *certfiles_path(const char *name);

/* At most `size` bytes of a file; how many. */
size_t certfiles_read(const char *path, char *bytes, size_t size);

/* Write a file of the folder in place, as an editor may do it. */
void certfiles_write(const char *name, const char *bytes, size_t size);

/* Let one of the test certificates be file `name` of the folder, at once, as a good tool does it. */
void certfiles_put(const char *from, const char *name);

/* A direct start up to the ACCEPT inside; NULL where it is refused. */
SSL *certfiles_direct(int fd, const struct peer_tls *wish);

/* Is test certificate `name` what a client is shown? NULL: it is refused. */
void certfiles_check_shown(int port, const struct peer_tls *wish, const char *name);

#endif
