/* SipHash-2-4: a hash for tables whose keys strangers choose. Who does not know `key` cannot choose buckets. */
#ifndef KEYHASH_H
#define KEYHASH_H

#include <stddef.h>
#include <stdint.h>

#define KEYHASH_KEY_SIZE 16

/* Fill `key` with what nobody can guess. */
void keyhash_key(uint8_t *key);

uint64_t keyhash(const uint8_t *key, const void *bytes, size_t size);

#endif
