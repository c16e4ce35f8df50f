/*
 * An office that connects once, for the walk-through of docs/migration.md: sends a line to the head office and takes it back,
 * secured or in the clear as both sides agree. The client is that of the scenarios (tests/e2e/peer.h).
 *
 *     office SOURCE PORT SYSID SECURITY CA      SECURITY: none, off, on, required
 *
 * Says in one line what became of it. Exit status: 0 served; 1 refused; 2 something else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../e2e/peer.h"

#define LINE "ledger of the day\n"

static int security_of(const char *word)
{
	static const char *const words[] = {"none", "off", "on", "required"};

	for (int i = 0; i < 4; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	return -1;
}

static int failed(const char *sysid, const char *what)
{
	(void)printf("%s: %s\n", sysid, what);
	return 2;
}

static int serve(int fd, SSL *ssl, const char *sysid)
{
	char back[sizeof(LINE) - 1];

	if (!peer_write(fd, ssl, LINE, sizeof(back)) || !peer_read(fd, ssl, back, sizeof(back)) ||
	    memcmp(back, LINE, sizeof(back)) != 0)
		return failed(sysid, "the line did not come back");
	(void)printf("%s: served %s\n", sysid, ssl != NULL ? "by TLS" : "in the clear");
	return 0;
}

int main(int argc, char **argv)
{
	const char *sysid = argc > 3 ? argv[3] : "office";
	int security = argc == 6 ? security_of(argv[4]) : -1, fd, got, status;
	uint8_t offer[4096], answer[4096];
	size_t size;
	SSL *ssl = NULL;

	if (security < 0) {
		(void)fprintf(stderr, "office SOURCE PORT SYSID none|off|on|required CA\n");
		return 2;
	}
	fd = peer_connect_from(argv[1], atoi(argv[2]));
	size = peer_offer(offer, 1, security, sysid, NULL);
	size = peer_add(offer, size, 4, "office/1.0", 10);
	got = fd >= 0 ? peer_exchange(fd, NULL, offer, size, answer) : -1;
	if (got <= 0)
		return failed(sysid, "no answer");
	if (peer_type(answer) != 2) {
		(void)printf("%s: refused, reason %d\n", sysid, peer_reason(answer));
		return 1;
	}
	if (peer_answer(answer, got) == 1) {
		ssl = peer_tls_client(fd, &(struct peer_tls){.alpn = "cci-upgrade/1", .ca = argv[5]});
		if (ssl == NULL || !peer_confirm_both(ssl, offer, size, answer, (size_t)got))
			return failed(sysid, "no TLS");
	}
	status = serve(fd, ssl, sysid);
	peer_free(fd, ssl);
	return status;
}
