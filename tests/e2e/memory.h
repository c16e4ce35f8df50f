/* Secrets in the memory of processes: for scenarios of keys. As root, or of one's own. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PART 32 /* bytes that are looked for, of a number that has more */

struct memory_secret {
	uint8_t bytes[2][512]; /* both orders */
	size_t size;
};

/* A child of a process by its name; 0: there is none. */
pid_t memory_child(pid_t parent, const char *name);

/* A number of an RSA key (OSSL_PKEY_PARAM_...), or the scalar of an elliptic curve, in a PEM file of the tests'
 * certificates. */
void memory_take(const char *path, const char *rsa_part, struct memory_secret *secret);

/* Is it anywhere in what the process can read? */
bool memory_holds(pid_t pid, const struct memory_secret *secret);

#endif
