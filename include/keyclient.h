/*
 * The gateway's side of the key process: keys are loaded there, and the provider's signatures are asked for there. Each
 * thread that signs has a socket of its own and waits for the answer, for KEYCLIENT_WAIT_MS at most: a process that
 * hangs costs each thread that once, and all further signatures fail at once until it has answered. Knows no process,
 * only its sockets.
 */
#ifndef KEYCLIENT_H
#define KEYCLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler.h"
#include "keyprovider.h"
#include "text.h"
#include "tlskey.h"

#define KEYCLIENT_WAIT_MS 2000
#define KEYCLIENT_LOAD_MS 15000 /* a passphrase may be slow on purpose */

/* Keys come from `fd` (borrowed) from now on, and signatures over the `count` channels (owned), one for each thread
 * that ever signs. Before the first thread. 0, or -1 with `error`: not enough memory; keyclient_close in both cases. */
int keyclient_open(int fd, const int *channels, size_t count, struct error *error) MUST_CHECK;
bool keyclient_is_open(void);

/* No key of the process may be in use any more. Nothing where it is not open. */
void keyclient_close(void);

/* Keys that are loaded next are for this worker: those of one do not wait for those of another. Main thread only. */
void keyclient_for(unsigned worker);

/* As tls_key_load; the key has no private part. Main thread only. */
EVP_PKEY *keyclient_load(OSSL_LIB_CTX *library, const struct tls_credential_files *files, bool *is_unneeded,
                         struct error *error) MUST_CHECK;

/* One request without a rest, and its answer, whose rest goes to `rest` (of *size bytes at first; NULL: it has none).
 * Main thread only. What could not be asked is KEYWIRE_GONE or KEYWIRE_SILENT. */
enum keywire_result keyclient_ask(enum keywire_kind kind, char *rest, size_t *size) MUST_CHECK;

#endif
