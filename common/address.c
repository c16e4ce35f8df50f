/* Addresses and networks as text, and as the kernel takes them. */
#include "address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#define UNIX_PREFIX "unix:"
#define ECHO_TEXT "builtin:echo"
#define PASSED_PREFIX "systemd:"
#define UNIX_NETWORK "unix"
#define KEEPALIVE_PROBES 6
#define KEEPALIVE_MOST_S 32767 /* of the kernel */

/* The port after a colon; `text` empty: the default. */
static int parse_port(const char *text, uint16_t default_port, uint16_t *port, struct error *error)
{
	uint64_t number;

	if (text == NULL) {
		*port = default_port;
		return default_port != 0 ? 0 : error_set(error, "a port is missing: write HOST:PORT");
	}
	if (text_to_number(text, 0, 65535, &number, error) != 0)
		return error_prefix(error, "port");
	*port = (uint16_t)number;
	return 0;
}

static bool host_name_valid(const char *host)
{
	size_t label = 0, length = strlen(host);

	if (length == 0 || length >= HOST_NAME_SIZE)
		return false;
	for (const char *at = host; *at != '\0'; at++) {
		bool word = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') ||
		            *at == '_';

		if (*at == '.' && (label == 0 || at[-1] == '-'))
			return false;
		if (*at != '.' && !word && (*at != '-' || label == 0))
			return false;
		label = *at == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return host[length - 1] != '-';
}

static int set_ip(struct address *address, const char *host, uint16_t port)
{
	address->kind = ADDRESS_IP;
	address->port = port;
	if (inet_pton(AF_INET, host, &address->socket.v4.sin_addr) == 1) {
		address->socket.v4.sin_family = AF_INET;
		address->socket.v4.sin_port = htons(port);
	} else if (inet_pton(AF_INET6, host, &address->socket.v6.sin6_addr) == 1) {
		address->socket.v6.sin6_family = AF_INET6;
		address->socket.v6.sin6_port = htons(port);
	} else {
		return -1;
	}
	address->socket_length = socket_length(&address->socket);
	(void)snprintf(address->host, sizeof(address->host), "%s", host);
	return 0;
}

static int parse_unix(const char *path, struct address *address, struct error *error)
{
	if (path[0] != '/')
		return error_set(error, "\"unix:%.64s\" needs an absolute path, such as unix:/run/service.sock", path);
	if (strlen(path) >= sizeof(address->socket.local.sun_path))
		return error_set(error, "the path of a unix socket has at most %zu characters",
		                 sizeof(address->socket.local.sun_path) - 1);
	address->kind = ADDRESS_UNIX;
	address->socket.local.sun_family = AF_UNIX;
	memcpy(address->socket.local.sun_path, path, strlen(path) + 1);
	address->socket_length = socket_length(&address->socket);
	return 0;
}

/* As the service manager takes it: printable, without a colon (sd_listen_fds_with_names(3)). */
static int parse_passed(const char *name, struct address *address, struct error *error)
{
	size_t length = strlen(name);

	if (length == 0 || length >= sizeof(address->host) || strchr(name, ':') != NULL)
		return error_set(
		    error, "\"systemd:%.64s\" needs the FileDescriptorName= of a socket unit: 1 to %zu characters, no colon",
		    name, sizeof(address->host) - 1);
	address->kind = ADDRESS_PASSED;
	memcpy(address->host, name, length + 1);
	return 0;
}

/* An interface by name or number, of a link-local address; NULL: none was given. */
static int set_scope(struct address *address, const char *scope, struct error *error)
{
	struct sockaddr_in6 *v6 = &address->socket.v6;
	bool local = v6->sin6_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
	uint64_t number;

	if (!local && scope != NULL)
		return error_set(error, "\"%%%.32s\": only a link-local address (fe80::/10) has an interface", scope);
	if (!local)
		return 0;
	if (scope == NULL)
		return error_set(error, "a link-local address needs its interface: [%s%%eth0]:PORT", address->host);
	v6->sin6_scope_id = if_nametoindex(scope);
	if (v6->sin6_scope_id == 0 && text_to_number(scope, 1, INT32_MAX, &number, error) == 0)
		v6->sin6_scope_id = (uint32_t)number;
	if (v6->sin6_scope_id == 0)
		return error_set(error, "there is no network interface \"%.32s\": take one that `ip link` shows", scope);
	return 0;
}

static int parse_bracketed(const char *text, uint16_t default_port, struct address *address, struct error *error)
{
	char host[INET6_ADDRSTRLEN + IF_NAMESIZE];
	const char *end = strchr(text, ']');
	size_t length = end != NULL ? (size_t)(end - text - 1) : 0;
	char *scope;
	uint16_t port = 0;

	if (end == NULL || length == 0 || length >= sizeof(host) || (end[1] != '\0' && end[1] != ':'))
		return error_set(error, "\"%.64s\" is not an IPv6 address: write [ADDRESS]:PORT", text);
	memcpy(host, text + 1, length);
	host[length] = '\0';
	if (parse_port(end[1] == ':' ? end + 2 : NULL, default_port, &port, error) != 0)
		return -1;
	scope = strchr(host, '%');
	if (scope != NULL)
		*scope++ = '\0';
	if (strchr(host, ':') == NULL || set_ip(address, host, port) != 0)
		return error_set(error, "\"%.64s\" is not an IPv6 address", host);
	return set_scope(address, scope, error);
}

int address_parse(const char *text, uint16_t default_port, struct address *address, struct error *error)
{
	const char *colon = strrchr(text, ':');
	size_t length = colon != NULL ? (size_t)(colon - text) : strlen(text);
	char host[HOST_NAME_SIZE];
	uint16_t port = 0;

	memset(address, 0, sizeof(*address));
	if (strcmp(text, ECHO_TEXT) == 0) {
		address->kind = ADDRESS_ECHO;
		return 0;
	}
	if (strncmp(text, "builtin:", 8) == 0)
		return error_set(error, "\"%.64s\" is not known: the one builtin service is builtin:echo", text);
	if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
		return parse_unix(text + strlen(UNIX_PREFIX), address, error);
	if (strncmp(text, PASSED_PREFIX, strlen(PASSED_PREFIX)) == 0)
		return parse_passed(text + strlen(PASSED_PREFIX), address, error);
	if (text[0] == '[')
		return parse_bracketed(text, default_port, address, error);
	if (strchr(text, ':') != colon)
		return error_set(error, "\"%.64s\" has more than one colon: write an IPv6 address as [ADDRESS]:PORT", text);
	if (length >= sizeof(host))
		return error_set(error, "a host name has at most %d characters", HOST_NAME_SIZE - 1);
	memcpy(host, text, length);
	host[length] = '\0';
	if (parse_port(colon != NULL ? colon + 1 : NULL, default_port, &port, error) != 0)
		return -1;
	if (set_ip(address, host, port) == 0)
		return 0;
	/* What looks like an IPv4 address and is none would only fail in the resolver. */
	if (!host_name_valid(host) || strspn(host, "0123456789.") == strlen(host))
		return error_set(error, "\"%.64s\" is neither an address nor a host name", host);
	address->kind = ADDRESS_NAME;
	address->port = port;
	(void)snprintf(address->host, sizeof(address->host), "%s", host);
	return 0;
}

const char *address_format(const struct address *address, char *buffer)
{
	switch (address->kind) {
	case ADDRESS_ECHO:
		(void)snprintf(buffer, ADDRESS_TEXT_SIZE, "%s", ECHO_TEXT);
		return buffer;
	case ADDRESS_PASSED:
		(void)snprintf(buffer, ADDRESS_TEXT_SIZE, PASSED_PREFIX "%s", address->host);
		return buffer;
	case ADDRESS_NAME:
		(void)snprintf(buffer, ADDRESS_TEXT_SIZE, "%s:%u", address->host, address->port);
		return buffer;
	default:
		return socket_format(&address->socket, buffer);
	}
}

/* The IPv4 address inside an IPv6 one; NULL where it is none. */
static const uint8_t *mapped(const union socket_address *socket)
{
	if (socket->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&socket->v6.sin6_addr))
		return NULL;
	return socket->v6.sin6_addr.s6_addr + 12;
}

