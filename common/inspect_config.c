/* What a running gateway says of its rules, peers and services, and certificates. */
#include <openssl/x509.h>
#include <string.h>

#include "config_values.h"
#include "daemon_parts.h"
#include "inspect.h"
#include "jsontext.h"
#include "rulelimit.h"
#include "target_memory.h"
#include "tlscontext.h"
#include "tlsverdict.h"

/* --- rules --- */

static const char *const matching[] = {"source", "sysid", "listener", "target", "identity"};

static bool is_matching(const char *key)
{
	for (size_t i = 0; i < sizeof(matching) / sizeof(matching[0]); i++)
		if (strcmp(matching[i], key) == 0)
			return true;
	return false;
}

/* As the file has it; NULL where the rule does not say it. */
static json_t *setting_json(const struct row *row, const struct config_rule *rule)
{
	char buffer[1024];
	struct text text;

	if (!config_is_set(row, rule))
		return NULL;
	text_init(&text, buffer, sizeof(buffer));
	for (size_t item = 0;; item++) {
		size_t before = text.used;

		if (item > 0)
			text_puts(&text, ", ");
		if (config_get(row, rule, item, &text))
			continue;
		text.used = before;
		buffer[before] = '\0';
		break;
	}
	return json_of_text(buffer);
}

static json_t *rule_json(const struct config_rule *rule, const struct rulelimit *limit)
{
	json_t *one = json_object(), *matches = json_object(), *sets = json_object();

	json_put_text(one, "name", rule->place.name);
	json_put_number(one, "line", rule->place.line);
	for (size_t i = 0; i < row_count; i++)
		if (strcmp(rows[i].section, "rule") == 0)
			(void)json_object_set_new(is_matching(rows[i].key) ? matches : sets, rows[i].key,
			                          setting_json(&rows[i], rule));
	(void)json_object_set_new(one, "matches", matches);
	(void)json_object_set_new(one, "sets", sets);
	if (limit != NULL)
		json_put_number(one, "connections", quota_count(limit->quota));
	return one;
}

json_t *inspect_rules(struct daemon *daemon)
{
	const struct snapshot *snapshot = daemon->snapshot;
	json_t *list = json_array();

	for (size_t i = 0; i < snapshot->config->rule_count; i++)
		(void)json_array_append_new(list, rule_json(&snapshot->config->rules[i], snapshot->rules[i]));
	return list;
}

/* --- peers and services --- */

static json_t *address_json(struct target_memory *memory, size_t number, uint64_t now_ms)
{
	json_t *one = json_object();
	struct target_state state;

	target_memory_state(memory, number, &state);
	json_put_text(one, "address", state.address);
	json_put_text(one, "health", target_health_word(state.health));
	if (state.health != TARGET_UNKNOWN)
		json_put_number(one, "health_for_s", now_ms > state.since_ms ? (now_ms - state.since_ms) / 1000 : 0);
	if (state.left_out_until_ms > now_ms)
		json_put_number(one, "left_out_for_s", (state.left_out_until_ms - now_ms + 999) / 1000);
	json_put_number(one, "connections", state.connections);
	if (state.health == TARGET_DOWN) {
		json_put_text(one, "reason", reason_word(state.reason));
		json_put_text(one, "detail", state.detail);
	}
	return one;
}

/* How its addresses stand together. */
static const char *state_of(struct target_memory *memory, uint64_t now_ms)
{
	size_t count = target_memory_count(memory), down = 0, left_out = 0, up = 0;
	struct target_state state;

	for (size_t i = 0; i < count; i++) {
		target_memory_state(memory, i, &state);
		down += state.health == TARGET_DOWN;
		up += state.health == TARGET_UP;
		left_out += state.health != TARGET_DOWN && state.left_out_until_ms > now_ms;
	}
	if (count == 0)
		return "unknown";
	if (down == count)
		return "down";
	if (down + left_out == count)
		return "left out";
	return up > 0 ? "up" : "unknown";
}

static json_t *target_json(const char *kind, const char *name, struct target_memory *memory, uint64_t now_ms)
{
	json_t *one = json_object(), *addresses = json_array();

	json_put_text(one, "kind", kind);
	json_put_text(one, "name", name);
	json_put_text(one, "state", target_memory_is_disconnected(memory) ? "disconnected" : state_of(memory, now_ms));
	for (size_t i = 0; i < target_memory_count(memory); i++)
		(void)json_array_append_new(addresses, address_json(memory, i, now_ms));
	(void)json_object_set_new(one, "addresses", addresses);
	return one;
}

json_t *inspect_peers(struct daemon *daemon)
{
	const struct snapshot *snapshot = daemon->snapshot;
	const struct config *config = snapshot->config;
	uint64_t now_ms = uv_now(&daemon->loop);
	json_t *list = json_array();

	for (size_t i = 0; i < config->peer_count; i++) {
		json_t *one = target_json("peer", config->peers[i].place.name, snapshot->peers[i], now_ms);

		json_put_text(one, "security", peer_security_word((enum peer_security)config->peers[i].security));
		(void)json_array_append_new(list, one);
	}
	for (size_t i = 0; i < config->service_count; i++)
		(void)json_array_append_new(
		    list, target_json("service", config->services[i].place.name, snapshot->services[i], now_ms));
	return list;
}

/* --- certificates --- */

static bool shows(const struct config_listener *listener, const char *name)
{
	if (listener->certificates.count == 0)
		return true;
	for (size_t i = 0; i < listener->certificates.count; i++)
		if (name != NULL && name_equal(listener->certificates.at[i], name))
			return true;
	return false;
}

static json_t *shown_by(const struct config *config, const char *name)
{
	json_t *list = json_array();

	for (size_t i = 0; i < config->listener_count; i++)
		if (config->listeners[i].exchange == EXCHANGE_CCI && config->listeners[i].unsecured != UNSECURED_ONLY &&
		    shows(&config->listeners[i], name))
			(void)json_array_append_new(list, json_of_text(config->listeners[i].place.name));
	return list;
}

static json_t *certificate_json(const struct config *config, const struct tls_shown *shown)
{
	json_t *one = json_object();
	struct tls_certificate facts;
	const EVP_PKEY *key = X509_get0_pubkey(shown->certificate);

	tls_certificate_of(shown->certificate, &facts);
	json_put_text(one, "section", shown->name != NULL ? "certificate" : "tls");
	json_put_text(one, "name", shown->name);
	json_put_text(one, "file", shown->file);
	json_put_text(one, "subject", facts.subject);
	json_put_text(one, "names", facts.names);
	json_put_text(one, "serial", facts.serial);
	json_put_text(one, "not_after", facts.not_after);
	(void)json_object_set_new(one, "days_left", json_integer(facts.days_left));
	if (key != NULL) {
		json_put_text(one, "key", EVP_PKEY_get0_type_name(key));
		json_put_number(one, "key_bits", (uint64_t)EVP_PKEY_get_bits(key));
	}
	(void)json_object_set_new(one, "listeners", shown_by(config, shown->name));
	return one;
}

json_t *inspect_certificates(struct daemon *daemon)
{
	const struct snapshot *snapshot = daemon->snapshot;
	const struct tls_worker *tls = snapshot->parts[0].tls;
	json_t *list = json_array();
	struct tls_shown shown;

	for (size_t i = 0; tls != NULL && tls_worker_shown(tls, i, &shown); i++)
		(void)json_array_append_new(list, certificate_json(snapshot->config, &shown));
	return list;
}
