/* The key process: reads keys, and signs with them. Everything that is asked of it may come from an intruder. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "keyholder_parts.h"
#include "keytable.h"
#include "privileges.h"
#include "sidecar.h"
#include "thread.h"
#include "tlscontext_load.h"
#include "tlskey.h"

struct holder;

struct post {
	struct holder *holder;
	int fd; /* ours; the gateway's end was given away */
	pthread_t thread;
	bool runs;
};

struct holder {
	int fd;
	struct config *config; /* as it was read last */
	struct keytable *keys;
	OSSL_LIB_CTX **libraries; /* one for each worker, made when it has its first key */
	struct post *posts;
	unsigned count; /* of both */
	sem_t begun;    /* once for each thread that runs as it is to */
	bool settled;
};

/* --- signatures --- */

/* One request of a channel. False: the gateway's end is gone. */
static bool serve_post(const struct post *post, uint8_t *request)
{
	struct keywire_answer answer;
	uint8_t signature[KEYWIRE_SIGNATURE_MOST];
	size_t size = 0;
	struct iovec parts[] = {{&answer, sizeof(answer)}, {signature, 0}};
	const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t got;

	do
		got = recv(post->fd, request, sizeof(struct keywire_request) + KEYWIRE_SIGNED_MOST + 1, 0);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return false;
	keytable_answer(post->holder->keys, request, (size_t)got, &answer, signature, &size);
	parts[1].iov_len = size;
	return sendmsg(post->fd, &message, MSG_NOSIGNAL) > 0 || errno == EINTR;
}

static uint8_t *new_request(void)
{
	return malloc(sizeof(struct keywire_request) + KEYWIRE_SIGNED_MOST + 1);
}

static void *run_post(void *argument)
{
	const struct post *post = argument;
	uint8_t *request = new_request();

	(void)sem_post(&post->holder->begun);
	while (request != NULL && serve_post(post, request))
		continue;
	free(request);
	return NULL;
}

/* --- keys --- */

static bool is_same(const char *a, const char *b)
{
	return strcmp(a != NULL ? a : "", b) == 0;
}

static bool is_named(const struct config *config, const char *const *texts)
{
	const char *key = texts[KEYWIRE_TEXT_KEY], *passphrase = texts[KEYWIRE_TEXT_PASSPHRASE];

	if (key[0] == '\0')
		return false;
	if (is_same(config->tls.private_key, key) && is_same(config->tls.passphrase_file, passphrase))
		return true;
	for (size_t i = 0; i < config->certificate_count; i++)
		if (is_same(config->certificates[i].private_key, key) &&
		    is_same(config->certificates[i].passphrase_file, passphrase))
			return true;
	return false;
}

static void ignore_finding(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	(void)context;
	(void)is_error;
	(void)file;
	(void)line;
	(void)text;
}

/* Does the gateway show this key's certificate to peers, which it connects to with TLS? */
static bool is_shown_to_peers(const struct config *config, const char *key)
{
	if (!is_same(config->tls.private_key, key))
		return false;
	for (size_t i = 0; i < config->peer_count; i++)
		if (config->peers[i].security != PEER_NONE)
			return true;
	return false;
}

/* The gateway may have read the file again since: it names other keys, or has a peer. */
static bool is_permitted(struct holder *holder, const char *const *texts)
{
	const char *key = texts[KEYWIRE_TEXT_KEY];
	bool is_known = is_named(holder->config, texts);
	struct config *config;

	if (is_known && (!is_same(holder->config->tls.private_key, key) || is_shown_to_peers(holder->config, key)))
		return true;
	config = config_load(holder->config->file, holder->config->program, ignore_finding, NULL);
	if (config == NULL)
		return is_known;
	config_free(holder->config);
	holder->config = config;
	return is_named(config, texts);
}

static OSSL_LIB_CTX *library_of(struct holder *holder, uint32_t slot, struct error *error)
{
	if (holder->libraries[slot] == NULL)
		holder->libraries[slot] = tls_load_library(error);
	return holder->libraries[slot];
}

/* The public half into `rest`; its size, or 0 where it has no room. */
static size_t put_public(EVP_PKEY *key, uint8_t *rest)
{
	int size = i2d_PUBKEY(key, NULL);

	if (size <= 0 || size > (int)KEYWIRE_PUBLIC_MOST)
		return 0;
	return (size_t)i2d_PUBKEY(key, &rest);
}

