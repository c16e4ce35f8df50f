/* A loop with an I/O context for tests of what works on channels, and socket pairs with tiny buffers. */
#ifndef TEST_LOOP_H
#define TEST_LOOP_H

#include <check.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "iocontext.h"

struct test_loop {
	uv_loop_t loop;
	struct iocontext *io;
};

static inline void test_loop_open(struct test_loop *test)
{
	struct error error;

	ck_assert_int_eq(uv_loop_init(&test->loop), 0);
	test->io = iocontext_new(&test->loop, &error);
	ck_assert_ptr_nonnull(test->io);
}

/* Run until `*done`, at most ten seconds. */
static inline void test_loop_until(struct test_loop *test, const bool *done)
{
	uint64_t until_ns = uv_hrtime() + UINT64_C(10000000000);

	while (!*done && uv_hrtime() < until_ns) {
		(void)iocontext_turn(test->io, 0);
		usleep(100);
	}
	ck_assert(*done);
}

static inline void test_loop_turns(struct test_loop *test, int turns)
{
	for (int i = 0; i < turns; i++)
		(void)iocontext_turn(test->io, 0);
}

static inline void test_loop_close(struct test_loop *test)
{
	while (iocontext_turn(test->io, -1))
		;
	iocontext_free(test->io);
	ck_assert_int_eq(uv_loop_close(&test->loop), 0);
}

/* Two connected stream sockets, non-blocking; the kernel keeps little between them. */
static inline void test_pair(int ends[2])
{
	int small = 4096;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	for (int i = 0; i < 2; i++) {
		(void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		(void)setsockopt(ends[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	}
}

#endif
