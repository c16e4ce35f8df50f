/* Ticket keys: in memory or out of a file, and derived for each policy. */
#include "tlstickets.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_SIZE 32
#define NAME_SIZE 16
#define LINE_DIGITS_LEAST 64
#define LINE_DIGITS_MOST 512

/* Of the whole process; the newest first. */
static struct {
	pthread_mutex_t lock;
	atomic_uint generation; /* 0: no key yet */
	size_t count;
	uint8_t secrets[2][SECRET_SIZE];
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct tls_tickets {
	OSSL_LIB_CTX *library; /* borrowed */
	EVP_CIPHER *cipher;    /* fetched once: a fetch for each ticket would take a lock */
	bool from_file;
	unsigned generation;
	size_t count;
	uint8_t secrets[TLS_TICKET_KEYS][SECRET_SIZE];
};

/* What stands in a ticket in the clear, and what seals it. */
struct wire_key {
	uint8_t name[NAME_SIZE], cipher[32], mac[32];
};

struct tls_ticket_policy {
	struct tls_tickets *tickets;
	uint8_t digest[32];
	unsigned generation; /* of the keys that these were derived from; 0: none yet */
	size_t count;
	struct wire_key keys[TLS_TICKET_KEYS];
};

/* --- in memory --- */

int tls_tickets_rotate(struct error *error)
{
	uint8_t fresh[SECRET_SIZE];

	if (RAND_priv_bytes(fresh, sizeof(fresh)) != 1)
		return error_set(error, "the system gives no random numbers");
	(void)pthread_mutex_lock(&memory.lock);
	memcpy(memory.secrets[1], memory.secrets[0], SECRET_SIZE);
	memcpy(memory.secrets[0], fresh, SECRET_SIZE);
	memory.count = memory.count < 2 ? memory.count + 1 : 2;
	(void)atomic_fetch_add(&memory.generation, 1);
	(void)pthread_mutex_unlock(&memory.lock);
	OPENSSL_cleanse(fresh, sizeof(fresh));
	return 0;
}

int tls_tickets_init(struct error *error)
{
	return atomic_load(&memory.generation) != 0 ? 0 : tls_tickets_rotate(error);
}

void tls_tickets_forget(void)
{
	(void)pthread_mutex_lock(&memory.lock);
	OPENSSL_cleanse(memory.secrets, sizeof(memory.secrets));
	memory.count = 0;
	atomic_store(&memory.generation, 0);
	(void)pthread_mutex_unlock(&memory.lock);
}

/* After a rotation, copy the keys: the only moment at which a worker takes the lock. */
static void refresh(struct tls_tickets *tickets)
{
	if (tickets->from_file || tickets->generation == atomic_load(&memory.generation))
		return;
	(void)pthread_mutex_lock(&memory.lock);
	tickets->generation = atomic_load(&memory.generation);
	tickets->count = memory.count;
	memcpy(tickets->secrets, memory.secrets, sizeof(memory.secrets));
	(void)pthread_mutex_unlock(&memory.lock);
}

/* --- out of a file --- */

/* One line: a key of any length from 64 digits up becomes 32 bytes. */
static const char *take_line(struct tls_tickets *tickets, const char *line, size_t length)
{
	char digits[LINE_DIGITS_MOST + 1];
	uint8_t bytes[LINE_DIGITS_MOST / 2];
	const char *words = NULL;
	int got;

	if (length > LINE_DIGITS_MOST)
		return "is too long: 64 to 512 hexadecimal digits make a key";
	memcpy(digits, line, length);
	digits[length] = '\0';
	got = text_from_hex(digits, bytes, sizeof(bytes));
	/* Nor one with a zero byte behind it. */
	if (got < LINE_DIGITS_LEAST / 2 || (size_t)got * 2 != length)
		words = "is no key: it takes 64 or more hexadecimal digits, such as openssl rand -hex 32 makes";
	else if (tickets->count == TLS_TICKET_KEYS)
		words = "is one key too many: keep at most 16";
	else if (EVP_Q_digest(tickets->library, "SHA256", NULL, bytes, (size_t)got, tickets->secrets[tickets->count],
	                      NULL) != 1)
		words = "cannot be taken";
	else
		tickets->count++;
	OPENSSL_cleanse(digits, sizeof(digits));
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return words;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* What is wrong, with its line; NULL: nothing. */
static const char *take_lines(struct tls_tickets *tickets, const struct tls_bytes *bytes, unsigned *number)
{
	const char *at = (const char *)bytes->at, *end = at + bytes->size;

	for (*number = 1; at < end; (*number)++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at)), *last = newline != NULL ? newline : end;
		const char *next = newline != NULL ? newline + 1 : end, *words;

		while (at < last && is_blank(*at))
			at++;
		while (last > at && is_blank(last[-1]))
			last--;
		if (at < last && *at != '#' && *at != ';') {
			words = take_line(tickets, at, (size_t)(last - at));
			if (words != NULL)
				return words;
		}
		at = next;
	}
	return NULL;
}

