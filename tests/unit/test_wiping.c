/* What is secret and needed no more is nowhere: no stack, no heap that was given back, no variable of the process has
 * it. */
#include <fcntl.h>
#include <malloc.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compiler.h"
#include "confirm.h"
#include "exchange.h"
#include "suite.h"
#include "tlskey.h"
#include "tlspair.h"
#include "tlstickets.h"
#include "watched.h"

#define MASK 0xa5
#define SECRET_MOST 64
#define STACK (1ul << 20)
#define MAPPING_MOST (1ul << 30)

/* Never as it is, so that the test itself does not hold it. */
struct secret {
	uint8_t hidden[SECRET_MOST];
	size_t size;
};

static char folder[] = "/tmp/cci-wiping-XXXXXX";

/* Sanitizers and valgrind fill and hold back what is freed, and have an opinion on who reads it. */
static bool has_other_allocator(void)
{
	const char *preloaded = getenv("LD_PRELOAD");

	return IS_SANITIZED || (preloaded != NULL && strstr(preloaded, "vgpreload") != NULL);
}

static bool is_there(const volatile uint8_t *at, const struct secret *secret)
{
	for (size_t i = 0; i < secret->size; i++)
		if ((uint8_t)(at[i] ^ MASK) != secret->hidden[i])
			return false;
	return true;
}

/* In how many places of its writable memory this process holds it. */
static size_t places(const struct secret *secret)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long from, until;
	char line[512], rights[8];
	size_t count = 0;

	ck_assert_ptr_nonnull(maps);
	ck_assert_uint_gt(secret->size, 0);
	while (fgets(line, sizeof(line), maps) != NULL)
		if (sscanf(line, "%lx-%lx %7s", &from, &until, rights) == 3 && rights[0] == 'r' && rights[1] == 'w' &&
		    until - from <= MAPPING_MOST)
			for (const uint8_t *at = (const uint8_t *)from; at + secret->size <= (const uint8_t *)until; at++)
				count += is_there(at, secret);
	(void)fclose(maps);
	return count;
}

/* What is freed is looked at before somebody else has it. */
static const struct secret *looked_for;
static size_t given_back;

/* In place of what the programs' own code calls (--wrap=free). */
void __real_free(void *memory);
void __wrap_free(void *memory);

void __wrap_free(void *memory)
{
	const uint8_t *bytes = memory;
	size_t size = looked_for != NULL && memory != NULL ? malloc_usable_size(memory) : 0;

	for (size_t i = 0; i < size && i + looked_for->size <= size; i++)
		given_back += is_there(bytes + i, looked_for);
	__real_free(memory);
}

/* `size` bytes of the file `name` from `offset` on, each by itself. */
static void take(struct secret *secret, const char *name, off_t offset, size_t size)
{
	static uint8_t byte;
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(lseek(fd, offset, SEEK_SET) == offset, 1);
	for (secret->size = 0; secret->size < size; secret->size++) {
		ck_assert_int_eq((int)read(fd, &byte, 1), 1);
		secret->hidden[secret->size] = byte ^ MASK;
	}
	close(fd);
}

/* Files of secrets, which no byte of this process has seen. */
static void make_files(void)
{
	static const char script[] =
	    "cd %s && umask 077 && openssl rand -hex 60 >word && openssl genpkey -quiet -algorithm RSA -out plain.pem "
	    "2>/dev/null && "
	    "openssl pkey -in plain.pem -aes-256-cbc -passout file:word -out key.pem && "
	    "{ cat plain.pem && seq 4000; } >large.pem && "
	    "openssl rand 64 >bytes && { echo '# a line that is no secret, for what an allocator writes into what is "
	    "freed' && "
	    "od -An -v -tx1 bytes | tr -d ' \\n' && echo; } >tickets && openssl dgst -sha256 -binary bytes >ticket && "
	    "{ printf '\\007' && head -c 31 /dev/zero && printf '\\001'; } >part && "
	    "openssl dgst -sha256 -mac HMAC -macopt hexkey:$(od -An -v -tx1 ticket | tr -d ' \\n') -binary part >derived";
	char command[1024];

	/* Nothing that is freed leaves the process, where nobody would look for it. */
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 30);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(command, sizeof(command), script, folder);
	ck_assert_int_eq(system(command), 0);
}

