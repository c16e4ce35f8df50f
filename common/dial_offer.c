/* What the connecting side says, and which answers keep to it. */
#include "dial_offer.h"

#include <stdio.h>
#include <string.h>

#include "version.h"

static enum params_security offered(enum peer_security security)
{
	static const enum params_security table[] = {
	    [PEER_NONE] = SECURITY_NONE,         [PEER_OFF] = SECURITY_OFF,       [PEER_ON] = SECURITY_ON,
	    [PEER_REQUIRED] = SECURITY_REQUIRED, [PEER_DIRECT] = SECURITY_INSIDE,
	};

	return table[security];
}

void dial_offer_fill(const struct dial_options *options, struct params *offer)
{
	*offer = (struct params){.type = PARAMS_OFFER, .cpu = PARAMS_UTF8, .maxru = options->maxru};
	offer->security = (uint8_t)offered((enum peer_security)options->peer->security);
	(void)snprintf(offer->sysid, sizeof(offer->sysid), "%s", options->sysid);
	(void)snprintf(offer->target, sizeof(offer->target), "%s", options->target != NULL ? options->target : "");
	(void)snprintf(offer->agent, sizeof(offer->agent), "ccisslgw/" GATEWAY_VERSION);
	offer->has_tls = options->tls != NULL && options->peer->security != PEER_NONE;
	offer->tls_lowest = (uint16_t)options->min_version;
	offer->tls_highest = 0x0304;
	offer->has_connection = true;
	memcpy(offer->connection, options->connection, sizeof(offer->connection));
	offer->has_hops = true;
	offer->hops = options->hops;
}

bool dial_offer_kept(const struct dial_options *options, const struct params *answer)
{
	enum peer_security security = (enum peer_security)options->peer->security;

	if (answer->type != PARAMS_ACCEPT || answer->maxru > options->maxru)
		return false;
	switch (answer->security) {
	case ANSWER_CLEAR:
		return security != PEER_REQUIRED && security != PEER_DIRECT;
	case ANSWER_TLS:
		return security != PEER_NONE && security != PEER_DIRECT;
	default:
		return security == PEER_DIRECT;
	}
}

/* The name is ours, of the section: what the peer calls itself in the clear proves nothing. */
bool dial_offer_ratcheted(const struct dial_options *options, const struct params *answer)
{
	const struct config_peer *peer = options->peer;

	return answer->security == ANSWER_CLEAR && peer->ratchet == CHOICE_YES &&
	       ratchet_holds(options->ratchet, peer->place.name);
}
