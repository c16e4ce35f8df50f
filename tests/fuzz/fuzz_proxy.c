/*
 * PROXY headers, read and written. Even first byte: the rest is the begin of a connection; the verdict falls once, at the same byte however
 * it is cut into pieces, and does not change with what follows. Odd: facts out of the bytes are written in both versions, and read
 * again as the same addresses.
 */
#include <arpa/inet.h>

#include "input.h"
#include "proxyheader.h"

static bool same(const struct proxy_header *a, const struct proxy_header *b)
{
	return a->version == b->version && a->length == b->length && a->known == b->known &&
	       (!a->known || (memcmp(&a->source, &b->source, socket_length(&a->source)) == 0 &&
	                      memcmp(&a->destination, &b->destination, socket_length(&a->destination)) == 0));
}

static void check_known(const struct proxy_header *header)
{
	FUZZ_CHECK(header->source.any.sa_family == header->destination.any.sa_family, "two families in a header");
	FUZZ_CHECK(header->source.any.sa_family == AF_INET || header->source.any.sa_family == AF_INET6 ||
	               header->source.any.sa_family == AF_UNIX,
	           "family %d", header->source.any.sa_family);
	FUZZ_CHECK(header->version == 2 || header->source.any.sa_family != AF_UNIX, "a unix socket in version 1");
}

static enum proxy_result parse(const uint8_t *bytes, size_t have, struct proxy_header *header)
{
	uint8_t *exact = malloc(have); /* what reads past it is found */
	const char *what = NULL;
	enum proxy_result result;

	FUZZ_CHECK(exact != NULL, "no memory");
	memcpy(exact, bytes, have);
	memset(header, 0, sizeof(*header));
	result = proxy_header_parse(exact, have, header, &what);
	FUZZ_CHECK(result == PROXY_OK || result == PROXY_MORE || result == PROXY_FOREIGN || what != NULL, "a fault without words");
	free(exact);
	return result;
}

static void look(const uint8_t *bytes, size_t size)
{
	enum proxy_result first = PROXY_MORE, now;
	struct proxy_header header, later;
	size_t at = 0;

	while (at < size && first == PROXY_MORE)
		first = parse(bytes, ++at, &header);
	if (first == PROXY_MORE) {
		FUZZ_CHECK(size < PROXY_HEADER_MOST, "%zu bytes, and still no verdict", size);
		return;
	}
	if (first == PROXY_OK) {
		FUZZ_CHECK(header.length == at, "a header of %zu bytes is whole at %zu", header.length, at);
		if (header.known)
			check_known(&header);
	}
	for (size_t step = 1; at < size; step *= 2) {
		at = size - at > step ? at + step : size;
		now = parse(bytes, at, &later);
		FUZZ_CHECK(now == first, "the verdict was %d, and is %d with more bytes", first, now);
		FUZZ_CHECK(now != PROXY_OK || same(&header, &later), "with more bytes it says something else");
	}
}

/* --- written --- */

static void make_address(struct input *input, union socket_address *address)
{
	memset(address, 0, sizeof(*address));
	switch (input_byte(input) % 4) {
	case 0:
		address->v4.sin_family = AF_INET;
		input_bytes(input, &address->v4.sin_addr, 4);
		input_bytes(input, &address->v4.sin_port, 2);
		return;
	case 1:
		address->any.sa_family = AF_UNIX;
		return;
	case 2:
		address->v6.sin6_family = AF_INET6;
		memcpy(address->v6.sin6_addr.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
		input_bytes(input, address->v6.sin6_addr.s6_addr + 12, 4);
		input_bytes(input, &address->v6.sin6_port, 2);
		return;
	default:
		address->v6.sin6_family = AF_INET6;
		input_bytes(input, &address->v6.sin6_addr, 16);
		input_bytes(input, &address->v6.sin6_port, 2);
	}
}

/* As IPv6, mapped where it is IPv4. */
static void widen(const union socket_address *address, uint8_t bytes[18])
{
	memset(bytes, 0, 18);
	if (address->any.sa_family == AF_INET) {
		bytes[10] = bytes[11] = 0xff;
		memcpy(bytes + 12, &address->v4.sin_addr, 4);
		memcpy(bytes + 16, &address->v4.sin_port, 2);
	} else {
		memcpy(bytes, &address->v6.sin6_addr, 16);
		memcpy(bytes + 16, &address->v6.sin6_port, 2);
	}
}

static void check_written(const struct proxy_facts *facts, const uint8_t *bytes, size_t size, unsigned version)
{
	bool is_ip = facts->source->any.sa_family != AF_UNIX && facts->destination->any.sa_family != AF_UNIX;
	uint8_t wanted[2][18], got[2][18];
	struct proxy_header header;

	FUZZ_CHECK(size > 0 && size <= (version == 1 ? 107 : PROXY_HEADER_WRITE_SIZE), "%zu bytes written", size);
	for (size_t have = 1; have < size; have++)
		FUZZ_CHECK(parse(bytes, have, &header) == PROXY_MORE, "what we write is cut short at %zu", have);
	FUZZ_CHECK(parse(bytes, size, &header) == PROXY_OK, "what we write is refused");
	FUZZ_CHECK(header.version == version && header.length == size && header.known == is_ip, "what we write reads otherwise");
	if (!is_ip)
		return;
	widen(facts->source, wanted[0]);
	widen(facts->destination, wanted[1]);
	widen(&header.source, got[0]);
	widen(&header.destination, got[1]);
	FUZZ_CHECK(memcmp(wanted, got, sizeof(got)) == 0, "addresses come back as others");
}

static void write_and_read(struct input *input)
{
	union socket_address source, destination;
	struct proxy_facts facts = {.source = &source, .destination = &destination};
	uint8_t bytes[PROXY_HEADER_WRITE_SIZE], flags = input_byte(input), id[128];

	make_address(input, &source);
	make_address(input, &destination);
	facts.unique_id_size = input_byte(input) % 129;
	input_bytes(input, id, sizeof(id));
	facts.unique_id = flags & 8 ? id : NULL;
	facts.tls = flags & 1;
	facts.certificate_here = flags & 2;
	facts.certificate = flags & 4;
	facts.verify = (uint32_t)input_number(input);
	facts.alpn = input_text_or_null(input, 300);
	facts.authority = input_text_or_null(input, 300);
	facts.tls_version = input_text_or_null(input, 300);
	facts.cipher = input_text_or_null(input, 300);
	facts.common_name = input_text_or_null(input, 300);
	check_written(&facts, bytes, proxy_header_v1(&facts, bytes), 1);
	check_written(&facts, bytes, proxy_header_v2(&facts, bytes), 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input input;

	input_open(&input, bytes, size);
	if (input_byte(&input) % 2 == 1)
		write_and_read(&input);
	else
		look(input.at, input.size);
	input_close(&input);
	return 0;
}
