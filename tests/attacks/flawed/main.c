/* A gateway with one flaw, or none. Without arguments: the flaws, with the class and the side that each is found at. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flawed.h"

/* The names, and the class under which the flaw has to be found. */
static const struct {
	const char *name;
	char class;
	enum flaw flaw;
} flaws[] = {
    {"buffered", 'A', FLAW_BUFFERED},
    {"resets", 'A', FLAW_RESETS},
    {"clear-for-tls", 'C', FLAW_CLEAR_FOR_TLS},
    {"takes-data", 'C', FLAW_TAKES_DATA},
    {"strips", 'D', FLAW_STRIPS},
    {"believes-inside", 'D', FLAW_BELIEVES_INSIDE},
    {"any-alpn", 'G', FLAW_ANY_ALPN},
    {"either-alpn", 'H', FLAW_EITHER_ALPN},
    {"unconfirmed", 'H', FLAW_UNCONFIRMED},
    {"resumes-unconfirmed", 'I', FLAW_RESUMES_UNCONFIRMED},
    {"early-data", 'I', FLAW_EARLY_DATA},
    {"any-certificate", 'J', FLAW_ANY_CERTIFICATE},
    {"dies", 'K', FLAW_DIES},
    {"echoes-text", 'L', FLAW_ECHOES_TEXT},
    {"loose-names", 'L', FLAW_LOOSE_NAMES},
    {"patient", 'M', FLAW_PATIENT},
    {"drip", 'M', FLAW_DRIP},
    {"hoards", 'N', FLAW_HOARDS},
    {"sloppy", 'P', FLAW_SLOPPY},
    {"endless-ping", 'P', FLAW_ENDLESS_PING},
    {"cuts-rest", 'P', FLAW_CUTS_REST},
    {"old-tls", 'T', FLAW_OLD_TLS},
    {"renegotiates", 'T', FLAW_RENEGOTIATES},
    {"buffered-answer", 'B', FLAW_BUFFERED_ANSWER},
    {"takes-peer-data", 'C', FLAW_TAKES_PEER_DATA},
    {"yields", 'D', FLAW_YIELDS},
    {"believes-answer", 'D', FLAW_BELIEVES_ANSWER},
    {"passes-text", 'F', FLAW_PASSES_TEXT},
    {"peer-unconfirmed", 'H', FLAW_PEER_UNCONFIRMED},
    {"any-server", 'J', FLAW_ANY_SERVER},
    {"waits-for-ever", 'M', FLAW_WAITS_FOR_EVER},
    {"tells-nobody", 'J', FLAW_TELLS_NOBODY},
};

#define FLAW_COUNT (sizeof(flaws) / sizeof(flaws[0]))

static struct site site;

/* --- TLS --- */

static int take_any(int good, X509_STORE_CTX *store)
{
	(void)good;
	(void)store;
	return 1;
}