static int load_file(struct tls_tickets *tickets, const char *file, struct error *error)
{
	static const struct tls_place place = {.section = "tls"};
	struct tls_bytes bytes;
	const char *words;
	unsigned number;

	if (tls_read_secret(&place, "ticket_keys", file, &bytes, error) != 0)
		return -1;
	words = take_lines(tickets, &bytes, &number);
	tls_wipe(&bytes);
	tickets->from_file = true;
	tickets->generation = 1;
	ERR_clear_error();
	if (words != NULL)
		return tls_fail(&place, "ticket_keys", error, "[tls] ticket_keys = %s: line %u %s", file, number, words);
	if (tickets->count == 0)
		return tls_fail(&place, "ticket_keys", error,
		                "[tls] ticket_keys = %s holds no key: openssl rand -hex 32 makes one", file);
	return 0;
}

struct tls_tickets *tls_tickets_new(OSSL_LIB_CTX *library, const char *file, struct error *error)
{
	struct tls_tickets *tickets = calloc(1, sizeof(*tickets));

	if (tickets != NULL) {
		tickets->library = library;
		tickets->cipher = EVP_CIPHER_fetch(library, "AES-256-CBC", NULL);
	}
	if (tickets == NULL || tickets->cipher == NULL)
		error_set(error, "tickets cannot be sealed: not enough memory, or no AES-256-CBC in the TLS library");
	else if ((file != NULL ? load_file(tickets, file, error) : tls_tickets_init(error)) == 0)
		return tickets;
	tls_tickets_free(tickets);
	return NULL;
}

void tls_tickets_free(struct tls_tickets *tickets)
{
	if (tickets == NULL)
		return;
	EVP_CIPHER_free(tickets->cipher);
	OPENSSL_cleanse(tickets, sizeof(*tickets));
	free(tickets);
}

/* --- for a policy --- */

struct tls_ticket_policy *tls_ticket_policy_new(struct tls_tickets *tickets, const uint8_t digest[32])
{
	struct tls_ticket_policy *policy = calloc(1, sizeof(*policy));

	if (policy == NULL)
		return NULL;
	policy->tickets = tickets;
	memcpy(policy->digest, digest, sizeof(policy->digest));
	return policy;
}

void tls_ticket_policy_free(struct tls_ticket_policy *policy)
{
	if (policy == NULL)
		return;
	OPENSSL_cleanse(policy, sizeof(*policy));
	free(policy);
}

static int derive_part(const struct tls_ticket_policy *policy, size_t key, uint8_t part, uint8_t out[32])
{
	uint8_t text[33];
	size_t size = 0;

	memcpy(text, policy->digest, sizeof(policy->digest));
	text[32] = part;
	return EVP_Q_mac(policy->tickets->library, "HMAC", NULL, "SHA256", NULL, policy->tickets->secrets[key], SECRET_SIZE,
	                 text, sizeof(text), out, 32, &size) != NULL
	           ? 0
	           : -1;
}

static int derive(struct tls_ticket_policy *policy)
{
	policy->generation = 0;
	for (size_t i = 0; i < policy->tickets->count; i++) {
		uint8_t name[32];

		if (derive_part(policy, i, 0, name) != 0 || derive_part(policy, i, 1, policy->keys[i].cipher) != 0 ||
		    derive_part(policy, i, 2, policy->keys[i].mac) != 0)
			return -1;
		memcpy(policy->keys[i].name, name, NAME_SIZE);
	}
	policy->count = policy->tickets->count;
	policy->generation = policy->tickets->generation;
	return 0;
}

static int set_mac(EVP_MAC_CTX *mac, const struct wire_key *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
	                       OSSL_PARAM_construct_end()};

	return EVP_MAC_init(mac, key->mac, sizeof(key->mac), params);
}

static int seal(const struct tls_ticket_policy *policy, const struct tls_ticket_request *request)
{
	const struct wire_key *key = &policy->keys[0];
	const struct tls_tickets *tickets = policy->tickets;

	memcpy(request->name, key->name, NAME_SIZE);
	return RAND_bytes_ex(tickets->library, request->iv, (size_t)EVP_CIPHER_get_iv_length(tickets->cipher), 0) == 1 &&
	               EVP_EncryptInit_ex2(request->cipher, tickets->cipher, key->cipher, request->iv, NULL) == 1 &&
	               set_mac(request->mac, key) == 1
	           ? 1
	           : -1;
}

static int open(const struct tls_ticket_policy *policy, const struct tls_ticket_request *request)
{
	size_t i = 0;

	while (i < policy->count && memcmp(policy->keys[i].name, request->name, NAME_SIZE) != 0)
		i++;
	if (i == policy->count)
		return 0;
	if (set_mac(request->mac, &policy->keys[i]) != 1 ||
	    EVP_DecryptInit_ex2(request->cipher, policy->tickets->cipher, policy->keys[i].cipher, request->iv, NULL) != 1)
		return -1;
	return i > 0 || request->single_use ? 2 : 1;
}

int tls_ticket_answer(struct tls_ticket_policy *policy, const struct tls_ticket_request *request)
{
	refresh(policy->tickets);
	if (policy->generation != policy->tickets->generation && derive(policy) != 0)
		return -1;
	return request->seal ? seal(policy, request) : open(policy, request);
}
