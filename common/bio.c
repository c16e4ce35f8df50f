/* OpenSSL's view of a channel's socket: recv below, gathered writes above. */
#include "bio.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

static int socket_write(BIO *bio, const char *bytes, int size)
{
	struct bio_socket *socket = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (size <= 0)
		return 0;
	return socket->take(socket, (const uint8_t *)bytes, (size_t)size) ? size : -1;
}

static int socket_read(BIO *bio, char *bytes, int size)
{
	struct bio_socket *socket = BIO_get_data(bio);
	size_t most;
	ssize_t got;

	BIO_clear_retry_flags(bio);
	if (size <= 0)
		return 0;
	/* A short read has emptied the socket: the next recv would only say EAGAIN. */
	if (socket->drained || socket->given >= socket->allowed) {
		socket->refused = socket->refused || !socket->drained;
		BIO_set_retry_read(bio);
		return -1;
	}
	most = (size_t)size < socket->piece ? (size_t)size : socket->piece;
	do
		got = recv(socket->fd, bytes, most, 0);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		socket->given += (size_t)got;
		socket->drained = (size_t)got < most && !socket->unsure;
		return (int)got;
	}
	if (got == 0) {
		socket->eof = true;
	} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
		socket->drained = true;
		BIO_set_retry_read(bio);
	} else {
		socket->error = errno;
	}
	return got == 0 ? 0 : -1;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
	const struct bio_socket *socket = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	if (command == BIO_CTRL_EOF)
		return socket->eof ? 1 : 0;
	/* Gathered bytes are sent by the channel when its operation ends, so there is nothing to flush here. */
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

/* Lives as long as the process: every channel of every worker uses it. */
static void make_method(void)
{
	int type = BIO_get_new_index();

	if (type == -1)
		return;
	method = BIO_meth_new(type | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "gathering socket");
	if (method == NULL)
		return;
	if (BIO_meth_set_write(method, socket_write) == 1 && BIO_meth_set_read(method, socket_read) == 1 &&
	    BIO_meth_set_ctrl(method, socket_control) == 1)
		return;
	BIO_meth_free(method);
	method = NULL;
}

int bio_prepare(void)
{
	(void)pthread_once(&method_once, make_method);
	return method != NULL ? 0 : -1;
}

BIO *bio_new(struct bio_socket *socket)
{
	BIO *bio;

	if (bio_prepare() != 0)
		return NULL;
	bio = BIO_new(method);
	if (bio == NULL)
		return NULL;
	BIO_set_data(bio, socket);
	BIO_set_init(bio, 1);
	return bio;
}
