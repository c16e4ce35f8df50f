/*
 * In the place of getaddrinfo (the linker's --wrap): names that hang for as long as a test likes, and who has asked for
 * which at the same time. "hang-N" until release_names, "quick-N" at once; N is below NAMES. Other names are the
 * system's.
 */
#ifndef TEST_HANGING_H
#define TEST_HANGING_H

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAMES 64

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool released, twice, open_to_signals, without_threads;
	unsigned calls, inside, most_inside, of_name[NAMES];
	long thread; /* of the last call */
} names = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
	return names.without_threads ? EAGAIN : __real_pthread_create(thread, attributes, run, argument);
}

/* Under the lock. */
static inline void enter(const char *node)
{
	const char *number = strchr(node, '-');
	unsigned name = number != NULL ? (unsigned)atoi(number + 1) % NAMES : 0;
	sigset_t blocked;

	(void)pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	names.open_to_signals = names.open_to_signals || sigismember(&blocked, SIGTERM) != 1;
	names.thread = syscall(SYS_gettid);
	names.calls++;
	if (names.of_name[name]++ > 0)
		names.twice = true;
	if (++names.inside > names.most_inside)
		names.most_inside = names.inside;
	(void)pthread_cond_broadcast(&names.changed);
	while (node[0] == 'h' && !names.released)
		(void)pthread_cond_wait(&names.changed, &names.lock);
	(void)pthread_mutex_unlock(&names.lock);
	usleep(50);
	(void)pthread_mutex_lock(&names.lock);
	names.of_name[name]--;
	names.inside--;
}

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	static const struct addrinfo numeric = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
	bool ours = strncmp(node, "hang-", 5) == 0 || strncmp(node, "quick-", 6) == 0;

	(void)pthread_mutex_lock(&names.lock);
	if (ours)
		enter(node);
	else
		names.calls++;
	(void)pthread_mutex_unlock(&names.lock);
	return ours ? __real_getaddrinfo("127.0.0.1", NULL, &numeric, found)
	            : __real_getaddrinfo(node, service, hints, found);
}

static inline void release_names(void)
{
	(void)pthread_mutex_lock(&names.lock);
	names.released = true;
	(void)pthread_cond_broadcast(&names.changed);
	(void)pthread_mutex_unlock(&names.lock);
}

static inline unsigned calls(void)
{
	unsigned count;

	(void)pthread_mutex_lock(&names.lock);
	count = names.calls;
	(void)pthread_mutex_unlock(&names.lock);
	return count;
}

/* Until so many calls have come that hang. */
static inline void wait_for_hanging(unsigned count)
{
	(void)pthread_mutex_lock(&names.lock);
	while (names.inside < count)
		(void)pthread_cond_wait(&names.changed, &names.lock);
	(void)pthread_mutex_unlock(&names.lock);
}

#endif
