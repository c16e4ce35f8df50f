/* A channel turned to TLS at one end of a socket pair, and plain OpenSSL at the other. */
#ifndef TEST_SECURED_H
#define TEST_SECURED_H

#include <openssl/err.h>

#include "tlspair.h"
#include "watched.h"

static struct party authority, server;
static SSL_CTX *server_context, *client_context;

static inline void make_contexts(void)
{
	party_make(&authority, &(struct party_wish){.common_name = "an authority"});
	party_make(&server, &(struct party_wish){.common_name = "host", .names = "DNS:host", .issuer = &authority});
	server_context = plain_context(true, &server, NULL);
	client_context = plain_context(false, NULL, &authority);
	/* As the contexts of the programs do. */
	SSL_CTX_set_read_ahead(server_context, 1);
	SSL_CTX_set_default_read_buffer_len(server_context, 34 * 1024);
}

static inline void free_contexts(void)
{
	SSL_CTX_free(server_context);
	SSL_CTX_free(client_context);
	party_close(&authority);
	party_close(&server);
}

struct secured {
	struct watched watched;
	SSL *far; /* owned */
};

static inline void open_clear(struct secured *secured, int version)
{
	int ends[2];

	test_pair(ends);
	watched_open(&secured->watched, ends);
	secured->far = plain_on_socket(client_context, false, ends[0]);
	ck_assert_int_eq(SSL_set_max_proto_version(secured->far, version), 1);
	ck_assert_int_eq(channel_upgrade(secured->watched.channel, SSL_new(server_context)), CHANNEL_OK);
	SSL_set_accept_state(channel_ssl(secured->watched.channel));
}

/* Shake hands by turns; what comes at last from the channel. */
static inline enum channel_status shake(struct secured *secured)
{
	enum channel_status status = CHANNEL_AGAIN;

	for (int i = 0; i < 100 && (status == CHANNEL_AGAIN || !SSL_is_init_finished(secured->far)); i++) {
		ERR_clear_error();
		(void)SSL_do_handshake(secured->far);
		test_loop_turns(&secured->watched.test, 1);
		channel_want_read(secured->watched.channel, true);
		test_loop_turns(&secured->watched.test, 1);
		if (status == CHANNEL_AGAIN)
			status = channel_handshake(secured->watched.channel);
		if (status > CHANNEL_AGAIN)
			break;
	}
	return status;
}

static inline void open_secured(struct secured *secured, int version)
{
	uint8_t byte;

	open_clear(secured, version);
	ck_assert_int_eq(shake(secured), CHANNEL_OK);
	ck_assert_int_eq(SSL_version(channel_ssl(secured->watched.channel)), version);
	/* Tickets, so that nothing but what a test sends is under way. */
	ck_assert_int_eq(SSL_read(secured->far, &byte, 1), -1);
}

static inline void close_secured(struct secured *secured)
{
	SSL_free(secured->far);
	watched_close(&secured->watched);
	ERR_clear_error();
}

#endif
