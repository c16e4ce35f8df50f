/* A ratchet whose clock the test sets, for the suites of the table and of its keeper. */
#ifndef TEST_RATCHETS_H
#define TEST_RATCHETS_H

#include <check.h>
#include <stdint.h>

#include "ratchet.h"

#define DAY_S 86400u

static uint64_t now_s;

static uint64_t test_now_s(void)
{
	return now_s;
}

/* Owned by the caller. */
static struct ratchet *new_table(size_t limit)
{
	struct ratchet *ratchet = ratchet_new(limit);

	ck_assert_ptr_nonnull(ratchet);
	ratchet_use_clock(ratchet, test_now_s);
	return ratchet;
}

static void setup(void)
{
	now_s = 1000 * DAY_S;
}

#endif
