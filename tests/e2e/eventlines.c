/* Lines of events, and clients that make them. */
#include "eventlines.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"

#define CERTS "build/test-certs/"

char folder[64], path[96], other[96];

void make_folder(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/cci-events-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/events", folder);
	(void)snprintf(other, sizeof(other), "%s/events.1", folder);
}

void remove_folder(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -r %s", folder);
	ck_assert_int_eq(system(command), 0);
}

json_t *events(const char *name, const char *event, size_t least)
{
	json_t *all = NULL;

	for (int i = 0; i < 1000 && (all == NULL || json_array_size(all) < least); i++) {
		FILE *stream = fopen(name, "r");
		char line[65536];

		json_decref(all);
		all = json_array();
		if (i > 0)
			usleep(10000);
		while (stream != NULL && fgets(line, sizeof(line), stream) != NULL && strchr(line, '\n') != NULL) {
			json_t *value = json_loads(line, 0, NULL);

			ck_assert_msg(value != NULL, "%s", line);
			if (strcmp(json_string_value(json_object_get(value, "event")), event) == 0)
				(void)json_array_append(all, value);
			json_decref(value);
		}
		if (stream != NULL)
			(void)fclose(stream);
	}
	ck_assert_msg(json_array_size(all) >= least, "%zu of %zu %s", json_array_size(all), least, event);
	return all;
}

const char *word(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text != NULL ? text : "";
}

void fits_the_schema(const char *files, const char *wanted)
{
	char command[512], line[1024] = "", all[8192] = "";
	FILE *stream;

	(void)snprintf(command, sizeof(command), "/usr/bin/python3 tests/e2e/schema.py docs/events.schema.json %s 2>&1",
	               files);
	stream = popen(command, "r");
	ck_assert_ptr_nonnull(stream);
	while (fgets(line, sizeof(line), stream) != NULL)
		(void)strncat(all, line, sizeof(all) - strlen(all) - 1);
	ck_assert_msg(pclose(stream) == 0, "%s", all);
	ck_assert_msg(strstr(all, wanted) != NULL, "%s", all);
}

void has(const json_t *record, const char *member, const char *value)
{
	ck_assert_msg(strcmp(word(record, member), value) == 0, "%s is %s, not %s", member, word(record, member), value);
}

json_int_t number(const json_t *record, const char *member)
{
	ck_assert_msg(json_is_integer(json_object_get(record, member)), "no %s", member);
	return json_integer_value(json_object_get(record, member));
}

/* --- clients --- */

void echo(int fd, void *ssl)
{
	char answer[4];

	ck_assert(peer_write(fd, ssl, "ping", 4));
	ck_assert(peer_read(fd, ssl, answer, 4));
}

static void upgrade(int fd, const char *sysid)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, 2, sysid, NULL);
	int got = peer_exchange(fd, NULL, offer, size, answer);
	SSL *ssl;

	ck_assert_int_gt(got, 0);
	ck_assert_int_eq(peer_type(answer), 2);
	ssl = peer_tls_client(
	    fd, &(struct peer_tls){.alpn = "cci-upgrade/1", .ca = CERTS "ca.pem", .max_version = TLS1_3_VERSION});
	ck_assert_ptr_nonnull(ssl);
	ck_assert(peer_confirm_both(ssl, offer, size, answer, (size_t)got));
	echo(fd, ssl);
	peer_free(fd, ssl);
}

static void inside(int fd, const char *sysid)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, 4, sysid, NULL);
	SSL *ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci/1", .ca = CERTS "ca.pem"});

	ck_assert_ptr_nonnull(ssl);
	ck_assert_int_gt(peer_exchange(fd, ssl, offer, size, answer), 0);
	ck_assert_int_eq(peer_type(answer), 2);
	echo(fd, ssl);
	peer_free(fd, ssl);
}

void session(int port, const char *sysid, enum way way)
{
	int fd = peer_connect(port);
	uint8_t offer[4096], answer[4096];
	size_t size;

	ck_assert_int_ge(fd, 0);
	if (way == UPGRADE) {
		upgrade(fd, sysid);
		return;
	}
	if (way == INSIDE) {
		inside(fd, sysid);
		return;
	}
	size = peer_offer(offer, 1, way == FAILED ? 2 : 0, sysid, way == REFUSED ? "NOWHERE" : NULL);
	ck_assert_int_gt(peer_exchange(fd, NULL, offer, size, answer), 0);
	ck_assert_int_eq(peer_type(answer), way == REFUSED ? 3 : 2);
	if (way == FAILED)
		ck_assert(peer_write(fd, NULL, "this is no ClientHello", 22));
	if (way == CLEAR)
		echo(fd, NULL);
	peer_free(fd, NULL);
}