static enum keywire_result keep(struct holder *holder, OSSL_LIB_CTX *library, EVP_PKEY *key, bool as_client,
                                struct keywire_answer *answer, struct error *error)
{
	if (EVP_PKEY_get_size(key) <= (int)KEYWIRE_SIGNATURE_MOST)
		answer->handle = keytable_add(holder->keys, library, key, as_client);
	if (answer->handle != 0)
		return KEYWIRE_DONE;
	EVP_PKEY_free(key);
	error_set(error, "the key process has no room for this key");
	return KEYWIRE_FAILED;
}

/* *size bytes of `rest` (KEYWIRE_PUBLIC_MOST) follow the answer: the public key, or words. */
static enum keywire_result load(struct holder *holder, const char *const *texts, uint32_t slot,
                                struct keywire_answer *answer, uint8_t *rest, size_t *size)
{
	const char *name = texts[KEYWIRE_TEXT_NAME], *passphrase = texts[KEYWIRE_TEXT_PASSPHRASE];
	const struct tls_credential_files files = {
	    .place = {.section = texts[KEYWIRE_TEXT_SECTION], .name = name[0] != '\0' ? name : NULL},
	    .certificate = texts[KEYWIRE_TEXT_CERTIFICATE],
	    .private_key = texts[KEYWIRE_TEXT_KEY],
	    .passphrase_file = passphrase[0] != '\0' ? passphrase : NULL};
	struct error error = {.key = NULL};
	OSSL_LIB_CTX *library = library_of(holder, slot, &error);
	bool as_client = is_shown_to_peers(holder->config, files.private_key), is_unneeded = false;
	EVP_PKEY *key = library != NULL ? tls_key_load(library, &files, &is_unneeded, &error) : NULL;

	answer->notes = is_unneeded ? KEYWIRE_NOTE_UNNEEDED : 0;
	if (key != NULL)
		*size = put_public(key, rest);
	if (key != NULL && keep(holder, library, key, as_client, answer, &error) == KEYWIRE_DONE)
		return KEYWIRE_DONE;
	if (error.key != NULL)
		answer->about = strcmp(error.key, "passphrase_file") == 0 ? KEYWIRE_ABOUT_PASSPHRASE : KEYWIRE_ABOUT_KEY;
	if (keyholder_is_shut(files.private_key) || (files.passphrase_file != NULL && keyholder_is_shut(passphrase)))
		error_prefix(&error, "outside of the folders that the key process has kept, which a restart or SIGUSR2 takes");
	*size = strlen(error.text);
	memcpy(rest, error.text, *size);
	return KEYWIRE_FAILED;
}

/* --- the main thread's requests --- */