/* By hand: three lines of the log for every connection have two of them each. */
static void format_v4(const uint8_t *address, uint16_t port, char *buffer)
{
	struct text text;

	text_init(&text, buffer, ADDRESS_TEXT_SIZE);
	for (int i = 0; i < 4; i++) {
		text_put_number(&text, address[i], 1);
		text_puts(&text, i < 3 ? "." : ":");
	}
	text_put_number(&text, ntohs(port), 1);
}

static void format_v6(const struct sockaddr_in6 *address, char *buffer)
{
	char host[INET6_ADDRSTRLEN] = "", name[IF_NAMESIZE], scope[IF_NAMESIZE + 1] = "";

	(void)inet_ntop(AF_INET6, &address->sin6_addr, host, sizeof(host));
	if (address->sin6_scope_id != 0 && if_indextoname(address->sin6_scope_id, name) != NULL)
		(void)snprintf(scope, sizeof(scope), "%%%s", name);
	else if (address->sin6_scope_id != 0)
		(void)snprintf(scope, sizeof(scope), "%%%u", address->sin6_scope_id);
	(void)snprintf(buffer, ADDRESS_TEXT_SIZE, "[%s%s]:%u", host, scope, ntohs(address->sin6_port));
}

static void format_unix(const struct sockaddr_un *address, char *buffer)
{
	if (address->sun_path[0] != '\0')
		(void)snprintf(buffer, ADDRESS_TEXT_SIZE, UNIX_PREFIX "%.107s", address->sun_path);
	else if (address->sun_path[1] != '\0')
		(void)snprintf(buffer, ADDRESS_TEXT_SIZE, UNIX_PREFIX "%.106s", address->sun_path + 1);
	else
		(void)snprintf(buffer, ADDRESS_TEXT_SIZE, "unix");
}

