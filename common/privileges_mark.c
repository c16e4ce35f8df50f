/* The one capability that workers may keep: SO_MARK on their connections. */
#include <cap-ng.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "notifier_mark.h"
#include "privileges_parts.h"

static int found = -1; /* written before the workers are started */

struct attempt {
	unsigned capability;
	int result;
};

/* In a thread: capabilities are each thread's own. */
static void *try_with(void *argument)
{
	struct attempt *attempt = argument;

	capng_clear(CAPNG_SELECT_CAPS);
	(void)capng_update(CAPNG_ADD, (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED), attempt->capability);
	attempt->result = capng_apply(CAPNG_SELECT_CAPS) == 0 ? notifier_mark_try() : EPERM;
	return NULL;
}

int privileges_find_mark(const struct config *config, struct error *error)
{
	/* Sniffing and forging packets is less than to rule all of the network. */
	static const unsigned order[] = {CAP_NET_RAW, CAP_NET_ADMIN};

	found = -1;
	for (size_t i = 0; notifier_mark_wanted(config) && found < 0 && i < sizeof(order) / sizeof(order[0]); i++) {
		struct attempt attempt = {.capability = order[i], .result = EPERM};
		pthread_t thread;
		int result;

		if (capng_get_caps_process() != 0 || capng_have_capability(CAPNG_PERMITTED, order[i]) != 1)
			continue;
		result = pthread_create(&thread, NULL, try_with, &attempt);
		if (result != 0)
			return error_set(error, "cannot start a thread: %s", strerrordesc_np(result));
		(void)pthread_join(thread, NULL);
		if (attempt.result == 0)
			found = (int)order[i];
	}
	return 0;
}

int privileges_mark(void)
{
	return found;
}

const char *privileges_mark_name(void)
{
	return found >= 0 ? capng_capability_to_name((unsigned)found) : "none";
}
