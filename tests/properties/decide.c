/*
 * Answers what the gateway's own functions decide, for tests/properties/run: requests on standard input, one line of words
 * separated by tabs each, and one line of KEY=VALUE words for each answer. It asks policy.h and route.h in the order in which a session does.
 *
 *     config PROGRAM SIZE      SIZE bytes of configuration follow: "taken=yes fixed=yes" (what is dumped of it reads as the same)
 *     ask KEY=VALUE...         one decision
 *     explain KEY=VALUE...     what --explain prints, ended by a line with a single point
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "policy.h"
#include "route.h"

#define WORDS 16
#define LINE (64 * 1024)

static struct config *config;

static void collect(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	(void)context;
	if (is_error)
		(void)fprintf(stderr, "%s:%u: %s\n", file, line, text);
}

static struct config *load(char *text, size_t size, enum program program)
{
	FILE *stream = fmemopen(text, size, "r");
	struct config *loaded = stream != NULL ? config_load_stream(stream, "p.ini", program, collect, NULL) : NULL;

	if (stream != NULL)
		(void)fclose(stream);
	return loaded;
}

/* What is dumped, loaded and dumped again is the same. */
static bool is_fixed(const struct config *from)
{
	char *first = NULL, *second = NULL;
	size_t first_size = 0, second_size = 0;
	FILE *stream = open_memstream(&first, &first_size);
	struct config *again = NULL;
	bool result = stream != NULL && config_dump(from, stream) == 0 && fclose(stream) == 0;

	if (result)
		again = load(first, first_size, from->program);
	stream = again != NULL ? open_memstream(&second, &second_size) : NULL;
	result = stream != NULL && config_dump(again, stream) == 0 && fclose(stream) == 0 && first_size == second_size &&
	         memcmp(first, second, first_size) == 0;
	config_free(again);
	free(first);
	free(second);
	return result;
}

static void take_config(char *const *words)
{
	size_t size = strtoul(words[1], NULL, 10);
	char *text = malloc(size + 1);

	config_free(config);
	config = NULL;
	if (text != NULL && fread(text, 1, size, stdin) == size)
		config = load(text, size, strcmp(words[0], "ccisslgw") == 0 ? PROGRAM_CCISSLGW : PROGRAM_CCISSL);
	(void)printf("taken=%s\tfixed=%s\n", config != NULL ? "yes" : "no", config != NULL && is_fixed(config) ? "yes" : "no");
	free(text);
}

/* --- a decision --- */

static const char *value_of(char *const *words, const char *key)
{
	size_t length = strlen(key);

	for (; *words != NULL; words++)
		if (strncmp(*words, key, length) == 0 && (*words)[length] == '=')
			return *words + length + 1;
	return "";
}

static void take_source(const char *text, union socket_address *source)
{
	memset(source, 0, sizeof(*source));
	if (inet_pton(AF_INET, text, &source->v4.sin_addr) == 1)
		source->any.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &source->v6.sin6_addr) == 1)
		source->any.sa_family = AF_INET6;
	else
		source->any.sa_family = AF_UNIX;
}

static void take_identity(const char *text, struct identity *identity)
{
	static const char *const kinds[] = {"DNS:", "URI:", "EMAIL:", "IP:", "CN:"};

	memset(identity, 0, sizeof(*identity));
	for (identity->verified = *text != '\0'; *text != '\0'; text += text[strcspn(text, ",")] == ',' ? 1 : 0) {
		size_t length = strcspn(text, ",");

		for (size_t kind = 0; kind < 5; kind++)
			if (strncmp(text, kinds[kind], strlen(kinds[kind])) == 0)
				identity_add(identity, (enum identity_kind)kind, text + strlen(kinds[kind]), length - strlen(kinds[kind]));
		text += length;
	}
}

static void take_offer(char *const *words, struct params *offer)
{
	static const char *const securities[] = {"none", "off", "on", "required", "direct"};
	const char *tls = value_of(words, "tls"), *hops = value_of(words, "hops");

	*offer = (struct params){.type = PARAMS_OFFER, .has_tls = *tls != '\0', .tls_lowest = 0x0303, .has_hops = *hops != '\0'};
	for (uint8_t i = 0; i < 5; i++)
		if (strcmp(value_of(words, "security"), securities[i]) == 0)
			offer->security = i;
	offer->tls_highest = strcmp(tls, "1.3") == 0 ? 0x0304 : 0x0303;
	offer->hops = (uint8_t)strtoul(hops, NULL, 10);
	(void)snprintf(offer->sysid, sizeof(offer->sysid), "%s", value_of(words, "sysid"));
	(void)snprintf(offer->target, sizeof(offer->target), "%s", value_of(words, "target"));
}

