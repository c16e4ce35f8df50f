/* Warnings about settings that are there and have no effect, or hardly the one that was meant. */
#include "config_check.h"

/* Does the file have this key? Its value may be the default. */
static bool is_set(const struct check *check, const char *section, const struct config_place *place, const char *key)
{
	return config_line_of(check->config, section, place->name, key) != 0;
}

/* Can any connection of the listener turn to TLS, by itself or by a rule? */
static bool can_tls(const struct config *config, const struct config_listener *listener)
{
	bool can = listener->unsecured != UNSECURED_ONLY;

	for (size_t i = 0; i < config->rule_count; i++)
		can = can || (config->rules[i].unsecured != UNSECURED_INHERIT && config->rules[i].unsecured != UNSECURED_ONLY);
	return can && listener->exchange == EXCHANGE_CCI;
}

static void check_listener(struct check *check, const struct config_listener *listener)
{
	static const char *const of_tls[] = {"client_auth", "certificates", "handshake", "confirm"};
	static const char *const of_exchange[] = {"ratchet", "exchange_timeout"};
	const struct config_place *place = &listener->place;
	bool raw = listener->exchange == EXCHANGE_NONE;
	bool plain = !can_tls(check->config, listener);

	for (size_t i = 0; plain && i < sizeof(of_tls) / sizeof(of_tls[0]); i++)
		if (is_set(check, "listener", place, of_tls[i]) &&
		    (i > 0 || listener->client_auth != CLIENT_AUTH_NO))
			FINDING(check, false, "listener", place, of_tls[i],
			        "[listener %s] %s says nothing under %s: no connection turns to TLS there", place->name, of_tls[i],
			        raw ? "exchange = none" : "unsecured_connections = only");
	for (size_t i = 0; raw && i < sizeof(of_exchange) / sizeof(of_exchange[0]); i++)
		if (is_set(check, "listener", place, of_exchange[i]) && (i > 0 || listener->ratchet == CHOICE_YES))
			FINDING(check, false, "listener", place, of_exchange[i],
			        "[listener %s] %s says nothing under exchange = none: clients give no name and send no OFFER",
			        place->name, of_exchange[i]);
}

/* A rule for all listeners may well mean the others; but whoever refuses means everybody, and would be told nothing. */
static void check_nameless(struct check *check, const struct config_rule *rule)
{
	const char *key = rule->sysid.count > 0 ? "sysid" : "target";

	for (size_t i = 0; i < check->config->listener_count; i++) {
		const struct config_listener *listener = &check->config->listeners[i];
		bool meant = rule->listener.count == 0 && rule->action == ACTION_REFUSE;

		for (size_t j = 0; j < rule->listener.count; j++)
			meant = meant || name_match(rule->listener.at[j], listener->place.name);
		if (meant && listener->exchange == EXCHANGE_NONE && (rule->sysid.count > 0 || rule->target.count > 0))
			FINDING(check, false, "rule", &rule->place, key,
			        "[rule %s] %s matches nobody at [listener %s], who gives no name and no target under exchange = "
			        "none: write "
			        "the rule for that listener without it",
			        rule->place.name, key, listener->place.name);
	}
}

/* What is refused has no further settings; a limit would be one of what a rule admits. */
static void check_rule(struct check *check, const struct config_rule *rule)
{
	static const char *const keys[] = {"service", "ratchet", "connections", "connections_per_source"};

	for (size_t i = 0; rule->action == ACTION_REFUSE && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (is_set(check, "rule", &rule->place, keys[i]))
			FINDING(check, false, "rule", &rule->place, keys[i], "[rule %s] %s says nothing beside action = refuse",
			        rule->place.name, keys[i]);
}

static void check_peer(struct check *check, const struct config_peer *peer)
{
	static const char *const of_tls[] = {"server_name", "ca", "crl"};
	const uint64_t shortest_ms = 100;

	for (size_t i = 0; peer->security == PEER_NONE && i < sizeof(of_tls) / sizeof(of_tls[0]); i++)
		if (is_set(check, "peer", &peer->place, of_tls[i]))
			FINDING(check, false, "peer", &peer->place, of_tls[i], "[peer %s] %s says nothing under security = none",
			        peer->place.name, of_tls[i]);
	if (peer->health_interval_ms > 0 && peer->health_interval_ms < shortest_ms)
		FINDING(check, false, "peer", &peer->place, "health_interval",
		        "[peer %s] health_interval is very short: each ping is a whole connection; 10s will do",
		        peer->place.name);
}

static void check_tls(struct check *check)
{
	const struct config_tls *tls = &check->config->tls;
	const struct config_place place = {NULL, tls->line};
	bool has_crl = tls->crl != NULL;

	for (size_t i = 0; i < check->config->peer_count; i++)
		has_crl = has_crl || check->config->peers[i].crl != NULL;
	if (tls->crl_check != CRL_CHECK_LEAF && !has_crl)
		FINDING(check, false, "tls", &place, "crl_check",
		        "[tls] crl_check says nothing without crl: nobody is looked up");
	if (tls->ciphers != NULL && tls->min_version > 0x0303)
		FINDING(check, false, "tls", &place, "ciphers",
		        "[tls] ciphers says nothing under min_version = 1.3: its suites are named in ciphersuites");
}

static void check_ratchet(struct check *check)
{
	const struct config *config = check->config;
	const struct config_place place = {NULL, 0};
	bool any = false;

	for (size_t i = 0; i < config->listener_count; i++)
		any = any || config->listeners[i].ratchet == CHOICE_YES;
	for (size_t i = 0; i < config->rule_count; i++)
		any = any || config->rules[i].ratchet == CHOICE_YES;
	for (size_t i = 0; i < config->peer_count; i++)
		any = any || config->peers[i].ratchet == CHOICE_YES;
	if (config->gateway.ratchet_days > 0 && !any)
		FINDING(check, false, "gateway", &place, "ratchet_days",
		        "[gateway] ratchet_days says nothing where nobody has ratchet = yes");
}

static void check_limits(struct check *check)
{
	const struct config_limits *limits = &check->config->limits;
	const struct config_place place = {NULL, 0};
	const uint64_t of_one = 264 * 1024;

	/* The samples name the default, which is meant for the day when the rate is set. */
	if (limits->connection_rate == 0 && limits->connection_burst != 100)
		FINDING(check, false, "limits", &place, "connection_burst",
		        "[limits] connection_burst says nothing without connection_rate");
	if (limits->handshake_rate == 0 && limits->handshake_burst != 100)
		FINDING(check, false, "limits", &place, "handshake_burst",
		        "[limits] handshake_burst says nothing without handshake_rate");
	if (limits->buffer_bytes > 0 && limits->buffer_bytes < of_one)
		FINDING(check, false, "limits", &place, "buffers",
		        "[limits] buffers = %llu bytes is less than one slow receiver may need: it takes k, M or G behind the "
		        "number",
		        (unsigned long long)limits->buffer_bytes);
}

void config_check_unused(struct check *check)
{
	for (size_t i = 0; i < check->config->listener_count; i++)
		check_listener(check, &check->config->listeners[i]);
	for (size_t i = 0; i < check->config->rule_count; i++) {
		check_rule(check, &check->config->rules[i]);
		check_nameless(check, &check->config->rules[i]);
	}
	for (size_t i = 0; i < check->config->peer_count; i++)
		check_peer(check, &check->config->peers[i]);
	check_tls(check);
	check_ratchet(check);
	check_limits(check);
}
