/* When free memory is given back. */
#include "memorytrim.h"

#include <malloc.h>

#define MANY 1000u
#define SETTLED 5u

void memory_trim_tick(struct memory_trim *trim, uint64_t count)
{
	if (count > trim->most)
		trim->most = count;
	if (trim->most < MANY || count > trim->most / 4) {
		trim->settled = 0;
		return;
	}
	if (++trim->settled < SETTLED)
		return;
	(void)malloc_trim(0);
	*trim = (struct memory_trim){.most = count};
}
