/*
 * The key process: a sidecar that alone reads the private keys of the configuration and signs with them, so that the
 * memory of the gateway, which speaks to strangers, never holds one ([keys] process = yes). It reads nothing but the
 * files that its own reading of the configuration file names as private_key and passphrase_file, and signs nothing but
 * what a TLS handshake signs. Main thread only. docs/keys.md says what it protects and what it does not.
 *
 * The gateway's side of its sockets is keyclient.h, the words on them are keywire.h, its keys are keytable.h.
 */
#ifndef KEYHOLDER_H
#define KEYHOLDER_H

#include <stdbool.h>
#include <uv.h>

#include "compiler.h"
#include "config.h"
#include "text.h"

/* Fork it for `workers` threads and the calling one, and load keys from it from now on; nothing where process = no.
 * `config` is copied by the fork. 0, or -1 with `error`. */
int keyholder_open(const struct config *config, unsigned workers, struct error *error) MUST_CHECK;

/* It becomes the user that the gateway becomes, starts its threads, and gives up the system calls that it needs no
 * more. When the gateway has become that user itself. 0, or -1 with `error`. */
int keyholder_settle(struct error *error) MUST_CHECK;

/* Watch it on `loop`, whose owner closes all handles: `ended` is called once, from there, when it has ended though
 * nobody told it to. 0, or -1 with `error`. */
int keyholder_watch(uv_loop_t *loop, void (*ended)(void *context), void *context, struct error *error) MUST_CHECK;

/* To be called every second: asks whether it is there. Logs when it does not answer, and when it does again. */
void keyholder_tick(void);

/* Why there are no signatures, in words; NULL: there are, or the gateway signs by itself. */
const char *keyholder_trouble(void);

/* What contains it, as sandbox_words has it; NULL: there is none. Static; once it has settled. */
const char *keyholder_words(void);

/* Its process id; 0: there is none. */
int keyholder_pid(void);

/* With all keys freed, and the loop closed, let it end. Nothing where there is none. */
void keyholder_close(void);

#endif
