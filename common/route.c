/* The target that a client names, as a service or peer of the configuration. */
#include "route.h"

#include <string.h>

/* What is meant where the client names nothing, or (ccissl) the gateway itself. */
static const char *resolve(const struct route_question *question)
{
	const struct config *config = question->config;
	const struct config_listener *listener = question->listener;
	const char *wanted = question->wanted;
	const char *own = config->program == PROGRAM_CCISSL ? listener->service : listener->target;
	bool unnamed = wanted[0] == '\0' ||
	               (config->program == PROGRAM_CCISSL && name_equal(wanted, config->gateway.sysid));

	if (!unnamed)
		return wanted;
	if (question->service != NULL)
		return question->service;
	return own != NULL ? own : "";
}

static const struct config_service *find_service(const struct config *config, const char *wanted)
{
	const struct config_service *service = config_service_named(config, wanted);

	/* A gateway's own sysid means its own service: that of this name, or the first there is. */
	if (service == NULL && config->program == PROGRAM_CCISSLGW && name_equal(wanted, config->gateway.sysid) &&
	    config->service_count > 0)
		service = &config->services[0];
	return service;
}

enum reason route_choose(const struct route_question *question, struct route *route)
{
	const struct config *config = question->config;
	const char *wanted;

	*route = (struct route){.destination = TO_NOBODY};
	if (strcmp(question->wanted, PARAMS_PING) == 0) {
		route->destination = TO_PING;
		return REASON_NONE;
	}
	wanted = resolve(question);
	route->service = find_service(config, wanted);
	if (route->service != NULL) {
		route->destination = TO_SERVICE;
		return REASON_NONE;
	}
	route->peer = config->program == PROGRAM_CCISSLGW ? config_peer_for(config, wanted) : NULL;
	if (route->peer == NULL)
		return REASON_TARGET_UNKNOWN;
	route->destination = TO_PEER;
	route->target = wanted;
	if (question->offer != NULL && question->offer->has_hops && question->offer->hops == 0)
		return REASON_HOPS_EXHAUSTED;
	return REASON_NONE;
}

const char *destination_word(enum destination destination)
{
	static const char *const words[] = {NULL, "ping", "service", "peer"};

	return words[destination];
}
