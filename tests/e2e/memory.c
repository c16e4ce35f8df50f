/* What the memory of a process holds. */
#include "memory.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

pid_t memory_child(pid_t parent, const char *name)
{
	DIR *folder = opendir("/proc");
	pid_t found = 0;

	for (const struct dirent *entry; found == 0 && (entry = readdir(folder)) != NULL;) {
		char path[300], comm[64] = "";
		int pid = 0, ppid = 0;
		FILE *stream;

		(void)snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		stream = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? fopen(path, "r") : NULL;
		if (stream == NULL)
			continue;
		if (fscanf(stream, "%d (%63[^)]) %*c %d", &pid, comm, &ppid) == 3 && ppid == parent && strcmp(comm, name) == 0)
			found = pid;
		(void)fclose(stream);
	}
	(void)closedir(folder);
	return found;
}

void memory_take(const char *path, const char *rsa_part, struct memory_secret *secret)
{
	FILE *stream = fopen(path, "r");
	EVP_PKEY *key = PEM_read_PrivateKey(stream, NULL, NULL, (void *)(uintptr_t) "a passphrase of the tests");
	BIGNUM *number = NULL;

	ck_assert_ptr_nonnull(key);
	(void)fclose(stream);
	ck_assert_int_eq(
	    EVP_PKEY_get_bn_param(key, EVP_PKEY_is_a(key, "RSA") ? rsa_part : OSSL_PKEY_PARAM_PRIV_KEY, &number), 1);
	secret->size = (size_t)BN_num_bytes(number);
	/* A leading byte that is left out in a copy must not hide it. */
	ck_assert_int_eq(BN_bn2binpad(number, secret->bytes[0], (int)secret->size), (int)secret->size);
	ck_assert_int_eq(BN_bn2lebinpad(number, secret->bytes[1], (int)secret->size), (int)secret->size);
	/* What was freed may be overwritten in part: a quarter of a key is too much. */
	if (secret->size > PART) {
		memmove(secret->bytes[1], secret->bytes[1] + secret->size - PART, PART);
		secret->size = PART;
	}
	BN_clear_free(number);
	EVP_PKEY_free(key);
}

#define PIECE (1ul << 20)
#define MOST (1ul << 34) /* of one mapping: the shadows of sanitizers are larger */

/* In pieces that overlap by more than the secret is long. What is not there, such as a sanitizer's shadow, is passed
 * over. */
static bool is_in_range(int memory, unsigned long from, unsigned long until, const struct memory_secret *secret)
{
	static uint8_t bytes[PIECE + 512];
	bool found = false;

	for (; !found && from < until; from += PIECE) {
		size_t size = until - from < sizeof(bytes) ? until - from : sizeof(bytes);
		ssize_t got = pread(memory, bytes, size, (off_t)from);

		found = got > 0 && (memmem(bytes, (size_t)got, secret->bytes[0], secret->size) != NULL ||
		                    memmem(bytes, (size_t)got, secret->bytes[1], secret->size) != NULL);
	}
	return found;
}

bool memory_holds(pid_t pid, const struct memory_secret *secret)
{
	char path[64], line[512], rights[8];
	unsigned long from, until;
	bool found = false;
	FILE *maps;
	int memory;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "r");
	ck_assert(memory >= 0 && maps != NULL);
	while (!found && fgets(line, sizeof(line), maps) != NULL)
		if (sscanf(line, "%lx-%lx %7s", &from, &until, rights) == 3 && rights[0] == 'r' && strstr(line, "[v") == NULL &&
		    until - from <= MOST)
			found = is_in_range(memory, from, until, secret);
	(void)fclose(maps);
	close(memory);
	return found;
}
