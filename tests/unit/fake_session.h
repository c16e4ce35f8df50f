/* Sessions of the test's own in place of session.c: what a worker starts, ends and drains, counted. For one test program. */
#ifndef FAKE_SESSION_H
#define FAKE_SESSION_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session.h"
#include "session_view.h"

/* --- sessions in place of the real ones --- */

struct session {
	struct session *next;
	struct snapshot *snapshot;
	struct source_key source;
	enum quota_verdict verdict;
	int fd;
};

static atomic_uint started, started_draining, started_over, started_by_new;
static const struct snapshot *_Atomic new_snapshot;
static atomic_bool gated, failing;
static sem_t gate;

int session_start(struct session_host *host, struct snapshot *snapshot, size_t listener, int fd,
                  const union socket_address *remote, enum quota_verdict verdict)
{
	struct session *session = calloc(1, sizeof(*session));

	if (atomic_load(&failing)) {
		free(session);
		return -1;
	}
	ck_assert_ptr_nonnull(session);
	ck_assert_uint_lt(listener, snapshot->config->listener_count);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	if (atomic_exchange(&gated, false))
		(void)sem_wait(&gate);
	session->snapshot = snapshot_use(snapshot, host->number);
	session->verdict = verdict;
	session->fd = fd;
	source_key_of(remote, &session->source);
	session->next = host->first;
	host->first = session;
	host->count++;
	atomic_fetch_add(&started_draining, host->draining);
	atomic_fetch_add(&started_over, verdict == QUOTA_OVER);
	atomic_fetch_add(&started_by_new, snapshot == atomic_load(&new_snapshot));
	atomic_fetch_add(&started, 1);
	return 0;
}

/* Nobody looks at these. */
size_t session_view_slice(struct session_host *host, uint64_t before, struct session_view *views, size_t most)
{
	(void)host, (void)before, (void)views, (void)most;
	return 0;
}

bool session_view_end(struct session_host *host, const uint8_t *id, enum reason reason, const char *detail)
{
	(void)host, (void)id, (void)reason, (void)detail;
	return false;
}

void session_drain(struct session_host *host)
{
	host->draining = true;
}

size_t session_end_peer(struct session_host *host, const struct target_memory *memory)
{
	(void)host;
	(void)memory;
	return 0;
}

void session_end_all(struct session_host *host, enum reason reason)
{
	ck_assert_int_eq(reason, REASON_DRAIN_EXPIRED);
	while (host->first != NULL) {
		struct session *session = host->first;

		host->first = session->next;
		host->count--;
		close(session->fd);
		quota_leave(host->admission.quota, &session->source, session->verdict);
		snapshot_leave(session->snapshot, host->number);
		free(session);
	}
	host->emptied(host);
}

/* --- workers on ports of their own --- */

#endif
