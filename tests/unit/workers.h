/*
 * For tests of what starts sessions: sessions that only hold their connection, in place of the real ones, and workers
 * on ports of their own.
 */
#ifndef TEST_WORKERS_H
#define TEST_WORKERS_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "configtext.h"
#include "descriptors.h"
#include "fake_session.h"
#include "session.h"
#include "worker.h"

#define MOST_WORKERS 4

struct fixture {
	struct worker_shared shared;
	struct worker *workers[MOST_WORKERS];
	unsigned count;
	struct snapshot *snapshot;
	struct listener_set listeners;
	int descriptors;
};

static atomic_uint drained;
static struct error error;

static const char config_text[] =
    "[gateway]\nsysid = H\n[service s]\naddress = builtin:echo\n"
    "[listener l]\naddress = 127.0.0.1:0, 127.0.0.1:0\nservice = s\nunsecured_connections = only\n";

static inline void on_drained(void *context)
{
	ck_assert_ptr_eq(context, &drained);
	atomic_fetch_add(&drained, 1);
}

static inline struct snapshot *make_snapshot(unsigned workers)
{
	static const struct cci_notifier_kind *const kinds[] = {NULL};
	struct config *config = config_from(PROGRAM_CCISSL, config_text);
	struct snapshot *snapshot = snapshot_new(config, workers, &(const struct notifier_source){.kinds = kinds}, &error);

	ck_assert_msg(snapshot != NULL, "%s", error.text);
	return snapshot;
}

/* With the first loop of a process libuv opens what it never closes (and cannot do without: it aborts). */
static inline void warm_up(void)
{
	uv_loop_t loop;

	ck_assert_int_eq(uv_loop_init(&loop), 0);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static inline void start(struct fixture *fixture, unsigned count)
{
	warm_up();
	memset(fixture, 0, sizeof(*fixture));
	fixture->count = count;
	fixture->shared = (struct worker_shared){.quota = quota_new(),
	                                         .ratchet = ratchet_new(16),
	                                         .noise = noise_new(),
	                                         .drained = on_drained,
	                                         .context = &drained};
	fixture->snapshot = make_snapshot(count);
	fixture->descriptors = open_descriptors();
	ck_assert_int_eq(listener_open(&fixture->listeners, fixture->snapshot->config, NULL, NULL, count, &error), 0);
	for (unsigned i = 0; i < count; i++) {
		fixture->workers[i] = worker_start(i, &fixture->shared, &error);
		ck_assert_msg(fixture->workers[i] != NULL, "%s", error.text);
		ck_assert_int_eq(worker_prepare(fixture->workers[i], fixture->snapshot, &fixture->listeners, &error), 0);
	}
	for (unsigned i = 0; i < count; i++)
		worker_use(fixture->workers[i]);
}

/* Everything is given back: memory (a sanitizer says), descriptors, places in the limits. */
static inline void stop(struct fixture *fixture)
{
	listener_close(&fixture->listeners);
	for (unsigned i = 0; i < fixture->count; i++)
		worker_stop(fixture->workers[i]);
	ck_assert_uint_eq(atomic_load(&fixture->snapshot->references), 1);
	ck_assert_uint_eq(quota_count(fixture->shared.quota), 0);
	snapshot_release(fixture->snapshot);
	quota_free(fixture->shared.quota);
	ratchet_free(fixture->shared.ratchet);
	noise_free(fixture->shared.noise);
}

static inline int try_connect(const struct fixture *fixture, int fd)
{
	const union socket_address *to = &fixture->listeners.at[0].bound;

	return connect(fd, &to->any, socket_length(to));
}

static inline int client(const struct fixture *fixture)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(try_connect(fixture, fd), 0);
	return fd;
}

static inline void wait_for(atomic_uint *number, unsigned value)
{
	for (int i = 0; i < 5000 && atomic_load(number) < value; i++)
		usleep(1000);
	ck_assert_uint_eq(atomic_load(number), value);
}

static inline uint64_t accepted(const struct fixture *fixture)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < fixture->count; i++)
		sum += worker_accepted(fixture->workers[i]);
	return sum;
}

/* Leave room for exactly `count` more descriptors; -1: all there may be. */
static inline void leave_descriptors(int count)
{
	struct rlimit limit;
	int fd = 0;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int found = 0; found < count; fd++)
		found += fcntl(fd, F_GETFD) < 0;
	limit.rlim_cur = count < 0 ? limit.rlim_max : (rlim_t)fd;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

#endif
