/* Prints what the rules decide about a connection that is only described. */
#include "explain.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "policy.h"
#include "ratchet.h"
#include "ratchet_file.h"
#include "route.h"

/* The connection asked about. */
struct described {
	union socket_address source;
	struct params offer;
	struct identity identity;
	const struct config_listener *only; /* NULL: all listeners */
	bool has_source, has_ratcheted, ratcheted, direct;
	bool knows_ratcheted; /* it was said, or there is a file to look into */
	unsigned said;        /* the words that were there, a bit each */
};

static int take_source(const struct config *config, struct described *described, const char *value, struct error *error)
{
	(void)config;
	described->has_source = true;
	if (strcmp(value, "unix") == 0)
		described->source.any.sa_family = AF_UNIX;
	else if (inet_pton(AF_INET, value, &described->source.v4.sin_addr) == 1)
		described->source.any.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, value, &described->source.v6.sin6_addr) == 1)
		described->source.any.sa_family = AF_INET6;
	else
		return error_set(error, "source=%.64s is not an IP address or unix", value);
	return 0;
}

static int take_name(char *to, const char *key, const char *value, struct error *error)
{
	if (!name_valid(value, strlen(value)))
		return error_set(error, "%s=%.64s is not a CCI name: 1 to 64 of A-Z a-z 0-9 @ # $ . _ -", key, value);
	(void)snprintf(to, NAME_MAX_CHARS + 1, "%s", value);
	return 0;
}

static int take_sysid(const struct config *config, struct described *described, const char *value, struct error *error)
{
	(void)config;
	return take_name(described->offer.sysid, "sysid", value, error);
}

static int take_target(const struct config *config, struct described *described, const char *value, struct error *error)
{
	(void)config;
	if (strcmp(value, PARAMS_PING) != 0)
		return take_name(described->offer.target, "target", value, error);
	(void)snprintf(described->offer.target, sizeof(described->offer.target), "%s", value);
	return 0;
}

static int take_security(const struct config *config, struct described *described, const char *value,
                         struct error *error)
{
	(void)config;
	described->direct = strcmp(value, "direct") == 0;
	for (int i = SECURITY_NONE; i <= SECURITY_INSIDE; i++) {
		const char *word = i == SECURITY_INSIDE ? "direct" : params_security_word((enum params_security)i);

		if (strcmp(value, word) != 0)
			continue;
		described->offer.security = (uint8_t)i;
		return 0;
	}
	return error_set(error, "security=%.64s is not one of none, off, on, required, direct", value);
}

static int take_listener(const struct config *config, struct described *described, const char *value,
                         struct error *error)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (name_equal(config->listeners[i].place.name, value))
			described->only = &config->listeners[i];
	return described->only != NULL ? 0 : error_set(error, "listener=%.64s: there is no [listener %.64s]", value, value);
}

static int take_tls(const struct config *config, struct described *described, const char *value, struct error *error)
{
	bool newest = strcmp(value, "1.3") == 0;

	(void)config;
	if (!newest && strcmp(value, "1.2") != 0)
		return error_set(error, "tls=%.64s is not 1.2 or 1.3", value);
	described->offer.has_tls = true;
	described->offer.tls_lowest = 0x0303;
	described->offer.tls_highest = newest ? 0x0304 : 0x0303;
	return 0;
}

static int take_ratcheted(const struct config *config, struct described *described, const char *value,
                          struct error *error)
{
	(void)config;
	described->has_ratcheted = true;
	described->ratcheted = strcmp(value, "yes") == 0;
	if (described->ratcheted || strcmp(value, "no") == 0)
		return 0;
	return error_set(error, "ratcheted=%.64s is not yes or no", value);
}

static int take_identity(const struct config *config, struct described *described, const char *value,
                         struct error *error)
{
	static const char *const prefixes[] = {"DNS:", "URI:", "EMAIL:", "IP:", "CN:"};

