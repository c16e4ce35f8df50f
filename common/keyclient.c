/* Asks the key process, and waits for it, but not for ever. */
#include "keyclient.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct channel {
	int fd;
	uint32_t sequence;
	bool is_owed; /* an answer that did not come in time */
};

static struct {
	struct channel main; /* of the sidecar; anybody sends what has no answer */
	struct channel *channels;
	size_t count;
	atomic_size_t next; /* the first that no thread has taken */
	unsigned opened;    /* how often: what a thread has taken before is not there any more */
	uint32_t slot;
	bool is_open;
} client;

/* --- one question and its answer --- */

static int set_deadline(int fd, int ms)
{
	const struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	const int room = 2 * (int)KEYWIRE_SIGNED_MOST;

	/* What one message may have; where the kernel gives less, one that is larger is refused. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
	               setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == 0
	           ? 0
	           : -1;
}

static enum keywire_result why(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK ? KEYWIRE_SILENT
	       : errno == EMSGSIZE                     ? KEYWIRE_REFUSED
	                                               : KEYWIRE_GONE;
}

static enum keywire_result give(struct channel *channel, struct keywire_request *request, const void *bytes,
                                size_t size)
{
	struct iovec parts[] = {{request, sizeof(*request)}, {(void *)(uintptr_t)bytes, size}};
	const struct msghdr message = {.msg_iov = parts, .msg_iovlen = size > 0 ? 2 : 1};
	ssize_t sent;

	request->sequence = channel->sequence + 1;
	do
		sent = sendmsg(channel->fd, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return why();
	channel->sequence++;
	channel->is_owed = true;
	return KEYWIRE_DONE;
}

/* The answer to the last question; those to questions before it are passed over. */
static enum keywire_result take(struct channel *channel, struct keywire_answer *answer, void *bytes, size_t *size,
                                int flags)
{
	size_t room = *size;
	ssize_t got;

	for (;;) {
		struct iovec parts[] = {{answer, sizeof(*answer)}, {bytes, room}};
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = room > 0 ? 2 : 1};

		got = recvmsg(channel->fd, &message, flags);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return why();
		if (got < (ssize_t)sizeof(*answer) || (message.msg_flags & MSG_TRUNC) != 0)
			return KEYWIRE_GONE;
		if (answer->sequence == channel->sequence)
			break;
	}
	channel->is_owed = false;
	*size = (size_t)got - sizeof(*answer);
	return answer->result <= KEYWIRE_REFUSED ? (enum keywire_result)answer->result : KEYWIRE_FAILED;
}

/* Who did not answer in time is not waited for again before that answer is there. */
static enum keywire_result collect(struct channel *channel)
{
	struct keywire_answer answer;
	uint8_t rest[KEYWIRE_PUBLIC_MOST];
	size_t size = sizeof(rest);
	enum keywire_result result = take(channel, &answer, rest, &size, MSG_DONTWAIT);

	return channel->is_owed ? result : KEYWIRE_DONE;
}

/* --- signatures --- */

/* The calling thread's; NULL: there are no more. */
static struct channel *mine(void)
{
	static _Thread_local struct channel *channel;
	static _Thread_local unsigned opened;
	size_t number;

	if (channel != NULL && opened == client.opened)
		return channel;
	number = client.is_open ? atomic_fetch_add(&client.next, 1) : SIZE_MAX;
	channel = number < client.count ? &client.channels[number] : NULL;
	opened = client.opened;
	return channel;
}

static enum keywire_result sign(const struct keyprovider_request *asked, uint8_t *signature, size_t *size)
{
	struct channel *channel = mine();
	struct keywire_request request = {.kind = KEYWIRE_SIGN,
	                                  .handle = asked->handle,
	                                  .padding = (uint8_t)asked->padding,
	                                  .digest = (uint8_t)asked->digest};
	struct keywire_answer answer;
	enum keywire_result result = KEYWIRE_DONE;

	if (channel == NULL)
		return KEYWIRE_GONE;
	if (channel->is_owed)
		result = collect(channel);
	if (result == KEYWIRE_DONE)
		result = give(channel, &request, asked->bytes, asked->size);
	*size = KEYWIRE_SIGNATURE_MOST;
	return result == KEYWIRE_DONE ? take(channel, &answer, signature, size, 0) : result;
}

/* Any thread; nobody answers. What cannot be sent to a process that hangs is freed with that. */
static void release(uint64_t handle)
{
	const struct keywire_request request = {.kind = KEYWIRE_FREE, .handle = handle};

	if (client.is_open)
		(void)!send(client.main.fd, &request, sizeof(request), MSG_NOSIGNAL);
}

