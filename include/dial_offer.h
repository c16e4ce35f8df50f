/* What the connecting side says, and which answers keep to it (protocol, sections 2 and 3). Pure; for dial.c alone. */
#ifndef DIAL_OFFER_H
#define DIAL_OFFER_H

#include <stdbool.h>

#include "dial.h"
#include "params.h"

/* The OFFER for these options. */
void dial_offer_fill(const struct dial_options *options, struct params *offer);

/* Is this an ACCEPT that breaks nothing of it? */
bool dial_offer_kept(const struct dial_options *options, const struct params *answer);

/* Would the answer lead into the clear, where the peer's ratchet closes it? */
bool dial_offer_ratcheted(const struct dial_options *options, const struct params *answer);

#endif
