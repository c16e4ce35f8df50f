/*
 * Memory of OpenSSL that is wiped when it is freed. OpenSSL wipes keys, but not what it reads them from: the decoders
 * of PEM, PKCS#8 and DER free their buffers as they are (3.0). CRYPTO_set_mem_functions(3).
 */
#ifndef MEMWIPE_H
#define MEMWIPE_H

#include <stdbool.h>

/* To be called first in main: once OpenSSL has allocated anything it takes no other functions. False: it has. */
bool memwipe_prepare(void);

/* From begin to end, in this thread, all that OpenSSL frees or moves is wiped. Not to be nested. Without
 * memwipe_prepare nothing is. */
void memwipe_begin(void);
void memwipe_end(void);

#endif