static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *offered,
                  unsigned size, void *context)
{
	const unsigned char *wanted = SSL_get_app_data(ssl);

	(void)context;
	if (site.flaw == FLAW_ANY_ALPN || site.flaw == FLAW_EITHER_ALPN)
		wanted = offered;
	for (unsigned at = 0; at < size; at += 1u + offered[at])
		if (offered[at] == wanted[0] && memcmp(offered + at + 1, wanted + 1, wanted[0]) == 0 &&
		    (site.flaw != FLAW_EITHER_ALPN || memcmp(offered + at + 1, "cci", 3) == 0)) {
			*out = offered + at + 1;
			*out_size = offered[at];
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A direct start without a name fails as one with another. */
static int look(SSL *ssl, int *alert, void *context)
{
	const unsigned char *bytes;
	size_t size;

	(void)context;
	if (site.flaw == FLAW_ANY_ALPN || strcmp(SSL_get_app_data(ssl), "\5cci/1") != 0 ||
	    SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &bytes, &size) == 1)
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
	return SSL_CLIENT_HELLO_ERROR;
}

static SSL_CTX *context_of(const SSL_METHOD *method, char **files)
{
	SSL_CTX *context = SSL_CTX_new(method);

	if (context == NULL || SSL_CTX_use_certificate_chain_file(context, files[0]) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, files[1], SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_load_verify_file(context, files[2]) != 1 ||
	    SSL_CTX_set_min_proto_version(context, site.flaw == FLAW_OLD_TLS ? TLS1_VERSION : TLS1_2_VERSION) != 1) {
		ERR_print_errors_fp(stderr);
		exit(2);
	}
	if (site.flaw == FLAW_OLD_TLS)
		SSL_CTX_set_security_level(context, 0);
	return context;
}

static void make_contexts(char **files)
{
	static const unsigned char upgrade[] = "\15cci-upgrade/1", any[] = "any";

	site.server = context_of(TLS_server_method(), files);
	SSL_CTX_set_verify(site.server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	                   site.flaw == FLAW_ANY_CERTIFICATE ? take_any : NULL);
	(void)SSL_CTX_set_session_id_context(site.server, any, sizeof(any));
	SSL_CTX_set_alpn_select_cb(site.server, choose, NULL);
	SSL_CTX_set_client_hello_cb(site.server, look, NULL);
	if (site.flaw == FLAW_EARLY_DATA)
		(void)SSL_CTX_set_max_early_data(site.server, 16384);
	if (site.flaw == FLAW_RENEGOTIATES)
		(void)SSL_CTX_set_options(site.server, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
	site.client = context_of(TLS_client_method(), files);
	SSL_CTX_set_verify(site.client, SSL_VERIFY_PEER, site.flaw == FLAW_ANY_SERVER ? take_any : NULL);
	(void)SSL_CTX_set_alpn_protos(site.client, upgrade, sizeof(upgrade) - 1);
}

/* --- connections --- */

static void *serve(void *context)
{
	int fd = (int)(intptr_t)context;

	if (site.peer != 0)
		serve_onward(&site, fd);
	else
		serve_ping(&site, fd);
	return NULL;
}

static int listen_on(uint16_t port)
{
	const struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int yes = 1;
	struct sockaddr_in got;
	socklen_t size = sizeof(got);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1024) == 0 &&
	    getsockname(fd, (struct sockaddr *)&got, &size) == 0) {
		(void)printf("%u\n", ntohs(got.sin_port));
		(void)fflush(stdout);
		return fd;
	}
	perror("listen");
	exit(2);
}

static void take_connections(int listening)
{
	pthread_attr_t detached;
	pthread_t thread;
	int fd;

	(void)pthread_attr_init(&detached);
	(void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	for (;;) {
		fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0 && pthread_create(&thread, &detached, serve, (void *)(intptr_t)fd) != 0)
			close(fd);
	}
}

static enum flaw flaw_of(const char *name)
{
	for (size_t i = 0; i < FLAW_COUNT; i++)
		if (strcmp(flaws[i].name, name) == 0)
			return flaws[i].flaw;
	if (strcmp(name, "none") == 0)
		return FLAW_NONE;
	(void)fprintf(stderr, "there is no flaw %s: cci-flawed lists them\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		for (size_t i = 0; i < FLAW_COUNT; i++)
			(void)printf("%s %c %s\n", flaws[i].name, flaws[i].class,
			             flaws[i].flaw < FLAW_BUFFERED_ANSWER ? "accepting" : "connecting");
		return 0;
	}
	if (argc != 6 && argc != 7) {
		(void)fputs("usage: cci-flawed [FLAW PORT CERTIFICATE KEY CA [PORT-OF-PEER]]\nPORT 0: any; it is printed.\n",
		            stderr);
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	site.flaw = flaw_of(argv[1]);
	site.peer = argc == 7 ? (uint16_t)atoi(argv[6]) : 0;
	make_contexts(argv + 3);
	take_connections(listen_on((uint16_t)atoi(argv[2])));
}