const char *socket_format(const union socket_address *socket, char *buffer)
{
	switch (socket->any.sa_family) {
	case AF_INET:
		format_v4((const uint8_t *)&socket->v4.sin_addr, socket->v4.sin_port, buffer);
		break;
	case AF_INET6:
		if (mapped(socket) != NULL)
			format_v4(mapped(socket), socket->v6.sin6_port, buffer);
		else
			format_v6(&socket->v6, buffer);
		break;
	case AF_UNIX:
		format_unix(&socket->local, buffer);
		break;
	default:
		(void)snprintf(buffer, ADDRESS_TEXT_SIZE, "unknown");
		break;
	}
	return buffer;
}

bool address_equal(const struct address *a, const struct address *b)
{
	if (a->kind != b->kind || a->port != b->port)
		return false;
	if (a->kind == ADDRESS_IP || a->kind == ADDRESS_UNIX)
		return a->socket_length == b->socket_length && memcmp(&a->socket, &b->socket, a->socket_length) == 0;
	return strcmp(a->host, b->host) == 0;
}

void socket_set_credentials(union socket_address *socket, unsigned long uid, unsigned long pid)
{
	memset(socket, 0, sizeof(*socket));
	socket->local.sun_family = AF_UNIX;
	(void)snprintf(socket->local.sun_path + 1, sizeof(socket->local.sun_path) - 1, "uid=%lu,pid=%lu", uid, pid);
}

socklen_t socket_length(const union socket_address *socket)
{
	switch (socket->any.sa_family) {
	case AF_INET:
		return sizeof(socket->v4);
	case AF_INET6:
		return sizeof(socket->v6);
	default:
		return sizeof(socket->local);
	}
}

/* The bytes that networks are compared with; NULL for a unix socket. */
static const uint8_t *address_bytes(const union socket_address *socket, int *family)
{
	const uint8_t *inner = mapped(socket);

	*family = inner != NULL ? AF_INET : socket->any.sa_family;
	if (inner != NULL)
		return inner;
	if (*family == AF_INET)
		return (const uint8_t *)&socket->v4.sin_addr;
	return *family == AF_INET6 ? socket->v6.sin6_addr.s6_addr : NULL;
}

bool socket_is_local(const union socket_address *socket)
{
	int family;
	const uint8_t *bytes = address_bytes(socket, &family);

	if (bytes == NULL)
		return socket->any.sa_family == AF_UNIX;
	return family == AF_INET ? bytes[0] == 127 : IN6_IS_ADDR_LOOPBACK(&socket->v6.sin6_addr) != 0;
}

/* Clear the bits beyond the prefix. True: there were some. */
static bool clear_host_bits(struct network *network)
{
	bool found = false;

	for (unsigned bit = network->bits; bit < 8 * sizeof(network->bytes); bit++) {
		uint8_t mask = (uint8_t)(0x80 >> (bit % 8));

		found = found || (network->bytes[bit / 8] & mask) != 0;
		network->bytes[bit / 8] &= (uint8_t)~mask;
	}
	return found;
}

