/* Numbers of the PROXY protocol that its reader and its writer share (sections 2.2 to 2.2.6); for these two alone. */
#ifndef PROXYHEADER_BYTES_H
#define PROXYHEADER_BYTES_H

#define PROXY_SIGNATURE "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
#define SIGNATURE_SIZE 12
#define V2_FIXED 16 /* signature, version and command, family, length */

/* Version and command: the 13th byte. */
#define COMMAND_LOCAL 0x20
#define COMMAND_PROXY 0x21

/* Family and transport: the 14th byte; and the bytes of both addresses, with their ports. */
#define FAMILY_UNSPEC 0x00
#define FAMILY_TCP4 0x11
#define FAMILY_TCP6 0x21
#define FAMILY_UNIX 0x31
#define TCP4_BLOCK (2 * 4 + 2 * 2)
#define TCP6_BLOCK (2 * 16 + 2 * 2)
#define UNIX_PATH 108

#define TLV_ALPN 0x01
#define TLV_AUTHORITY 0x02
#define TLV_CRC32C 0x03
#define TLV_UNIQUE_ID 0x05
#define TLV_SSL 0x20
#define TLV_SSL_VERSION 0x21
#define TLV_SSL_CN 0x22
#define TLV_SSL_CIPHER 0x23

#define UNIQUE_ID_MOST 128

/* Inside TLV_SSL: client bits and verify, before TLVs of its own. */
#define SSL_FIXED 5
#define CLIENT_SSL 0x01
#define CLIENT_CERT_CONN 0x02
#define CLIENT_CERT_SESS 0x04

#endif
