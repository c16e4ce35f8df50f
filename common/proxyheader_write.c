/* The PROXY protocol, versions 1 and 2: a header of our own, to bytes. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "proxyheader.h"
#include "proxyheader_bytes.h"

#define TEXT_MOST 255
#define TLV_FIXED 3 /* type and length */

_Static_assert(V2_FIXED + TCP6_BLOCK + 5 * (TLV_FIXED + TEXT_MOST) + TLV_FIXED + UNIQUE_ID_MOST + TLV_FIXED +
                       SSL_FIXED + TLV_FIXED + 4 <=
                   PROXY_HEADER_WRITE_SIZE,
               "the longest header fits");

/* Both addresses in one family. */
struct pair {
	int family; /* AF_INET, AF_INET6; AF_UNSPEC: not both are IP */
	uint8_t source[16], destination[16];
	uint16_t source_port, destination_port; /* host order */
};

/* The IPv6 form of an IP address, IPv4 mapped. False: no IP address. */
static bool to_v6(const union socket_address *address, uint8_t *bytes, uint16_t *port)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (address->any.sa_family == AF_INET6) {
		memcpy(bytes, &address->v6.sin6_addr, 16);
		*port = ntohs(address->v6.sin6_port);
		return true;
	}
	if (address->any.sa_family != AF_INET)
		return false;
	memcpy(bytes, mapped, sizeof(mapped));
	memcpy(bytes + 12, &address->v4.sin_addr, 4);
	*port = ntohs(address->v4.sin_port);
	return true;
}

static bool is_mapped(const uint8_t *bytes)
{
	struct in6_addr address;

	memcpy(&address, bytes, sizeof(address));
	return IN6_IS_ADDR_V4MAPPED(&address);
}

static struct pair pair_of(const struct proxy_facts *facts)
{
	struct pair pair = {.family = AF_UNSPEC};

	if (!to_v6(facts->source, pair.source, &pair.source_port) ||
	    !to_v6(facts->destination, pair.destination, &pair.destination_port))
		return pair;
	pair.family = is_mapped(pair.source) && is_mapped(pair.destination) ? AF_INET : AF_INET6;
	if (pair.family == AF_INET) {
		memmove(pair.source, pair.source + 12, 4);
		memmove(pair.destination, pair.destination + 12, 4);
	}
	return pair;
}

size_t proxy_header_v1(const struct proxy_facts *facts, uint8_t *bytes)
{
	struct pair pair = pair_of(facts);
	char source[INET6_ADDRSTRLEN] = "", destination[INET6_ADDRSTRLEN] = "";

	if (pair.family == AF_UNSPEC)
		return (size_t)snprintf((char *)bytes, PROXY_HEADER_WRITE_SIZE, "PROXY UNKNOWN\r\n");
	(void)inet_ntop(pair.family, pair.source, source, sizeof(source));
	(void)inet_ntop(pair.family, pair.destination, destination, sizeof(destination));
	return (size_t)snprintf((char *)bytes, PROXY_HEADER_WRITE_SIZE, "PROXY %s %s %s %u %u\r\n",
	                        pair.family == AF_INET ? "TCP4" : "TCP6", source, destination, pair.source_port,
	                        pair.destination_port);
}

static uint8_t *put16(uint8_t *at, size_t number)
{
	at[0] = (uint8_t)(number >> 8);
	at[1] = (uint8_t)number;
	return at + 2;
}

static uint8_t *put32(uint8_t *at, uint32_t number)
{
	return put16(put16(at, number >> 16), number & 0xffff);
}

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t size)
{
	memcpy(at, bytes, size);
	return at + size;
}

static uint8_t *put_tlv(uint8_t *at, uint8_t type, const void *value, size_t size)
{
	*at++ = type;
	return put_bytes(put16(at, size), value, size);
}

static uint8_t *put_text(uint8_t *at, uint8_t type, const char *text)
{
	size_t size = text != NULL ? strlen(text) : 0;

	return size > 0 && size <= TEXT_MOST ? put_tlv(at, type, text, size) : at;
}

static uint8_t *put_pair(uint8_t *at, const struct pair *pair)
{
	size_t size = pair->family == AF_INET ? 4 : 16;

	if (pair->family == AF_UNSPEC)
		return at;
	at = put_bytes(at, pair->source, size);
	at = put_bytes(at, pair->destination, size);
	return put16(put16(at, pair->source_port), pair->destination_port);
}

static uint8_t *put_ssl(uint8_t *at, const struct proxy_facts *facts)
{
	uint8_t *start = at;
	int client =
	    CLIENT_SSL | (facts->certificate_here ? CLIENT_CERT_CONN : 0) | (facts->certificate ? CLIENT_CERT_SESS : 0);

	*at = TLV_SSL;
	at += TLV_FIXED;
	*at++ = (uint8_t)client;
	at = put32(at, facts->verify);
	at = put_text(at, TLV_SSL_VERSION, facts->tls_version);
	at = put_text(at, TLV_SSL_CN, facts->common_name);
	at = put_text(at, TLV_SSL_CIPHER, facts->cipher);
	(void)put16(start + 1, (size_t)(at - start - TLV_FIXED));
	return at;
}

size_t proxy_header_v2(const struct proxy_facts *facts, uint8_t *bytes)
{
	static const uint8_t zero[4];
	struct pair pair = pair_of(facts);
	uint8_t *at = put_bytes(bytes, PROXY_SIGNATURE, SIGNATURE_SIZE);

	*at++ = COMMAND_PROXY;
	*at++ = pair.family == AF_INET ? FAMILY_TCP4 : pair.family == AF_INET6 ? FAMILY_TCP6 : FAMILY_UNSPEC;
	at = put_pair(at + 2, &pair);
	at = put_text(at, TLV_ALPN, facts->alpn);
	at = put_text(at, TLV_AUTHORITY, facts->authority);
	if (facts->unique_id != NULL && facts->unique_id_size <= UNIQUE_ID_MOST)
		at = put_tlv(at, TLV_UNIQUE_ID, facts->unique_id, facts->unique_id_size);
	if (facts->tls)
		at = put_ssl(at, facts);
	at = put_tlv(at, TLV_CRC32C, zero, sizeof(zero));
	(void)put16(bytes + 14, (size_t)(at - bytes) - V2_FIXED);
	(void)put32(at - 4, proxy_crc32c(bytes, (size_t)(at - bytes)));
	return (size_t)(at - bytes);
}
