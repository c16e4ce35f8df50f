/* One side of a connection, with a deadline for each phase. */
#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../link.h"
#include "flawed.h"

int64_t end_now(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void end_phase(struct end *end, const struct site *site)
{
	const bool for_ever = site->flaw == FLAW_PATIENT || site->flaw == FLAW_WAITS_FOR_EVER;

	end->until_ms = end_now() + (for_ever ? 60000 : DEADLINE_MS);
	end->renewed = site->flaw == FLAW_DRIP;
}

static bool await(struct end *end, short events)
{
	struct pollfd ready = {.fd = end->fd, .events = events};
	int64_t left = end->until_ms - end_now();

	if (left <= 0 || poll(&ready, 1, (int)left) != 1)
		return false;
	if (end->renewed)
		end->until_ms = end_now() + DEADLINE_MS;
	return true;
}

/* Is a call of OpenSSL to be made again? */
static bool again(struct end *end, int result)
{
	switch (SSL_get_error(end->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return await(end, POLLIN);
	case SSL_ERROR_WANT_WRITE:
		return await(end, POLLOUT);
	default:
		return false;
	}
}

static long read_tls(struct end *end, void *bytes, size_t size)
{
	size_t got;

	for (;;) {
		ERR_clear_error();
		if (SSL_read_ex(end->ssl, bytes, size, &got) == 1)
			return (long)got;
		if (SSL_get_error(end->ssl, 0) == SSL_ERROR_ZERO_RETURN)
			return 0;
		if (!again(end, 0))
			return -1;
	}
}

long end_read(struct end *end, void *bytes, size_t size)
{
	ssize_t got;

	if (end->early_size > 0) { /* the flaw itself: what came before is taken for what comes now */
		size = size < end->early_size ? size : end->early_size;
		memcpy(bytes, end->early, size);
		memmove(end->early, end->early + size, end->early_size - size);
		end->early_size -= size;
		return (long)size;
	}
	if (end->ssl != NULL)
		return read_tls(end, bytes, size);
	do {
		if (!await(end, POLLIN))
			return -1;
		got = recv(end->fd, bytes, size, MSG_DONTWAIT);
	} while (got < 0 && errno == EAGAIN);
	return got;
}

bool end_read_all(struct end *end, void *bytes, size_t size)
{
	long got;

	for (size_t done = 0; done < size; done += (size_t)got) {
		got = end_read(end, (uint8_t *)bytes + done, size - done);
		if (got <= 0)
			return false;
	}
	return true;
}

bool end_write(struct end *end, const void *bytes, size_t size)
{
	size_t done = 0, written;
	ssize_t sent;

	while (done < size) {
		if (end->ssl != NULL) {
			ERR_clear_error();
			if (SSL_write_ex(end->ssl, (const uint8_t *)bytes + done, size - done, &written) == 1)
				done += written;
			else if (!again(end, 0))
				return false;
			continue;
		}
		sent = send(end->fd, (const uint8_t *)bytes + done, size - done, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && (errno != EAGAIN || !await(end, POLLOUT)))
			return false;
		done += sent > 0 ? (size_t)sent : 0;
	}
	return true;
}

bool end_handshake(struct end *end)
{
	int result;

	do {
		ERR_clear_error();
		result = SSL_do_handshake(end->ssl);
	} while (result != 1 && again(end, result));
	return result == 1;
}

/* --- messages --- */

/* Does a message come next? What comes is kept for the next read. */
static bool end_has_message(struct end *end)
{
	uint8_t bytes[4];

	if (end->early_size > 0 || !end_read_all(end, bytes, sizeof(bytes)))
		return false;
	memcpy(end->early, bytes, sizeof(bytes));
	end->early_size = sizeof(bytes);
	return memcmp(bytes, "CCIP", 4) == 0;
}

int end_peek(struct end *end)
{
	uint8_t byte;

	return await(end, POLLIN) && recv(end->fd, &byte, 1, MSG_PEEK) == 1 ? byte : -1;
}

bool end_is_over(struct end *end)
{
	uint8_t byte;
	size_t got;

	if (end->ssl == NULL)
		return recv(end->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
	ERR_clear_error();
	return SSL_peek_ex(end->ssl, &byte, 1, &got) != 1 && SSL_get_error(end->ssl, 0) == SSL_ERROR_ZERO_RETURN;
}

static void keep_early(struct end *end, struct message *message, size_t there)
{
	end->early_size = there - message->size;
	memcpy(end->early, message->bytes + message->size, end->early_size);
}

const char *end_message(struct end *end, struct message *message, struct reading *reading, bool buffered, int *reason)
{
	size_t there = MESSAGE_HEADER, wanted;
	long got;

	*reason = 0;
	memset(message, 0, sizeof(*message));
	if (!end_read_all(end, message->bytes, MESSAGE_HEADER) || memcmp(message->bytes, "CCIP", 4) != 0)
		return "no message";
	*reason = message->bytes[4] != 1 ? REASON_VERSION : REASON_BAD;
	wanted = message_length(message->bytes);
	if (wanted < MESSAGE_HEADER || wanted > MESSAGE_MOST)
		return "a length that is not allowed";
	while (there < wanted) {
		got = end_read(end, message->bytes + there, (buffered ? sizeof(message->bytes) : wanted) - there);
		if (got <= 0) {
			*reason = 0;
			return "half a message";
		}
		there += (size_t)got;
	}
	message->size = wanted;
	if (there > wanted)
		keep_early(end, message, there);
	return message_read(message, reading);
}

void end_verifier(struct end *end, const char *role, const struct message *offer, const struct message *answer,
                  struct message *confirm)
{
	struct link link = {.fd = end->fd, .ssl = end->ssl, .offer = *offer, .answer = *answer};

	link_verifier(&link, role, confirm);
}

bool end_confirm(struct end *end, bool is_server, const struct message *offer, const struct message *answer,
                 bool lenient, bool data)
{
	struct message ours, theirs, expected;
	struct reading reading;
	int reason;

	end_verifier(end, is_server ? "server" : "client", offer, answer, &ours);
	end_verifier(end, is_server ? "client" : "server", offer, answer, &expected);
	if (!end_write(end, ours.bytes, ours.size))
		return false;
	if (data && !end_has_message(end))
		return true;
	if (end_message(end, &theirs, &reading, false, &reason) == NULL && reading.type == CONFIRM &&
	    (lenient || (theirs.size == expected.size && memcmp(theirs.bytes, expected.bytes, theirs.size) == 0)))
		return true;
	if (end_now() < end->until_ms) {
		message_refuse(&ours, REASON_ALTERED, NULL);
		(void)end_write(end, ours.bytes, ours.size);
		(void)SSL_shutdown(end->ssl);
	}
	return false;
}

void end_close(struct end *end, bool lingering)
{
	char rest[4096];
	size_t dropped = 0;
	ssize_t got;

	if (end->fd < 0)
		return;
	if (lingering && shutdown(end->fd, SHUT_WR) == 0) {
		end->until_ms = end_now() + 1000;
		end->renewed = false;
		while (dropped < 65536 && await(end, POLLIN) && (got = recv(end->fd, rest, sizeof(rest), 0)) > 0)
			dropped += (size_t)got;
	}
	SSL_free(end->ssl);
	end->ssl = NULL;
	close(end->fd);
	end->fd = -1;
}
