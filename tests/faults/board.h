/*
 * What a test tells the preloaded libraries of this folder, and what they tell it: a file that both have mapped, named by
 * CCI_FAULTS. A fault counts the calls of one kind and makes some of them fail.
 */
#ifndef FAULTS_BOARD_H
#define FAULTS_BOARD_H

#include <stdatomic.h>

enum fault_kind {
	FAULT_MEMORY,       /* malloc, calloc, realloc, aligned_alloc, posix_memalign */
	FAULT_THREAD,       /* pthread_create */
	FAULT_ACCEPT,       /* accept4 */
	FAULT_SOCKET,       /* socket, socketpair */
	FAULT_PIPE,         /* pipe2 */
	FAULT_EVENTFD,      /* eventfd */
	FAULT_EPOLL_CREATE, /* epoll_create1 */
	FAULT_EPOLL_CTL,    /* epoll_ctl */
	FAULT_DUP,          /* fcntl F_DUPFD_CLOEXEC */
	FAULT_OPEN,         /* open, open64, openat, fopen of files */
	FAULT_CONNECT,      /* connect */
	FAULT_SEND,         /* send, sendmsg, and write to a socket */
	FAULT_RECV,         /* recv */
	FAULT_SPLICE,       /* splice */
	FAULT_WRITE,        /* write, writev to files, but for standard error; with error -1 half is written */
	FAULT_LOG,          /* the same to standard error */
	FAULT_SYNC,         /* fsync, fdatasync */
	FAULT_RENAME,       /* rename */
	FAULT_NAMES,        /* getaddrinfo of names that end in .invalid */
	FAULT_KINDS
};

/* Of the calls from now on, those number first, first + every, first + 2 every... fail, `most` of them at most. Set `first`
 * last; 0 ends it. */
struct fault {
	atomic_ullong calls;  /* since the test set it to 0; where `thread` says whose, only those */
	atomic_ullong first, every, most;
	atomic_ullong failed; /* how many have */
	atomic_int error;     /* errno; of getaddrinfo its EAI_ code */
	atomic_int thread;    /* its number; 0: any */
	atomic_ulong delay_ms; /* a call that is chosen sleeps so long; with error 0 it goes on then */
};

struct faults_board {
	struct fault faults[FAULT_KINDS];
	atomic_llong live;      /* allocations that are not freed */
	atomic_uint ragged;     /* seed: sockets are read and written in pieces, with EINTR and EAGAIN between; 0: whole */
	atomic_llong clock_s;   /* CLOCK_REALTIME goes by so many seconds otherwise */
	atomic_uint trace;      /* 1: failed allocations say where; 2: live allocations made since are noted, 3: and told */
};

/* The board of this process, or NULL: nobody wants a fault. */
extern struct faults_board *faults_board;

/* Count a call of this kind. Is it to fail? */
int fault_due(enum fault_kind kind);

#endif
