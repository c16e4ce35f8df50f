/*
 * --explain: what would become of a connection, and by which rule with file and line. Asks the same pure functions as a
 * session does (policy.h, route.h); opens nothing but the configuration.
 */
#ifndef EXPLAIN_H
#define EXPLAIN_H

#include <stdio.h>

#include "compiler.h"
#include "config.h"
#include "text.h"

/*
 * Print to `stream` what `config` decides about the connection that `words` describe (count of them, each KEY=VALUE),
 * once for each listener that could take it: source=ADDRESS      where it comes from, or unix; needed sysid=NAME the
 * client's CCI name; needed unless every listener asked has exchange = none security=WORD       none, off, on (where it
 * is not said), required, direct target=NAME         the target it names; not said: none listener=NAME       one
 * listener; not said: all tls=VERSION         1.2 or 1.3: the highest it speaks (parameter 7); not said: it does not
 * say identity=NAME,...   names of its verified certificate, such as DNS:a.example,CN:b; not said: it has none
 *   ratcheted=yes|no    has the name been secured before? not said: `ratcheted` is asked, NULL meaning no
 * 0; with `error`: -1 for a word that is not understood, -2 where `ratcheted` failed.
 */
typedef int explain_ratcheted(const struct config *config, const char *sysid, bool *held, struct error *error);
int explain(const struct config *config, FILE *stream, int count, char *const *words, explain_ratcheted *ratcheted,
            struct error *error) MUST_CHECK;

/* An explain_ratcheted that looks into the ratchet_file of `config`, from outside of its chroot; without one nothing is
 * held. What of a damaged file can be read counts. */
int explain_ratcheted_in_file(const struct config *config, const char *sysid, bool *held,
                              struct error *error) MUST_CHECK;

#endif
