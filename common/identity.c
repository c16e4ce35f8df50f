/* Names out of certificates, and patterns of them. */
#include "identity.h"

#include <arpa/inet.h>
#include <string.h>

#include "address.h"

static const struct kind {
	const char *prefix;
	enum text_case letters;
} kinds[] = {
    [IDENTITY_DNS] = {"DNS:", TEXT_ANY_CASE},     [IDENTITY_URI] = {"URI:", TEXT_EXACT},
    [IDENTITY_EMAIL] = {"EMAIL:", TEXT_ANY_CASE}, [IDENTITY_IP] = {"IP:", TEXT_ANY_CASE},
    [IDENTITY_CN] = {"CN:", TEXT_ANY_CASE},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

void identity_add(struct identity *identity, enum identity_kind kind, const char *bytes, size_t length)
{
	struct text text;

	if (length == 0)
		return;
	if (identity->count == IDENTITY_NAMES || memchr(bytes, '\0', length) != NULL) {
		identity->partial = true;
		return;
	}
	text_init(&text, identity->names[identity->count], IDENTITY_TEXT_SIZE);
	text_puts(&text, kinds[kind].prefix);
	text_put(&text, bytes, length);
	if (text.cut)
		identity->partial = true;
	else
		identity->count++;
}

/* The kind that `text` begins with, or KINDS. */
static size_t kind_of(const char *text)
{
	size_t kind = 0;

	while (kind < KINDS && strncmp(text, kinds[kind].prefix, strlen(kinds[kind].prefix)) != 0)
		kind++;
	return kind;
}

int identity_pattern_check(const char *pattern, struct error *error)
{
	size_t kind = kind_of(pattern);
	const char *rest = kind < KINDS ? pattern + strlen(kinds[kind].prefix) : "";
	struct network network;

	if (kind == KINDS)
		return error_set(
		    error,
		    "\"%.64s\" is not a pattern of a certificate's name: begin with DNS:, URI:, EMAIL:, IP: or CN:", pattern);
	if (rest[0] == '\0' || strlen(pattern) >= IDENTITY_TEXT_SIZE)
		return error_set(error, "\"%.64s\": the part after %s is empty or too long", pattern, kinds[kind].prefix);
	if (kind != IDENTITY_IP)
		return 0;
	if (network_parse(rest, &network, error) != 0)
		return -1;
	return network.family != AF_UNIX ? 0 : error_set(error, "\"%.64s\": no certificate holds a unix socket", pattern);
}

static bool ip_matches(const char *network_text, const char *ip)
{
	union socket_address address = {0};
	struct network network;
	struct error ignored;

	if (inet_pton(AF_INET, ip, &address.v4.sin_addr) == 1)
		address.v4.sin_family = AF_INET;
	else if (inet_pton(AF_INET6, ip, &address.v6.sin6_addr) == 1)
		address.v6.sin6_family = AF_INET6;
	else
		return false;
	return network_parse(network_text, &network, &ignored) == 0 && network_contains(&network, &address);
}

bool identity_matches(const struct identity *identity, const char *pattern)
{
	size_t kind = kind_of(pattern), skip;

	if (identity == NULL || !identity->verified || kind == KINDS)
		return false;
	skip = strlen(kinds[kind].prefix);
	for (size_t i = 0; i < identity->count; i++) {
		const char *name = identity->names[i];

		if (kind_of(name) != kind)
			continue;
		if (kind == IDENTITY_IP ? ip_matches(pattern + skip, name + skip)
		                        : text_match(pattern + skip, name + skip, kinds[kind].letters))
			return true;
	}
	return false;
}
