/* The PROXY protocol, versions 1 and 2: the header of somebody else, from its bytes. */
#include "proxyheader.h"

#include <arpa/inet.h>
#include <string.h>

#include "proxyheader_bytes.h"

#define V1_MOST 107 /* CRLF included (section 2.1) */

static const char v1_start[] = "PROXY ";

static enum proxy_result bad(const char **what, const char *words)
{
	*what = words;
	return PROXY_BAD;
}

/* Bit by bit: a header is short, and there is one a connection. `skip` (or NULL): four bytes that count as 0. */
static uint32_t crc32c(const uint8_t *bytes, size_t size, const uint8_t *skip)
{
	uint32_t sum = 0xffffffff;

	for (const uint8_t *at = bytes; at < bytes + size; at++) {
		sum ^= skip != NULL && at >= skip && at < skip + 4 ? 0 : *at;
		for (int bit = 0; bit < 8; bit++)
			sum = (sum >> 1) ^ (0x82f63b78 & (0 - (sum & 1)));
	}
	return ~sum;
}

uint32_t proxy_crc32c(const uint8_t *bytes, size_t size)
{
	return crc32c(bytes, size, NULL);
}

static uint16_t get16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)get16(bytes) << 16 | get16(bytes + 2);
}

/* --- version 1 --- */

/* Do the bytes that are there agree with `word`? */
static bool agrees(const char *bytes, size_t have, const char *word)
{
	size_t length = strlen(word);

	return memcmp(bytes, word, have < length ? have : length) == 0;
}

/* The next word of a line, ended by one space; the last one by the end of the line. */
static bool take_word(char **line, char *word, size_t size)
{
	size_t length = strcspn(*line, " ");

	if (length == 0 || length >= size)
		return false;
	memcpy(word, *line, length);
	word[length] = '\0';
	*line += length;
	return true;
}

static bool take_space(char **line)
{
	bool is_space = **line == ' ';

	*line += is_space;
	return is_space;
}

/* Decimal digits alone, no zero before others. */
static bool parse_port(const char *word, uint16_t *port)
{
	uint32_t number = 0;

	if (word[0] == '0' && word[1] != '\0')
		return false;
	for (const char *at = word; *at != '\0'; at++) {
		if (*at < '0' || *at > '9')
			return false;
		number = 10 * number + (uint32_t)(*at - '0');
		if (number > 65535)
			return false;
	}
	*port = htons((uint16_t)number);
	return true;
}

static bool parse_host(int family, const char *word, union socket_address *address)
{
	memset(address, 0, sizeof(*address));
	address->any.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		return inet_pton(AF_INET, word, &address->v4.sin_addr) == 1;
	return inet_pton(AF_INET6, word, &address->v6.sin6_addr) == 1;
}

/* v4 and v6 have the port at the same place, which nobody promises. */
static void set_port(union socket_address *address, uint16_t port)
{
	if (address->any.sa_family == AF_INET)
		address->v4.sin_port = port;
	else
		address->v6.sin6_port = port;
}

/* "SOURCE DESTINATION PORT PORT" and nothing after it. */
static enum proxy_result parse_addresses(char *line, int family, struct proxy_header *header, const char **what)
{
	char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN], from[6], to[6];
	uint16_t source_port, destination_port;

	if (!take_word(&line, source, sizeof(source)) || !take_space(&line) ||
	    !take_word(&line, destination, sizeof(destination)) || !take_space(&line) ||
	    !take_word(&line, from, sizeof(from)) || !take_space(&line) || !take_word(&line, to, sizeof(to)) ||
	    *line != '\0')
		return bad(what, "PROXY line: not two addresses and two ports, with one space between them");
	if (!parse_host(family, source, &header->source) || !parse_host(family, destination, &header->destination))
		return bad(what, "PROXY line: not an address of its family");
	if (!parse_port(from, &source_port) || !parse_port(to, &destination_port))
		return bad(what, "PROXY line: not a port");
	set_port(&header->source, source_port);
	set_port(&header->destination, destination_port);
	header->known = true;
	return PROXY_OK;
}

/* A whole line, its CRLF left out. */
static enum proxy_result parse_line(const char *bytes, size_t length, struct proxy_header *header, const char **what)
{
	char line[V1_MOST + 1];

