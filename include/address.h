/*
 * Addresses as users write them and as the kernel takes them: IP, host name, unix socket, builtin service, passed; and
 * networks in CIDR notation. Resolves nothing and opens nothing.
 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "compiler.h"
#include "text.h"

/* Longest text that address_format and socket_format write, terminator included. */
#define ADDRESS_TEXT_SIZE 288

#define HOST_NAME_SIZE 254

enum address_kind {
	ADDRESS_IP,     /* 127.0.0.1:1202, [::1]:1202 or [fe80::1%eth0]:1202; `socket` is ready for connect or bind */
	ADDRESS_NAME,   /* host.example:1202; `host` and `port` */
	ADDRESS_UNIX,   /* unix:/run/payroll.sock; `socket` is ready */
	ADDRESS_ECHO,   /* builtin:echo */
	ADDRESS_PASSED, /* systemd:web: sockets that whoever started the process has opened; the name is in `host` */
};

/* Any socket address the gateway meets, without the padding of sockaddr_storage. */
union socket_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
};

struct address {
	enum address_kind kind;
	uint16_t port; /* host order; 0 for unix and builtin, or "any" for a listener on port 0 */
	socklen_t socket_length;
	union socket_address socket;
	char host[HOST_NAME_SIZE];
};

struct address_list {
	struct address *at; /* owned by the list's owner */
	size_t count;
};

/* Parse one address. `default_port` is taken where the text has none; 0 means a port is required. A bare IPv6
 * address needs brackets; a link-local one needs the interface (which has to exist). 0, or -1 with `error` that says
 * what was meant. */
int address_parse(const char *text, uint16_t default_port, struct address *address, struct error *error) MUST_CHECK;

/* Write the address so that address_parse reads it back. `buffer` has ADDRESS_TEXT_SIZE bytes. Returns `buffer`. */
const char *address_format(const struct address *address, char *buffer);

/* Write a kernel address: 127.0.0.1:5, [::1]:5, unix:/path, unix:uid=0,pid=12 (socket_set_credentials), or "unix" for
 * an unnamed one. IPv4-mapped IPv6 is written as IPv4. `buffer` has ADDRESS_TEXT_SIZE bytes. Returns `buffer`. */
const char *socket_format(const union socket_address *socket, char *buffer);

/* Are they the same, as they would be bound or looked up? Names are compared byte by byte. */
bool address_equal(const struct address *a, const struct address *b);

/* Is `found`, which the kernel says that a socket is bound to, what `asked` (IP or unix) names? With port 0 any port
 * is. */
bool address_means(const struct address *asked, const union socket_address *found);

/* Make `socket` the address of the process that the kernel says is at the other end of a unix socket. */
void socket_set_credentials(union socket_address *socket, unsigned long uid, unsigned long pid);

/* Bytes that bind and connect want for this family. */
socklen_t socket_length(const union socket_address *socket);

/* Is it loopback (127/8, ::1) or a unix socket? */
bool socket_is_local(const union socket_address *socket);

/* A network in CIDR notation: 10.20.0.0/16, 2001:db8::/32; a bare address is a network of one. The word unix is all
 * unix sockets. */
struct network {
	int family; /* AF_INET or AF_INET6; AF_UNIX, which says all */
	unsigned bits;
	uint8_t bytes[16];
};

struct network_list {
	struct network *at; /* owned by the list's owner */
	size_t count;
};

/* Parse one network. Bits set beyond the prefix are an error (the remedy names the network meant). */
int network_parse(const char *text, struct network *network, struct error *error) MUST_CHECK;

/* Write the network so that network_parse reads it back; `buffer` has ADDRESS_TEXT_SIZE bytes. Returns `buffer`. */
const char *network_format(const struct network *network, char *buffer);

/* Does the network contain the address? IPv4-mapped IPv6 addresses count as IPv4. A unix socket is in the
 * network unix alone. */
bool network_contains(const struct network *network, const union socket_address *socket);

/* Does one of them? An empty list contains nothing. */
bool network_list_contains(const struct network_list *networks, const union socket_address *socket);

/* The key under which connections are counted per source: the whole IPv4 address, the first 64 bits of an IPv6
 * one, one key for all unix sockets. */
struct source_key {
	uint8_t bytes[16];
};

void source_key_of(const union socket_address *socket, struct source_key *key);

/* Turn Nagle's algorithm off where `fd` is a TCP socket for `address`; connections accepted from it inherit that. */
void socket_no_delay(int fd, const union socket_address *address);

/* Let the kernel find out that the other side of a TCP connection is gone: after `keepalive_ms` of silence it asks, six
 * times, a sixth of that time apart; `user_timeout_ms`: sent bytes that stay unacknowledged for so long. 0 leaves
 * either as it is; both are rounded up to what the kernel can do (seconds, up to nine hours, for the first). Other
 * sockets are left alone. */
void socket_keep_alive(int fd, uint64_t keepalive_ms, uint64_t user_timeout_ms);

#endif
