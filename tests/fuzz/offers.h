/* What a client may begin with, by bytes of the input. */
#ifndef FUZZ_OFFERS_H
#define FUZZ_OFFERS_H

#include "side.h"

/* One of six PROXY headers, some of them bad, into the outbox. */
void offers_proxy_header(struct side *side, uint8_t which);

/* An OFFER: `what` is its security, name and hops, `target` whom it wants, its maxru and TLS versions. `direct`: inside TLS. */
void offers_fill(struct letter *offer, bool direct, uint8_t what, uint8_t target);

#endif
