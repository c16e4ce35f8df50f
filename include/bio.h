/*
 * The BIO through which OpenSSL works on a channel's socket: reads are recv on the descriptor, writes collect in the
 * worker's gather buffer and leave it in one send. For channel.c alone.
 */
#ifndef BIO_H
#define BIO_H

#include <openssl/bio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

/* What the BIO needs of its channel; embedded there. */
struct bio_socket {
	int fd;
	bool eof;     /* the peer has sent its FIN */
	bool drained; /* the last recv took all there was: only an event can bring more */
	bool unsure;  /* an urgent byte, the end or a fault may be behind a short read: no other event will say so */
	/* The owner sets these before an operation; without a share nothing is read. */
	size_t allowed; /* when so many bytes were given, the rest waits */
	size_t piece;   /* the most that one recv asks for */
	size_t given;   /* since then */
	bool refused;   /* there may be more, and it was not read, because of `allowed` */
	int error;      /* errno of a recv that failed; 0: none */
	/* Take written bytes over; true, or false without memory. */
	bool (*take)(struct bio_socket *socket, const uint8_t *bytes, size_t size);
};

/* Make what all BIOs share, once for the process: who starts without it would never have it. 0 or -1 without memory.
 * Any thread; bio_new does it itself where nobody has. */
int bio_prepare(void) MUST_CHECK;

/* A BIO on `socket` (borrowed; must outlive the BIO). NULL without memory. Thread-safe. */
BIO *bio_new(struct bio_socket *socket) MUST_CHECK;

#endif