static void remove_files(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

struct task {
	void *(*work)(void *);
	void *argument;
};

/* Far below what the end of a thread itself leaves on its stack. */
static void *deeper(void *argument)
{
	const struct task *task = argument;
	volatile uint8_t room[16384];

	room[0] = room[sizeof(room) - 1] = 0;
	(void)task->work(task->argument);
	return NULL;
}

/* On a stack that nobody uses again, that stays, and that is looked at too. */
static void run(void *(*work)(void *), void *argument)
{
	struct task task = {work, argument};
	void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_t attributes;
	pthread_t thread;

	ck_assert_ptr_ne(stack, MAP_FAILED);
	ck_assert_int_eq(pthread_attr_init(&attributes), 0);
	ck_assert_int_eq(pthread_attr_setstack(&attributes, stack, STACK), 0);
	ck_assert_int_eq(pthread_create(&thread, &attributes, deeper, &task), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	(void)pthread_attr_destroy(&attributes);
}

/* --- the test itself --- */

static void *hold(void *argument)
{
	const struct secret *secret = argument;
	volatile uint8_t stack[SECRET_MOST];
	volatile uint8_t *heap = malloc(4096);

	for (size_t i = 0; i < secret->size; i++)
		heap[1024 + i] = stack[i] = secret->hidden[i] ^ MASK;
	free((void *)(uintptr_t)heap);
	return NULL;
}

START_TEST(what_is_not_wiped_is_found)
{
	struct secret secret;

	if (has_other_allocator())
		return;
	take(&secret, "bytes", 0, 32);
	ck_assert_uint_eq(places(&secret), 0);
	run(hold, &secret);
	ck_assert_uint_ge(places(&secret), 2);
}
END_TEST

/* --- keys in files --- */

static void *load_key(void *argument)
{
	const char *name = argument;
	char key[128], word[128];
	const struct tls_credential_files files = {
	    .place = {.section = "tls"}, .certificate = "cert.pem", .private_key = key, .passphrase_file = word};
	struct error error = {.key = NULL};
	bool is_unneeded;
	EVP_PKEY *loaded;

	(void)snprintf(key, sizeof(key), "%s/%s", folder, name);
	(void)snprintf(word, sizeof(word), "%s/word", folder);
	loaded = tls_key_load(NULL, &files, &is_unneeded, &error);
	EVP_PKEY_free(loaded);
	return loaded;
}

/* Encrypted, plain, and larger than the first buffer. */
START_TEST(of_a_key_s_files_nothing_is_left)
{
	static const char *const names[] = {"key.pem", "plain.pem", "large.pem"};
	struct secret passphrase, text;

	if (has_other_allocator())
		return;
	take(&passphrase, "word", 64, 40);
	take(&text, names[_i], 400, 48);
	looked_for = &text;
	given_back = 0;
	run(load_key, (void *)(uintptr_t)names[_i]);
	looked_for = NULL;
	ck_assert_uint_eq(given_back, 0);
	ck_assert_uint_eq(places(&passphrase), 0);
	ck_assert_uint_eq(places(&text), 0);
}
END_TEST

/* --- tickets: each step on a stack of its own, and nothing behind it that would go over that --- */

static struct tls_tickets *tickets;
static struct tls_ticket_policy *policy;
static int result;

static void *load_tickets(void *file)
{
	static struct error error;

	tickets = tls_tickets_new(NULL, file, &error);
	return NULL;
}

static void *seal_ticket(void *unused)
{
	static const uint8_t digest[32] = {7};
	uint8_t name[16], iv[16];
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();

	(void)unused;
	policy = tls_ticket_policy_new(tickets, digest);
	result = tls_ticket_answer(
	    policy, &(struct tls_ticket_request){.name = name, .iv = iv, .cipher = cipher, .mac = mac, .seal = 1});
	EVP_CIPHER_CTX_free(cipher);
	EVP_MAC_CTX_free(mac);
	EVP_MAC_free(hmac);
	return NULL;
}

static void use_tickets(void)
{
	ck_assert_ptr_nonnull(tickets);
	run(seal_ticket, NULL);
	ck_assert_int_eq(result, 1);
	tls_ticket_policy_free(policy);
	tls_tickets_free(tickets);
}

START_TEST(of_ticket_keys_in_a_file_nothing_is_left)
{
	static const char *const names[] = {"tickets", "bytes", "ticket", "derived"};
	static const off_t offsets[] = {120, 8, 0, 0};
	struct secret secrets[4];
	char path[128];

	if (has_other_allocator())
		return;
	for (int i = 0; i < 4; i++)
		take(&secrets[i], names[i], offsets[i], 32);
	(void)snprintf(path, sizeof(path), "%s/tickets", folder);
	run(load_tickets, path);
	/* The key is there, once; its line is not. */
	for (size_t i = 0; i < 3; i++)
		ck_assert_msg(places(&secrets[i]) == (i == 2), "%s: %zu places", names[i], places(&secrets[i]));
	use_tickets();
	for (int i = 0; i < 4; i++)
		ck_assert_msg(places(&secrets[i]) == 0, "%s: %zu places", names[i], places(&secrets[i]));
}
END_TEST

static struct secret drawn; /* what the library's random numbers are in this program */

int RAND_priv_bytes(unsigned char *bytes, int size)
{
	for (int i = 0; i < size; i++)
		bytes[i] = drawn.hidden[i] ^ MASK;
	return 1;
}

static void *make_key(void *unused)
{
	static struct error error;

	(void)unused;
	result = tls_tickets_init(&error);
	return NULL;
}

/* As long as the process has keys it holds them in one place. */
START_TEST(of_ticket_keys_in_memory_nothing_is_left)
{
	if (has_other_allocator())
		return;
	take(&drawn, "bytes", 0, 32);
	run(make_key, NULL);
	ck_assert_int_eq(result, 0);
	ck_assert_uint_eq(places(&drawn), 1);
	run(load_tickets, NULL);
	use_tickets();
	ck_assert_uint_eq(places(&drawn), 1);
	tls_tickets_forget();
	ck_assert_uint_eq(places(&drawn), 0);
}
END_TEST

/* --- CONFIRM --- */

static void *confirm(void *argument)
{
	static const uint8_t digest[CONFIRM_DIGEST_SIZE] = {1};
	static struct confirm_verifiers verifiers;

	result = confirm_verifiers(argument, digest, &verifiers);
	return NULL;
}

START_TEST(of_the_key_of_confirm_nothing_is_left)
{
	struct party authority, server;
	struct meeting meeting;
	SSL_CTX *contexts[2];
	struct secret key = {.size = 32};

	if (has_other_allocator())
		return;
	party_make(&authority, &(struct party_wish){.common_name = "an authority"});
	party_make(&server, &(struct party_wish){.common_name = "host", .names = "DNS:host", .issuer = &authority});
	contexts[0] = plain_context(true, &server, NULL);
	contexts[1] = plain_context(false, NULL, &authority);
	meeting_open(&meeting, plain_on_socket(contexts[1], false, -1), plain_on_socket(contexts[0], true, -1));
	ck_assert_int_eq(meeting_run(&meeting), MET_BOTH);
	ck_assert_int_eq(SSL_export_keying_material(meeting.client, key.hidden, 32, "EXPORTER-CCI-Confirm", 20, NULL, 0, 0),
	                 1);
	for (size_t i = 0; i < key.size; i++)
		key.hidden[i] ^= MASK;
	ck_assert_uint_eq(places(&key), 0);
	run(confirm, meeting.server);
	ck_assert_int_eq(result, 0);
	ck_assert_uint_eq(places(&key), 0);
	meeting_close(&meeting);
	SSL_CTX_free(contexts[0]);
	SSL_CTX_free(contexts[1]);
	party_close(&authority);
	party_close(&server);
}
END_TEST

/* --- the exchange, which has had the verifiers --- */

struct talk {
	struct watched watched;
	struct exchange *exchange;
	bool done;
};

static void on_done(void *owner, enum reason reason)
{
	struct talk *talk = owner;

	ck_assert_int_eq(reason, REASON_NONE);
	talk->done = true;
}

START_TEST(of_a_verifier_nothing_is_left)
{
	struct talk talk = {.done = false};
	struct params message = {.type = PARAMS_CONFIRM, .cpu = PARAMS_UTF8};
	uint8_t bytes[PARAMS_MESSAGE_SIZE];
	struct secret secret;
	size_t size;
	int ends[2];

	if (has_other_allocator())
		return;
	take(&secret, "bytes", 0, PARAMS_VERIFIER_SIZE);
	test_pair(ends);
	watched_open(&talk.watched, ends);
	talk.exchange = exchange_new(talk.watched.channel, on_done, &talk);
	exchange_receive(talk.exchange, false);
	for (size_t i = 0; i < secret.size; i++)
		message.verifier[i] = secret.hidden[i] ^ MASK;
	size = params_encode(&message, bytes);
	ck_assert_int_eq((int)send(talk.watched.far, bytes, size, MSG_NOSIGNAL), (int)size);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	OPENSSL_cleanse(&message, sizeof(message));
	test_loop_until(&talk.watched.test, &talk.done);
	ck_assert(is_there(exchange_received(talk.exchange)->verifier, &secret));
	exchange_free(talk.exchange);
	ck_assert_uint_eq(places(&secret), 0);
	watched_close(&talk.watched);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("wiping");
	TCase *tests = tcase_create("wiping");

	tcase_set_timeout(tests, 60);
	tcase_add_unchecked_fixture(tests, make_files, remove_files);
	tcase_add_test(tests, what_is_not_wiped_is_found);
	tcase_add_loop_test(tests, of_a_key_s_files_nothing_is_left, 0, 3);
	tcase_add_test(tests, of_ticket_keys_in_a_file_nothing_is_left);
	tcase_add_test(tests, of_ticket_keys_in_memory_nothing_is_left);
	tcase_add_test(tests, of_the_key_of_confirm_nothing_is_left);
	tcase_add_test(tests, of_a_verifier_nothing_is_left);
	suite_add_tcase(suite, tests);
	return suite;
}
