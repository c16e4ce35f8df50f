/* Says when one more line about the same trouble is due. */
#include "complaint.h"

uint64_t complaint_due(struct complaint *complaint, uint64_t now_ms)
{
	unsigned long long said_ms = atomic_load_explicit(&complaint->said_ms, memory_order_relaxed);

	/* 0 stands for never. */
	now_ms++;
	(void)atomic_fetch_add_explicit(&complaint->count, 1, memory_order_relaxed);
	if (said_ms != 0 && now_ms < said_ms + COMPLAINT_MS)
		return 0;
	/* Of several threads one says it. */
	if (!atomic_compare_exchange_strong(&complaint->said_ms, &said_ms, now_ms))
		return 0;
	return atomic_exchange_explicit(&complaint->count, 0, memory_order_relaxed);
}