int network_parse(const char *text, struct network *network, struct error *error)
{
	const char *slash = strchr(text, '/');
	size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);
	char host[INET6_ADDRSTRLEN], meant[ADDRESS_TEXT_SIZE];
	uint64_t bits;

	memset(network, 0, sizeof(*network));
	if (strcmp(text, UNIX_NETWORK) == 0) {
		network->family = AF_UNIX;
		return 0;
	}
	if (length < sizeof(host)) {
		memcpy(host, text, length);
		host[length] = '\0';
		network->family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
	}
	if (network->family == 0 || inet_pton(network->family, host, network->bytes) != 1)
		return error_set(error, "\"%.64s\" is not a network: write it as 10.20.0.0/16, 2001:db8::/32 or unix", text);
	bits = network->family == AF_INET ? 32 : 128;
	if (slash != NULL && text_to_number(slash + 1, 0, bits, &bits, error) != 0)
		return error_prefix(error, "prefix length of \"%.64s\"", text);
	network->bits = (unsigned)bits;
	if (clear_host_bits(network))
		return error_set(error, "\"%.64s\" has bits set beyond its prefix: %s is the network", text,
		                 network_format(network, meant));
	return 0;
}

const char *network_format(const struct network *network, char *buffer)
{
	char host[INET6_ADDRSTRLEN] = "";

	if (network->family == AF_UNIX) {
		(void)snprintf(buffer, ADDRESS_TEXT_SIZE, "%s", UNIX_NETWORK);
		return buffer;
	}
	(void)inet_ntop(network->family, network->bytes, host, sizeof(host));
	(void)snprintf(buffer, ADDRESS_TEXT_SIZE, "%s/%u", host, network->bits);
	return buffer;
}

bool network_contains(const struct network *network, const union socket_address *socket)
{
	int family;
	const uint8_t *bytes = address_bytes(socket, &family);
	unsigned whole = network->bits / 8, rest = network->bits % 8;

	if (bytes == NULL)
		return family == AF_UNIX && network->family == AF_UNIX;
	if (family != network->family || memcmp(bytes, network->bytes, whole) != 0)
		return false;
	return rest == 0 || ((bytes[whole] ^ network->bytes[whole]) >> (8 - rest)) == 0;
}

bool network_list_contains(const struct network_list *networks, const union socket_address *socket)
{
	for (size_t i = 0; i < networks->count; i++)
		if (network_contains(&networks->at[i], socket))
			return true;
	return false;
}

void source_key_of(const union socket_address *socket, struct source_key *key)
{
	int family;
	const uint8_t *bytes = address_bytes(socket, &family);

	memset(key, 0, sizeof(*key));
	key->bytes[0] = (uint8_t)family;
	if (bytes != NULL)
		memcpy(key->bytes + 1, bytes, family == AF_INET ? 4 : 8);
}

void socket_no_delay(int fd, const union socket_address *address)
{
	int on = 1;

	if (address->any.sa_family != AF_UNIX)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* Seconds that the kernel takes, from milliseconds. */
static int keepalive_seconds(uint64_t ms)
{
	uint64_t seconds = (ms + 999) / 1000;

	return seconds < KEEPALIVE_MOST_S ? (int)seconds : KEEPALIVE_MOST_S;
}

void socket_keep_alive(int fd, uint64_t keepalive_ms, uint64_t user_timeout_ms)
{
	int on = 1, probes = KEEPALIVE_PROBES;
	int idle = keepalive_seconds(keepalive_ms), interval = keepalive_seconds(keepalive_ms / KEEPALIVE_PROBES);
	unsigned unacknowledged = (unsigned)user_timeout_ms;

	if (keepalive_ms > 0) {
		interval = interval > 0 ? interval : 1;
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	}
	if (user_timeout_ms > 0)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof(unacknowledged));
}

bool address_means(const struct address *asked, const union socket_address *found)
{
	const union socket_address *named = &asked->socket;

	if (asked->kind == ADDRESS_UNIX)
		return found->any.sa_family == AF_UNIX && strcmp(named->local.sun_path, found->local.sun_path) == 0;
	if (asked->kind != ADDRESS_IP || named->any.sa_family != found->any.sa_family)
		return false;
	if (named->any.sa_family == AF_INET)
		return named->v4.sin_addr.s_addr == found->v4.sin_addr.s_addr &&
		       (named->v4.sin_port == 0 || named->v4.sin_port == found->v4.sin_port);
	return memcmp(&named->v6.sin6_addr, &found->v6.sin6_addr, sizeof(named->v6.sin6_addr)) == 0 &&
	       named->v6.sin6_scope_id == found->v6.sin6_scope_id &&
	       (named->v6.sin6_port == 0 || named->v6.sin6_port == found->v6.sin6_port);
}