	memcpy(line, bytes, length);
	line[length] = '\0';
	if (strlen(line) != length)
		return bad(what, "PROXY line: a null byte");
	/* "must ignore anything presented before the CRLF" */
	if (strcmp(line, "UNKNOWN") == 0 || strncmp(line, "UNKNOWN ", 8) == 0)
		return PROXY_OK;
	if (strncmp(line, "TCP4 ", 5) == 0)
		return parse_addresses(line + 5, AF_INET, header, what);
	if (strncmp(line, "TCP6 ", 5) == 0)
		return parse_addresses(line + 5, AF_INET6, header, what);
	return bad(what, "PROXY line: the protocol is not TCP4, TCP6 or UNKNOWN");
}

static enum proxy_result parse_v1(const char *bytes, size_t have, struct proxy_header *header, const char **what)
{
	const size_t start = sizeof(v1_start) - 1;
	size_t end = 0, seen = have < V1_MOST ? have : V1_MOST;

	header->version = 1;
	if (have <= start)
		return PROXY_MORE;
	while (end < seen && bytes[end] != '\r' && bytes[end] != '\n')
		end++;
	if (end < seen && (bytes[end] == '\n' || (end + 1 < seen && bytes[end + 1] != '\n')))
		return bad(what, "PROXY line: CR or LF alone");
	if (end + 1 >= V1_MOST)
		return bad(what, "PROXY line: longer than 107 bytes");
	if (end + 1 < seen) {
		header->length = end + 2;
		return parse_line(bytes + start, end - start, header, what);
	}
	if (!agrees(bytes + start, end - start, "TCP4 ") && !agrees(bytes + start, end - start, "TCP6 ") &&
	    !agrees(bytes + start, end - start, "UNKNOWN"))
		return bad(what, "PROXY line: the protocol is not TCP4, TCP6 or UNKNOWN");
	return PROXY_MORE;
}

/* --- version 2 --- */

static bool next_tlv(const uint8_t **at, const uint8_t *end, const uint8_t **value, size_t *size)
{
	if (end - *at < 3)
		return false;
	*value = *at + 3;
	*size = get16(*at + 1);
	if ((size_t)(end - *value) < *size)
		return false;
	*at = *value + *size;
	return true;
}

/* The TLVs inside of PP2_TYPE_SSL. */
static bool ssl_is_whole(const uint8_t *bytes, size_t size)
{
	const uint8_t *at = bytes + SSL_FIXED, *end = bytes + size, *value;

	if (size < SSL_FIXED)
		return false;
	while (at < end)
		if (!next_tlv(&at, end, &value, &size))
			return false;
	return true;
}

static enum proxy_result check_tlvs(const uint8_t *header, const uint8_t *at, const uint8_t *end, const char **what)
{
	const uint8_t *value, *sum = NULL;
	size_t size;

	while (at < end) {
		uint8_t type = at[0];

		if (!next_tlv(&at, end, &value, &size))
			return bad(what, "PROXY header: a TLV runs past the end");
		if (type == TLV_CRC32C && (size != 4 || sum != NULL))
			return bad(what, "PROXY header: not one checksum of four bytes");
		if (type == TLV_CRC32C)
			sum = value;
		if (type == TLV_UNIQUE_ID && size > UNIQUE_ID_MOST)
			return bad(what, "PROXY header: a unique id of more than 128 bytes");
		if (type == TLV_SSL && !ssl_is_whole(value, size))
			return bad(what, "PROXY header: the facts of TLS are not whole");
	}
	if (sum != NULL && crc32c(header, (size_t)(end - header), sum) != get32(sum))
		return bad(what, "PROXY header: the checksum is wrong");
	return PROXY_OK;
}

/* The bytes of both addresses of a family byte; SIZE_MAX where this is no stream that we know. */
static size_t block_size(uint8_t family)
{
	switch (family) {
	case FAMILY_UNSPEC:
		return 0;
	case FAMILY_TCP4:
		return TCP4_BLOCK;
	case FAMILY_TCP6:
		return TCP6_BLOCK;
	case FAMILY_UNIX:
		return 2 * UNIX_PATH;
	default:
		return SIZE_MAX;
	}
}

