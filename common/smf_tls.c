/* What SMF records hold of an event: addresses, counts, and the section about TLS. Where docs/smf.md has no code, 0. */
#include "smf_tls.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

#define SOURCE_PROVIDER 2
#define HANDSHAKE_FULL 1
#define HANDSHAKE_ABBREVIATED 2
#define ROLE_CLIENT 1
#define ROLE_SERVER 2
#define ROLE_SERVER_AUTHENTICATED 3
#define FLAG_ENCRYPT_THEN_MAC 0x80
#define CERTIFICATE_SERVER 72
#define CERTIFICATE_CLIENT 120
#define SERIAL_SIZE 20
#define NOT_AFTER_SIZE 15
#define TIME_UTC 1
#define TIME_GENERALIZED 2
#define NONE 1

struct code {
	const char *word;
	uint8_t code;
};

/* Words that are not here (Ed25519, MD5) have no code that the books name. */
static const struct code signatures[] = {{"RSA", 2}, {"RSA-PSS", 2}, {"DSA", 3}, {"ECDSA", 4}, {NULL, 0}};
static const struct code digests[] = {{"SHA1", 4},   {"SHA224", 5}, {"SHA256", 6},
                                      {"SHA384", 7}, {"SHA512", 8}, {NULL, 0}};
static const struct code keys[] = {{"RSA", 2}, {"RSA-PSS", 2}, {"DSA", 3}, {"DH", 4}, {"EC", 5}, {NULL, 0}};

static uint8_t code_of(const struct code *codes, const char *word)
{
	while (word != NULL && codes->word != NULL && strcmp(codes->word, word) != 0)
		codes++;
	return word != NULL ? codes->code : 0;
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* --- certificates --- */

/* A serial that does not fit is not written: part of one is another one. */
static void put_serial(uint8_t *length, uint8_t *at, const char *hex)
{
	char even[2 * SERIAL_SIZE + 2];
	size_t digits = hex != NULL ? strlen(hex) : 0;
	int size;

	if (digits == 0 || digits > 2 * SERIAL_SIZE)
		return;
	(void)snprintf(even, sizeof(even), "%s%s", digits % 2 != 0 ? "0" : "", hex);
	size = text_from_hex(even, at, SERIAL_SIZE);
	if (size > 0)
		*length = (uint8_t)size;
	else
		memset(at, 0, SERIAL_SIZE);
}

/* 2026-11-24T08:00:00Z, written as certificates have it (RFC 5280, 4.1.2.5): UTC up to 2049, generalized from 2050 on.
 */
static void put_not_after(uint8_t *type, uint8_t *at, const char *not_after)
{
	char digits[NOT_AFTER_SIZE + 1];
	size_t used = 0;
	bool is_utc;

	for (const char *c = not_after; c != NULL && *c != '\0' && used < NOT_AFTER_SIZE - 1; c++)
		if (*c >= '0' && *c <= '9')
			digits[used++] = *c;
	if (used != NOT_AFTER_SIZE - 1)
		return;
	memcpy(digits + used, "Z", sizeof("Z"));
	is_utc = memcmp(digits, "1950", 4) >= 0 && memcmp(digits, "2050", 4) < 0;
	*type = is_utc ? TIME_UTC : TIME_GENERALIZED;
	smf_put_text(at, NOT_AFTER_SIZE, is_utc ? digits + 2 : digits);
}

static void put_certificate(uint8_t *at, const struct cci_certificate *certificate)
{
	put16(at + 2, code_of(signatures, certificate->signature));
	put16(at + 4, code_of(digests, certificate->digest));
	put_serial(at + 7, at + 8, certificate->serial);
	put_not_after(at + 28, at + 29, certificate->not_after);
	put16(at + 44, code_of(keys, certificate->key));
	put16(at + 46, certificate->key_bits <= UINT16_MAX ? certificate->key_bits : 0);
}

/* A client may well have none; a server has always one, known or not. */
static void put_no_certificate(uint8_t *at)
{
	put16(at, NONE);
	put16(at + 2, NONE);
	put16(at + 4, NONE);
	put16(at + 44, NONE);
}

/* --- the sections --- */

static unsigned version_of(const struct cci_event *event)
{
	if (event->tls_version_number != 0 || event->tls_version == NULL)
		return event->tls_version_number;
	return strcmp(event->tls_version, "1.3") == 0 ? 0x0304 : strcmp(event->tls_version, "1.2") == 0 ? 0x0303 : 0;
}

void smf_tls(uint8_t *section, const struct smf_origin *origin, const struct cci_event *event)
{
	bool is_server = event->role == CCI_ACCEPTING;
	const struct cci_certificate *server = is_server ? event->own_certificate : event->peer_certificate;
	const struct cci_certificate *client = is_server ? event->peer_certificate : event->own_certificate;
	/* TLS 1.3 negotiates none; what a library calls one there, nobody else has seen. */
	uint8_t id_size = event->tls_session_id_size <= 32 && version_of(event) != 0x0304 ? event->tls_session_id_size : 0;
	char suite[7] = "";

	memset(section, 0, SMF_TLS_SIZE);
	put16(section, version_of(event));
	section[2] = SOURCE_PROVIDER;
	section[3] = event->tls_resumed ? HANDSHAKE_ABBREVIATED : HANDSHAKE_FULL;
	section[4] = !is_server ? ROLE_CLIENT : client != NULL ? ROLE_SERVER_AUTHENTICATED : ROLE_SERVER;
	section[7] = id_size;
	memcpy(section + 8, event->tls_session_id, id_size);
	smf_put_text(section + 40, 16, origin->provider);
	if (event->tls_suite_number != 0)
		(void)snprintf(suite, sizeof(suite), "%04X", event->tls_suite_number);
	smf_put_text(section + 56, 6, suite);
	section[69] = event->tls_encrypt_then_mac ? FLAG_ENCRYPT_THEN_MAC : 0;
	if (server != NULL)
		put_certificate(section + CERTIFICATE_SERVER, server);
	if (client != NULL)
		put_certificate(section + CERTIFICATE_CLIENT, client);
	else
		put_no_certificate(section + CERTIFICATE_CLIENT);
}

/* Signature, key encryption, digest, key type, key bits. */
static void summarize_certificate(uint8_t *to, const uint8_t *certificate)
{
	memcpy(to, certificate, 6);
	memcpy(to + 6, certificate + 44, 4);
}

void smf_tls_summary(uint8_t *summary, const uint8_t *section)
{
	summary[0] = section[2];
	summary[1] = section[69];
	memcpy(summary + 2, section, 2);
	memcpy(summary + 4, section + 56, 6);
	memcpy(summary + 10, section + 62, 6);
	summarize_certificate(summary + 16, section + CERTIFICATE_SERVER);
	summarize_certificate(summary + 26, section + CERTIFICATE_CLIENT);
}

/* --- the event --- */

/* 4, 6, or 0: no IP. */
static int take_address(uint8_t *bytes, uint16_t *port, const struct sockaddr *address)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (address != NULL && address->sa_family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		memcpy(bytes, &v4.sin_addr, 4);
		*port = ntohs(v4.sin_port);
		return 4;
	}
	if (address == NULL || address->sa_family != AF_INET6)
		return 0;
	memcpy(&v6, address, sizeof(v6));
	*port = ntohs(v6.sin6_port);
	if (!IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
		memcpy(bytes, &v6.sin6_addr, 16);
		return 6;
	}
	memcpy(bytes, v6.sin6_addr.s6_addr + 12, 4);
	return 4;
}

