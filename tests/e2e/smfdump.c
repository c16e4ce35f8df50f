/* Reads what gateways write with kind = smf, and makes connections for it. */
#include "smfdump.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CERTS "build/test-certs/"

const char smf_config[] = "[gateway]\nsysid = %s\nworkers = 2\n"
                             "[listener l]\naddress = 127.0.0.1:0\nservice = s\nunsecured_connections = allow\n"
                             "client_auth = request\n"
                             "[listener six]\naddress = [::1]:0\nservice = s\nunsecured_connections = allow\n"
                             "[listener strict]\naddress = 127.0.0.1:0\nservice = s\n"
                             "[service s]\naddress = builtin:echo\n" SMF_TLS_SECTION SMF_SECTION;

const struct peer_tls smf_upgrade = {.alpn = "cci-upgrade/1", .ca = CERTS "ca.pem"};
const struct peer_tls smf_direct = {.alpn = "cci/1", .ca = CERTS "ca.pem"};

/* --- the records --- */

int smf_dump(const struct gateway *gateway, const char *file, char *text, size_t size)
{
	char command[256];
	size_t used;
	FILE *out;

	(void)snprintf(command, sizeof(command), "etc/smf-dump %s/%s 2>&1", gateway->folder, file);
	out = popen(command, "r");
	ck_assert_ptr_nonnull(out);
	used = fread(text, 1, size - 1, out);
	text[used] = '\0';
	return pclose(out);
}

char smf_records[1 << 20];

static bool has_all(const char *line, size_t length, const char *words)
{
	char copy[4096], *rest = NULL, padded[4096];

	(void)snprintf(padded, sizeof(padded), " %.*s ", (int)length, line);
	(void)snprintf(copy, sizeof(copy), "%s", words);
	for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
		char token[512];

		(void)snprintf(token, sizeof(token), " %s ", word);
		if (strstr(padded, token) == NULL)
			return false;
	}
	return true;
}

int smf_count(const char *words)
{
	int found = 0;

	for (const char *line = smf_records, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
		found += has_all(line, (size_t)(end - line), words);
	return found;
}

void smf_expect(const struct gateway *gateway, int number, const char *format, ...)
{
	char words[2048];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
	for (int i = 0; i < 100; i++) {
		if (smf_dump(gateway, "records", smf_records, sizeof(smf_records)) == 0 && smf_count(words) >= number)
			break;
		usleep(50000);
	}
	ck_assert_msg(smf_count(words) == number, "%d records with \"%s\", not %d:\n%s", smf_count(words), words, number, smf_records);
}

void smf_stop(struct gateway *gateway, const char *more)
{
	char path[128];

	gateway_stop(gateway);
	ck_assert_msg(smf_dump(gateway, "records", smf_records, sizeof(smf_records)) == 0, "%s", smf_records);
	(void)snprintf(path, sizeof(path), "%s/records", gateway->folder);
	ck_assert_int_eq(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", gateway->folder, more != NULL ? more : "none");
	(void)unlink(path);
	ck_assert_int_eq(rmdir(gateway->folder), 0);
}

uint64_t smf_sum(const char *words, const char *key)
{
	uint64_t total = 0;
	char token[64];

	(void)snprintf(token, sizeof(token), " %s=", key);
	for (const char *line = smf_records, *stop_at; (stop_at = strchr(line, '\n')) != NULL; line = stop_at + 1) {
		const char *at = strstr(line, token);

		if (has_all(line, (size_t)(stop_at - line), words) && at != NULL && at < stop_at)
			total += strtoull(at + strlen(token), NULL, 10);
	}
	return total;
}

/* --- connections --- */

int smf_port(int fd)
{
	struct sockaddr_storage name;
	socklen_t size = sizeof(name);

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &size), 0);
	if (name.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)(const void *)&name)->sin_port);
	return name.ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)(const void *)&name)->sin6_port) : 0;
}

struct smf_client smf_begin(int fd, bool is_direct, const struct peer_tls *tls)
{
	struct smf_client c = {.fd = fd, .port = smf_port(fd)};
	uint8_t offer[4096], answer[4096];
	char back[5];
	int got;

	c.offer_size = peer_offer(offer, 1, is_direct ? 4 : tls != NULL ? 2 : 0, "PC1", NULL);
	if (is_direct) {
		c.ssl = peer_tls_client(fd, tls);
		ck_assert_ptr_nonnull(c.ssl);
	}
	got = peer_exchange(fd, c.ssl, offer, c.offer_size, answer);
	ck_assert_int_gt(got, 0);
	ck_assert_int_eq(peer_type(answer), 2);
	c.answer_size = (size_t)got;
	if (tls != NULL && !is_direct) {
		c.ssl = peer_tls_client(fd, tls);
		ck_assert_ptr_nonnull(c.ssl);
		ck_assert(peer_confirm_both(c.ssl, offer, c.offer_size, answer, c.answer_size));
	}
	ck_assert(peer_write(fd, c.ssl, "hello", 5) && peer_read(fd, c.ssl, back, 5));
	return c;
}

void smf_end(struct smf_client *c)
{
	if (c->ssl != NULL)
		(void)SSL_shutdown(c->ssl);
	peer_free(c->fd, c->ssl);
}