/* --- keys --- */

enum keywire_result keyclient_ask(enum keywire_kind kind, char *rest, size_t *size)
{
	struct keywire_request request = {.kind = kind};
	struct keywire_answer answer;
	size_t none = 0;
	enum keywire_result result = give(&client.main, &request, NULL, 0);

	return result == KEYWIRE_DONE ? take(&client.main, &answer, rest, size != NULL ? size : &none, 0) : result;
}

/* Every text with its terminator, in the order of enum keywire_text. False: they are too long. */
static bool put_texts(const struct tls_credential_files *files, char *buffer, size_t room, size_t *size)
{
	const char *const texts[KEYWIRE_TEXTS] = {files->place.section, files->place.name, files->private_key,
	                                          files->passphrase_file, files->certificate};

	*size = 0;
	for (int i = 0; i < KEYWIRE_TEXTS; i++) {
		const char *text = texts[i] != NULL ? texts[i] : "";
		size_t length = strlen(text) + 1;

		if (length > room - *size)
			return false;
		memcpy(buffer + *size, text, length);
		*size += length;
	}
	return true;
}

static int load_error(const struct tls_credential_files *files, enum keywire_result result,
                      const struct keywire_answer *answer, const char *words, struct error *error)
{
	if (result == KEYWIRE_FAILED) {
		error_set(error, "%s", words);
		return error_at(error, files->place.section, files->place.name,
		                answer->about == KEYWIRE_ABOUT_PASSPHRASE ? "passphrase_file" : "private_key");
	}
	if (result == KEYWIRE_REFUSED)
		error_set(error,
		          "%s was not read by the key process, whose configuration file does not name it: reload once the file "
		          "is as it is to be",
		          files->private_key);
	else
		error_set(error, "%s was not read: %s: restart the gateway", files->private_key, keywire_words(result));
	return -1;
}

EVP_PKEY *keyclient_load(OSSL_LIB_CTX *library, const struct tls_credential_files *files, bool *is_unneeded,
                         struct error *error)
{
	struct keywire_request request = {.kind = KEYWIRE_LOAD, .slot = client.slot};
	struct keywire_answer answer = {0};
	char texts[KEYWIRE_TEXT_MOST], rest[KEYWIRE_PUBLIC_MOST + 1];
	size_t size = 0, got = sizeof(rest) - 1;
	enum keywire_result result;
	EVP_PKEY *key;

	*is_unneeded = false;
	if (!put_texts(files, texts, sizeof(texts), &size)) {
		error_set(error, "%s: the path is too long", files->private_key);
		return NULL;
	}
	result = give(&client.main, &request, texts, size);
	if (result == KEYWIRE_DONE)
		result = take(&client.main, &answer, rest, &got, 0);
	if (result != KEYWIRE_DONE) {
		rest[result == KEYWIRE_FAILED ? got : 0] = '\0';
		(void)load_error(files, result, &answer, rest, error);
		return NULL;
	}
	*is_unneeded = (answer.notes & KEYWIRE_NOTE_UNNEEDED) != 0;
	key = keyprovider_key(library, answer.handle, (const uint8_t *)rest, got, error);
	if (key != NULL)
		return key;
	release(answer.handle);
	(void)error_at(error, files->place.section, files->place.name, "private_key");
	return NULL;
}

void keyclient_for(unsigned worker)
{
	client.slot = worker;
}

/* --- the whole --- */

int keyclient_open(int fd, const int *channels, size_t count, struct error *error)
{
	static const struct keyprovider_hooks hooks = {sign, release};
	int result = set_deadline(fd, KEYCLIENT_LOAD_MS);

	client.main = (struct channel){.fd = fd};
	client.channels = calloc(count, sizeof(*client.channels));
	client.count = client.channels != NULL ? count : 0;
	client.opened++;
	client.is_open = true;
	atomic_store(&client.next, 0);
	for (size_t i = 0; i < client.count; i++) {
		client.channels[i].fd = channels[i];
		if (set_deadline(channels[i], KEYCLIENT_WAIT_MS) != 0)
			result = -1;
	}
	if (client.channels == NULL || result != 0)
		return error_set(error, "the sockets of the key process cannot be used: not enough memory");
	keyprovider_use(&hooks);
	return 0;
}

bool keyclient_is_open(void)
{
	return client.is_open;
}

void keyclient_close(void)
{
	if (!client.is_open)
		return;
	client.is_open = false;
	keyprovider_use(NULL);
	for (size_t i = 0; i < client.count; i++)
		close(client.channels[i].fd);
	free(client.channels);
	client.channels = NULL;
	client.count = 0;
}