/* Beside an IPv6 address an IPv4 one is written as IPv6 has it: one flag tells what both are. */
static void map_address(uint8_t *bytes)
{
	memcpy(bytes + 12, bytes, 4);
	memset(bytes, 0, 10);
	bytes[10] = bytes[11] = 0xff;
}

static void take_addresses(struct smf_connection *connection, const struct cci_event *event)
{
	int remote = take_address(connection->remote, &connection->remote_port, event->remote);
	/* A connection that is reset already has no remote any more. */
	int local = remote != 0 ? take_address(connection->local, &connection->local_port, event->local) : 0;

	connection->is_connected = event->remote != NULL && (event->role == CCI_ACCEPTING || event->fd >= 0);
	connection->is_ip = remote != 0;
	connection->is_v6 = remote == 6 || local == 6;
	if (connection->is_v6 && remote == 4)
		map_address(connection->remote);
	if (connection->is_v6 && local == 4)
		map_address(connection->local);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What goes on in the clear is counted there, payload and all. */
static void take_counts(struct smf_connection *connection, const struct cci_event *event)
{
	bool secured = connection->secured;

	connection->clear_in = event->clear_in;
	connection->clear_out = event->clear_out;
	connection->bytes_in = secured ? event->clear_in + event->bytes_in : larger(event->clear_in, event->bytes_in);
	connection->bytes_out = secured ? event->clear_out + event->bytes_out : larger(event->clear_out, event->bytes_out);
	connection->segments_in = event->segments_in;
	connection->segments_out = event->segments_out;
}

void smf_connection_of(struct smf_connection *connection, const struct smf_origin *origin,
                       const struct cci_event *event)
{
	struct cci_event known = {0};
	bool is_over = event->type == CCI_CLOSED || event->type == CCI_REFUSED || event->type == CCI_HANDSHAKE_FAILED;

	/* An older writer's event ends earlier. */
	memcpy(&known, event, event->size < sizeof(known) ? event->size : sizeof(known));
	memset(connection, 0, sizeof(*connection));
	memcpy(connection->id, known.connection, sizeof(connection->id));
	connection->event = (uint8_t)known.type;
	connection->role = (uint8_t)known.role;
	connection->secured = known.type == CCI_HANDSHAKE_DONE || (is_over && known.secured != 0);
	connection->upgraded =
	    known.tls_start != NULL ? strcmp(known.tls_start, "upgrade") == 0 : connection->secured && known.clear_in > 0;
	connection->time_us = known.time_us;
	connection->started_us = known.started_us != 0 ? known.started_us
	                         : known.time_us > known.duration_us ? known.time_us - known.duration_us
	                                                             : known.time_us;
	take_addresses(connection, &known);
	take_counts(connection, &known);
	if (connection->secured)
		smf_tls(connection->tls, origin, &known);
}