/* The gateway's ends of all channels, from number `from` on, as many as one message takes. */
static int give_channels(struct holder *holder, const struct keywire_request *request)
{
	const struct keywire_answer answer = {.sequence = request->sequence};
	int fds[SIDECAR_DESCRIPTORS_MAX], pair[2], result;
	size_t given = 0;

	while (given < SIDECAR_DESCRIPTORS_MAX && request->slot + given < holder->count) {
		struct post *post = &holder->posts[request->slot + given];

		if (post->fd >= 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
			break;
		post->fd = pair[0];
		fds[given++] = pair[1];
	}
	result = sidecar_send(holder->fd, &answer, sizeof(answer), fds, given);
	while (given > 0)
		close(fds[--given]);
	return result;
}

/* A thread begins by giving up what it may, which the filter forbids: all have done so when this returns. */
static int start_posts(struct holder *holder, struct error *error)
{
	unsigned started = 0;

	for (unsigned i = 0; i < holder->count; i++) {
		struct post *post = &holder->posts[i];

		if (post->fd < 0)
			continue;
		if (thread_start(&post->thread, "key-signer", run_post, post, error) != 0)
			return -1;
		post->runs = true;
		started++;
	}
	while (started > 0)
		if (sem_wait(&holder->begun) == 0)
			started--;
	return 0;
}

static enum keywire_result settle(struct holder *holder, uint8_t *rest, size_t *size)
{
	struct error error = {.key = NULL};
	const char *words = error.text;

	if (!holder->settled && privileges_follow(holder->config, false, &error) == 0 &&
	    keyholder_shut_paths(holder->config, &error) == 0 && start_posts(holder, &error) == 0 &&
	    keyholder_filter(holder->config, &error) == 0)
		holder->settled = true;
	keyholder_hide();
	if (holder->settled)
		words = keyholder_contained();
	*size = strlen(words);
	memcpy(rest, words, *size);
	return holder->settled ? KEYWIRE_DONE : KEYWIRE_FAILED;
}

static int answer_main(struct holder *holder, const struct keywire_request *request, const char *bytes, size_t size)
{
	struct {
		struct keywire_answer head;
		uint8_t rest[KEYWIRE_PUBLIC_MOST];
	} answer = {.head = {.sequence = request->sequence, .result = KEYWIRE_REFUSED}};
	const char *texts[KEYWIRE_TEXTS];
	size_t rest = 0;

	if (request->kind == KEYWIRE_LOAD && request->slot < holder->count && keywire_split(bytes, size, texts) &&
	    is_permitted(holder, texts))
		answer.head.result = (uint32_t)load(holder, texts, request->slot, &answer.head, answer.rest, &rest);
	if (request->kind == KEYWIRE_SETTLE)
		answer.head.result = (uint32_t)settle(holder, answer.rest, &rest);
	ERR_clear_error();
	return sidecar_send(holder->fd, &answer, sizeof(answer.head) + rest, NULL, 0);
}

/* False: the gateway has gone. */
static bool serve_main(struct holder *holder)
{
	struct {
		struct keywire_request head;
		char rest[KEYWIRE_TEXT_MOST];
	} request;
	ssize_t got = sidecar_receive(holder->fd, &request, sizeof(request), NULL, NULL);

	if (got < 0 && errno == EMSGSIZE)
		return true; /* nobody is told: it was no question of ours */
	if (got <= 0)
		return false;
	if (got < (ssize_t)sizeof(request.head))
		return true;
	if (request.head.kind == KEYWIRE_FREE) {
		keytable_remove(holder->keys, request.head.handle);
		return true;
	}
	if (request.head.kind == KEYWIRE_CHANNELS)
		return give_channels(holder, &request.head) == 0;
	return answer_main(holder, &request.head, request.rest, (size_t)got - sizeof(request.head)) == 0;
}

/* --- its life --- */

/* Until it has settled it has one thread (privileges_follow asks for that), which serves all: the gateway only
 * rehearses handshakes then. */
static bool serve_unsettled(struct holder *holder, struct pollfd *polled, uint8_t *request)
{
	polled[0] = (struct pollfd){.fd = holder->fd, .events = POLLIN};
	for (unsigned i = 0; i < holder->count; i++)
		polled[i + 1] = (struct pollfd){.fd = holder->posts[i].fd, .events = POLLIN};
	if (poll(polled, holder->count + 1, -1) < 0)
		return errno == EINTR;
	for (unsigned i = 0; i < holder->count; i++)
		if (polled[i + 1].revents != 0 && !serve_post(&holder->posts[i], request)) {
			close(holder->posts[i].fd);
			holder->posts[i].fd = -1;
		}
	return polled[0].revents == 0 || serve_main(holder);
}

static int serve(struct holder *holder)
{
	struct pollfd *polled = calloc(holder->count + 1, sizeof(*polled));
	uint8_t *request = new_request();
	bool goes_on = polled != NULL && request != NULL;
	int status = goes_on ? EXIT_SUCCESS : EXIT_FAILURE;

	while (goes_on && !holder->settled)
		goes_on = serve_unsettled(holder, polled, request);
	free(polled);
	free(request);
	while (goes_on)
		goes_on = serve_main(holder);
	return status;
}

/* The gateway's ends are gone by now, so that the threads end by themselves. */
static void close_holder(struct holder *holder)
{
	for (unsigned i = 0; holder->posts != NULL && i < holder->count; i++) {
		if (holder->posts[i].fd >= 0)
			(void)shutdown(holder->posts[i].fd, SHUT_RDWR);
		if (holder->posts[i].runs)
			(void)pthread_join(holder->posts[i].thread, NULL);
	}
	keytable_free(holder->keys);
	for (unsigned i = 0; holder->libraries != NULL && i < holder->count; i++)
		OSSL_LIB_CTX_free(holder->libraries[i]);
	free(holder->libraries);
	free(holder->posts);
	(void)sem_destroy(&holder->begun);
	config_free(holder->config);
}

int keyholder_serve(int fd, void *context)
{
	const struct keyholder_task *task = context;
	struct holder holder = {.fd = fd, .config = config_share(task->config), .count = task->channels};
	int status = EXIT_FAILURE;

	keyholder_hide();
	(void)sem_init(&holder.begun, 0, 0);
	holder.keys = keytable_new();
	holder.libraries = calloc(holder.count, sizeof(OSSL_LIB_CTX *));
	holder.posts = calloc(holder.count, sizeof(*holder.posts));
	for (unsigned i = 0; holder.posts != NULL && i < holder.count; i++)
		holder.posts[i] = (struct post){.holder = &holder, .fd = -1};
	if (holder.keys != NULL && holder.libraries != NULL && holder.posts != NULL)
		status = serve(&holder);
	close_holder(&holder);
	return status;
}
