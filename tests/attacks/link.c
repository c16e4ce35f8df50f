/* A connection: opened, written, read, closed. TLS is in link_tls.c. */
#include "link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void prepare(int fd)
{
	const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	const int yes = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

bool link_open(struct link *link, const struct scene *scene)
{
	memset(link, 0, sizeof(*link));
	link->fd = socket(scene->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (link->fd < 0)
		return false;
	prepare(link->fd);
	if (connect(link->fd, (const struct sockaddr *)&scene->address, scene->address_size) == 0)
		return true;
	link_close(link, false);
	return false;
}

bool link_take(struct link *link, int listening)
{
	struct pollfd ready = {.fd = listening, .events = POLLIN};

	memset(link, 0, sizeof(*link));
	link->fd = poll(&ready, 1, PATIENCE_MS) == 1 ? accept(listening, NULL, NULL) : -1;
	if (link->fd < 0)
		return false;
	prepare(link->fd);
	return true;
}

bool link_send(struct link *link, const void *bytes, size_t size)
{
	const char *at = bytes;
	size_t written;

	while (size > 0) {
		if (link->ssl != NULL) {
			if (SSL_write_ex(link->ssl, at, size, &written) != 1)
				return false;
		} else {
			ssize_t sent = send(link->fd, at, size, MSG_NOSIGNAL);

			if (sent <= 0)
				return false;
			written = (size_t)sent;
		}
		at += written;
		size -= written;
	}
	return true;
}

bool link_send_message(struct link *link, const struct message *message)
{
	return link_send(link, message->bytes, message->size);
}

static long receive_tls(struct link *link, void *bytes, size_t size)
{
	size_t got;

	ERR_clear_error();
	errno = 0;
	if (SSL_read_ex(link->ssl, bytes, size, &got) == 1)
		return (long)got;
	switch (SSL_get_error(link->ssl, 0)) {
	case SSL_ERROR_ZERO_RETURN:
		return GOT_END;
	case SSL_ERROR_WANT_READ:
		return GOT_NOTHING;
	default:
		return errno == EAGAIN ? GOT_NOTHING : GOT_CUT;
	}
}

long link_receive(struct link *link, void *bytes, size_t size, int ms)
{
	struct pollfd ready = {.fd = link->fd, .events = POLLIN};
	ssize_t got;

	if (!(link->ssl != NULL && SSL_pending(link->ssl) > 0) && poll(&ready, 1, ms) != 1)
		return GOT_NOTHING;
	if (link->ssl != NULL)
		return receive_tls(link, bytes, size);
	got = recv(link->fd, bytes, size, 0);
	if (got >= 0)
		return got;
	return errno == EAGAIN ? GOT_NOTHING : GOT_CUT;
}

/* Exactly `size` bytes. */
static int receive_all(struct link *link, uint8_t *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		long got = link_receive(link, bytes + done, size - done, PATIENCE_MS);

		if (got <= 0) {
			link->wrong = "it ends in the middle";
			return done > 0 ? GOT_RUBBISH : (int)got;
		}
		done += (size_t)got;
	}
	return 1;
}

int link_answer(struct link *link)
{
	struct message *answer = &link->answer;
	int got = receive_all(link, answer->bytes, MESSAGE_HEADER);

	if (got <= 0)
		return got;
	answer->size = message_length(answer->bytes);
	link->wrong = "no message at all";
	if (memcmp(answer->bytes, "CCIP", 4) != 0 || answer->size < MESSAGE_HEADER || answer->size > MESSAGE_MOST)
		return GOT_RUBBISH;
	if (answer->size > MESSAGE_HEADER &&
	    receive_all(link, answer->bytes + MESSAGE_HEADER, answer->size - MESSAGE_HEADER) <= 0) {
		link->wrong = "a message cut short";
		return GOT_RUBBISH;
	}
	link->wrong = message_read(answer, &link->read);
	return link->wrong != NULL ? GOT_RUBBISH : link->read.type;
}

int link_exchange(struct link *link)
{
	(void)link_send_message(link, &link->offer); /* what is wrong shows in the answer */
	return link_answer(link);
}

int link_until_end(struct link *link, int ms, size_t *count)
{
	long until = now_ms() + ms, got = 1, left;
	char rest[4096];

	if (count != NULL)
		*count = 0;
	while (got > 0) {
		left = until - now_ms();
		got = left > 0 ? link_receive(link, rest, sizeof(rest), (int)left) : GOT_NOTHING;
		if (got > 0 && count != NULL)
			*count += (size_t)got;
	}
	return (int)got;
}

void link_close(struct link *link, bool reset)
{
	const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	if (reset && link->fd >= 0)
		(void)setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	SSL_free(link->ssl);
	link->ssl = NULL;
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
}

const char *got_words(const struct link *link, int got)
{
	switch (got) {
	case OFFER:
		return "an OFFER";
	case ACCEPT:
		return seen("an ACCEPT with security %d", link->read.security);
	case REFUSE:
		return seen("a REFUSE with reason %d (%s)", link->read.reason, link->read.text);
	case CONFIRM:
		return "a CONFIRM";
	case GOT_END:
		return "an end without an answer";
	case GOT_CUT:
		return "a cut without an answer";
	case GOT_NOTHING:
		return "silence";
	case GOT_RUBBISH:
		return seen("an answer that breaks the protocol: %s", link->wrong);
	default:
		return "bytes";
	}
}
