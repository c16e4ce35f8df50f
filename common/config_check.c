/* What single keys cannot see: contradictions, names that do not exist, TLS without the means for it. */
#include <stdlib.h>
#include <string.h>

#include "config_check.h"

void config_finding(struct check *check, bool is_error, const struct config_at *at, const struct error *error)
{
	unsigned line = config_line_of(check->config, at->section, at->place->name, at->key);
	struct error tame = *error;

	error_tame(&tame);
	check->report(check->context, is_error, check->config->file, line != 0 ? line : at->place->line, tame.text);
}

/* What a listener does not say it takes from its policy and from [tls]. */
static void inherit(struct check *check, struct config_listener *listener)
{
	bool only = listener->unsecured == UNSECURED_ONLY || listener->exchange == EXCHANGE_NONE;

	if (listener->direct == CHOICE_YES && listener->unsecured == UNSECURED_ONLY)
		FINDING(check, true, "listener", &listener->place, "direct",
		        "[listener %s] direct = yes contradicts unsecured_connections = only: remove one of them",
		        listener->place.name);
	if (listener->direct == CHOICE_YES && listener->exchange == EXCHANGE_NONE)
		FINDING(check, true, "listener", &listener->place, "direct",
		        "[listener %s] direct = yes contradicts exchange = none: remove one of them", listener->place.name);
	if (listener->direct == CHOICE_INHERIT)
		listener->direct = only ? CHOICE_NO : CHOICE_YES;
	if (listener->client_auth == CLIENT_AUTH_INHERIT)
		listener->client_auth = check->config->tls.client_auth;
	config_timeouts_inherit(&listener->timeouts, &check->config->timeouts);
}

static bool target_exists(const struct config *config, const char *target)
{
	return name_equal(target, config->gateway.sysid) || config_service_named(config, target) != NULL ||
	       config_peer_for(config, target) != NULL;
}

static void check_destination(struct check *check, const struct config_listener *listener)
{
	const struct config *config = check->config;
	bool raw = listener->exchange == EXCHANGE_NONE;

	if (listener->service != NULL && config_service_named(config, listener->service) == NULL)
		FINDING(check, true, "listener", &listener->place, "service",
		        "[listener %s] service = %s: there is no [service %s]", listener->place.name, listener->service,
		        listener->service);
	if (listener->target != NULL && config->gateway.sysid != NULL && !target_exists(config, listener->target))
		FINDING(check, true, "listener", &listener->place, "target",
		        "[listener %s] target = %s: no [service], no [peer] and no peer's targets have this name",
		        listener->place.name, listener->target);
	if (raw && listener->service == NULL && listener->target == NULL)
		FINDING(check, true, "listener", &listener->place, "exchange",
		        "[listener %s] exchange = none needs a %s: its clients cannot name one", listener->place.name,
		        config->program == PROGRAM_CCISSL ? "service" : "target");
	if (raw && (listener->unsecured == UNSECURED_NEVER || listener->unsecured == UNSECURED_NONSSL))
		FINDING(check, true, "listener", &listener->place, "unsecured_connections",
		        "[listener %s] exchange = none always is clear: set unsecured_connections = only",
		        listener->place.name);
}

/* Whom a listener believes. */
static void check_proxy_from(struct check *check, const struct config_listener *listener)
{
	bool only_ip = true;

	for (size_t i = 0; i < listener->address.count; i++)
		only_ip = only_ip && listener->address.at[i].kind == ADDRESS_IP;
	for (size_t i = 0; i < listener->proxy_from.count; i++) {
		const struct network *network = &listener->proxy_from.at[i];

		if (network->family == AF_UNIX && only_ip)
			FINDING(check, false, "listener", &listener->place, "proxy_from",
			        "[listener %s] proxy_from = unix says nothing without an address unix:/PATH", listener->place.name);
		if (network->family != AF_UNIX && network->bits == 0)
			FINDING(check, false, "listener", &listener->place, "proxy_from",
			        "[listener %s] proxy_from takes everybody's word: whoever connects can name any address as its own",
			        listener->place.name);
	}
}

