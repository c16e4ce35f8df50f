/*
 * The codec of the PROXY protocol, versions 1 and 2 (HAProxy's specification, sections 2.1 and 2.2): the header by
 * which a balancer says for whom it connects. Pure: bytes in, bytes out; knows no socket and trusts nobody.
 */
#ifndef PROXYHEADER_H
#define PROXYHEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "compiler.h"

/* The longest header that is taken, its TLVs included; a line of version 1 has at most 107 bytes. */
#define PROXY_HEADER_MOST 4096

/* Room that proxy_header_v1 and proxy_header_v2 want. */
#define PROXY_HEADER_WRITE_SIZE 1536

enum proxy_result {
	PROXY_OK,
	PROXY_MORE,    /* nothing is wrong so far, and every byte seen belongs to the header */
	PROXY_FOREIGN, /* does not begin as a header of either version */
	PROXY_BAD,     /* begins as one, and breaks the specification */
};

struct proxy_header {
	unsigned version; /* 1 or 2 */
	size_t length;    /* bytes of the header: what follows them belongs to the connection */
	bool known;       /* false (UNKNOWN, LOCAL, UNSPEC): the addresses of the socket itself hold */
	union socket_address source, destination; /* AF_INET, AF_INET6 or AF_UNIX; where known */
};

/* Look at the first `have` (at least 1) bytes of a connection. PROXY_OK: the header is whole, well-formed, and its
 * checksum, where it has one, is right. A fault is found at the first byte that shows it; `what` (not NULL) is then set
 * to a static text that names it. UDP is refused: this is a stream. */
enum proxy_result proxy_header_parse(const uint8_t *bytes, size_t have, struct proxy_header *header,
                                     const char **what) MUST_CHECK;

/* What a header says. Texts are borrowed; NULL or "" where there is nothing to say; longer than 255 bytes they are
 * left out, since a cut name is another name. */
struct proxy_facts {
	const union socket_address *source, *destination; /* borrowed */
	const uint8_t *unique_id;                         /* borrowed; NULL: none */
	size_t unique_id_size;                            /* at most 128 */
	const char *alpn, *authority;
	bool tls;                         /* the client's connection is TLS; what follows is read only then */
	bool certificate_here;            /* it showed its certificate in this handshake */
	bool certificate;                 /* in this handshake, or in the one that the session is from */
	uint32_t verify;                  /* 0: the certificate was verified */
	const char *tls_version, *cipher; /* as OpenSSL names them: TLSv1.3, TLS_AES_128_GCM_SHA256 */
	const char *common_name;
};

/* Write a line of version 1 (only the addresses). IPv4-mapped addresses become IPv4; where only one side is IPv4, it is
 * written as IPv4-mapped IPv6. Whatever is not IP makes it UNKNOWN. Returns the length. */
size_t proxy_header_v1(const struct proxy_facts *facts, uint8_t *bytes);

/* Write a header of version 2 with all facts as TLVs and a checksum. Addresses as above, UNSPEC in place of UNKNOWN.
 * Returns the length. */
size_t proxy_header_v2(const struct proxy_facts *facts, uint8_t *bytes);

/* CRC32C (RFC 4960, appendix B) of `size` bytes. */
uint32_t proxy_crc32c(const uint8_t *bytes, size_t size);

#endif