	(void)config;
	described->identity.verified = true;
	for (const char *at = value; *at != '\0'; at += at[strcspn(at, ",")] == ',') {
		size_t length = strcspn(at, ","), kind = 0;

		while (kind < 5 && strncmp(at, prefixes[kind], strlen(prefixes[kind])) != 0)
			kind++;
		if (kind == 5)
			return error_set(error, "identity=%.64s: each name begins with DNS:, URI:, EMAIL:, IP: or CN:", at);
		identity_add(&described->identity, (enum identity_kind)kind, at + strlen(prefixes[kind]),
		             length - strlen(prefixes[kind]));
		at += length;
	}
	return 0;
}

static const struct word {
	const char *key;
	int (*take)(const struct config *config, struct described *described, const char *value, struct error *error);
} words_known[] = {
    {"source", take_source},     {"sysid", take_sysid}, {"security", take_security}, {"target", take_target},
    {"listener", take_listener}, {"tls", take_tls},     {"identity", take_identity}, {"ratcheted", take_ratcheted},
};
#define WORDS (sizeof(words_known) / sizeof(words_known[0]))

static int take_word(const struct config *config, struct described *described, const char *text, struct error *error)
{
	const char *equals = strchr(text, '=');
	size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);

	for (size_t i = 0; equals != NULL && i < WORDS; i++) {
		if (strlen(words_known[i].key) != length || strncmp(words_known[i].key, text, length) != 0)
			continue;
		if ((described->said & 1u << i) != 0)
			return error_set(error, "%s is there twice: name it once", words_known[i].key);
		described->said |= 1u << i;
		return words_known[i].take(config, described, equals + 1, error);
	}
	return error_set(
	    error,
	    "\"%.64s\" is not understood: write KEY=VALUE with one of source, sysid, security, target, listener, "
	    "tls, identity, ratcheted",
	    text);
}

static bool is_asked(const struct described *described, const struct config_listener *listener)
{
	return described->only == NULL || described->only == listener;
}

static int check_complete(const struct config *config, const struct described *described, struct error *error)
{
	if (!described->has_source)
		return error_set(error, "source=ADDRESS is missing: where does the connection come from?");
	for (size_t i = 0; described->offer.sysid[0] == '\0' && i < config->listener_count; i++)
		if (is_asked(described, &config->listeners[i]) && config->listeners[i].exchange == EXCHANGE_CCI)
			return error_set(error, "sysid=NAME is missing: what is the client's CCI name?");
	return 0;
}

/* --- the answer --- */

struct answer {
	const struct config *config;
	const struct config_listener *listener;
	const struct described *described;
	FILE *stream;
	struct decision decision;
	struct params offer; /* what this listener would be told */
	int asked;           /* enum client_auth: what the handshake asks for */
	bool inside_tls;     /* the decision fell there, where the exchange is over */
};

static void print_decider(const struct answer *answer)
{
	const struct config_rule *rule = answer->decision.rule;
	const struct config_place *place = rule != NULL ? &rule->place : &answer->listener->place;

	(void)fprintf(answer->stream, "  decided by   [%s %s] at %s:%u%s\n", rule != NULL ? "rule" : "listener",
	              place->name, answer->config->file, place->line, rule != NULL ? "" : ", as no rule matches");
}

static void print_refusal(const struct answer *answer, enum reason reason)
{
	(void)fprintf(answer->stream, "  reason       %s", reason_text(reason));
	if (answer->inside_tls)
		(void)fprintf(answer->stream, "; it is closed after the TLS handshake, as the certificate decides");
	else if (reason_code(reason) != 0 && answer->listener->exchange == EXCHANGE_CCI)
		(void)fprintf(answer->stream, " (REFUSE %u)", reason_code(reason));
	(void)fputc('\n', answer->stream);
}

static void print_audit(const struct answer *answer)
{
	const struct decision *decision = &answer->decision;

	if (decision->audit == UNSECURED_INHERIT)
		return;
	(void)fprintf(answer->stream, "  audit_policy %s would say: %s%s%s\n", unsecured_word(decision->audit),
	              outcome_word(decision->audit_outcome), decision->audit_reason != REASON_NONE ? ", " : "",
	              decision->audit_reason != REASON_NONE ? reason_text(decision->audit_reason) : "");
}