static void check_rule_settings(struct check *check, const struct config_rule *rule);

static void check_rule(struct check *check, const struct config_rule *rule, bool *all_matched)
{
	const struct config *config = check->config;

	for (size_t i = 0; i < rule->listener.count; i++) {
		bool found = false;

		for (size_t j = 0; j < config->listener_count; j++)
			found = found || name_equal(config->listeners[j].place.name, rule->listener.at[i]);
		if (!found)
			FINDING(check, true, "rule", &rule->place, "listener", "[rule %s] listener = %s: there is no [listener %s]",
			        rule->place.name, rule->listener.at[i], rule->listener.at[i]);
	}
	if (*all_matched)
		FINDING(check, false, "rule", &rule->place, "source",
		        "[rule %s] is never reached: a rule before it matches everything", rule->place.name);
	if (rule->source.count == 0 && rule->sysid.count == 0 && rule->listener.count == 0 && rule->target.count == 0 &&
	    rule->identity.count == 0)
		*all_matched = true;
	check_rule_settings(check, rule);
}

/* Settings that a rule cannot have, or that contradict each other. */
static void check_rule_settings(struct check *check, const struct config_rule *rule)
{
	const struct config *config = check->config;
	bool asks = rule->identity.count > 0 ||
	            (rule->client_auth != CLIENT_AUTH_INHERIT && rule->client_auth != CLIENT_AUTH_NO);

	if (rule->action == ACTION_REFUSE && rule->unsecured != UNSECURED_INHERIT)
		FINDING(check, true, "rule", &rule->place, "action",
		        "[rule %s] action = refuse contradicts unsecured_connections: remove one", rule->place.name);
	if (asks && config->tls.ca == NULL)
		FINDING(check, true, "rule", &rule->place, rule->identity.count > 0 ? "identity" : "client_auth",
		        "[rule %s] %s needs ca in [tls] to check certificates against", rule->place.name,
		        rule->identity.count > 0 ? "identity" : "client_auth");
	if (rule->identity.count > 0 && rule->client_auth == CLIENT_AUTH_NO)
		FINDING(check, true, "rule", &rule->place, "client_auth",
		        "[rule %s] client_auth = no contradicts identity, which needs a certificate: remove one",
		        rule->place.name);
	if (rule->identity.count > 0 && (rule->unsecured == UNSECURED_ONLY || rule->audit != UNSECURED_INHERIT))
		FINDING(check, rule->unsecured == UNSECURED_ONLY, "rule", &rule->place,
		        rule->unsecured == UNSECURED_ONLY ? "unsecured_connections" : "audit_policy",
		        "[rule %s] matches by identity, and so only what is secured already: %s says nothing there",
		        rule->place.name, rule->unsecured == UNSECURED_ONLY ? "unsecured_connections" : "audit_policy");
	if (rule->service != NULL && config_service_named(config, rule->service) == NULL &&
	    (config->program == PROGRAM_CCISSL || config->gateway.sysid == NULL || !target_exists(config, rule->service)))
		FINDING(check, true, "rule", &rule->place, "service", "[rule %s] service = %s: there is no [service %s]",
		        rule->place.name, rule->service, rule->service);
}

