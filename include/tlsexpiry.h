/*
 * Warnings of what expires: once each at 30, 14, 7 and 1 days, and when it is over. Pure: is told what there is and
 * what time it is. Main thread only.
 */
#ifndef TLSEXPIRY_H
#define TLSEXPIRY_H

#include <stdint.h>
#include <time.h>

#include "compiler.h"
#include "tlscontext.h"

struct tls_expiries;

/* NULL without memory. */
struct tls_expiries *tls_expiries_new(void) MUST_CHECK;
void tls_expiries_free(struct tls_expiries *expiries);

/* All that `worker` has in use is looked at, `now` being seconds since 1970. Warns (MESSAGE_EXPIRES_SOON,
 * MESSAGE_EXPIRED) of each thing once for each of the steps that it has come to; a new file begins anew, as does one
 * that was not in use the last time. What lives shortly by its nature (revocation lists, OCSP responses) is warned of
 * at 1 day where it lives longer than two. The number of warnings. */
unsigned tls_expiries_look(struct tls_expiries *expiries, const struct tls_worker *worker, time_t now);

/* The same in parts: between begin and end, each thing is seen. */
void tls_expiries_begin(struct tls_expiries *expiries, time_t now);
void tls_expiries_see(void *expiries, const struct tls_expiry *expiry);
unsigned tls_expiries_end(struct tls_expiries *expiries);

#endif