static void print_certificate(const struct answer *answer)
{
	static const char *const words[] = {"", "not asked for", "asked for", "required"};
	bool required = answer->decision.client_auth == CLIENT_AUTH_REQUIRE;

	(void)fprintf(answer->stream, "  certificate  %s%s\n", words[required ? CLIENT_AUTH_REQUIRE : answer->asked],
	              answer->described->identity.verified ? "; the names given count as verified" : "");
}

static enum reason choose_route(const struct answer *answer, struct route *route)
{
	struct route_question question = {.config = answer->config,
	                                  .listener = answer->listener,
	                                  .service = answer->decision.service,
	                                  .wanted = answer->offer.target,
	                                  .offer = &answer->offer};

	return route_choose(&question, route);
}

static void print_route(const struct answer *answer)
{
	char text[ADDRESS_TEXT_SIZE];
	struct route route;
	enum reason reason = choose_route(answer, &route);
	const struct address_list *list = NULL;

	if (reason != REASON_NONE) {
		(void)fprintf(answer->stream, "  goes to      nobody: %s; it is closed after the TLS handshake\n",
		              reason_text(reason));
		return;
	}
	(void)fprintf(answer->stream, "  goes to      %s", destination_word(route.destination));
	if (route.destination == TO_SERVICE)
		list = &route.service->address;
	else if (route.destination == TO_PEER)
		list = &route.peer->address;
	if (list != NULL)
		(void)fprintf(answer->stream, " %s (",
		              route.service != NULL ? route.service->place.name : route.peer->place.name);
	for (size_t i = 0; list != NULL && i < list->count; i++)
		(void)fprintf(answer->stream, "%s%s", i > 0 ? ", " : "", address_format(&list->at[i], text));
	(void)fprintf(answer->stream, "%s\n", list != NULL ? ")" : "");
}

static void print_ratchet(const struct answer *answer)
{
	enum outcome outcome = answer->decision.outcome;
	const char *words = "the name was not secured before";

	if (outcome == OUTCOME_TLS || outcome == OUTCOME_INSIDE)
		words = "once it is secured, the name may not come back in the clear";
	else if (answer->described->ratcheted)
		words = "the name was secured before";
	else if (!answer->described->knows_ratcheted)
		words = "taken as not secured before: without ratchet_file only the running gateway knows; try ratcheted=yes";
	(void)fprintf(answer->stream, "  ratchet      yes: %s\n", words);
}

static const char *outcome_words(const struct answer *answer)
{
	switch (answer->decision.outcome) {
	case OUTCOME_CLEAR:
		return "goes on in the clear";
	case OUTCOME_TLS:
		return "turns to TLS";
	case OUTCOME_INSIDE:
		return "is secured from the first byte";
	default:
		return "is refused";
	}
}

static void print_answer(const struct answer *answer)
{
	const struct decision *decision = &answer->decision;
	bool secured = decision->outcome == OUTCOME_TLS || decision->outcome == OUTCOME_INSIDE;

	(void)fprintf(answer->stream, "[listener %s] at %s:%u: the connection %s\n", answer->listener->place.name,
	              answer->config->file, answer->listener->place.line, outcome_words(answer));
	print_decider(answer);
	if (decision->outcome == OUTCOME_REFUSE)
		print_refusal(answer, decision->reason);
	(void)fprintf(answer->stream, "  policy       %s; the client offers %s\n", unsecured_word(decision->policy),
	              answer->listener->exchange == EXCHANGE_NONE ? "nothing: exchange = none"
	              : answer->described->direct                 ? "a direct TLS start"
	                                          : params_security_word((enum params_security)answer->offer.security));
	print_audit(answer);
	if (secured)
		print_certificate(answer);
	if (decision->outcome != OUTCOME_REFUSE)
		print_route(answer);
	if (decision->ratchet)
		print_ratchet(answer);
}

