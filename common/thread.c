/* Threads beside the workers. */
#include "thread.h"

#include <cap-ng.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct start {
	const char *name;
	void *(*run)(void *);
	void *argument;
};

void thread_drop_capabilities_but(int kept)
{
	bool has;

	if (geteuid() == 0)
		return;
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0L, 0L, 0L);
	has = kept >= 0 && capng_get_caps_process() == 0 && capng_have_capability(CAPNG_PERMITTED, (unsigned)kept) == 1;
	capng_clear(CAPNG_SELECT_CAPS);
	if (has)
		(void)capng_update(CAPNG_ADD, (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED), (unsigned)kept);
	/* Giving up cannot be refused. */
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		abort();
}

void thread_drop_capabilities(void)
{
	thread_drop_capabilities_but(-1);
}

/* Nor can it ever gain one: started before the process becomes somebody else, this is all that does not follow it. */
static void gain_nothing(void)
{
	for (unsigned long i = 0; prctl(PR_CAPBSET_DROP, i, 0L, 0L, 0L) == 0; i++)
		continue;
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L);
}

static void *begin(void *argument)
{
	struct start start = *(struct start *)argument;

	free(argument);
	gain_nothing();
	thread_drop_capabilities();
	(void)pthread_setname_np(pthread_self(), start.name);
	return start.run(start.argument);
}

int thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument, struct error *error)
{
	struct start *start = malloc(sizeof(*start));
	sigset_t all, before;
	int result;

	if (start == NULL)
		return error_set(error, "not enough memory");
	*start = (struct start){name, run, argument};
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(thread, NULL, begin, start);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result == 0)
		return 0;
	free(start);
	return error_set(error, "cannot start a thread: %s: raise the limit of tasks (TasksMax=, ulimit -u)",
	                 strerrordesc_np(result));
}