static void check_peer(struct check *check, const struct config_peer *peer)
{
	const struct config *config = check->config;

	if (config->gateway.sysid != NULL && name_equal(peer->place.name, config->gateway.sysid))
		FINDING(check, true, "peer", &peer->place, "", "[peer %s] has our own sysid: a gateway is not its own peer",
		        peer->place.name);
	if (config_service_named(config, peer->place.name) != NULL)
		FINDING(check, true, "peer", &peer->place, "", "[peer %s] and [service %s] have the same name: rename one",
		        peer->place.name, peer->place.name);
	if (peer->ratchet == CHOICE_YES && peer->security == PEER_NONE)
		FINDING(check, true, "peer", &peer->place, "ratchet",
		        "[peer %s] ratchet = yes contradicts security = none, which can never be secured: remove one of them",
		        peer->place.name);
	for (size_t i = 0; i < peer->address.count; i++) {
		if (peer->address.at[i].kind == ADDRESS_ECHO)
			FINDING(check, true, "peer", &peer->place, "address",
			        "[peer %s] address: builtin:echo is a service, not a gateway", peer->place.name);
		if (peer->address.at[i].kind == ADDRESS_PASSED)
			FINDING(check, true, "peer", &peer->place, "address",
			        "[peer %s] address: systemd: names sockets to listen on, not a gateway", peer->place.name);
		if ((peer->address.at[i].kind == ADDRESS_IP || peer->address.at[i].kind == ADDRESS_NAME) &&
		    peer->address.at[i].port == 0)
			FINDING(check, true, "peer", &peer->place, "address", "[peer %s] address: port 0 cannot be connected to",
			        peer->place.name);
		if (peer->address.at[i].kind == ADDRESS_UNIX && peer->server_name == NULL && peer->security != PEER_NONE)
			FINDING(check, true, "peer", &peer->place, "address", "[peer %s] on a unix socket needs server_name",
			        peer->place.name);
	}
	if (peer->security != PEER_NONE && peer->ca == NULL && config->tls.ca == NULL)
		FINDING(check, true, "peer", &peer->place, "security",
		        "[peer %s] security = %s needs ca, here or in [tls], to check its certificate against",
		        peer->place.name, peer_security_word((enum peer_security)peer->security));
}

/* The first peer that names a target gets it: the others are told. */
static void check_targets_twice(struct check *check, const struct config_peer *peer)
{
	for (const struct config_peer *other = check->config->peers; other < peer; other++)
		for (size_t i = 0; i < peer->targets.count; i++)
			for (size_t j = 0; j < other->targets.count; j++)
				if (name_equal(peer->targets.at[i], other->targets.at[j]))
					FINDING(check, false, "peer", &peer->place, "targets",
					        "[peer %s] targets: %s goes to [peer %s], which stands before", peer->place.name,
					        peer->targets.at[i], other->place.name);
}

static void check_service(struct check *check, const struct config_service *service)
{
	for (size_t i = 0; i < service->address.count; i++) {
		const struct address *address = &service->address.at[i];

		if (address->kind != ADDRESS_UNIX && address->kind != ADDRESS_ECHO && address->port == 0)
			FINDING(check, true, "service", &service->place, "address",
			        "[service %s] address: port 0 cannot be connected to", service->place.name);
		if (address->kind == ADDRESS_ECHO && service->send_proxy != SEND_PROXY_NO)
			FINDING(check, true, "service", &service->place, "send_proxy",
			        "[service %s] send_proxy contradicts builtin:echo, which has no use for a header: remove one",
			        service->place.name);
	}
}

void config_check(struct config *config, config_report *report, void *context)
{
	struct check check = {config, report, context};
	bool all_matched = false;

	for (size_t i = 0; i < config->listener_count; i++) {
		inherit(&check, &config->listeners[i]);
		check_destination(&check, &config->listeners[i]);
		check_proxy_from(&check, &config->listeners[i]);
	}
	config_check_listen(&check);
	for (size_t i = 0; i < config->rule_count; i++)
		check_rule(&check, &config->rules[i], &all_matched);
	for (size_t i = 0; i < config->service_count; i++)
		check_service(&check, &config->services[i]);
	for (size_t i = 0; i < config->peer_count; i++) {
		check_peer(&check, &config->peers[i]);
		check_targets_twice(&check, &config->peers[i]);
	}
	config_check_tls(&check);
	config_check_sight(&check);
	config_check_unused(&check);
}