struct answer {
	struct decision decision;
	bool late; /* it fell inside TLS, by the certificate */
	int asked; /* what the handshake asks for: enum client_auth */
};

static void decide(char *const *words, const struct config_listener *listener, const struct params *offer,
                   struct answer *answer)
{
	union socket_address source;
	struct identity identity;
	struct policy_question question = {.config = config, .listener = listener, .source = &source, .offer = offer};

	take_source(value_of(words, "source"), &source);
	take_identity(value_of(words, "identity"), &identity);
	question.secured_before = strcmp(value_of(words, "ratcheted"), "yes") == 0;
	question.inside = offer->security == SECURITY_INSIDE;
	question.identity = question.inside ? &identity : NULL;
	if (listener->exchange == EXCHANGE_NONE) {
		policy_decide_raw(&question, &answer->decision);
		return;
	}
	policy_decide(&question, &answer->decision);
	answer->asked = question.inside ? policy_direct_client_auth(config, listener, &source) : answer->decision.client_auth;
	if (!answer->decision.identity_due)
		return;
	question.identity = &identity;
	answer->late = true;
	policy_decide(&question, &answer->decision);
}

static void print_route(const struct config_listener *listener, const struct params *offer, const struct decision *decision)
{
	struct route_question question = {.config = config, .listener = listener, .service = decision->service, .wanted = offer->target,
	                                  .offer = listener->exchange == EXCHANGE_CCI ? offer : NULL};
	struct route route;
	enum reason reason = route_choose(&question, &route);
	const char *kind = destination_word(route.destination);

	(void)printf("\troute=%s\tkind=%s\tto=%s\n", reason_word(reason), kind != NULL ? kind : "nobody",
	             route.service != NULL ? route.service->place.name : route.peer != NULL ? route.peer->place.name : "");
}

static void ask(char *const *words)
{
	static const char *const auth[] = {"no", "no", "request", "require"};
	const struct config_listener *listener = NULL;
	struct answer answer = {.late = false};
	const struct decision *decision = &answer.decision;
	struct params offer;

	for (size_t i = 0; config != NULL && i < config->listener_count; i++)
		if (strcmp(config->listeners[i].place.name, value_of(words, "listener")) == 0)
			listener = &config->listeners[i];
	if (listener == NULL) {
		(void)printf("error=no such listener\n");
		return;
	}
	take_offer(words, &offer);
	if (listener->exchange == EXCHANGE_NONE)
		offer = (struct params){.type = PARAMS_OFFER};
	decide(words, listener, &offer, &answer);
	(void)printf("outcome=%s\treason=%s\tcode=%u\tlate=%s\trule=%s\tpolicy=%s\tasked=%s\trequired=%s\tratchet=%s\taudit=%s\taudit_outcome=%s"
	             "\taudit_reason=%s\tnever_outcome=%s\tnever_reason=%s",
	             outcome_word(decision->outcome), reason_word(decision->reason), reason_code(decision->reason),
	             answer.late ? "yes" : "no", decision->rule != NULL ? decision->rule->place.name : "-",
	             unsecured_word(decision->policy), auth[answer.asked],
	             decision->client_auth == CLIENT_AUTH_REQUIRE ? "yes" : "no", decision->ratchet ? "yes" : "no",
	             decision->audit != UNSECURED_INHERIT ? unsecured_word(decision->audit) : "-",
	             decision->audit != UNSECURED_INHERIT ? outcome_word(decision->audit_outcome) : "-",
	             reason_word(decision->audit_reason), outcome_word(decision->never_outcome), reason_word(decision->never_reason));
	print_route(listener, &offer, decision);
}

static void tell(char **words, int count)
{
	struct error error = {.text = ""};

	if (config == NULL || explain(config, stdout, count, words, NULL, &error) != 0)
		(void)printf("error=%s\n", error.text);
	(void)printf(".\n");
}

int main(void)
{
	static char line[LINE];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		char *words[WORDS + 2] = {NULL}, *rest = line;
		int count = 0;

		line[strcspn(line, "\n")] = '\0';
		while (count <= WORDS && (words[count] = strsep(&rest, "\t")) != NULL)
			count++;
		if (strcmp(words[0], "config") == 0 && count == 3)
			take_config(words + 1);
		else if (strcmp(words[0], "ask") == 0)
			ask(words + 1);
		else if (strcmp(words[0], "explain") == 0)
			tell(words + 1, count - 1);
		(void)fflush(stdout);
	}
	config_free(config);
	return 0;
}
