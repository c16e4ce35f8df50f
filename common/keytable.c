/* Private keys by handle, and what is signed with them. */
#include "keytable.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 16u

/* A key, counted here: an analyser of threads sees nothing of OpenSSL's own counts. */
struct kept {
	atomic_uint references;
	EVP_PKEY *key;
	OSSL_LIB_CTX *library;
	bool as_client;
};

struct held {
	struct kept *kept; /* one reference; NULL: free */
	uint32_t use;      /* how many times the place was taken: a handle of before is no handle of now */
};

struct keytable {
	pthread_rwlock_t lock;
	struct held *at;
	size_t room, count;
};

struct keytable *keytable_new(void)
{
	struct keytable *table = calloc(1, sizeof(*table));

	if (table != NULL && pthread_rwlock_init(&table->lock, NULL) == 0)
		return table;
	free(table);
	return NULL;
}

static void drop(struct kept *kept)
{
	if (kept == NULL || atomic_fetch_sub_explicit(&kept->references, 1, memory_order_acq_rel) != 1)
		return;
	EVP_PKEY_free(kept->key);
	free(kept);
}

void keytable_free(struct keytable *table)
{
	if (table == NULL)
		return;
	for (size_t i = 0; i < table->room; i++)
		drop(table->at[i].kept);
	(void)pthread_rwlock_destroy(&table->lock);
	free(table->at);
	free(table);
}

/* --- handles --- */

static uint64_t handle_of(size_t place, uint32_t use)
{
	return (uint64_t)use << 32 | place;
}

static struct held *find(struct keytable *table, uint64_t handle)
{
	size_t place = handle & UINT32_MAX;

	if (place >= table->room || table->at[place].kept == NULL || table->at[place].use != handle >> 32)
		return NULL;
	return &table->at[place];
}

/* The number of a free place; or the room there is, where it cannot be had. */
static size_t free_place(struct keytable *table)
{
	size_t more = table->room == 0 ? FIRST_ROOM : 2 * table->room, place = 0;
	struct held *at;

	while (place < table->room && table->at[place].kept != NULL)
		place++;
	if (place < table->room || more > KEYTABLE_MOST)
		return place;
	at = realloc(table->at, more * sizeof(*at)); /* pointers alone */
	if (at == NULL)
		return table->room;
	memset(at + table->room, 0, (more - table->room) * sizeof(*at));
	table->at = at;
	table->room = more;
	return place;
}

uint64_t keytable_add(struct keytable *table, OSSL_LIB_CTX *library, EVP_PKEY *key, bool as_client)
{
	struct kept *kept = malloc(sizeof(*kept));
	uint64_t handle = 0;
	size_t place;

	if (kept == NULL)
		return 0;
	atomic_init(&kept->references, 1);
	kept->key = key;
	kept->library = library;
	kept->as_client = as_client;
	(void)pthread_rwlock_wrlock(&table->lock);
	place = free_place(table);
	if (place < table->room) {
		table->at[place] = (struct held){.kept = kept, .use = table->at[place].use + 1};
		table->count++;
		handle = handle_of(place, table->at[place].use);
	}
	(void)pthread_rwlock_unlock(&table->lock);
	if (handle == 0)
		free(kept);
	return handle;
}

void keytable_remove(struct keytable *table, uint64_t handle)
{
	struct kept *kept = NULL;
	struct held *held;

	(void)pthread_rwlock_wrlock(&table->lock);
	held = find(table, handle);
	if (held != NULL) {
		kept = held->kept;
		held->kept = NULL;
		table->count--;
	}
	(void)pthread_rwlock_unlock(&table->lock);
	drop(kept);
}

size_t keytable_count(struct keytable *table)
{
	size_t count;

	(void)pthread_rwlock_rdlock(&table->lock);
	count = table->count;
	(void)pthread_rwlock_unlock(&table->lock);
	return count;
}

/* One reference more, owned by the caller (drop). NULL: there is no such key. */
static struct kept *share(struct keytable *table, uint64_t handle)
{
	struct kept *kept = NULL;
	const struct held *held;

	(void)pthread_rwlock_rdlock(&table->lock);
	held = find(table, handle);
	if (held != NULL) {
		kept = held->kept;
		(void)atomic_fetch_add_explicit(&kept->references, 1, memory_order_relaxed);
	}
	(void)pthread_rwlock_unlock(&table->lock);
	return kept;
}

/* --- signatures --- */

static bool is_sensible(const struct keywire_request *request, const uint8_t *text, size_t size)
{
	return request->padding < KEYWIRE_PADDINGS && request->digest < KEYWIRE_DIGESTS && request->reserved == 0 &&
	       size <= KEYWIRE_SIGNED_MOST && keywire_is_handshake(text, size);
}

static int set_padding(EVP_PKEY_CTX *context, enum keywire_padding padding)
{
	if (padding == KEYWIRE_PKCS1)
		return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING);
	if (padding == KEYWIRE_PSS && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) > 0)
		return EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST);
	return padding == KEYWIRE_PLAIN;
}

static bool sign(const struct kept *kept, const struct keywire_request *request, const uint8_t *text, size_t size,
                 uint8_t *signature, size_t *signature_size)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *settings = NULL;
	bool done = context != NULL && EVP_PKEY_get_size(kept->key) <= (int)KEYWIRE_SIGNATURE_MOST &&
	            EVP_DigestSignInit_ex(context, &settings, keywire_digest_name((enum keywire_digest)request->digest),
	                                  kept->library, NULL, kept->key, NULL) == 1 &&
	            set_padding(settings, (enum keywire_padding)request->padding) > 0;

	*signature_size = KEYWIRE_SIGNATURE_MOST;
	done = done && EVP_DigestSign(context, signature, signature_size, text, size) == 1;
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return done;
}

static enum keywire_result answer_sign(struct keytable *table, const struct keywire_request *request,
                                       const uint8_t *text, size_t size, uint8_t *signature, size_t *signature_size)
{
	struct kept *kept = NULL;
	enum keywire_result result = KEYWIRE_REFUSED;

	if (is_sensible(request, text, size))
		kept = share(table, request->handle);
	if (kept != NULL && (kept->as_client || !keywire_is_of_client(text, size)))
		result = sign(kept, request, text, size, signature, signature_size) ? KEYWIRE_DONE : KEYWIRE_FAILED;
	drop(kept);
	return result;
}

void keytable_answer(struct keytable *table, const uint8_t *request, size_t size, struct keywire_answer *answer,
                     uint8_t *signature, size_t *signature_size)
{
	struct keywire_request head = {.kind = 0};
	enum keywire_result result = KEYWIRE_REFUSED;

	if (size >= sizeof(head))
		memcpy(&head, request, sizeof(head));
	if (head.kind == KEYWIRE_PING)
		result = KEYWIRE_DONE;
	*signature_size = 0;
	if (head.kind == KEYWIRE_SIGN)
		result = answer_sign(table, &head, request + sizeof(head), size - sizeof(head), signature, signature_size);
	if (result != KEYWIRE_DONE)
		*signature_size = 0;
	*answer = (struct keywire_answer){.sequence = head.sequence, .result = (uint32_t)result};
}
