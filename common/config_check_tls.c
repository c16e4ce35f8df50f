/* What single keys of TLS cannot see: certificates that are missing or that nobody shows, settings without effect. */
#include <stdlib.h>
#include <string.h>

#include "config_check.h"

/* Can this rule bring a connection of this listener to TLS? */
static bool rule_can_tls(const struct config_rule *rule, const struct config_listener *listener)
{
	bool here = rule->listener.count == 0;

	for (size_t i = 0; i < rule->listener.count; i++)
		here = here || name_equal(rule->listener.at[i], listener->place.name);
	return here && rule->action == ACTION_ACCEPT && rule->unsecured != UNSECURED_INHERIT &&
	       rule->unsecured != UNSECURED_ONLY;
}

/* Can this listener come to a TLS handshake? */
static bool listener_can_tls(const struct config *config, const struct config_listener *listener)
{
	bool can = listener->unsecured != UNSECURED_ONLY;

	for (size_t i = 0; i < config->rule_count; i++)
		can = can || rule_can_tls(&config->rules[i], listener);
	return can && listener->exchange == EXCHANGE_CCI;
}

static bool certificate_exists(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->certificate_count; i++)
		if (name_equal(config->certificates[i].place.name, name))
			return true;
	return false;
}

static bool list_has(const struct text_list *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (name_equal(list->at[i], name))
			return true;
	return false;
}

static void check_names(struct check *check, const struct config_listener *listener)
{
	const struct text_list *names = &listener->certificates;

	for (size_t i = 0; i < names->count; i++) {
		if (!certificate_exists(check->config, names->at[i]))
			FINDING(check, true, "listener", &listener->place, "certificates",
			        "[listener %s] certificates = %s: there is no [certificate %s]", listener->place.name, names->at[i],
			        names->at[i]);
		if (list_has(names, i, names->at[i]))
			FINDING(check, true, "listener", &listener->place, "certificates",
			        "[listener %s] certificates names %s twice: remove one", listener->place.name, names->at[i]);
	}
}

static void check_listener(struct check *check, const struct config_listener *listener)
{
	const struct config *config = check->config;
	const struct config_tls *tls = &config->tls;

	check_names(check, listener);
	if (!listener_can_tls(config, listener))
		return;
	if (tls->certificate == NULL && config->certificate_count == 0)
		FINDING(
		    check, true, "listener", &listener->place, "unsecured_connections",
		    "[listener %s] can turn connections to TLS, and [tls] has no certificate and private_key, nor is there a "
		    "[certificate NAME]",
		    listener->place.name);
	if (listener->client_auth != CLIENT_AUTH_NO && listener->client_auth != CLIENT_AUTH_INHERIT && tls->ca == NULL)
		FINDING(check, true, "listener", &listener->place, "client_auth",
		        "[listener %s] client_auth needs ca in [tls] to check certificates against", listener->place.name);
}

/* A certificate that no listener shows was hardly meant so. */
static void check_use(struct check *check, const struct config_certificate *certificate)
{
	const struct config *config = check->config;
	bool used = false;

	for (size_t i = 0; i < config->listener_count; i++) {
		const struct text_list *names = &config->listeners[i].certificates;

		used = used || names->count == 0 || list_has(names, names->count, certificate->place.name);
	}
	if (!used)
		FINDING(check, false, "certificate", &certificate->place, "", "[certificate %s] is shown by no listener",
		        certificate->place.name);
}

static void check_certificates(struct check *check)
{
	const struct config *config = check->config;

	for (size_t i = 0; i < config->certificate_count; i++)
		check_use(check, &config->certificates[i]);
	if (config->certificate_count > CONFIG_CERTIFICATES_MOST)
		FINDING(check, true, "certificate", &config->certificates[CONFIG_CERTIFICATES_MOST].place, "",
		        "there are %zu [certificate] sections: keep at most %d", config->certificate_count,
		        CONFIG_CERTIFICATES_MOST);
}

static bool any_ca(const struct config *config)
{
	bool any = config->tls.ca != NULL;

	for (size_t i = 0; i < config->peer_count; i++)
		any = any || config->peers[i].ca != NULL;
	return any;
}

static void check_settings(struct check *check)
{
	const struct config_tls *tls = &check->config->tls;
	const struct config_place place = {NULL, tls->line};

	if ((tls->certificate == NULL) != (tls->private_key == NULL))
		FINDING(check, true, "tls", &place, tls->certificate != NULL ? "certificate" : "private_key",
		        "[tls] certificate and private_key belong together: give both");
	if (tls->passphrase_file != NULL && tls->private_key == NULL)
		FINDING(check, true, "tls", &place, "passphrase_file",
		        "[tls] passphrase_file opens private_key, which is not set");
	if (tls->ocsp_response != NULL && tls->certificate == NULL)
		FINDING(check, true, "tls", &place, "ocsp_response",
		        "[tls] ocsp_response belongs to certificate, which is not set");
	if (tls->crl != NULL && !any_ca(check->config))
		FINDING(check, true, "tls", &place, "crl", "[tls] crl needs ca, whose certificates it revokes");
	if (tls->ticket_keys != NULL && tls->resumption == CHOICE_NO)
		FINDING(check, false, "tls", &place, "ticket_keys", "[tls] ticket_keys says nothing where resumption = no");
	if (tls->insecure_key_log != NULL)
		FINDING(check, false, "tls", &place, "insecure_key_log",
		        "[tls] insecure_key_log writes the secrets of all connections to %s: remove it as soon as the trace is "
		        "done",
		        tls->insecure_key_log);
}

void config_check_tls(struct check *check)
{
	check_settings(check);
	check_certificates(check);
	for (size_t i = 0; i < check->config->listener_count; i++)
		check_listener(check, &check->config->listeners[i]);
}
