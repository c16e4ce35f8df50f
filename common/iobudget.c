/* The memory in which bytes wait for slow receivers. */
#include "iobudget.h"

#include "log.h"

void iobudget_set(struct iobudget *budget, uint64_t limit_bytes)
{
	atomic_store(&budget->limit_bytes, limit_bytes);
}

void iobudget_take(struct iobudget *budget, size_t bytes)
{
	if (budget != NULL)
		(void)atomic_fetch_add_explicit(&budget->taken_bytes, bytes, memory_order_relaxed);
}

void iobudget_give(struct iobudget *budget, size_t bytes)
{
	if (budget != NULL)
		(void)atomic_fetch_sub_explicit(&budget->taken_bytes, bytes, memory_order_relaxed);
}

size_t iobudget_room(const struct iobudget *budget)
{
	/* C11's atomic_load wants no const. */
	struct iobudget *counted = (struct iobudget *)(uintptr_t)budget;
	uint64_t limit, taken;

	if (budget == NULL || (limit = atomic_load_explicit(&counted->limit_bytes, memory_order_relaxed)) == 0)
		return SIZE_MAX;
	taken = atomic_load_explicit(&counted->taken_bytes, memory_order_relaxed);
	return taken < limit ? (size_t)(limit - taken) : 0;
}

void iobudget_met(struct iobudget *budget, uint64_t now_ms)
{
	uint64_t count = complaint_due(&budget->complaint, now_ms);
	struct logline line;

	(void)atomic_fetch_add_explicit(&budget->met, 1, memory_order_relaxed);
	if (count == 0)
		return;
	log_begin(&line, MESSAGE_LIMIT_REACHED, NULL);
	log_text(&line, "limit", "buffers");
	log_number(&line, "bytes", atomic_load(&budget->taken_bytes));
	log_number(&line, "count", count);
	log_end(&line);
}
