/* No core dump, and no look into the memory. */
#include "nocore.h"

#include <sys/prctl.h>
#include <sys/resource.h>

void nocore(void)
{
	const struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none);
	/* The limit does not hold where the kernel hands cores to a program (core_pattern with a pipe); this does. */
	(void)prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L);
}