static void refuse(struct answer *answer, enum reason reason)
{
	answer->decision.outcome = OUTCOME_REFUSE;
	answer->decision.reason = reason;
}

/* As a session would: before TLS, and inside it once more where that is due. */
static void decide(struct answer *answer)
{
	const struct described *described = answer->described;
	struct policy_question question = {.config = answer->config,
	                                   .listener = answer->listener,
	                                   .source = &described->source,
	                                   .offer = &answer->offer,
	                                   .secured_before = described->ratcheted,
	                                   .inside = described->direct};

	if (answer->listener->exchange == EXCHANGE_NONE) {
		answer->offer = (struct params){.type = PARAMS_OFFER, .security = SECURITY_NONE};
		policy_decide_raw(&question, &answer->decision);
		return;
	}
	question.identity = question.inside ? &described->identity : NULL;
	policy_decide(&question, &answer->decision);
	answer->asked = question.inside ? policy_direct_client_auth(answer->config, answer->listener, &described->source)
	                                : answer->decision.client_auth;
	if (answer->decision.identity_due) {
		answer->inside_tls = true;
		question.identity = &described->identity;
		policy_decide(&question, &answer->decision);
	}
	if (described->direct && answer->listener->direct != CHOICE_YES)
		refuse(answer, REASON_DIRECT_NOT_PERMITTED);
}

/* Without a target a connection is refused at once, save one that turns to TLS: it gets no further than there. */
static void decide_target(struct answer *answer)
{
	enum outcome outcome = answer->decision.outcome;
	struct route route;
	enum reason reason = choose_route(answer, &route);

	if (reason != REASON_NONE && (outcome == OUTCOME_CLEAR || outcome == OUTCOME_INSIDE))
		refuse(answer, reason);
}

int explain_ratcheted_in_file(const struct config *config, const char *sysid, bool *held, struct error *error)
{
	char buffer[PATH_MAX];
	const char *path = ratchet_file_outside(config->gateway.ratchet_file, config->gateway.chroot, buffer);
	struct ratchet *ratchet = NULL;
	struct ratchet_reading reading;
	struct ratchet_news news = {.kind = RATCHET_CLIENT};
	int result = 0;

	*held = false;
	if (path == NULL)
		return 0;
	if (ratchet_file_read(path, &reading, NULL, error) == RATCHET_READ_FAILED)
		return error_prefix(error, "say ratcheted=yes or no, or let this file be read: ratchet_file = %s", path);
	news.at = reading.entries.at;
	news.count = reading.entries.count;
	ratchet = ratchet_new(reading.entries.count + 1);
	if (ratchet != NULL)
		ratchet_set_days(ratchet, config->gateway.ratchet_days);
	if (ratchet == NULL || ratchet_merge(ratchet, &news) != 0)
		result = error_set(error, "not enough memory");
	else
		*held = ratchet_holds(ratchet, sysid);
	ratchet_free(ratchet);
	free(reading.entries.at);
	return result;
}

int explain(const struct config *config, FILE *stream, int count, char *const *words, explain_ratcheted *ratcheted,
            struct error *error)
{
	struct described described = {.offer = {.type = PARAMS_OFFER, .security = SECURITY_ON}};

	for (int i = 0; i < count; i++)
		if (take_word(config, &described, words[i], error) != 0)
			return -1;
	if (check_complete(config, &described, error) != 0)
		return -1;
	if (!described.has_ratcheted && ratcheted != NULL &&
	    ratcheted(config, described.offer.sysid, &described.ratcheted, error) != 0)
		return -2;
	described.knows_ratcheted = described.has_ratcheted || (ratcheted != NULL && config->gateway.ratchet_file != NULL);
	for (size_t i = 0; i < config->listener_count; i++) {
		struct answer answer = {.config = config,
		                        .listener = &config->listeners[i],
		                        .described = &described,
		                        .stream = stream,
		                        .offer = described.offer};

		if (!is_asked(&described, answer.listener))
			continue;
		decide(&answer);
		decide_target(&answer);
		print_answer(&answer);
	}
	return 0;
}