static void read_v4(const uint8_t *block, struct proxy_header *header)
{
	header->source.v4.sin_family = header->destination.v4.sin_family = AF_INET;
	memcpy(&header->source.v4.sin_addr, block, 4);
	memcpy(&header->destination.v4.sin_addr, block + 4, 4);
	header->source.v4.sin_port = htons(get16(block + 8));
	header->destination.v4.sin_port = htons(get16(block + 10));
}

static void read_v6(const uint8_t *block, struct proxy_header *header)
{
	header->source.v6.sin6_family = header->destination.v6.sin6_family = AF_INET6;
	memcpy(&header->source.v6.sin6_addr, block, 16);
	memcpy(&header->destination.v6.sin6_addr, block + 16, 16);
	header->source.v6.sin6_port = htons(get16(block + 32));
	header->destination.v6.sin6_port = htons(get16(block + 34));
}

/* A name that is no absolute path is left out: the client chose it, and it could be read as what the kernel says of a
 * local client (socket_set_credentials). */
static void read_path(const uint8_t *path, struct sockaddr_un *address)
{
	address->sun_family = AF_UNIX;
	if (path[0] == '/')
		memcpy(address->sun_path, path, UNIX_PATH - 1);
}

static void read_unix(const uint8_t *block, struct proxy_header *header)
{
	read_path(block, &header->source.local);
	read_path(block + UNIX_PATH, &header->destination.local);
}

static void read_block(uint8_t family, const uint8_t *block, struct proxy_header *header)
{
	if (family == FAMILY_TCP4)
		read_v4(block, header);
	else if (family == FAMILY_TCP6)
		read_v6(block, header);
	else if (family == FAMILY_UNIX)
		read_unix(block, header);
	header->known = family != FAMILY_UNSPEC;
}

/* The bytes between the signature and the addresses, as far as they are there. */
static enum proxy_result check_fixed(const uint8_t *bytes, size_t have, const char **what)
{
	bool local = have > 12 && bytes[12] == COMMAND_LOCAL;

	if (have > 12 && bytes[12] >> 4 != 2)
		return bad(what, "PROXY header: a version other than 2");
	if (have > 12 && (bytes[12] & 0x0f) > 1)
		return bad(what, "PROXY header: a command other than LOCAL and PROXY");
	if (have > 13 && !local && block_size(bytes[13]) == SIZE_MAX)
		return bad(what, "PROXY header: not TCP over IPv4 or IPv6, and not a unix stream");
	if (have < V2_FIXED)
		return PROXY_MORE;
	if (V2_FIXED + (size_t)get16(bytes + 14) > PROXY_HEADER_MOST)
		return bad(what, "PROXY header: longer than 4096 bytes");
	if (!local && get16(bytes + 14) < block_size(bytes[13]))
		return bad(what, "PROXY header: too short for its addresses");
	return PROXY_OK;
}

static enum proxy_result parse_v2(const uint8_t *bytes, size_t have, struct proxy_header *header, const char **what)
{
	enum proxy_result result = check_fixed(bytes, have, what);

	header->version = 2;
	if (result != PROXY_OK)
		return result;
	header->length = V2_FIXED + (size_t)get16(bytes + 14);
	if (have < header->length)
		return PROXY_MORE;
	/* LOCAL: "discard the protocol block including the family" */
	if (bytes[12] == COMMAND_LOCAL)
		return PROXY_OK;
	result = check_tlvs(bytes, bytes + V2_FIXED + block_size(bytes[13]), bytes + header->length, what);
	if (result == PROXY_OK)
		read_block(bytes[13], bytes + V2_FIXED, header);
	return result;
}

enum proxy_result proxy_header_parse(const uint8_t *bytes, size_t have, struct proxy_header *header, const char **what)
{
	const size_t v1_size = sizeof(v1_start) - 1;

	memset(header, 0, sizeof(*header));
	*what = "";
	if (memcmp(bytes, PROXY_SIGNATURE, have < SIGNATURE_SIZE ? have : SIGNATURE_SIZE) == 0)
		return parse_v2(bytes, have, header, what);
	if (memcmp(bytes, v1_start, have < v1_size ? have : v1_size) == 0)
		return parse_v1((const char *)bytes, have, header, what);
	*what = "no PROXY header";
	return PROXY_FOREIGN;
}
