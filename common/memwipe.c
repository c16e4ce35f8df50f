/* OpenSSL's memory, wiped while a key is read. */
#include "memwipe.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local bool wiping;

static void *take(size_t size, const char *file, int line)
{
	(void)file, (void)line;
	return size > 0 ? malloc(size) : NULL;
}

static void give_back(void *at, const char *file, int line)
{
	(void)file, (void)line;
	if (wiping && at != NULL)
		OPENSSL_cleanse(at, malloc_usable_size(at));
	free(at);
}

static void *resize(void *at, size_t size, const char *file, int line)
{
	size_t before;
	void *moved;

	if (size == 0) {
		give_back(at, file, line);
		return NULL;
	}
	if (!wiping || at == NULL)
		return realloc(at, size);
	/* realloc would leave behind what was there. */
	before = malloc_usable_size(at);
	moved = malloc(size);
	if (moved == NULL)
		return NULL;
	memcpy(moved, at, before < size ? before : size);
	give_back(at, file, line);
	return moved;
}

bool memwipe_prepare(void)
{
	return CRYPTO_set_mem_functions(take, resize, give_back) == 1;
}

void memwipe_begin(void)
{
	wiping = true;
}

void memwipe_end(void)
{
	wiping = false;
}
