/* What contradicts among the addresses of all listeners. */
#include <string.h>

#include "account.h"
#include "config_check.h"

static void check_kinds(struct check *check, const struct config_listener *listener)
{
	for (size_t i = 0; i < listener->address.count; i++) {
		const struct address *address = &listener->address.at[i];

		if (address->kind == ADDRESS_NAME || address->kind == ADDRESS_ECHO)
			FINDING(check, true, "listener", &listener->place, "address",
			        "[listener %s] address: a listener needs an IP address and a port, such as 127.0.0.1:1202, or "
			        "unix:/PATH, or systemd:NAME",
			        listener->place.name);
		else if (address->kind == ADDRESS_IP && listener->unsecured == UNSECURED_ONLY &&
		         !socket_is_local(&address->socket))
			FINDING(check, false, "listener", &listener->place, "address",
			        "[listener %s] takes only clear connections on an address that is not loopback",
			        listener->place.name);
	}
}

static bool is_any_v6(const struct address *address)
{
	return address->kind == ADDRESS_IP && address->socket.any.sa_family == AF_INET6 &&
	       IN6_IS_ADDR_UNSPECIFIED(&address->socket.v6.sin6_addr);
}

static void check_settings(struct check *check, const struct config_listener *listener)
{
	bool has_unix = false, has_any = false;
	struct error error;
	uid_t uid;
	gid_t gid;

	for (size_t i = 0; i < listener->address.count; i++) {
		has_unix = has_unix || listener->address.at[i].kind == ADDRESS_UNIX;
		has_any = has_any || is_any_v6(&listener->address.at[i]);
	}
	if (listener->dual_stack == CHOICE_YES && !has_any)
		FINDING(check, false, "listener", &listener->place, "dual_stack",
		        "[listener %s] dual_stack = yes says nothing without the address [::]", listener->place.name);
	if (listener->unix_owner != NULL && account_user(listener->unix_owner, &uid, &error) != 0)
		FINDING(check, true, "listener", &listener->place, "unix_owner", "[listener %s] unix_owner: %s",
		        listener->place.name, error.text);
	if (listener->unix_group != NULL && account_group(listener->unix_group, &gid, &error) != 0)
		FINDING(check, true, "listener", &listener->place, "unix_group", "[listener %s] unix_group: %s",
		        listener->place.name, error.text);
	if (!has_unix && (listener->unix_owner != NULL || listener->unix_group != NULL))
		FINDING(check, false, "listener", &listener->place, listener->unix_owner != NULL ? "unix_owner" : "unix_group",
		        "[listener %s] has no unix socket that could have an owner or a group", listener->place.name);
}

/* Port 0 is another one each time. */
static bool is_same(const struct address *a, const struct address *b)
{
	return address_equal(a, b) && (a->kind != ADDRESS_IP || a->port != 0);
}

/* Does the one take the IPv4 connections of the other too? */
static bool covers(const struct config_listener *listener, const struct address *address, const struct address *other)
{
	return listener->dual_stack == CHOICE_YES && is_any_v6(address) && other->kind == ADDRESS_IP &&
	       other->socket.any.sa_family == AF_INET && address->port != 0 && address->port == other->port;
}

/* Two addresses of which `at` stands later. */
static void check_pair(struct check *check, const struct config_listener *listener, const struct address *at,
                       const struct config_listener *other_listener, const struct address *other)
{
	char text[ADDRESS_TEXT_SIZE], more[ADDRESS_TEXT_SIZE];

	if (is_same(at, other))
		FINDING(check, true, "listener", &listener->place, "address",
		        "[listener %s] address %s is taken by [listener %s] already", listener->place.name,
		        address_format(other, text), other_listener->place.name);
	else if (covers(listener, at, other) || covers(other_listener, other, at))
		FINDING(check, true, "listener", &listener->place, "address",
		        "[listener %s] address %s and %s of [listener %s] take the same connections under dual_stack = yes: "
		        "remove one",
		        listener->place.name, address_format(at, text), address_format(other, more),
		        other_listener->place.name);
}

/* Against all addresses that stand before. */
static void check_conflicts(struct check *check, size_t number)
{
	const struct config_listener *listeners = check->config->listeners;

	for (size_t i = 0; i < listeners[number].address.count; i++)
		for (size_t other = 0; other <= number; other++) {
			size_t most = other == number ? i : listeners[other].address.count;

			for (size_t j = 0; j < most; j++)
				check_pair(check, &listeners[number], &listeners[number].address.at[i], &listeners[other],
				           &listeners[other].address.at[j]);
		}
}

void config_check_listen(struct check *check)
{
	for (size_t i = 0; i < check->config->listener_count; i++) {
		check_kinds(check, &check->config->listeners[i]);
		check_settings(check, &check->config->listeners[i]);
		check_conflicts(check, i);
	}
}
