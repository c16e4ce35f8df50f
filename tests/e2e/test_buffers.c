/* Many receivers that take nothing, and a bound on the memory that waits for them. */
#include <check.h>
#include <errno.h>
#include <openssl/err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "gateway.h"
#include "peer.h"

#define SLOW 300
#define AGAIN 3

/* Unix sockets: the kernel keeps little of its own in them. */
#define CONFIG \
	"[gateway]\nsysid = HOST1\nworkers = 2\n[listener l]\naddress = unix:%s/in, 127.0.0.1:0\nservice = s\n" \
	"unsecured_connections = nonssl\n[service s]\naddress = unix:%s/out\n[limits]\nbuffers = 1M\n" \
	"[tls]\ncertificate = @CERTS@/server.pem\nprivate_key = @CERTS@/server.key\n"

static char folder[] = "/tmp/cci-slow-XXXXXX";

static struct sockaddr_un address_of(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", folder, name);
	return address;
}

static int open_service(void)
{
	struct sockaddr_un address = address_of("out");
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 256), 0);
	return fd;
}

struct pair {
	int client, service;
	SSL *ssl;
	size_t sent; /* by the service */
};

static void open_pair(struct pair *pair, int listening, bool tls)
{
	struct peer_tls how = {.alpn = "cci/1"};
	struct sockaddr_un address = address_of("in");
	uint8_t offer[4096], answer[4096];

	*pair = (struct pair){.client = socket(AF_UNIX, SOCK_STREAM, 0)};
	ck_assert_int_eq(connect(pair->client, (struct sockaddr *)&address, sizeof(address)), 0);
	if (tls) {
		pair->ssl = peer_tls_client(pair->client, &how);
		ck_assert_ptr_nonnull(pair->ssl);
	}
	ck_assert_int_gt(
	    peer_exchange(pair->client, pair->ssl, offer, peer_offer(offer, 1, tls ? 4 : 0, "PC1", NULL), answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	pair->service = accept(listening, NULL, NULL);
	ck_assert_int_ge(pair->service, 0);
}

/* Send from all services until none of them can send any more. */
static void flood(struct pair *pairs, int count)
{
	static const uint8_t bytes[65536];

	for (int idle = 0; idle < 40; idle++) {
		for (int i = 0; i < count; i++) {
			ssize_t went;

			while ((went = send(pairs[i].service, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0) {
				pairs[i].sent += (size_t)went;
				idle = 0;
			}
		}
		usleep(5000);
	}
}

/* Whatever comes until the end; was it in order? */
static bool read_all(const struct pair *pair, size_t *received)
{
	static uint8_t bytes[65536];
	int got;

	*received = 0;
	do {
		ERR_clear_error();
		got = pair->ssl != NULL ? SSL_read(pair->ssl, bytes, sizeof(bytes))
		                        : (int)recv(pair->client, bytes, sizeof(bytes), 0);
		*received += got > 0 ? (size_t)got : 0;
	} while (got > 0);
	return pair->ssl != NULL ? SSL_get_error(pair->ssl, got) == SSL_ERROR_ZERO_RETURN : got == 0;
}

/* End all of them by the service; the number of receivers to which everything came. */
static int take_all(struct pair *pairs, int count)
{
	int whole = 0;

	for (int i = 0; i < count; i++)
		shutdown(pairs[i].service, SHUT_WR);
	for (int i = 0; i < count; i++) {
		size_t received;
		bool orderly = read_all(&pairs[i], &received);

		/* Unix sockets in the clear know no reset; in TLS nothing but the whole ends in order. */
		if (pairs[i].ssl == NULL)
			orderly = received == pairs[i].sent;
		ck_assert_msg(!orderly || received == pairs[i].sent, "%zu of %zu bytes", received, pairs[i].sent);
		whole += orderly;
		peer_free(pairs[i].client, pairs[i].ssl);
		close(pairs[i].service);
	}
	return whole;
}

/* KiB of memory of its own that the process uses. */
static long memory_of(pid_t pid)
{
	char path[64], line[256];
	FILE *stream;
	long found = -1;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	stream = fopen(path, "r");
	ck_assert_ptr_nonnull(stream);
	while (fgets(line, sizeof(line), stream) != NULL)
		if (strncmp(line, "RssAnon:", 8) == 0)
			found = atol(line + 8);
	(void)fclose(stream);
	return found;
}

static bool is_sanitized(void)
{
	return strcmp(gateway_build(), "build") != 0;
}

/* Number 0: in the clear. Number 1: TLS. */
START_TEST(slow_receivers_are_bounded_and_others_served)
{
	static struct pair pairs[SLOW], more[AGAIN], quick;
	uint8_t bytes[1000] = {1, 2, 3}, back[1000];
	struct gateway gateway;
	int listening;
	long before, after;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chmod(folder, 0755), 0);
	listening = open_service();
	gateway_start(&gateway, "ccissl", CONFIG, folder, folder);
	for (int i = 0; i < SLOW; i++)
		open_pair(&pairs[i], listening, _i == 1);
	before = memory_of(gateway.pid);
	flood(pairs, SLOW);
	after = memory_of(gateway.pid);
	/* More than twice that without the bound. */
	if (!is_sanitized())
		ck_assert_msg(after - before < 4 * 1024, "%ld KiB more", after - before);
	ck_assert_int_eq(gateway_lines(&gateway, 1, "id=CCI1018W", "limit=buffers", NULL), 1);
	/* Who takes what comes is not hindered. */
	open_pair(&quick, listening, _i == 1);
	ck_assert(peer_write(quick.client, quick.ssl, bytes, sizeof(bytes)) && peer_read(quick.service, NULL, back, sizeof(back)));
	ck_assert(peer_write(quick.service, NULL, bytes, sizeof(bytes)) && peer_read(quick.client, quick.ssl, back, sizeof(back)));
	ck_assert_int_eq(memcmp(bytes, back, sizeof(bytes)), 0);
	peer_free(quick.client, quick.ssl);
	close(quick.service);
	/* Nobody is cut: each gets all of it as soon as it takes it, and then there is room again. */
	ck_assert_int_eq(take_all(pairs, SLOW), SLOW);
	for (int i = 0; i < AGAIN; i++)
		open_pair(&more[i], listening, _i == 1);
	flood(more, AGAIN);
	ck_assert_int_eq(take_all(more, AGAIN), AGAIN);
	ck_assert_int_eq(gateway_lines(&gateway, 0, "reason=reset", NULL, NULL), 0);
	close(listening);
	gateway_stop(&gateway);
	(void)unlink(address_of("in").sun_path);
	(void)unlink(address_of("out").sun_path);
	(void)rmdir(folder);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("buffer scenarios");
	TCase *tests = tcase_create("buffers");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, slow_receivers_are_bounded_and_others_served, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
